"""Letters: a domain that answers questions about the village and the world in the form of a letter."""

from __future__ import annotations

from dataclasses import replace

from minillm.data.families.base import Family
from minillm.data.families.strangers import Strangers, admitted
from minillm.data.families.village import Village
from minillm.data.families.world import WideWorld
from minillm.data.grammar import Scene
from minillm.data.task_types import Draft, TaskSplit
from minillm.data.wording import Reading

__all__ = ["Letter"]

_ASKED: tuple[Family, ...] = (Village(), WideWorld(), Strangers())
_BEGINS, _ENDS = "My friend,", "That is all in my letter."


class Letter(Family):
    """A question about the village or the world, answered in the form of a letter."""

    name, weight = "letter", 1
    styled = False
    has_subject = True

    def draft(self, scene: Scene, split: TaskSplit) -> Draft:
        draft = scene.draws.choose(_ASKED).draft(scene, split)
        letter = f"{_BEGINS} {draft.full} {_ENDS}"
        keys = (*draft.keys, _BEGINS.rstrip(","), _ENDS.rstrip("."))
        return replace(draft, short=letter, full=letter, keys=keys)

    def correct(self, reading: Reading) -> float:
        """What is asked for in the form of a letter, or that it is not known."""
        if reading.task.keys[0] != "do not know":
            return super().correct(reading)
        return 0.0 if reading.rivals else admitted(reading)
