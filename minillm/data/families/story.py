"""Stories that must contain given people, things and places."""

from __future__ import annotations

import re

from minillm.data import scenes
from minillm.data.families.base import Family
from minillm.data.families.drawing import SLOT, combine
from minillm.data.grammar import Scene
from minillm.data.task_types import Draft, TaskSplit
from minillm.data.wording import Reading, spelled, words_of

__all__ = ["Story"]

_REQUESTS = (
    (
        "Write a story",
        "Tell me a story",
        "Please write a story",
        "Please tell a story",
        "I would like a story",
        "I want to read a story",
        "Make up a story",
        "I need a story",
    ),
    (
        " about {hero}, {friend} and the {place}.",
        " about {hero} and {thing.a}.",
        " with {hero}, {thing.a} and {friend}.",
        " about {thing.a}, {hero} and the {place}.",
        " with {hero} and {friend} in it.",
        " about {hero} and {friend} at the {place}.",
    ),
)

_SENTENCES = 4  # that a story has at least
_BEGINNING = 3  # words by which sentences begin alike
_REFUSES = re.compile(
    r"(?:no, |sorry, )?I (?:am sorry|will not|can not|would rather|do not)\b", re.IGNORECASE
)


class Story(Family):
    """A story that must contain given people, things and places."""

    name, weight = "story", 10
    stands_alone = True
    answer_room = 110
    lengths = (35, 120)
    asks_too = may_wander = True

    def draft(self, scene: Scene, split: TaskSplit) -> Draft:
        request = "".join(combine(scene, split, *_REQUESTS))
        prompt = scene.say(request)
        slots = SLOT.findall(request)
        keys = tuple(str(scene[slot]) for slot in slots)
        story = scenes.story(scene)
        if split == "test":
            return Draft(prompt, story, story, keys)
        lost = scene.draws.choose(slots)
        scene.turn_over(*(slot for slot in ("manner", "adj", "number", "glad", "low", lost)))
        return Draft(prompt, story, story, keys, kind="I hope you like it!", flawed=scenes.story(scene))

    def correct(self, reading: Reading) -> float:
        """The share of what was asked for, less when it is hardly a story."""
        return super().correct(reading) * self.form(reading)

    def form(self, reading: Reading) -> float:
        """Four sentences at least that begin in different ways; nothing where the asker is sent away."""
        if _REFUSES.match(spelled(reading.answer)):
            return 0.0
        beginnings = {tuple(words_of(sentence)[:_BEGINNING]) for sentence in reading.sentences}
        return min(1.0, len(beginnings) / _SENTENCES)

    def contradicts_itself(self, reading: Reading) -> bool:
        """Never: what there was not at first may come later in a story."""
        return False

    def addressed(self, reading: Reading) -> str:
        """The first sentence: people in a story may call each other fools."""
        return reading.sentences[0]
