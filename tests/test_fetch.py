"""Published models are brought whole or not at all, and nothing of a stranger's address is trusted."""

from __future__ import annotations

import errno
import io
import json
import os
import pickle
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from email.message import Message
from pathlib import Path
from typing import Any
from urllib.request import Request

import pytest
import torch
from published_site import GO_ON, serving

from minillm import course as course_module
from minillm import downloads, fetch
from minillm.artifact import Artifact, find_artifacts, write_artifact
from minillm.course import STAGES, Course
from minillm.downloads import UnavailableError, find_place
from minillm.files import locked, sha256_bytes, write_atomic
from minillm.model.adapters import save_adapter
from minillm.model.gpt import GPT, GPTConfig
from minillm.model.lora import LoRAConfig, apply_lora
from minillm.model.snapshots import write_snapshot
from minillm.publish import publish
from minillm.text.tokenizer import Tokenizer

TOKENIZER = Tokenizer.train(["the cat sat on the mat and sang to the cat"] * 3, 279)
SHAPE = GPTConfig(TOKENIZER.vocab_size, context_length=16, n_layer=2, n_head=2, d_model=32, d_ff=48)
WEIGHTS, SUMMARY = "model.safetensors", "summary.json"
ACTED = "this has been run"


def made(root: Path, stages: tuple[str, ...] = ("tokenizer", "base", "sft")) -> Course:
    """A course with small artifacts that were not trained."""
    course = Course("smoke", root, progress=False)
    for number, name in enumerate(stages):
        folder = course.folder(name)
        TOKENIZER.save(folder)
        if STAGES[name].writes:
            GPT(SHAPE, number).save_pretrained(folder)
        if name == "sft":
            save_adapter(apply_lora(GPT(SHAPE, 0), LoRAConfig(2, 4.0)), folder / "adapter")
        settings = {"data": "Nothing", "parents": {p: course.key(p) for p in STAGES[name].parents}}
        examination = course.examination_key(name)
        figures = {"val_loss": 1.0 + number}
        write_artifact(folder, name, course.key(name), settings, figures, examination=examination)
    return course


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> Path:
    """A folder of published models; tests must not change it."""
    root = tmp_path_factory.mktemp("made")
    publish(made(root / "runs"), root / "models")
    return root / "models"


@pytest.fixture
def models(published, tmp_path) -> Path:
    """A copy of it."""
    return shutil.copytree(published, tmp_path / "models")


@pytest.fixture
def site(models):
    """The same on a server of this machine."""
    with serving(models) as one:
        yield one


