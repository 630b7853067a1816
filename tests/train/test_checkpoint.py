"""Checkpoints: what is saved comes back bit for bit, and damage is noticed."""

from __future__ import annotations

import json
import logging

import pytest
import torch
from torch import nn

from minillm.train import FitConfig
from minillm.train.checkpoint import (
    Checkpoints,
    load_model_tensors,
    load_optimizer_tensors,
    model_tensors,
    optimizer_tensors,
)
from minillm.train.optim import build_optimizers
from minillm.train.step import TrainStep


def tensors(step: int) -> dict[str, torch.Tensor]:
    return {
        "float": torch.full((3, 4), step / 7),
        "bytes": torch.arange(5, dtype=torch.uint8),
        "scalar": torch.tensor(float(step)),
        "transposed": torch.arange(6.0).view(2, 3).T,
    }


def saved(folder, *steps):
    checkpoints = Checkpoints(folder)
    for step in steps:
        checkpoints.save(step, tensors(step), {"tokens": 10 * step})
    return checkpoints


def test_round_trip(tmp_path):
    step, loaded, state = saved(tmp_path / "new" / "folder", 7).load()
    assert (step, state) == (7, {"tokens": 70})
    assert loaded.keys() == tensors(7).keys()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in tensors(7).items())


def test_an_empty_or_missing_folder_has_none(tmp_path):
    assert Checkpoints(tmp_path).load() is None
    assert Checkpoints(tmp_path / "missing").load() is None


def test_the_latest_two_are_kept(tmp_path):
    assert saved(tmp_path, 9, 10, 100, 101).steps() == [100, 101]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "step-00000100.json",
        "step-00000100.safetensors",
        "step-00000101.json",
        "step-00000101.safetensors",
    ]


def truncate(path):
    path.write_bytes(path.read_bytes()[:-9])


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[-3 if path.suffix == ".safetensors" else content.index(b"tokens") + 9] ^= 1
    path.write_bytes(content)


def empty(path):
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [truncate, flip_a_bit, empty, lambda path: path.unlink()])
@pytest.mark.parametrize("suffix", ["safetensors", "json"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(tmp_path, caplog, damage, suffix):
    checkpoints = saved(tmp_path, 1, 2)
    damage(tmp_path / f"step-00000002.{suffix}")
    with caplog.at_level(logging.WARNING, logger="minillm"):
        step, loaded, state = checkpoints.load()
    assert (step, state) == (1, {"tokens": 10}) and torch.equal(loaded["float"], tensors(1)["float"])
    unfinished = suffix == "json" and not (tmp_path / "step-00000002.json").exists() and not caplog.records
    if not unfinished:  # tensors whose JSON file was never written are nobody's loss
        (record,) = caplog.records
        assert "step-00000002" in record.getMessage() and "damaged" in record.getMessage()
        assert "\n" not in record.getMessage()
    assert checkpoints.steps() == [1]


def test_when_all_are_damaged_there_is_none(tmp_path):
    checkpoints = saved(tmp_path, 1, 2)
    for path in tmp_path.glob("*.safetensors"):
        truncate(path)
    assert checkpoints.load() is None


def test_a_json_file_that_is_no_object_is_damage(tmp_path):
    checkpoints = saved(tmp_path, 1, 2)
    (tmp_path / "step-00000002.json").write_text("[1, 2]", encoding="utf-8")
    assert checkpoints.load()[0] == 1


def test_an_unfinished_save_leaves_the_older_ones(tmp_path, monkeypatch):
    checkpoints = saved(tmp_path, 1)

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("minillm.train.checkpoint.write_json", killed)
    with pytest.raises(KeyboardInterrupt):
        checkpoints.save(2, tensors(2), {})
    assert checkpoints.steps() == [1] and checkpoints.load()[0] == 1


def test_what_a_killed_process_left_is_deleted(tmp_path):
    checkpoints = saved(tmp_path, 1)
    for name in (".step-00000002.safetensors.x.tmp", "step-00000002.safetensors", "mine.txt"):
        (tmp_path / name).write_text("half", encoding="utf-8")
    checkpoints.save(3, tensors(3), {})
    expected = ["mine.txt", "step-00000001.json", "step-00000001.safetensors"]
    expected += ["step-00000003.json", "step-00000003.safetensors"]
    assert sorted(path.name for path in tmp_path.iterdir()) == expected


def test_a_newer_format_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("minillm.train.checkpoint.FORMAT", 2)
    checkpoints = saved(tmp_path, 1)
    monkeypatch.undo()
    with pytest.raises(ValueError, match="has format 2, this package reads up to 1: update the package"):
        checkpoints.load()


def test_the_state_is_plain_json_without_nan(tmp_path):
    saved(tmp_path, 3)
    content = json.loads((tmp_path / "step-00000003.json").read_text(encoding="utf-8"))
    assert content["step"] == 3 and content["state"] == {"tokens": 30}
    with pytest.raises(ValueError, match="JSON"):
        Checkpoints(tmp_path).save(4, {}, {"loss": float("nan")})


def test_delete_takes_only_what_is_its_own(tmp_path):
    checkpoints = saved(tmp_path / "a", 1, 2)
    checkpoints.delete()
    assert not (tmp_path / "a").exists()
    checkpoints = saved(tmp_path / "b", 1)
    (tmp_path / "b" / "notes.txt").write_text("mine", encoding="utf-8")
    checkpoints.delete()
    assert [path.name for path in (tmp_path / "b").iterdir()] == ["notes.txt"]
    Checkpoints(tmp_path / "never").delete()


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(5, 3), nn.Linear(3, 5, bias=False)
        self.head.weight = self.embed.weight
        self.register_buffer("count", torch.tensor([4]))
        self.register_buffer("table", torch.ones(2), persistent=False)


def test_shared_weights_are_stored_once_and_come_back():
    model, other = Tied(), Tied()
    stored = model_tensors(model)
    assert stored.keys() == {"model.embed.weight", "model.count"}
    load_model_tensors(other, stored)
    assert torch.equal(other.head.weight, model.embed.weight) and other.head.weight is other.embed.weight


def test_weights_of_another_model_are_refused():
    with pytest.raises(ValueError, match=r"another model: it has \(4, 3\) for weight, this model \(5, 3\)"):
        load_model_tensors(nn.Linear(3, 5), model_tensors(nn.Linear(3, 4)))
    with pytest.raises(ValueError, match="it has nothing for bias"):
        load_model_tensors(nn.Linear(3, 4), model_tensors(nn.Linear(3, 4, bias=False)))


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_optimizers_go_on_bit_for_bit(words, runtime, tmp_path, optimizer):
    config = FitConfig(steps=4, optimizer=optimizer)

    def fresh():
        model = words.Model()
        optimizers = build_optimizers(model, config)
        return model, optimizers, TrainStep(model, words.loss, optimizers, config, runtime)

    model, optimizers, step = fresh()
    for index in range(2):
        step(words.Source().batch(index))
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(2, model_tensors(model) | optimizer_tensors(optimizers), {})
    copy, copy_optimizers, copy_step = fresh()
    _, loaded, _ = checkpoints.load()
    load_model_tensors(copy, loaded)
    load_optimizer_tensors(copy_optimizers, loaded)
    for index in range(2, 4):
        assert step(words.Source().batch(index)) == copy_step(words.Source().batch(index))
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, copy.state_dict()[name]), name
