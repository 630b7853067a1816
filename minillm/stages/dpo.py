"""DPO: the policy learns from ranked answers themselves, with no reward model and no sampling in between.

The policy that PPO looks for is known in closed form: pi(y | x) is proportional to pi_ref(y | x) exp(r(x, y) / beta).
Read the other way round, every policy has a reward of its own, beta log(pi / pi_ref), up to a number that depends on
the prompt alone and falls out of every pair of its answers. Put into the loss of a reward model, this *implicit reward*
trains the policy directly. The fine-tuned model is the reference: it stays, so what it says of each answer is computed
once, before the first step.

All answers to a prompt are in one element of the batch, as in the reward model's training, so that an answer is
computed once for all its pairs.

Reference: Rafailov et al. 2023, "Direct preference optimization: your language model is secretly a reward model".
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from minillm import checks
from minillm.data.comparisons import Comparison, fitting_comparisons
from minillm.keys import setting
from minillm.model.gpt import GPT
from minillm.model.loss import linear_cross_entropy
from minillm.stages.preference_losses import (
    PAIRS,
    dpo_loss,
    implicit_rewards,
    preference_figures,
    preferred_pairs,
)
from minillm.stages.reward import ComparisonBatches
from minillm.text.chat import render_chat
from minillm.text.tokenizer import Tokenizer
from minillm.train.config import FitConfig, check_fit
from minillm.train.loop import fit
from minillm.train.options import RunOptions
from minillm.train.runtime import to_device

__all__ = [
    "DPOConfig",
    "PreferenceBatch",
    "PreferenceBatches",
    "batch_log_probs",
    "comparison_log_probs",
    "dpo_loss",
    "implicit_rewards",
    "preference_figures",
    "preferred_pairs",
    "train_dpo",
]


@dataclass(frozen=True)
class DPOConfig:
    """Settings of DPO."""

    fit: FitConfig = FitConfig(  # the training
        steps=180, optimizer="adamw", learning_rate=1e-4, warmup_share=0.1, validate_every=45
    )
    beta: float = 0.1  # reward of a nat; the smaller, the further the policy goes for the same preference
    prompts: int = 8  # in the batch of one optimizer step, each with all of its answers
    max_epochs: float = 2.0  # fewer steps are made where they would read the comparisons more often
    nll_coef: float = (
        0.0  # weight of the chosen answers' own surprise, in the loss of a pair; 0: the paper's loss
    )
    pairs: str = (
        "all"  # of a prompt's answers: "all", "best" against each other one, "extremes": best against worst
    )
    label_smoothing: float = (
        setting(  # share of the preferences that is taken to be wrong; 0: the paper's loss
            0.0, decides=lambda config: config.label_smoothing > 0
        )
    )

    def __post_init__(self) -> None:
        check_fit(self.fit)
        checks.number("beta", self.beta, above=0)
        checks.number("nll_coef", self.nll_coef, at_least=0)
        checks.whole_number("prompts", self.prompts, at_least=1)
        checks.number("max_epochs", self.max_epochs, above=0)
        checks.one_of("pairs", self.pairs, PAIRS)
        checks.number("label_smoothing", self.label_smoothing, at_least=0, below=0.5)


@dataclass(frozen=True)
class PreferenceBatch:
    """Prompts with all of their answers, and what the reference says of these.

    Attributes:
        ids: int64 (prompts, answers, time) rendered conversations, padded on the right.
        action_mask: bool (prompts, answers, time), True for the tokens of the answer, its end token included.
        ranks: int64 (prompts, answers), 0 for the best; -1 where a prompt has fewer answers.
        log_probs_ref: float32 (prompts, answers) log-probability of each whole answer under the reference (nats).
    """

    ids: Tensor
    action_mask: Tensor
    ranks: Tensor
    log_probs_ref: Tensor


class PreferenceBatches:
    """Batches of comparisons, in the order of the reward model's, with the reference's log-probabilities.

    Args:
        comparisons: what to learn from; all of them fit the context.
        tokenizer: of the model.
        context_length: of the model (tokens).
        prompts: in a batch.
        seed: decides the order.

    Attributes:
        log_probs_ref: of each answer of each comparison under the reference (nats); 0 until it is asked.

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
        self._order = ComparisonBatches(comparisons, tokenizer, context_length, prompts, seed)
        self.comparisons = comparisons
        self.rows = [
            [render_chat(one.conversation(number), tokenizer).ids for number in range(len(one.answers))]
            for one in comparisons
        ]
        self.starts = [
            len(render_chat(one.prompt, tokenizer, add_generation_prompt=True).ids) for one in comparisons
        ]
        self.tokenizer = tokenizer
        self.log_probs_ref = [[0.0] * len(one.answers) for one in comparisons]

    def ask(self, reference: GPT, steps: int) -> None:
        """Let the reference read the answers that the first so many steps will learn from, each once."""
        numbers = sorted({number for step in range(steps) for number in self._order.numbers(step).tolist()})
        read = [self.comparisons[number] for number in numbers]
        for number, row in zip(numbers, comparison_log_probs(reference, self.tokenizer, read), strict=True):
            self.log_probs_ref[number] = row

    @property
    def batches_per_epoch(self) -> int:
        """Steps until every prompt has been seen once."""
        return self._order.batches_per_epoch

    def batch(self, step: int) -> PreferenceBatch:
        """The batch of a step (0, 1, 2, ...): the same whenever it is asked for."""
        return self.collate(self._order.numbers(step).tolist())

    def collate(self, numbers: Sequence[int]) -> PreferenceBatch:
        """Some of the comparisons as one batch."""
        answers = max(len(self.rows[number]) for number in numbers)
        time = max(len(ids) for number in numbers for ids in self.rows[number])
        ids = torch.zeros(len(numbers), answers, time, dtype=torch.long)
        action_mask = torch.zeros(ids.shape, dtype=torch.bool)
        ranks = torch.full((len(numbers), answers), -1)
        log_probs_ref = torch.zeros(ranks.shape)
        for place, number in enumerate(numbers):
            rows = self.rows[number]
            for answer, row in enumerate(rows):
                ids[place, answer, : len(row)] = torch.tensor(row)
                action_mask[place, answer, self.starts[number] : len(row)] = True
            ranks[place, : len(rows)] = torch.tensor(self.comparisons[number].ranks)
            log_probs_ref[place, : len(rows)] = torch.tensor(self.log_probs_ref[number])
        return PreferenceBatch(ids, action_mask, ranks, log_probs_ref)


