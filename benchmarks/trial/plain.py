"""A plain Transformer in the manner of GPT-2, as a yardstick: what one writes on a first day, with PyTorch's parts."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minillm.model.config import GPTConfig

__all__ = ["PlainGPT"]


class PlainGPT(nn.Module):
    """LayerNorm, GELU, learned positions, a tied head.

    Its feed-forward part is 1.5 d_ff wide, which gives two matrices the numbers of SwiGLU's three: as many operations
    a token as a `GPT` of the same shape with as many key heads as query heads.
    """

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.tokens = nn.Embedding(config.vocab_size, config.d_model)
        self.positions = nn.Embedding(config.context_length, config.d_model)
        self.blocks = nn.ModuleList(PlainBlock(config) for _ in range(config.n_layer))
        self.norm = nn.LayerNorm(config.d_model)
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Embedding)):
                nn.init.normal_(module.weight, std=0.02)

    def forward(self, ids: Tensor) -> Tensor:
        """(batch, time) -> (batch, time, vocab)."""
        x = self.tokens(ids) + self.positions(torch.arange(ids.shape[1], device=ids.device))
        for block in self.blocks:
            x = block(x)
        return F.linear(self.norm(x), self.tokens.weight)


class PlainBlock(nn.Module):
    """Attention and a feed-forward part."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        width, inner = config.d_model, 3 * config.d_ff // 2
        self.n_head = config.n_head
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.into_attention, self.out_of_attention = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, inner), nn.Linear(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, time, d_model) -> (batch, time, d_model)."""
        heads = self.into_attention(self.norm1(x)).unflatten(2, (3, self.n_head, -1))
        query, key, value = heads.permute(2, 0, 3, 1, 4).unbind()  # each (batch, head, time, width)
        collected = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + self.out_of_attention(collected.transpose(1, 2).flatten(2))
        down: Tensor = self.down(F.gelu(self.up(self.norm2(x))))
        return x + down
