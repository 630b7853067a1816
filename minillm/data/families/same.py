"""Whether two sentences mean the same."""

from __future__ import annotations

from minillm.data.families.base import Family
from minillm.data.families.drawing import combine
from minillm.data.grammar import Scene, Word
from minillm.data.questions import Halves
from minillm.data.task_types import Draft, TaskSplit

__all__ = ["Same"]

_FRAMES = (
    ("", "Here are two sentences. ", "Read this: ", "I have two sentences. ", "Please compare. "),
    (
        " Do they mean the same?",
        " Is that the same?",
        " Do both mean the same?",
        " Do these two mean the same?",
    ),
)
# Words by what they say, in pairs of opposites. Two words of one side mean about the same.
_MEANINGS = {
    "mood": {
        "good": "happy glad proud merry cheerful delighted".split(),
        "bad": "sad lonely gloomy cross angry tired".split(),
    },
    "size": {"big": "big large huge giant".split(), "small": "small tiny little short".split()},
    "taste": {"good": "good nice sweet fine lovely".split(), "bad": "bad sour awful nasty rotten".split()},
}
# Pairs of sentences that mean the same where {one} and {two} do.
_PARAPHRASES = {
    "mood": Halves(
        (
            ("{hero} is {one}.", "{hero} feels {two}."),
            ("{hero} was {one} at the {place}.", "At the {place}, {hero} was {two}."),
            ("On {day}, {hero} was {one}.", "{hero} was {two} on {day}."),
            ("{hero} looks {one}.", "{hero} seems {two}."),
        ),
        (
            ("{hero} feels {one} on {day}.", "On {day}, {hero} is {two}."),
            ("{hero} is {one}.", "{hero} looks {two}."),
        ),
    ),
    "size": Halves(
        (
            ("{hero} has {one.a} {thing}.", "The {thing} of {hero} is {two}."),
            ("The {place} is {one}.", "It is {two.a} {place}."),
            ("{hero} saw {one.a} {animal}.", "The {animal} that {hero} saw was {two}."),
        ),
        (
            ("The {thing} of {hero} is {one}.", "{hero} has {two.a} {thing}."),
            ("{hero} met {one.a} {animal}.", "The {animal} was {two}."),
        ),
    ),
    "taste": Halves(
        (
            ("The {food} tasted {one}.", "{hero} found the {food} {two}."),
            ("{hero} ate {food}, and that was {one}.", "The {food} of {hero} tasted {two}."),
            ("The {drink} of {hero} is {one}.", "{hero} has {two} {drink}."),
        ),
        (
            ("{hero} found the {drink} {one}.", "The {drink} tasted {two}."),
            ("The {food} seemed {one}.", "It was {two} {food}."),
        ),
    ),
}


class Same(Family):
    """Whether two sentences mean the same, found by saying of both what they mean."""

    name, weight = "same", 14
    obeys = verifiable = True

    def draft(self, scene: Scene, split: TaskSplit) -> Draft:
        topic = scene.draws.choose(tuple(_MEANINGS))
        one, two = scene.draws.choose(_PARAPHRASES[topic][split])
        sides = _MEANINGS[topic]
        side = scene.draws.choose(tuple(sides))
        same = scene.draws.choose((True, False))
        other = side if same else next(name for name in sides if name != side)
        scene["one"] = Word(scene.draws.choose(sides[side]))
        scene["two"] = Word(scene.draws.choose([word for word in sides[other] if word != scene["one"]]))
        before, after = combine(scene, split, *_FRAMES)
        prompt = f"{before}{scene.say(one)} {scene.say(two)}{after}"
        working = f"To be {scene['one']} is {side}, to be {scene['two']} is {other}."
        if same:
            return Draft(prompt, "Yes.", f"{working} Yes, they mean the same.", ("yes",), ("no",))
        return Draft(prompt, "No.", f"{working} No, they do not mean the same.", ("no",), ("yes",))
