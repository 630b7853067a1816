"""What a program can check: the share of right answers, and how often one of k samples is right, beside chance."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from minillm.data.answers import Answer, answer_prompts
from minillm.data.families import every_family
from minillm.data.judge import verify
from minillm.data.task_types import Task
from minillm.model.gpt import GPT
from minillm.text.tokenizer import Tokenizer

__all__ = [
    "guess_chance",
    "majority_at_k",
    "pass_at_k",
    "sample_counts",
    "verifiable_families",
    "verified_share",
]


def verifiable_families(names: Iterable[str] | None = None) -> list[str]:
    """Of families, by default all of them, those whose answers a program can check."""
    known = every_family()
    return [name for name in (known if names is None else names) if known[name].verifiable]


def verified_share(tasks: Sequence[Task], answers: Sequence[Answer]) -> float | None:
    """The share of right answers (0-1) among those that can be checked by `verify`; None where there are none."""
    families = set(verifiable_families())
    right = [
        verify(task, answer.text)
        for task, answer in zip(tasks, answers, strict=True)
        if task.family in families
    ]
    return sum(right) / len(right) if right else None


def pass_at_k(n: int, c: int, k: int) -> float:
    """How probably at least one of k answers is right, estimated from n answers of which c are right.

    1 - C(n - c, k) / C(n, k): the share of the choices of k among the n in which a right one is. Its mean over samples
    is exact, unlike that of 1 - (1 - c / n)^k, which is too low.

    Args:
        n: answers that were sampled, at least k.
        c: how many of them are right.
        k: answers that one may choose from.

    Returns:
        from 0 to 1.

    Raises:
        ValueError: numbers that do not fit together.

    Reference: Chen et al. 2021, "Evaluating large language models trained on code", eq. 1, arXiv 2107.03374.

    >>> pass_at_k(4, 1, 1), pass_at_k(4, 1, 2)
    (0.25, 0.5)
    """
    if not (1 <= k <= n and 0 <= c <= n):
        raise ValueError(f"n={n}, c={c}, k={k} do not fit together; use 1 <= k <= n and 0 <= c <= n")
    return 1 - math.comb(n - c, k) / math.comb(n, k)


def majority_at_k(results: Sequence[str], right: str, k: int, *, draws: int = 1_000, seed: int = 0) -> float:
    """How probably the result that most of k answers state is the right one, estimated from n answers.

    No checker is needed to choose it. Of results that are stated equally often, each is taken with the same
    probability. An answer that states none ("") has no vote.

    Args:
        results: what each of the n answers states.
        right: the right result.
        k: answers that vote, at most n.
        draws: choices of k among the n that are tried; the standard error is at most 0.5 / sqrt(draws).
        seed: decides the choices.

    Returns:
        from 0 to 1.

    Raises:
        ValueError: more voters than answers, or none.

    Reference: Wang et al. 2022, "Self-consistency improves chain of thought reasoning", arXiv 2203.11171.

    >>> majority_at_k(["nine", "nine", "two"], right="nine", k=3)
    1.0
    """
    if not 1 <= k <= len(results):
        raise ValueError(f"k is {k}, and there are {len(results)} answers; use 1 to {len(results)}")
    counts = Counter(results)
    silent = counts.pop("", 0)
    if right not in counts:
        return 0.0
    chosen = np.random.default_rng(seed).multivariate_hypergeometric([*counts.values(), silent], k, draws)
    votes = chosen[:, :-1]
    first = (votes == votes.max(axis=1, keepdims=True)) & (votes > 0)
    wins = first[:, list(counts).index(right)] / first.sum(axis=1).clip(min=1)
    return float(wins.mean())


def guess_chance(tasks: Sequence[Task], k: int) -> float:
    """How probably one of k blind guesses is right (0-1), on average: what pass@k has to be compared with.

    A guess takes the answer or one of the rival answers, all with the same probability. Where a task names no rivals,
    as sums, it takes a result as often as it is right among the tasks of the family given.

    >>> yes_or_no = Task("same", (("user", "Is it so?"),), "Yes.", ("yes",), ("no",))
    >>> guess_chance([yes_or_no], 2)
    0.75
    """
    right = Counter((task.family, task.keys) for task in tasks)
    of_family = Counter(task.family for task in tasks)
    chances = []
    for task in tasks:
        share = right[task.family, task.keys] / of_family[task.family]
        one = 1 / (1 + len(task.rivals)) if task.rivals else share
        chances.append(1 - (1 - one) ** k)
    return sum(chances) / len(chances)


def sample_counts(
    model: GPT,
    tokenizer: Tokenizer,
    tasks: Sequence[Task],
    n: int,
    *,
    check: Callable[[Task, str], float] = verify,
    seed: int = 0,
    max_new_tokens: int | None = None,
) -> list[int]:
    """How many of n answers to each task, sampled at temperature 1, are right.

    Args:
        tasks: what is asked; each leaves room for an answer.
        n: answers to each.
        check: what finds an answer right; `verify` by default.
        seed: decides the draws.
        max_new_tokens: of an answer; None: what the context has room for.
    """
    repeated = [task for task in tasks for _ in range(n)]
    prompts = [task.prompt for task in repeated]
    answers = answer_prompts(model, tokenizer, prompts, max_new_tokens, temperature=1.0, seed=seed)
    right = [bool(check(task, answer.text)) for task, answer in zip(repeated, answers, strict=True)]
    return [sum(right[first : first + n]) for first in range(0, len(right), n)]
