"""What minillm makes of the first steps: the losses with which those of another engine are compared.

The batch of every step is all of the data, so that no order plays a part.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from minillm.data.batches import PackedDocuments
from minillm.data.comparisons import Comparison
from minillm.data.readers import read_comparisons, read_conversations
from minillm.model.gpt import GPT, next_token_loss
from minillm.stages.dpo import PreferenceBatches, batch_log_probs, dpo_loss, preferred_pairs
from minillm.stages.grpo import group_advantages, grpo_loss
from minillm.stages.rollouts import Rollouts, action_log_probs
from minillm.stages.sft import chat_documents
from minillm.text.chat import render_chat
from minillm.text.tokenizer import Tokenizer

__all__ = ["Step", "dpo_steps", "grpo_step", "read_answers", "sft_steps"]

CLIP_EPS = 0.2, 0.2  # TRL's, and ours


@dataclass(frozen=True)
class Step:
    """A step of the optimizer: the loss before it, and the length of its gradient."""

    loss: float
    grad_norm: float


def sft_steps(model: GPT, tokenizer: Tokenizer, file: Path, steps: int, learning_rate: float) -> list[Step]:
    """Fine-tuning on all conversations of a file, with no plain text mixed in."""
    chats = [render_chat(messages, tokenizer) for messages in read_conversations(file)]
    context_length, end = model.config.context_length, tokenizer.end_of_text_id
    documents = chat_documents(chats, end, context_length)
    batch = PackedDocuments(documents, end, context_length, rows=len(chats)).batch(0)
    return _learn(
        model,
        lambda: next_token_loss(model, batch.ids, batch.targets, batch.document_ids, "mean"),
        steps,
        learning_rate,
    )


def dpo_steps(
    model: GPT,
    reference: GPT,
    tokenizer: Tokenizer,
    file: Path,
    beta: float,
    steps: int,
    learning_rate: float,
) -> list[Step]:
    """DPO on all comparisons of a file."""
    comparisons = [Comparison(row["prompt"], row["answers"], row["ranks"]) for row in read_comparisons(file)]
    batches = PreferenceBatches(comparisons, tokenizer, model.config.context_length, len(comparisons))
    batches.ask(reference, 1)
    batch = batches.batch(0)
    prompt, chosen, rejected = preferred_pairs(batch.ranks)

    def loss() -> Tensor:
        ours, theirs = batch_log_probs(model, batch), batch.log_probs_ref
        sums = [x[prompt, answer] for x in (ours, theirs) for answer in (chosen, rejected)]
        return dpo_loss(*sums, beta=beta)[0]

    return _learn(model, loss, steps, learning_rate)


def grpo_step(model: GPT, tokenizer: Tokenizer, answers: Sequence[dict[str, Any]], group: int) -> Step:
    """GRPO's first step on answers that another engine has drawn and rewarded, group after group.

    Where nothing was learned yet, all ratios are 1. So the loss says that the advantages are the same, and the gradient
    that the answers' log-probabilities are.
    """
    rollouts = _rollouts(tokenizer, answers)
    rewards = torch.tensor([answer["reward"] for answer in answers]).view(-1, group)
    advantages = group_advantages(rewards, scale=False).flatten()[:, None] * rollouts.action_mask

    def loss() -> Tensor:
        log_probs, _ = action_log_probs(model, rollouts)
        return grpo_loss(
            log_probs, log_probs.detach(), None, advantages, rollouts.action_mask, CLIP_EPS, kl_coef=0.0
        )

    return _learn(model, loss, 1, 0.0)[0]


def read_answers(folder: Path) -> list[dict[str, Any]]:
    """The answers that each process of a GRPO run wrote down."""
    files = sorted(folder.glob("answers.*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines()]


def _rollouts(tokenizer: Tokenizer, answers: Sequence[dict[str, Any]]) -> Rollouts:
    prompts = [render_chat(answer["prompt"], tokenizer, add_generation_prompt=True).ids for answer in answers]
    rows = [[*prompt, *answer["ids"]] for prompt, answer in zip(prompts, answers, strict=True)]
    width = max(map(len, rows))
    ids = torch.tensor([row + [tokenizer.end_of_text_id] * (width - len(row)) for row in rows])
    starts, lengths = (torch.tensor(list(map(len, parts))) for parts in (prompts, rows))
    columns = torch.arange(width)[None]
    mask = columns < lengths[:, None]
    action_mask = (mask & (columns >= starts[:, None]))[:, 1:]
    everything = torch.arange(len(rows))
    return Rollouts(ids, mask, action_mask, torch.ones(len(rows), dtype=torch.bool), everything, starts)


def _learn(model: nn.Module, loss_of: Callable[[], Tensor], steps: int, learning_rate: float) -> list[Step]:
    """The same optimizer as in `handover_trl.py`: Hugging Face's defaults at a learning rate that stays."""
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=learning_rate, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0)
    done = []
    for _ in range(steps):
        loss = loss_of()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(weights, 1.0)
        done.append(Step(loss.item(), norm.item()))
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return done
