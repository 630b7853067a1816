"""Greedy answers of two programs: the same tokens, unless two are as good as equal."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from minillm import GPT

__all__ = ["n_identical"]


def n_identical(
    model: GPT,
    prompts: Sequence[Sequence[int]],
    some: Sequence[Sequence[int]],
    others: Sequence[Sequence[int]],
    tolerance: float = 1e-4,
) -> int:
    """How many rows of tokens are the same in both.

    A row may differ where the logits of the first two tokens that differ are as good as equal: there the last bits
    decide, which are others on another chip.

    Args:
        model: gives the logits.
        prompts: what was continued.
        some: the tokens after each prompt.
        others: the same, computed in another way; as many for each prompt.
        tolerance: the largest difference of logits that counts as equal.
    """
    identical = 0
    for prompt, one, other in zip(prompts, some, others, strict=True):
        first = next((i for i, pair in enumerate(zip(one, other, strict=True)) if pair[0] != pair[1]), None)
        if first is None:
            identical += 1
            continue
        with torch.no_grad():
            logits = model(torch.tensor([[*prompt, *one[:first]]]))[0, -1]
        apart = abs(float(logits[one[first]] - logits[other[first]]))
        assert apart < tolerance, f"token {first} differs, where the logits are {apart:.2g} apart"
    return identical
