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
        ({"system": "Be brief.", "messages": [ASK, ANSWER]}, [SYSTEM, ASK, ANSWER]),
        ({"system": "Be brief.", "messages": [SYSTEM, ASK, ANSWER]}, [SYSTEM, ASK, ANSWER]),
        ({"system": "", "messages": [SYSTEM, ASK, ANSWER]}, [SYSTEM, ASK, ANSWER]),
        ({"system": None, "conversations": [HUMAN, GPT]}, [ASK, ANSWER]),
        ({"system": "Be brief.", "conversations": [HUMAN, GPT]}, [SYSTEM, ASK, ANSWER]),
        ({"system": "Be brief.", "prompt": "Who?", "completion": "Ada."}, [SYSTEM, ASK, ANSWER]),
        (
            {"conversations": [{"from": "user", "value": "Who?"}, {"from": "assistant", "value": "Ada."}]},
            [ASK, ANSWER],
        ),
        (
            {"conversations": [{**HUMAN, "role": None, "content": None}, {**ANSWER, "from": None}]},
            [ASK, ANSWER],
        ),
        ({"prompt": "Who?", "completion": [SYSTEM, ANSWER]}, [SYSTEM, ASK, ANSWER]),
        ({"instruction": "Who?", "input": "", "output": "Ada."}, [ASK, ANSWER]),
        ({"instruction": "Who?", "output": "Ada.", "text": "Below is"}, [ASK, ANSWER]),
        ({"instruction": "Who?", "input": None, "output": "Ada.", "history": []}, [ASK, ANSWER]),
        ({"instruction": " ", "input": "Who?", "output": "Ada."}, [ASK, ANSWER]),
        ({"system": "Be brief.", "instruction": "Who?", "output": "Ada."}, [SYSTEM, ASK, ANSWER]),
        (
            {"instruction": "Add.", "input": "1 and 2", "output": "3"},
            [{"role": "user", "content": "Add.\n\n1 and 2"}, {"role": "assistant", "content": "3"}],
        ),
        ({"messages": [ASK, ANSWER], "instruction": 5, "output": 5, "history": 5}, [ASK, ANSWER]),
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
        ({"system": 5, "messages": [ASK, ANSWER]}, "'system' is a int; it must be a text"),
        ({"system": "No.", "messages": [SYSTEM, ASK, ANSWER]}, "two different system messages; give one"),
        ({"system": "\ud800", "messages": [ASK, ANSWER]}, r"messages\[0\] cannot be encoded"),
        ({"output": "Ada.", "input": "Who?"}, "there are no messages, only output, input"),
        ({"instruction": 5, "output": "Ada."}, "'instruction' is a int; it must be a text"),
        ({"instruction": "Who?", "input": ["a"], "output": "Ada."}, "'input' is a list; it must be a text"),
        ({"instruction": "", "input": " ", "output": "Ada."}, "are empty; write what is asked"),
        ({"instruction": "Who?", "output": " "}, "a message of the assistant is empty"),
        ({"instruction": "Who?", "output": 5}, "'output' is a int; it must be a text"),
        ({"instruction": "Who?", "output": ["Ada."]}, "'output' is a list; it must be a text"),
        ({"prompt": "Who?", "completion": "Ada.", "history": [["a", "b"]]}, "'history' is not read"),
        ({"instruction": "Who?", "output": "Ada.", "history": [["a", "b"]]}, "'history' is not read"),
        (
            {"conversations": [HUMAN, {"from": "function_call", "value": "?"}]},
            "the role 'function_call'; use one of",
        ),
        ({"conversations": [HUMAN, {"from": "\ud800", "value": "?"}]}, r"the role '\\ud800'"),
        ({"\ud800": 1}, r"only \\ud800"),
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


def test_earlier_turns_that_are_not_read_are_not_dropped_silently():
    with pytest.raises(ValueError, match="'history' is not read"):
        parse_comparison({"prompt": "Who?", "history": [["a", "b"]], "chosen": "Ada.", "rejected": "Bob."})


def test_a_null_is_no_answer():
    with pytest.raises(TypeError, match="each must be a text"):
        parse_comparison({"prompt": "Who?", "chosen": None, "rejected": "Bob."})


@pytest.mark.parametrize(
    "row, prompt",
    [
        ({"prompt": "Who?", "chosen": [SYSTEM, ASK, ANSWER]}, [SYSTEM, ASK]),
        ({"prompt": "Who?", "chosen": [SYSTEM, ANSWER]}, [SYSTEM, ASK]),
        ({"prompt": "", "chosen": [ASK, ANSWER]}, [ASK]),
        ({"prompt": [], "chosen": [SYSTEM, ASK, ANSWER]}, [SYSTEM, ASK]),
        ({"prompt": [SYSTEM, ASK], "chosen": [SYSTEM, ASK, ANSWER]}, [SYSTEM, ASK]),
        ({"prompt": [ASK], "chosen": [SYSTEM, ASK, ANSWER]}, [SYSTEM, ASK]),
        ({"prompt": "Who?", "chosen": [{"role": "user", "content": "Hi"}, ANSWER, ASK, ANSWER]}, None),
        ({"prompt": "Who?", "chosen": [ANSWER], "system": "Be brief."}, [SYSTEM, ASK]),
        ({"prompt": "Who?", "chosen": "Ada.", "system": "Be brief."}, [SYSTEM, ASK]),
        ({"instruction": "Who?", "input": "", "chosen": "Ada."}, [ASK]),
        ({"instruction": "Who?", "chosen": [ANSWER], "system": "Be brief."}, [SYSTEM, ASK]),
    ],
)
def test_the_prompt_of_a_comparison_wherever_it_stands(row, prompt):
    chosen = row["chosen"]
    rejected = "Bob." if isinstance(chosen, str) else [*chosen[:-1], {"role": "assistant", "content": "Bob."}]
    parsed = parse_comparison({**row, "rejected": rejected})
    assert list(parsed["prompt"]) == (prompt if prompt is not None else chosen[:-1])
    assert parsed["answers"] == ("Ada.", "Bob.")


def test_two_system_messages_of_a_comparison_are_refused():
    other = {"role": "system", "content": "Be long."}
    row = {"prompt": [other, ASK], "chosen": [SYSTEM, ASK, ANSWER], "rejected": [SYSTEM, ASK, ANSWER]}
    with pytest.raises(ValueError, match="begin with different system messages; give one"):
        parse_comparison(row)


@pytest.mark.parametrize("ranks", [[0, 1 << 40], [0, 10**30], [0, float("nan")], [0, True], ["0", "1"]])
def test_ranks_that_no_tensor_can_hold_are_refused(ranks):
    with pytest.raises(ValueError, match="give a whole number for each answer"):
        parse_comparison({"prompt": "Who?", "answers": ["a", "b"], "ranks": ranks})


@pytest.mark.parametrize(
    "more",
    [
        {"gold": ["a", "b"]},
        {"gold": [float("nan"), 1]},
        {"gold": [True, 7]},
        {"family": "\ud800"},
        {"family": None},
    ],
)
def test_keys_of_the_reward_stage_with_anothers_meaning_are_ignored(more):
    """They would stop the reward stage when it is trained and its comparisons are written."""
    row = parse_comparison({"prompt": "Who?", "answers": ["a", "b"], "ranks": [0, 1], **more})
    assert row["gold"] == () and row["family"] == ""
