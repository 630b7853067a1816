"""The parts of a Transformer block: RMSNorm, rotary positions, attention with a key/value cache, SwiGLU.

Departures from the textbook, all for speed: activations are brought to the precision of autocast once, after each norm,
instead of before every matrix product; RMSNorm has its own gradient on the CPU, where PyTorch takes it apart into a
dozen passes; attention in bfloat16 on the CPU is written out as two matrix products, which is twice as fast as
PyTorch's fused kernel on short sequences.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from minillm.model.cache import KVCache
from minillm.model.config import GPTConfig
from minillm.model.masks import causal_mask

__all__ = [
    "MLP",
    "Attention",
    "Block",
    "RMSNorm",
    "apply_rotary",
    "attend",
    "attention_probs",
    "compute_dtype",
    "rotary_tables",
    "unit_rms",
]

PLAIN_ATTENTION_LENGTH = 512  # tokens; beyond, the fused kernel wins also in bfloat16 on the CPU


def compute_dtype(x: Tensor) -> torch.dtype:
    """The precision of matrix products on `x`: autocast's if it is on, else that of `x`."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype


class RMSNorm(nn.Module):
    """Scale a vector to root mean square 1, then by a learned gain: `x / sqrt(mean(x^2) + eps) * weight`.

    The scaling is done in float32; the result has the precision of the matrix products that read it.

    Reference: Zhang & Sennrich 2019, "Root Mean Square Layer Normalization", eq. 4.
    """

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """(..., width) -> (..., width)."""
        dtype = compute_dtype(x)
        if x.device.type != "cpu":
            return F.rms_norm(x.float(), self.weight.shape, self.weight.float(), self.eps).to(dtype)
        if torch.is_grad_enabled():
            # torch leaves this method untyped
            scaled: Tensor = _RMSNormFunction.apply(x, self.weight, self.eps, dtype)  # type: ignore[no-untyped-call]
            return scaled
        return (unit_rms(x, self.eps) * self.weight.float()).to(dtype)


def unit_rms(x: Tensor, eps: float) -> Tensor:
    """`x / sqrt(mean(x^2) + eps)` over the last axis, in float32; not for gradients."""
    if x.device.type != "cpu":
        return F.rms_norm(x.float(), x.shape[-1:], eps=eps)
    unit = x.float()
    # PyTorch takes its own function apart into twice as many passes on the CPU.
    norm: Tensor = torch.linalg.vector_norm(unit, dim=-1, keepdim=True)
    return unit * norm.square_().div_(x.shape[-1]).add_(eps).rsqrt_()


