"""Questions about passages made up on the spot."""

from __future__ import annotations

from collections.abc import Mapping

from minillm.data import passages
from minillm.data.families.base import Family
from minillm.data.families.candidates import others_said
from minillm.data.families.drawing import SLOT, combine, word_set
from minillm.data.grammar import Scene
from minillm.data.remarks import subjects
from minillm.data.task_types import Draft, Task, TaskSplit
from minillm.data.wording import SENTENCE, Reading, naming_words
from minillm.data.world import POOLS

__all__ = ["Passages"]

_KIN = {"friend": "hero", "low": "mood", "glad": "mood"}  # slots that can be mistaken for one another

# Before a passage, and between it and the question about it.
_FRAMES = (
    ("", "Read this: ", "Here is a text. ", "Please read. ", "Listen. ", "Here is a story. "),
    ("", "Now a question: ", "Tell me: ", "A question: "),
)
# The answer to each question of `minillm.data.passages.PASSAGES` as a sentence. It takes up what was asked before it
# says what was found: the words of the question lead the model to the place in the passage where the answer stands.
_SENTENCES = {
    "Who has the {thing}?": "The one who has the {thing} is {hero}.",
    "Who has the {thing2}?": "The one who has the {thing2} is {friend}.",
    "What does {hero} have?": "{hero} has {adj.a} {thing}.",
    "What does {friend} have?": "{friend} has {adj2.a} {thing2}.",
    "Where was {hero}?": "{hero} was at the {place}.",
    "Who was at the {place}?": "The one at the {place} was {hero}.",
    "What did {hero} have at the {place}?": "At the {place}, {hero} had {adj.a} {thing}.",
    "How was the weather?": "It was {weather}.",
    "Where is {hero}?": "{hero} is at the {place}.",
    "Where is {friend}?": "{friend} is at the {place2}.",
    "Who is at the {place}?": "The one at the {place} is {hero}.",
    "Who is at the {place2}?": "The one at the {place2} is {friend}.",
    "When did {hero} go to the {place}?": "{hero} went there on {day}.",
    "Where did {hero} go on {day}?": "{hero} went to the {place}.",
    "What did {hero} take to the {place}?": "{hero} took {adj.a} {thing}.",
    "Who took {adj.a} {thing} to the {place}?": "The one who took it is {hero}.",
    "How does {hero} feel?": "{hero} is {low}.",
    "How does {friend} feel?": "{friend} is {glad}.",
    "Who is {low}?": "The one who is {low} is {hero}.",
    "Who is {glad}?": "The one who is {glad} is {friend}.",
    "What did {hero} eat?": "{hero} ate {food}.",
    "What did {friend} eat?": "{friend} ate {food2}.",
    "Who ate {food}?": "The one who ate {food} is {hero}.",
    "Who ate {food2}?": "The one who ate {food2} is {friend}.",
    "Where is the {thing}?": "The {thing} is {spot}.",
    "Where is the {thing2}?": "The {thing2} is {spot2}.",
    "What is {spot}?": "{spot} is the {thing}.",
    "What is {spot2}?": "{spot2} is the {thing2}.",
    "Who has hidden the {thing}?": "The one who has hidden it is {hero}.",
    "Who has the {thing} now?": "The one who has the {thing} now is {friend}.",
    "Who gave the {thing} away?": "The one who gave the {thing} away is {hero}.",
    "Where did {hero} meet {friend}?": "They met at the {place}.",
    "What did {friend} get?": "{friend} got {adj.a} {thing}.",
    "What did {hero} see?": "{hero} saw {animal.a}.",
    "Who saw {animal.a}?": "The one who saw {animal.a} is {hero}.",
    "Where was the {animal}?": "The {animal} was at the {place}.",
    "How was the {animal}?": "It was {state}.",
    "When did {hero} see the {animal}?": "It was on {day}.",
    "What colour is the {thing}?": "The {thing} of {hero} is {colour}.",
    "What colour is the {thing2}?": "The {thing2} of {friend} is {colour2}.",
    "What is {colour}?": "The {colour} one is the {thing}.",
    "What is {colour2}?": "The {colour2} one is the {thing2}.",
}


class Passages(Family):
    """A question about a passage made up on the spot."""

    name, weight = "reading", 26
    obeys = verifiable = has_subject = True

    def draft(self, scene: Scene, split: TaskSplit) -> Draft:
        passage, *questions = scene.draws.choose(passages.PASSAGES)
        told = scene.say(passage)
        question, answer = scene.draws.choose(questions)
        asked, short = scene.say(question), scene.say(answer)
        wanted = SLOT.findall(answer)
        others = [
            slot
            for slot in SLOT.findall(passage.partition(" // ")[0])
            if slot in scene and slot not in wanted
        ]
        rivals = [str(scene[slot]) for slot in others if _kin(slot) in map(_kin, wanted)]
        before, between = combine(scene, split, *_FRAMES)
        return Draft(
            f"{before}{told} {between}{asked}",
            short + ".",
            scene.say(_SENTENCES[question]),
            tuple(str(scene[slot]) for slot in wanted),
            tuple(dict.fromkeys(rival for rival in rivals if not word_set(rival) <= word_set(asked))),
        )

    def about(self, task: Task) -> Mapping[str, frozenset[str]]:
        """Whom and what the question after the passage names."""
        return subjects(naming_words(SENTENCE.findall(task.question)[-1]))

    def candidates(self, reading: Reading) -> list[str]:
        """Whatever it says of a kind that is asked for, whether the passage names it or not."""
        return [*reading.candidates, *others_said(reading, _KINDS)]


def _kin(slot: str) -> str:
    name = slot.rstrip("0123456789")
    return _KIN.get(name, name)


# All that there is of each kind that is asked for.
_ANSWERS = " ".join(answer for _, *asked in passages.PASSAGES for _, answer in asked)
_KINDS = [tuple(map(str, POOLS[kind])) for kind in sorted(set(map(_kin, SLOT.findall(_ANSWERS))))]
