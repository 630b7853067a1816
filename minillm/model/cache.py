"""The key/value cache: what a Transformer remembers of the tokens it has read, so that each is computed once.

Rows can be left out on the way, and rows of similar length be read on their own, without copying what stays.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor

from minillm.model.config import GPTConfig

__all__ = ["KVCache"]


class KVCache:
    """Keys and values of the tokens read so far, in storage that is allocated in one piece.

    All rows of the batch fill the same columns. Rows of unequal length are padded on the left: the first
    ``padding[i]`` columns of row i hold no token, no token looks at them, and positions are counted from behind them.

    Args:
        config: the model's shape.
        batch: rows.
        capacity: columns, padding included; ``None`` is ``config.context_length``.
        padding: (batch,) columns at the left of each row that hold no token; ``None`` if no row is padded.
        dtype: the precision in which the model computes.
        device: where the model is.
    """

    def __init__(
        self,
        config: GPTConfig,
        batch: int = 1,
        capacity: int | None = None,
        *,
        padding: Tensor | None = None,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        self.capacity = config.context_length if capacity is None else capacity
        if padding is None and self.capacity > config.context_length:
            raise ValueError(
                f"capacity={self.capacity} is more than the model's context_length={config.context_length}; "
                "use that or less"
            )
        shape = (2, config.n_layer, batch, config.n_kv_head, self.capacity, config.head_width)
        self._storage = torch.zeros(shape, dtype=dtype, device=device)
        self.keys, self.values = (half.unbind(0) for half in self._storage)
        self.padding = None if padding is None else padding.to(device)
        self._longest_padding = 0 if padding is None else int(padding.max())
        self._padding_mask = None if padding is None else self._mask_of_padding(dtype)
        self.length = 0  # columns filled

    @property
    def batch(self) -> int:
        """Rows that are read side by side."""
        return self._storage.shape[2]

    def part(self, start: int, stop: int) -> KVCache:
        """Rows ``start`` to ``stop - 1`` as a cache of their own, to read tokens into the same storage.

        It begins with the first column in which one of the rows has a token.
        """
        part = copy.copy(self)
        part._keep(start, stop)
        return part

    def select(self, rows: Sequence[int]) -> None:
        """Go on with ``rows`` only, at most as many as there are: row i becomes what row ``rows[i]`` was.

        Only rows that change their place are copied. Columns that are padding in all of them are dropped.
        """
        moved = [place for place, row in enumerate(rows) if row != place]
        if moved:
            filled = self._storage[..., : self.length, :]
            device = filled.device
            here = torch.tensor(moved, device=device)
            filled[:, :, here] = filled[:, :, torch.tensor([rows[place] for place in moved], device=device)]
            if self.padding is not None:
                kept = torch.tensor(rows, device=device)
                self.padding, self._padding_mask = self.padding[kept], self._padding_mask[kept]
        self._keep(0, len(rows))

    def grow(self, capacity: int) -> None:
        """Move to storage of ``capacity`` columns, at least as many as are filled."""
        old = self._storage
        self._storage = old.new_zeros((*old.shape[:4], capacity, old.shape[5]))
        self._storage[..., : self.length, :] = old[..., : self.length, :]
        self.keys, self.values = (half.unbind(0) for half in self._storage)
        self.capacity = capacity
        if self.padding is not None:
            self._padding_mask = self._mask_of_padding(old.dtype)

    def _keep(self, start: int, stop: int) -> None:
        """Leave out all other rows, and the columns in which none of these has a token, without copying."""
        first = 0
        if self.padding is not None:
            padding = self.padding[start:stop]
            first, longest = map(int, padding.aminmax())
            self._longest_padding = longest - first
            padded = longest > first
            self.padding = padding - first if padded else None
            self._padding_mask = self._padding_mask[start:stop, ..., first:] if padded else None
        self._storage = self._storage[:, :, start:stop, :, first:]
        self.keys, self.values = (half.unbind(0) for half in self._storage)
        self.capacity -= first
        self.length = max(self.length - first, 0)

    def check(self, ids: Tensor) -> None:
        """Raise ValueError if the tokens ``ids``, (batch, time), cannot follow."""
        if ids.shape[0] != self.batch:
            raise ValueError(
                f"{ids.shape[0]} rows of ids do not fit a cache of {self.batch} rows; make another cache"
            )
        if self.length + ids.shape[1] > self.capacity:
            raise ValueError(
                f"{self.length} + {ids.shape[1]} tokens do not fit a cache of capacity={self.capacity}; "
                "use fewer or make a larger cache"
            )

    def update(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Store the next columns of one layer, (batch, n_kv_head, time, width); return all columns up to them."""
        time = keys.shape[2]
        all_keys, all_values = self.keys[layer], self.values[layer]
        all_keys.narrow(2, self.length, time).copy_(keys)
        all_values.narrow(2, self.length, time).copy_(values)
        return all_keys.narrow(2, 0, self.length + time), all_values.narrow(2, 0, self.length + time)

    def positions(self, time: int) -> Tensor:
        """Position in its own text of each of the next ``time`` columns, (batch, time); padding has position 0."""
        columns = torch.arange(self.length, self.length + time, device=self.padding.device)
        return (columns - self.padding[:, None]).clamp(min=0)

    def mask(self, time: int, dtype: torch.dtype) -> Tensor | None:
        """What the next ``time`` columns may look at, in the form that ``attend`` takes.

        A column of padding may look at itself, or its softmax would have nothing to spread over.
        """
        if self.padding is None and (time == 1 or self.length == 0):
            return None
        if time == 1 and self.length >= self._longest_padding:
            return self._padding_mask[..., : self.length + 1].to(dtype)
        query = torch.arange(self.length, self.length + time, device=self.keys[0].device)[:, None]
        key = torch.arange(self.length + time, device=self.keys[0].device)
        allowed = (key <= query)[None, None]
        if self.padding is not None:
            allowed = allowed & ((key >= self.padding[:, None, None, None]) | (key == query))
        return torch.zeros(allowed.shape, dtype=dtype, device=self.keys[0].device).masked_fill_(
            ~allowed, -torch.inf
        )

    def _mask_of_padding(self, dtype: torch.dtype) -> Tensor:
        """0 in the columns of each row that hold tokens, -inf in those that do not: (batch, 1, 1, capacity)."""
        key = torch.arange(self.capacity, device=self.padding.device)
        mask = torch.zeros(self.batch, 1, 1, self.capacity, dtype=dtype, device=self.padding.device)
        return mask.masked_fill_(key < self.padding[:, None, None, None], -torch.inf)
