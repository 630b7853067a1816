"""What a program can check: pass@k against choosing by brute force, chance against guessing, and marks one by one."""

from __future__ import annotations

import itertools
import random

import pytest
import torch

from minillm.data.answers import Answer
from minillm.data.families import FAMILIES
from minillm.data.judge import verify
from minillm.data.task_types import Task
from minillm.data.tasks import held_out_tasks
from minillm.evaluate import (
    Report,
    answer_tasks,
    guess_chance,
    majority_at_k,
    pass_at_k,
    sample_counts,
    verifiable_families,
    verified_share,
)
from minillm.model.gpt import GPT, GPTConfig
from minillm.text.tokenizer import Tokenizer

TOKENIZER = Tokenizer([])


def answer(text):
    return Answer(text, (), True)


@pytest.mark.parametrize("n", range(1, 8))
def test_pass_at_k_is_the_share_of_all_choices(n):
    for c, k in itertools.product(range(n + 1), range(1, n + 1)):
        marks = [True] * c + [False] * (n - c)
        choices = [any(chosen) for chosen in itertools.combinations(marks, k)]
        assert pass_at_k(n, c, k) == pytest.approx(sum(choices) / len(choices), abs=1e-12)


def test_pass_at_k_is_right_on_average():
    """Over all samples of 6 answers, each right with probability 0.3, where 1 - (1 - c / n)^k is too low."""
    p, n, k = 0.3, 6, 3
    ours = naive = 0.0
    for marks in itertools.product((0, 1), repeat=n):
        c = sum(marks)
        weight = p**c * (1 - p) ** (n - c)
        ours += weight * pass_at_k(n, c, k)
        naive += weight * (1 - (1 - c / n) ** k)
    assert ours == pytest.approx(1 - (1 - p) ** k, abs=1e-12) and naive < ours - 0.02


def test_pass_at_k_does_not_overflow():
    assert 0.5 < pass_at_k(2_000, 20, 100) < 0.8


@pytest.mark.parametrize("n, c, k", [(4, 1, 5), (4, 5, 1), (4, -1, 1), (4, 1, 0), (0, 0, 0)])
def test_numbers_that_do_not_fit_are_refused(n, c, k):
    with pytest.raises(
        ValueError, match=f"n={n}, c={c}, k={k} do not fit together; use 1 <= k <= n and 0 <= c <= n"
    ):
        pass_at_k(n, c, k)


@pytest.mark.parametrize(
    "results", [["two", "five", "two", "six", "five"], ["two", "", "six", "", "two", "six"], ["", "", "five"]]
)
def test_the_majority_is_that_of_all_choices(results):
    """Every choice of k counted; of equally frequent results each is taken as often. 20,000 draws err by 0.0035."""
    for right, k in itertools.product(("two", "six"), range(1, len(results) + 1)):
        marks = []
        for chosen in itertools.combinations(results, k):
            stated = [result for result in chosen if result]
            most = max(map(stated.count, stated), default=0)
            first = {result for result in stated if stated.count(result) == most}
            marks.append((right in first) / max(1, len(first)))
        found = majority_at_k(results, right, k, draws=20_000)
        assert found == pytest.approx(sum(marks) / len(marks), abs=0.014)
    assert majority_at_k(results, results[0] or "five", 1) <= 1 / 2


def test_a_majority_of_more_than_there_are_is_refused():
    for k in (0, 3):
        with pytest.raises(ValueError, match=f"k is {k}, and there are 2 answers; use 1 to 2"):
            majority_at_k(["two", "six"], "two", k)


def a_task(family, key, *rivals):
    return Task(family, (("user", "?"),), key, (key,), rivals)


def test_chance_is_that_of_guessing():
    """Played: a guess among the answer and its rivals, and among sums one as often as it is right."""
    tasks = [
        a_task("world", "lima", "rome", "oslo"),
        a_task("same", "yes", "no"),
        *(a_task("arithmetic", key) for key in ("two", "two", "two", "five")),
    ]
    sums = ["two", "two", "two", "five"]
    play = random.Random(0)
    for k in (1, 3):
        rounds, right = 20_000, 0
        for _ in range(rounds):
            task = play.choice(tasks)
            options = [*task.keys, *task.rivals] if task.rivals else sums
            right += any(play.choice(options) == task.keys[0] for _ in range(k))
        # The standard error of a share of 20,000 is below 0.004.
        assert guess_chance(tasks, k) == pytest.approx(right / rounds, abs=0.015)
    assert guess_chance(tasks[1:2], 1) == 0.5 and guess_chance(tasks[:1], 1) == pytest.approx(1 / 3)


def test_the_verifiable_families_are_those_that_verify_takes():
    tasks = held_out_tasks(1)
    for task in tasks:
        if task.family in verifiable_families():
            assert verify(task, task.answer)
        else:
            with pytest.raises(ValueError, match="cannot be verified"):
                verify(task, task.answer)
    assert set(verifiable_families(FAMILIES)) == {
        "village",
        "world",
        "reading",
        "sentiment",
        "same",
        "arithmetic",
    }
    assert verifiable_families(["story", "world"]) == ["world"]


def test_the_share_counts_verifiable_tasks_only():
    tasks = held_out_tasks(3)
    answers = [answer(task.answer if number % 3 else "No idea.") for number, task in enumerate(tasks)]
    families = verifiable_families()
    marks = [verify(t, a.text) for t, a in zip(tasks, answers, strict=True) if t.family in families]
    assert 0 < sum(marks) < len(marks) < len(tasks)
    assert verified_share(tasks, answers) == sum(marks) / len(marks)
    assert verified_share([], []) is None
    stories = [task for task in tasks if task.family == "story"]
    assert verified_share(stories, [answer(task.answer) for task in stories]) is None


def small_model():
    config = GPTConfig(TOKENIZER.vocab_size, context_length=400, n_layer=1, n_head=2, d_model=8, d_ff=12)
    model = GPT(config, generator=0).eval()
    generator = torch.Generator().manual_seed(0)
    for weight in model.parameters():
        weight.data += 0.3 * torch.randn(weight.shape, generator=generator)
    return model


def test_reports_tell_the_share():
    tasks = held_out_tasks(1, ["world", "story"])
    report = answer_tasks(small_model(), TOKENIZER, tasks, max_new_tokens=3)
    assert isinstance(report, Report) and report.figures()["verified_share"] == 0.0
    stories = answer_tasks(small_model(), TOKENIZER, tasks[1:], max_new_tokens=3)
    assert "verified_share" not in stories.figures()


def test_samples_are_counted_task_by_task():
    """Right is here what begins with a letter of the task's own."""
    tasks = [a_task("world", letter) for letter in "aefst"]
    model = small_model()

    def check(task, text):
        return task.keys[0] in text

    counts = sample_counts(model, TOKENIZER, tasks, 12, check=check, seed=3, max_new_tokens=25)
    assert len(counts) == 5 and all(0 <= count <= 12 for count in counts) and 0 < sum(counts) < 60
    assert counts == sample_counts(model, TOKENIZER, tasks, 12, check=check, seed=3, max_new_tokens=25)
    seen = []

    def listen(task, text):
        seen.append(task)
        return task is tasks[1]

    assert sample_counts(model, TOKENIZER, tasks, 2, check=listen, max_new_tokens=1) == [0, 2, 0, 0, 0]
    assert seen == [task for task in tasks for _ in range(2)]
