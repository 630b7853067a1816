"""Rows: every usual shape of a conversation becomes the same messages; preferences in test_readers.py."""

from __future__ import annotations

import pytest

from minillm.data.rows import parse_comparison, parse_conversation

ASK, ANSWER = {"role": "user", "content": "Who?"}, {"role": "assistant", "content": "Ada."}
SYSTEM = {"role": "system", "content": "Be brief."}
HUMAN, GPT = {"from": "human", "value": "Who?"}, {"from": "gpt", "value": "Ada."}


@pytest.mark.parametrize(
    "row, expected",
    [
        ({"messages": [ASK, ANSWER]}, [ASK, ANSWER]),
        ({"messages": [SYSTEM, {**ASK, "weight": 3}, ANSWER], "source": "me"}, [SYSTEM, ASK, ANSWER]),
        ({"conversations": [HUMAN, GPT]}, [ASK, ANSWER]),
        ({"conversations": [{"from": "system", "value": "Be brief."}, HUMAN, GPT]}, [SYSTEM, ASK, ANSWER]),
        ({"conversations": [ASK, ANSWER]}, [ASK, ANSWER]),
        ({"messages": [HUMAN, GPT, HUMAN, GPT]}, [ASK, ANSWER, ASK, ANSWER]),
        ({"messages": None, "conversations": [HUMAN, GPT]}, [ASK, ANSWER]),
        ({"prompt": "Who?", "completion": "Ada."}, [ASK, ANSWER]),
        ({"prompt": [SYSTEM, ASK], "completion": [ANSWER]}, [SYSTEM, ASK, ANSWER]),
    ],
)
def test_every_usual_form_of_a_conversation(row, expected):
    assert parse_conversation(row) == expected


@pytest.mark.parametrize(
    "row, message",
    [
        ({"text": "a"}, "there are no messages, only text; write a line such as"),
        ({}, "only nothing"),
        ({"conversations": []}, "no messages"),
        ({"conversations": "Who?"}, "messages is a str; pass a list"),
        (
            {"conversations": [{"from": "alien", "value": "?"}]},
            "the role 'alien'; use one of system, user, assist",
        ),
        ({"conversations": [{"from": ["human"], "value": "?"}]}, r"the role \['human'\]"),
        ({"conversations": [{"from": "human"}]}, r"messages\[0\] is"),
        ({"conversations": [{"from": "human", "value": None}]}, "NoneType; it must be a str"),
        ({"conversations": [GPT]}, r"messages\[0\] is the assistant's"),
        ({"prompt": 5, "completion": "Ada."}, "messages is a int"),
        ({"prompt": "Who?", "completion": ""}, "a message of the assistant is empty"),
        ({"completion": "Ada."}, r"messages\[0\] is the assistant's, expected is system or user"),
        ({"messages": [ASK, {**ANSWER, "content": "\n"}]}, "is empty; write what it should say"),
    ],
)
def test_what_is_no_conversation_is_refused(row, message):
    with pytest.raises((TypeError, ValueError), match=message):
        parse_conversation(row)


def test_preferences_may_be_in_sharegpts_form():
    bad = {"from": "gpt", "value": "Bob."}
    row = parse_comparison({"chosen": [HUMAN, GPT], "rejected": [HUMAN, bad]})
    assert row["prompt"] == (ASK,) and row["answers"] == ("Ada.", "Bob.")


def test_an_answer_of_a_comparison_may_be_empty():
    """A model sometimes says nothing; that the other answer is better can be learned."""
    assert parse_comparison({"prompt": "Who?", "chosen": "Ada.", "rejected": ""})["answers"] == ("Ada.", "")


def test_a_null_is_no_answer():
    with pytest.raises(TypeError, match="each must be a text"):
        parse_comparison({"prompt": "Who?", "chosen": None, "rejected": "Bob."})
