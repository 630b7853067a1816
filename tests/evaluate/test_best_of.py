"""Best of n: the estimate against every choice of n answers, and against answers whose marks are known."""

from __future__ import annotations

import math
from itertools import combinations
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from played_device import played_device

from minillm.data.judge import Judge
from minillm.data.tasks import Tasks
from minillm.evaluate import Answer, best_of, best_of_n, expected_best, kl_bound


def by_every_choice(rewards, marks, n):
    """The mean mark of the best-rewarded over all sets of n; of equal rewards the earlier wins."""
    picked = [marks[max(chosen, key=lambda i: rewards[i])] for chosen in combinations(range(len(rewards)), n)]
    return sum(picked) / len(picked)


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 7), st.data())
def test_the_estimate_is_the_mean_over_every_choice(sampled, data):
    """Few different rewards, so that there are ties."""
    n = data.draw(st.integers(1, sampled))
    row = st.lists(st.integers(-2, 2), min_size=sampled, max_size=sampled)
    rewards, marks = ([data.draw(row) for _ in range(3)] for _ in range(2))
    found = expected_best(torch.tensor(rewards).float(), torch.tensor(marks).float(), n)
    expected = [by_every_choice(r, m, n) for r, m in zip(rewards, marks, strict=True)]
    assert found.tolist() == pytest.approx(expected, abs=1e-12)


def test_it_is_unbiased():
    """Answers of three kinds, with known odds: the expected mark of the best of 2, by enumeration and by samples."""
    odds, reward, mark = [0.5, 0.3, 0.2], [1.0, 3.0, 2.0], [0.2, 0.4, 1.0]
    pairs = [(i, j) for i in range(3) for j in range(3)]
    exact = sum(odds[i] * odds[j] * mark[i if reward[i] >= reward[j] else j] for i, j in pairs)
    draws = torch.multinomial(
        torch.tensor(odds), 5 * 20_000, replacement=True, generator=torch.Generator().manual_seed(0)
    ).view(-1, 5)
    found = expected_best(torch.tensor(reward)[draws], torch.tensor(mark)[draws], 2)
    assert found.mean().item() == pytest.approx(exact, abs=4 * found.std().item() / math.sqrt(len(found)))


def test_one_answer_is_the_mean_and_all_are_the_best():
    rewards, marks = torch.tensor([[3.0, 1.0, 2.0, 0.0]]), torch.tensor([[5.0, 7.0, 9.0, 1.0]])
    assert [expected_best(rewards, marks, n).item() for n in (1, 4)] == [5.5, 5.0]


def test_the_estimate_on_a_device_without_float64():
    rewards, marks = torch.tensor([[3.0, 1.0, 2.0]]), torch.tensor([[5.0, 7.0, 9.0]])
    expected = expected_best(rewards, marks, 2)
    with played_device("mps") as device:
        assert torch.equal(expected_best(rewards.to(device), marks.to(device), 2), expected)


@pytest.mark.parametrize("n", [0, 4])
def test_a_wrong_n_is_refused(n):
    with pytest.raises(ValueError, match=f"n is {n}; use 1 to 3, the number of answers to each prompt"):
        expected_best(torch.zeros(2, 3), torch.zeros(2, 3), n)


@pytest.mark.parametrize("marks", [torch.zeros(3, 2), torch.zeros(3)])
def test_other_shapes_are_refused(marks):
    with pytest.raises(ValueError, match="both must be the same"):
        expected_best(torch.zeros(marks.shape[::-1] if marks.ndim > 1 else (3,)), marks, 1)


def test_best_of_n_marks_what_the_reward_model_would_choose(monkeypatch):
    """Answers that are right or wrong and friendly or not, in an order that differs from task to task."""
    tasks, counts = list(Tasks("test", ["world"]).tasks(4, 3)), (1, 2, 4)

    def answers_to(model, tokenizer, repeated, temperature, **options):
        assert temperature == 1.0 and options["seed"] == 7 and len(repeated) == 4 * 5
        texts = []
        for number, task in enumerate(repeated):
            kind = (number + number // 5) % 4
            texts.append((task.answer if kind % 2 else "No idea.") + (" Ask me again!" if kind > 1 else ""))
        verdicts = [Judge()(task, text) for task, text in zip(repeated, texts, strict=True)]
        scores = [verdict.gold for verdict in verdicts]
        answers = [Answer(text, (), True) for text in texts]
        return SimpleNamespace(answers=answers, verdicts=verdicts, scores=scores)

    rewards = torch.rand(20, generator=torch.Generator().manual_seed(1)).tolist()
    monkeypatch.setattr(best_of, "answer_tasks", answers_to)
    monkeypatch.setattr(best_of, "answer_rewards", lambda *others: rewards)
    found = best_of_n(None, None, None, tasks, counts, seed=7)
    report = answers_to(None, None, [task for task in tasks for _ in range(5)], 1.0, seed=7)
    assert len(set(report.scores)) > 2, "all answers are alike, so nothing is tested"
    for n in counts:
        expected = {"reward": 0.0, "gold_score": 0.0, "correct": 0.0, "win_rate": 0.0}
        for first in range(0, 20, 5):
            own = slice(first, first + 4)
            gold, rival = report.scores[own], report.scores[first + 4]
            marks = {
                "reward": rewards[own],
                "gold_score": gold,
                "correct": [float(v.is_correct) for v in report.verdicts[own]],
                "win_rate": [1.0 if g > rival else 0.5 if g == rival else 0.0 for g in gold],
            }
            for name, mark in marks.items():
                expected[name] += by_every_choice(rewards[own], mark, n) / 4
        assert found[n] == pytest.approx(expected | {"kl_bound": kl_bound(n)}, abs=1e-6)
    assert [kl_bound(n) for n in (1, 2)] == [0.0, math.log(2) - 0.5]
