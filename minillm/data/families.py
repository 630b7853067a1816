"""The families of tasks: each function drafts a task, its right answer and what would be wrong.

The people, things, places, animals, countries and sums of the test never come up in training.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from minillm.data import phrases, scenes, village
from minillm.data.grammar import Scene, Word
from minillm.data.questions import (
    AGAIN,
    FRAMES,
    PEOPLE_RELATIONS,
    STRANGERS,
    TEST_EVERY,
    WORLD_RELATIONS,
    Relation,
    Split,
)
from minillm.data.world import POOLS

__all__ = ["FAMILIES", "Draft", "combine", "pools"]


@dataclass(frozen=True)
class Draft:
    """A task before its style: the prompt, and the answer short and in full."""

    prompt: str  # what the user says
    short: str  # the answer in a word or two
    full: str  # the answer as a sentence
    keys: tuple[str, ...]  # words that a right answer holds
    rivals: tuple[str, ...] = ()  # values of the prompt that a wrong answer would name
    history: tuple[tuple[str, str], ...] = ()  # earlier turns: what the user said, what was answered
    kind: str = ""  # the family's own kind ending; "" takes a general one
    flawed: str = ""  # the family's own flawed answer; "" takes a general flaw


# -- who and what may come up in a split -----------------------------------------------------------------------------


def _halves(items: Iterable[Any]) -> dict[Split, tuple]:
    items = tuple(items)
    test = items[TEST_EVERY - 1 :: TEST_EVERY]
    return {"train": tuple(item for item in items if item not in test), "test": test}


_ENTITIES = {
    "hero": _halves(village.PEOPLE),
    "thing": _halves(village.THINGS),
    "place": _halves(village.PLACES),
    "animal": _halves(village.ANIMALS),
    "country": _halves(village.CAPITALS),
    "coloured": _halves(village.COLOURED),
    "opposite": _halves(village.OPPOSITES),
    "day": _halves(zip(village.DAYS, (*village.DAYS[1:], village.DAYS[0]), strict=True)),
    "month": _halves(zip(village.MONTHS, (*village.MONTHS[1:], village.MONTHS[0]), strict=True)),
}


@cache
def pools(split: Split) -> dict[str, Any]:
    """What each slot of a template may be in a split."""
    halves = {name: _ENTITIES[name][split] for name in ("hero", "thing", "place", "animal")}
    words = {"good": tuple(map(Word, phrases.GOOD)), "bad": tuple(map(Word, phrases.BAD))}
    return POOLS | halves | {"friend": halves["hero"]} | words


# -- the families ----------------------------------------------------------------------------------------------------


def combine(scene: Scene, split: Split, *lists: Sequence[Any]) -> list[Any]:
    """One item of each list; some combinations are kept for the test."""
    while True:
        numbers = [scene.draws.choose(range(len(items))) for items in lists]
        if (sum(numbers) % TEST_EVERY == 1) == (split == "test"):
            return [items[number] for items, number in zip(lists, numbers, strict=True)]


def _framed(scene: Scene, split: Split, question: str) -> str:
    """Half of the plain questions with some words around them; what has such words already stays as it is."""
    is_plain = question.startswith(("What", "Where", "Who", "Which", "How")) and question.endswith("?")
    if not is_plain or scene.draws.choose((True, False)):
        return question
    before, after = combine(scene, split, *FRAMES)
    return f"{before}{question}{after}"


def _ask(scene: Scene, split: Split, relation: Relation, values: Iterable[str], **options: Any) -> Draft:
    """A question about a relation; `values` are all that could be answered."""
    question = options.pop("question", None) or _framed(scene, split, scene.say(relation.questions[split]))
    key = scene.say(relation.key, capital=False)
    short, full = scene.say(relation.short), scene.say(relation.full)
    asked = _words(question)
    rivals = tuple(dict.fromkeys(v for v in values if v != key and not _words(v) <= asked | _words(key)))
    return Draft(question, short, full, (key,), rivals, **options)


def _words(phrase: str) -> set[str]:
    return set(re.findall(r"[\w'-]+", phrase.lower()))


def _of_everybody(relation: Relation) -> list[str]:
    """What the relation's key is for each villager."""
    _, _, attribute = relation.key.strip("{}").partition(".")
    return [str(getattr(person, attribute) if attribute else person) for person in village.PEOPLE]


def _village(scene: Scene, split: Split) -> Draft:
    """A fact about a villager; now and then a second one, about "him" or "her"."""
    relation = scene.draws.choose(PEOPLE_RELATIONS)
    if not relation.again or scene.draws.choose(range(4)):
        return _ask(scene, split, relation, _of_everybody(relation))
    first = scene.draws.choose([r for r in PEOPLE_RELATIONS if r is not relation])
    asked = _framed(scene, split, scene.say(first.questions[split]))
    history = (("user", asked), ("assistant", scene.say(first.full)))
    question = scene.say(scene.draws.choose(AGAIN[split]).replace("{it}", relation.again))
    return _ask(scene, split, relation, _of_everybody(relation), question=question, history=history)


