"""The reward model: a copy of the fine-tuned model that learns to score answers as an annotator ranks them.

Only order is learned: of two answers to one prompt, the preferred one is to get the higher score. All answers to a
prompt, and so all pairs of them, are in one row of the batch: an answer is computed once for all of its pairs, and the
prompt once for all of its answers.

Reference: Ouyang et al. 2022 (InstructGPT), section 3.5; Stiennon et al. 2020; the model of choice is that of Bradley
and Terry 1952.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from minillm import checks
from minillm.data.comparisons import Comparison, fitting_comparisons
from minillm.model.gpt import GPT
from minillm.model.heads import RewardModel
from minillm.text.chat import ASSISTANT, render_chat
from minillm.text.tokenizer import Tokenizer
from minillm.train.config import FitConfig, check_fit
from minillm.train.loop import fit
from minillm.train.options import RunOptions
from minillm.train.runtime import Runtime, make_generator, to_device

__all__ = [
    "ComparisonBatch",
    "ComparisonBatches",
    "RewardConfig",
    "RewardModel",
    "mean_ranking_loss",
    "ranking_loss",
    "score_comparisons",
    "train_reward_model",
]

_FOR_MEAN = 600  # comparisons at most, of which the mean score is taken
_BUCKET = 16  # batches; prompts of about equal length are put together within so many


@dataclass(frozen=True)
class RewardConfig:
    """Settings of the reward model."""

    fit: FitConfig  # the training
    prompts: int = 16  # in the batch of one optimizer step, each with all of its answers
    max_epochs: float = 2.0  # fewer steps are made where they would read the comparisons more often
    surprise: bool = True  # whether the score also counts how probable the assistant finds the answer

    def __post_init__(self) -> None:
        check_fit(self.fit)
        checks.whole_number("prompts", self.prompts, at_least=1)
        checks.number("max_epochs", self.max_epochs, above=0)
        checks.instance("surprise", self.surprise, bool)


def ranking_loss(scores: Tensor, ranks: Tensor, reduction: str = "mean") -> Tensor:
    """Surprise at the rankings: -log sigmoid(score of the better - score of the worse), over the pairs of a prompt.

    The loss of a prompt is the mean over its pairs, and the result the mean over the prompts (InstructGPT, eq. 1), so
    that a prompt with many answers counts no more than one with few.

    Args:
        scores: (answers,) or (prompts, answers) scores.
        ranks: as scores; 0 for the best. Equal ranks are no pair; a negative rank marks an answer that is not there.
        reduction: "mean" or "sum" over the prompts, "none" for each.

    Returns:
        nats per pair: a scalar, or (prompts,).

    Raises:
        ValueError: shapes that differ, an unknown reduction.

    Reference: Ouyang et al. 2022 (InstructGPT), eq. 1.

    >>> round(ranking_loss(torch.tensor([2.0, 0.0]), torch.tensor([0, 1])).item(), 4)  # log(1 + exp(-2))
    0.1269
    """
    if scores.shape != ranks.shape:
        raise ValueError(
            f"scores have the shape {tuple(scores.shape)} and ranks {tuple(ranks.shape)}; give a rank for each score"
        )
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"reduction is {reduction!r}; choose one of mean, sum, none")
    here = ranks >= 0
    better = (ranks[..., :, None] < ranks[..., None, :]) & here[..., :, None] & here[..., None, :]
    margins = torch.where(better, scores[..., :, None] - scores[..., None, :], 0.0).float()
    nats = torch.where(better, F.softplus(-margins), 0.0).sum(dim=(-2, -1))
    nats = nats / better.sum(dim=(-2, -1)).clamp(min=1)
    if reduction == "none":
        return nats
    return nats.mean() if reduction == "mean" else nats.sum()


@dataclass(frozen=True)
class ComparisonBatch:
    """Prompts, each with all of its answers in one row.

    Attributes:
        ids: int64 (prompts, time) the prompt and one answer after the other, padded on the right.
        branches: int64 (prompts, time) 0 for the prompt, 1, 2, ... for its answers, -1 for padding.
        ends: int64 (prompts, answers) the column of each answer's end token; 0 where there is no such answer.
        ranks: int64 (prompts, answers), 0 for the best; -1 where a prompt has fewer answers.
    """

    ids: Tensor
    branches: Tensor
    ends: Tensor
    ranks: Tensor


class ComparisonBatches:
    """Batches of comparisons: `batch(step)` is a pure function of the step; each epoch shows every comparison once.

    Prompts of about equal length share a batch, so that little is padding. An epoch's last batch may be smaller.

    Args:
        comparisons: what to learn from.
        tokenizer: of the model.
        context_length: of the model (tokens); a comparison with a longer conversation is left out.
        prompts: in a batch.
        seed: decides the order.
    Raises:
        ValueError: no comparison fits the context.
    """

    def __init__(
        self,
        comparisons: Sequence[Comparison],
        tokenizer: Tokenizer,
        context_length: int,
        prompts: int,
        seed: int = 0,
    ) -> None:
        self.comparisons = fitting_comparisons(comparisons, tokenizer, context_length)
        self.rows = [_render(one, tokenizer) for one in self.comparisons]
        self.prompts, self.seed = prompts, seed

    @property
    def batches_per_epoch(self) -> int:
        """Steps until every prompt has been seen once."""
        return -(-len(self.rows) // self.prompts)

    @property
    def lengths(self) -> list[int]:
        """Tokens of each prompt with all of its answers."""
        return [len(prompt) + sum(map(len, answers)) for prompt, answers in self.rows]

    def batch(self, step: int) -> ComparisonBatch:
        """The batch of a step (0, 1, 2, ...): the same whenever it is asked for."""
        return self.collate(self.numbers(step))

    def numbers(self, step: int) -> np.ndarray:
        """Which of the comparisons are in the batch of a step."""
        epoch, index = divmod(step, self.batches_per_epoch)
        return self._order(epoch)[index]

    def _order(self, epoch: int) -> list[np.ndarray]:
        """The numbers of the comparisons in each batch of an epoch."""
        random = np.random.default_rng([self.seed, epoch])
        mixed = random.permutation(len(self.rows))
        lengths = np.array(self.lengths)
        batches = []
        for first in range(0, len(mixed), _BUCKET * self.prompts):
            bucket = mixed[first : first + _BUCKET * self.prompts]
            bucket = bucket[np.argsort(lengths[bucket], kind="stable")]
            batches += [bucket[i : i + self.prompts] for i in range(0, len(bucket), self.prompts)]
        return [batches[i] for i in random.permutation(len(batches))]

    def collate(self, numbers: Sequence[int] | np.ndarray) -> ComparisonBatch:
        """Some of the comparisons as one batch."""
        rows = [self.rows[number] for number in numbers]
        width = max(len(prompt) + sum(map(len, answers)) for prompt, answers in rows)
        ids = torch.zeros(len(rows), width, dtype=torch.long)
        branches = torch.full((len(rows), width), -1)
        ends = torch.zeros(len(rows), max(len(answers) for _, answers in rows), dtype=torch.long)
        ranks = torch.full(ends.shape, -1)
        for place, (number, (prompt, answers)) in enumerate(zip(numbers, rows, strict=True)):
            column = 0
            for branch, part in enumerate((prompt, *answers)):
                ids[place, column : column + len(part)] = torch.tensor(part)
                branches[place, column : column + len(part)] = branch
                column += len(part)
                if branch:
                    ends[place, branch - 1] = column - 1
            ranks[place, : len(answers)] = torch.tensor(self.comparisons[number].ranks)
        return ComparisonBatch(ids, branches, ends, ranks)


def _render(one: Comparison, tokenizer: Tokenizer) -> tuple[list[int], list[list[int]]]:
    """The ids of a prompt, with the mark after which the assistant speaks, and those of each answer behind it."""
    prompt = render_chat(one.prompt, tokenizer, add_generation_prompt=True).ids
    whole = (render_chat(one.conversation(number), tokenizer).ids for number in range(len(one.answers)))
    return prompt, [ids[len(prompt) :] for ids in whole]


def _batch_scores(model: RewardModel, batch: ComparisonBatch) -> Tensor:
    """(prompts, answers) scores; without meaning where an answer is not there."""
    return model.branch_scores(batch.ids, batch.branches, batch.ends)


def batch_loss(model: RewardModel, batch: ComparisonBatch) -> tuple[Tensor, int]:
    """The sum of the prompts' losses and the number of prompts, as `fit` asks for it."""
    return ranking_loss(_batch_scores(model, batch), batch.ranks, "sum"), len(batch.ranks)


