"""Two tools that a model may call in plain text, a calculator and the village register: how a call is read and run.

A call is a whole answer of one line, in one of two forms:

    call calculator: 47 + 38
    call register: Viock, pet

What comes back is the next message, in the user's turn, since the chat format has no mark of its own for tools:

    result: 85

What a model writes is never trusted. A call is matched against its form as a whole; what does not fit is refused, and
nothing of it runs. There is no `eval` here, no file, no loop over what the model says, and no number with more digits
than `MOST_DIGITS`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

__all__ = [
    "ERROR",
    "REGISTER_FIELDS",
    "RESULT",
    "NOT_LISTED",
    "Call",
    "Register",
    "is_call",
    "parse_call",
    "run_call",
]

MOST_DIGITS = 4  # of a number that is calculated with
MOST_LETTERS = 20  # of a name that is looked up
RESULT, ERROR, NOT_LISTED = "result: ", "error", "unknown"
REGISTER_FIELDS = ("job", "home", "pet", "pet name", "food", "colour", "hobby", "day", "date", "weather")
"""What the register can be asked for: seven things about a villager, three about today."""

_CALL = "call "
_ASCII = re.ASCII  # other writings of a digit or a letter are refused
_SUM = re.compile(rf"call calculator: ([0-9]{{1,{MOST_DIGITS}}}) ([+\-*]) ([0-9]{{1,{MOST_DIGITS}}})", _ASCII)
_LOOK_UP = re.compile(
    rf"call register: ([A-Za-z]{{1,{MOST_LETTERS}}}), ({'|'.join(sorted(REGISTER_FIELDS, key=len, reverse=True))})",
    _ASCII,
)
_OPERATIONS: Mapping[str, Callable[[int, int], int]] = MappingProxyType(
    {"+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b}
)


@dataclass(frozen=True)
class Call:
    """A call that has the right form.

    Attributes:
        tool: "calculator" or "register".
        arguments: of the calculator a number, a sign and a number; of the register a name and a field.
    """

    tool: str
    arguments: tuple[str, ...]


class Register:
    """The village register: who lives here, and what day it is. It only answers; nothing can be written through a call.

    Args:
        entries: for each name, which is compared without case, the fields that are known.

    >>> Register({"today": {"day": "Monday"}}).look_up("Today", "day")
    'Monday'
    """

    def __init__(self, entries: Mapping[str, Mapping[str, str]]) -> None:
        self._entries = {name.lower(): dict(fields) for name, fields in entries.items()}

    def look_up(self, name: str, field: str) -> str:
        """What is known, or "unknown"."""
        return self._entries.get(name.lower(), {}).get(field, NOT_LISTED)


def is_call(text: str) -> bool:
    """Whether an answer is meant as a call, well formed or not: it is not shown to the user."""
    return text.startswith(_CALL)


def parse_call(text: str) -> Call | None:
    """A call, if the whole text is one in exactly the right form; else None.

    >>> parse_call("call calculator: 47 + 38")
    Call(tool='calculator', arguments=('47', '+', '38'))
    >>> parse_call("call calculator: 9 + (1 + 2)") is None
    True
    """
    if match := _SUM.fullmatch(text):
        return Call("calculator", match.groups())
    if match := _LOOK_UP.fullmatch(text):
        return Call("register", match.groups())
    return None


def run_call(text: str, register: Register) -> str:
    """The message that answers a call: "result: " and what was found, or "error" for what is no proper call.

    >>> run_call("call calculator: 47 + 38", Register({}))
    'result: 85'
    >>> run_call("call calculator: 2 ** 99999999", Register({}))
    'result: error'
    """
    call = parse_call(text)
    if call is None:
        return RESULT + ERROR
    if call.tool == "register":
        return RESULT + register.look_up(*call.arguments)
    left, sign, right = call.arguments
    return RESULT + str(_OPERATIONS[sign](int(left), int(right)))
