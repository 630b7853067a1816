"""The two optimizers and the learning-rate schedule.

Where this departs from the textbook: `Muon` orthogonalises all matrices of one shape in a single batched
product; one by one, as `torch.optim.Muon` does it, takes about twice as long on a CPU.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from minillm.train.config import FitConfig

__all__ = ["Muon", "build_optimizers", "learning_rate_factor", "orthogonalise", "set_learning_rates"]

# Keller Jordan's polynomial of a singular value s, p(s) = A s + B s^3 + C s^5: as steep at 0 as it can be.
_A, _B, _C = 3.4445, -4.7750, 2.0315
_ITERATIONS = 5
_EPSILON = 1e-7


def orthogonalise(matrices: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Replace every matrix U S V^T by about U V^T: the same directions, all singular values near 1.

    Five Newton-Schulz steps X <- A X + B (X X^T) X + C (X X^T)^2 X. They change the singular values only, and
    bring all but the smallest near 1 (about 0.7 to 1.2): enough for an optimizer, far cheaper than an SVD.

    Args:
        matrices: (count, rows, columns) with rows <= columns for speed; any shape works.
        dtype: in which the products are computed.

    Returns:
        (count, rows, columns) in `dtype`.

    Reference:
        K. Jordan et al. (2024), Muon: an optimizer for hidden layers in neural networks.
    """
    x = matrices.to(dtype)
    tall = x.size(-2) > x.size(-1)
    x = x.mT if tall else x  # the product X X^T is then the smaller one
    norm = torch.linalg.vector_norm(x, dim=(-2, -1), keepdim=True)
    x = x / norm.clamp(min=_EPSILON)  # largest singular value at most 1
    for _ in range(_ITERATIONS):
        gram = x @ x.mT
        polynomial = torch.baddbmm(gram, gram, gram, beta=_B, alpha=_C)
        x = torch.baddbmm(x, polynomial, x, beta=_A)
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """Momentum, orthogonalised: every update moves all directions of a weight matrix by the same amount.

    m <- momentum m + (1 - momentum) g;  W <- (1 - lr weight_decay) W - lr sqrt(max(1, rows/columns)) orth(n),
    with Nesterov's n = (1 - momentum) g + momentum m. Same conventions as `torch.optim.Muon`.

    Args:
        params: weight matrices (rows, columns) or parameter groups of them.
        lr: change of a singular value per step.
        momentum: share of the old average that is kept.
        weight_decay: decoupled decay per unit of learning rate.
        dtype: in which `orthogonalise` computes.

    Raises:
        ValueError: a parameter is not a matrix.

    Reference:
        K. Jordan et al. (2024), Muon: an optimizer for hidden layers in neural networks.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 2e-2,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        self.dtype = dtype
        for parameter in (p for group in self.param_groups for p in group["params"]):
            if parameter.ndim != 2:
                shape = tuple(parameter.shape)
                raise ValueError(f"Muon got a parameter of shape {shape}; give it matrices, AdamW the rest")

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # there is nothing to call again
        """Update every matrix that has a gradient."""
        for group in self.param_groups:
            for parameters in _by_shape(group["params"]):
                self._update(parameters, group["lr"], group["momentum"], group["weight_decay"])

    def _update(self, parameters: list[Tensor], lr: float, momentum: float, weight_decay: float) -> None:
        """One step for matrices of one shape, up to transposition."""
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        averages = [self._average(parameter) for parameter in parameters]
        torch._foreach_lerp_(averages, gradients, 1 - momentum)
        lookahead = torch._foreach_lerp(gradients, averages, momentum)
        directions = orthogonalise(torch.stack([_wide(matrix) for matrix in lookahead]), self.dtype)
        for parameter, direction in zip(parameters, directions, strict=True):
            rows, columns = parameter.shape
            parameter.mul_(1 - lr * weight_decay)
            direction = direction if rows <= columns else direction.mT
            parameter.add_(direction, alpha=-lr * math.sqrt(max(1, rows / columns)))

    def _average(self, parameter: Tensor) -> Tensor:
        """The running average of the parameter's gradients; zeros before the first step."""
        state = self.state[parameter]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(parameter)
        average: Tensor = state["momentum_buffer"]
        return average


