"""Sums of one or two steps, worked out one step at a time."""

from __future__ import annotations

import re
from dataclasses import replace

from minillm.data.families.base import Family
from minillm.data.families.drawing import combine, sum_split
from minillm.data.grammar import Scene
from minillm.data.task_types import Draft, Task, TaskSplit
from minillm.data.village import NUMBERS
from minillm.data.wording import Reading

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

# The same as people type them. {sum} is in digits with signs.
_TYPED_SUMS = (
    ("", "", "Please: ", "A sum: ", "Hello! "),
    (
        "{sum}", "{sum} = ?", "{sum}=", "What is {sum}?", "How much is {sum}?", "{sum}?", "what's {sum}",
        "Calculate {sum}.", "Work out {sum}.",
    ),
)  # fmt: skip

_SIGNS = {"+": "plus", "-": "minus"}
_N = rf"(?<![\w-])({'|'.join(NUMBERS)})(?![\w-])"
_NUMBER_WORD = re.compile(rf"\b({'|'.join(NUMBERS)})\b")
_RESULT = re.compile(rf"(?:answer is|it is|there are|\bor|^|\. )\s*{_N}(?! (?:plus|minus)\b)")
# What a sentence calls the result: a number after a word like "is", or at its beginning and not part of a sum.
_CLAIM = re.compile(
    r"\b(?:is|are|has|have|had|got|gets?|makes?|gives?|leaves?|equals?|remains?|to|be)"
    rf"(?: (?:now|then|only|just|exactly|left|with|still|about))* {_N}(?! (?:plus|minus)\b)"
)
_ALONE = re.compile(rf"^(?:the number )?{_N}(?:,| ?$|(?: [\w-]+){{1,3}}$)(?! {_N})")
_GUESSES = re.compile(rf"(?:{_N}(?:,? or |, )|\b(?:is|are|has|have) {_N} and ){_N}")
_STEP = re.compile(rf"{_N} (plus|minus) {_N} (?:is|makes|equals|leaves) {_N}")
_DENIED = re.compile(rf",? ?\b(?:not|never) {_N}")
_DIGITS = re.compile(r"(?<![\w.,-])\d{1,2}(?![\w-]|[.,]\d)")


class Arithmetic(Family):
    """A sum of one or two steps, told or bare, worked out one step at a time."""

    name, weight = "arithmetic", 12
    earlier = 6
    typed = 8
    verifiable = True
    lengths = (3, 25)

    def draft(self, scene: Scene, split: TaskSplit) -> Draft:
        signs = scene.draws.choose(("+", "-", "++", "+-", "-+", "--"))
        numbers, steps = _sum(scene, split, signs)
        named = [NUMBERS[number] for number in numbers]
        prompt = scene.draws.choose(_WAYS_TO_ASK)(scene, split, signs, named)
        working = " ".join(
            f"{NUMBERS[a].capitalize()} {_SIGNS[sign]} {NUMBERS[b]} is {NUMBERS[c]}."
            for a, sign, b, c in steps
        )
        result = NUMBERS[steps[-1][-1]]
        return Draft(prompt, working, f"{working} So the answer is {result}.", (result,))

    def without_steps(self, draft: Draft) -> Draft:
        result = f"The answer is {draft.keys[0]}."
        return Draft(draft.prompt, result, result, draft.keys)

    def read(self, task: Task, answer: str) -> Reading:
        """An answer, taken apart, its numbers in words, as those of the question."""
        role, question = task.messages[-1]
        asked = (*task.messages[:-1], (role, _DIGITS.sub(_in_words, question)))
        return super().read(replace(task, messages=asked), _DIGITS.sub(_in_words, answer))

    def correct(self, reading: Reading) -> float:
        """Whether the last number that is called a result is the right one."""
        return float([self.result(reading)] == list(reading.task.keys))

    def result(self, reading: Reading) -> str:
        """The last number that is called a result, or ""."""
        claims = [claim for sentence in reading.own if (claim := _claimed(sentence))]
        return claims[-1] if claims else ""

    def honest(self, reading: Reading) -> float:
        """The share of the steps that hold."""
        steps = _STEP.findall(" ".join(reading.own).lower())
        sums = [
            (NUMBERS.index(a) + NUMBERS.index(b) * (1 if sign == "plus" else -1), NUMBERS.index(c))
            for a, sign, b, c in steps
        ]
        return sum(total == told for total, told in sums) / len(sums) if sums else 1.0

    def contradicts_itself(self, reading: Reading) -> bool:
        """Whether two different numbers are called the result, or offered one beside the other."""
        text = _DENIED.sub("", " ".join(reading.own).lower())
        guesses = any((one or other) != last for one, other, last in _GUESSES.findall(text))
        return guesses or len(set(_RESULT.findall(text))) > 1


def _claimed(sentence: str) -> str:
    """The number that a sentence calls the result, or ""."""
    text = _DENIED.sub("", sentence.lower()).rstrip(".!? ")
    alone = _ALONE.match(text)
    return alone[1] if alone else (_CLAIM.findall(text) or [""])[-1]


def _in_words(digits: re.Match[str]) -> str:
    """A number of the village in words; a larger one as it is."""
    number = int(digits[0])
    return NUMBERS[number] if number < len(NUMBERS) else digits[0]


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


def _in_digits(scene: Scene, split: TaskSplit, signs: str, named: list[str]) -> str:
    """The sum as either of the two, or as people type it, with digits in the place of number words."""
    way = scene.draws.choose((_told, _bare, _typed, _typed, _typed))
    return _NUMBER_WORD.sub(lambda word: str(NUMBERS.index(word[0])), way(scene, split, signs, named))


def _typed(scene: Scene, split: TaskSplit, signs: str, named: list[str]) -> str:
    """The sum with signs, with or without spaces around them."""
    before, question = combine(scene, split, *_TYPED_SUMS)
    space = scene.draws.choose((" ", " ", ""))
    steps = (f"{space}{sign}{space}{word}" for sign, word in zip(signs, named[1:], strict=True))
    return f"{before}{question.replace('{sum}', named[0] + ''.join(steps))}"


_WAYS_TO_ASK = (_told, _told, _bare, _in_digits)


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
        if len(steps) == len(signs) and sum_split(numbers) == split:
            return numbers, steps
