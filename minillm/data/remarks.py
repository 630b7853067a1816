"""What a remark is about, and whether it is true: the judge's knowledge of the village and of the wide world."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache, lru_cache

from minillm.data import village

__all__ = ["is_excerpt", "is_known", "proven", "subjects"]

_FOLLOWS = {"a", "an", "the", "and", "but", "still", "again"}  # words that an excerpt may leave out or add


@cache
def _kinds() -> Mapping[str, tuple[str, ...]]:
    """All that can be asked about, by kind, as plain words."""
    kinds: dict[str, Iterable[str]] = {
        "people": [person.name for person in village.PEOPLE],
        "jobs": [person.job for person in village.PEOPLE],
        "foods": [person.food for person in village.PEOPLE],
        "animals": [animal.name for animal in village.ANIMALS],
        "things": village.THINGS,
        "places": village.PLACES,
        "countries": [country for country, _ in village.CAPITALS],
        "capitals": [capital for _, capital in village.CAPITALS],
        "coloured": [thing for thing, _ in village.COLOURED],
        "times": (*village.DAYS, *village.MONTHS),
    }
    return {kind: tuple(dict.fromkeys(map(_plain, names))) for kind, names in kinds.items()}


@cache
def _facts() -> Mapping[str, frozenset[str]]:
    """What goes together in a true sentence: for each name or value all of its partners, as plain words."""
    pairs: list[tuple[str, str]] = [
        (person.name, value)
        for person in village.PEOPLE
        for value in (
            person.job,
            person.home,
            person.pet,
            person.pet_name,
            person.food,
            person.colour,
            person.hobby,
        )
    ]
    for animal in village.ANIMALS:
        pairs += [(animal.name, value) for value in (animal.sound, animal.home, animal.young, animal.food)]
    for names in (village.DAYS, village.MONTHS):
        pairs += zip(names, (*names[1:], names[0]), strict=True)
    pairs += [*village.CAPITALS, *village.COLOURED]
    found: dict[str, set[str]] = {}
    for one, other in pairs:
        found.setdefault(_plain(one), set()).add(_plain(other))
        found.setdefault(_plain(other), set()).add(_plain(one))
    return {name: frozenset(partners) for name, partners in found.items()}


def _plain(name: str) -> str:
    """A name in lower case, without its article, and "in" for "inside" as the judge spells it."""
    words = name.lower().replace("inside ", "in ").replace("above ", "over ").split()
    return " ".join(words[1:] if words[0] in ("a", "an", "the") else words)


def _padded(words: tuple[str, ...]) -> str:
    return f" {' '.join(words)} ".replace(" inside ", " in ").replace(" above ", " over ")


@lru_cache(4096)
def subjects(words: tuple[str, ...]) -> Mapping[str, frozenset[str]]:
    """Whom and what the words name, by kind; kinds of which nothing is named are left out.

    >>> subjects(("where", "is", "ada"))
    {'people': frozenset({'ada'})}
    """
    text = _padded(words)
    found = {
        kind: frozenset(name for name in names if f" {name} " in text) for kind, names in _kinds().items()
    }
    return {kind: names for kind, names in found.items() if names}


def proven(words: tuple[str, ...], phrase: str) -> bool:
    """Whether the words name something that truly goes together with the phrase, which they name too.

    >>> proven(("tara", "is", "the", "weaver"), "Tara"), proven(("tara", "is", "the", "baker"), "Tara")
    (True, False)
    """
    text, phrase = _padded(words), _plain(phrase)
    return f" {phrase} " in text and any(f" {one} " in text for one in _facts().get(phrase, ()))


def is_known(words: tuple[str, ...], names: tuple[str, ...]) -> bool:
    """Whether the words tell something that is true of one of the names, or of somebody or something that they name.

    >>> is_known(("she", "has", "a", "hen"), ("Yara",)), is_known(("she", "has", "a", "cow"), ("Yara",))
    (True, False)
    """
    text = _padded(words)
    of_whom = {*map(_plain, names), *(name for found in subjects(words).values() for name in found)}
    return any(f" {partner} " in text for name in of_whom for partner in _facts().get(name, ()))


def is_excerpt(words: tuple[str, ...], told: tuple[str, ...]) -> bool:
    """Whether the words stand in what was told, in the same order (articles aside), though not side by side.

    >>> is_excerpt(("dev", "is", "at", "the", "lake"), ("dev", "is", "still", "at", "the", "lake", "today"))
    True
    """
    rest = iter(told)
    return len(words) > 2 and all(word in rest for word in words if word not in _FOLLOWS)
