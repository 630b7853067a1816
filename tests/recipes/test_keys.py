"""Keys: every setting of every stage changes the weights' keys that it must, and no other; enumerated, not chosen."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from minillm.course import Course
from minillm.data.corpora import FileCorpus, HubCorpus, MixedCorpus, WorldCorpus
from minillm.keys import deciding, measuring, setting, stops_early
from minillm.presets import PRESETS, Preset
from minillm.recipes import STAGES

PATIENT = replace(  # stops early in every stage that can
    PRESETS["smoke"],
    name="patient",
    base=replace(PRESETS["smoke"].base, fit=replace(PRESETS["smoke"].base.fit, patience=2)),
    sft=replace(PRESETS["smoke"].sft, fit=replace(PRESETS["smoke"].sft.fit, validate_every=3, patience=2)),
    dpo=replace(PRESETS["smoke"].dpo, fit=replace(PRESETS["smoke"].dpo.fit, validate_every=3, patience=2)),
    reward=replace(
        PRESETS["smoke"].reward, fit=replace(PRESETS["smoke"].reward.fit, validate_every=3, patience=2)
    ),
    lora=replace(
        PRESETS["smoke"].lora,
        training=replace(
            PRESETS["smoke"].lora.training,
            fit=replace(PRESETS["smoke"].lora.training.fit, validate_every=3, patience=2),
        ),
    ),
)

# What each field of a preset may change, written down apart from the recipes.
AFTER = {  # a stage, and all that start from it
    "tokenizer": {"tokenizer", "base", "sft", "grpo", "preferences", "dpo", "reward", "ppo", "lora"},
    "base": {"base", "sft", "grpo", "preferences", "dpo", "reward", "ppo", "lora"},
    "sft": {"sft", "grpo", "preferences", "dpo", "reward", "ppo", "lora"},
    "grpo": {"grpo"},
    "preferences": {"preferences", "dpo", "reward", "ppo"},
    "dpo": {"dpo"},
    "reward": {"reward", "ppo"},
    "ppo": {"ppo"},
    "lora": {"lora"},
}
FIRST = {  # the first stage that a field concerns
    "corpus": "tokenizer",
    "base": "base",
    "conversations": "sft",
    "sft": "sft",
    "grpo": "grpo",
    "preferences": "preferences",
    "reward": "reward",
    "dpo": "dpo",
    "ppo": "ppo",
    "domain": "lora",
    "lora": "lora",
    "seed": "base",
}
SAVING = {"checkpoint_every", "evaluate_every", "snapshot_steps"}  # never decide anything
HELD_OUT = {"conversations.n_validation", "domain.n_validation", "preferences.n_validation"}
EXAMINED = {  # figures that a setting changes where it changes no weights
    "conversations.n_validation": {"sft"},
    "domain.n_validation": {"lora"},
    "preferences.n_validation": {"preferences", "dpo", "reward"},
    "sft.corpus_documents": {"sft"},
    "lora.training.corpus_documents": {"lora"},
    "test_tasks": {"base", "sft", "grpo", "dpo", "ppo", "lora"},
}


def expected(path: str, patient: set[str]) -> set[str]:
    """The stages that must be trained again when a setting changes; `patient` are those that stop early."""
    first, last = path.partition(".")[0], path.rpartition(".")[2]
    if path == "base.model.vocab_size":
        return AFTER["tokenizer"]
    if last in SAVING or last == "corpus_documents" or path == "test_tasks":
        return set()
    if path in HELD_OUT:
        readers = {"conversations": ["sft"], "domain": ["lora"], "preferences": ["dpo", "reward"]}
        return set().union(*(AFTER[reader] for reader in readers[first] if reader in patient))
    if last in ("validate_every", "validation_tokens"):
        return AFTER[first] if first in patient else set()
    return AFTER[FIRST[first]]


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every setting in a dataclass, with its path."""
    for field in dataclasses.fields(value):
        inner, where = getattr(value, field.name), f"{path}{field.name}"
        if dataclasses.is_dataclass(inner):
            yield from leaves(inner, f"{where}.")
        else:
            yield where, inner