def _by_shape(parameters: Iterable[Tensor]) -> list[list[Tensor]]:
    """Group the matrices that have a gradient by shape; a matrix and a transposed one go together."""
    groups = defaultdict(list)
    for parameter in parameters:
        if parameter.grad is not None:
            groups[tuple(sorted(parameter.shape))].append(parameter)
    return list(groups.values())


def _wide(matrix: Tensor) -> Tensor:
    """The matrix, or its transpose, with rows <= columns."""
    return matrix if matrix.size(0) <= matrix.size(1) else matrix.mT


def build_optimizers(
    model: nn.Module, config: FitConfig, precision: str = "fp32"
) -> list[torch.optim.Optimizer]:
    """Make the optimizers for a model's trainable parameters.

    With `optimizer="muon"` the matrices inside the blocks go to Muon; embeddings, the head, norms and all
    else go to AdamW. With `"adamw"` AdamW has them all. Norms and biases (1-D) are not decayed. Each
    parameter group carries its peak learning rate as `peak_lr`.

    Args:
        precision: number format of the run; in "bf16" Muon's products are bf16, otherwise fp32.

    Returns:
        one or two optimizers that together hold each trainable parameter once.

    Raises:
        ValueError: the model has no trainable parameter.
    """
    kinds = _parameters_by_kind(model)
    if not kinds:
        raise ValueError("the model has no trainable parameter; set requires_grad on those that should learn")
    uses_muon = config.optimizer == "muon"
    matrix_lr = config.matrix_learning_rate if uses_muon else config.learning_rate
    peaks = {"matrix": matrix_lr, "embedding": config.embedding_learning_rate or matrix_lr}
    groups = {}
    for kind, parameters in kinds.items():
        peak = peaks.get(kind, config.learning_rate)
        decay = 0.0 if kind == "vector" else config.weight_decay
        groups[kind] = {"params": parameters, "lr": peak, "peak_lr": peak, "weight_decay": decay}
    optimizers: list[torch.optim.Optimizer] = []
    if uses_muon and "matrix" in groups:
        dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        optimizers.append(Muon([groups.pop("matrix")], momentum=config.momentum, dtype=dtype))
    if groups:
        betas = (config.beta1, config.beta2)
        optimizers.append(torch.optim.AdamW(list(groups.values()), betas=betas, fused=True))
    return optimizers


def _parameters_by_kind(model: nn.Module) -> dict[str, list[Tensor]]:
    """Sort trainable parameters into "matrix" (Muon's), "embedding", "vector" (norms, biases) and "other"."""
    embeddings = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    kinds: dict[str, list[Tensor]] = defaultdict(list)
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        if id(parameter) in embeddings:
            kind = "embedding"
        elif parameter.ndim < 2:
            kind = "vector"
        elif parameter.ndim > 2 or min(parameter.shape) == 1 or "lm_head" in name.split("."):
            kind = "other"  # an output head has no use for equal singular values, nor has a single row
        else:
            kind = "matrix"
        kinds[kind].append(parameter)
    return kinds


def learning_rate_factor(step: int, config: FitConfig) -> float:
    """The share of the peak learning rate at one step: a linear rise, then a fall.

    Args:
        step: 0 for the first update.
        config: gives the number of steps, the warm-up and the shape of the fall.

    Returns:
        a number from 0 to 1; above 0 at every step of the run unless the schedule says otherwise.

    >>> config = FitConfig(steps=10, warmup_share=0.2, schedule="linear")
    >>> [learning_rate_factor(step, config) for step in (0, 1, 2, 6, 9)]
    [0.5, 1.0, 1.0, 0.5, 0.125]
    """
    warmup = config.warmup_steps
    if step < warmup:
        return (step + 1) / warmup
    if config.schedule == "constant":
        return 1.0
    progress = min(1.0, (step - warmup) / max(1, config.steps - warmup))
    fall = progress if config.schedule == "linear" else (1 - math.cos(math.pi * progress)) / 2
    return 1 - (1 - config.final_share) * fall


def set_learning_rates(optimizers: list[torch.optim.Optimizer], factor: float) -> float:
    """Set every group to `factor` times its peak; return the first group's learning rate, for the log."""
    groups = [group for optimizer in optimizers for group in optimizer.param_groups]
    for group in groups:
        group["lr"] = factor * group["peak_lr"]
    return float(groups[0]["lr"])