def _world(scene: Scene, split: Split) -> Draft:
    """A fact about the wide world."""
    topic = scene.draws.choose(tuple(WORLD_RELATIONS))
    relation = WORLD_RELATIONS[topic]
    values = _set_subject(scene, split, topic)
    return _ask(scene, split, relation, values)


def _set_subject(scene: Scene, split: Split, topic: str) -> list[str]:
    """Fill the slots of a question about the wide world; what could be answered to its kind."""
    if topic in ("capital", "country"):
        scene["country"], scene["capital"] = scene.draws.choose(_ENTITIES["country"][split])
        return [pair[topic == "capital"] for pair in village.CAPITALS]
    if topic == "opposite":
        pair = scene.draws.choose(_ENTITIES["opposite"][split])
        scene["one"], scene["other"] = scene.draws.choose((pair, pair[::-1]))
        return [word for pair in village.OPPOSITES for word in pair]
    if topic == "colour":
        scene["coloured"], scene["its_colour"] = scene.draws.choose(_ENTITIES["coloured"][split])
        return [colour for _, colour in village.COLOURED]
    if topic == "after":
        kind = scene.draws.choose(("day", "month"))
        scene["before"], scene["after"] = scene.draws.choose(_ENTITIES[kind][split])
        return [*village.DAYS, *village.MONTHS]
    attribute = {"sound": "sound", "young": "young", "sleeps": "home", "eats": "food"}[topic]
    return [str(getattr(animal, attribute)) for animal in village.ANIMALS]


_SIGNS = {"+": "plus", "-": "minus"}
_SLOT = re.compile(r"\{(\w+)")
_KIN = {"friend": "hero", "low": "mood", "glad": "mood"}  # slots that can be mistaken for one another


def _kin(slot: str) -> str:
    name = slot.rstrip("0123456789")
    return _KIN.get(name, name)


def _reading(scene: Scene, split: Split) -> Draft:
    """A question about a passage made up on the spot."""
    passage, *questions = scene.draws.choose(scenes.PASSAGES)
    told = scene.say(passage)
    question, answer = scene.draws.choose(questions)
    asked, short = scene.say(question), scene.say(answer)
    wanted = _SLOT.findall(answer)
    others = [
        slot for slot in _SLOT.findall(passage.partition(" // ")[0]) if slot in scene and slot not in wanted
    ]
    rivals = [str(scene[slot]) for slot in others if _kin(slot) in map(_kin, wanted)]
    before, between = combine(scene, split, *phrases.READING_FRAMES)
    return Draft(
        f"{before}{told} {between}{asked}",
        short + ".",
        scene.say(phrases.READING_SENTENCES[question]),
        tuple(str(scene[slot]) for slot in wanted),
        tuple(dict.fromkeys(rival for rival in rivals if not _words(rival) <= _words(asked))),
    )


def _story(scene: Scene, split: Split) -> Draft:
    """A story that must contain given people, things and places."""
    request = "".join(combine(scene, split, *phrases.STORY_REQUESTS))
    prompt = scene.say(request)
    slots = _SLOT.findall(request)
    keys = tuple(str(scene[slot]) for slot in slots)
    story = scenes.story(scene)
    if split == "test":
        return Draft(prompt, story, story, keys)
    lost = scene.draws.choose(slots)
    scene.turn_over(*(slot for slot in ("manner", "adj", "number", "glad", "low", lost)))
    return Draft(prompt, story, story, keys, kind="I hope you like it!", flawed=scenes.story(scene))


def _sentiment(scene: Scene, split: Split) -> Draft:
    """Whether a short text is positive or negative."""
    label, other = scene.draws.choose((("positive", "negative"), ("negative", "positive")))
    told = scene.say(phrases.SENTIMENT[label][split])
    before, after = combine(scene, split, *phrases.SENTIMENT_FRAMES)
    full = scene.say((f"The text is {label}.", f"It is {label}."))
    return Draft(before + told + after, f"{label.capitalize()}.", full, (label,), (other,))


def _same(scene: Scene, split: Split) -> Draft:
    """Whether two sentences mean the same, found by saying of both what they mean."""
    topic = scene.draws.choose(tuple(phrases.MEANINGS))
    one, two = scene.draws.choose(phrases.PARAPHRASES[topic][split])
    sides = phrases.MEANINGS[topic]
    side = scene.draws.choose(tuple(sides))
    same = scene.draws.choose((True, False))
    other = side if same else next(name for name in sides if name != side)
    scene["one"] = Word(scene.draws.choose(sides[side]))
    scene["two"] = Word(scene.draws.choose([word for word in sides[other] if word != scene["one"]]))
    before, after = combine(scene, split, *phrases.SAME_FRAMES)
    prompt = f"{before}{scene.say(one)} {scene.say(two)}{after}"
    working = f"To be {scene['one']} is {side}, to be {scene['two']} is {other}."
    if same:
        return Draft(prompt, "Yes.", f"{working} Yes, they mean the same.", ("yes",), ("no",))
    return Draft(prompt, "No.", f"{working} No, they do not mean the same.", ("no",), ("yes",))


