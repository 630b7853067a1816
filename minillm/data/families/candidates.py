"""Who and what else an answer names beside its key: others of the key's kind, strangers among them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache

from minillm.data import village
from minillm.data.families.drawing import word_set
from minillm.data.lexicon import known_words
from minillm.data.names import REAL_NAMES
from minillm.data.wording import SENTENCE, Reading, naming_words, said, words_of

__all__ = ["others_said"]

_CAPITAL = re.compile(r"\b[A-Z][\w-]*")
_VILLAGERS = tuple(str(person) for person in village.PEOPLE)
_STRANGERS = (*REAL_NAMES.train, *REAL_NAMES.test)


def others_said(reading: Reading, kinds: Iterable[tuple[str, ...]]) -> list[str]:
    """What an answer says, and does not deny, of the kinds that the keys are of; what the question names is no other.

    Where a key is a villager, anybody else is another: the real names of `minillm.data.names`, and whatever is written
    as a name and is no word of the village's language.

    Args:
        reading: the answer.
        kinds: all that there is of each kind.
    """
    keys = {key.lower() for key in reading.task.keys}
    others = [other for kind in kinds if not keys.isdisjoint(_lower(kind)) for other in kind]
    if not keys.isdisjoint(_lower(_VILLAGERS)):
        words = {word for claim in reading.claims for word in naming_words(claim)}
        others += [*(name for name in _STRANGERS if name.lower() in words), *_made_up_names(reading)]
    same = [word_set(phrase) for phrase in (SENTENCE.findall(reading.task.question)[-1], *keys)]
    others = [other for other in others if not any(word_set(other) <= words for words in same)]
    return said(others, reading.claims)


def _made_up_names(reading: Reading) -> list[str]:
    """What is written as a name, of nobody and nothing in the village or the conversation."""
    names = [name for claim in reading.claims for name in _CAPITAL.findall(claim)]
    return [name for name in names if not set(words_of(name)) <= known_words() | reading.matter]


@cache
def _lower(names: tuple[str, ...]) -> frozenset[str]:
    return frozenset(map(str.lower, names))
