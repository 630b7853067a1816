"""Questions about people who do not exist."""

from __future__ import annotations

import re
from collections.abc import Mapping

from minillm.data.families.base import Family
from minillm.data.families.drawing import framed, of_everybody
from minillm.data.grammar import Scene
from minillm.data.names import outside_name
from minillm.data.questions import PEOPLE_RELATIONS
from minillm.data.task_types import Draft, Task, TaskSplit
from minillm.data.wording import Reading, said, spelled, words_of

__all__ = ["Strangers", "admitted"]

# A name that is said to be unknown, and what leaves open whether something is so.
_UNKNOWN = re.compile(
    r"\b(?:know|met|heard of|called|there is no)(?: (?:an?|any|anybody|anyone|called|of|this|our|the))* ([A-Z][a-z]+)\b"
)
_UNCERTAIN = re.compile(r"\b(?:may|might|must|not|never|perhaps|unknown)\b", re.IGNORECASE)
_SORRY = ("I am sorry!", "I am sorry about that.", "Can you tell me more, please?")


class Strangers(Family):
    """A question about somebody who does not exist; the right answer is that one does not know them, by name."""

    name, weight = "strangers", 6
    earlier = 4
    typed = 8
    lengths = (5, 25)
    has_subject = True

    def draft(self, scene: Scene, split: TaskSplit) -> Draft:
        relation = scene.draws.choose([relation for relation in PEOPLE_RELATIONS if relation.again])
        name = scene["hero"] = outside_name(scene.draws, split)
        question = scene.say([q for q in relation.questions[split] if "{hero." not in q])
        full = scene.say((f"I do not know anybody called {name}.", f"I do not know {name}."))
        return Draft(
            framed(scene, split, question),
            f"I do not know {name}.",
            full,
            ("do not know", str(name)),
            tuple(dict.fromkeys(of_everybody(relation))),
            kind=scene.say(_SORRY),
        )

    def about(self, task: Task) -> Mapping[str, frozenset[str]]:
        """Somebody of whom the question has the name."""
        return {"people": frozenset(_words(task.question))}

    def correct(self, reading: Reading) -> float:
        """Whether one does not know, and says so of the one who was asked about, if of anybody."""
        named, asked = _unknown(reading), _words(reading.task.question)
        mistaken = named and not named & asked
        return 0.0 if mistaken or not self.honest(reading) else admitted(reading)

    def honest(self, reading: Reading) -> float:
        """Whether nothing is asserted of who does not exist."""
        whom = {"he", "she", "they"} | _unknown(reading)
        told = [sentence for sentence in reading.own if set(words_of(sentence)[:1]) & whom]
        asserted = any(not (_UNCERTAIN.search(spelled(s)) or said(reading.task.keys, [s])) for s in told)
        return float(not (asserted or reading.rivals))


def _words(text: str) -> set[str]:
    """The words of a text, without the marks of whose something is."""
    return {word.removesuffix("'s") for word in words_of(text)}


def _unknown(reading: Reading) -> set[str]:
    """The names, in lower case, of those who are said to be unknown."""
    return {name.lower() for sentence in reading.own for name in _UNKNOWN.findall(spelled(sentence))}


def admitted(reading: Reading) -> float:
    """The share of what an admission says: that one does not know, and each thing that one does not know.

    The first key is the admission, the others are named after a "not" and are no denials.
    """
    admission, *names = reading.task.keys
    text = f" {' '.join(words_of(' '.join(reading.own)))} ".replace("'s ", " ")
    named = [f" {' '.join(words_of(name))} " in text for name in names]
    return (admission in reading.keys) * (1 + sum(named)) / (1 + len(names))
