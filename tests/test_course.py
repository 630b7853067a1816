"""The graph of stages: trained once, found again, rebuilt exactly where a setting changed, and guarded."""

from __future__ import annotations

import json
import shutil
import threading
from dataclasses import asdict, replace

import pytest
import torch
from filelock import FileLock

from minillm import course as course_module
from minillm.artifact import Artifact, find_artifacts
from minillm.course import STAGES, Course, default_root
from minillm.data.batches import PackedDocuments
from minillm.data.corpora import MixedCorpus
from minillm.model.gpt import GPT, GPTConfig
from minillm.presets import PRESETS, choose_preset
from minillm.text.tokenizer import Tokenizer
from minillm.train.runtime import choose_runtime

TINY = {
    "model": {"vocab_size": 300, "context_length": 32, "n_layer": 1, "d_model": 16, "d_ff": 32},
    "fit": {"steps": 4, "validate_every": 2, "checkpoint_every": 1},
    "rows": 2,
}


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "fable.txt"
    path.write_text(
        "".join(f"{n} hens sat on {n % 7} eggs, and the fox went home.\n" for n in range(150)),
        encoding="utf-8",
    )
    return path


@pytest.fixture(scope="module")
def runtime():
    return choose_runtime(device="cpu", precision="fp32", compile=False)


@pytest.fixture
def course(text, runtime, tmp_path):
    return Course("smoke", tmp_path, runtime=runtime, progress=False, corpus=text, base=TINY)


@pytest.fixture(scope="module")
def trained(text, runtime, tmp_path_factory):
    """A course whose stages are trained; tests must not change it."""
    root = tmp_path_factory.mktemp("runs")
    course = Course("smoke", root, runtime=runtime, progress=False, corpus=text, base=TINY)
    course.stage("base")
    return course


def count_training(monkeypatch) -> list[str]:
    """The names of the stages that are trained from now on."""
    names = []
    for name, stage in STAGES.items():

        def train(job, stage=stage):
            names.append(stage.name)
            return stage.train(job)

        monkeypatch.setitem(STAGES, name, replace(stage, train=train))
    return names


def test_a_stage_trains_what_it_needs_once(course, monkeypatch):
    names = count_training(monkeypatch)
    artifact = course.stage("base")
    assert names == ["tokenizer", "base"]
    assert course.stage("base").folder == course.stage("base").folder == artifact.folder
    course.stage("tokenizer")
    assert names == ["tokenizer", "base"]
    assert artifact.folder.parent == course.root / "smoke"
    assert artifact.folder.name == f"base-{course.key('base')}"


def test_an_artifact_holds_the_promised_files(trained):
    artifact = trained.stage("base")
    names = {path.name for path in artifact.folder.iterdir()}
    assert names == {
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "metrics.jsonl",
        "summary.json",
        "README.md",
    }
    assert artifact.model.n_parameters == artifact.figures["parameters"]
    assert not artifact.model.training
    assert artifact.tokenizer == trained.stage("tokenizer").tokenizer
    assert [line["step"] for line in artifact.metrics if "loss" in line] == [1, 2, 3, 4]
    assert {"val_loss", "bits_per_byte", "tokens", "seconds"} <= artifact.figures.keys()
    assert artifact.summary["settings"]["parents"] == {"tokenizer": trained.key("tokenizer")}
    assert trained.stage("tokenizer").metrics == []
    assert [a.stage for a in find_artifacts(trained.root)] == ["base", "tokenizer"]


def test_the_model_card_tells_data_figures_settings_and_limits(trained):
    card = (trained.stage("base").folder / "README.md").read_text(encoding="utf-8")
    for heading in ("# minillm base", "## Data", "## Figures", "## Settings", "## Limits"):
        assert f"{heading}\n" in card
    assert "fable.txt" in card and "validation loss (nats/token)" in card and '"steps": 4' in card


def test_keys_follow_the_settings(trained):
    def changed(**overrides):
        base = {**TINY, **overrides.pop("base", {})}
        course = Course("smoke", trained.root, **{"corpus": trained.preset.corpus, **overrides}, base=base)
        return [course.key(name) == trained.key(name) for name in ("tokenizer", "base")]

    assert changed() == [True, True]
    assert changed(seed=1) == [True, False]
    assert changed(base={"rows": 3}) == [True, False]
    assert changed(base={"fit": {"steps": 5}}) == [True, False]
    assert changed(base={"model": {**TINY["model"], "vocab_size": 301}}) == [False, False]
    assert changed(corpus="world") == [False, False]


def test_a_stages_version_is_part_of_its_key(trained, monkeypatch):
    before = trained.key("base")
    monkeypatch.setitem(STAGES, "tokenizer", replace(STAGES["tokenizer"], version=99))
    assert trained.key("base") != before


