"""What a family of tasks is: it writes its tasks, and says what of their answers is judged in a way of its own.

A family is one file with a subclass of :class:`Family`, and one line in the registry of
:mod:`minillm.data.families`. What a subclass leaves out is as usual.
"""

from __future__ import annotations

from collections.abc import Mapping

from minillm.data.grammar import Scene
from minillm.data.remarks import subjects
from minillm.data.task_types import Draft, Task, TaskSplit
from minillm.data.wording import Reading, denies, naming_words

__all__ = ["USUAL_LENGTHS", "Family"]

USUAL_LENGTHS = (3, 20)
_GUESSES = 3  # so many rival answers at once are no answer


class Family:
    """A kind of task.

    Attributes:
        name: of the family, as tasks and reports have it.
        weight: how often it is written, in parts of the sum of all families.
        styled: whether its answers come in several styles and after other exchanges; a domain's do not.
        obeys: whether a system message can ask for a style of its answers.
        stands_alone: whether no other exchanges come before it.
        earlier: its place, from 1, among the families that come up earlier in a conversation; 0: it never does.
        typed: one in so many of its messages is written as people in a hurry type them; 0: none.
        answer_room: tokens of the context that few-shot examples leave for its answer.
        verifiable: whether a program can tell a right answer from a wrong one, so that it may serve as a reward.
        lengths: the fewest and the most words of a good answer.
        asks_too: whether a question in an answer counts as said.
        excuses_wishes: whether a friendly wish ("Have a good day!") is never taken for a rival answer.
        may_wander: whether an answer may have sentences that share no word with the conversation.
        has_subject: whether it asks about somebody or something, so that what is said of another is no answer.
    """

    name: str = ""
    weight: int = 1
    styled: bool = True
    obeys: bool = False
    stands_alone: bool = False
    earlier: int = 0
    typed: int = 0
    answer_room: int = 45
    verifiable: bool = False
    lengths: tuple[int, int] = USUAL_LENGTHS
    asks_too: bool = False
    excuses_wishes: bool = True
    may_wander: bool = False
    has_subject: bool = False

    # -- writing --

    def draft(self, scene: Scene, split: TaskSplit) -> Draft:
        """Write a task of the split from the draws of a scene."""
        raise NotImplementedError(f"the family {self.name!r} writes no tasks; give it a method `draft`")

    def without_steps(self, draft: Draft) -> Draft:
        """The draft with a bare result in the place of an answer worked out in steps."""
        return draft

    # -- marking --

    def read(self, task: Task, answer: str) -> Reading:
        """An answer, taken apart."""
        about = self.about(task) if self.has_subject else None
        return Reading(task, answer, asks_too=self.asks_too, excuses_wishes=self.excuses_wishes, about=about)

    def about(self, task: Task) -> Mapping[str, frozenset[str]]:
        """Whom and what the user's last message names, or an earlier one ("And her job?"), by kind."""
        asked = [subjects(naming_words(content)) for role, content in task.messages if role == "user"]
        return next((found for found in reversed(asked) if found), {})

    def correct(self, reading: Reading) -> float:
        """How far it is right (0-1): the share of the keys that are said; 0 with a rival answer or a second guess."""
        return 0.0 if reading.rivals or reading.hedges else len(reading.keys) / len(reading.task.keys)

    def form(self, reading: Reading) -> float | None:
        """How far it has the family's own form (0-1); None: whatever style the system asks for."""
        return None

    def honest(self, reading: Reading) -> float:
        """How far nothing is asserted that cannot be known (0-1)."""
        return 1.0

    def addressed(self, reading: Reading) -> str:
        """The part of an answer that speaks to the user, and must not be rude."""
        return reading.answer

    def candidates(self, reading: Reading) -> list[str]:
        """What else it says that could be taken for the answer, be it in a true remark; `verify` allows none."""
        return reading.candidates

    def contradicts_itself(self, reading: Reading) -> bool:
        """Whether an answer says a thing and its rival or its denial, or guesses at many."""
        if reading.rivals and (reading.keys or len(reading.rivals) >= _GUESSES):
            return True
        return any(denies(sentence, key) for key in reading.keys for sentence in reading.own)