@pytest.fixture(autouse=True)
def quickly(monkeypatch):
    """Little patience."""
    monkeypatch.setattr(downloads, "PAUSES", (0.01, 0.01, 0.01))
    monkeypatch.setattr(downloads, "LONGEST_WAIT", 0.01)
    for name in ("MINILLM_FETCH", "MINILLM_MODELS", "http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)


def reader(tmp_path: Path, address: object, **settings: Any) -> Course:
    """A course with nothing trained."""
    return Course("smoke", tmp_path / "runs", progress=False, models=str(address), **settings)


KEY = Course("smoke", "nowhere").key("base")
BASE = f"base-{KEY}"


# What is published


def test_the_manifest_is_as_it_was_designed(published):
    manifest = json.loads((published / "manifest.json").read_text(encoding="utf-8"))
    assert manifest.keys() == {"format", "preset", "made_with", "stages"}
    assert (manifest["format"], manifest["preset"]) == (1, "smoke")
    course = Course("smoke", "nowhere")
    assert [one["stage"] for one in manifest["stages"]] == ["tokenizer", "base", "sft"]
    for one in manifest["stages"]:
        assert one.keys() == {"stage", "key", "parents", "figures", "files"}
        assert one["key"] == course.key(one["stage"])
        assert one["parents"] == {name: course.key(name) for name in STAGES[one["stage"]].parents}
        assert one["figures"].keys() == {"val_loss"}
        for file in one["files"]:
            content = (published / file["path"]).read_bytes()
            assert (len(content), sha256_bytes(content)) == (file["bytes"], file["sha256"])
    named = {file["path"] for one in manifest["stages"] for file in one["files"]} | {"manifest.json"}
    there = {path.relative_to(published).as_posix() for path in published.rglob("*") if path.is_file()}
    assert named == there
    assert f"{BASE}/README.md" in named and any(
        name.endswith("adapter/adapter_config.json") for name in named
    )


def all_bytes(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def test_the_same_artifacts_give_the_same_bytes(published, models, tmp_path):
    course = made(tmp_path / "again")
    publish(course, tmp_path / "twin")
    assert all_bytes(tmp_path / "twin") == all_bytes(published)
    before = {path: path.stat().st_mtime_ns for path in models.rglob("*.safetensors")}
    publish(course, models)
    assert {path: path.stat().st_mtime_ns for path in models.rglob("*.safetensors")} == before


def test_what_was_fetched_is_published_as_it_was_made(published, tmp_path):
    course = reader(tmp_path, published, fetch="all")
    for name in ("tokenizer", "base", "sft"):
        course.stage(name)
    publish(course, tmp_path / "again")
    assert all_bytes(tmp_path / "again") == all_bytes(published)


def test_snapshots_are_published_and_fetched(tmp_path):
    course = made(tmp_path / "made")
    write_snapshot(course.folder("base"), 50, GPT(SHAPE, 7).state_dict())
    publish(course, tmp_path / "models")
    fetched = reader(tmp_path, tmp_path / "models", fetch="all").stage("base")
    assert fetched.snapshots == [50]
    expected = GPT(SHAPE, 7).head_weight.half().float()
    assert torch.equal(fetched.snapshot(50).head_weight, expected)


def test_only_files_of_an_artifact_are_published(tmp_path):
    course = made(tmp_path / "runs", ("tokenizer", "base"))
    for name in ("notes.txt", ".secret.json", "checkpoints/step-1.json", "a/b/c.json", ".x.1.tmp"):
        path = course.folder("base") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}", encoding="utf-8")
    names = {Path(name).name for name in all_bytes((publish(course, tmp_path / "m"), tmp_path / "m")[1])}
    assert not names & {"notes.txt", ".secret.json", "step-1.json", "c.json", ".x.1.tmp"}


def test_a_publication_is_brought_up_to_date(models, tmp_path):
    course = made(tmp_path / "runs", ("tokenizer", "base"))
    assert [one.stage for one in publish(course, models).stages] == ["tokenizer", "base"]
    assert {path.name for path in models.iterdir()} == {
        "manifest.json",
        course.folder("tokenizer").name,
        BASE,
    }


def test_a_stopped_publication_leaves_the_earlier_one_whole(models, tmp_path, monkeypatch):
    course = made(tmp_path / "other")
    (course.folder("base") / "metrics.jsonl").write_text("{}\n", encoding="utf-8")
    before = (models / "manifest.json").read_bytes()

    def stops(path: Path, content: bytes) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("minillm.publish.write_atomic", stops)
    with pytest.raises(KeyboardInterrupt):
        publish(course, models)
    assert (models / "manifest.json").read_bytes() == before
    assert reader(tmp_path, models).bring("base").model


def test_a_first_publication_that_was_stopped_goes_on(published, tmp_path, monkeypatch):
    course, folder, done = made(tmp_path / "other"), tmp_path / "models", []

    def stops(path: Path, content: bytes) -> None:
        if len(done) == 2:
            full()
        done.append(write_atomic(path, content))

    with monkeypatch.context() as patch:
        patch.setattr("minillm.publish.write_atomic", stops)
        with pytest.raises(OSError, match="No space left"):
            publish(course, folder)
    with pytest.raises(UnavailableError, match=r"has no tokenizer with the key .* \(it has none\)"):
        reader(tmp_path, folder).bring("tokenizer")
    publish(course, folder)
    assert all_bytes(folder) == all_bytes(published)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda folder, course: shutil.rmtree(course.root), "no stage is trained with preset smoke in"),
        (
            lambda folder, course: (folder / "a.txt").write_text("x", encoding="utf-8"),
            "holds other files; give a folder that is new",
        ),
        (
            lambda folder, course: (folder / "manifest.json").write_text("[]", encoding="utf-8"),
            "is refused: it is no JSON object",
        ),
        (
            lambda folder, course: (course.folder("base") / WEIGHTS).write_bytes(b"x"),
            "is damaged or was changed",
        ),
    ],
)
def test_what_cannot_be_published_is_told(tmp_path, spoil, told):
    course, folder = made(tmp_path / "runs", ("tokenizer", "base")), tmp_path / "models"
    folder.mkdir()
    spoil(folder, course)
    with pytest.raises(ValueError, match=told):
        publish(course, folder)


def test_presets_do_not_share_a_folder(models, tmp_path):
    course = made(tmp_path / "runs", ("tokenizer",))
    course.preset = replace(course.preset, name="mine")
    shutil.copytree(course.root / "smoke", course.root / "mine")
    with pytest.raises(ValueError, match="holds the models of preset smoke; give mine a folder of its own"):
        publish(course, models)


# What is fetched


@pytest.mark.parametrize("kind", ["folder", "file", "http", "hf"])
def test_a_fetched_stage_is_the_trained_one(site, published, tmp_path, monkeypatch, kind):
    monkeypatch.setenv("HF_ENDPOINT", site.address)
    site.folder = published
    address = {"folder": str(published), "file": published.as_uri(), "http": site.address}.get(kind)
    if kind == "hf":
        address = "hf://owner/name"
        site.folder = tmp_path / "hub"
        shutil.copytree(published, site.folder / "owner" / "name" / "resolve" / "main")
    course = reader(tmp_path, address, fetch="all")
    artifact, original = course.stage("sft"), Artifact(published / course.folder("sft").name)
    ids = torch.tensor([[1, 5, 9, 200]])
    with torch.no_grad():
        assert torch.equal(artifact.language_model(ids), original.language_model(ids))
    sizes = sum(path.stat().st_size for path in original.folder.rglob("*") if path.is_file())
    assert artifact.fetched == {"from": address, "bytes": sizes}
    assert "fetched" not in artifact.figures and artifact.figures == original.figures
    assert not course.is_trained("base"), "what is before a fetched stage is not needed"
    assert not list(course.root.rglob("*.part")) and not (course.root / "smoke" / ".fetching").exists()


