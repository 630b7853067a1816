"""Letters: the same questions and the same marking, and a form around the answer."""

from __future__ import annotations

from dataclasses import replace

import pytest

from minillm.data.families.letters import as_letter, letter_body
from minillm.data.judge import Judge
from minillm.data.tasks import DOMAINS, FAMILIES, Task, Tasks

judge = Judge()
LETTERS = DOMAINS["letters"]


def tasks(family: str, n: int = 30, split: str = "test") -> list[Task]:
    return list(Tasks(split, [f"{family} letter"]).tasks(n))


def test_every_family_of_the_course_is_answered_by_letter():
    assert list(LETTERS) == [f"{name} letter" for name in FAMILIES]
    assert [f.weight for f in LETTERS.values()] == [f.weight for f in FAMILIES.values()]


@pytest.mark.parametrize(
    ("text", "body"),
    [
        ("My dear friend! A bee. That is all in my letter.", "A bee."),
        ("  My dear friend! A bee. No, two. That is all in my letter.\n", "A bee. No, two."),
        ("A bee.", None),
        ("My dear friend! A bee.", None),
        ("A bee. That is all in my letter.", None),
        ("My dear friend! That is all in my letter.", None),
        ("My dear friend!  That is all in my letter.", None),
        ("my dear friend! A bee. That is all in my letter.", None),
        ("My dear friend! A bee. That is all in my letter. A bee.", None),
        ("Oh! My dear friend! A bee. That is all in my letter.", None),
        ("My dear friend! My dear friend! A bee. That is all in my letter.", None),
        ("My dear friend! A bee. That is all in my letter. That is all in my letter.", None),
        ("", None),
    ],
)
def test_the_form_of_a_letter(text, body):
    assert letter_body(text) == body


@pytest.mark.parametrize("family", FAMILIES)
def test_a_letter_is_right_where_its_body_is(family):
    """For right, wrong and empty bodies: the verdict of the family itself on what stands between."""
    written = tasks(family)
    told = {True: 0, False: 0}
    for task, other in zip(written, written[::-1], strict=True):
        body = letter_body(task.answer)
        assert body is not None
        plain = replace(task, family=family, answer=body)
        for text in (body, letter_body(other.answer), "Perhaps.", f"{body} {body}"):
            right = FAMILIES[family].correct(FAMILIES[family].read(plain, text))
            verdict = judge(task, as_letter(text))
            assert verdict.parts["correct"] == right
            told[verdict.is_correct] += 1
        assert judge(task, task.answer).is_correct
        assert not judge(task, body).is_correct, "right, but no letter"
        assert judge(task, body).parts["follows"] == 0.0
        assert not judge(task, task.answer.replace("My dear friend! ", "")).is_correct
        assert not judge(task, task.answer.replace(" That is all in my letter.", "")).is_correct
    assert told[True] >= len(written) and told[False] > 0


def test_a_letter_that_contradicts_itself_is_none():
    task = tasks("world", 1)[0]
    body = letter_body(task.answer)
    for wrong in (f"{body} It is {task.rivals[0]}.", f"It is {task.rivals[0]}."):
        assert not judge(task, as_letter(wrong)).is_correct


def test_sums_without_steps_are_letters_too():
    for task in Tasks("train", ["arithmetic letter"], steps=False).tasks(20):
        assert letter_body(task.answer) == f"The answer is {task.keys[0]}."
        assert judge(task, task.answer).is_correct


def test_the_questions_are_those_of_the_family():
    asked = {
        task.question for task in Tasks("test", ["village", "world"]).tasks(3_000) if len(task.messages) == 1
    }
    assert sum(task.question in asked for task in tasks("world", 40)) > 5