OTHER = {  # other values where half or one more is not allowed
    "optimizer": ("adamw", "muon"),
    "schedule": ("cosine", "linear"),
    "n_head": (8,),
    "n_kv_head": (1,),
    "d_model": (96, 192),
    "d_ff": (64,),
    "head_dim": (8,),
    "families": (("world",),),
    "pairs": ("best",),
    "targets": (("q_proj",), ("q_proj", "v_proj")),
    "embedding_learning_rate": (0.01,),
    "micro_batch_rows": (2,),
    "validate_every": (7,),
    "snapshot_steps": ((0, 3),),
    "value_clip_eps": (0.3,),
    "kl_target": (3.0,),
    "max_step_kl": (0.3,),
    "max_grad_norm": (0.7,),
    "critic_warmup": (1,),
    "warmup_share": (0.05,),
    "dropout": (0.25,),
    "rows": (3,),
    "minibatches": (1,),
    "max_new_tokens": (11,),
}


def others(path: str, value: Any) -> Iterator[Any]:
    """Other values of a setting."""
    name = path.rpartition(".")[2]
    if name in OTHER:
        yield from (other for other in OTHER[name] if other != value)
    elif isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        yield value + 3  # 1 or 2 more than the world's seed is that of its validation or of its tests
    elif isinstance(value, float):
        yield value / 2 if value else 0.25
    else:
        raise AssertionError(f"{path} is {value!r}: say another value in OTHER")


def override(path: str, value: Any) -> dict[str, Any]:
    *outer, last = path.split(".")
    nested: dict[str, Any] = {last: value}
    for name in reversed(outer):
        nested = {name: nested}
    return nested


def keys(course: Course) -> tuple[dict[str, str], dict[str, str]]:
    return {name: course.key(name) for name in AFTER}, {name: course.examination_key(name) for name in AFTER}


def cases() -> list[Any]:
    found = []
    for preset in (PRESETS["smoke"], PRESETS["cpu"], PATIENT):
        for path, value in leaves(preset):
            if (
                path not in ("name", "more")
                and not path.endswith("fit.patience")
                and not path.endswith("fit.seed")
            ):
                found += [
                    pytest.param(preset, path, other, id=f"{preset.name}-{path}={other}")
                    for other in others(path, value)
                ]
    return found


@pytest.mark.parametrize(("preset", "path", "other"), cases())
def test_a_setting_changes_the_keys_that_it_must_and_no_other(preset: Preset, path: str, other: Any) -> None:
    before, examined = keys(Course(preset))
    course = Course(preset, **override(path, other))
    after, examined_after = keys(course)
    patient = {name for name in AFTER if stops_early(Course(preset).settings(name))}
    changed = {name for name in AFTER if before[name] != after[name]}
    assert changed == expected(path, patient)
    again = {name for name in AFTER if examined[name] != examined_after[name]}
    assert again - changed == EXAMINED.get(path, set()) - changed


def test_every_setting_is_looked_at() -> None:
    """No field of a preset that the table above does not know, and hardly one that is passed over."""
    assert {field.name for field in dataclasses.fields(Preset)} == FIRST.keys() | {
        "name",
        "more",
        "test_tasks",
    }
    assert AFTER.keys() == STAGES.keys()
    assert len(cases()) > 250


@pytest.mark.parametrize("stage", ["base", "sft", "dpo", "reward"])
def test_early_stopping_itself_decides(stage: str) -> None:
    before, _ = keys(Course("smoke"))
    after, _ = keys(Course("smoke", **{stage: {"fit": {"validate_every": 5, "patience": 3}}}))
    assert {name for name in AFTER if before[name] != after[name]} == AFTER[stage]


