"""Preferences: several answers to one prompt, ranked. From the model's own answers and the judge, or from files.

A comparison has a prompt, two or more answers and a rank for each. Answers that say the same, and answers that were cut
off, are left out before they are compared: who ranks two equal texts, or a text whose end is missing, teaches nothing.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch

from minillm import checks
from minillm.data.answers import Answer, answer_prompts
from minillm.data.comparisons import Comparison
from minillm.data.conversations import leaves_room
from minillm.data.hub import HubRows, is_hub_name
from minillm.data.judge import Judge, noisy_ranking
from minillm.data.listed import FileRows
from minillm.data.places import find_files
from minillm.data.readers import ROW_SUFFIXES, Reading, read_comparisons
from minillm.data.rows import PAIR, parse_comparison
from minillm.data.source import Source, Split
from minillm.data.tasks import PREFERENCE_SEED, PREFERENCE_TEST_SEED, Task, Tasks
from minillm.model.gpt import GPT
from minillm.text.chat import render_chat
from minillm.text.tokenizer import Tokenizer

__all__ = [
    "Counts",
    "FilePreferences",
    "HubPreferences",
    "Preferences",
    "SampledPreferences",
    "clean",
    "compare_answers",
    "open_preferences",
]

Counts = dict[str, int]
"""Numbers of `pairs` of answers, and of those left out for being `identical` or `truncated`."""


def compare_answers(
    tasks: Sequence[Task],
    answers: Sequence[Sequence[Answer]],
    noise: float,
    seed: int = 0,
) -> tuple[list[Comparison], dict[str, int]]:
    """Let the judge rank answers to tasks, with an annotator's noise.

    Args:
        tasks: what was asked.
        answers: to each task, two or more.
        noise: see :func:`~minillm.data.judge.noisy_ranking`; 0: none.
        seed: decides the noise.
    Returns:
        the comparisons that have at least two answers left; and the numbers of `pairs` of answers, of those with two
        `identical` texts, and of those that lack one for being `truncated` (counted once, as the latter).
    """
    judge, generator = Judge(), torch.Generator().manual_seed(seed)
    comparisons = []
    counts = {"pairs": 0, "truncated": 0, "identical": 0}
    for task, given in zip(tasks, answers, strict=True):
        verdicts = [judge(task, answer.text, ended=answer.ended) for answer in given]
        gold = [verdict.score for verdict in verdicts]
        order = noisy_ranking(gold, generator, noise)
        kept = clean(given, counts)
        texts, ranks = (
            [answer.text for answer in given],
            [order.index(number) for number in range(len(order))],
        )
        comparison = Comparison(
            tuple(task.prompt), tuple(texts), tuple(ranks), tuple(gold), tuple(verdicts), task.family
        )
        if len(kept) > 1:
            comparisons.append(comparison.only(kept))
    return comparisons, counts


def clean(answers: Sequence[Answer], counts: dict[str, int]) -> list[int]:
    """The numbers of the answers that can be compared: whole ones, and of equal texts the first.

    Args:
        answers: to one prompt.
        counts: is added to, see `compare_answers`.
    """
    whole = [number for number, answer in enumerate(answers) if answer.ended]
    kept = list({answers[number].text: number for number in reversed(whole)}.values())[::-1]
    pairs = math.comb(len(answers), 2)
    counts["pairs"] += pairs
    counts["truncated"] += pairs - math.comb(len(whole), 2)
    texts = Counter(answers[number].text for number in whole)
    counts["identical"] += sum(math.comb(times, 2) for times in texts.values())
    return sorted(kept)


class Preferences(Source):
    """Comparisons for training and, apart from them, for the test."""

    def comparisons(
        self, split: Split, model: GPT, tokenizer: Tokenizer
    ) -> tuple[list[Comparison], dict[str, int]]:
        """The comparisons of one split, and counts of pairs as `compare_answers` gives them.

        Args:
            split: "train" or "validation".
            model: the fine-tuned model, for preferences on its own answers.
            tokenizer: the model's.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class SampledPreferences(Preferences):
    """The model answers each prompt several times, and the judge, playing the annotator, ranks the answers.

    The prompts of the validation split have people, things and templates that those of the training split do not have.

    Reference: Ouyang et al. 2022 (InstructGPT), section 3.2: 4 to 9 answers a prompt, all pairs of them compared.
    """

    n_train: int = 2_000  # prompts
    n_validation: int = 300  # prompts
    answers: int = 4  # a prompt
    temperature: float = 1.0  # of the answers
    noise: float = 0.05  # of the annotator, see `noisy_ranking`
    max_new_tokens: int = 100  # of an answer
    seed: int = 0  # of answers and noise

    def __post_init__(self) -> None:
        for name, least in (("n_train", 1), ("n_validation", 1), ("answers", 2), ("max_new_tokens", 1)):
            checks.whole_number(name, getattr(self, name), at_least=least)
        checks.number("temperature", self.temperature, above=0)  # at 0 all answers to a prompt are the same
        checks.number("noise", self.noise, at_least=0)
        checks.seed("seed", self.seed)

    @property
    def description(self) -> str:
        return (
            f"{self.answers} answers of the fine-tuned model to each of {self.n_train:,} prompts about the course's "
            f"micro-world, ranked by its judge with noise {self.noise:g}"
        )

    def comparisons(
        self, split: Split, model: GPT, tokenizer: Tokenizer
    ) -> tuple[list[Comparison], dict[str, int]]:
        train, stream = split == "train", self._tasks(split)
        tasks = [task for task in stream if leaves_room(task.prompt, tokenizer, model.config.context_length)]
        prompts = [task.prompt for task in tasks for _ in range(self.answers)]
        texts = answer_prompts(
            model, tokenizer, prompts, self.max_new_tokens, self.temperature, seed=2 * self.seed + train
        )
        grouped = [texts[first : first + self.answers] for first in range(0, len(texts), self.answers)]
        return compare_answers(tasks, grouped, self.noise, seed=2 * self.seed + train)

    def _tasks(self, split: Split) -> Iterator[Task]:
        """What is asked."""
        if split == "train":
            return Tasks("train").tasks(self.n_train, PREFERENCE_SEED)
        return Tasks("test").tasks(self.n_validation, PREFERENCE_TEST_SEED)

    def check_fits(self, tokenizer: Tokenizer, context_length: int) -> None:
        splits: tuple[Split, ...] = ("train", "validation")
        for split in splits:
            if not any(leaves_room(task.prompt, tokenizer, context_length) for task in self._tasks(split)):
                raise ValueError(
                    f"preferences judge: none of the prompts for {split} leaves room for an answer within the context "
                    f"of {context_length} tokens; choose a longer context: --set base.model.context_length=N"
                )

    def settings(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if name != "n_validation"}

    def held_out_settings(self) -> dict[str, Any]:
        return {"n_validation": self.n_validation}


