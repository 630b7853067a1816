"""What can be asked about what is always true: questions about villagers and the wide world.

Templates are those of :mod:`minillm.data.grammar`. Training and test have different ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from minillm.data.task_types import TaskSplit

__all__ = [
    "AGAIN",
    "FRAMES",
    "OTHERS",
    "PEOPLE_RELATIONS",
    "TEST_EVERY",
    "WORLD_RELATIONS",
    "Halves",
    "Relation",
    "Templates",
]

Item = TypeVar("Item")
Templates = Sequence[str]
TEST_EVERY = 4  # every fourth entity and pattern is kept for the test


@dataclass(frozen=True)
class Halves(Generic[Item]):
    """Templates (or groups of them) for training, and others for the test."""

    train: Sequence[Item]  # for training
    test: Sequence[Item]  # for the test alone

    def __getitem__(self, split: TaskSplit) -> Sequence[Item]:
        return self.train if split == "train" else self.test


# How a second question about the same person begins.
AGAIN = Halves(
    (
        "And {it}",
        "Now tell me: {it}",
        "Good. And {it}",
        "Thank you! And {it}",
        "Also, {it}",
        "Good. Also, {it}",
        "{it}",
        "And {brief}?",
        "What about {brief}?",
        "Good. And {brief}?",
        "I see. {it}",
    ),
    (
        "Thank you! Now tell me: {it}",
        "Good. Now tell me: {it}",
        "Thank you! Also, {it}",
        "Thank you! And {brief}?",
        "I see. And {brief}?",
        "Now {brief}, please!",
    ),
)
# How the same question is asked about somebody else.
OTHERS = Halves(
    ("And {hero}?", "What about {hero}?", "And what about {hero}?", "Good. And {hero}?", "And for {hero}?"),
    ("Now {hero}, please!", "Thank you! And {hero}?", "How about {hero}?"),
)
# Before and after a question.
FRAMES = (
    (
        "",
        "Please tell me: ",
        "I have a question. ",
        "Can you help me? ",
        "Excuse me. ",
        "A question: ",
        "I wonder: ",
        "Good morning! ",
        "One more thing: ",
        "Do you know this? ",
    ),
    ("", " I forgot.", " Thank you!", " Please tell me.", " I want to know it.", " Do you know?"),
)


@dataclass(frozen=True)
class Relation:
    """Something that can be asked about a subject.

    Attributes:
        phrase: names it, as in "the capital of {country}"; the patterns make questions of it.
        own: further questions, of this relation alone.
        short: the answer alone.
        full: the answer as a sentence.
        key: what a right answer must contain.
        again: the question once more about the same person, who is now "he" or "she", without a beginning.
        brief: what is asked for in few words, as in "her job"; it goes with `again`.
    """

    phrase: str
    own: Halves[str]
    short: str
    full: Templates
    key: str
    again: str = ""
    brief: str = ""

    @property
    def questions(self) -> Halves[str]:
        """All ways to ask. Every relation keeps other patterns for the test."""
        first = sum(map(ord, self.phrase)) % TEST_EVERY
        made = [pattern.replace("{it}", self.phrase) for pattern in _PATTERNS]
        test = made[first::TEST_EVERY]
        return Halves((*self.own.train, *(q for q in made if q not in test)), (*self.own.test, *test))


_PATTERNS = (
    "What is {it}?",
    "Tell me {it}.",
    "Do you know {it}?",
    "Can you tell me {it}?",
    "I would like to know {it}.",
    "Let me know {it}.",
    "I forgot {it}. What is it?",
    "{it}, please!",
)

PEOPLE_RELATIONS = (
    Relation(
        "the job of {hero}",
        Halves(
            (
                "What does {hero} do all day?",
                "What job does {hero} have?",
                "What is {hero}'s job?",
                "Who is {hero}?",
                "Who is {hero} of Pennywell?",
            ),
            ("Which job does {hero} have?", "Tell me {hero}'s job.", "Tell me about {hero}."),
        ),
        "The {hero.job}.",
        ("{hero} is the {hero.job}.", "{hero} works as the {hero.job}."),
        "{hero.job}",
        "what is {hero.his} job?",
        "{hero.his} job",
    ),
    Relation(
        "the home of {hero}",
        Halves(
            (
                "Where does {hero} live?",
                "Where is the house of {hero}?",
                "Where can I find {hero}?",
                "Where is {hero}'s house?",
                "Where is {hero}?",
            ),
            (
                "Where can I find the house of {hero}?",
                "Where is the home of {hero}?",
                "Where is {hero}'s home?",
            ),
        ),
        "{hero.home}.",
        ("{hero} lives {hero.home}.", "The house of {hero} is {hero.home}."),
        "{hero.home}",
        "where does {hero.he} live?",
        "{hero.his} home",
    ),
    Relation(
        "the pet of {hero}",
        Halves(
            (
                "What pet does {hero} have?",
                "Which animal does {hero} have?",
                "What is {hero}'s pet?",
                "Does {hero} have a pet?",
            ),
            ("Which pet does {hero} have?", "Tell me {hero}'s pet."),
        ),
        "{hero.pet.a}.",
        ("{hero} has {hero.pet.a}.", "The pet of {hero} is {hero.pet.a}."),
        "{hero.pet}",
        "which pet does {hero.he} have?",
        "{hero.his} pet",
    ),
    Relation(
        "the name of the pet of {hero}",
        Halves(
            (
                "What is the pet of {hero} called?",
                "How is the animal of {hero} called?",
                "What is {hero}'s pet called?",
                "What is the name of {hero}'s pet?",
            ),
            ("How is the pet of {hero} called?", "How is {hero}'s pet called?"),
        ),
        "{hero.pet_name}.",
        ("The pet of {hero} is called {hero.pet_name}.", "It is called {hero.pet_name}."),
        "{hero.pet_name}",
        "what is {hero.his} pet called?",
        "the name of {hero.his} pet",
    ),
    Relation(
        "the favourite food of {hero}",
        Halves(
            (
                "What does {hero} love to eat?",
                "What food does {hero} like?",
                "What shall I cook for {hero}?",
                "What is {hero}'s favourite food?",
            ),
            (
                "Which food does {hero} like?",
                "What does {hero} like to eat?",
                "Tell me {hero}'s favourite food.",
            ),
        ),
        "{hero.food}.",
        ("{hero} loves {hero.food}.", "The favourite food of {hero} is {hero.food}."),
        "{hero.food}",
        "what does {hero.he} love to eat?",
        "{hero.his} favourite food",
    ),
    Relation(
        "the favourite colour of {hero}",
        Halves(
            (
                "Which colour does {hero} like?",
                "What colour does {hero} love?",
                "What is {hero}'s favourite colour?",
            ),
            (
                "Which colour does {hero} love?",
                "What colour does {hero} like?",
                "Tell me {hero}'s favourite colour.",
            ),
        ),
        "{hero.colour}.",
        ("{hero} likes {hero.colour}.", "The favourite colour of {hero} is {hero.colour}."),
        "{hero.colour}",
        "which colour does {hero.he} like?",
        "{hero.his} favourite colour",
    ),
    Relation(
        "the hobby of {hero}",
        Halves(
            (
                "What does {hero} enjoy?",
                "What does {hero} like best?",
                "What does {hero} love to do?",
                "What is {hero}'s hobby?",
            ),
            ("What does {hero} like to do?", "What does {hero} enjoy best?", "Tell me {hero}'s hobby."),
        ),
        "{hero.hobby}.",
        ("{hero} enjoys {hero.hobby}.", "What {hero} likes best is {hero.hobby}."),
        "{hero.hobby}",
        "what does {hero.he} enjoy?",
        "{hero.his} hobby",
    ),
    Relation(
        "the name of the {hero.job}",
        Halves(
            ("Who is the {hero.job}?", "Who works as the {hero.job}?"),
            ("Who is the {hero.job} of Pennywell?",),
        ),
        "{hero}.",
        ("{hero} is the {hero.job}.", "The {hero.job} is {hero}."),
        "{hero}",
    ),
)

# Questions about the wide world; `minillm.data.families.world` fills their slots.
WORLD_RELATIONS = {
    "sound": Relation(
        "the sound of {animal.a}",
        Halves(
            ("What does {animal.a} say?", "What sound does {animal.a} make?"),
            ("Which sound does {animal.a} make?",),
        ),
        "{animal.sound}.",
        ("{animal.a} says {animal.sound}.",),
        "{animal.sound}",
    ),
    "young": Relation(
        "the name of the child of {animal.a}",
        Halves(("What is the child of {animal.a} called?",), ("How is the child of {animal.a} called?",)),
        "{animal.young.a}.",
        ("The child of {animal.a} is called {animal.young.a}.",),
        "{animal.young}",
    ),
    "sleeps": Relation(
        "the home of {animal.a}",
        Halves(
            ("Where does {animal.a} sleep?", "Where does {animal.a} live?"), ("Where can {animal.a} sleep?",)
        ),
        "In a {animal.home}.",
        ("{animal.a} sleeps in a {animal.home}.",),
        "{animal.home}",
    ),
    "eats": Relation(
        "the favourite food of {animal.a}",
        Halves(
            ("What does {animal.a} eat?", "What food does {animal.a} like?"),
            ("What does {animal.a} like to eat?",),
        ),
        "{animal.food}.",
        ("{animal.a} eats {animal.food}.",),
        "{animal.food}",
    ),
    "capital": Relation(
        "the capital of {country}",
        Halves(("Which city is the capital of {country}?",), ("What city is the capital of {country}?",)),
        "{capital}.",
        ("The capital of {country} is {capital}.",),
        "{capital}",
    ),
    "country": Relation(
        "the country of {capital}",
        Halves(("Where is {capital}?", "In which country is {capital}?"), ("Where can I find {capital}?",)),
        "In {country}.",
        ("{capital} is in {country}.",),
        "{country}",
    ),
    "opposite": Relation(
        "the opposite of {one}",
        Halves(("Which word is the opposite of {one}?",), ("What word is the opposite of {one}?",)),
        "{other}.",
        ("The opposite of {one} is {other}.",),
        "{other}",
    ),
    "colour": Relation(
        "the colour of {coloured}",
        Halves(
            ("What colour is {coloured}?", "Which colour has {coloured}?"), ("Which colour is {coloured}?",)
        ),
        "{its_colour}.",
        ("{coloured} is {its_colour}.",),
        "{its_colour}",
    ),
    "after": Relation(
        "what comes after {before}",
        Halves(
            ("What comes after {before}?", "What do we have after {before}?"), ("What is after {before}?",)
        ),
        "{after}.",
        ("After {before} comes {after}.",),
        "{after}",
    ),
}
