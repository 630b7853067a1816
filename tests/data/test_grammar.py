"""The machinery of the micro-world: draws, templates, exact probabilities."""

from __future__ import annotations

import math
from collections import Counter

import pytest

from minillm.data.grammar import Draws, Fact, RandomDraws, Scene, ScriptedDraws, Word, enumerate_derivations

POOLS = {"hero": ("Ada", "Bo", "Cy"), "thing": (Word("kite"), Word("oar"))}
POOLS["friend"] = POOLS["hero"]


def scene(path=(), draws=None) -> Scene:
    return Scene(draws or ScriptedDraws(path), POOLS)


def test_a_slot_is_drawn_once_and_kept():
    assert scene([1]).say("{hero} met {hero}.") == "Bo met Bo."


def test_slots_with_one_pool_never_take_the_same_value():
    names = {
        text for text, _ in enumerate_derivations(lambda draws: scene(draws=draws).say("{hero} and {friend}"))
    }
    assert names == {f"{a} and {b}" for a in POOLS["hero"] for b in POOLS["hero"] if a != b}


def test_turn_over_draws_anew_from_what_is_left():
    story = scene()
    assert [story.say("{hero}"), story.turn_over("hero"), story.say("{hero}")] == ["Ada", None, "Bo"]


def test_fresh_slots_are_drawn_at_every_mention():
    draws = ScriptedDraws([1, 0])
    assert Scene(draws, POOLS, fresh={"thing"}).say("{thing}, {thing}") == "Oar, kite"
    assert draws.arities == [2, 2]


def test_alternatives_nest_and_may_be_empty():
    texts = Counter(
        text for text, _ in enumerate_derivations(lambda draws: scene(draws=draws).say("x[a|[b|c]|]"))
    )
    assert texts == {"Xa": 1, "Xb": 1, "Xc": 1, "X": 1}


def test_articles_and_capitals():
    assert (
        scene([1]).say('{thing.a} is here. {thing.a}!\n{thing} "{thing}"')
        == 'An oar is here. An oar!\nOar "oar"'
    )
    assert scene([0]).say("{thing}", capital=False) == "kite"


def test_facts_take_the_values_of_the_slots():
    story = scene([2, 1])
    assert story.say("{hero} has it. // has hero thing") == "Cy has it."
    assert story.facts == [Fact("has", "Cy", "oar")]


@pytest.mark.parametrize("template", ["a [b|c", "a b] c", "[a|[b]"])
def test_unbalanced_brackets_are_named(template):
    with pytest.raises(ValueError, match="bracket"):
        scene().say(template)


def test_nothing_is_drawn_that_the_text_does_not_show():
    draws = ScriptedDraws([1])
    scene(draws=draws).say("[{hero} sleeps|it rains]")
    assert draws.arities == [2]
    assert draws.log_prob == -math.log(2)


def test_enumeration_walks_every_derivation_once_and_sums_to_one():
    def write(draws: Draws) -> tuple[str, float]:
        kind = draws.weighted({"long": 3, "short": 2})
        text = scene(draws=draws).say("{hero} [has|sells] {thing.a}." if kind == "long" else "{hero}!")
        return text, draws.log_prob

    total, by_text = 0.0, Counter()
    for (text, log_prob), ticket_log_prob in enumerate_derivations(write):
        total += math.exp(ticket_log_prob)
        by_text[text, log_prob] += math.exp(ticket_log_prob)
    assert total == pytest.approx(1, abs=1e-12)
    assert len(by_text) == 3 * 2 * 2 + 3
    for (_, log_prob), probability in by_text.items():
        assert probability == pytest.approx(math.exp(log_prob), rel=1e-12)


def test_random_draws_are_uniform_and_pure():
    draws = RandomDraws(seed=7, index=3)
    counts = Counter(draws.choose("abcdefg") for _ in range(70_000))
    chi_square = sum((count - 10_000) ** 2 / 10_000 for count in counts.values())
    assert chi_square < 22.5  # 6 degrees of freedom: one run in a thousand is above; the draws are fixed
    assert draws.log_prob == pytest.approx(-70_000 * math.log(7))
    again = RandomDraws(seed=7, index=3)
    assert [again.choose(range(1000)) for _ in range(3)] != [
        RandomDraws(7, 4).choose(range(1000)) for _ in range(3)
    ]


def test_neighbouring_indices_and_seeds_are_unrelated():
    firsts = [RandomDraws(seed, index).choose(range(100)) for seed in range(50) for index in range(200)]
    counts = Counter(firsts)
    assert len(counts) == 100 and max(counts.values()) < 150  # mean 100, standard deviation 10
