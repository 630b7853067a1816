"""Names of people who live in no village: real first names, and thousands that are made of syllables.

So many are needed because a model learns forty of them by heart and then calls every stranger by one of those. Names
of the test are others than those of training, and none belongs to the village.
"""

from __future__ import annotations

from functools import cache

from minillm.data import village
from minillm.data.grammar import Draws, Word
from minillm.data.questions import TEST_EVERY, Halves
from minillm.data.task_types import TaskSplit

__all__ = ["REAL_NAMES", "is_of_test", "made_up_word", "outside_name"]

REAL_NAMES = Halves(
    tuple(
        "Zelda Boris Carmen Dagmar Edgar Fiona Gustav Helga Igor Jasmine Kurt Leila Marco Nadia Oscar Petra Ralf Sonia "
        "Tobias Ursula Viktor Wanda Xaver Yusuf Zoe Anton Bella Cesar Diego Emil Farid Gloria Hector Isabel Peter Anna "
        "John Maria David Laura James Emma Michael Sophie Thomas Julia Robert Alice William Helen Daniel Sarah Mark "
        "Lucy Chris Linda Andrew Susan Kevin Nancy Brian Karen Jason Amy Eric Lisa Adam Rachel Ahmed Fatima Omar "
        "Aisha Wei Ling Hiro Yuki Ravi Priya Ivo Pablo Lucia Pedro Elena Mario Giulia Pierre Camille Jean Chloe Hans "
        "Greg Tim Tom Bob Max Leo Ben Dan Joe Jack Harry Charlie George Oliver Noah Liam Mia Ella Ava Lily".split()
    ),
    tuple(
        "Agnes Basil Cora Dimitri Esther Felix Gemma Hanna Ivan Judith Karl Lydia Milo Olga Paul Ruth Steve Maya "
        "Henry Eva Martin Nina Simon Clement Bilal Chen Sakura Arjun".split()
    ),
)

_ONSETS = "b br c ch cl d dr f fl g gr h j k kl l m n p pl qu r s sh sk st t th tr v w y z".split()
_VOWELS = "a e i o u ai ea ee ia io oa oo".split()
_ENDS = ("", "n", "l", "r", "s", "m", "k", "t", "x", "nd", "rt", "ck")


def outside_name(draws: Draws, split: TaskSplit) -> Word:
    """A first name of the split that no villager has: a real one, or one made of syllables."""
    if draws.choose((True, False, False)):
        return Word(draws.choose(REAL_NAMES[split]))
    return Word(made_up_word(draws, split).capitalize())


def made_up_word(draws: Draws, split: TaskSplit) -> str:
    """A word of one or two syllables of the split that means nothing here; what is drawn is what it is made of.

    Such words are about as long as real first names.
    """
    while True:
        stem = "".join(draws.choose(_ONSETS) + draws.choose(_VOWELS) for _ in range(draws.choose((1, 2, 2))))
        ends = [
            end for end in _ENDS if is_of_test(stem + end) == (split == "test") and stem + end not in _taken()
        ]
        if ends:  # so it is nearly always
            return stem + draws.choose(ends)


def is_of_test(word: str) -> bool:
    """Whether a made-up word is kept for the test."""
    return sum(place * ord(letter) for place, letter in enumerate(word, start=1)) % TEST_EVERY == 0


@cache
def _taken() -> frozenset[str]:
    """Words of the village that no stranger may be called by."""
    people = (word for person in village.PEOPLE for word in (person.name, person.pet_name, person.job))
    names = (
        *REAL_NAMES.train,
        *REAL_NAMES.test,
        *village.THINGS,
        *village.PLACES,
        *map(str, village.ANIMALS),
    )
    return frozenset(str(word).lower() for word in (*people, *names))
