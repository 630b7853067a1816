"""Best of n: sample a few answers and keep the one that the reward model likes best. Nothing is trained."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from minillm.data.tasks import Task
from minillm.evaluate.answers import answer_tasks
from minillm.evaluate.compare import win_rate
from minillm.evaluate.policies import answer_rewards
from minillm.model.gpt import GPT
from minillm.model.heads import RewardModel
from minillm.text.tokenizer import Tokenizer

__all__ = ["best_of_n", "expected_best", "kl_bound"]


def expected_best(rewards: Tensor, marks: Tensor, n: int) -> Tensor:
    """The mark of the best-rewarded of n answers, on average over every choice of n of those that were sampled.

    Of N answers, the one with k others below it is the best of C(k, n - 1) of the C(N, n) choices. The mean over all
    choices varies less than the mark of the best of the first n, and is as unbiased.

    Args:
        rewards: (prompts, N) by which the best is chosen; of equal ones the earlier is taken.
        marks: (prompts, N) what is asked of the chosen answer.
        n: answers to choose from, 1 to N.

    Returns:
        (prompts,) float64, on the CPU.

    Raises:
        ValueError: shapes that differ, or an n that is out of range.

    Reference: Nakano et al. 2021, "WebGPT", appendix I.

    >>> rewards, marks = torch.tensor([[0.1, 0.3, 0.2]]), torch.tensor([[0.0, 1.0, 0.5]])
    >>> expected_best(rewards, marks, 2)  # the second is the best of two of the three pairs
    tensor([0.8333], dtype=torch.float64)
    """
    if rewards.shape != marks.shape or rewards.ndim != 2:
        raise ValueError(
            f"the shapes are {tuple(rewards.shape)} and {tuple(marks.shape)}; both must be the same (prompts, answers)"
        )
    sampled = rewards.shape[1]
    if not 1 <= n <= sampled:
        raise ValueError(f"n is {n}; use 1 to {sampled}, the number of answers to each prompt")
    rewards, marks = rewards.cpu(), marks.cpu()  # MPS has no float64
    best_first = rewards.argsort(dim=1, descending=True, stable=True)
    shares = [math.comb(below, n - 1) / math.comb(sampled, n) for below in reversed(range(sampled))]
    weights = torch.tensor(shares, dtype=torch.float64)
    return (marks.double().gather(1, best_first) * weights).sum(dim=1)


def kl_bound(n: int) -> float:
    """At most so far is the best of n answers from the model that wrote them: log n - (n - 1) / n (nats a response).

    Reference: Stiennon et al. 2020, appendix G.3 (the formula); Beirami et al. 2024 (that it is a bound).

    >>> round(kl_bound(4), 3)
    0.636
    """
    return math.log(n) - (n - 1) / n


def best_of_n(
    model: GPT,
    reward_model: RewardModel,
    tokenizer: Tokenizer,
    tasks: Sequence[Task],
    counts: Sequence[int],
    *,
    seed: int = 0,
    max_new_tokens: int | None = None,
) -> dict[int, dict[str, float]]:
    """What the best of n answers is worth, for several n, all estimated from the same answers.

    Args:
        model: samples the answers, at temperature 1.
        reward_model: chooses.
        tokenizer: of both.
        tasks: what is asked.
        counts: the numbers n to look at; the largest decides how many answers are sampled.
        seed: decides the draws.
        max_new_tokens: of an answer; None: what the context has room for.

    Returns:
        for each n the mean learned reward, the judge's mean gold score (0-1), the share of answers that are wholly
        right (`correct`), the share of wins against one more answer of the model's, ties half (`win_rate`), and the
        bound of the KL (nats per response).
    """
    most = max(counts)
    repeated = [task for task in tasks for _ in range(most + 1)]
    report = answer_tasks(
        model, tokenizer, repeated, temperature=1.0, seed=seed, max_new_tokens=max_new_tokens
    )
    rewards = answer_rewards(reward_model, tokenizer, [task.prompt for task in repeated], report.answers)
    shape = (len(tasks), most + 1)
    right = [float(verdict.is_correct) for verdict in report.verdicts]
    learned, gold, correct = (
        torch.tensor(values, dtype=torch.float64).view(shape) for values in (rewards, report.scores, right)
    )
    # The last answer to each task is no choice: the others are compared with it.
    wins = [[win_rate([score], [rival]).rate for score in scores] for *scores, rival in gold.tolist()]
    marks = {
        "reward": learned[:, :-1],
        "gold_score": gold[:, :-1],
        "correct": correct[:, :-1],
        "win_rate": torch.tensor(wins),
    }
    return {
        n: {name: expected_best(learned[:, :-1], mark, n).mean().item() for name, mark in marks.items()}
        | {"kl_bound": kl_bound(n)}
        for n in counts
    }
