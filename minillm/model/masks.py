"""Who may look at whom: every attention mask of the package, made by pure functions.

A mask is added to the scores of attention, so it holds 0 where a query (row) may look at a key (column) and minus
infinity where not. It broadcasts over (batch, head, time, columns).
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = [
    "branch_mask",
    "causal_mask",
    "document_mask",
    "padding_mask",
    "reading_mask",
    "real_columns",
    "seen_before",
]


def causal_mask(
    time: int,
    columns: int,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str | None = None,
) -> Tensor:
    """Each query sees the columns up to its own, the last query standing in the last column.

    Returns:
        (time, columns).

    >>> causal_mask(2, 3)
    tensor([[0., 0., -inf],
            [0., 0., 0.]])
    """
    return torch.full((time, columns), -torch.inf, dtype=dtype, device=device).triu(columns - time + 1)


def document_mask(document_ids: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """A token sees its own document, up to itself, where several documents share a row.

    Args:
        document_ids: (batch, time) equal within a document.
        dtype: of the result.

    Returns:
        (batch, 1, time, time).
    """
    time = document_ids.shape[1]
    same = document_ids[:, None, :, None] == document_ids[:, None, None, :]
    return torch.where(same, causal_mask(time, time, dtype, document_ids.device), -torch.inf)


def branch_mask(branches: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """A token sees its own branch and the trunk, up to itself, where several ways to go on share what is before them.

    Args:
        branches: (batch, time) 0 for the trunk, which comes first in a row; 1, 2, ... for what goes on from it, each by
            a way of its own; a negative number for padding, which is seen by padding only.
        dtype: of the result.

    Returns:
        (batch, 1, time, time).

    >>> (branch_mask(torch.tensor([[0, 1, 1, 2]])) == 0).int()[0, 0]  # the last token does not see branch 1
    tensor([[1, 0, 0, 0],
            [1, 1, 0, 0],
            [1, 1, 1, 0],
            [1, 0, 0, 1]], dtype=torch.int32)
    """
    time = branches.shape[1]
    query, key = branches[:, None, :, None], branches[:, None, None, :]
    allowed = (query == key) | ((key == 0) & (query > 0))
    return torch.where(allowed, causal_mask(time, time, dtype, branches.device), -torch.inf)


def seen_before(mask: Tensor) -> Tensor:
    """How many tokens each token sees beside itself: its position in a text of those alone.

    Args:
        mask: (batch, 1, time, time), 0 where a token may look.

    Returns:
        (batch, time).

    >>> seen_before(branch_mask(torch.tensor([[0, 1, 1, 2]])))
    tensor([[0, 1, 2, 1]])
    """
    return (mask[:, 0] == 0).sum(dim=-1) - 1


def real_columns(padding: Tensor, columns: int) -> Tensor:
    """Which columns hold tokens: those behind the padding at the left of each row.

    Args:
        padding: (batch,) columns of padding.
        columns: of the result.

    Returns:
        (batch, columns), True where there is a token.

    >>> real_columns(torch.tensor([0, 2]), 3)
    tensor([[ True,  True,  True],
            [False, False,  True]])
    """
    return torch.arange(columns, device=padding.device) >= padding[:, None]


def padding_mask(real: Tensor, dtype: torch.dtype) -> Tensor:
    """Every query sees all columns that hold tokens: the mask of one query behind them.

    Args:
        real: (batch, columns) True where there is a token.
        dtype: of the result.

    Returns:
        (batch, 1, 1, columns).
    """
    mask = torch.zeros(real.shape, dtype=dtype, device=real.device)
    return mask.masked_fill_(~real, -torch.inf)[:, None, None]


def reading_mask(real: Tensor, start: int, dtype: torch.dtype) -> Tensor:
    """The columns from `start` on are read behind those before it: each sees the tokens up to itself.

    A column of padding sees itself, or its softmax would have nothing to spread over.

    Args:
        real: (batch, columns) True where there is a token.
        start: the first column that looks.
        dtype: of the result.

    Returns:
        (batch, 1, columns - start, columns).
    """
    key = torch.arange(real.shape[1], device=real.device)
    query = key[start:, None]
    allowed = (key <= query) & (real[:, None, None, :] | (key == query))
    return torch.where(allowed, 0.0, -torch.inf).to(dtype)
