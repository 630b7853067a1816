"""Cross-entropy of a linear head, computed in slices so that the logits of all tokens never exist at once.

The logits are by far the largest tensor of a language model, `vocab_size / d_model` times the hidden states. A
slice's logits are turned into losses and gradients while they lie in the processor's cache, and are then dropped.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from minillm.model.blocks import compute_dtype

__all__ = ["IGNORE_INDEX", "linear_cross_entropy"]

IGNORE_INDEX = -100  # a target that is not counted: padding, or a token the model is not asked to predict
REDUCTIONS = ("sum", "mean", "none")
_SLICE_NUMBERS = {"cpu": 1 << 20}  # logits that exist at once: 4 MB, about a processor's second-level cache
_SLICE_NUMBERS_ELSEWHERE = 1 << 27


def linear_cross_entropy(hidden: Tensor, weight: Tensor, targets: Tensor, reduction: str = "sum") -> Tensor:
    """Cross-entropy in nats of `softmax(hidden @ weight.T)` against `targets`.

    With "sum" and "mean" the gradient is computed together with the loss, slice by slice, and only scaled in the
    backward pass. With "none" and gradients wanted, all logits are held in memory.

    Args:
        hidden: (tokens, d_model).
        weight: (vocab, d_model).
        targets: (tokens,) ids; `IGNORE_INDEX` is not counted.
        reduction: "sum", "mean" over the counted targets (0 if there is none), or "none".

    Returns:
        float32 nats: a scalar, or (tokens,) with 0 where ignored.

    Reference: Wijmans et al. 2024, "Cut Your Losses"; Hsu et al. 2024, "Liger Kernel".
    """
    if reduction not in REDUCTIONS:
        raise ValueError(
            f"reduction={reduction!r} is not one of {', '.join(REDUCTIONS)}; choose one of these"
        )
    dtype = compute_dtype(hidden)
    wants_gradient = torch.is_grad_enabled() and (hidden.requires_grad or weight.requires_grad)
    total: Tensor
    with torch.autocast(hidden.device.type, enabled=False):
        if not wants_gradient:
            losses = _losses(hidden.to(dtype), weight.to(dtype), targets)
            total = losses if reduction == "none" else losses.sum()
        elif reduction == "none":
            logits = F.linear(hidden.to(dtype), weight.to(dtype)).float()
            total = F.cross_entropy(logits, targets, ignore_index=IGNORE_INDEX, reduction="none")
        else:
            # torch leaves this method untyped
            total = _SummedLoss.apply(hidden, weight, targets, dtype)  # type: ignore[no-untyped-call]
    return total / (targets != IGNORE_INDEX).sum().clamp(min=1) if reduction == "mean" else total


class _SummedLoss(torch.autograd.Function):
    """Sum of the losses. The gradient of a token's loss by its logits is `softmax(logits) - onehot(target)`."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, dtype: torch.dtype) -> Tensor:
        need_hidden, need_weight = ctx.needs_input_grad[:2]
        inputs, matrix = hidden.to(dtype), weight.to(dtype)
        hidden_gradient = torch.empty_like(hidden) if need_hidden else None
        weight_gradient = (
            torch.zeros(weight.shape, dtype=torch.float32, device=weight.device) if need_weight else None
        )
        total = torch.zeros((), dtype=torch.float32, device=hidden.device)
        for rows in _slices(hidden, weight):
            counted = (targets[rows, None] != IGNORE_INDEX).float()
            index = targets[rows, None].clamp(min=0)
            log_probs = torch.log_softmax(inputs[rows] @ matrix.T, dim=-1, dtype=torch.float32)
            total -= (log_probs.gather(1, index) * counted).sum()
            gradient = (
                log_probs.exp_()
                .scatter_add_(1, index, torch.full_like(counted, -1.0))
                .mul_(counted)
                .to(dtype)
            )
            if hidden_gradient is not None:
                hidden_gradient[rows] = gradient @ matrix
            if weight_gradient is not None:
                weight_gradient += gradient.T @ inputs[rows]
        ctx.save_for_backward(hidden_gradient, weight_gradient)
        ctx.weight_dtype = weight.dtype
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        hidden_gradient, weight_gradient = ctx.saved_tensors
        if hidden_gradient is not None:
            hidden_gradient = hidden_gradient * gradient
        if weight_gradient is not None:
            weight_gradient = (weight_gradient * gradient).to(ctx.weight_dtype)
        return hidden_gradient, weight_gradient, None, None


def _losses(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    """Nats of each token, without gradients."""
    return torch.cat(
        [
            F.cross_entropy(
                (hidden[rows] @ weight.T).float(), targets[rows], ignore_index=IGNORE_INDEX, reduction="none"
            )
            for rows in _slices(hidden, weight)
        ]
    )


def _slices(hidden: Tensor, weight: Tensor) -> list[slice]:
    """Runs of tokens whose logits fit into the slice size."""
    numbers = _SLICE_NUMBERS.get(hidden.device.type, _SLICE_NUMBERS_ELSEWHERE)
    step = max(1, numbers // weight.shape[0])
    return [slice(start, start + step) for start in range(0, hidden.shape[0], step)]
