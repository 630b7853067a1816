"""Which characters are letters, digits and white space: always those that `tiktoken` takes for such.

Training and the plain encoder cut texts with the `regex` package, `Tokenizer.encode` with the engine inside
`tiktoken`. Each knows the characters of one version of Unicode, and a letter that only one of them knows is a symbol
to the other. `as_tiktoken_sees` puts a character that both take for the same in the place of each such character, so
the cuts fall in the same places. Which characters these are is found by asking both, once in a process.
"""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

import regex
import tiktoken

__all__ = ["as_tiktoken_sees"]

# Planes 4 to 13 have no characters yet, 15 and 16 are for private use in every version.
_PLANES = (*range(4), 14)
_UNKNOWN = r"\p{Cn}"
_STANDS_FOR = {r"\p{L}": "\u4e00", r"\p{N}": "\u0663", r"\s": "\u2003"}  # and an unassigned one for the rest


class _Differences(NamedTuple):
    """Characters that are of different kinds to the two: where to look, and what to put in their place."""

    suspects: re.Pattern[str] | None
    substitutes: dict[str, str]


def as_tiktoken_sees(text: str) -> str:
    """Return a text of the same length that `regex` cuts where `tiktoken` cuts the given one.

    Mostly that is the text itself, the same object.
    """
    if text.isascii():
        return text
    suspects, substitutes = _differences()
    if suspects is None or not suspects.search(text):
        return text
    changed = suspects.sub(lambda found: substitutes.get(found[0], found[0]), text)
    return text if changed == text else changed


@cache
def _differences() -> _Differences:
    every = "".join(chr(code) for plane in _PLANES for code in range(plane << 16, plane + 1 << 16))
    every = re.sub("[\ud800-\udfff]", "", every)
    theirs = {kind: _of_kind_in_tiktoken(kind, every) for kind in (*_STANDS_FOR, _UNKNOWN)}
    ours = {kind: set(regex.findall(kind, every)) for kind in (*_STANDS_FOR, _UNKNOWN)}
    different = set().union(*(theirs[kind] ^ ours[kind] for kind in theirs))
    substitutes = {}
    for character in sorted(different):
        unassigned = chr(ord(character) | 0xFFFF)  # the last code point of each plane, for ever
        kinds = (kind for kind in _STANDS_FOR if character in theirs[kind])
        substitutes[character] = _STANDS_FOR.get(next(kinds, ""), unassigned)
    if not substitutes:
        return _Differences(None, {})
    # One range for all planes but the first keeps the search fast.
    first_plane = "".join(re.escape(character) for character in substitutes if character < "\U00010000")
    return _Differences(re.compile(f"[{first_plane}\U00010000-\U0010ffff]"), substitutes)


def _of_kind_in_tiktoken(kind: str, every: str) -> set[str]:
    """Those characters that a pattern matches: what matches nothing gets no token, and here tokens are bytes."""
    single_bytes = {bytes([byte]): byte for byte in range(256)}
    encoding = tiktoken.Encoding(kind, pat_str=kind, mergeable_ranks=single_bytes, special_tokens={})
    return set(bytes(encoding.encode_ordinary(every)).decode("utf-8"))
