"""Which trained model the user means, and what is said where there is none."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from minillm.artifact import write_artifact
from minillm.course import Course
from minillm.downloads import UnavailableError
from minillm.lookup import fetch_stages, find_model, stages_with_models
from minillm.model.config import GPTConfig
from minillm.model.gpt import GPT
from minillm.publish import publish
from minillm.text.tokenizer import Tokenizer


def put(course: Course, stage: str) -> Path:
    """A small artifact where the course looks for a stage, as if it had been trained and examined."""
    folder, tokenizer = course.folder(stage), Tokenizer([])
    tokenizer.save(folder)
    GPT(
        GPTConfig(tokenizer.vocab_size, context_length=8, n_layer=1, n_head=1, d_model=4, d_ff=4)
    ).save_pretrained(folder)
    write_artifact(
        folder, stage, course.key(stage), {"data": "none"}, {}, examination=course.examination_key(stage)
    )
    return folder


@pytest.fixture
def course(tmp_path: Path) -> Course:
    return Course("smoke", tmp_path, progress=False)


def test_a_preset_means_its_last_model_that_is_no_specialist(course: Course) -> None:
    base = put(course, "base")
    put(course, "lora")
    assert stages_with_models("smoke", course.root) == ["base", "lora"]
    assert find_model(None, "smoke", course.root).folder == base
    assert find_model(None, None, course.root).folder == base
    assert find_model("lora", "smoke", course.root).stage == "lora"


def test_a_preset_with_a_specialist_alone_is_told_in_one_line(course: Course) -> None:
    put(course, "lora")
    with pytest.raises(ValueError, match="^sft of preset smoke is not trained yet; run: minillm run"):
        find_model(None, "smoke", course.root)


def test_listing_the_models_does_not_examine_them_again(
    course: Course, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(course, "base")
    monkeypatch.setattr(Course, "stage", lambda *_: pytest.fail("a stage was asked for"))
    assert stages_with_models("smoke", course.root) == ["base"]


def test_where_nothing_is_trained_the_first_model_is_missed(tmp_path: Path) -> None:
    assert stages_with_models("smoke", tmp_path) == ["base"] == stages_with_models(None, tmp_path)
    with pytest.raises(ValueError, match="no model has been trained in .* yet; run: minillm run"):
        find_model(None, None, tmp_path)


def test_what_is_to_be_run_trains_where_it_was_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the folder that was named; in the usual one, none is named."""
    monkeypatch.setenv("MINILLM_RUNS", str(tmp_path / "usual"))
    for root, option in ((tmp_path / "my runs", f' --out "{tmp_path / "my runs"}"'), (None, "")):
        for preset, chosen in ((None, ""), ("smoke", " --preset smoke")):
            with pytest.raises(ValueError, match=f"{re.escape(f'run: minillm run{chosen}{option}')}$"):
                find_model(None, preset, root)
        with pytest.raises(ValueError, match=f"{re.escape(f'run: minillm run --preset smoke{option}')}$"):
            publish(Course("smoke", root, progress=False), tmp_path / "published")


def test_what_is_not_published_is_trained_where_it_was_looked_for(
    course: Course, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the same preset and in the folder that was named; in the usual one, none is named."""
    put(course, "base")
    publish(course, tmp_path / "published")
    monkeypatch.setenv("MINILLM_RUNS", str(tmp_path / "usual"))
    for root, option in ((tmp_path / "my runs", f' --out "{tmp_path / "my runs"}"'), (None, "")):
        elsewhere = Course("cpu", root, progress=False, models=tmp_path / "published")
        for names, missed in ((["base"], "base"), ([], "tokenizer")):
            told = f"train it: minillm run --stages {missed} --preset cpu{option}"
            with pytest.raises(UnavailableError, match=f"{re.escape(told)}$"):
                fetch_stages(elsewhere, names)


def test_what_does_not_write_is_refused_and_what_writes_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match="the stage reward has no model that writes; choose one of base, sft"
    ):
        find_model("reward", None, tmp_path)
    with pytest.raises(ValueError, match="'nothing' is neither a stage"):
        find_model("nothing", None, tmp_path)
