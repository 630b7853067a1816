"""The words of the village's language, by which the judge tells a word from what is none."""

from __future__ import annotations

from functools import cache

from minillm.data import phrases
from minillm.data.wording import GLUE, words_of
from minillm.data.world import World

__all__ = ["known_words"]

_DOCUMENTS = 2000  # more of them have hardly another word
_PHRASES = (
    *phrases.KIND_ENDINGS,
    *phrases.KIND_OFFERS,
    *phrases.RUDE,
    *phrases.ASIDES,
    *phrases.GOOD,
    *phrases.BAD,
)


@cache
def known_words() -> frozenset[str]:
    """The words of the world's documents, and those that answers of all kinds are made of, in lower case.

    >>> known_words() >= {"kite", "pancakes", "frightened", "glad"}, "frigh" in known_words()
    (True, False)
    """
    texts = [document.text for document in World().documents(_DOCUMENTS)]
    return GLUE | frozenset(words_of(" ".join([*texts, *_PHRASES])))
