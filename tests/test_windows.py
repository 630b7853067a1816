"""Under the rules of Windows (`windows_rules.py`): files that are open or mapped, ends of lines, signals, processes."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import threading
import time
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

import minillm
from minillm import files
from minillm.artifact import Artifact
from minillm.course import Course
from minillm.data.example import write_example
from minillm.data.shards import open_shards, write_shards
from minillm.export import export_artifact
from minillm.text.tokenizer import Tokenizer
from minillm.train import choose_runtime
from minillm.train.checkpoint import Checkpoints

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/maps").exists(), reason="the rules ask Linux what is open"
)
RULES = Path(__file__).with_name("windows_rules.py")
_specification = importlib.util.spec_from_file_location("windows_rules", RULES)
rules = importlib.util.module_from_spec(_specification)
_specification.loader.exec_module(rules)

TEXTS = [f"{n} hens sat on {n % 7} eggs, and the fox went home.\n" for n in range(150)]
MODEL = {"vocab_size": 300, "context_length": 160, "n_layer": 1, "n_head": 2, "d_model": 16, "d_ff": 32}
TINY = {
    "corpus": "harbour/corpus",
    "base": {"model": MODEL, "fit": {"steps": 4, "validate_every": 2, "checkpoint_every": 1}, "rows": 2},
    "conversations": "harbour/conversations.jsonl",
    "sft": {"fit": {"steps": 3, "checkpoint_every": 1}},
    "preferences": "harbour/preferences.jsonl",
    "reward": {"fit": {"steps": 3}, "prompts": 8},
    "dpo": {"fit": {"steps": 2}},
    "ppo": {"iterations": 2, "prompts": 4, "rows": 2},
    "domain": "harbour/radio.jsonl",
    "lora": {"training": {"fit": {"steps": 2}}},
    "test_tasks": 1,
}


@pytest.fixture
def windows(monkeypatch):
    """The rules hold in this process; the patience is short."""
    monkeypatch.setattr(files, "_PAUSES", [0.01] * 30)
    undo = rules.install()
    yield
    undo()


@pytest.fixture(scope="module")
def runtime():
    return choose_runtime("cpu", "fp32", threads=1, compile=False)


def under_rules(*command: object, folder: Path, **more) -> subprocess.Popen[str]:
    """Another program, under the rules."""
    environment = os.environ | {"PYTHONPATH": str(Path(minillm.__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    words = [sys.executable, str(RULES), *map(str, command)]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(words, cwd=folder, env=environment, **streams, **more)


# The rules themselves


def test_the_rules_are_those_of_windows(tmp_path, windows):
    path, other = tmp_path / "a", tmp_path / "b"
    for one in (path, other):
        one.write_bytes(b"x" * 4096)
    with path.open("rb"):
        for refused in (lambda: os.replace(other, path), path.unlink, lambda: path.rename(tmp_path / "c")):
            with pytest.raises(PermissionError, match="open"):
                refused()
    mapped = np.memmap(path, mode="r")
    for refused in (lambda: other.replace(path), lambda: os.remove(path), lambda: path.write_bytes(b"")):
        with pytest.raises(OSError, match="mapped"):
            refused()
    del mapped
    other.replace(path)
    write, read = path.write_text, path.read_text  # without an encoding
    write("茶\n")
    assert path.read_bytes() == "茶\r\n".encode("gbk") and read() == "茶\n"
    with pytest.raises(FileExistsError):
        (tmp_path / "d").touch() or path.rename(tmp_path / "d")
    with pytest.raises(PermissionError, match="folder"):
        os.open(tmp_path, os.O_RDONLY)


# Files


@contextlib.contextmanager
def held_for(path: Path, seconds: float):
    """Another thread has the file open for that long, as a virus scanner."""
    file = path.open("rb")
    timer = threading.Timer(seconds, file.close)
    timer.start()
    yield
    timer.join()


def test_files_that_are_held_for_a_moment_are_written_and_deleted(tmp_path, windows, monkeypatch):
    monkeypatch.setattr(files, "_PAUSES", [0.01] * 3000)  # on a busy machine the moment may be long
    path = files.write_atomic(tmp_path / "a.json", "1")
    with held_for(path, 0.1):
        files.write_json(path, [2])
    assert files.read_json(path) == [2]
    with held_for(path, 0.1):
        files.remove(path)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_stays_open_is_told_and_kept(tmp_path, windows):
    path = files.write_atomic(tmp_path / "a.json", "1")
    with path.open("rb"):
        with pytest.raises(OSError, match=r"cannot write .*a\.json: another program has the file open"):
            files.write_json(path, 2)
        files.discard(path)
    assert files.read_json(path) == 1 and [one.name for one in tmp_path.iterdir()] == ["a.json"]


def test_elsewhere_nothing_is_tried_twice(tmp_path, monkeypatch):
    tries = []

    def refuse(*_):
        tries.append(time.monotonic())
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(files, "_WINDOWS", False)
    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OSError, match="the folder cannot be written"):
        files.write_atomic(tmp_path / "a", "x")
    assert len(tries) == 1 and list(tmp_path.iterdir()) == []


def test_what_can_be_written_is_tried_out(tmp_path):
    assert files.can_write(tmp_path) and list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    assert not files.can_write(tmp_path / "file") and not files.can_write(tmp_path / "none")


# What is mapped


def test_a_checkpoint_that_was_read_can_be_deleted(tmp_path, windows):
    """The optimizer keeps the tensors that it is given: none of them may be a part of the file."""
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, {"a": torch.arange(1000.0)}, {})
    _, tensors, _ = checkpoints.load()
    assert rules.holders(tmp_path / "step-00000001.safetensors") == []
    for step in (2, 3):
        checkpoints.save(step, tensors, {})
    assert checkpoints.steps() == [2, 3] and len(list(tmp_path.iterdir())) == 4


def test_an_old_checkpoint_that_another_program_holds_is_deleted_the_next_time(tmp_path, windows):
    checkpoints = Checkpoints(tmp_path)
    for step in (1, 2):
        checkpoints.save(step, {"a": torch.ones(3)}, {})
    held = safetensors.torch.load_file(tmp_path / "step-00000001.safetensors")
    checkpoints.save(3, {"a": torch.ones(3)}, {})
    assert (tmp_path / "step-00000001.safetensors").exists() and checkpoints.steps() == [2, 3]
    del held
    checkpoints.save(4, {"a": torch.ones(3)}, {})
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f"step-0000000{n}.{kind}" for n in (3, 4) for kind in ("json", "safetensors")
    ]


def test_checkpoints_that_are_held_stay_when_all_are_deleted(tmp_path, windows):
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    checkpoints.save(1, {"a": torch.ones(3)}, {})
    with (tmp_path / "checkpoints" / "step-00000001.safetensors").open("rb"):
        checkpoints.delete()
    checkpoints.delete()
    assert list(tmp_path.iterdir()) == []


def test_shards_are_written_again_after_they_were_read(tmp_path, windows):
    tokenizer = Tokenizer.train(TEXTS, 300)
    write_shards(TEXTS, tokenizer, tmp_path, block_characters=1_000)
    documents = open_shards(tmp_path, tokenizer.end_of_text_id)
    before = documents.flat[0 : len(documents.flat)].tolist()
    (tmp_path / "shard-00001.json").write_text("{}", encoding="utf-8")
    write_shards(TEXTS, tokenizer, tmp_path, block_characters=1_000)
    assert documents.flat[0 : len(documents.flat)].tolist() == before


# The course


def names_are_sound(root: Path) -> None:
    """Every name is one on Windows, no two differ by case or normal form only, and none makes a long path."""
    paths = [path.relative_to(root) for path in root.rglob("*")]
    folded = [unicodedata.normalize("NFC", path.as_posix()).casefold() for path in paths]
    assert paths and len(set(folded)) == len(paths)
    for path in paths:
        assert len(str(path)) < 120 and not re.search(r'[<>:"|?*\\\x00-\x1f]|[. ](/|$)', path.as_posix())
        assert not any(re.fullmatch(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?", part) for part in path.parts)


@pytest.fixture
def harbour(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_example("harbour")


def test_every_stage_is_trained_examined_again_used_and_exported(
    harbour, windows, runtime, monkeypatch, tmp_path
):
    course = Course("smoke", "runs", runtime=runtime, progress=False, **TINY)
    ends = ("lora", "dpo", "ppo")
    artifacts = [course.stage(name) for name in ends]
    models = [artifact.model for artifact in artifacts]  # held, as in a notebook
    again = Course("smoke", "runs", runtime=runtime, progress=False, **TINY | {"test_tasks": 2})
    for name, model in zip(ends, models, strict=True):
        assert again.stage(name).examination == again.examination_key(name)
        for to in ("hf", "hf"):  # the second replaces the first
            export_artifact(again.stage(name), to, f"exports/{name}")
        assert sum(weight.numel() for weight in model.parameters()) > 0
    export_artifact(again.stage("lora"), "peft", "exports/adapter")
    held = [path for path in Path("runs").rglob("*") if rules.holders(path)]
    assert [path for path in held if not path.name.startswith("shard-")] == []
    assert not list(Path("runs").rglob("*.tmp")) and not list(Path("runs").rglob("checkpoints"))
    names_are_sound(tmp_path)
    for path in [*Path("runs").rglob("*"), *Path("exports").rglob("*")]:
        assert (
            path.suffix in (".safetensors", ".bin") or not path.is_file() or b"\r" not in path.read_bytes()
        ), path


RUN = [
    "-m",
    "minillm",
    "run",
    "--preset=smoke",
    "--stages=base",
    "--precision=fp32",
    "--compile=no",
    "--out=runs",
]


def settings(steps: int) -> dict[str, Any]:
    """Settings of a small base model, for `Course`."""
    return {"base": {"model": MODEL, "rows": 2, "fit": {"steps": steps, "checkpoint_every": 5}}}


def options(steps: int) -> list[str]:
    """The same for the program, with a corpus."""
    base = settings(steps)["base"]
    values = [
        f"base.{part}.{name}={value}" for part in ("model", "fit") for name, value in base[part].items()
    ]
    return ["--corpus=fable.txt", *(f"--set={one}" for one in [*values, f"base.rows={base['rows']}"])]


def wait_for(pattern: str, folder: Path) -> None:
    limit = time.monotonic() + 300
    while not list(folder.rglob(pattern)):
        assert time.monotonic() < limit
        time.sleep(0.05)


def test_ctrl_break_saves_and_the_run_goes_on_to_the_same_weights(tmp_path, runtime):
    fable = tmp_path / "fable.txt"
    fable.write_text("".join(TEXTS), encoding="utf-8")
    command = [*RUN, *options(300)]
    with under_rules(*command, folder=tmp_path) as program:
        wait_for("step-*.json", tmp_path)
        program.send_signal(signal.SIGUSR1)
        error = program.communicate(timeout=300)[1]
    assert program.returncode == 128 + signal.SIGUSR1 and "saved in" in error and "Traceback" not in error, (
        error
    )
    with under_rules(*command, folder=tmp_path) as program:
        error = program.communicate(timeout=300)[1]
    assert program.returncode == 0 and not list(tmp_path.rglob("step-*")), error
    [stopped] = tmp_path.glob("runs/smoke/base-*/model.safetensors")
    whole = Course(
        "smoke", tmp_path / "whole", runtime=runtime, progress=False, corpus=fable, **settings(300)
    )
    assert stopped.read_bytes() == (whole.stage("base").folder / "model.safetensors").read_bytes()


def test_two_programs_at_once_train_once(tmp_path):
    (tmp_path / "fable.txt").write_text("".join(TEXTS), encoding="utf-8")
    command = [*RUN, *options(40), "--json"]
    with under_rules(*command, folder=tmp_path) as one, under_rules(*command, folder=tmp_path) as other:
        outcomes = [program.communicate(timeout=600) for program in (one, other)]
    assert one.returncode == other.returncode == 0, outcomes
    assert sum("base: training in" in error for _, error in outcomes) == 1
    figures = [json.loads(out)["stages"][0] for out, _ in outcomes]
    assert figures[0]["val_loss"] == figures[1]["val_loss"]
    [folder] = tmp_path.glob("runs/smoke/base-*/")
    assert Artifact(folder).model.config.d_model == MODEL["d_model"]


# Processes are spawned there, not forked


def test_a_spawned_process_trains(tmp_path, runtime):
    """What it is given, and what it gives back, is pickled."""
    fable = tmp_path / "fable.txt"
    fable.write_text("".join(TEXTS), encoding="utf-8")
    course = Course("smoke", tmp_path / "runs", runtime=runtime, progress=False, corpus=fable, **settings(2))
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        artifact = pool.apply(Course.stage, (course, "base"))
    assert artifact.folder == course.folder("base") and course.is_trained("base")
    assert artifact.model.config.d_model == MODEL["d_model"]


SCRIPT = """
print("begun")
from minillm import Course
from minillm.train import choose_runtime
runtime = choose_runtime("cpu", "fp32", threads=2, compile=False)
print(Course("smoke", "runs", runtime=runtime, progress=False, corpus="fable.txt", **SETTINGS).stage("base").stage)
"""


def test_a_script_without_a_guard_is_run_once(tmp_path):
    """A library that starts processes would run it again in each, where they are spawned."""
    (tmp_path / "fable.txt").write_text("".join(TEXTS), encoding="utf-8")
    spawned = "import multiprocessing as m; m.set_start_method('spawn')"
    (tmp_path / "script.py").write_text(
        spawned + SCRIPT.replace("SETTINGS", repr(settings(2))), encoding="utf-8"
    )
    with under_rules("script.py", folder=tmp_path) as program:
        out, error = program.communicate(timeout=300)
    assert (program.returncode, out) == (0, "begun\nbase\n"), error