def test_an_unfinished_artifact_goes_on_from_its_checkpoint(course, trained, monkeypatch):
    real = PackedDocuments.batch
    asked = []

    def stops_at_two(self, step):
        if step == 2:
            raise KeyboardInterrupt
        return real(self, step)

    def notes(self, step):
        asked.append(step)
        return real(self, step)

    monkeypatch.setattr(PackedDocuments, "batch", stops_at_two)
    with pytest.raises(KeyboardInterrupt):
        course.stage("base")
    assert not course.is_trained("base") and (course.folder("base") / "checkpoints").is_dir()
    monkeypatch.setattr(PackedDocuments, "batch", notes)
    artifact = course.stage("base")
    assert min(asked) == 2 and not (artifact.folder / "checkpoints").exists()
    assert artifact.summary["weights_sha256"] == trained.stage("base").summary["weights_sha256"]


def test_what_a_killed_program_left_in_a_whole_artifact_is_deleted(course, trained):
    """Killed between writing the summary and deleting the checkpoints, or in the middle of a file."""
    folder = trained.stage("base").folder
    before = sorted(folder.rglob("*"))
    for name in (
        "checkpoints/step-00000007.safetensors",
        ".config.json.x1y2.tmp",
        "full/checkpoints/step-00000001.json",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("left", encoding="utf-8")
    with FileLock(folder.with_name(folder.name + ".lock")):  # another program is at it
        assert trained.stage("base").folder == folder and (folder / ".config.json.x1y2.tmp").exists()
    (folder / "checkpoints" / "notes.txt").write_text("mine", encoding="utf-8")
    artifact = trained.stage("base")
    assert [path.name for path in (folder / "checkpoints").iterdir()] == ["notes.txt"]
    shutil.rmtree(folder / "checkpoints")
    (folder / "full").rmdir()
    assert sorted(folder.rglob("*")) == before and artifact.model.n_parameters


def test_two_programs_train_an_artifact_once(course, monkeypatch):
    course.stage("tokenizer")
    names = count_training(monkeypatch)
    folder = course.folder("base")
    folder.mkdir(parents=True)
    other = FileLock(f"{folder}.lock")
    waiting = threading.Event()
    monkeypatch.setattr("minillm.course._log.warning", lambda text, folder: waiting.set())
    other.acquire()
    thread = threading.Thread(target=course.stage, args=("base",))
    thread.start()
    assert waiting.wait(60)  # the message has been given
    assert names == [] and thread.is_alive()
    other.release()
    thread.join(60)
    assert names == ["base"] and course.is_trained("base")


def copied(artifact, tmp_path):
    folder = tmp_path / "copy"
    folder.mkdir()
    for path in artifact.folder.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return Artifact(folder)


def test_a_foreign_tokenizer_is_refused(trained, tmp_path):
    artifact = copied(trained.stage("base"), tmp_path)
    Tokenizer.from_merges([(b"a", b"b")]).save(artifact.folder)
    with pytest.raises(
        ValueError, match="is not the tokenizer that this artifact was trained with; restore it"
    ):
        _ = artifact.model


def test_damaged_weights_are_refused(trained, tmp_path):
    artifact = copied(trained.stage("base"), tmp_path)
    weights = artifact.folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-7])
    with pytest.raises(ValueError, match="damaged or was changed"):
        _ = artifact.model
    weights.unlink()
    with pytest.raises(ValueError, match="is missing; restore it"):
        _ = Artifact(artifact.folder).model


@pytest.mark.parametrize("version", [2, 0, "1", None])
def test_an_artifact_of_another_format_is_refused(trained, tmp_path, version):
    artifact = copied(trained.stage("base"), tmp_path)
    summary = json.loads((artifact.folder / "summary.json").read_text(encoding="utf-8"))
    (artifact.folder / "summary.json").write_text(json.dumps(summary | {"format": version}), encoding="utf-8")
    with pytest.raises(ValueError, match="reads up to 1; update minillm, or delete the folder and"):
        _ = artifact.model


@pytest.mark.parametrize("examination", ["missing", None, "x", {}])
def test_an_artifact_without_marks_of_its_examination_is_examined_again(trained, tmp_path, examination):
    """As earlier versions wrote them: a folder loads, and the course brings it up to date without training."""
    shutil.copytree(trained.root, tmp_path / "runs")
    course = Course(trained.preset, tmp_path / "runs", runtime=trained.runtime, progress=False)
    path = course.folder("base") / "summary.json"
    whole = json.loads(path.read_text(encoding="utf-8"))
    earlier = {name: value for name, value in whole.items() if name not in ("examination", "labels")}
    path.write_text(
        json.dumps(earlier | ({} if examination == "missing" else {"examination": examination})),
        encoding="utf-8",
    )
    assert Artifact(path.parent).examination is None and Artifact(path.parent).model
    course.stage("base")
    assert json.loads(path.read_text(encoding="utf-8")) == whole
    assert "bits per byte, held out" in (path.parent / "README.md").read_text(encoding="utf-8")


def test_what_cannot_be_written_keeps_its_earlier_figures(trained, tmp_path, monkeypatch, caplog):
    """As runs that are shared for reading: found and used, also after the examination has changed."""
    shutil.copytree(trained.root, tmp_path / "runs")
    course = Course(trained.preset, tmp_path / "runs", runtime=trained.runtime, progress=False, test_tasks=3)
    path = course.folder("base") / "summary.json"
    earlier = path.read_text(encoding="utf-8")
    monkeypatch.setattr(course_module, "can_write", lambda folder: False)  # root may write anywhere
    assert course.stage("base").language_model and path.read_text(encoding="utf-8") == earlier
    assert f"earlier examination; {path.parent} cannot be written" in caplog.text
    monkeypatch.undo()
    course.stage("base")
    assert path.read_text(encoding="utf-8") != earlier


