"""The domains: what is right by their rules, what is wrong, and that the test is new."""

from __future__ import annotations

import re

import pytest

from minillm.data.families.help_desk import HOURS
from minillm.data.judge import Judge
from minillm.data.tasks import DOMAINS, FAMILIES, Task, Tasks, held_out_tasks
from minillm.data.village import DAYS, NUMBERS, THINGS

judge = Judge()
HELP_DESK = DOMAINS["help desk"]


def tasks(split: str, domain: str = "help desk", n: int = 400) -> list[Task]:
    return list(Tasks(split, DOMAINS[domain]).tasks(n))


def one(kind: str) -> Task:
    return next(Tasks("test", [kind]).tasks(1))


@pytest.mark.parametrize("domain", DOMAINS)
@pytest.mark.parametrize("split", ["train", "test"])
def test_reference_answers_are_right(domain, split):
    for task in tasks(split, domain):
        verdict = judge(task, task.answer)
        assert verdict.is_correct and verdict.score > 0.75, task


@pytest.mark.parametrize("domain", DOMAINS)
def test_an_answer_to_another_kind_of_question_is_wrong(domain):
    answers = {"help desk": "Good morning!", "letters": "I do not know."}
    for task in tasks("test", domain, 100):
        assert not judge(task, answers[domain]).is_correct


def test_the_test_shares_no_thing_number_or_prompt_with_training():
    def mentioned(split):
        words = [" ".join(content for _, content in task.messages) for task in tasks(split)]
        return {thing for thing in THINGS for text in words if re.search(rf"\b{thing}\b", text)}

    assert mentioned("train").isdisjoint(mentioned("test"))
    prompts = {task.messages for task in tasks("train", n=2_000)}
    assert prompts.isdisjoint(task.messages for task in tasks("test"))
    numbers = {key for task in tasks("train", n=2_000) for key in task.keys if key.startswith("Number")}
    assert numbers.isdisjoint(key for task in tasks("test") for key in task.keys)


def test_few_conversations_are_alike():
    train = tasks("train", n=600)
    assert len({task.messages for task in train}) > 500
    assert {task.family for task in train} == set(HELP_DESK)
    assert len(held_out_tasks(50, HELP_DESK)) >= 200


def test_domains_have_to_be_named():
    assert set(Tasks("train").weights) == set(FAMILIES)
    assert not set(FAMILIES) & {name for domain in DOMAINS.values() for name in domain}
    with pytest.raises(ValueError, match="choose at least one of village, .*complaint"):
        Tasks("train", ["parcels"])


def test_a_number_must_be_the_customers():
    task = one("order")
    number = next(key for key in task.keys if key.startswith("Number")).removeprefix("Number ")
    assert number in task.question.lower() and number in task.answer
    other = next(word for word in NUMBERS[1:] if word not in number.split())
    assert not judge(task, task.answer.replace(number.split()[0], other)).is_correct
    assert not judge(task, task.answer + f" It will take {other} days.").is_correct


@pytest.mark.parametrize("kind", ["complaint", "number", "unknown", "thanks"])
def test_nothing_may_be_invented(kind):
    task = one(kind)
    assert judge(task, task.answer).is_correct
    for invented in (
        f"It will come on {DAYS[2]}.",
        "It costs seventeen coins.",
        "I am sorry, come on Friday.",
    ):
        assert not judge(task, f"{task.answer} {invented}").is_correct


def test_an_apology_names_the_right_thing():
    task = one("complaint")
    thing = next(word for word in THINGS if f"your {word} " in task.answer)
    wrong = next(word for word in THINGS if word != thing)
    assert not judge(task, task.answer.replace(thing, wrong)).is_correct
    assert not judge(task, task.answer.partition(". ")[2]).is_correct, "the apology is missing"
    assert not judge(task, task.answer.partition(". ")[0] + ".").is_correct, "the question is missing"


def test_hours_are_the_fixed_ones():
    for task in (t for t in tasks("train") if t.family == "hours" and "open from" in t.answer):
        desk = "shop" if "shop" in task.question else "post office"
        opens, closes = HOURS[desk]
        assert f"from {opens} to {closes}" in task.answer
        wrong = task.answer.replace(f"from {opens}", "from ten")
        assert not judge(task, wrong).is_correct
