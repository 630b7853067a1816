"""Make the recordings that chapters 04 and 06 show beside one run that they make themselves.

python tools/record_chapters.py [small_runs] [annotators]

Runs the chapter's own cells up to its experiment, and then the experiment with the chapter's own functions: one to four
minutes on one core (and the stages before it, where they are missing). Writes minillm/recordings/NAME.json.
"""

from __future__ import annotations

import ast
import contextlib
import io
import os
import re
import sys
from collections.abc import Callable
from typing import Any

import matplotlib
import nbformat
from recorder import ROOT, rounded, write_recording

from minillm import recordings
from minillm.course import Course

CURVE = ("step", "loss", "val_loss")  # what is kept of a line of a run's history
Names = dict[str, Any]


class NothingYet(Names):
    """No recordings, but a note of those that a chapter asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: dict[str, None] = {}  # in order, each once

    def get(self, label: str, default: Any = None) -> Any:
        self.asked[label] = None
        return default


def run_chapter(name: str, until: str, nothing: NothingYet) -> Names:
    """Run a chapter's cells with nothing recorded until a name is defined; returns all names."""
    path = ROOT / "book" / f"{name}.ipynb"
    names: Names = {"__name__": "__main__"}
    original = recordings.recording
    recordings.recording = lambda name: {"runs": nothing}
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            for number, cell in enumerate(nbformat.read(path, as_version=4).cells):
                if cell.cell_type == "code" and until not in names:
                    exec(compile(cell.source, f"{path.name}, cell {number}", "exec"), names)
    finally:
        recordings.recording = original
    return names


def small_runs() -> Names:
    """Chapter 04: what its `small_run` reports with the seeds that the chapter does not train itself."""
    nothing = NothingYet()
    names = run_chapter("04_epoch_batch", "by_rate", nothing)
    return {label: small_run(names, label) for label in nothing.asked if "'seed': 0" not in label}


def small_run(names: Names, label: str) -> Names:
    """One of them, by its label: the call. The chapter has made it just now and remembers it."""
    called = re.match(r"(\(.*?\)) (\{.*?\}) ", label)
    assert called, label
    run, settings = map(ast.literal_eval, called.groups())
    model, result = names["small_run"](*run, **settings)
    found = {"train_loss": result.train_loss, "val_loss": result.val_loss}
    if settings.get("validate_every"):
        lines = [{key: line[key] for key in CURVE if key in line} for line in result.history]
        found |= {"recited": names["recited"](model), "history": lines}
    return found


def annotators() -> Names:
    """Chapter 06: what reward models come to that have learned from annotators of several tastes."""
    names = run_chapter("06_reward_model", "after_training", NothingYet())
    return {
        f"{taste}, half {half}": names["after_training"](taste, half)
        for taste in names["TASTES"]
        for half in (0, 1)
    }


RECORDINGS: dict[str, Callable[[], Names]] = {"small_runs": small_runs, "annotators": annotators}
MADE_FROM = {"small_runs": (), "annotators": ("reward",)}  # stages whose settings and parents decide it


def main() -> None:
    """Make those that are named, or all."""
    os.environ["MINILLM_PRESET"] = "cpu"
    matplotlib.use("Agg")
    for name in sys.argv[1:] or RECORDINGS:
        print(name, file=sys.stderr)
        made_from = {stage: Course("cpu").key(stage) for stage in MADE_FROM[name]}
        write_recording(name, rounded(RECORDINGS[name]()), made_from=made_from)


if __name__ == "__main__":
    main()