class _RMSNormFunction(torch.autograd.Function):
    """RMSNorm with its gradient in closed form: with u = x / rms(x) and h = gradient * weight,

    `dx = (h - u * mean(h * u)) / rms(x)` and `dweight = sum(gradient * u)`.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float, dtype: torch.dtype) -> Tensor:
        unit = x.float()
        norm: Tensor = torch.linalg.vector_norm(unit, dim=-1, keepdim=True)
        scale = (norm.square() / x.shape[-1] + eps).rsqrt()
        unit = unit * scale
        ctx.save_for_backward(unit, weight, scale)
        ctx.dtype = x.dtype
        return (unit * weight).to(dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None]:
        unit, weight, scale = ctx.saved_tensors
        gradient = gradient.float()
        product = gradient * unit
        mean = (product @ weight.float() / weight.shape[0]).unsqueeze(-1)
        x_gradient = (gradient * weight).addcmul_(unit, mean, value=-1).mul_(scale)
        weight_gradient = product.reshape(-1, weight.shape[0]).sum(0)
        return x_gradient.to(ctx.dtype), weight_gradient.to(weight.dtype), None, None


def rotary_tables(length: int, head_width: int, theta: float) -> tuple[Tensor, Tensor]:
    """Cosines and sines by which position turns a query or a key: two tables (length, head_width).

    Channel i and channel i + head_width/2 form a pair that turns by `position * theta^(-2i / head_width)` radians, so
    that a query-key product depends on the distance of the two tokens only. The sines of the first half are negative.

    Reference: Su et al. 2021, "RoFormer", eq. 34; the half-split layout is Hugging Face's.
    """
    frequency = theta ** (-torch.arange(0, head_width, 2, dtype=torch.float32) / head_width)
    angle = torch.outer(torch.arange(length, dtype=torch.float32), frequency)
    return torch.cat([angle, angle], dim=-1).cos(), torch.cat([-angle, angle], dim=-1).sin()


def apply_rotary(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn each pair of channels (a, b) of `x` by the angle of its position: (a cos - b sin, b cos + a sin).

    Args:
        x: queries or keys (batch, head, time, width).
        cos: (time, width), or (batch, 1, time, width) where rows differ in position.
        sin: as `cos`.
    """
    return torch.addcmul(x * cos, x.roll(x.shape[-1] // 2, dims=-1), sin)


def attention_probs(query: Tensor, key: Tensor, mask: Tensor | None) -> Tensor:
    """How much each query takes from each column, in every head: `softmax(query @ key^T / sqrt(width) + mask)`.

    Args:
        query: (batch, n_head, time, width).
        key: (batch, n_kv_head, columns, width); each serves `n_head / n_kv_head` query heads that stand together.
        mask: as in :func:`attend`.

    Returns:
        (batch, n_head, time, columns); the last axis sums to 1.

    Reference: Vaswani et al. 2017, eq. 1; Ainslie et al. 2023, "GQA".
    """
    if mask is None:
        mask = causal_mask(query.shape[2], key.shape[2], query.dtype, query.device)
    scale: float = query.shape[3] ** -0.5
    scores = (query * scale) @ _for_each_query_head(key, query).mT + mask
    return scores.softmax(dim=-1)


def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    """What each query collects, `attention_probs(query, key, mask) @ value`, by the kernel that is fastest here.

    Args:
        query: (batch, n_head, time, width).
        key: (batch, n_kv_head, columns, width).
        value: as `key`.
        mask: (batch or 1, 1, time, columns), 0 where a query may look and -inf where not; `None` lets each query
            see the columns up to its own, the last query being in the last column.

    Returns:
        (batch, n_head, time, width).
    """
    time, columns = query.shape[2], key.shape[2]
    on_cpu_in_bf16 = query.device.type == "cpu" and query.dtype == torch.bfloat16
    if on_cpu_in_bf16 and time > 1 and columns <= PLAIN_ATTENTION_LENGTH:
        return attention_probs(query, key, mask) @ _for_each_query_head(value, query)
    causal = mask is None
    if time == 1:
        causal = False  # the last token sees all
    elif mask is None and time < columns:  # the kernel's own mask puts the first query in the first column
        causal, mask = False, causal_mask(time, columns, query.dtype, query.device)
    grouped = key.shape[1] != query.shape[1]
    return F.scaled_dot_product_attention(
        query, key, value, attn_mask=mask, is_causal=causal, enable_gqa=grouped
    )


def _for_each_query_head(x: Tensor, query: Tensor) -> Tensor:
    """Keys or values, (batch, n_kv_head, ...), repeated for the query heads that share them: (batch, n_head, ...)."""
    group = query.shape[1] // x.shape[1]
    return x.repeat_interleave(group, dim=1) if group > 1 else x


class Attention(nn.Module):
    """Grouped-query self-attention with rotary positions and, on request, normalised queries and keys.

    Reference: Vaswani et al. 2017; Ainslie et al. 2023 (grouped queries); Henry et al. 2020 (QK-norm).
    """

    def __init__(self, config: GPTConfig, layer: int) -> None:
        super().__init__()
        self.layer = layer
        self.head_width = config.head_width
        q_width, kv_width = config.n_head * config.head_width, config.n_kv_head * config.head_width
        self.q_proj = nn.Linear(config.d_model, q_width, bias=False)
        self.k_proj = nn.Linear(config.d_model, kv_width, bias=False)
        self.v_proj = nn.Linear(config.d_model, kv_width, bias=False)
        self.o_proj = nn.Linear(q_width, config.d_model, bias=False)
        self.q_norm = RMSNorm(config.head_width, config.norm_eps) if config.qk_norm else None
        self.k_norm = RMSNorm(config.head_width, config.norm_eps) if config.qk_norm else None

    def queries_keys_values(self, x: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(batch, time, d_model) -> the turned queries, the turned keys and the values, (batch, head, time, width)."""
        heads = (*x.shape[:2], -1, self.head_width)
        query, key, value = self.q_proj(x).view(heads), self.k_proj(x).view(heads), self.v_proj(x).view(heads)
        if self.q_norm is not None and self.k_norm is not None:
            query, key = self.q_norm(query), self.k_norm(key)
        query, key, value = query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2)
        return apply_rotary(query, cos, sin), apply_rotary(key, cos, sin), value

    def forward(
        self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor | None, cache: KVCache | None
    ) -> Tensor:
        """(batch, time, d_model) -> (batch, time, d_model)."""
        query, key, value = self.queries_keys_values(x, cos, sin)
        if cache is not None:
            key, value = cache.update(self.layer, key, value)
        collected = attend(query, key, value, mask)  # (batch, head, time, width)
        mixed: Tensor = self.o_proj(collected.transpose(1, 2).flatten(2))
        return mixed


class MLP(nn.Module):
    """SwiGLU: `down(silu(gate(x)) * up(x))`. Reference: Shazeer 2020, "GLU Variants Improve Transformer", eq. 6."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.d_model, config.d_ff, bias=False)
        self.up_proj = nn.Linear(config.d_model, config.d_ff, bias=False)
        self.down_proj = nn.Linear(config.d_ff, config.d_model, bias=False)

    if TYPE_CHECKING:

        def __call__(self, x: Tensor) -> Tensor:
            """What nn.Module leaves untyped."""

    def forward(self, x: Tensor) -> Tensor:
        """(batch, time, d_model) -> (batch, time, d_model)."""
        down: Tensor = self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))
        return down


class Block(nn.Module):
    """One layer: attention, then the feed-forward part, each reading a normalised copy and adding to the stream."""

    def __init__(self, config: GPTConfig, layer: int) -> None:
        super().__init__()
        self.self_attn = Attention(config, layer)
        self.mlp = MLP(config)
        self.input_layernorm = RMSNorm(config.d_model, config.norm_eps)
        self.post_attention_layernorm = RMSNorm(config.d_model, config.norm_eps)

    def forward(
        self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor | None, cache: KVCache | None
    ) -> Tensor:
        """(batch, time, d_model) -> (batch, time, d_model)."""
        x = x + self.self_attn(self.input_layernorm(x), cos, sin, mask, cache)
        return x + self.mlp(self.post_attention_layernorm(x))