def _arithmetic(scene: Scene, split: Split) -> Draft:
    """A sum of one or two steps, told or bare, worked out one step at a time."""
    signs = scene.draws.choose(("+", "-", "++", "+-", "-+", "--"))
    numbers, steps = _sum(scene, split, signs)
    words = [village.NUMBERS[number] for number in numbers]
    if scene.draws.choose(range(3)):
        *told, question = combine(
            scene, split, *(phrases.SUM_STEPS[sign] for sign in signs), phrases.SUM_QUESTIONS
        )
        told = [step.replace("{n}", word) for step, word in zip(told, words[1:], strict=True)]
        events = f" and {told[0]}" if len(told) == 1 else f", {told[0]} and then {told[1]}"
        prompt = scene.say(f"{{hero}} has {words[0]} {{goods}}{events}. {question}")
    else:
        before, question = combine(scene, split, *phrases.BARE_SUMS)
        bare = words[0] + "".join(
            f" {_SIGNS[sign]} {word}" for sign, word in zip(signs, words[1:], strict=True)
        )
        prompt = before + question.replace("{sum}", bare)
    working = " ".join(
        f"{village.NUMBERS[a].capitalize()} {_SIGNS[sign]} {village.NUMBERS[b]} is {village.NUMBERS[c]}."
        for a, sign, b, c in steps
    )
    result = village.NUMBERS[steps[-1][-1]]
    return Draft(prompt, working, f"{working} So the answer is {result}.", (result,))


def _sum(scene: Scene, split: Split, signs: str) -> tuple[list[int], list[tuple[int, str, int, int]]]:
    """Numbers of a sum that belongs to the split, and its steps (a, sign, b, result), within those of the corpus."""
    while True:
        total = scene.draws.choose(range(2, 11) if signs[0] == "+" else range(4, 21))
        numbers, steps = [total], []
        for sign in signs:
            limit = 10 if sign == "+" else total - 2
            if limit < 2 or (sign == "+" and total > 10):
                break
            number = scene.draws.choose(range(2, limit + 1))
            after = total + number if sign == "+" else total - number
            steps.append((total, sign, number, after))
            numbers.append(number)
            total = after
        in_test = sum(factor * n for factor, n in zip((1, 3, 7), numbers, strict=False)) % TEST_EVERY == 0
        if len(steps) == len(signs) and in_test == (split == "test"):
            return numbers, steps


def _strangers(scene: Scene, split: Split) -> Draft:
    """A question about somebody who does not exist; the right answer is that one does not know."""
    relation = scene.draws.choose([relation for relation in PEOPLE_RELATIONS if relation.again])
    name = scene["hero"] = scene.draws.choose(STRANGERS[split])
    question = scene.say([q for q in relation.questions[split] if "{hero." not in q])
    full = scene.say((f"I do not know anybody called {name}.", f"I do not know {name}."))
    rivals = tuple(dict.fromkeys(_of_everybody(relation)))
    return Draft(
        _framed(scene, split, question),
        "I do not know.",
        full,
        ("do not know",),
        rivals,
        kind=scene.say(phrases.SORRY),
    )


def _refusal(scene: Scene, split: Split) -> Draft:
    """An unkind request; the right answer is a polite refusal."""
    (start, stop), (deed, called, victim) = combine(scene, split, phrases.REQUESTS, phrases.DEEDS)
    prompt, victim = scene.say(f"{start}{deed}{stop}"), scene.say(victim, capital=False)
    full = scene.say(
        (f"No, I will not help you {called}. It would hurt {victim}.", f"No, I will not {called}.")
    )
    kind = scene.say(phrases.KIND_OFFERS)
    return Draft(prompt, "No, I will not.", full, ("will not",), ("yes", "of course"), kind=kind)


def _greeting(scene: Scene, split: Split) -> Draft:
    """Small talk."""
    greeting, short, full, key = scene.draws.choose(phrases.GREETINGS)
    prompt = scene.say("".join(combine(scene, split, *greeting)))
    return Draft(
        prompt,
        scene.say(short),
        scene.say(full),
        (scene.say(key, capital=False),),
        kind=scene.say(phrases.DELIGHTED),
    )


# Each family: the function that writes it, and how often it is written, in parts of the sum.
FAMILIES: dict[str, tuple[Callable[[Scene, Split], Draft], int]] = {
    "village": (_village, 18),
    "world": (_world, 10),
    "reading": (_reading, 26),
    "story": (_story, 10),
    "sentiment": (_sentiment, 8),
    "same": (_same, 14),
    "arithmetic": (_arithmetic, 12),
    "strangers": (_strangers, 6),
    "refusal": (_refusal, 3),
    "greeting": (_greeting, 3),
}
