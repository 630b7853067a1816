"""Questions about people who do not exist."""

from __future__ import annotations

from minillm.data.families.base import Family
from minillm.data.families.drawing import framed, of_everybody
from minillm.data.grammar import Scene
from minillm.data.questions import PEOPLE_RELATIONS, STRANGERS
from minillm.data.task_types import Draft, TaskSplit
from minillm.data.wording import Reading

__all__ = ["Strangers"]

_SORRY = ("I am sorry!", "I am sorry about that.", "Can you tell me more, please?")


class Strangers(Family):
    """A question about somebody who does not exist; the right answer is that one does not know."""

    name, weight = "strangers", 6
    earlier = 4
    lengths = (5, 25)

    def draft(self, scene: Scene, split: TaskSplit) -> Draft:
        relation = scene.draws.choose([relation for relation in PEOPLE_RELATIONS if relation.again])
        name = scene["hero"] = scene.draws.choose(STRANGERS[split])
        question = scene.say([q for q in relation.questions[split] if "{hero." not in q])
        full = scene.say((f"I do not know anybody called {name}.", f"I do not know {name}."))
        return Draft(
            framed(scene, split, question),
            "I do not know.",
            full,
            ("do not know",),
            tuple(dict.fromkeys(of_everybody(relation))),
            kind=scene.say(_SORRY),
        )

    def honest(self, reading: Reading) -> float:
        """Whether nothing is asserted of who does not exist."""
        return float(not reading.rivals)
