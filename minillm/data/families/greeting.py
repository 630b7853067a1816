"""Small talk."""

from __future__ import annotations

from minillm.data.families.base import Family
from minillm.data.families.drawing import combine
from minillm.data.grammar import Scene
from minillm.data.names import outside_name
from minillm.data.task_types import Draft, TaskSplit
from minillm.data.village import PEOPLE
from minillm.data.wording import Reading, said, says

__all__ = ["Greeting"]

_DELIGHTED = ("It is lovely to see you!", "I am glad to see you!", "What a lovely day it is!")

# Each row: how a greeting begins and goes on, the answer in short and in full, and what a right answer contains.
_GREETINGS = (
    *(
        (
            (
                (f"{hail}!", f"{hail},", f"{hail} to you!"),
                (" I am {hero}.", " my name is {hero}.", " this is {hero}.", " {hero} here."),
            ),
            f"{hail}, {{hero}}!",
            f"{hail}, {{hero}}! [How can I help you|What can I do for you]?",
            "{hero}",
        )
        for hail in ("Hello", "Good morning", "Good evening", "Good day")
    ),
    *(
        (
            ((hail,), ("!", " to you!", ", my friend!", ", dear friend!")),
            f"{hail}!",
            f"{hail}! [How can I help you|What can I do for you]?",
            hail,
        )
        for hail in ("Hello", "Good morning", "Good evening", "Good day")
    ),
    (
        (("Thank you", "Many thanks"), ("!", " for your help.", " for that.", " for the answer.")),
        "You are welcome.",
        "You are welcome. [Come back soon|It was nice to help you]!",
        "you are welcome",
    ),
    (
        (("Goodbye", "Good night"), ("!", ", my friend!", ", see you soon!", ", I must go now.")),
        "Goodbye!",
        "Goodbye! [Come back soon|Sleep well]!",
        "goodbye",
    ),
    (
        (
            ("", "Hello! ", "Good morning! "),
            ("Who are you?", "What are you?", "Are you a person?", "What is your name?"),
        ),
        "A small language model.",
        "I am a small language model [from|of] Pennywell.",
        "language model",
    ),
    (
        (
            ("", "Hello! ", "Good morning! "),
            ("How are you?", "How do you feel?", "Are you well?", "How are you today?"),
        ),
        "I am well.",
        "I am well, thank you. [How are you|How can I help you]?",
        "I am well",
    ),
)


class Greeting(Family):
    """Small talk."""

    name, weight = "greeting", 4
    earlier = 1
    typed = 8
    lengths = (3, 20)
    asks_too = may_wander = True

    def draft(self, scene: Scene, split: TaskSplit) -> Draft:
        greeting, short, full, key = scene.draws.choose(_GREETINGS)
        if scene.draws.choose((True, False)):
            scene["hero"] = outside_name(scene.draws, split)  # most visitors do not live in the village
        prompt = scene.say("".join(combine(scene, split, *greeting)))
        return Draft(
            prompt,
            scene.say(short),
            scene.say(full),
            (scene.say(key, capital=False),),
            kind=scene.say(_DELIGHTED),
        )

    def correct(self, reading: Reading) -> float:
        """Whoever says their name is greeted by it; half for a greeting without it, or the name alone."""
        share = super().correct(reading)
        names = {str(person) for person in PEOPLE}
        if reading.rivals or not set(reading.task.keys) <= names:
            return share
        if said(sorted(names - set(reading.task.keys)), reading.own):
            return 0.0
        return (share + says(reading.answer, "hello")) / 2