@pytest.mark.parametrize("stage", ["base", "sft", "dpo", "reward", "lora"])
def test_a_seed_that_decides_nothing_is_refused(stage: str) -> None:
    fit = {"fit": {"seed": 3}}
    with pytest.raises(
        ValueError, match=r"fit.seed is 3; leave it at 0 here: the seed of the preset decides"
    ):
        Course("smoke", **{stage: {"training": fit} if stage == "lora" else fit})


def test_the_code_of_a_training_and_of_a_test_have_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    before, examined = keys(Course("smoke"))
    for name, stage in list(STAGES.items()):
        with monkeypatch.context() as patch:
            patch.setitem(STAGES, name, replace(stage, version=99))
            after, _ = keys(Course("smoke"))
            assert {n for n in AFTER if before[n] != after[n]} == AFTER[name]
        with monkeypatch.context() as patch:
            patch.setitem(STAGES, name, replace(stage, test_version=99))
            after, examined_after = keys(Course("smoke"))
            children = {child for child in AFTER if name in STAGES[child].parents}
            assert after == before
            assert {n for n in AFTER if examined[n] != examined_after[n]} == {name} | children


def test_other_marks_and_other_tasks_are_another_examination(monkeypatch: pytest.MonkeyPatch) -> None:
    from minillm.data.judge import WEIGHTS
    from minillm.evaluate.examination import examination_fingerprint

    before = examination_fingerprint(3)
    assert examination_fingerprint(4) != before
    examination_fingerprint.cache_clear()
    assert examination_fingerprint(3) == before
    monkeypatch.setitem(WEIGHTS, "kind", 0.21)
    examination_fingerprint.cache_clear()
    assert examination_fingerprint(3) != before
    monkeypatch.undo()
    examination_fingerprint.cache_clear()


def test_the_text_of_a_file_and_the_name_of_a_dataset_decide(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("One day a hen sat on an egg.\n" * 50, encoding="utf-8")
    one = Course("smoke", corpus=path).key("tokenizer")
    assert Course("smoke", corpus=path).key("tokenizer") == one
    path.write_text("One day a fox sat on an egg.\n" * 50, encoding="utf-8")
    assert Course("smoke", corpus=path).key("tokenizer") != one
    hub = HubCorpus("owner/name", 100, 10)
    for changes in ({"dataset": "owner/other"}, {"n_documents": 101}, {"config": "en"}, {"revision": "abc"}):
        assert replace(hub, **changes).settings() != hub.settings()
    world = WorldCorpus(100, 10)
    assert MixedCorpus((hub, world)).settings() != MixedCorpus((world, hub)).settings()
    assert (
        FileCorpus("a.txt", (path,), validation_share=0.1).settings()
        != FileCorpus("a.txt", (path,)).settings()
    )


def test_keys_are_the_same_in_every_program() -> None:
    """They may not depend on the order of sets, which differs from this program's, the machine or the folder."""
    program = "from minillm.course import Course; print(Course('smoke', 'x').key('ppo'), Course('smoke').key('lora'))"
    seed = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
    other = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONHASHSEED": seed},
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    assert other.stdout == f"{Course('smoke').key('ppo')} {Course('smoke').key('lora')}\n"


# -- the declarations themselves --


@dataclasses.dataclass(frozen=True)
class Oven:
    heat: int = 200
    window: int = setting(1)
    thermometer: int = setting(2, measures=True)
    alarm: int = setting(3, decides=lambda oven: oven.heat > 250)


@dataclasses.dataclass(frozen=True)
class Kitchen:
    oven: Oven = Oven()
    pans: tuple[int, ...] = (1, 2)


def test_what_decides_and_what_only_measures() -> None:
    assert deciding(Kitchen()) == {"oven": {"heat": 200}, "pans": [1, 2]}
    assert deciding(Kitchen(Oven(300))) == {"oven": {"heat": 300, "alarm": 3}, "pans": [1, 2]}
    assert measuring(Kitchen()) == {"oven": {"thermometer": 2}}
    assert deciding(None) is None and measuring(None) == {} and not stops_early(None)
