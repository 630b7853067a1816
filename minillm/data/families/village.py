"""Facts about the villagers."""

from __future__ import annotations

from minillm.data.families.base import Family
from minillm.data.families.candidates import others_said
from minillm.data.families.drawing import ask_about, framed, of_everybody
from minillm.data.grammar import Scene
from minillm.data.questions import AGAIN, OTHERS, PEOPLE_RELATIONS, Relation
from minillm.data.task_types import Draft, TaskSplit
from minillm.data.wording import Reading

__all__ = ["Village"]


class Village(Family):
    """A fact about a villager; now and then a second one, about "him" or "her", or the same about somebody else."""

    name, weight = "village", 18
    obeys = verifiable = has_subject = True
    earlier = 2
    typed = 8

    def draft(self, scene: Scene, split: TaskSplit) -> Draft:
        relation = scene.draws.choose(PEOPLE_RELATIONS)
        if not relation.again or scene.draws.choose(range(3)):
            return ask_about(scene, split, relation, of_everybody(relation))
        if scene.draws.choose((True, False, False)):
            return self._somebody_else(scene, split, relation)
        first = scene.draws.choose([r for r in PEOPLE_RELATIONS if r is not relation])
        history = self._asked(scene, split, first)
        how = scene.draws.choose(AGAIN[split])
        question = scene.say(how.replace("{it}", relation.again).replace("{brief}", relation.brief))
        return ask_about(scene, split, relation, of_everybody(relation), question, history)

    def _somebody_else(self, scene: Scene, split: TaskSplit, relation: Relation) -> Draft:
        """The question that was answered for one villager, asked about another."""
        history = self._asked(scene, split, relation)
        scene["hero"] = scene["friend"]
        question = scene.say(scene.draws.choose(OTHERS[split]))
        return ask_about(scene, split, relation, of_everybody(relation), question, history)

    def candidates(self, reading: Reading) -> list[str]:
        """The rivals that it says, and where somebody is asked for, people from elsewhere."""
        return [*reading.candidates, *others_said(reading, ())]

    @staticmethod
    def _asked(scene: Scene, split: TaskSplit, relation: Relation) -> tuple[tuple[str, str], ...]:
        """A question and its answer."""
        asked = framed(scene, split, scene.say(relation.questions[split]))
        return (("user", asked), ("assistant", scene.say(relation.full)))
