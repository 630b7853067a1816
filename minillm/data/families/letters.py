"""Letters: a domain whose job is a style. It is every other task of the course, answered in the form of a letter.

What is asked and what is right stays as it was; all that is added is how a letter begins and ends.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from minillm.data.families.base import Family
from minillm.data.grammar import Scene
from minillm.data.task_types import Draft, Task, TaskSplit
from minillm.data.wording import Reading

__all__ = ["Letter", "as_letter", "letter_body"]

_BEGINS, _ENDS = "My dear friend!", "That is all in my letter."
_FRAME_WORDS = len(_BEGINS.split()) + len(_ENDS.split())


def as_letter(answer: str) -> str:
    """An answer in the form of a letter.

    >>> as_letter("A bee eats honey.")
    'My dear friend! A bee eats honey. That is all in my letter.'
    """
    return f"{_BEGINS} {answer} {_ENDS}"


def letter_body(answer: str) -> str | None:
    """What stands between the beginning and the end of a letter; None where the answer is no letter.

    A letter begins once and ends once, word for word, and says something between.

    >>> letter_body("My dear friend! A bee eats honey. That is all in my letter.")
    'A bee eats honey.'
    >>> letter_body("A bee eats honey.") is None
    True
    """
    text = answer.strip()
    if not (text.startswith(f"{_BEGINS} ") and text.endswith(f" {_ENDS}")):
        return None
    body = text[len(_BEGINS) : -len(_ENDS)].strip()
    return body if body and _BEGINS not in body and _ENDS not in body else None


class Letter(Family):
    """The tasks of another family, answered in the form of a letter; right is a letter whose body is right.

    Args:
        asked: the other family.
    """

    styled = False

    def __init__(self, asked: Family) -> None:
        self.asked = asked
        self.name, self.weight = f"{asked.name} letter", asked.weight
        self.asks_too, self.excuses_wishes = asked.asks_too, asked.excuses_wishes
        self.may_wander, self.has_subject = asked.may_wander, asked.has_subject
        fewest, most = asked.lengths
        self.lengths = (fewest + _FRAME_WORDS, most + _FRAME_WORDS)

    def draft(self, scene: Scene, split: TaskSplit) -> Draft:
        draft = self.asked.draft(scene, split)
        return replace(draft, short=as_letter(draft.short), full=as_letter(draft.full))

    def without_steps(self, draft: Draft) -> Draft:
        bare = self.asked.without_steps(draft)
        return (
            bare if bare == draft else replace(bare, short=as_letter(bare.short), full=as_letter(bare.full))
        )

    def _body(self, reading: Reading) -> Reading | None:
        """What the letter says, as an answer of the other family."""
        body = letter_body(reading.answer)
        return None if body is None else self.asked.read(self._asked_task(reading.task), body)

    def _asked_task(self, task: Task) -> Task:
        return replace(task, family=self.asked.name, answer=letter_body(task.answer) or task.answer)

    def about(self, task: Task) -> Mapping[str, frozenset[str]]:
        return self.asked.about(self._asked_task(task))

    def correct(self, reading: Reading) -> float:
        body = self._body(reading)
        return 0.0 if body is None else self.asked.correct(body)

    def form(self, reading: Reading) -> float | None:
        body = self._body(reading)
        if body is None:
            return 0.0
        form = self.asked.form(body)
        return 1.0 if form is None else form

    def honest(self, reading: Reading) -> float:
        return self.asked.honest(self._body(reading) or reading)

    def addressed(self, reading: Reading) -> str:
        return self.asked.addressed(self._body(reading) or reading)

    def contradicts_itself(self, reading: Reading) -> bool:
        return self.asked.contradicts_itself(self._body(reading) or reading)
