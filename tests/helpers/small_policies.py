"""A tiny policy with which PPO and GRPO are tried on the CPU, its logs, and prompts that cut a training off."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minillm.model.gpt import GPT, GPTConfig
from minillm.text.chat import END
from minillm.text.tokenizer import Tokenizer

__all__ = [
    "END_ID",
    "LIKED",
    "SHAPE",
    "TOKENIZER",
    "CrashError",
    "TablePolicy",
    "crashing",
    "lines",
    "make_policy",
    "norm_of",
    "same",
    "weights",
]

Asked = TypeVar("Asked")
TOKENIZER = Tokenizer([])  # of bytes
END_ID = TOKENIZER.special_tokens[END]
LIKED = ord("a")
SHAPE = GPTConfig(
    TOKENIZER.vocab_size,
    context_length=32,
    n_layer=1,
    n_head=2,
    n_kv_head=1,
    d_model=12,
    d_ff=20,
    tie_embeddings=False,
)


def make_policy(seed: int = 1) -> GPT:
    """Random weights everywhere; every state leans towards the end token and one letter, so that answers do end."""
    policy = GPT(SHAPE, generator=seed).eval()
    generator = torch.Generator().manual_seed(seed)
    for name, weight in policy.named_parameters():
        weight.data.normal_(1.0 if name.endswith("norm.weight") else 0.0, 0.2, generator=generator)
    policy.model.embed_tokens.weight.data[:, 0] = 1.5
    policy.lm_head.weight.data[END_ID, 0] = policy.lm_head.weight.data[LIKED, 0] = 1.1
    return policy


class TablePolicy(nn.Module):
    """A policy without a network: the logits of the next token are a column of a table, chosen by the last token."""

    def __init__(self, table: Any) -> None:
        super().__init__()
        self.head_weight = nn.Parameter(torch.tensor(table, dtype=torch.float32))  # (vocab, vocab)
        self.config = SimpleNamespace(context_length=99)

    def hidden(self, ids: Tensor) -> Tensor:
        """The last token, one-hot."""
        return F.one_hot(ids, len(self.head_weight)).float()


def weights(model: nn.Module) -> dict[str, Tensor]:
    """A copy of a model's weights."""
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    """Whether tensors are equal bit for bit, and in the same order."""
    return list(one) == list(other) and all(torch.equal(one[name], other[name]) for name in one)


def norm_of(policy: nn.Module) -> dict[str, float]:
    """A figure that every step changes."""
    return {"norm": float(sum(weight.detach().square().sum() for weight in policy.parameters()))}


def lines(folder: Path, name: str = "metrics.jsonl") -> list[dict[str, Any]]:
    """The lines of a log, without the times."""
    rows = map(json.loads, (folder / name).read_text(encoding="utf-8").splitlines())
    return [{key: value for key, value in row.items() if "seconds" not in key} for row in rows]


class CrashError(Exception):
    """A training was cut off."""


def crashing(ask: Callable[[int], Asked], number: int) -> Callable[[int], Asked]:
    """What is asked, until it fails from a number on."""

    def asked(at: int) -> Asked:
        if at >= number:
            raise CrashError
        return ask(at)

    return asked