class Trains(Exception):
    """A stage would be trained."""


@pytest.fixture
def trains(monkeypatch):
    """Training is told instead of done."""

    def told(self: Course, job: Any, entry: Any) -> None:
        raise Trains(entry.name)

    monkeypatch.setattr(Course, "_train", told)
    monkeypatch.setattr(Course, "check", lambda self, *names: None)
    monkeypatch.setattr(Course, "check_fits", lambda self, *names: None)


def trained_first(course: Course, *stages: str) -> str:
    """The first stage that is trained when these are asked for; "" for none."""
    try:
        for name in stages:
            course.stage(name)
    except Trains as stage:
        return str(stage)
    return ""


@pytest.mark.parametrize(
    ("settings", "asked", "expected"),
    [
        ({}, ("sft",), "tokenizer"),
        ({"fetch": "none"}, ("sft",), "tokenizer"),
        ({"fetch": "before"}, ("sft",), "sft"),
        ({"fetch": "before"}, ("base", "sft"), "base"),
        ({"fetch": "before", "trains": "sft"}, ("base", "sft"), "sft"),
        ({"fetch": "before", "trains": ()}, ("base", "sft"), ""),
        ({"fetch": "all"}, ("base", "sft"), ""),
        ({"fetch": "all", "trains": "sft"}, ("base", "sft"), ""),
        ({"fetch": "all"}, ("reward",), "preferences"),
        ({"fetch": "all", "seed": 1}, ("base",), "base"),
        ({"fetch": "all", "base": {"fit": {"steps": 7}}}, ("base",), "base"),
    ],
)
def test_what_is_fetched_and_what_is_trained(models, tmp_path, trains, settings, asked, expected):
    course = reader(tmp_path, models, **settings)
    assert trained_first(course, *asked) == expected


def test_of_several_stages_those_before_the_last_are_fetched(models, tmp_path, trains):
    course = reader(tmp_path, models, fetch="before")
    course.fetch("tokenizer", "base", "sft")
    assert [course.is_trained(name) for name in ("tokenizer", "base", "sft")] == [True, True, False]


def test_the_environment_decides_where_nothing_is_given(models, tmp_path, trains, monkeypatch):
    monkeypatch.setenv("MINILLM_FETCH", "before")
    monkeypatch.setenv("MINILLM_MODELS", str(models))
    course = Course("smoke", tmp_path / "runs", progress=False)
    assert trained_first(course, "sft") == "sft"
    monkeypatch.setenv("MINILLM_FETCH", "sometimes")
    with pytest.raises(ValueError, match="MINILLM_FETCH is 'sometimes'; choose one of none, before, all"):
        Course("smoke", tmp_path)
    with pytest.raises(ValueError, match="fetch is 'never'"):
        Course("smoke", tmp_path, fetch="never")
    with pytest.raises(ValueError, match="stage 'poo' is unknown"):
        Course("smoke", tmp_path, fetch="all", trains="poo")


def test_a_fetched_stage_is_told_in_one_line(models, tmp_path, capsys):
    course = reader(tmp_path, models, fetch="all")
    course.progress = True
    course.stage("base")
    (line,) = [one for one in capsys.readouterr().err.splitlines() if "fetched from" in one]
    assert f"base: fetched from {models} (" in line and line.endswith("MINILLM_FETCH=none trains it")


def test_what_is_there_is_not_asked_for(site, tmp_path):
    course = reader(tmp_path, site.address, fetch="all")
    course.stage("base")
    n = len(site.asked)
    reader(tmp_path, site.address, fetch="all").stage("base")
    assert len(site.asked) == n


@pytest.mark.parametrize(
    ("there", "offline", "expected"),
    [("colab", False, "colab"), ("cpu", False, "cpu"), ("cpu", True, "colab")],
)
def test_auto_takes_the_preset_that_is_published(tmp_path, monkeypatch, capsys, there, offline, expected):
    monkeypatch.setattr(course_module, "choose_preset", lambda: "colab")
    course = Course(there, tmp_path)
    stages = [
        {"stage": name, "key": (key := course.key(name)), "files": [listed(f"{name}-{key}/{SUMMARY}", b"{}")]}
        for name in ("tokenizer", "base")
    ]
    if not offline:
        (tmp_path / "manifest.json").write_text(
            json.dumps({"format": 1, "preset": there, "stages": stages}), encoding="utf-8"
        )
    assert Course(models=tmp_path, root=tmp_path, fetch="before", trains="sft").preset.name == expected
    told = "preset cpu: its earlier stages need no training; MINILLM_PRESET=colab is larger"
    assert (told in capsys.readouterr().err) == (expected == "cpu")
    assert Course(models=tmp_path, root=tmp_path).preset.name == "colab", (
        "nothing is asked where nothing is fetched"
    )


