"""How people type: in small letters or in capitals, without a question mark, with a slip of the fingers."""

from __future__ import annotations

import re

from minillm.data.grammar import Draws

__all__ = ["as_typed"]

_WORD = re.compile(r"[A-Za-z]+")
_SLIP_FROM = 4  # letters that a word has at least in which a finger slips
_WAYS = {"no end": 3, "small start": 3, "small": 2, "capitals": 1, "slip": 3}


def as_typed(draws: Draws, text: str, answer: str) -> str:
    """The text as somebody in a hurry types it.

    Words that come again in the answer are spelled as they should be: nobody can repeat rightly what was not said.
    """
    way = draws.weighted(_WAYS)
    if way == "capitals":
        return text.upper()
    if way == "small":
        return _without_end(draws, text.lower())
    if way == "small start":
        return _without_end(draws, text[0].lower() + text[1:])
    if way == "slip":
        return _with_slip(draws, text, answer)
    return text.rstrip(".?! ") or text


def _without_end(draws: Draws, text: str) -> str:
    """The text with or without the mark at its end."""
    return (text.rstrip(".?! ") or text) if draws.choose((True, False)) else text


def _with_slip(draws: Draws, text: str, answer: str) -> str:
    """The text with one word misspelled: two letters exchanged, one left out, or one twice."""
    again = {word.lower() for word in _WORD.findall(answer)}
    words = [
        word
        for word in _WORD.finditer(text)
        if len(word[0]) >= _SLIP_FROM and word[0].lower() not in again and word[0][1:].islower()
    ]
    if not words:
        return text
    word = draws.choose(words)
    at = word.start() + draws.choose(range(1, len(word[0]) - 1))
    one, two = text[at], text[at + 1]
    slip = draws.choose((two + one, two, one + one + two))
    return text[:at] + slip + text[at + 2 :]
