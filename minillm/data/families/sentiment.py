"""Whether a short text is positive or negative."""

from __future__ import annotations

from minillm.data.families.base import Family
from minillm.data.families.drawing import combine
from minillm.data.grammar import Scene
from minillm.data.questions import Halves
from minillm.data.task_types import Draft, TaskSplit

__all__ = ["Sentiment"]

_FRAMES = (
    ("", "Read this: ", "Here is a text: ", "Somebody writes: ", "I heard this: "),
    (
        " Is that positive or negative?",
        " Is it positive or negative?",
        " Would you call that positive or negative?",
        " Positive or negative?",
        " Is the text positive or negative?",
    ),
)
_TEXTS = {
    "positive": Halves(
        (
            "The {food} at the {place} tasted {good}. I want more.",
            "I love my {adj} {thing}. It is {good}.",
            "{hero} gave me {thing.a}, and I was {glad}.",
            "It was {good.a} day at the {place}. Everybody [laughed|sang|danced].",
            "Thank you, {hero}! The {thing} is {good}, and I am {glad}.",
            "My {thing} works again. {hero} is {good.a} friend.",
            "We had {good.a} time with {hero}. I was {glad} all day.",
            "This {thing} is {good}. Everybody should have one.",
            "{hero} made {food}, and that was {good}.",
            "I was at the {place} on {day}. It was {good}.",
            "I like {hero}, who is {good.a} {hero.job}.",
            "The {place} is {good}, and so is the {food}.",
            "I am {glad}. {hero} gave me {good.a} {thing}.",
            "{hero} is {glad} because the {thing} is {good}.",
        ),
        (
            "{hero} has {good.a} {thing}. I like it very much.",
            "What {good.a} place the {place} is! I was {glad} there.",
            "I ate {food} with {hero}. It was {good}, and we [sang|laughed].",
        ),
    ),
    "negative": Halves(
        (
            "The {food} at the {place} tasted {bad}. I left at once.",
            "I hate my {adj} {thing}. It is {bad}.",
            "{hero} took my {thing}, and I was {low}.",
            "It was {bad.a} day at the {place}. Everybody [cried|shouted|went home].",
            "Never again, {hero}! The {thing} is {bad}, and I am {low}.",
            "My {thing} broke again. {hero} is {bad.a} friend.",
            "We had {bad.a} time with {hero}. I was {low} all day.",
            "This {thing} is {bad}. Nobody should have one.",
            "{hero} made {food}, and that was {bad}.",
            "I was at the {place} on {day}. It was {bad}.",
            "I do not like {hero}, who is {bad.a} {hero.job}.",
            "The {place} is {bad}, and so is the {food}.",
            "I am {low}. {hero} gave me {bad.a} {thing}.",
            "{hero} is {low} because the {thing} is {bad}.",
        ),
        (
            "{hero} has {bad.a} {thing}. I do not like it at all.",
            "What {bad.a} place the {place} is! I was {low} there.",
            "I ate {food} with {hero}. It was {bad}, and we [cried|left].",
        ),
    ),
}


class Sentiment(Family):
    """Whether a short text is positive or negative."""

    name, weight = "sentiment", 8
    obeys = verifiable = True

    def draft(self, scene: Scene, split: TaskSplit) -> Draft:
        label, other = scene.draws.choose((("positive", "negative"), ("negative", "positive")))
        told = scene.say(_TEXTS[label][split])
        before, after = combine(scene, split, *_FRAMES)
        full = scene.say((f"The text is {label}.", f"It is {label}."))
        return Draft(before + told + after, f"{label.capitalize()}.", full, (label,), (other,))
