"""Models small enough for a test, every weight random, so that no wrong term can hide behind a zero."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from minillm.model.gpt import GPT, GPTConfig

SHAPE = {
    "vocab_size": 53,
    "context_length": 24,
    "n_layer": 3,
    "n_head": 4,
    "n_kv_head": 2,
    "d_model": 24,
    "d_ff": 40,
}


@pytest.fixture
def make_model() -> Callable[..., GPT]:
    """Return a GPT with random weights everywhere, norm gains included."""

    def make(seed: int = 1, **changes: object) -> GPT:
        model = GPT(GPTConfig(**{**SHAPE, **changes}))
        generator = torch.Generator().manual_seed(seed)
        for name, weight in model.named_parameters():
            offset = 1.0 if name.endswith("norm.weight") else 0.0
            weight.data.normal_(offset, 0.25, generator=generator)
        return model.eval()

    return make


@pytest.fixture
def random_ids() -> Callable[..., torch.Tensor]:
    """Return random token ids of a shape."""

    def ids(*shape: int, vocab_size: int = SHAPE["vocab_size"], seed: int = 2) -> torch.Tensor:
        return torch.randint(0, vocab_size, shape, generator=torch.Generator().manual_seed(seed))

    return ids
