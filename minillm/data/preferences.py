"""Preferences: several answers to one prompt, ranked. From the model's own answers and the judge, or from files.

A comparison has a prompt, two or more answers and a rank for each. Answers that say the same, and answers that were cut
off, are left out before they are compared: who ranks two equal texts, or a text whose end is missing, teaches nothing.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import combinations
from pathlib import Path
from typing import Any, ClassVar

import torch

from minillm.data.answers import Answer, answer_prompts
from minillm.data.corpora import Split
from minillm.data.hub import HubRows, is_hub_name
from minillm.data.judge import Judge, Verdict, noisy_ranking
from minillm.data.readers import ROW_SUFFIXES, FileRows, find_files, read_comparisons
from minillm.data.rows import PAIR, parse_comparison
from minillm.data.tasks import PREFERENCE_SEED, PREFERENCE_TEST_SEED, Task, Tasks
from minillm.files import write_atomic
from minillm.model.gpt import GPT
from minillm.seeds import check_seed
from minillm.text.chat import Message, render_chat
from minillm.text.tokenizer import Tokenizer

__all__ = [
    "Comparison",
    "FilePreferences",
    "HubPreferences",
    "Preferences",
    "SampledPreferences",
    "clean",
    "compare_answers",
    "open_preferences",
    "write_comparisons",
]


@dataclass(frozen=True)
class Comparison:
    """Ranked answers to one prompt.

    Attributes:
        prompt: the conversation up to and with the user's message.
        answers: the texts.
        ranks: of each answer, 0 for the best; equal ranks express no preference.
        gold: the judge's score of each (0-1), from which the ranks were drawn with noise; empty where unknown.
        verdicts: the judge's verdicts; empty where unknown.
        family: of the task; "" where unknown.
    """

    prompt: tuple[Message, ...]
    answers: tuple[str, ...]
    ranks: tuple[int, ...]
    gold: tuple[float, ...] = ()
    verdicts: tuple[Verdict, ...] = field(default=(), repr=False)
    family: str = ""

    @property
    def n_pairs(self) -> int:
        """Pairs with a preference."""
        return sum(one != other for one, other in combinations(self.ranks, 2))

    def only(self, numbers: Sequence[int]) -> Comparison:
        """The comparison of some of the answers."""
        parts = {
            name: tuple(values[number] for number in numbers)
            for name in ("answers", "ranks", "gold", "verdicts")
            if (values := getattr(self, name))
        }
        return replace(self, **parts)

    def conversation(self, number: int) -> list[Message]:
        """The prompt with one of the answers."""
        return [*self.prompt, {"role": "assistant", "content": self.answers[number]}]


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


class Preferences:
    """Comparisons for training and, apart from them, for the test."""

    @property
    def description(self) -> str:
        """One sentence for the model card: what they are and where they come from."""
        raise NotImplementedError

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

    def settings(self) -> dict[str, Any]:
        """Everything that decides them beside the model, as JSON values."""
        raise NotImplementedError

    def check(self) -> None:
        """Find mistakes in files and datasets before anything is trained.

        Raises:
            ValueError: as when they are read.
        """


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
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ValueError(f"{name} is {value!r}; use a whole number of at least {least}")
        check_seed("seed", self.seed)
        if not self.temperature > 0:
            raise ValueError(
                f"temperature is {self.temperature}; use a number above 0, or all answers to a prompt are the same"
            )
        if self.noise < 0:
            raise ValueError(f"noise is {self.noise}; use 0 (none) or a positive number")

    @property
    def description(self) -> str:
        return (
            f"{self.answers} answers of the fine-tuned model to each of {self.n_train:,} prompts about the course's "
            f"micro-world, ranked by its judge with noise {self.noise:g}"
        )

    def comparisons(
        self, split: Split, model: GPT, tokenizer: Tokenizer
    ) -> tuple[list[Comparison], dict[str, int]]:
        train = split == "train"
        source = Tasks("train" if train else "test")
        stream = source.tasks(
            self.n_train if train else self.n_validation, PREFERENCE_SEED if train else PREFERENCE_TEST_SEED
        )
        limit = model.config.context_length - 1
        tasks = [task for task in stream if _prompt_length(task, tokenizer) < limit]
        prompts = [task.prompt for task in tasks for _ in range(self.answers)]
        texts = answer_prompts(
            model, tokenizer, prompts, self.max_new_tokens, self.temperature, seed=2 * self.seed + train
        )
        grouped = [texts[first : first + self.answers] for first in range(0, len(texts), self.answers)]
        return compare_answers(tasks, grouped, self.noise, seed=2 * self.seed + train)

    def settings(self) -> dict[str, Any]:
        return asdict(self)


def _prompt_length(task: Task, tokenizer: Tokenizer) -> int:
    return len(render_chat(task.prompt, tokenizer, add_generation_prompt=True).ids)


class _ListedPreferences(Preferences):
    """Comparisons of which `split` gives a list; the model and its answers play no part."""

    name: str

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


@dataclass(frozen=True)
class FilePreferences(FileRows, _ListedPreferences):
    """Comparisons in .jsonl files, one a line; see `minillm.data.rows.parse_comparison` for its forms."""

    what: ClassVar[str] = "comparisons"
    example: ClassVar[str] = PAIR
    validation_share: float = 0.1  # of the comparisons, from the end

    @property
    def description(self) -> str:
        return f"local preferences: {self.name} ({len(self.rows):,} comparisons)"

    def read(self, path: Path) -> Iterator[Comparison]:
        return (Comparison(**row) for row in read_comparisons(path))


@dataclass(frozen=True)
class HubPreferences(HubRows, _ListedPreferences):
    """Comparisons of a dataset of the Hugging Face Hub, one a row; see `minillm.data.rows.parse_comparison`."""

    what: ClassVar[str] = "preferences"
    setting: ClassVar[str] = "preferences"
    offline: ClassVar[str] = "the built-in preferences need no network: --preferences judge"
    n_train: int = 4_000  # comparisons to train on

    @property
    def description(self) -> str:
        return f"{len(self.rows):,} comparisons of {self.dataset} on the Hugging Face Hub"

    @staticmethod
    def parse(row: Mapping[str, Any]) -> Comparison:
        return Comparison(**parse_comparison(row))


def open_preferences(source: str | Path) -> Preferences:
    """Preferences by the name that a user gives: "judge" (the built-in ones), a .jsonl file, a folder or a pattern, or
    a dataset of the Hub.

    Raises:
        ValueError: there are no such files.
    """
    source = str(source)
    if source == "judge":
        return SampledPreferences()
    if is_hub_name(source):
        return HubPreferences(source)
    hint = (
        f"with a JSON object a line, like {PAIR}, a dataset of the Hugging Face Hub (owner/name), "
        "or judge, the built-in ones"
    )
    return FilePreferences(source, find_files(source, ROW_SUFFIXES, "preferences", hint))


def write_comparisons(path: Path, comparisons: Sequence[Comparison]) -> None:
    """Write comparisons as JSON lines that `read_comparisons` reads."""
    rows: Iterator[dict[str, Any]] = (
        {
            "prompt": list(comparison.prompt),
            "answers": list(comparison.answers),
            "ranks": list(comparison.ranks),
            **({"gold": list(comparison.gold), "family": comparison.family} if comparison.gold else {}),
        }
        for comparison in comparisons
    )
    write_atomic(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
