"""The micro-world: an endless, exactly measurable language to train on, with nothing to download.

Pennywell is a village of two dozen people with fixed homes, pets and tastes, in a world with real animals, capitals
and seasons. :meth:`World.document` writes its documents: stories, letters, questions, rhymes, sums. A document is a
pure function of a seed and an index, equal on every machine, and carries the exact log-probability of the choices
that made it. The mean of its negative over documents is the entropy of the language: no model can have a lower loss.
Where a text could have come about in two ways that floor is an upper bound, since the text is then more probable than
either derivation.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass

from minillm.data import knowledge, passages, scenes, village
from minillm.data.grammar import Draws, Fact, RandomDraws, Scene, Word

__all__ = [
    "FRESH",
    "POOLS",
    "TEST_SEED",
    "TRAIN_SEED",
    "VALIDATION_SEED",
    "Document",
    "World",
    "WorldEntropy",
]

# Splits are seeds: documents of different seeds are independent draws from the same language.
TRAIN_SEED, VALIDATION_SEED, TEST_SEED = 0, 1, 2

_FOODS = tuple(dict.fromkeys(Word(person.food) for person in village.PEOPLE))


def _words(text: str) -> tuple[Word, ...]:
    return tuple(map(Word, text.split()))


_GLAD = _words("happy glad proud merry cheerful delighted")
_LOW = _words("sad angry lonely tired gloomy cross")
_SPOTS = tuple(
    f"{where} the {what}"
    for where in ("under", "behind", "beside", "inside")
    for what in ("bed", "oven", "door", "piano", "barrel")
)

POOLS = {
    "hero": village.PEOPLE,
    "friend": village.PEOPLE,
    "thing": village.THINGS,
    "place": village.PLACES,
    "animal": village.ANIMALS,
    "food": _FOODS,
    "day": village.DAYS,
    "number": village.NUMBERS[2:21],
    "goods": _words("apples eggs buttons coins cakes shells plums nails stars fish"),
    "glad": _GLAD,
    "low": _LOW,
    "weather": _words("cold bright windy foggy rainy snowy sunny misty warm stormy frosty quiet golden grey"),
    "adj": _words(
        "old new tiny huge shiny rusty red blue green yellow golden silver wooden crooked heavy famous lucky secret "
        "plain polished borrowed favourite purple squeaky dusty"
    ),
    "colour": _words("red blue green yellow purple pink white black brown grey orange silver"),
    "manner": _words(
        "slowly quickly loudly quietly proudly bravely politely secretly carefully gladly grandly nervously calmly "
        "sleepily cheerfully wisely"
    ),
    "junk": tuple(
        map(
            str.strip,
            "a button, one sock, a worm, some string, a cold potato, two nails, a pot of glue, half a sandwich, "
            "a love letter, a wooden leg, a cabbage, an egg, a map of Peru, somebody's teeth".split(","),
        )
    ),
    "hour": _words("noon midnight teatime sunrise sunset breakfast supper dark Monday winter"),
    "crowd": _words(
        "children uncles neighbours sailors cousins aunts tourists soldiers poets ducks dentists pirates"
    ),
    "joy": _words("sang danced hopped clapped whistled bowed sneezed jumped wept cheered"),
    "bang": _words("bang pop fizz clank boom crack bump creak thump ping"),
    "drink": _words("tea milk cocoa lemonade juice water coffee"),
    "scared": _words("afraid frightened nervous"),
    "mood": (*_GLAD, *_LOW),
    "spot": _SPOTS,
    "state": _words("asleep hungry wet singing lost dancing angry thirsty dizzy bored"),
}

FRESH = frozenset({"manner"})

# Each kind of document: the function that writes it, and how often it is written, in parts of the sum.
_KINDS: dict[str, tuple[Callable[[Scene], str], int]] = {
    "titled_story": (scenes.titled_story, 24),
    "story": (scenes.story, 8),
    "reading": (passages.reading, 30),
    "echo": (passages.echo, 20),
    "letter": (scenes.letter, 8),
    "talk": (scenes.talk, 6),
    "notice": (scenes.notice, 4),
    "diary": (scenes.diary, 3),
    "rhyme": (scenes.rhyme, 2),
    "riddle": (scenes.riddle, 2),
    "sums": (scenes.sums, 5),
    "portrait": (knowledge.portrait, 5),
    "quiz": (knowledge.quiz, 6),
    "lore": (knowledge.lore, 3),
}


@dataclass(frozen=True)
class Document:
    """One document of the world.

    Attributes:
        text: what it says, without control tokens.
        kind: which kind of document it is, one of :attr:`World.kinds`.
        log_prob: log-probability of the choices that made it, in nats (negative).
        facts: what the text states, in order; a later fact with the same relation and object replaces an earlier one.
        promises: the words that a title or list at the start promises and the rest contains (empty without one).
    """

    text: str
    kind: str
    log_prob: float
    facts: tuple[Fact, ...] = ()
    promises: tuple[str, ...] = ()


@dataclass(frozen=True)
class WorldEntropy:
    """The mean surprisal of documents of the world, with its standard error, in nats per document."""

    nats_per_document: float  # the mean
    standard_error: float  # of the mean (nats per document)
    documents: int  # how many were drawn


class World:
    """The language of Pennywell.

    Args:
        kinds: write only these kinds of document (all of them by default), in the same proportions to one another.

    Raises:
        ValueError: an unknown kind.

    >>> World().document(seed=0, index=3).text == World().document(seed=0, index=3).text
    True
    """

    def __init__(self, kinds: Iterable[str] | None = None) -> None:
        chosen = tuple(_KINDS) if kinds is None else tuple(kinds)
        unknown = [kind for kind in chosen if kind not in _KINDS]
        if unknown or not chosen:
            raise ValueError(f"kinds={list(chosen)!r}: choose at least one of {', '.join(_KINDS)}")
        self.weights = {kind: _KINDS[kind][1] for kind in chosen}

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of document that this world writes."""
        return tuple(self.weights)

    def document(self, seed: int, index: int) -> Document:
        """Return document number `index` of the stream `seed`: the same text on every machine."""
        return self.write(RandomDraws(seed, index))

    def documents(
        self, n: int, seed: int = TRAIN_SEED, start: int = 0, only: Collection[str] | None = None
    ) -> Iterator[Document]:
        """Yield documents `start` ... `start + n - 1` of the stream `seed`.

        Args:
            only: the kinds that are wanted (None: all); the others are not even written, which takes most of the time.
        """
        for index in range(start, start + n):
            draws = RandomDraws(seed, index)
            kind = draws.weighted(self.weights)
            if only is None or kind in only:
                yield self._write(draws, kind, _KINDS[kind][0])

    def lesson(self, seed: int, index: int) -> Document:
        """Return lesson number `index` of the stream `seed`: what a model reads before all other documents.

        Lessons are all of one short kind, in which much of a text has to be looked up in its beginning. What belongs
        together is learned from them in a few hundred steps; among other documents it would take far longer.
        """
        return self._write(RandomDraws(seed, index), "lesson", passages.first_lesson)

    def introduction(self, seed: int, index: int) -> Document:
        """Return introduction number `index` of the stream `seed`: an echo about newcomers with made-up names.

        From them a model learns to copy names that it has never seen. The world itself has none, since such names would
        cost a model more than all else in a text.
        """
        return self._write(RandomDraws(seed, index), "introduction", passages.introduction)

    def write(self, draws: Draws) -> Document:
        """Return the document that `draws` leads to."""
        kind = draws.weighted(self.weights)
        return self._write(draws, kind, _KINDS[kind][0])

    def _write(self, draws: Draws, kind: str, tell: Callable[[Scene], str]) -> Document:
        scene = Scene(draws, POOLS, fresh=FRESH)
        text = tell(scene)
        promises: tuple[str, ...] = ()
        if kind == "titled_story":
            title = text.partition("\n")[0]
            words = re.findall(r"\w+", title)  # as a part of a word nothing is promised: the inn in "Finn"
            slots = [slot for slot in ("hero", "friend", "thing", "place") if slot in scene]
            promises = tuple(str(scene[slot]) for slot in slots if str(scene[slot]) in words)
        return Document(text, kind, draws.log_prob, tuple(scene.facts), promises)

    def entropy(self, n: int = 10_000, seed: int = VALIDATION_SEED) -> WorldEntropy:
        """Return the entropy of the language, estimated from `n` documents whose surprisals are exact."""
        if n < 2:
            raise ValueError(f"n={n}: at least 2 documents are needed for a standard error")
        surprisals = [-document.log_prob for document in self.documents(n, seed)]
        mean = sum(surprisals) / n
        variance = sum((s - mean) ** 2 for s in surprisals) / (n - 1)
        return WorldEntropy(mean, math.sqrt(variance / n), n)
