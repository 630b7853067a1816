"""What a training does to one matrix: the size of its first step, and the directions that it brings in.

Pure functions of matrices W (outputs, inputs). They serve to explain what an adapter forgets: a thin one steps further
sideways for the same progress (`first_lora_update`), and fine-tuning brings in strong directions that the old matrix
did not have (`intruders`), which can be shrunk again (`shrink_intruders`).
"""

from __future__ import annotations

import torch
from torch import Tensor

from minillm import checks

__all__ = ["first_lora_update", "intruders", "progress", "shrink_intruders"]


def first_lora_update(gradient: Tensor, a: Tensor, scaling: float, learning_rate: float) -> Tensor:
    """The change of W that Adam's first step on a fresh adapter makes: `-lr scaling sign(G A^T) A`.

    B is zero at first, so that A has no gradient and B has `scaling G A^T`. Adam's first step, with its averages
    corrected, moves each entry by the learning rate against the sign of its gradient. (Its epsilon is left out.)

    Args:
        gradient: G of the loss in W (outputs, inputs).
        a: A of the adapter (rank, inputs).
        scaling: alpha / rank.
        learning_rate: of the step.

    Returns:
        (outputs, inputs).

    Raises:
        ValueError: the learning rate or the scaling is not above zero.

    >>> gradient, a = torch.tensor([[1.0, 0.0], [0.0, -2.0]]), torch.tensor([[3.0, 1.0]])
    >>> first_lora_update(gradient, a, scaling=2.0, learning_rate=0.1)
    tensor([[-0.6000, -0.2000],
            [ 0.6000,  0.2000]])

    Reference: Hu et al. 2021, section 4.1; Kingma and Ba 2015, algorithm 1.
    """
    checks.number("scaling", scaling, above=0)
    checks.number("learning_rate", learning_rate, above=0)
    return -learning_rate * scaling * (gradient @ a.T).sign() @ a


def progress(update: Tensor, gradient: Tensor) -> float:
    """The change of the loss (nats) that a small update of W promises, `<update, G>`; below zero: it falls.

    >>> progress(torch.tensor([[1.0, -2.0]]), torch.tensor([[0.5, 0.5]]))
    -0.5
    """
    return float((update * gradient).sum())


def intruders(before: Tensor, after: Tensor, first: int = 10, cosine: float = 0.6) -> list[int]:
    """Which of a tuned matrix's strongest directions are new: like none of the old matrix's.

    Args:
        before: W before the training (outputs, inputs).
        after: W after it, of the same shape.
        first: so many left singular vectors of `after` are looked at, the strongest first.
        cosine: one is new if its cosine to every left singular vector of `before` is below this, whatever the sign.

    Returns:
        their numbers, from 0 for the strongest.

    Raises:
        ValueError: the shapes differ, or `first` or `cosine` is out of range.

    >>> before = torch.diag(torch.tensor([3.0, 2.0, 1.0]))
    >>> intruders(before, before), intruders(before, before + 100.0)
    ([], [0])

    Reference: Shuttleworth et al. 2024, "LoRA vs Full Fine-tuning: An Illusion of Equivalence", algorithm 1.
    """
    _check(before, after, first, cosine)
    return _intruders(before, torch.linalg.svd(after, full_matrices=False)[0], first, cosine)


def shrink_intruders(
    before: Tensor, after: Tensor, scale: float, first: int = 10, cosine: float = 0.6
) -> Tensor:
    """The tuned matrix with its new directions shrunk: `W + (scale - 1) sum_i s_i u_i v_i^T` over the intruders i.

    Args:
        before: W before the training (outputs, inputs).
        after: W after it.
        scale: 1 leaves the matrix as it is, 0 takes the new directions out.
        first: see `intruders`.
        cosine: see `intruders`.

    Returns:
        (outputs, inputs), of a matrix of its own.

    Raises:
        ValueError: as `intruders`; `scale` is below zero.

    Reference: Shuttleworth et al. 2024, section 5.
    """
    _check(before, after, first, cosine)
    checks.number("scale", scale, at_least=0)
    u, s, v = torch.linalg.svd(after, full_matrices=False)
    new = _intruders(before, u, first, cosine)
    shrunk: Tensor = after + (scale - 1) * (u[:, new] * s[new]) @ v[new]
    return shrunk


def _intruders(before: Tensor, directions: Tensor, first: int, cosine: float) -> list[int]:
    old = torch.linalg.svd(before, full_matrices=False)[0]
    likeness: list[float] = (old.T @ directions[:, :first]).abs().amax(dim=0).tolist()
    return [number for number, most in enumerate(likeness) if most < cosine]


def _check(before: Tensor, after: Tensor, first: int, cosine: float) -> None:
    if before.ndim != 2 or before.shape != after.shape:
        shapes = f"{tuple(before.shape)} and {tuple(after.shape)}"
        raise ValueError(f"the matrices have the shapes {shapes}; give two matrices of one shape")
    checks.whole_number("first", first, at_least=1)
    checks.number("cosine", cosine, above=0, at_most=1)
