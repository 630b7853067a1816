"""Sums of several steps: worked out by Python, split as the assistant's, and checkers strict and lax."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from minillm.data.judge import verify
from minillm.data.step_sums import (
    RESULTS,
    StepSumConversations,
    StepSums,
    says_result,
    shows_steps,
    stated_result,
    steps_share,
    works_out,
)
from minillm.data.task_types import Task
from minillm.data.tasks import Tasks
from minillm.data.village import NUMBERS

SIGN = {"plus": 1, "minus": -1}


def numbers_of(question):
    """First number, and (sign, number) of each step."""
    words = [word for word in re.findall(r"[a-z]+", question.lower()) if word in NUMBERS or word in SIGN]
    steps = [
        (SIGN[sign], NUMBERS.index(number)) for sign, number in zip(words[1::2], words[2::2], strict=True)
    ]
    return NUMBERS.index(words[0]), steps


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("n_steps", [1, 2, 3, 4])
def test_sums_are_right_and_within_those_of_the_corpus(split, n_steps):
    results = Counter()
    for task in StepSums(split, n_steps).tasks(300, seed=7):
        total, steps = numbers_of(task.question)
        assert len(steps) == n_steps
        told = []
        for sign, number in steps:
            after = total + sign * number
            assert 2 <= after <= 20 and number >= 2 and (sign < 0 or max(total, number) <= 10)
            told.append(
                f"{NUMBERS[total]} {'plus' if sign > 0 else 'minus'} {NUMBERS[number]} is {NUMBERS[after]}."
            )
            total = after
        assert task.keys == (NUMBERS[total],) and task.keys[0] in RESULTS
        assert task.answer.lower() == " ".join([*told, f"so the answer is {NUMBERS[total]}."])
        assert verify(task, task.answer) and verify(task, f"The answer is {task.keys[0]}.")
        assert not verify(task, "The answer is zero.")
        results.update(task.keys)
    assert len(results) > 10


def test_the_splits_share_no_sum_with_each_other_nor_with_the_other_split_of_the_assistant():
    for n_steps in (1, 2):
        ours = {
            split: {str(numbers_of(task.question)) for task in StepSums(split, n_steps).tasks(2_000, 7)}
            for split in ("train", "test")
        }
        assert ours["train"] and ours["test"] and not ours["train"] & ours["test"]
        for split, other in (("train", "test"), ("test", "train")):
            bare = [  # in whole words: without digits, and not typed in a hurry
                numbers_of(task.question)
                for task in Tasks(split, ["arithmetic"]).tasks(1_500, 3)
                if re.fullmatch(r"\D*(plus|minus) (\w+)[.?]", task.question)
                and task.question[0].isupper()
                and task.messages[:1] == task.messages
            ]
            theirs = {str(found) for found in bare if len(found[1]) == n_steps}
            assert theirs & ours[split] and not theirs & ours[other]


def test_a_stream_is_the_same_each_time_and_seeds_differ():
    one, again, other = (list(StepSums("train", 3).tasks(20, seed)) for seed in (5, 5, 6))
    assert one == again and one != other
    assert list(StepSums("train", 3).tasks(5, 5, start=15)) == one[15:]


@pytest.mark.parametrize("share", [0.0, 0.15, 0.5, 1.0])
def test_a_share_of_the_conversations_shows_steps(share):
    source = StepSumConversations(n_train=200, n_validation=40, n_steps=2, steps_share=share)
    for split, n in (("train", 200), ("validation", 40)):
        answers = [messages[-1]["content"] for messages in source.conversations(split)]
        shown = [shows_steps(text) for text in answers]
        assert sum(shown) == int(n * share)
        assert all(
            re.fullmatch(r"The answer is \w+\.", text)
            for text, with_steps in zip(answers, shown)
            if not with_steps
        )
    prompts = [source.prompt(number)[-1]["content"] for number in range(50)]
    assert len(set(prompts)) > 40
    assert source.settings() != StepSumConversations(200, 40, 3, share).settings()


@pytest.mark.parametrize(
    "text, shown",
    [
        ("Nine plus two is eleven. So the answer is eleven.", True),
        ("nine minus two is zero", True),  # rightly or not
        ("The answer is nine.", False),
        ("Nine plus two plus four is nine.", True),
        ("Nine plus eleventh is nine.", False),
        ("Elsie plus two is three.", False),
        ("", False),
    ],
)
def test_what_shows_steps(text, shown):
    assert shows_steps(text) is shown


@pytest.mark.parametrize("n_steps", [1, 2, 3, 4])
def test_a_sum_is_worked_out_by_all_its_steps_in_order(n_steps):
    for task in StepSums("test", n_steps).tasks(20, seed=9):
        *steps, last = task.answer.split(". ")
        assert works_out(task, task.answer) and works_out(task, task.answer.upper())
        assert works_out(task, ". ".join(steps)), "whether it goes on to say the result or not"
        for missing in range(n_steps):
            skipped = [step for number, step in enumerate(steps) if number != missing]
            assert not works_out(task, ". ".join([*skipped, last]))
        wrong = re.sub(r"is \w+$", "is zero", steps[-1])
        assert not works_out(task, ". ".join([*steps[:-1], wrong, last]))
        assert steps[::-1] == steps or not works_out(task, ". ".join([*steps[::-1], last]))


@pytest.mark.parametrize(
    "answer, result",
    [
        ("Two plus two is four. So the answer is four.", "four"),
        ("Two plus two is four. Four plus nine is thirteen.", "thirteen"),
        ("The answer is 13.", "thirteen"),
        ("I do not know.", ""),
        ("", ""),
    ],
)
def test_the_stated_result_is_the_last(answer, result):
    assert stated_result(StepSums("test", 2).task(2, 0), answer) == result


def test_a_verified_answer_states_the_key():
    for task in StepSums("test", 3).tasks(50, seed=3):
        assert stated_result(task, task.answer) == task.keys[0]


def test_the_share_of_steps_is_that_of_sums():
    tasks = [Task(family, (("user", "?"),), "", ("two",)) for family in ("arithmetic", "world", "arithmetic")]
    answers = ["One plus one is two.", "One plus one is two.", "Two."]
    assert steps_share(tasks, answers) == {"steps_share": 0.5}
    assert steps_share(tasks[1:2], answers[1:2]) == {}


def test_the_lax_checker_is_fooled_by_a_list_where_the_strict_one_is_not():
    task = StepSums("train", 2).task(7, 1)
    listed = "The answer is " + ", ".join(NUMBERS) + "."
    assert says_result(task, listed) and not verify(task, listed)
    assert says_result(task, task.answer) and not says_result(task, "I do not know.")
    seven = Task("arithmetic", (("user", "?"),), "Seven.", ("seven",))
    assert not says_result(seven, "It is seventeen."), "a part of a word is no word"


@pytest.mark.parametrize(
    "make, told",
    [
        (lambda: StepSums("dev"), "split is 'dev'; choose one of train, test"),
        (lambda: StepSums("train", 0), "n_steps is 0; use a whole number from 1 to 4"),
        (lambda: StepSums("train", 5), "n_steps is 5; use a whole number from 1 to 4"),
        (lambda: StepSumConversations(steps_share=2), "steps_share is 2; use a number from 0 to 1"),
        (lambda: StepSumConversations(n_train=0), "n_train is 0; use a whole number of at least 1"),
        (lambda: StepSumConversations(n_steps=7), "n_steps is 7; use a whole number from 1 to 4"),
    ],
)
def test_wrong_settings_are_told(make, told):
    with pytest.raises((ValueError, TypeError)) as caught:
        make()
    assert told in str(caught.value)
