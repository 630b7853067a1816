"""Weights in few bits: whole numbers and a scale, by hand.

A group of weights is divided by a step so large that the largest of them becomes the largest whole number of so many
bits, and rounded. What is stored are the whole numbers and one step for each group. To compute, the weights are made
from them again: memory becomes smaller, the arithmetic stays that of ordinary numbers.

Where this departs from what is used in production: weights are only rounded to the nearest step. GPTQ and AWQ look at
what passes through a layer as well, and lose less in 4 bits.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from minillm import checks

__all__ = ["BITS", "Quantised", "pack_int4", "quantise", "quantised_copy", "unpack_int4"]

BITS = (8, 4)
_SCALE_BYTES = 2  # a step is kept in half precision

M = TypeVar("M", bound=nn.Module)


@dataclass(frozen=True)
class Quantised:
    """A matrix as whole numbers: weight = code x scale of its group.

    Attributes:
        codes: int8 (rows, columns), from -127 to 127 in 8 bits, from -7 to 7 in 4 bits.
        scales: float16 (rows, groups), the step of each group of neighbours in a row.
        bits: of a code.
    """

    codes: Tensor
    scales: Tensor
    bits: int

    @property
    def n_bytes(self) -> int:
        """What has to be stored: the codes, in 4 bits two a byte, and the scales."""
        return -(-self.codes.numel() * self.bits // 8) + self.scales.numel() * _SCALE_BYTES

    def weight(self) -> Tensor:
        """The matrix again, float32 (rows, columns): each weight rounded to a multiple of its step."""
        rows, columns = self.codes.shape
        group_size = columns // self.scales.shape[1]
        groups = self.codes.view(rows, -1, group_size).float()
        return (groups * self.scales.float()[..., None]).view(rows, columns)


def quantise(weight: Tensor, bits: int = 8, group_size: int | None = None) -> Quantised:
    """Round a matrix to whole multiples of a step, a step for each group of weights.

    scale = max abs(w) / (2^(bits - 1) - 1) over the group, code = round(w / scale).

    Args:
        weight: (rows, columns), floating point.
        bits: 8 or 4.
        group_size: neighbours in a row that share a step; None: the whole row.

    Raises:
        ValueError: another number of bits, a matrix that is none, weights that are not finite or too large, or a
            group size that does not divide the columns.

    >>> quantise(torch.tensor([[0.7, -0.3, 0.02]]), bits=4).codes
    tensor([[ 7, -3,  0]], dtype=torch.int8)
    """
    if bits not in BITS:
        raise ValueError(f"bits is {bits!r}; choose {' or '.join(map(str, BITS))}")
    if weight.ndim != 2 or not weight.is_floating_point():
        raise ValueError(
            f"got a {weight.dtype} tensor of shape {tuple(weight.shape)}; give a float matrix (rows, columns)"
        )
    rows, columns = weight.shape
    group_size = columns if group_size is None else group_size
    checks.whole_number("group_size", group_size, at_least=1)
    if columns % group_size:
        raise ValueError(
            f"group_size={group_size} does not divide the {columns} columns; choose one that does, or None"
        )
    groups = weight.detach().float().view(rows, -1, group_size)
    largest = 2 ** (bits - 1) - 1
    scales = (groups.abs().amax(dim=-1) / largest).half()
    if not bool(scales.isfinite().all()):
        raise ValueError(
            "a weight is not finite, or too large for a half-precision step; look at the weights"
        )
    steps = scales.float()[..., None]
    codes = (groups / steps.where(steps > 0, 1.0)).round().clamp(-largest, largest)
    return Quantised(codes.view(rows, columns).to(torch.int8), scales, bits)


def pack_int4(codes: Tensor) -> Tensor:
    """Two codes from -8 to 7 a byte: the first in the low half, the second in the high half.

    Args:
        codes: int8, an even number of them in the last dimension.

    Returns:
        uint8, half as long in the last dimension.

    >>> pack_int4(torch.tensor([3, -1], dtype=torch.int8))
    tensor([243], dtype=torch.uint8)
    """
    if codes.shape[-1] % 2:
        raise ValueError(f"{codes.shape[-1]} codes do not fill whole bytes; give an even number of columns")
    if codes.numel() and not -8 <= int(codes.min()) <= int(codes.max()) <= 7:
        raise ValueError("a code does not fit into 4 bits; allowed are -8 to 7")
    low, high = (codes[..., start::2].to(torch.uint8) & 15 for start in (0, 1))
    return low | (high << 4)


def unpack_int4(packed: Tensor) -> Tensor:
    """The codes of :func:`pack_int4`, int8."""
    halves = torch.stack([packed & 15, packed >> 4], dim=-1).flatten(-2).to(torch.int8)
    return torch.where(halves > 7, halves - 16, halves)


def quantised_copy(model: M, bits: int = 8, group_size: int | None = None) -> tuple[M, int]:
    """A copy of a model all of whose matrices have been rounded, and the bytes that its weights then need.

    Vectors (the gains of the norms) stay as they are, in half precision. Where the groups do not divide the columns, a
    row of the matrix has one step.

    Returns:
        the copy, which computes with ordinary numbers, and the bytes of codes, scales and vectors.
    """
    checks.whole_number("group_size", group_size, at_least=1, optional=True)
    rounded, n_bytes = copy.deepcopy(model), 0
    with torch.no_grad():
        for weight in rounded.parameters():
            if weight.ndim < 2:
                n_bytes += weight.numel() * _SCALE_BYTES
                continue
            fits = group_size is not None and weight.shape[1] % group_size == 0
            made = quantise(weight, bits, group_size if fits else None)
            weight.copy_(made.weight())
            n_bytes += made.n_bytes
    return rounded, n_bytes
