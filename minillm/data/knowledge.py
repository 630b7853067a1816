"""The documents that say what is always true: of the people of Pennywell, and of the wide world.

What is always true can be asked for: :func:`fixed_questions` lists every question with its answer.
"""

from __future__ import annotations

from collections.abc import Sequence

from minillm.data.grammar import Scene, ScriptedDraws
from minillm.data.village import ANIMALS, CAPITALS, COLOURED, DAYS, MONTHS, OPPOSITES, PEOPLE, SEASONS

__all__ = ["fixed_questions", "lore", "portrait", "quiz"]

Question = tuple[str, str]  # what is asked, and the sentence that answers it

ABOUT_PEOPLE = (
    (
        "{hero} is the {hero.job} of Pennywell. // job hero hero.job",
        "{hero} works as the {hero.job}. // job hero hero.job",
    ),
    (
        "{hero} lives {hero.home}. // home hero hero.home",
        "The house of {hero} is {hero.home}. // home hero hero.home",
    ),
    (
        "{hero} has {hero.pet.a} called {hero.pet_name}. // pet hero hero.pet; pet_name hero hero.pet_name",
        "{hero.pet_name} is the {hero.pet} of {hero}. // pet hero hero.pet; pet_name hero hero.pet_name",
    ),
    (
        "{hero} loves to eat {hero.food}. // food hero hero.food",
        "The favourite food of {hero} is {hero.food}. // food hero hero.food",
    ),
    (
        "{hero} likes the colour {hero.colour}. // colour hero hero.colour",
        "The favourite colour of {hero} is {hero.colour}. // colour hero hero.colour",
    ),
    (
        "{hero} enjoys {hero.hobby}. // hobby hero hero.hobby",
        "What {hero} likes best is {hero.hobby}. // hobby hero hero.hobby",
    ),
)

PEOPLE_QUESTIONS = (
    ("What is the job of {hero}?", "{hero} is the {hero.job}. // job hero hero.job"),
    ("Who is the {hero.job}?", "{hero} is the {hero.job}. // job hero hero.job"),
    ("Where does {hero} live?", "{hero} lives {hero.home}. // home hero hero.home"),
    ("What pet does {hero} have?", "{hero} has {hero.pet.a}. // pet hero hero.pet"),
    ("What is the pet of {hero} called?", "It is called {hero.pet_name}. // pet_name hero hero.pet_name"),
    ("What does {hero} love to eat?", "{hero} loves {hero.food}. // food hero hero.food"),
    ("Which colour does {hero} like?", "{hero} likes {hero.colour}. // colour hero hero.colour"),
    ("What does {hero} enjoy?", "{hero} enjoys {hero.hobby}. // hobby hero hero.hobby"),
)


def portrait(scene: Scene) -> str:
    """Four or five things that are always true of one villager, in any order."""
    left = list(ABOUT_PEOPLE)
    sentences = []
    for _ in range(scene.draws.choose((4, 5))):
        sentences.append(scene.draws.choose(left))
        left.remove(sentences[-1])
    return scene.tell(sentences)


_TYPING = {"with care": 5, "in a hurry": 1}  # how a question is written, in parts of the sum


def quiz(scene: Scene) -> str:
    """Three questions and answers about what is always true, of villagers or of the wide world."""
    blocks = []
    for _ in range(3):
        if scene.draws.choose(("people", "world")) == "people":
            question, answer = scene.draws.choose(PEOPLE_QUESTIONS)
        else:
            question, answer = _ask(scene, scene.draws.choose(tuple(WIDE_WORLD)))
        asked = scene.say(question)
        if scene.draws.weighted(_TYPING) == "in a hurry":
            asked = asked.lower().rstrip("?")
        blocks.append(f"Question: {asked}\nAnswer: {scene.say(answer)}")
        scene.turn_over("hero")
    return "\n".join(blocks)


def lore(scene: Scene) -> str:
    """Four sentences about the wide world, each on another topic."""
    left = list(WIDE_WORLD)
    sentences = []
    for _ in range(4):
        left.remove(topic := scene.draws.choose(left))
        sentences.append(_ask(scene, topic)[1])
    return scene.tell(sentences)


def fixed_questions(topic: str) -> list[Question]:
    """Every question about what is always true, with its answer.

    Args:
        topic: "people" or "world".

    Raises:
        ValueError: another topic.
    """
    if topic == "world":
        pairs = [pair for subjects in WIDE_WORLD.values() for questions in subjects for pair in questions]
        scene = Scene(ScriptedDraws(), {})
        return [(scene.say(question), scene.say(answer)) for question, answer in pairs]
    if topic == "people":
        scenes = [Scene(ScriptedDraws(), {"hero": (person,)}) for person in PEOPLE]
        return [
            (scene.say(question), scene.say(answer))
            for scene in scenes
            for question, answer in PEOPLE_QUESTIONS
        ]
    raise ValueError(f'topic={topic!r}: choose "people" or "world"')


def _ask(scene: Scene, topic: str) -> Question:
    return scene.draws.choose(scene.draws.choose(WIDE_WORLD[topic]))


def _after(names: Sequence[str]) -> tuple[tuple[Question, ...], ...]:
    followers = (*names[1:], names[0])
    pairs = zip(names, followers, strict=True)
    return tuple(((f"What comes after {one}?", f"After {one} comes {other}."),) for one, other in pairs)


# topic -> for each of its subjects -> the questions about it
WIDE_WORLD: dict[str, tuple[tuple[Question, ...], ...]] = {
    "animals": tuple(
        (
            (f"What does {animal.a} say?", f"{animal.a} says {animal.sound}."),
            (
                f"What is the child of {animal.a} called?",
                f"The child of {animal.a} is called {animal.young.a}.",
            ),
            (f"Where does {animal.a} sleep?", f"{animal.a} sleeps in a {animal.home}."),
            (f"What does {animal.a} eat?", f"{animal.a} eats {animal.food}."),
        )
        for animal in ANIMALS
    ),
    "capitals": tuple(
        (
            (f"What is the capital of {country}?", f"The capital of {country} is {capital}."),
            (f"Where is {capital}?", f"{capital} is in {country}."),
        )
        for country, capital in CAPITALS
    ),
    "opposites": tuple(
        ((f"What is the opposite of {one}?", f"The opposite of {one} is {other}."),)
        for pair in OPPOSITES
        for one, other in (pair, pair[::-1])
    ),
    "colours": tuple(((f"What colour is {thing}?", f"{thing} is {colour}."),) for thing, colour in COLOURED),
    "days": _after(DAYS),
    "months": _after(MONTHS),
    "seasons": tuple(
        (
            (f"What is {season} like?", f"{season} is {weather}."),
            (f"What do we do in {season}?", f"In {season} we {work}."),
            (f"When does {season} begin?", f"{season} begins in {first}."),
        )
        for season, weather, work, first in SEASONS
    ),
}
