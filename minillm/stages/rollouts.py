"""Rollouts: what the policy wrote, as one padded batch, and what models say of each of its tokens."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F

from minillm.model.gpt import GPT
from minillm.model.heads import RewardModel, ScalarModel
from minillm.model.sampling import generate
from minillm.stages.policy_losses import entropy
from minillm.train.runtime import ALONE, Runtime, gather_from_processes, map_tensors, to_device

__all__ = ["Rollouts", "action_log_probs", "action_values", "answer_scores", "by_pieces", "sample_rollouts"]

Item = TypeVar("Item")


@dataclass(frozen=True)
class Rollouts:
    """Prompts with the answers that were sampled, the shortest first, padded on the right.

    Column t of everything that is told of actions belongs to the choice of the token in column t + 1 of `ids`.

    Attributes:
        ids: int64 (batch, time) prompt, answer and, where there is one, the end token.
        mask: bool (batch, time), True for real tokens.
        action_mask: bool (batch, time - 1), True where the next token was the policy's choice, its end token included.
        ended: bool (batch,), whether the answer has its end token.
        order: int64 (batch,), the number of each row's prompt in the list that was given.
        starts: int64 (batch,), the column where the answer begins.
    """

    ids: Tensor
    mask: Tensor
    action_mask: Tensor
    ended: Tensor
    order: Tensor
    starts: Tensor

    def __len__(self) -> int:
        return len(self.ids)

    def rows(self, numbers: Tensor | slice) -> Rollouts:
        """Some of the rows, without the columns that are padding in all of them."""
        width = int(self.mask[numbers].any(dim=0).sum())
        return Rollouts(
            self.ids[numbers, :width],
            self.mask[numbers, :width],
            self.action_mask[numbers, : width - 1],
            self.ended[numbers],
            self.order[numbers],
            self.starts[numbers],
        )

    def to(self, device: torch.device) -> Rollouts:
        """The same on a device."""
        return Rollouts(*(getattr(self, field.name).to(device) for field in fields(self)))

    def answers(self) -> list[list[int]]:
        """The token ids of each answer, with its end token."""
        return [
            ids[start:][mask[start:]].tolist()
            for ids, mask, start in zip(self.ids, self.mask, self.starts.tolist(), strict=True)
        ]


@torch.no_grad()
def sample_rollouts(
    policy: GPT,
    prompts: Sequence[Sequence[int]],
    end_id: int,
    pad_id: int,
    max_new_tokens: int,
    temperature: float,
    generator: torch.Generator,
    *,
    runtime: Runtime = ALONE,
) -> Rollouts:
    """Let the policy answer.

    Nothing but the temperature changes its distribution (no top-k, no top-p), so that the log-probabilities of the
    actions are those with which they were drawn.

    Args:
        policy: what answers.
        prompts: rendered conversations, each to be gone on with by an answer, shorter than the context.
        end_id: id of the token that ends an answer.
        pad_id: id that fills up short rows.
        max_new_tokens: of an answer, its end token included.
        temperature: above 0.
        generator: decides the draws.
        runtime: of its processes each answers a share of the prompts, and all get all of the answers.
    """
    context_length = policy.config.context_length
    share = (runtime.rank, runtime.world_size)
    own = generate(
        policy, prompts, max_new_tokens, temperature, stop=end_id, generator=generator, share=share
    )
    answers = _shared_out(own, len(prompts), runtime)
    rows = []
    for number, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
        ended = len(answer) < min(max_new_tokens, context_length + 1 - len(prompt))
        row = [*prompt, *answer, *([end_id] if ended else [])]
        rows.append((row[:context_length], len(prompt), ended and len(row) <= context_length, number))
    rows.sort(key=lambda entry: len(entry[0]))
    width = len(rows[-1][0])
    ids = torch.tensor([row + [pad_id] * (width - len(row)) for row, *_ in rows])
    lengths = torch.tensor([len(row) for row, *_ in rows])[:, None]
    starts = torch.tensor([start for _, start, *_ in rows])[:, None]
    columns = torch.arange(width)[None]
    mask = columns < lengths
    action_mask = mask & (columns >= starts)
    ends, order = torch.tensor([entry[2] for entry in rows]), torch.tensor([entry[3] for entry in rows])
    return Rollouts(ids, mask, action_mask[:, 1:], ends, order, starts[:, 0])


def _shared_out(own: list[Item], n: int, runtime: Runtime) -> list[Item]:
    """The items of all processes in order, where each has every `world_size`-th."""
    of_all = gather_from_processes(own, runtime.world_size)
    return [of_all[number % runtime.world_size][number // runtime.world_size] for number in range(n)]


def _pieces(
    function: Callable[[Rollouts], Item], rollouts: Rollouts, rows: int, runtime: Runtime
) -> list[Item]:
    """What a function makes of neighbouring rows, piece by piece, each piece in one of the processes."""
    rows = min(rows, math.ceil(len(rollouts) / runtime.world_size))  # so that every process has a piece
    firsts = range(0, len(rollouts), rows)
    own = [
        function(rollouts.rows(slice(first, first + rows)))
        for first in firsts[runtime.rank :: runtime.world_size]
    ]
    if runtime.world_size > 1:  # by way of the CPU
        own = map_tensors(Tensor.cpu, own)
    pieces: list[Item] = to_device(_shared_out(own, len(firsts), runtime), rollouts.ids.device)
    return pieces


def by_pieces(
    function: Callable[[Rollouts], tuple[Tensor, ...]],
    rollouts: Rollouts,
    rows: int,
    runtime: Runtime = ALONE,
) -> tuple[Tensor, ...]:
    """Compute (batch, time - 1) tensors a few rows at a time, so that short rows are not padded to the longest.

    Args:
        function: from rollouts to tensors of the shape of their `action_mask`.
        rollouts: all of them.
        rows: of a piece.
        runtime: its processes share out the pieces.
    """
    width = rollouts.action_mask.shape[1]
    pieces = _pieces(function, rollouts, rows, runtime)
    return tuple(
        torch.cat([F.pad(tensor, (0, width - tensor.shape[1])) for tensor in tensors])
        for tensors in zip(*pieces, strict=True)
    )


def answer_scores(
    reward_model: RewardModel, rollouts: Rollouts, rows: int, runtime: Runtime = ALONE
) -> Tensor:
    """The reward model's score of each answer, (batch,); processes share out the pieces of so many rows."""
    scores = _pieces(lambda piece: reward_model(piece.ids, piece.mask).float(), rollouts, rows, runtime)
    return torch.cat(scores)


def action_log_probs(policy: GPT, rollouts: Rollouts, temperature: float = 1.0) -> tuple[Tensor, Tensor]:
    """The log-probability of each action and the entropy of the choice it was, (batch, time - 1) each (nats).

    0 where there is no action. The head, the dearest part of a small model, is computed for actions only.
    """
    mask = rollouts.action_mask
    hidden = policy.hidden(rollouts.ids[:, :-1])[mask]
    logits = F.linear(hidden, policy.head_weight).float() / temperature
    log_probs = -F.cross_entropy(logits, rollouts.ids[:, 1:][mask], reduction="none")
    empty = torch.zeros(mask.shape, device=mask.device)
    with torch.no_grad():
        spread = empty.masked_scatter(mask, entropy(logits))
    return empty.masked_scatter(mask, log_probs), spread


def action_values(critic: ScalarModel, rollouts: Rollouts) -> Tensor:
    """What the critic expects before each action, (batch, time - 1); 0 where there is no action."""
    values = critic.token_scores(rollouts.ids[:, :-1]).float()
    return torch.where(rollouts.action_mask, values, 0.0)