@torch.no_grad()
def score_comparisons(
    model: RewardModel, tokenizer: Tokenizer, comparisons: Sequence[Comparison], prompts: int = 32
) -> list[list[float]]:
    """The model's score of each answer of each comparison.

    Raises:
        ValueError: a conversation is longer than the context.
    """
    limit = model.config.context_length
    batches = ComparisonBatches(comparisons, tokenizer, limit, prompts)
    if len(batches.comparisons) < len(comparisons):
        raise ValueError(f"a conversation has more than {limit} tokens; leave it out or shorten it")
    device = model.score.weight.device
    lengths = batches.lengths
    order = sorted(range(len(comparisons)), key=lambda number: lengths[number])
    scores: list[list[float]] = [[] for _ in comparisons]
    for first in range(0, len(order), prompts):
        numbers = order[first : first + prompts]
        rows = _batch_scores(model, to_device(batches.collate(numbers), device)).tolist()
        for number, row in zip(numbers, rows, strict=True):
            scores[number] = row[: len(comparisons[number].answers)]
    return scores


def train_reward_model(
    config: RewardConfig,
    sft_model: GPT,
    tokenizer: Tokenizer,
    train: Sequence[Comparison],
    held_out: Sequence[Comparison],
    options: RunOptions,
) -> tuple[RewardModel, dict[str, Any]]:
    """Train a reward model on comparisons.

    Args:
        config: the settings.
        sft_model: the model whose body is copied; it stays as it is.
        tokenizer: its tokenizer.
        train: ranked answers to learn from.
        held_out: others, for the validation loss.
        options: where and how; the seed decides the head's first weights and the order.
    Returns:
        the model, whose scores have the mean 0 over answers to training prompts, and the figures of its training.
    Raises:
        ValueError: no comparison fits the context.
    """
    started = time.perf_counter()
    context_length = sft_model.config.context_length
    generator = make_generator(options.seed)
    model = (
        RewardModel.with_assistant(sft_model, tokenizer.special_tokens[ASSISTANT], generator)
        if config.surprise
        else RewardModel.from_body(sft_model, generator)
    )
    batches = ComparisonBatches(train, tokenizer, context_length, config.prompts, options.seed)
    tests = fitting_comparisons(held_out, tokenizer, context_length)
    steps = min(config.fit.steps, math.ceil(config.max_epochs * batches.batches_per_epoch))
    result = fit(
        model,
        batches,
        replace(config.fit, steps=steps, seed=options.seed),
        loss=batch_loss,
        validate=lambda _: mean_ranking_loss(score_comparisons(model, tokenizer, tests), tests),
        directory=options.folder,
        runtime=_uncompiled(options.runtime),
        progress=options.progress,
    )
    some = batches.comparisons[:: math.ceil(len(batches.comparisons) / _FOR_MEAN)]
    scores = score_comparisons(model, tokenizer, some)
    model.mean.fill_(float(np.mean([score for row in scores for score in row])))
    return model, {
        "seconds": round(max(time.perf_counter() - started, result.seconds), 2),
        "training_seconds": round(result.seconds, 2),
        "parameters": model.n_parameters,
        "steps": result.steps,
        "comparisons": len(batches.comparisons),
        "pairs": sum(one.n_pairs for one in batches.comparisons),
        "too_long": len(train) - len(batches.comparisons),
        "epochs": result.steps / batches.batches_per_epoch,
        "train_loss": result.train_loss,
        "stopped_early": result.stopped_early,
    }


def _uncompiled(runtime: Runtime) -> Runtime:
    """Without a compiler, unless one is asked for: it would have to start again for each length of the rows."""
    return replace(runtime, compile=False) if runtime.compile == "auto" else runtime


def mean_ranking_loss(scores: Sequence[Sequence[float]], comparisons: Sequence[Comparison]) -> float:
    """The mean loss of scored comparisons (nats per pair)."""
    losses = [
        ranking_loss(torch.tensor(row), torch.tensor(one.ranks)).item()
        for row, one in zip(scores, comparisons, strict=True)
    ]
    return sum(losses) / len(losses)
