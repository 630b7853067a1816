"""The summary of an artifact: its figures, those that are measured again, and what is refused as damaged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from minillm.artifact import Artifact, examined_again, write_artifact
from minillm.text.tokenizer import Tokenizer

REMEDY = "restore it, or delete the folder and train again"  # a stage whose summary is there is not trained


@pytest.fixture
def artifact(tmp_path: Path) -> Artifact:
    Tokenizer([]).save(tmp_path)
    return write_artifact(
        tmp_path,
        "toy",
        "0" * 12,
        {"data": "Nothing"},
        {"steps": 3},
        examined={"skill": 0.5, "luck": 1},
        examination="a",
        labels={"skill": "what it can do"},
    )


def test_figures_are_those_of_training_and_examination(artifact: Artifact) -> None:
    assert artifact.figures == {"steps": 3, "skill": 0.5, "luck": 1} and artifact.examination == "a"
    assert "| what it can do | 0.5 |" in (artifact.folder / "README.md").read_text(encoding="utf-8")


def test_another_examination_replaces_its_own_figures_and_labels_only(artifact: Artifact) -> None:
    again = examined_again(artifact, {"wit": 2}, "b", {"wit": "how funny it is"})
    assert again.figures == {"steps": 3, "wit": 2} and again.examination == "b"
    card = (artifact.folder / "README.md").read_text(encoding="utf-8")
    assert "| how funny it is | 2 |" in card and "what it can do" not in card


def test_a_summary_without_examination_can_be_examined(artifact: Artifact) -> None:
    path = artifact.folder / "summary.json"
    summary = json.loads(path.read_text(encoding="utf-8"))
    del summary["examination"], summary["labels"]
    path.write_text(json.dumps(summary), encoding="utf-8")
    earlier = Artifact(artifact.folder)
    assert earlier.examination is None
    assert examined_again(earlier, {"skill": 0.75}, "b", {}).figures == {"steps": 3, "skill": 0.75, "luck": 1}


@pytest.mark.parametrize("name", ["labels", "settings"])
@pytest.mark.parametrize("value", [None, "a", [1]])
def test_a_damaged_part_is_named(artifact: Artifact, name: str, value: object) -> None:
    path = artifact.folder / "summary.json"
    path.write_text(
        json.dumps(json.loads(path.read_text(encoding="utf-8")) | {name: value}), encoding="utf-8"
    )
    with pytest.raises(ValueError, match=f"is damaged: it has no proper {name}; {REMEDY}"):
        _ = Artifact(artifact.folder).summary


def test_a_damaged_line_of_the_metrics_is_told(artifact: Artifact) -> None:
    path = artifact.folder / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"step"', encoding="utf-8")
    with pytest.raises(ValueError, match=rf"is damaged \(.*\); {REMEDY}"):
        _ = artifact.metrics
