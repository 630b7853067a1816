"""Local data for presets that would fetch theirs, and stages without their tests."""

from __future__ import annotations

import json
import statistics
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count, pairwise
from pathlib import Path
from typing import Any

from minillm.data.answers import Answer
from minillm.data.comparisons import Comparison
from minillm.data.corpora import Corpus, open_corpus
from minillm.data.preferences import Preferences, compare_answers
from minillm.data.source import Split
from minillm.data.tasks import PREFERENCE_SEED, PREFERENCE_TEST_SEED, Tasks
from minillm.data.world import TRAIN_SEED, World
from minillm.files import write_atomic
from minillm.model.gpt import GPT
from minillm.recipes import STAGES
from minillm.recipes.stage import Figures, Job, Trained
from minillm.text.tokenizer import Tokenizer

__all__ = ["GivenAnswers", "local_corpus", "log_lines", "step_seconds", "without_tests"]

_LEAST_DOCUMENT = 1500  # characters; shorter pieces are joined
_ANSWERS = 4  # to a prompt


def local_corpus(text: Path | None, folder: Path, characters: int) -> Corpus:
    """The user's text; else, mixed, the micro-world and the sources of Python's own library, cut into pieces.

    These are the one large text that every machine with this program has: of many words, as a vocabulary of
    50,000 tokens needs them.
    """
    if text is not None:
        return open_corpus(text)
    lines, left = [], characters
    for document in _mixed(_library(), _world()):
        lines.append(json.dumps({"text": document}))
        left -= len(document)
        if left < 0:
            break
    return open_corpus(write_atomic(folder / "local.jsonl", "\n".join(lines) + "\n"))


def _mixed(some: Iterator[str], others: Iterator[str]) -> Iterator[str]:
    """About as many characters of each; where some end, others only."""
    ahead = 0  # characters of some
    for document in some:
        yield document
        ahead += len(document)
        while ahead > 0:
            yield (other := next(others))
            ahead -= len(other)
    yield from others


def _library() -> Iterator[str]:
    for path in sorted(Path(sysconfig.get_paths()["stdlib"]).rglob("*.py")):
        if not {"site-packages", "dist-packages", "test", "tests", "idle_test"} & set(path.parts):
            yield from _pieces(path.read_text(encoding="utf-8", errors="ignore").replace("\0", ""))


def _world() -> Iterator[str]:
    """Documents without end."""
    for more in count():
        yield from (document.text for document in World().documents(1_000, TRAIN_SEED + more))


def _pieces(text: str) -> Iterator[str]:
    """A file cut where two empty lines stand, into pieces that are not too short."""
    piece = ""
    for part in text.split("\n\n\n"):
        piece += part + "\n"
        if len(piece) >= _LEAST_DOCUMENT:
            yield piece
            piece = ""
    if piece.strip():
        yield piece


@dataclass(frozen=True)
class GivenAnswers(Preferences):
    """Comparisons of answers that no model has written: the task's own, and those to other tasks; the judge ranks them.

    A model that has learned for a few steps only would write none that ends.
    """

    n_train: int  # prompts
    n_validation: int  # prompts

    @property
    def name(self) -> str:
        return "given answers"

    @property
    def description(self) -> str:
        return f"{self.n_train:,} prompts with given answers"

    def comparisons(
        self, split: Split, model: GPT, tokenizer: Tokenizer
    ) -> tuple[list[Comparison], dict[str, int]]:
        train = split == "train"
        n, seed = (self.n_train, PREFERENCE_SEED) if train else (self.n_validation, PREFERENCE_TEST_SEED)
        tasks = list(Tasks("train" if train else "test").tasks(n, seed))
        texts = [task.answer for task in tasks]
        answers = [
            [Answer(texts[(number + k) % n], (), True) for k in range(_ANSWERS)] for number in range(n)
        ]
        return compare_answers(tasks, answers, noise=0.0)

    def settings(self) -> dict[str, Any]:
        return {"given answers": self.n_train}

    def held_out_settings(self) -> dict[str, Any]:
        return {"n_validation": self.n_validation}


def without_tests() -> None:
    """Leave out the tests of the stages in this process: how long they take depends on how well a model has learned.

    That of `preferences` writes what the reward model is validated with, and stays.
    """
    for name, stage in STAGES.items():
        if name != "preferences":
            STAGES[name] = replace(stage, test=_no_test)


def _no_test(job: Job[Any], trained: Trained) -> Figures:
    return {}


def log_lines(folder: Path) -> list[dict[str, Any]]:
    """The lines of a run's log that are of steps; none where it has not begun."""
    path = folder / "metrics.jsonl"
    if not path.is_file():
        return []
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if "seconds" in line and line["step"] > 0]


def step_seconds(lines: list[dict[str, Any]]) -> float | None:
    """The median time of a step, the first ones left out; None where there are too few."""
    times = [later["seconds"] - line["seconds"] for line, later in pairwise(lines)]
    warm = times[min(3, len(times) // 2) :]
    return statistics.median(warm) if warm else None
