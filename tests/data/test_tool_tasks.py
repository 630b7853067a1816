"""Questions that tools answer: whole, split, and marked against answers written by hand."""

from __future__ import annotations

import re

import pytest

from minillm.data.tasks import Tasks
from minillm.data.tool_calls import RESULT, run_call
from minillm.data.tool_tasks import (
    TOOL_KINDS,
    ToolConversations,
    mark_answer,
    older_conversations,
    tool_task,
    tool_tasks,
    village_register,
)
from minillm.data.village import PEOPLE
from minillm.text.chat import check_messages


@pytest.mark.parametrize("split", ["train", "test"])
def test_the_reference_is_right_and_its_call_finds_the_key(split):
    for task in tool_tasks(split, 400, 5):
        check_messages(task.conversation)
        result = run_call(task.call, task.register).removeprefix(RESULT)
        assert result == ("unknown" if task.kind == "nobody" else task.key)
        assert mark_answer(task, task.answer) == "right"


def test_sums_are_right_by_another_calculation():
    for task in tool_tasks("test", 300, 6, ["sums"]):
        left, sign, right = re.fullmatch(r".*: (\d+) (.) (\d+)", task.call).groups()
        by_hand = {"+": int(left) + int(right), "-": int(left) - int(right), "*": int(left) * int(right)}
        assert task.key == str(by_hand[sign])
        assert left in task.question and right in task.question


def test_splits_share_no_names_and_no_wordings():
    def asked(split: str, kind: str) -> set[str]:
        return {re.sub(r"\d+", "N", t.question) for t in tool_tasks(split, 400, 7, [kind])}

    def named(split: str) -> set[str]:
        return {
            t.call.split(": ")[1].split(",")[0] for t in tool_tasks(split, 800, 7, ["newcomers", "nobody"])
        }

    assert not named("train") & named("test")
    assert not (named("train") | named("test")) & {str(person) for person in PEOPLE}
    assert not asked("train", "sums") & asked("test", "sums")
    plain = asked("train", "today") & asked("test", "today")
    assert not plain


def test_nobody_is_not_in_the_register_and_newcomers_are():
    for task in tool_tasks("train", 200, 8):
        found = run_call(task.call, task.register)
        assert (found == "result: unknown") == (task.kind == "nobody")


@pytest.mark.parametrize(
    ("kind", "answer", "mark"),
    [
        ("sums", "The answer is {key}.", "right"),
        ("sums", "The answer is 7777777.", "made up"),
        ("sums", "Seven plus three is ten. So the answer is ten.", "made up"),
        ("sums", "It is {key} or 7777777.", "made up"),
        ("sums", "That is too hard for me. I can only add and take away, up to twenty.", "no answer"),
        ("today", "It is {key}, I think.", "right"),
        ("today", "I do not know: I have no clock and no window.", "no answer"),
        ("nobody", "I do not know anybody called so.", "right"),
        ("nobody", "", "no answer"),
        ("newcomers", "I do not know.", "no answer"),
        ("newcomers", "It is {key}.", "right"),
        ("newcomers", "It is {rival}.", "made up"),
        ("nobody", "It is {rival}.", "made up"),
        ("today", "It is {rival}.", "made up"),
    ],
)
def test_marks(kind: str, answer: str, mark: str):
    for task in tool_tasks("test", 12, 9, [kind]):
        rival = task.rivals[-1] if task.rivals else ""
        assert mark_answer(task, answer.format(key=task.key, rival=rival)) == mark


def test_typed_questions_keep_names_and_numbers():
    for task in tool_tasks("test", 200, 10, typed=1.0):
        for part in re.findall(r"[A-Z][a-z]+|\d+", task.call.split(": ")[1]):
            assert part.lower() in task.question.lower()
    plain = tool_tasks("test", 200, 10)
    assert [t.call for t in plain] == [t.call for t in tool_tasks("test", 200, 10, typed=1.0)]


def test_conversations():
    source = ToolConversations(40, 8, typed=0.5)
    train, held_out = list(source.conversations("train")), list(source.conversations("validation"))
    assert (len(train), len(held_out)) == (40, 8)
    assert not {c[0]["content"] for c in train} & {c[0]["content"] for c in held_out}
    assert source.prompt(0)[-1]["role"] == "user"
    assert source.settings() != ToolConversations(40, 8).settings()


@pytest.mark.parametrize(
    "wrong", [{"n_train": 0}, {"typed": 2.0}, {"kinds": ("sums", "magic")}, {"kinds": ()}]
)
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ToolConversations(**wrong)


def test_older_conversations_decline_nothing_that_a_tool_finds():
    older = older_conversations(300)
    assert len(older) == 300
    said = " ".join(m["content"] for c in older for m in c if m["role"] == "assistant")
    assert "do not know anybody" not in said and "up to twenty" not in said


def test_some_older_conversations_have_new_names_and_no_other_change():
    older = [" ".join(m["content"] for m in c) for c in older_conversations(300)]
    whole = {" ".join(m["content"] for m in t.conversation) for t in Tasks("train").tasks(700)}
    changed = [text for text in older if text not in whole]
    assert 30 < len(changed) < 200
    names = "|".join(str(person) for person in PEOPLE)
    shapes = {re.sub(r"\b[A-Z][a-z]+\b", "_", text) for text in whole}
    for text in changed:
        assert not re.search(rf"\b({names})\b", text)
        assert re.sub(r"\b[A-Z][a-z]+\b", "_", text) in shapes


def test_the_register_of_the_village_has_everybody():
    register = village_register({"day": "Monday"})
    for person in PEOPLE:
        assert register.look_up(str(person), "pet name") == str(person.pet_name)
    assert register.look_up("today", "day") == "Monday"
    assert register.look_up("Viock", "job") == "unknown"


def test_a_question_is_the_same_each_time():
    assert tool_task("test", 3, 17).conversation == tool_task("test", 3, 17).conversation
    assert {task.kind for task in tool_tasks("test", 4, 3)} == set(TOOL_KINDS)
