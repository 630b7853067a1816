"""What the families draw from: who and what may come up in a split, and questions about what is always true.

The people, things, places, animals, countries and sums of the test never come up in training.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

from minillm.data import phrases, village
from minillm.data.grammar import Scene, Word
from minillm.data.questions import FRAMES, TEST_EVERY, Relation
from minillm.data.task_types import Draft, TaskSplit
from minillm.data.world import POOLS

__all__ = [
    "SLOT",
    "ask_about",
    "combine",
    "framed",
    "split_items",
    "sum_split",
    "of_everybody",
    "pools",
    "word_set",
]

SLOT = re.compile(r"\{(\w+)")  # a slot of a template, by its name


def split_items(items: Iterable[Any]) -> dict[TaskSplit, tuple[Any, ...]]:
    """What comes up in training and, every fourth item, in the test."""
    items = tuple(items)
    test = items[TEST_EVERY - 1 :: TEST_EVERY]
    return {"train": tuple(item for item in items if item not in test), "test": test}


_ENTITIES = {
    "hero": split_items(village.PEOPLE),
    "thing": split_items(village.THINGS),
    "place": split_items(village.PLACES),
    "animal": split_items(village.ANIMALS),
}


@cache
def pools(split: TaskSplit) -> dict[str, Any]:
    """What each slot of a template may be in a split."""
    entities = {name: items[split] for name, items in _ENTITIES.items()}
    words = {"good": tuple(map(Word, phrases.GOOD)), "bad": tuple(map(Word, phrases.BAD))}
    return POOLS | entities | {"friend": entities["hero"]} | words


def combine(scene: Scene, split: TaskSplit, *lists: Sequence[Any]) -> list[Any]:
    """One item of each list; some combinations are kept for the test."""
    while True:
        numbers = [scene.draws.choose(range(len(items))) for items in lists]
        if (sum(numbers) % TEST_EVERY == 1) == (split == "test"):
            return [items[number] for items, number in zip(lists, numbers, strict=True)]


def sum_split(numbers: Sequence[int]) -> TaskSplit:
    """The split of a sum, by its numbers; it says nothing of the result, so that the split is no help in guessing.

    >>> [sum_split((7, number)) for number in (2, 3, 4, 5)]
    ['train', 'train', 'test', 'train']
    """
    mark = zlib.crc32(" ".join(map(str, numbers)).encode())
    return "test" if mark % TEST_EVERY == 0 else "train"


def framed(scene: Scene, split: TaskSplit, question: str) -> str:
    """Half of the plain questions with some words around them; what has such words already stays as it is."""
    is_plain = question.startswith(("What", "Where", "Who", "Which", "How")) and question.endswith("?")
    if not is_plain or scene.draws.choose((True, False)):
        return question
    before, after = combine(scene, split, *FRAMES)
    return f"{before}{question}{after}"


def ask_about(
    scene: Scene,
    split: TaskSplit,
    relation: Relation,
    values: Iterable[str],
    question: str = "",
    history: tuple[tuple[str, str], ...] = (),
) -> Draft:
    """A question about a relation.

    Args:
        values: all that could be answered to a question of its kind.
        question: the question, if it is not one of the relation's own.
        history: what was said before.
    """
    question = question or framed(scene, split, scene.say(relation.questions[split]))
    key = scene.say(relation.key, capital=False)
    short, full = scene.say(relation.short), scene.say(relation.full)
    asked = word_set(question)
    rivals = tuple(dict.fromkeys(v for v in values if v != key and not word_set(v) <= asked | word_set(key)))
    return Draft(question, short, full, (key,), rivals, history)


def word_set(phrase: str) -> set[str]:
    """The words of a phrase, in lower case."""
    return set(re.findall(r"[\w'-]+", phrase.lower()))


def of_everybody(relation: Relation) -> list[str]:
    """What the relation's key is for each villager."""
    _, _, attribute = relation.key.strip("{}").partition(".")
    return [str(getattr(person, attribute) if attribute else person) for person in village.PEOPLE]