def test_a_folder_that_is_no_artifact_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no artifact, or its training did not end"):
        _ = Artifact(tmp_path).model


def test_the_tokenizer_stage_has_no_model(trained):
    with pytest.raises(ValueError, match="has no model; choose another stage"):
        _ = trained.stage("tokenizer").model


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"preset": "huge"}, "preset 'huge' is unknown; choose one of smoke, cpu, colab, gpu, auto"),
        ({"sead": 1}, "smoke has no setting 'sead'; it has name, corpus, base, conversations, sft, pref"),
        ({"more": {"sft": 1}}, "smoke has no setting 'more'; it has name, corpus, base"),
        ({"tokenizer": None}, "tokenizer is None; use a TokenizerConfig"),
        ({"preset": None}, "preset is None; use a Preset"),
        ({"preset": 5}, "preset is 5; use a Preset"),
        ({"base": {"fit": {"stepz": 1}}}, "smoke.base.fit has no setting 'stepz'; it has steps"),
        ({"base": {"fit": {"steps": 0}}}, "steps is 0"),
        ({"base": {"model": {"n_head": 3}}}, "n_head=3"),
        ({"seed": -1}, "seed is -1"),
        ({"corpus": "missing.txt"}, "is not there"),
    ],
)
def test_wrong_settings_are_told_in_one_line(arguments, message):
    with pytest.raises((TypeError, ValueError), match=message) as caught:
        Course(**{"preset": "smoke", **arguments})
    assert "\n" not in str(caught.value)


def test_an_unknown_stage_is_refused(course):
    with pytest.raises(ValueError, match="stage 'rocket' is unknown; choose one of tokenizer, base, sft"):
        course.stage("rocket")


def test_overrides_leave_the_presets_alone():
    before = asdict(PRESETS["smoke"].base)
    assert Course("smoke", base={"fit": {"steps": 7}}).preset.base.fit.steps == 7
    assert asdict(PRESETS["smoke"].base) == before


def test_the_root_of_the_runs(monkeypatch, tmp_path):
    monkeypatch.setenv("MINILLM_RUNS", str(tmp_path))
    assert default_root() == tmp_path == Course("smoke").root
    monkeypatch.delenv("MINILLM_RUNS")
    assert default_root().name == "runs"


def test_presets_are_ready_and_of_the_promised_size():
    sizes = {}
    for name, preset in PRESETS.items():
        model = preset.base.model
        width = model.n_head + 2 * model.n_kv_head
        block = model.d_model * model.head_width * (width + model.n_head) + 3 * model.d_model * model.d_ff
        sizes[name] = model.vocab_size * model.d_model + model.n_layer * block
        Course(name).key("base")  # settings are complete and can be written down
    assert 50_000 < sizes["smoke"] < 250_000
    assert 0.8e6 < sizes["cpu"] < 3e6
    assert 13e6 < sizes["colab"] < 17e6
    assert 120e6 < sizes["gpu"] < 130e6


def test_parameter_count_of_the_smoke_preset():
    model = GPT(PRESETS["smoke"].base.model)
    assert isinstance(model.config, GPTConfig) and 50_000 < model.n_parameters < 250_000


def test_the_environment_has_the_last_word(monkeypatch):
    monkeypatch.setenv("MINILLM_PRESET", "smoke")
    assert (
        choose_preset() == "smoke" and Course().preset.name == "smoke" and Course("cpu").preset.name == "cpu"
    )
    monkeypatch.setenv("MINILLM_PRESET", "huge")
    with pytest.raises(
        ValueError, match="MINILLM_PRESET is 'huge'; choose one of smoke, cpu, colab, gpu, or unset"
    ):
        Course()


def test_auto_chooses_by_hardware(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_preset() == "cpu" and Course("auto").preset.name == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for gigabytes, name in ((15, "colab"), (80, "gpu")):
        properties = type("Properties", (), {"total_memory": gigabytes * 2**30})
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _, p=properties: p)
        assert choose_preset() == name
    assert isinstance(PRESETS["gpu"].corpus, MixedCorpus)


def test_a_base_model_of_the_world_is_probed(runtime, tmp_path, monkeypatch):
    seen = []

    def probe(model, tokenizer, train_documents, seed):
        seen.append((model.n_parameters, tokenizer.vocab_size, train_documents, seed))
        return {"copied_elements": 0.5}

    monkeypatch.setattr("minillm.recipes.base.evaluate_base", probe)
    corpus = {"n_documents": 30, "n_validation": 5, "seed": 9}
    course = Course("smoke", tmp_path, runtime=runtime, progress=False, corpus=corpus, base=TINY)
    figures = course.stage("base").figures
    assert figures["copied_elements"] == 0.5 and "entropy_floor" in figures
    assert seen == [(figures["parameters"], 300, 30, 9)]
