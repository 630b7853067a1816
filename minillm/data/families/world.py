"""Facts about the wide world: animals, capitals, opposites, colours, the calendar."""

from __future__ import annotations

from minillm.data import village
from minillm.data.families.base import Family
from minillm.data.families.drawing import ask_about, split_items
from minillm.data.grammar import Scene
from minillm.data.questions import WORLD_RELATIONS
from minillm.data.task_types import Draft, TaskSplit

__all__ = ["WideWorld"]

_SUBJECTS = {
    "country": split_items(village.CAPITALS),
    "coloured": split_items(village.COLOURED),
    "opposite": split_items(village.OPPOSITES),
    "day": split_items(zip(village.DAYS, (*village.DAYS[1:], village.DAYS[0]), strict=True)),
    "month": split_items(zip(village.MONTHS, (*village.MONTHS[1:], village.MONTHS[0]), strict=True)),
}


class WideWorld(Family):
    """A fact about the wide world."""

    name, weight = "world", 10
    obeys = verifiable = has_subject = True
    earlier = 3
    typed = 8

    def draft(self, scene: Scene, split: TaskSplit) -> Draft:
        topic = scene.draws.choose(tuple(WORLD_RELATIONS))
        values = _set_subject(scene, split, topic)
        return ask_about(scene, split, WORLD_RELATIONS[topic], values)


def _set_subject(scene: Scene, split: TaskSplit, topic: str) -> list[str]:
    """Fill the slots of a question about the wide world; what could be answered to its kind."""
    if topic in ("capital", "country"):
        scene["country"], scene["capital"] = scene.draws.choose(_SUBJECTS["country"][split])
        return [pair[topic == "capital"] for pair in village.CAPITALS]
    if topic == "opposite":
        pair = scene.draws.choose(_SUBJECTS["opposite"][split])
        scene["one"], scene["other"] = scene.draws.choose((pair, pair[::-1]))
        return [word for pair in village.OPPOSITES for word in pair]
    if topic == "colour":
        scene["coloured"], scene["its_colour"] = scene.draws.choose(_SUBJECTS["coloured"][split])
        return [colour for _, colour in village.COLOURED]
    if topic == "after":
        kind = scene.draws.choose(("day", "month"))
        scene["before"], scene["after"] = scene.draws.choose(_SUBJECTS[kind][split])
        return [*village.DAYS, *village.MONTHS]
    attribute = {"sound": "sound", "young": "young", "sleeps": "home", "eats": "food"}[topic]
    return [str(getattr(animal, attribute)) for animal in village.ANIMALS]
