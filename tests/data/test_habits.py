"""Conversations that a model answered, and those of an earlier training among others."""

from __future__ import annotations

import pytest

from minillm.data import habits
from minillm.data.answers import Answer
from minillm.data.habits import GivenConversations, answered, with_replay


def ask(text):
    return {"role": "user", "content": text}


def say(text):
    return {"role": "assistant", "content": text}


def given(name, n_train, n_validation=2):
    return GivenConversations(
        tuple([ask(f"{name} {i}"), say("yes")] for i in range(n_train)),
        tuple([ask(f"{name} held out {i}"), say("no")] for i in range(n_validation)),
    )


def test_what_a_model_answers_is_the_conversation_and_what_it_does_not_end_is_not(monkeypatch):
    asked = []

    def answers(model, tokenizer, prompts, temperature):
        asked.append((model, tokenizer, temperature))
        return [Answer("A", (1,), True), Answer("cut", (1,), False), Answer("C", (1,), True)]

    monkeypatch.setattr(habits, "answer_prompts", answers)
    prompts = [[ask("a")], [ask("b")], [ask("x"), say("y"), ask("c")]]
    assert answered("model", "tokenizer", prompts) == (
        [ask("a"), say("A")],
        [ask("x"), say("y"), ask("c"), say("C")],
    )
    assert asked == [("model", "tokenizer", 0.0)] and len(prompts[0]) == 1


def test_a_prompt_ends_with_the_user():
    assert [given("new", 2).prompt(number) for number in (0, 1, 2)] == [
        [ask("new 0")],
        [ask("new 1")],
        [ask("new 0")],
    ]


@pytest.mark.parametrize(("share", "n_old"), [(0.0, 0), (0.25, 2), (0.5, 6), (0.9, 7)])
def test_the_share_is_that_of_the_replayed(share, n_old):
    mixed = with_replay(given("new", 6), given("old", 7), share)
    train = [messages[0]["content"] for messages in mixed.conversations("train")]
    assert train == [f"new {i}" for i in range(6)] + [f"old {i}" for i in range(n_old)]
    assert list(mixed.conversations("validation")) == list(given("new", 6).conversations("validation"))


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_a_share_out_of_range_is_told(share):
    with pytest.raises(ValueError, match=f"share is {share}"):
        with_replay(given("new", 1), given("old", 1), share)
