"""Sums of one or two steps, worked out one step at a time."""

from __future__ import annotations

import re

from minillm.data.families.base import Family
from minillm.data.families.drawing import combine
from minillm.data.grammar import Scene
from minillm.data.questions import TEST_EVERY
from minillm.data.task_types import Draft, TaskSplit
from minillm.data.village import NUMBERS
from minillm.data.wording import Reading, words_of

__all__ = ["Arithmetic"]

# Sums, told or bare. {x} is what there is at first, {n} the number of a step.
_STEPS = {
    "+": ("finds {n} more", "buys {n} more", "gets {n} more", "picks {n} more", "wins {n} more"),
    "-": ("loses {n}", "eats {n}", "sells {n}", "drops {n}", "gives away {n}"),
}
_QUESTIONS = (
    "How many {goods} does {hero} have?",
    "How many are there now?",
    "How many {goods} are there?",
    "How many does {hero} have now?",
    "How many {goods} has {hero} then?",
)
_BARE_SUMS = (
    ("", "Please: ", "A sum: ", "Hello! "),
    ("How much is {sum}?", "What is {sum}?", "Tell me {sum}.", "Can you work out {sum}?", "Work out {sum}."),
)

_SIGNS = {"+": "plus", "-": "minus"}
_RESULT = re.compile(
    rf"(?:answer is|it is|there are|\bor|^|\. )\s*\b({'|'.join(NUMBERS)})\b(?! (?:plus|minus)\b)"
)


class Arithmetic(Family):
    """A sum of one or two steps, told or bare, worked out one step at a time."""

    name, weight = "arithmetic", 12
    earlier = 6
    verifiable = True
    lengths = (3, 25)

    def draft(self, scene: Scene, split: TaskSplit) -> Draft:
        signs = scene.draws.choose(("+", "-", "++", "+-", "-+", "--"))
        numbers, steps = _sum(scene, split, signs)
        named = [NUMBERS[number] for number in numbers]
        prompt = (_told if scene.draws.choose(range(3)) else _bare)(scene, split, signs, named)
        working = " ".join(
            f"{NUMBERS[a].capitalize()} {_SIGNS[sign]} {NUMBERS[b]} is {NUMBERS[c]}."
            for a, sign, b, c in steps
        )
        result = NUMBERS[steps[-1][-1]]
        return Draft(prompt, working, f"{working} So the answer is {result}.", (result,))

    def without_steps(self, draft: Draft) -> Draft:
        result = f"The answer is {draft.keys[0]}."
        return Draft(draft.prompt, result, result, draft.keys)

    def correct(self, reading: Reading) -> float:
        """Whether the last number is the result."""
        said = [word for word in words_of(" ".join(reading.own)) if word in NUMBERS]
        return float(said[-1:] == list(reading.task.keys))

    def contradicts_itself(self, reading: Reading) -> bool:
        """Whether two different numbers are called the result."""
        return len(set(_RESULT.findall(" ".join(reading.own).lower()))) > 1


def _told(scene: Scene, split: TaskSplit, signs: str, named: list[str]) -> str:
    """The sum as a little story of somebody's goods."""
    *told, question = combine(scene, split, *(_STEPS[sign] for sign in signs), _QUESTIONS)
    told = [step.replace("{n}", word) for step, word in zip(told, named[1:], strict=True)]
    events = f" and {told[0]}" if len(told) == 1 else f", {told[0]} and then {told[1]}"
    return scene.say(f"{{hero}} has {named[0]} {{goods}}{events}. {question}")


def _bare(scene: Scene, split: TaskSplit, signs: str, named: list[str]) -> str:
    """The sum as numbers and signs, in words."""
    before, question = combine(scene, split, *_BARE_SUMS)
    steps = (f" {_SIGNS[sign]} {word}" for sign, word in zip(signs, named[1:], strict=True))
    return f"{before}{question.replace('{sum}', named[0] + ''.join(steps))}"


def _sum(scene: Scene, split: TaskSplit, signs: str) -> tuple[list[int], list[tuple[int, str, int, int]]]:
    """Numbers of a sum that belongs to the split, and its steps (a, sign, b, result), within those of the corpus."""
    while True:
        total = scene.draws.choose(range(2, 11) if signs[0] == "+" else range(4, 21))
        numbers, steps = [total], []
        for sign in signs:
            limit = 10 if sign == "+" else total - 2
            if limit < 2 or (sign == "+" and total > 10):
                break
            number = scene.draws.choose(range(2, limit + 1))
            after = total + number if sign == "+" else total - number
            steps.append((total, sign, number, after))
            numbers.append(number)
            total = after
        in_test = sum(factor * n for factor, n in zip((1, 3, 7), numbers, strict=False)) % TEST_EVERY == 0
        if len(steps) == len(signs) and in_test == (split == "test"):
            return numbers, steps
