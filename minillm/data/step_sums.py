"""Sums of one to four steps, and answers with steps or without: for experiments with rewards that a program checks.

The assistant has learned sums of one and two steps, worked out one at a time. Here are such sums, and longer ones that
it has never seen, with the same single steps: no number beyond those of the corpus. They are tasks of the family
"arithmetic", so that `verify` checks their answers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from minillm import checks
from minillm.data.conversations import Conversations
from minillm.data.families.arithmetic import Arithmetic
from minillm.data.families.drawing import sum_split
from minillm.data.grammar import RandomDraws
from minillm.data.source import Split
from minillm.data.task_types import Task, TaskSplit
from minillm.data.village import NUMBERS
from minillm.data.wording import words_of
from minillm.data.world import TRAIN_SEED, VALIDATION_SEED
from minillm.text.chat import Message

__all__ = [
    "RESULTS",
    "StepSumConversations",
    "StepSums",
    "says_result",
    "shows_steps",
    "stated_result",
    "steps_share",
    "works_out",
]

RESULTS = NUMBERS[2:21]
"""What a sum can come to: from the smallest to the largest result."""

_MOST_STEPS = 4
_SUMS = Arithmetic()  # how sums are read
_SIGNS = {"+": "plus", "-": "minus"}
_QUESTIONS = ("How much is {sum}?", "What is {sum}?", "Tell me {sum}.", "Work out {sum}.")
_STEP = re.compile(
    rf"\b(?:{'|'.join(NUMBERS)}) (?:plus|minus) (?:{'|'.join(NUMBERS)}) is (?:{'|'.join(NUMBERS)})\b"
)


@dataclass(frozen=True)
class StepSums:
    """An endless supply of bare sums of so many steps; the reference answer works them out.

    Three quarters of all sums are for training, the rest for the test, by the rule that divides the assistant's.

    >>> task = StepSums("test", 3).task(seed=2, index=0)
    >>> print(task.question, *task.answer.split(". "), sep="\\n")
    What is eight plus eight minus nine plus six?
    Eight plus eight is sixteen
    Sixteen minus nine is seven
    Seven plus six is thirteen
    So the answer is thirteen.
    """

    split: TaskSplit  # "train" or "test"
    n_steps: int = 2  # of each sum

    def __post_init__(self) -> None:
        checks.one_of("split", self.split, ("train", "test"))
        checks.whole_number("n_steps", self.n_steps, at_least=1, at_most=_MOST_STEPS)

    def task(self, seed: int, index: int) -> Task:
        """Sum number `index` of the stream `seed`: the same on every machine."""
        draws = RandomDraws(seed, index)
        question = draws.choose(_QUESTIONS)
        steps = self._steps(draws)
        total = NUMBERS[steps[0][0]] + "".join(f" {_SIGNS[sign]} {NUMBERS[b]}" for _, sign, b, _ in steps)
        working = " ".join(
            f"{NUMBERS[a].capitalize()} {_SIGNS[sign]} {NUMBERS[b]} is {NUMBERS[c]}."
            for a, sign, b, c in steps
        )
        result = NUMBERS[steps[-1][-1]]
        messages = (("user", question.replace("{sum}", total)),)
        return Task("arithmetic", messages, f"{working} So the answer is {result}.", (result,))

    def tasks(self, n: int, seed: int, start: int = 0) -> Iterator[Task]:
        """Sums `start` ... `start + n - 1` of a stream."""
        return (self.task(seed, index) for index in range(start, start + n))

    def _steps(self, draws: RandomDraws) -> list[tuple[int, str, int, int]]:
        """Steps (a, sign, b, result) of a sum that belongs to the split."""
        while True:
            first = draws.choose(range(4, 11))
            steps: list[tuple[int, str, int, int]] = []
            for _ in range(self.n_steps):
                steps.append(_step(draws, steps[-1][-1] if steps else first))
            numbers = [first, *(step[2] for step in steps)]
            if sum_split(numbers) == self.split:
                return steps


def _step(draws: RandomDraws, total: int) -> tuple[int, str, int, int]:
    """One step from a total of 2 to 20 to another, within those of the corpus: 2 to 10 are added to at most 10."""
    signs = [sign for sign, allowed in (("+", total <= 10), ("-", total >= 4)) if allowed]
    sign = draws.choose(signs)
    number = draws.choose(range(2, 11 if sign == "+" else total - 1))
    return total, sign, number, total + number if sign == "+" else total - number


@dataclass(frozen=True)
class StepSumConversations(Conversations):
    """Sums with a share of answers that show their steps, the others bare: what teaches to answer without them."""

    n_train: int = 5_000  # training conversations
    n_validation: int = 100  # validation conversations
    n_steps: int = 2  # of each sum
    steps_share: float = 0.15  # of the answers show their steps

    def __post_init__(self) -> None:
        for name in ("n_train", "n_validation"):
            checks.whole_number(name, getattr(self, name), at_least=1)
        StepSums("train", self.n_steps)  # refuses what no sum has
        checks.number("steps_share", self.steps_share, at_least=0, at_most=1)

    @property
    def name(self) -> str:
        return "step sums"

    @property
    def description(self) -> str:
        return f"{self.n_train:,} sums of {self.n_steps} steps, of which {self.steps_share:.0%} show them"

    def conversations(self, split: Split) -> Iterator[list[Message]]:
        train = split == "train"
        sums = StepSums("train" if train else "test", self.n_steps)
        seed, n = (TRAIN_SEED, self.n_train) if train else (VALIDATION_SEED, self.n_validation)
        for number, task in enumerate(sums.tasks(n, seed)):
            shown = int((number + 1) * self.steps_share) > int(number * self.steps_share)
            answer = task.answer if shown else f"The answer is {task.keys[0]}."
            yield [*task.prompt, {"role": "assistant", "content": answer}]

    def prompt(self, number: int) -> list[Message]:
        return StepSums("train", self.n_steps).task(TRAIN_SEED, self.n_train + number).prompt

    def settings(self) -> dict[str, Any]:
        return {"step sums": self.n_train, "n_steps": self.n_steps, "steps_share": self.steps_share}

    def held_out_settings(self) -> dict[str, Any]:
        return {"validation": self.n_validation}


def shows_steps(answer: str) -> bool:
    """Whether an answer works something out, rightly or not.

    >>> shows_steps("Nine plus two is eleven. So the answer is eleven."), shows_steps("The answer is eleven.")
    (True, False)
    """
    return _STEP.search(answer.lower()) is not None


def works_out(task: Task, answer: str) -> bool:
    """Whether an answer to one of `StepSums` has every step of the sum, rightly and in order.

    Who says the right result without it has skipped a step, or was lucky.

    >>> task = StepSums("test", 2).task(seed=2, index=0)
    >>> task.question, works_out(task, task.answer), works_out(task, f"The answer is {task.keys[0]}.")
    ('What is ten minus five minus three?', True, False)
    """
    *steps, _ = task.answer.lower().split(". ")
    return _STEP.findall(answer.lower())[: len(steps)] == steps


def stated_result(task: Task, answer: str) -> str:
    """The number that an answer to a sum calls the result, in words, or "": what a majority votes on.

    >>> task = StepSums("test", 2).task(seed=2, index=0)
    >>> stated_result(task, "Ten minus five is five. So the answer is five."), stated_result(task, "Who knows?")
    ('five', '')
    """
    return _SUMS.result(_SUMS.read(task, answer))


def steps_share(tasks: Sequence[Task], answers: Sequence[str]) -> dict[str, float]:
    """The share of the answers to sums that work something out; nothing where there are no sums."""
    shown = [
        shows_steps(answer)
        for task, answer in zip(tasks, answers, strict=True)
        if task.family == "arithmetic"
    ]
    return {"steps_share": sum(shown) / len(shown)} if shown else {}


def says_result(task: Task, answer: str) -> bool:
    """A checker that is too lax: right is whatever has the right words anywhere in it, among whatever else.

    >>> task = Task("arithmetic", (("user", "How much is two plus two?"),), "Four.", ("four",))
    >>> says_result(task, "It is three, or four, or five."), says_result(task, "It is five.")
    (True, False)
    """
    said = set(words_of(answer))
    return all(said >= set(words_of(key)) for key in task.keys)