class _ListedPreferences(Preferences):
    """Comparisons of which `split` gives a list; the model and its answers play no part."""

    @property
    def name(self) -> str:
        """A short name for messages."""
        raise NotImplementedError

    def split(self, split: str) -> list[Comparison]:
        raise NotImplementedError

    def comparisons(
        self, split: Split, model: GPT | None, tokenizer: Tokenizer | None
    ) -> tuple[list[Comparison], dict[str, int]]:
        kept, counts = [], {"pairs": 0, "truncated": 0, "identical": 0}
        for one in self.split(split):
            numbers = clean([Answer(text, (), True) for text in one.answers], counts)
            left = one.only(numbers)
            if left.n_pairs:  # of equal texts with different ranks a tie may be left
                kept.append(left)
        return kept, counts

    def check(self) -> None:
        for split in ("train", "validation"):
            kept, _ = self.comparisons(split, None, None)
            if not kept:
                raise ValueError(
                    f"preferences {self.name}: in each of the {len(self.split(split)):,} comparisons for {split} "
                    "the better and the worse answer are the same text; give pairs that differ"
                )

    def check_fits(self, tokenizer: Tokenizer, context_length: int) -> None:
        for split in ("train", "validation"):
            kept, _ = self.comparisons(split, None, None)
            if not any(_fits(one, tokenizer, context_length) for one in kept):
                raise ValueError(
                    f"preferences {self.name}: none of the {len(kept):,} comparisons for {split} fits the context of "
                    f"{context_length} tokens; give shorter prompts and answers, or choose a longer context: "
                    "--set base.model.context_length=N"
                )


def _fits(one: Comparison, tokenizer: Tokenizer, context_length: int) -> bool:
    """Whether the prompt fits with each of the answers."""
    lengths = (
        len(render_chat(one.conversation(number), tokenizer).ids) for number in range(len(one.answers))
    )
    return all(length <= context_length for length in lengths)


def _unjudged(row: Mapping[str, Any]) -> Comparison:
    """A comparison of somebody's own: what may stand under `gold` and `family` there is not our judge's."""
    return Comparison(row["prompt"], row["answers"], row["ranks"])


def _likeness(one: Comparison) -> tuple[str, str]:
    """Comparisons are alike if they have the same prompt, or at least if they are the same."""
    return repr(one.prompt), repr(one)


@dataclass(frozen=True)
class FilePreferences(FileRows, _ListedPreferences):
    """Comparisons in files, one a line or row; see `minillm.data.rows.parse_comparison` for its forms."""

    what: ClassVar[str] = "comparisons"
    example: ClassVar[str] = PAIR
    validation_share: float = 0.1  # of the comparisons

    @property
    def description(self) -> str:
        return f"local preferences: {self.name} ({len(self.rows):,} comparisons)"

    @staticmethod
    def likeness(row: Comparison) -> tuple[str, ...]:
        return _likeness(row)

    def read(self, path: Path, reading: Reading) -> Iterator[Comparison]:
        return map(_unjudged, read_comparisons(path, reading))


@dataclass(frozen=True)
class HubPreferences(HubRows, _ListedPreferences):
    """Comparisons of a dataset of the Hugging Face Hub, one a row; see `minillm.data.rows.parse_comparison`."""

    what: ClassVar[str] = "preferences"
    setting: ClassVar[str] = "preferences"
    offline: ClassVar[str] = "the built-in preferences need no network: --preferences judge"
    n_train: int = 4_000  # comparisons to train on

    @property
    def description(self) -> str:
        n = self.n_train + self.n_validation
        return f"at most {n:,} comparisons of {self.dataset} on the Hugging Face Hub"

    @staticmethod
    def likeness(row: Comparison) -> tuple[str, ...]:
        return _likeness(row)

    @staticmethod
    def parse(row: Mapping[str, Any]) -> Comparison:
        return _unjudged(parse_comparison(row))


def open_preferences(source: str | Path) -> Preferences:
    """Preferences by the name that a user gives: "judge" (the built-in ones), a file, a folder or a pattern, or a
    dataset of the Hub.

    Raises:
        ValueError: there are no such files.
    """
    source = str(source)
    if source == "judge":
        return SampledPreferences()
    if is_hub_name(source):
        return HubPreferences(source)
    hint = (
        f"with a JSON object a line, like {PAIR}, such rows in a .json array or a .parquet file, a dataset of the "
        "Hugging Face Hub (owner/name), or judge, the built-in ones"
    )
    return FilePreferences(source, find_files(source, ROW_SUFFIXES, "preferences", hint))
