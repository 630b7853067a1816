"""The help desk of the village's shop and post office: a domain beside the usual families.

Late parcels, refunds, opening hours, order numbers to ask for and to repeat, and what the desk does not know. It speaks
in another manner than the other tasks do: an apology comes first, a number is asked for before anything is promised,
and nothing is said that is not known.

The things, the numbers and the combinations of wordings of the test never come up in training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from minillm.data.families.base import Family
from minillm.data.families.drawing import combine
from minillm.data.grammar import Scene
from minillm.data.questions import TEST_EVERY
from minillm.data.task_types import Draft, TaskSplit
from minillm.data.village import DAYS, NUMBERS

__all__ = ["HOURS", "Complaint", "Hours", "NumberGiven", "Order", "Thanks", "Unknown"]

HOURS = {"shop": ("nine", "six"), "post office": ("eight", "four")}  # what is open from when to when

_NOT_INVENTED = (*NUMBERS, *DAYS)  # numbers and days that an answer must not name unless they are right
_CLOSED_ON = "Sunday"
_HELLO = ("", "Hello! ", "Good morning. ", "Good day. ", "Excuse me. ", "Please help me. ", "Good evening. ")
_LATE = (
    "My {thing} is late.", "The {thing} has not come.", "I wait for my {thing}.", "Where is my {thing}?",
    "My {thing} is not here.", "The {thing} that I wanted has not come.", "When does my {thing} come?",
)  # fmt: skip
_BAD = (
    "The {thing} is {fault}.", "My {thing} came, but it is {fault}.", "I do not like the {thing}. It is {fault}.",
    "I want my coins back. The {thing} is {fault}.", "The new {thing} is {fault}.", "My {thing} is {fault}.",
)  # fmt: skip
_FAULTS = ("broken", "dirty", "too small", "too big", "wet", "crooked", "too heavy")
_WITH_NUMBER = (
    " My number is {number}.", " The number is {number}.", " It is number {number}.", " My order is {number}.",
    " It is order {number}.",
)  # fmt: skip
_NUMBER = (
    "It is {number}.",
    "The number is {number}.",
    "{number}.",
    "My number is {number}.",
    "Number {number}.",
)
_THANK_YOU = ("", "Yes. ", "Of course. ", "Thank you. ", "I have it here. ")
_WHEN_OPEN = (
    "When is the {desk} open?", "When does the {desk} open?", "Tell me when the {desk} is open.",
    "How long is the {desk} open?", "When can I come to the {desk}?",
)  # fmt: skip
_ON_SUNDAY = (
    "Is the {desk} open on Sunday?",
    "Can I come to the {desk} on Sunday?",
    "What of the {desk} on Sunday?",
)
_UNKNOWN = {
    "the price of the {thing}": ("What is the price of the {thing}?", "Tell me the price of the {thing}."),
    "how heavy the {thing} is": ("How heavy is the {thing}?", "Tell me how heavy the {thing} is."),
    "who made the {thing}": ("Who made the {thing}?", "Tell me who made the {thing}."),
    "who has another {thing}": ("Who has another {thing}?", "Tell me who has another {thing}."),
}
_THANKS = (
    "Thank you for your help.",
    "Thank you, that is all.",
    "Thank you, goodbye.",
    "Thank you very much.",
)
_ASK = "What is the number of your parcel?"


class _Desk(Family):
    """The manner of the desk: one style, questions belong to it, and no wish excuses an invented number or day."""

    styled = False
    asks_too = True
    excuses_wishes = False


class Complaint(_Desk):
    """A complaint without a number: an apology, and the question for it."""

    name, weight = "complaint", 25

    def draft(self, scene: Scene, split: TaskSplit) -> Draft:
        said, sorry, _, fault = _complaint(scene)
        prompt = "".join(combine(scene, split, _HELLO, said))
        return _draft(scene, prompt, f"{sorry} {_ASK}", (sorry, _ASK), fault)


class Order(_Desk):
    """A complaint with its number: an apology, the number again, and what the desk does."""

    name, weight = "order", 25

    def draft(self, scene: Scene, split: TaskSplit) -> Draft:
        said, sorry, remedy, fault = _complaint(scene)
        prompt = "".join(combine(scene, split, _HELLO, said, _WITH_NUMBER))
        answer, found = f"{sorry} I have found number {{number}}. {remedy}", "number {number}"
        slots = {"number": _number(scene, split), **fault}
        return _draft(scene, prompt, answer, (sorry, found, remedy), slots)


class NumberGiven(_Desk):
    """The number, after the desk has asked for it."""

    name, weight = "number", 20

    def draft(self, scene: Scene, split: TaskSplit) -> Draft:
        said, sorry, remedy, fault = _complaint(scene)
        asked = "".join(combine(scene, split, _HELLO, said))
        prompt = "".join(combine(scene, split, _THANK_YOU, _NUMBER))
        answer = f"Thank you! I have found number {{number}}. {remedy}"
        history = (("user", asked), ("assistant", f"{sorry} {_ASK}"))
        slots = {"number": _number(scene, split), **fault}
        return _draft(scene, prompt, answer, ("number {number}", remedy), slots, history)


class Hours(_Desk):
    """When the shop or the post office is open."""

    name, weight = "hours", 12

    def draft(self, scene: Scene, split: TaskSplit) -> Draft:
        desk = scene.draws.choose(tuple(HOURS))
        opens, closes = HOURS[desk]
        always = f"The {desk.split()[-1]} is open from {opens} to {closes}."
        closed = f"The {desk.split()[-1]} is closed on {_CLOSED_ON}."
        said, answer = scene.draws.choose(((_WHEN_OPEN, always), (_WHEN_OPEN, always), (_ON_SUNDAY, closed)))
        prompt = "".join(combine(scene, split, _HELLO, said))
        return _draft(scene, prompt, answer, (answer,), {"desk": desk})


class Unknown(_Desk):
    """What the desk cannot know; it says so, and whom to ask."""

    name, weight = "unknown", 12

    def draft(self, scene: Scene, split: TaskSplit) -> Draft:
        what = scene.draws.choose(tuple(_UNKNOWN))
        prompt = "".join(combine(scene, split, _HELLO, _UNKNOWN[what]))
        answer = f"I am sorry, I do not know {what}. Please ask Jonas in the shop."
        return _draft(scene, prompt, answer, ("do not know", "ask Jonas"))


class Thanks(_Desk):
    """The end of a conversation."""

    name, weight = "thanks", 6

    def draft(self, scene: Scene, split: TaskSplit) -> Draft:
        prompt = "".join(combine(scene, split, _HELLO, _THANKS))
        answer = "You are welcome. Come back to the shop."
        return _draft(scene, prompt, answer, ("You are welcome", "come back to the shop"))


def _number(scene: Scene, split: TaskSplit) -> str:
    """Two numbers in words; some of the pairs come up in the test only."""
    while True:
        one, two = (scene.draws.choose(range(1, len(NUMBERS))) for _ in range(2))
        if ((one + 2 * two) % TEST_EVERY == 0) == (split == "test"):
            return f"{NUMBERS[one]} {NUMBERS[two]}"


def _draft(
    scene: Scene,
    prompt: str,
    answer: str,
    keys: Sequence[str],
    slots: Mapping[str, str] | None = None,
    history: Sequence[tuple[str, str]] = (),
) -> Draft:
    """A task from templates with further slots; every number or day that the keys do not name is a rival."""

    def say(template: str) -> str:
        for name, value in (slots or {}).items():
            template = template.replace(f"{{{name}}}", value)
        return scene.say(template)

    before = tuple((role, say(content)) for role, content in history)
    prompt, answer, told = say(prompt), say(answer), tuple(say(key).rstrip(".?") for key in keys)
    named = {word for key in told for word in key.lower().split()}
    rivals = tuple(word for word in _NOT_INVENTED if word.lower() not in named)
    return Draft(prompt, answer, answer, told, rivals, before)


def _complaint(scene: Scene) -> tuple[tuple[str, ...], str, str, dict[str, str]]:
    """What is wrong: the user's words, the desk's apology, what it will do, and the fault."""
    if scene.draws.choose((True, False)):
        return _LATE, "I am sorry that your {thing} is late.", "I will look for it.", {}
    fault = {"fault": scene.draws.choose(_FAULTS)}
    return _BAD, "I am sorry that your {thing} is {fault}.", "You will get your coins back.", fault