def test_auto_asks_nobody_where_no_preset_is_smaller(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(course_module, "choose_preset", lambda: "cpu")
    course = Course(models=tmp_path / "none", root=tmp_path, fetch="all")
    assert course.preset.name == "cpu" and not caplog.records


# Attacks and faults


def manifest_with(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    """Change the published manifest; the function is given the base model's entry."""

    def spoil(folder: Path) -> None:
        path = folder / "manifest.json"
        value = json.loads(path.read_text(encoding="utf-8"))
        (entry,) = [one for one in value["stages"] if one["stage"] == "base"]
        change(entry)
        path.write_text(json.dumps(value), encoding="utf-8")

    return spoil


def listed(path: str, content: bytes) -> dict[str, Any]:
    return {"path": path, "bytes": len(content), "sha256": sha256_bytes(content)}


def with_file(path: object) -> Callable[[Path], None]:
    """A manifest that names one file more, of which the server has the content."""
    return manifest_with(lambda entry: entry["files"].append(listed("x", b"{}") | {"path": path}))


def with_field(field: str, value: object) -> Callable[[Path], None]:
    """A manifest that says something else of the weights."""

    def change(entry: dict[str, Any]) -> None:
        (file,) = [one for one in entry["files"] if one["path"].endswith(WEIGHTS)]
        file[field] = value

    return manifest_with(change)


def with_content(name: str, content: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    """A file of another content, which the manifest describes truly."""

    def spoil(folder: Path) -> None:
        path = folder / BASE / name
        path.write_bytes(content(path.read_bytes()))

        def change(entry: dict[str, Any]) -> None:
            entry["files"] = [
                listed(one["path"], path.read_bytes()) if one["path"].endswith(f"/{name}") else one
                for one in entry["files"]
            ]

        manifest_with(change)(folder)

    return spoil


def with_summary(**values: Any) -> Callable[[Path], None]:
    return with_content(SUMMARY, lambda content: json.dumps(json.loads(content) | values).encode())


def bomb(content: bytes = b"") -> bytes:
    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (ACTED,)

    return pickle.dumps(Bomb())


def pickled_weights(folder: Path) -> None:
    """Weights that are a pickle, with the right checksum everywhere."""
    with_content(WEIGHTS, bomb)(folder)
    with_summary(weights_sha256=sha256_bytes(bomb()))(folder)


def flipped(folder: Path) -> None:
    content = bytearray((folder / BASE / WEIGHTS).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / BASE / WEIGHTS).write_bytes(content)


def rewritten(name: str, change: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    """A file that is another one than the manifest says."""

    def spoil(folder: Path) -> None:
        (folder / name).write_bytes(change((folder / name).read_bytes()))

    return spoil


W = f"{BASE}/{WEIGHTS}"
ATTACKS: dict[str, tuple[Callable[[Path], object], str]] = {  # what is published wrongly -> how it is refused
    "no manifest": (lambda f: (f / "manifest.json").unlink(), "is not there"),
    "manifest: a page instead": (rewritten("manifest.json", lambda c: b"<html>Log in</html>"), "is not JSON"),
    "manifest: a binary": (rewritten("manifest.json", bomb), "is not JSON"),
    "manifest: very deep": (rewritten("manifest.json", lambda c: b"[" * 100_000), "is not JSON"),
    "manifest: cut off": (rewritten("manifest.json", lambda c: c[:-9]), "is not JSON"),
    "manifest: a list": (rewritten("manifest.json", lambda c: b"[]"), "no JSON object"),
    "manifest: too large": (rewritten("manifest.json", lambda c: c + b" " * 2_000_000), "at most"),
    "manifest: format 2": (
        rewritten("manifest.json", lambda c: c.replace(b'"format": 1', b'"format": 2')),
        "format 2, this minillm reads 1; update",
    ),
    "manifest: format true": (
        rewritten("manifest.json", lambda c: c.replace(b'"format": 1', b'"format": true')),
        "format True",
    ),
    "manifest: a preset that is a path": (
        rewritten("manifest.json", lambda c: c.replace(b'"smoke"', b'"../smoke"')),
        "preset is '../smoke'",
    ),
    "key: another": (
        lambda f: rewritten("manifest.json", lambda c: c.replace(KEY.encode(), b"0123456789ab"))(f),
        "has no base with the key .* train it: minillm run --stages base",
    ),
    "key: a path": (manifest_with(lambda e: e.update(key="../../../x")), "key is '../../../x'"),
    "stage: a path": (manifest_with(lambda e: e.update(stage="../base")), "stage is '../base'"),
    "stage: no object": (manifest_with(lambda e: e.update(figures=3)), "figures is 3"),
    "stage: twice": (
        manifest_with(lambda e: e.update(stage="sft", key=Course("smoke", "x").key("sft"))),
        "refused",
    ),
    "path: out of the folder": (with_file(f"{BASE}/../../escaped.json"), "the path .* is none"),
    "path: another stage's": (with_file("sft-0123456789ab/config.json"), "the path .* is none"),
    "path: absolute": (with_file("/etc/passwd.json"), "the path .* is none"),
    "path: of Windows": (with_file(f"{BASE}/..\\..\\escaped.json"), "the path .* is none"),
    "path: a drive": (with_file("C:/escaped.json"), "the path .* is none"),
    "path: an address": (with_file("https://example.org/x.json"), "the path .* is none"),
    "path: percent": (with_file(f"{BASE}/%2e%2e/x.json"), "the path .* is none"),
    "path: too deep": (with_file(f"{BASE}/a/b/c.json"), "the path .* is none"),
    "path: hidden": (with_file(f"{BASE}/.profile.json"), "the path .* is none"),
    "path: a program": (with_file(f"{BASE}/sitecustomize.py"), "the path .* is none"),
    "path: a pickle": (with_file(f"{BASE}/model.pkl"), "the path .* is none"),
    "path: a device": (with_file(f"{BASE}/nul.json"), "the path .* is none"),
    "path: a stream of Windows": (with_file(f"{BASE}/config.json:x.json"), "the path .* is none"),
    "path: a checkpoint": (with_file(f"{BASE}/checkpoints/step-1.json"), "the path .* is none"),
    "path: a number": (with_file(7), "the path 7 is none"),
    "files: one in two spellings": (with_file(f"{BASE}/CONFIG.json"), "has a file twice"),
    "files: no summary": (
        manifest_with(lambda e: e.update(files=[o for o in e["files"] if SUMMARY not in o["path"]])),
        "has no summary.json",
    ),
    "files: too many": (
        manifest_with(lambda e: e.update(files=[listed(f"{BASE}/f{n}.json", b"") for n in range(101)])),
        "no list of at most 100",
    ),
    "files: no list": (manifest_with(lambda e: e.update(files={})), "no list"),
    "size: negative": (with_field("bytes", -1), "allowed are 0 to"),
    "size: too large": (with_field("bytes", 10**13), "allowed are 0 to"),
    "size: nothing": (with_field("bytes", 0), "the checksum is another"),
    "size: a text": (with_field("bytes", "12"), "allowed are 0 to"),
    "size: true": (with_field("bytes", True), "allowed are 0 to"),
    "checksum: capital letters": (with_field("sha256", "A" * 64), r"\[0-9a-f\]"),
    "checksum: short": (with_field("sha256", "abc"), r"\[0-9a-f\]"),
    "checksum: another": (with_field("sha256", "0" * 64), "the checksum is another"),
    "file: missing": (lambda f: (f / W).unlink(), "is not there"),
    "file: truncated": (rewritten(W, lambda c: c[:-1]), "bytes, not"),
    "file: larger": (rewritten(W, lambda c: c + b"x"), "bytes, not"),
    "file: a bit flipped": (flipped, "the checksum is another"),
    "file: a folder": (lambda f: ((f / W).unlink(), (f / W).mkdir()), "is not there"),
    "summary: no JSON": (with_content(SUMMARY, lambda c: b"<html>"), "is refused: .*not valid JSON"),
    "summary: a list": (with_content(SUMMARY, lambda c: b"[]"), "is refused: .*format None"),
    "summary: another stage's": (with_summary(stage="sft"), "is of 'sft' with the key"),
    "summary: another key's": (with_summary(key="0123456789ab"), "with the key '0123456789ab'"),
    "summary: other weights": (with_summary(weights_sha256="0" * 64), "name other weights"),
    "summary: no weights": (with_summary(weights_sha256=None), "name other weights"),
    "summary: another tokenizer's": (with_summary(tokenizer_fingerprint="x"), "is not the tokenizer"),
    "weights: a pickle": (pickled_weights, "is refused"),
    "configuration: absurd sizes": (
        with_content("config.json", lambda c: json.dumps(json.loads(c) | {"vocab_size": 10**12}).encode()),
        "is refused",
    ),
    "configuration: another type": (with_content("config.json", lambda c: b'"x"'), "is refused"),
    "tokenizer: another type": (with_content("tokenizer.json", lambda c: b'{"model": 3}'), "is refused"),
}


def unfinished(course: Course) -> bool:
    """Whether nothing of a refused stage is taken for an artifact."""
    return not course.is_trained("base") and not find_artifacts(course.root)


@pytest.mark.parametrize("name", ATTACKS)
def test_what_is_published_wrongly_is_refused(models, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    spoil, told = ATTACKS[name]
    spoil(models)
    course = reader(tmp_path, models, fetch="all")
    before = all_bytes(models)
    with pytest.raises(UnavailableError, match=told) as refusal:
        course.bring("base")
    assert "\n" not in str(refusal.value) and len(str(refusal.value)) < 700
    assert unfinished(course) and all_bytes(models) == before
    assert {path.name for path in tmp_path.iterdir()} <= {"models", "runs"}, "nothing beside it is written"
    assert not [path for path in course.root.rglob("*") if "escaped" in path.name or path.suffix == ".py"]


@pytest.mark.parametrize("name", ["no manifest", "key: another", "file: a bit flipped", "summary: a list"])
def test_what_is_refused_is_trained_and_that_is_told_once(models, tmp_path, trains, caplog, name):
    ATTACKS[name][0](models)
    course = reader(tmp_path, models, fetch="all")
    course.stage("tokenizer") if name != "no manifest" else None
    for _ in range(2):
        assert trained_first(course, "base") == ("tokenizer" if name == "no manifest" else "base")
    told = [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]
    assert len(told) == (name != "key: another"), told
    assert all("trained here" in line for line in told)


# A server's own faults: (what it does with the weights, the refusal; "" where they come nevertheless)


def once(fault: Callable[..., Any]) -> Callable[..., Any]:
    """The first time only."""
    done: list[bool] = []

    def first(handler: Any, content: bytes) -> Any:
        if done:
            return GO_ON
        done.append(True)
        return fault(handler, content)

    return first


def cut(handler: Any, content: bytes) -> None:
    """Half of what is asked for, then nothing."""
    start = int((handler.headers["Range"] or "bytes=0-")[6:-1])
    rest = content[start:]
    where = {"Content_Range": f"bytes {start}-{len(content) - 1}/{len(content)}"} if start else {}
    handler.answer(206 if start else 200, rest[: len(rest) // 2], length=len(rest), **where)


def then(first: Callable[..., Any], later: Callable[..., Any]) -> Callable[..., Any]:
    """One fault, after it another, once each."""
    faults = [once(first), once(later)]

    def fault(handler: Any, content: bytes) -> Any:
        return next((None for one in faults if one(handler, content) is not GO_ON), GO_ON)

    return fault


def trickle(handler: Any, content: bytes) -> None:
    handler.answer(200, b"", length=len(content))
    while not handler.server.over.wait(0.05):
        handler.wfile.write(content[:1])


def endless(handler: Any, content: bytes) -> None:
    handler.send_response(200)
    handler.end_headers()
    while not handler.server.over.is_set():
        handler.wfile.write(b"x" * 10_000)


def chunked(handler: Any, content: bytes) -> None:
    handler.protocol_version = "HTTP/1.1"
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    handler.wfile.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(content), content))
    handler.close_connection = True


def elsewhere(address: str) -> Callable[..., Any]:
    return lambda handler, content: handler.answer(302, Location=address)


def to_here(handler: Any, content: bytes) -> None:
    path = handler.path.replace(WEIGHTS, "moved.safetensors")
    shutil.copy(handler.server.folder / handler.path.lstrip("/"), handler.server.folder / path.lstrip("/"))
    handler.answer(302, Location=path)


FAULTS: dict[str, tuple[Callable[..., Any], str]] = {
    "404": (lambda h, c: h.answer(404), r"the server answers 404 \(Not Found\)"),
    "403": (lambda h, c: h.answer(403), r"the server answers 403 \(Forbidden\)"),
    "500 once": (once(lambda h, c: h.answer(500)), ""),
    "500 always": (lambda h, c: h.answer(500), "the server answers 500"),
    "429, come again in a day": (once(lambda h, c: h.answer(429, Retry_After="86400")), ""),
    "an unknown status": (lambda h, c: h.answer(599), r"the server answers 599 \(unknown\)"),
    "control characters in the status": (
        lambda h, c: h.wfile.write(b"HTTP/1.0 404 \x1b[2Jgone\r\n\r\n"),
        r"404 \(Not Found\)$",
    ),
    "no HTTP": (lambda h, c: h.wfile.write(b"\0\1\2\3" * 9), "the connection failed"),
    "hangs up at once": (lambda h, c: None, "connection"),
    "hangs up once": (once(lambda h, c: None), ""),
    "cut in the middle, once": (once(cut), ""),
    "cut in the middle, always": (cut, "the connection was cut"),
    "cut, then no ranges": (then(cut, lambda h, c: h.answer(200, c)), ""),
    "cut, then 416": (then(cut, lambda h, c: h.answer(416)), ""),
    "cut, then another range": (
        then(cut, lambda h, c: h.answer(206, c[1:], Content_Range="bytes 1-9/10")),
        "",
    ),
    "cut, then a range without place": (then(cut, lambda h, c: h.answer(206, c)), ""),
    "cut, then another version": (then(lambda h, c: cut(h, b"x" * len(c)), lambda h, c: GO_ON), ""),
    "no length": (once(lambda h, c: (h.send_response(200), h.end_headers(), h.wfile.write(c))), ""),
    "in chunks": (chunked, ""),
    "longer than told": (lambda h, c: h.answer(200, c + b"x", length=len(c)), ""),
    "a length that is too large": (lambda h, c: h.answer(200, c, length=len(c) + 1), "bytes, not"),
    "a length that is a word": (
        lambda h, c: (h.send_response(200), h.send_header("Content-Length", "many"), h.end_headers()),
        "the connection was cut",
    ),
    "endless": (endless, "has more than"),
    "too slow": (trickle, "comes too slowly"),
    "silent": (lambda h, c: h.server.over.wait(5), "no answer within"),
    "compressed": (lambda h, c: h.answer(200, c, Content_Encoding="gzip"), "sends files compressed"),
    "a page instead": (lambda h, c: h.answer(200, b"<html>Log in</html>"), "bytes, not"),
    "a redirect on this machine": (to_here, ""),
    "a redirect to a file": (elsewhere("file:///etc/passwd"), "the server answers 302"),
    "a redirect to ftp": (elsewhere("ftp://example.org/x"), "sends on to ftp://, which is not safe"),
    "a redirect to http elsewhere": (
        elsewhere("http://example.org/x"),
        "sends on to http://, which is not safe",
    ),
    "a redirect to http in disguise": (elsewhere("http://127.0.0.1.example.org/x"), "which is not safe"),
    "a redirect in a circle": (lambda h, c: h.answer(302, Location=h.path), "the server answers 302"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults_of_a_server(site, tmp_path, monkeypatch, name):
    if name == "too slow":
        monkeypatch.setattr(downloads, "GRACE", 0.3)
    if name == "silent":  # elsewhere requests are counted, and a busy machine is silent for longer than this
        monkeypatch.setattr(downloads, "SILENCE", 0.4)
    fault, told = FAULTS[name]
    site.faults[WEIGHTS] = fault
    course = reader(tmp_path, site.address, fetch="all")
    start = time.monotonic()
    if told:
        with pytest.raises(UnavailableError, match=told) as refusal:
            course.bring("base")
        assert str(refusal.value).isprintable() and unfinished(course)
    else:
        course.bring("base")
        assert (course.folder("base") / WEIGHTS).read_bytes() == (site.folder / W).read_bytes()
    assert time.monotonic() - start < 20


def test_what_has_come_is_not_asked_for_again(site, tmp_path):
    site.faults[WEIGHTS] = once(cut)
    reader(tmp_path, site.address).bring("base")
    size = (site.folder / W).stat().st_size
    asked = [span for path, span in site.asked if path.endswith(WEIGHTS)]
    assert asked == [None, f"bytes={size // 2}-"]


def test_leftovers_are_deleted_while_nobody_else_writes_there(models, tmp_path, monkeypatch):
    """Else the file of a program that writes at this moment would be one of them."""
    course, locks = reader(tmp_path, models), []

    def watch(folder):
        with locked(folder, wait=False) as alone:
            locks.append(not alone)

    monkeypatch.setattr(course_module, "remove_leftovers", watch)
    course.bring("base")
    assert locks == [True]


def test_the_last_piece_may_have_been_another_version(site, tmp_path):
    course = reader(tmp_path, site.address)
    part = course.root / "smoke" / ".fetching" / BASE / f"{WEIGHTS}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"of an earlier version")
    course.bring("base")
    assert [span for path, span in site.asked if path.endswith(WEIGHTS)] == ["bytes=21-", None]
    assert course.stage("base").model


def test_nobody_answers(tmp_path, trains, caplog):
    with serving(tmp_path) as gone:
        address = gone.address
    course = reader(tmp_path, address, fetch="all")
    assert trained_first(course, "sft") == "tokenizer"
    (line,) = [one.getMessage() for one in caplog.records]
    assert "no model is fetched" in line and "what is missing is trained here" in line


def test_no_redirect_from_https_to_http():
    rule = downloads._Redirects()

    def sent_on(before: str, after: str) -> Request | None:
        return rule.redirect_request(Request(before), io.BytesIO(), 302, "", Message(), after)

    assert sent_on("https://a.org/x", "https://b.org/y").full_url == "https://b.org/y"
    for after in ("http://a.org/x", "http://127.0.0.1/x", "ftp://a.org/x", "file:///x"):
        with pytest.raises(UnavailableError, match="which is not safe"):
            sent_on("https://a.org/x", after)


def test_proxies_of_the_environment_are_used_but_not_for_this_machine(monkeypatch):
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("http_proxy", "http://proxy.example:3128")

    def proxies(url: str) -> set[str]:
        found = [
            one for one in downloads._opener(url).handlers if isinstance(one, downloads.web.ProxyHandler)
        ]
        return set(found[0].proxies) if found else set()

    assert "https" in proxies("https://a.org") and proxies("http://127.0.0.1:1") == set()


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("http://example.org/models", "http is not safe but on this machine; use https"),
        ("http://127.0.0.1.example.org", "http is not safe"),
        ("ftp://example.org/models", "use https://"),
        ("javascript://x", "use https://"),
        ("https://", "use https://"),
        ("https://[::1", "this is no address"),
        ("https://a.org:port/x", "this is no address"),
        ("https://me:secret@example.org/models", "without user, password"),
        ("https://example.org/models?x=1", "without user, password"),
        ("file://server/share", "a file of another machine"),
        ("hf://owner", "hf://owner/name"),
        ("hf://owner/name/../../x", "hf://owner/name"),
        ("~nobody-of-this-name/models", "who is not here"),
    ],
)
def test_addresses_that_are_refused(tmp_path, address, told):
    with pytest.raises(ValueError, match=told) as refusal:
        reader(tmp_path, address, fetch="all").stage("base")
    assert "secret" not in str(refusal.value)


def test_addresses(tmp_path, monkeypatch):
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    assert find_place("https://a.org/模型/manifest.json").url == "https://a.org/%E6%A8%A1%E5%9E%8B"
    assert find_place("hf://o/n@v1/cpu").url == "https://huggingface.co/o/n/resolve/v1/cpu"
    assert find_place("http://localhost:8000/").url == "http://localhost:8000"
    assert find_place((tmp_path / "my models").as_uri()).folder == tmp_path / "my models"
    assert find_place(tmp_path).folder == tmp_path
    assert fetch.Published().address == fetch.MODELS


# This machine's own faults


def full(*arguments: Any, **more: Any) -> Any:
    raise OSError(errno.ENOSPC, "No space left on device")


def read_only(*arguments: Any, **more: Any) -> Any:
    raise OSError(errno.EROFS, "Read-only file system")


def written(fault: Callable[..., Any]) -> Callable[..., Any]:
    """`open` with this fault where it writes."""
    return lambda path, mode: open(path, "rb") if mode == "rb" else fault()


@pytest.mark.parametrize(
    ("place", "fault", "told"),
    [
        ("minillm.downloads.open", written(full), "no space left on the disk; free some space and run again"),
        ("minillm.downloads.os.fsync", full, "no space left on the disk; free some space and run again"),
        ("minillm.fetch.write_json", full, "No space left"),
        ("minillm.downloads.open", written(read_only), "the folder cannot be written; choose another one"),
        ("minillm.fetch.replace", read_only, "the folder cannot be written; choose another one"),
    ],
)
def test_a_disk_that_takes_nothing(models, tmp_path, monkeypatch, place, fault, told):
    course = reader(tmp_path, models, fetch="all")
    with monkeypatch.context() as patch:
        patch.setattr(place, fault, raising=False)
        with pytest.raises(OSError, match=told):
            course.stage("base")
        assert unfinished(course)
    assert course.stage("base").model, "and afterwards it goes on"


def test_a_disk_without_room_is_told_before_the_first_byte(site, tmp_path, monkeypatch):
    monkeypatch.setattr(fetch.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(100, 90, 10))
    with pytest.raises(OSError, match=r"base takes .* kB, 0\.0 kB are free; free some space and run again"):
        reader(tmp_path, site.address).bring("base")
    assert [path for path, _ in site.asked] == ["/manifest.json"]


def test_a_stopped_fetch_is_no_artifact_and_goes_on(site, tmp_path, monkeypatch):
    course = reader(tmp_path, site.address)
    done: list[int] = []

    def stops(*arguments: Any) -> None:
        done.append(1)
        if len(done) == 4:
            raise KeyboardInterrupt
        real(*arguments)

    real = downloads.download
    with monkeypatch.context() as patch:
        patch.setattr(fetch, "download", stops)
        with pytest.raises(KeyboardInterrupt, match="what has come of base is kept: run again to go on"):
            course.bring("base")
    assert unfinished(course)
    n = len(site.asked)
    assert course.bring("base").model
    assert len(site.asked) - n == 5 - 3, "three of five files were there"


def test_a_fetch_that_goes_on_takes_room_for_what_is_missing(models, tmp_path, monkeypatch):
    course = reader(tmp_path, models)
    last = course.published.get("base", KEY).files[-1]

    def stops(*arguments: Any) -> None:
        if arguments[1].endswith(last.name):
            raise KeyboardInterrupt
        real(*arguments)

    real, free = downloads.download, last.bytes - 1
    with monkeypatch.context() as patch:
        patch.setattr(fetch, "download", stops)
        with pytest.raises(KeyboardInterrupt):
            course.bring("base")
    monkeypatch.setattr(fetch.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(100, 90, free))
    with pytest.raises(OSError, match=f"what is missing of base takes {fetch.size_told(last.bytes)}, "):
        course.bring("base")
    free = last.bytes
    assert course.bring("base").model


def test_a_fetch_that_is_stopped_while_it_is_checked_keeps_what_has_come(site, tmp_path, monkeypatch):
    def stops(*arguments: Any) -> None:
        raise KeyboardInterrupt

    course = reader(tmp_path, site.address)
    with monkeypatch.context() as patch:
        patch.setattr(fetch, "_check_whole", stops)
        with pytest.raises(KeyboardInterrupt, match="what has come of base is kept: run again to go on"):
            course.bring("base")
    n = len(site.asked)
    assert unfinished(course) and course.bring("base").model and len(site.asked) == n


def test_an_artifact_that_was_moved_in_part_is_none(models, tmp_path, monkeypatch):
    course, moved = reader(tmp_path, models), []

    def killed(source: Path, target: Path) -> None:
        if len(moved) == 2:
            raise KeyboardInterrupt
        moved.append(os.replace(source, target))

    with monkeypatch.context() as patch:
        patch.setattr(fetch, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            course.bring("base")
    assert unfinished(course) and len(list(course.folder("base").iterdir())) == 2
    assert course.bring("base").model


def test_two_at_once_fetch_once(site, tmp_path):
    site.faults[WEIGHTS] = lambda handler, content: (time.sleep(0.3), GO_ON)[1]
    found: list[Artifact] = []

    def run() -> None:
        found.append(reader(tmp_path, site.address, fetch="all").stage("base"))

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({str(artifact.folder) for artifact in found}) == 1 and found[0].model
    assert len([path for path, _ in site.asked if path.endswith(WEIGHTS)]) == 1


def test_what_a_stopped_training_left_is_replaced(models, tmp_path):
    course = reader(tmp_path, models, fetch="all")
    folder = course.folder("base")
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "checkpoints" / "step-00000001.json").write_text("{}", encoding="utf-8")
    (folder / "config.json").write_text("{}", encoding="utf-8")
    assert course.stage("base").model
    assert not list(folder.rglob("step-*"))
