"""Facts about the villagers."""

from __future__ import annotations

from minillm.data.families.base import Family
from minillm.data.families.drawing import ask_about, framed, of_everybody
from minillm.data.grammar import Scene
from minillm.data.questions import AGAIN, PEOPLE_RELATIONS
from minillm.data.task_types import Draft, TaskSplit

__all__ = ["Village"]


class Village(Family):
    """A fact about a villager; now and then a second one, about "him" or "her"."""

    name, weight = "village", 18
    obeys = verifiable = has_subject = True
    earlier = 2

    def draft(self, scene: Scene, split: TaskSplit) -> Draft:
        relation = scene.draws.choose(PEOPLE_RELATIONS)
        if not relation.again or scene.draws.choose(range(4)):
            return ask_about(scene, split, relation, of_everybody(relation))
        first = scene.draws.choose([r for r in PEOPLE_RELATIONS if r is not relation])
        asked = framed(scene, split, scene.say(first.questions[split]))
        history = (("user", asked), ("assistant", scene.say(first.full)))
        question = scene.say(scene.draws.choose(AGAIN[split]).replace("{it}", relation.again))
        return ask_about(scene, split, relation, of_everybody(relation), question, history)