def batch_log_probs(model: GPT, batch: PreferenceBatch) -> Tensor:
    """The log-probability of each whole answer, (prompts, answers) (nats); 0 where there is no such answer.

    The head, the dearest part of a small model, is computed for the tokens of answers only.
    """
    here = batch.ranks >= 0
    ids = batch.ids[here]
    actions = batch.action_mask[here][:, 1:]  # column t belongs to the choice of the token in column t + 1
    hidden = model.hidden(ids[:, :-1])[actions]
    nats = linear_cross_entropy(hidden, model.head_weight, ids[:, 1:][actions], "none")
    rows = nats.new_zeros(actions.shape).masked_scatter(actions, -nats).sum(dim=1)
    return rows.new_zeros(here.shape).masked_scatter(here, rows)


@torch.no_grad()
def comparison_log_probs(
    model: GPT, tokenizer: Tokenizer, comparisons: Sequence[Comparison], prompts: int = 32
) -> list[list[float]]:
    """The log-probability of each answer of each comparison, its end token included (nats).

    Args:
        model: the policy or the reference.
        tokenizer: its tokenizer.
        comparisons: all of them fit the model's context.
        prompts: computed at once.
    """
    batches = PreferenceBatches(comparisons, tokenizer, model.config.context_length, prompts)
    device = model.head_weight.device
    order = sorted(range(len(comparisons)), key=lambda number: max(map(len, batches.rows[number])))
    found: list[list[float]] = [[] for _ in comparisons]
    for first in range(0, len(order), prompts):
        numbers = order[first : first + prompts]
        rows = batch_log_probs(model, to_device(batches.collate(numbers), device)).tolist()
        for number, row in zip(numbers, rows, strict=True):
            found[number] = row[: len(comparisons[number].answers)]
    return found


