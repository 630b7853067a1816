"""Domains beside the ten families of tasks: a help desk, and letters. Chapter 08 makes specialists for them.

**The help desk** of the village's shop and post office: late parcels, refunds, opening hours, order numbers to ask for
and to repeat, and what the desk does not know. It speaks in another manner than the other tasks do: an apology comes
first, a number is asked for before anything is promised, and nothing is said that is not known.

**Letters** answer questions about the village and the world in the form of a letter.

The things, the numbers and the combinations of wordings of the test never come up in training.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from minillm.data.families import FAMILIES, Draft, combine
from minillm.data.grammar import Scene
from minillm.data.questions import TEST_EVERY, Split
from minillm.data.village import DAYS, NUMBERS

__all__ = ["DOMAINS", "HELP_DESK", "HOURS", "NOT_INVENTED"]

HOURS = {"shop": ("nine", "six"), "post office": ("eight", "four")}  # what is open from when to when
NOT_INVENTED = (*NUMBERS, *DAYS)  # numbers and days that an answer must not name unless they are right

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


def _number(scene: Scene, split: Split) -> str:
    """Two numbers in words; some of the pairs come up in the test only."""
    while True:
        one, two = (scene.draws.choose(range(1, len(NUMBERS))) for _ in range(2))
        if ((one + 2 * two) % TEST_EVERY == 0) == (split == "test"):
            return f"{NUMBERS[one]} {NUMBERS[two]}"


def _draft(scene: Scene, prompt: str, answer: str, *keys: str, history: tuple = (), **values: str) -> Draft:
    """A task from templates; every number or day that the keys do not name is a rival."""

    def say(template: str) -> str:
        for name, value in values.items():
            template = template.replace(f"{{{name}}}", value)
        return scene.say(template)

    history = tuple((role, say(content)) for role, content in history)
    prompt, answer, told = say(prompt), say(answer), tuple(say(key).rstrip(".?") for key in keys)
    named = {word for key in told for word in key.lower().split()}
    rivals = tuple(word for word in NOT_INVENTED if word.lower() not in named)
    return Draft(prompt, answer, answer, told, rivals, history)


def _complaint(scene: Scene) -> tuple[tuple[str, ...], str, str, dict[str, str]]:
    """What is wrong: the user's words, the desk's apology, what it will do, and the fault."""
    if scene.draws.choose((True, False)):
        return _LATE, "I am sorry that your {thing} is late.", "I will look for it.", {}
    fault = {"fault": scene.draws.choose(_FAULTS)}
    return _BAD, "I am sorry that your {thing} is {fault}.", "You will get your coins back.", fault


def _without_number(scene: Scene, split: Split) -> Draft:
    """A complaint without a number: an apology, and the question for it."""
    said, sorry, _, fault = _complaint(scene)
    prompt = "".join(combine(scene, split, _HELLO, said))
    return _draft(scene, prompt, f"{sorry} {_ASK}", sorry, _ASK, **fault)


def _with_number(scene: Scene, split: Split) -> Draft:
    """A complaint with its number: an apology, the number again, and what the desk does."""
    said, sorry, remedy, fault = _complaint(scene)
    prompt = "".join(combine(scene, split, _HELLO, said, _WITH_NUMBER))
    answer, found = f"{sorry} I have found number {{number}}. {remedy}", "number {number}"
    return _draft(scene, prompt, answer, sorry, found, remedy, number=_number(scene, split), **fault)


def _number_given(scene: Scene, split: Split) -> Draft:
    """The number, after the desk has asked for it."""
    said, sorry, remedy, fault = _complaint(scene)
    asked = "".join(combine(scene, split, _HELLO, said))
    prompt = "".join(combine(scene, split, _THANK_YOU, _NUMBER))
    answer = f"Thank you! I have found number {{number}}. {remedy}"
    history = (("user", asked), ("assistant", f"{sorry} {_ASK}"))
    number = _number(scene, split)
    return _draft(scene, prompt, answer, "number {number}", remedy, history=history, number=number, **fault)


def _hours(scene: Scene, split: Split) -> Draft:
    """When the shop or the post office is open."""
    desk = scene.draws.choose(tuple(HOURS))
    opens, closes = HOURS[desk]
    always = f"The {desk.split()[-1]} is open from {opens} to {closes}."
    closed = f"The {desk.split()[-1]} is closed on {_CLOSED_ON}."
    said, answer = scene.draws.choose(((_WHEN_OPEN, always), (_WHEN_OPEN, always), (_ON_SUNDAY, closed)))
    return _draft(scene, "".join(combine(scene, split, _HELLO, said)), answer, answer, desk=desk)


def _not_known(scene: Scene, split: Split) -> Draft:
    """What the desk cannot know; it says so, and whom to ask."""
    what = scene.draws.choose(tuple(_UNKNOWN))
    prompt = "".join(combine(scene, split, _HELLO, _UNKNOWN[what]))
    answer = f"I am sorry, I do not know {what}. Please ask Jonas in the shop."
    return _draft(scene, prompt, answer, "do not know", "ask Jonas")


def _thanks(scene: Scene, split: Split) -> Draft:
    """The end of a conversation."""
    prompt = "".join(combine(scene, split, _HELLO, _THANKS))
    return _draft(
        scene, prompt, "You are welcome. Come back to the shop.", "You are welcome", "come back to the shop"
    )


HELP_DESK = {
    "complaint": (_without_number, 25),
    "order": (_with_number, 25),
    "number": (_number_given, 20),
    "hours": (_hours, 12),
    "unknown": (_not_known, 12),
    "thanks": (_thanks, 6),
}

_LETTER_BEGINS, _LETTER_ENDS = "My friend,", "That is all in my letter."


def _letter(scene: Scene, split: Split) -> Draft:
    """A question about the village or the world, answered in the form of a letter."""
    draft = FAMILIES[scene.draws.choose(("village", "world", "strangers"))][0](scene, split)
    letter = f"{_LETTER_BEGINS} {draft.full} {_LETTER_ENDS}"
    keys = (*draft.keys, _LETTER_BEGINS.rstrip(","), _LETTER_ENDS.rstrip("."))
    return replace(draft, short=letter, full=letter, keys=keys)


# Each domain: its families, as `FAMILIES` has them.
DOMAINS: dict[str, dict[str, tuple[Callable[[Scene, Split], Draft], int]]] = {
    "help desk": HELP_DESK,
    "letters": {"letter": (_letter, 1)},
}
