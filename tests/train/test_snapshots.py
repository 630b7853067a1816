"""Weights that were kept during a training: they are the model of that step, and keeping them changes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from minillm.artifact import Artifact, write_artifact
from minillm.data.batches import PackedDocuments
from minillm.model.gpt import GPT, GPTConfig
from minillm.model.lora import LoRAConfig, apply_lora
from minillm.model.snapshots import snapshot_file, snapshot_steps, write_snapshot
from minillm.text.tokenizer import Tokenizer
from minillm.train import FitConfig, FitResult, choose_runtime, fit

CONFIG = GPTConfig(vocab_size=8, context_length=12, n_layer=1, n_head=2, d_model=16, d_ff=24)
STEPS = (0, 4, 7, 99)


class Stopped(Exception):
    """A training is cut off."""


class Source(PackedDocuments):
    """Batches up to a step."""

    stop = 99

    def batch(self, step: int) -> object:
        if step == self.stop:
            raise Stopped
        return super().batch(step)


def train(
    folder: Path | None, stop: int = 99, lora: LoRAConfig | None = None, **settings: object
) -> tuple[GPT, FitResult]:
    documents = [[(i * j) % 7 for j in range(1, 4 + i % 5)] for i in range(40)]
    source = Source(documents, end_of_text_id=7, context_length=12, rows=4)
    source.stop = stop
    model, runtime = GPT(CONFIG, 3), choose_runtime("cpu", "fp32", threads=1, compile=False)
    if lora is not None:
        apply_lora(model, lora)
    config = FitConfig(**({"steps": 9, "checkpoint_every": 5} | settings))  # type: ignore[arg-type]
    return model, fit(model, source, config, directory=folder, runtime=runtime, progress=False)


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def all_bytes(folder: Path) -> dict[int, bytes]:
    return {step: (folder / snapshot_file(step)).read_bytes() for step in snapshot_steps(folder)}


def test_keeping_weights_changes_no_weights(tmp_path: Path) -> None:
    without, expected = train(tmp_path / "without")
    kept, result = train(tmp_path / "kept", snapshot_steps=STEPS)
    assert same(without.state_dict(), kept.state_dict())
    assert [line["loss"] for line in result.history] == [line["loss"] for line in expected.history]
    assert snapshot_steps(tmp_path / "kept") == [0, 4, 7] and snapshot_steps(tmp_path / "without") == []
    train(None, snapshot_steps=STEPS)  # nothing is written anywhere


def test_they_are_the_weights_of_the_step(tmp_path: Path) -> None:
    """Those of step 4 are what a training is left with that is stopped and saved there."""
    train(tmp_path, snapshot_steps=STEPS)
    first = {name: weight.half() for name, weight in GPT(CONFIG, 3).state_dict().items()}
    assert same(load_file(tmp_path / snapshot_file(0)), first)
    with pytest.raises(Stopped):
        train(tmp_path / "cut", stop=4, checkpoint_every=4)
    checkpoint = load_file(tmp_path / "cut" / "checkpoints" / "step-00000004.safetensors")
    fourth = {
        name.removeprefix("model."): weight.half()
        for name, weight in checkpoint.items()
        if name.startswith("model.")
    }
    assert same(load_file(tmp_path / snapshot_file(4)), {name: fourth[name] for name in first})
    assert not same(fourth, first)


def test_those_of_a_model_with_adapters_are_of_a_plain_model(tmp_path: Path) -> None:
    """Weights with the adapters added, which any reader takes; the model itself keeps its adapters."""
    model, _ = train(tmp_path, lora=LoRAConfig(rank=2, alpha=4), snapshot_steps=(9,))
    assert any("lora" in name for name in model.state_dict())
    plain = GPT(CONFIG, 1)
    plain.load_state_dict(load_file(tmp_path / snapshot_file(9)))
    ids = torch.arange(7)[None]
    with torch.no_grad():
        torch.testing.assert_close(plain.eval()(ids), model.eval()(ids), atol=1e-2, rtol=0)
        assert (plain(ids) - GPT(CONFIG, 3)(ids)).abs().max() > 0.05


@pytest.mark.parametrize("stop", [2, 6, 8])
def test_a_resumed_training_leaves_the_same_files(tmp_path: Path, stop: int) -> None:
    """Cut off before the first checkpoint, between two snapshots, and behind the last of them."""
    train(tmp_path / "whole", snapshot_steps=STEPS)
    with pytest.raises(Stopped):
        train(tmp_path / "cut", stop, snapshot_steps=STEPS)
    _, result = train(tmp_path / "cut", snapshot_steps=STEPS)
    assert result.resumed_from == stop // 5 * 5
    assert all_bytes(tmp_path / "cut") == all_bytes(tmp_path / "whole")


def test_those_of_an_earlier_training_go(tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        train(tmp_path, 2, snapshot_steps=(0, 1))
    train(tmp_path, snapshot_steps=(4,))
    assert snapshot_steps(tmp_path) == [4]


@pytest.fixture
def artifact(tmp_path: Path) -> Artifact:
    tokenizer = Tokenizer([])
    tokenizer.save(tmp_path)
    config = GPTConfig(tokenizer.vocab_size, context_length=12, n_layer=1, n_head=2, d_model=16, d_ff=24)
    GPT(config, 1).save_pretrained(tmp_path)
    write_snapshot(tmp_path, 50, GPT(config, 2).state_dict())
    return write_artifact(tmp_path, "base", "0" * 12, {"data": "Nothing"}, {"steps": 60})


def test_an_artifact_gives_the_model_of_a_step(artifact: Artifact) -> None:
    assert artifact.snapshots == [50]
    model, expected = artifact.snapshot(50), GPT(artifact.language_model.config, 2)
    assert not model.training
    for name, weight in model.state_dict().items():
        assert weight.dtype == torch.float32
        assert torch.equal(weight, expected.state_dict()[name].half().float())
    assert same(artifact.language_model.state_dict(), GPT(artifact.language_model.config, 1).state_dict())


def test_what_was_not_kept_or_is_damaged_is_told(artifact: Artifact) -> None:
    with pytest.raises(
        ValueError, match=r"weights of step 7 were not kept in .* \(kept: 50\); train with base.fit.snap"
    ):
        artifact.snapshot(7)
    path = artifact.folder / snapshot_file(50)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match="step-000050.safetensors is damaged or not a safetensors file"):
        artifact.snapshot(50)
    path.unlink()
    assert artifact.snapshots == [] and artifact.model
