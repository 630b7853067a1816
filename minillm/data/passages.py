"""Short texts of which questions are asked that only they answer: passages, and echoes, in which all is said twice."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from minillm.data.grammar import Scene
from minillm.data.names import made_up_word

__all__ = ["ECHOES", "PASSAGES", "echo", "first_lesson", "introduction", "reading"]

# -- reading: a passage made up on the spot, and questions that only the passage answers --------------------------

# Each row: the passage, then pairs of a question and its answer.
PASSAGES: tuple[tuple[Any, ...], ...] = (
    (
        "{hero} has {adj.a} {thing}. {friend} has {adj2.a} {thing2}. // has hero thing; has friend thing2",
        ("Who has the {thing}?", "{hero}"),
        ("Who has the {thing2}?", "{friend}"),
        ("What does {hero} have?", "{adj.a} {thing}"),
        ("What does {friend} have?", "{adj2.a} {thing2}"),
    ),
    (
        "{hero} [found|bought|painted|lost|hid] {adj.a} {thing} at the {place}. It was {weather}. // at hero place",
        ("Where was {hero}?", "at the {place}"),
        ("Who was at the {place}?", "{hero}"),
        ("What did {hero} have at the {place}?", "{adj.a} {thing}"),
        ("How was the weather?", "{weather}"),
    ),
    (
        "{hero} is [still|now|again|already] at the {place} with {adj.a} {thing}. {friend} is at the {place2}, [fast asleep|eating {food}|with "
        "{animal.a}|of course]. // at hero place; at friend place2",
        ("Where is {hero}?", "at the {place}"),
        ("Where is {friend}?", "at the {place2}"),
        ("Who is at the {place}?", "{hero}"),
        ("Who is at the {place2}?", "{friend}"),
    ),
    (
        "On {day}, {hero} took {adj.a} {thing} {manner} to the {place}. // at hero place",
        ("When did {hero} go to the {place}?", "on {day}"),
        ("Where did {hero} go on {day}?", "to the {place}"),
        ("What did {hero} take to the {place}?", "{adj.a} {thing}"),
        ("Who took {adj.a} {thing} to the {place}?", "{hero}"),
    ),
    (
        "{hero} is {low} because the {adj} {thing} is [gone|broken|wet|empty|on fire]. {friend} is {glad} because it is {day}. "
        "// feels hero low; feels friend glad",
        ("How does {hero} feel?", "{low}"),
        ("How does {friend} feel?", "{glad}"),
        ("Who is {low}?", "{hero}"),
        ("Who is {glad}?", "{friend}"),
    ),
    (
        "For [breakfast|lunch|supper], {hero} ate {food} {manner} and {friend} ate {food2} {spot}. "
        "// ate hero food; ate friend food2",
        ("What did {hero} eat?", "{food}"),
        ("What did {friend} eat?", "{food2}"),
        ("Who ate {food}?", "{hero}"),
        ("Who ate {food2}?", "{friend}"),
    ),
    (
        "{hero} has hidden {adj.a} {thing} {spot}. The {adj2} {thing2} is {spot2}. // has hero thing",
        ("Where is the {thing}?", "{spot}"),
        ("Where is the {thing2}?", "{spot2}"),
        ("What is {spot}?", "the {thing}"),
        ("What is {spot2}?", "the {thing2}"),
        ("Who has hidden the {thing}?", "{hero}"),
    ),
    (
        "{hero} gave {adj.a} {thing} to {friend} at the {place}, [for nothing|with a smile|for {number} coins]. "
        "// has friend thing",
        ("Who has the {thing} now?", "{friend}"),
        ("Who gave the {thing} away?", "{hero}"),
        ("Where did {hero} meet {friend}?", "at the {place}"),
        ("What did {friend} get?", "{adj.a} {thing}"),
    ),
    (
        "{hero} saw {animal.a} at the {place} on {day}. It was {state}. // saw hero animal",
        ("What did {hero} see?", "{animal.a}"),
        ("Who saw {animal.a}?", "{hero}"),
        ("Where was the {animal}?", "at the {place}"),
        ("How was the {animal}?", "{state}"),
        ("When did {hero} see the {animal}?", "on {day}"),
    ),
    (
        "The {thing} of {hero} is {colour}. The {thing2} of {friend} is {colour2}. {state.a} {animal} ate [both|neither|the {thing}].",
        ("What colour is the {thing}?", "{colour}"),
        ("What colour is the {thing2}?", "{colour2}"),
        ("What is {colour}?", "the {thing}"),
        ("What is {colour2}?", "the {thing2}"),
    ),
)


def reading(scene: Scene) -> str:
    """A short passage, all questions about it in any order, and their answers, each copied from the passage."""
    passage, *questions = scene.draws.choose(PASSAGES)
    return "\n".join([scene.say(passage), *_asked(scene, _in_any_order(scene, questions))])


def _asked(scene: Scene, questions: Iterable[tuple[Any, ...]]) -> Iterator[str]:
    for question, answer in questions:
        yield f"Question: {scene.say(question)}\nAnswer: {scene.say(answer, capital=False)}."


def _in_any_order(scene: Scene, items: Iterable[Any]) -> Iterator[Any]:
    """The items in an order that is drawn, one draw for each that is asked for."""
    left = list(items)
    while left:
        yield left.pop(scene.draws.choose(range(len(left))))


# -- echoes: who has what, said twice ---------------------------------------------------------------------------------

# Each row: the two slots that belong together, what is said of them, then pairs of a question and its answer.
ECHOES: tuple[tuple[Any, ...], ...] = (
    (
        ("hero", "place"),
        "{hero} is at the {place}. // at hero place",
        ("Where is {hero}?", "at the {place}"),
        ("Who is at the {place}?", "{hero}"),
    ),
    (
        ("hero", "thing"),
        "{hero} has the {thing}. // has hero thing",
        ("What does {hero} have?", "the {thing}"),
        ("Who has the {thing}?", "{hero}"),
    ),
    (
        ("thing", "colour"),
        "The {thing} is {colour}.",
        ("What colour is the {thing}?", "{colour}"),
        ("What is {colour}?", "the {thing}"),
    ),
    (
        ("thing", "spot"),
        "The {thing} is {spot}.",
        ("Where is the {thing}?", "{spot}"),
        ("What is {spot}?", "the {thing}"),
    ),
    (
        ("hero", "food"),
        "{hero} ate {food}. // ate hero food",
        ("What did {hero} eat?", "{food}"),
        ("Who ate {food}?", "{hero}"),
    ),
    (
        ("hero", "mood"),
        "{hero} is {mood}. // feels hero mood",
        ("How does {hero} feel?", "{mood}"),
        ("Who is {mood}?", "{hero}"),
    ),
)


_OF_PEOPLE = tuple(row for row in ECHOES if "hero" in row[0])


def echo(scene: Scene) -> str:
    """Three to five things that are so, the same again in another order, and two questions about them."""
    return _echo(scene, scene.draws.choose(ECHOES))


def introduction(scene: Scene) -> str:
    """An echo about newcomers, whose made-up names have to be copied piece by piece."""
    return _echo(scene, scene.draws.choose(_OF_PEOPLE), newcomers=True)


def first_lesson(scene: Scene) -> str:
    """An echo of the first kind, about who is where."""
    return _echo(scene, ECHOES[0])


def _echo(scene: Scene, row: tuple[Any, ...], newcomers: bool = False) -> str:
    slots, statement, *questions = row
    said, pairs = [], []
    for _ in range(scene.draws.choose((3, 4, 5))):
        if newcomers:
            scene["hero"] = made_up_word(scene.draws, "train").capitalize()
        said.append(scene.say(statement))
        pairs.append((said[-1], [scene[slot] for slot in slots]))
        scene.turn_over(*slots)
    lines = [" ".join(said), " ".join(["Again:", *(text for text, _ in _in_any_order(scene, pairs))])]
    for _, values in islice(_in_any_order(scene, pairs), 2):
        for slot, value in zip(slots, values, strict=True):
            scene[slot] = value
        lines += _asked(scene, [scene.draws.choose(questions)])
    return "\n".join(lines)