def batch_loss(model: GPT, batch: PreferenceBatch, config: DPOConfig) -> tuple[Tensor, int]:
    """The sum of the pairs' losses and the number of pairs, as `fit` asks for it."""
    prompt, chosen, rejected = preferred_pairs(batch.ranks, config.pairs)
    ours, reference = batch_log_probs(model, batch), batch.log_probs_ref
    loss, _, _ = dpo_loss(
        ours[prompt, chosen],
        ours[prompt, rejected],
        reference[prompt, chosen],
        reference[prompt, rejected],
        config.beta,
        config.label_smoothing,
    )
    loss = loss - config.nll_coef * ours[prompt, chosen].mean()
    return loss * len(prompt), len(prompt)


def train_dpo(
    config: DPOConfig,
    sft_model: GPT,
    tokenizer: Tokenizer,
    train: Sequence[Comparison],
    held_out: Sequence[Comparison],
    options: RunOptions,
    *,
    evaluate: Callable[[GPT], dict[str, Any]] | None = None,
) -> tuple[GPT, dict[str, Any]]:
    """Train a policy on comparisons.

    At every validation metrics.jsonl gets the `preference_figures` of the held-out comparisons, each with "val" and an
    underscore before its name. A run that was stopped goes on from its last checkpoint in the folder, to the same
    weights bit for bit on a CPU.

    Args:
        config: the settings.
        sft_model: the model that a copy is trained of; it is the reference itself, and keeps its weights. It ends on
            the runtime's device, in evaluation mode.
        tokenizer: its tokenizer.
        train: ranked answers to learn from.
        held_out: others, for the validation.
        options: where and how; the seed decides the order.
        evaluate: called at every validation, in the first process; what it returns is logged, and reaches nothing else.
    Returns:
        the policy, and the figures of its training.
    Raises:
        ValueError: no comparison fits the context.
    """
    started = time.perf_counter()
    runtime, limit = options.runtime, sft_model.config.context_length
    reference = sft_model.to(runtime.device).eval()
    policy = copy.deepcopy(reference)
    learned, tests = (fitting_comparisons(part, tokenizer, limit) for part in (train, held_out))
    batches = PreferenceBatches(learned, tokenizer, limit, config.prompts, options.seed)
    steps = min(config.fit.steps, math.ceil(config.max_epochs * batches.batches_per_epoch))
    with runtime.autocast():
        batches.ask(reference, steps)
        tests_ref = comparison_log_probs(reference, tokenizer, tests)
    seconds_reference = time.perf_counter() - started

    def validate(_: nn.Module) -> dict[str, Any]:
        before = time.perf_counter()
        log_probs = comparison_log_probs(policy, tokenizer, tests)
        figures = preference_figures(tests, log_probs, tests_ref, config.beta)
        numbers: dict[str, Any] = {f"val_{name}": value for name, value in figures.items()}
        if evaluate is not None and runtime.is_main:
            numbers |= evaluate(policy)
        return numbers | {"seconds_validating": round(time.perf_counter() - before, 3)}

    result = fit(
        policy,
        batches,
        replace(config.fit, steps=steps, seed=options.seed),
        loss=lambda model, batch: batch_loss(model, batch, config),
        validate=validate,
        directory=options.folder,
        runtime=runtime,
        progress=options.progress,
    )
    validating = sum(line.get("seconds_validating", 0.0) for line in result.history)
    return policy, {
        "seconds": round(max(time.perf_counter() - started, result.seconds), 2),
        "training_seconds": round(seconds_reference + result.seconds - validating, 2),
        "seconds_reference": round(seconds_reference, 2),
        "parameters": policy.n_parameters,
        "steps": result.steps,
        "comparisons": len(learned),
        "pairs": result.tokens,
        "too_long": len(train) - len(learned),
        "epochs": result.steps / batches.batches_per_epoch,
        "train_loss": result.train_loss,
        "stopped_early": result.stopped_early,
    }
