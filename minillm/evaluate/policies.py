"""A policy against the model it started from: distance, learned reward and the judge's opinion of the same answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from minillm.data.answers import Answer
from minillm.data.judge import Verdict
from minillm.data.tasks import Task
from minillm.evaluate.answers import answer_tasks, mean_parts
from minillm.evaluate.compare import win_rate
from minillm.model.gpt import GPT, next_token_loss
from minillm.model.heads import RewardModel
from minillm.model.loss import IGNORE_INDEX
from minillm.text.chat import Message, render_chat, stop_ids
from minillm.text.tokenizer import Tokenizer

__all__ = ["PolicyReport", "answer_log_probs", "answer_rewards", "evaluate_policy"]

_ROWS = 32


def _sequences(
    tokenizer: Tokenizer, prompts: Sequence[Sequence[Message]], answers: Sequence[Answer], context_length: int
) -> list[tuple[list[int], int]]:
    """Ids of each prompt with its answer and end token, and where the answer begins."""
    end, _ = stop_ids(tokenizer)
    found = []
    for messages, answer in zip(prompts, answers, strict=True):
        prompt = render_chat(messages, tokenizer, add_generation_prompt=True).ids
        ids = [*prompt, *answer.ids, *([end] if answer.ended else [])]
        found.append((ids[:context_length], len(prompt)))
    return found


def _padded(rows: Sequence[Sequence[int]], fill: int) -> torch.Tensor:
    width = max(map(len, rows))
    return torch.tensor([[*row, *[fill] * (width - len(row))] for row in rows])


@torch.no_grad()
def answer_log_probs(
    model: GPT, tokenizer: Tokenizer, prompts: Sequence[Sequence[Message]], answers: Sequence[Answer]
) -> list[float]:
    """The log-probability of each whole answer, its end token included (nats), at temperature 1.

    The mean of its difference between two models, over answers that the first has sampled at temperature 1, is the
    KL divergence per response between them.
    """
    device = next(model.parameters()).device
    found: list[float] = []
    sequences = _sequences(tokenizer, prompts, answers, model.config.context_length)
    for first in range(0, len(sequences), _ROWS):
        chosen = sequences[first : first + _ROWS]
        ids = _padded([row[:-1] for row, _ in chosen], 0)
        targets = _padded([[IGNORE_INDEX] * (start - 1) + row[start:] for row, start in chosen], IGNORE_INDEX)
        nats = next_token_loss(model, ids.to(device), targets.to(device), reduction="none")
        found += (-nats.cpu().double().sum(dim=1)).tolist()  # not on the device: MPS has no float64
    return found


@torch.no_grad()
def answer_rewards(
    reward_model: RewardModel,
    tokenizer: Tokenizer,
    prompts: Sequence[Sequence[Message]],
    answers: Sequence[Answer],
) -> list[float]:
    """The reward model's score of each answer."""
    device = next(reward_model.parameters()).device
    found: list[float] = []
    sequences = _sequences(tokenizer, prompts, answers, reward_model.config.context_length)
    for first in range(0, len(sequences), _ROWS):
        rows = [row for row, _ in sequences[first : first + _ROWS]]
        mask = _padded([[1] * len(row) for row in rows], 0).bool()
        found += reward_model(_padded(rows, 0).to(device), mask.to(device)).tolist()
    return found


@dataclass(frozen=True)
class PolicyReport:
    """A policy's answers to tasks, sampled at temperature 1, and what is thought of them.

    Attributes:
        answers: one for each task.
        verdicts: the judge's, which training never saw.
        rewards: the reward model's scores, which training raised; empty without a reward model.
        kl: (answers,) log-probability under the policy less that under the reference, for each answer (nats).
    """

    answers: tuple[Answer, ...]
    verdicts: tuple[Verdict, ...]
    rewards: tuple[float, ...]
    kl: tuple[float, ...]

    @property
    def scores(self) -> list[float]:
        """The judge's gold score of each answer (0-1), in which an answer that is wrong is worth nothing."""
        return [verdict.gold for verdict in self.verdicts]

    def figures(self) -> dict[str, Any]:
        """The means, as JSON values.

        The judge's gold score, its marks by part, and `correct`, the share of answers that are wholly right (all 0-1);
        nats and tokens per response; the learned reward.
        """
        n = len(self.answers)
        figures: dict[str, Any] = {
            "gold_score": sum(self.scores) / n,
            "correct": sum(verdict.is_correct for verdict in self.verdicts) / n,
            "parts": mean_parts(self.verdicts),
            "kl_per_response": sum(self.kl) / n,
            "mean_tokens": sum(len(answer.ids) for answer in self.answers) / n,
        }
        return figures | ({"reward": sum(self.rewards) / n} if self.rewards else {})

    def win_rate(self, other: PolicyReport) -> float:
        """How often the judge prefers this policy's answer to another's, ties half (0-1)."""
        return win_rate(self.scores, other.scores).rate


def evaluate_policy(
    policy: GPT,
    reference: GPT,
    tokenizer: Tokenizer,
    tasks: Sequence[Task],
    reward_model: RewardModel | None = None,
    *,
    seed: int = 0,
    max_new_tokens: int | None = None,
) -> PolicyReport:
    """Let a policy answer tasks at temperature 1, and measure distance, learned reward and the judge's gold score.

    Args:
        policy: what answers.
        reference: the model that the distance is measured to.
        tokenizer: of both.
        tasks: what is asked.
        reward_model: gives the learned rewards; None: they are left out.
        seed: decides the draws.
        max_new_tokens: of an answer; None: what the context has room for.
    """
    report = answer_tasks(policy, tokenizer, tasks, temperature=1.0, seed=seed, max_new_tokens=max_new_tokens)
    prompts = [task.prompt for task in tasks]
    here, there = (
        answer_log_probs(model, tokenizer, prompts, report.answers) for model in (policy, reference)
    )
    rewards = () if reward_model is None else answer_rewards(reward_model, tokenizer, prompts, report.answers)
    kl = tuple(one - other for one, other in zip(here, there, strict=True))
    return PolicyReport(report.answers, report.verdicts, tuple(rewards), kl)
