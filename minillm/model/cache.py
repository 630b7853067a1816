"""The key/value cache: what a Transformer remembers of the tokens it has read, so that each is computed once.

Rows can be left out on the way, and rows of similar length be read on their own, without copying what stays.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor

from minillm import checks
from minillm.model.config import GPTConfig
from minillm.model.masks import causal_mask, padding_mask, reading_mask, real_columns

__all__ = ["KVCache"]


class KVCache:
    """Keys and values of the tokens read so far, in storage that is allocated in one piece.

    All rows of the batch fill the same columns. Rows of unequal length are padded on the left: the first
    `padding[i]` columns of row i hold no token, no token looks at them, and positions are counted from behind them.

    Args:
        config: the model's shape.
        batch: rows.
        capacity: columns, padding included; `None` is `config.context_length`.
        padding: (batch,) columns at the left of each row that hold no token; `None` if no row is padded.
        dtype: the precision in which the model computes.
        device: where the model is.

    Raises:
        TypeError: a number that is not whole, or padding that is no tensor.
        ValueError: a number, padding or a dtype that is not allowed, or more columns than any row of the model's
            context can fill.
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
        checks.instance("config", config, GPTConfig)
        self.capacity = config.context_length if capacity is None else capacity
        _check_request(config, batch, self.capacity, padding, dtype)
        shape = (2, config.n_layer, batch, config.n_kv_head, self.capacity, config.head_width)
        self._storage = torch.empty(shape, dtype=dtype, device=device)
        self.keys, self.values = (half.unbind(0) for half in self._storage)
        self.padding = None if padding is None else padding.to(device)
        self._least_padding, self._longest_padding = (
            (0, 0) if padding is None else map(int, padding.aminmax())
        )
        # Nothing else is read before it is written; what is left out of reading must at least be a number.
        self._storage[..., : self._longest_padding, :] = 0
        self._padding_mask = self._mask_of_padding()
        self.length = 0  # columns filled
        self._reader: int | None = None  # whose keys and values they are

    @property
    def batch(self) -> int:
        """Rows that are read side by side."""
        return self._storage.shape[2]

    def part(self, start: int, stop: int) -> KVCache:
        """Rows `start` to `stop - 1` as a cache of their own, to read tokens into the same storage.

        It begins with the first column in which one of the rows has a token.
        """
        part = copy.copy(self)
        part._keep(start, stop)
        return part

    def select(self, rows: Sequence[int]) -> None:
        """Go on with `rows` only, at most as many as there are: row i becomes what row `rows[i]` was.

        Only rows that change their place are copied. Columns that are padding in all of them are dropped.
        """
        moved = [place for place, row in enumerate(rows) if row != place]
        if moved:
            filled = self._storage[..., : self.length, :]
            device = filled.device
            here = torch.tensor(moved, device=device)
            filled[:, :, here] = filled[:, :, torch.tensor([rows[place] for place in moved], device=device)]
            if self.padding is not None and self._padding_mask is not None:
                kept = torch.tensor(rows, device=device)
                self.padding, self._padding_mask = self.padding[kept], self._padding_mask[kept]
        self._keep(0, len(rows))

    def grow(self, capacity: int) -> None:
        """Move to storage of `capacity` columns, at least as many as are filled."""
        self._move(self._storage[..., : self.length, :], capacity)

    def spread(self, rows: Sequence[int], capacity: int) -> None:
        """Go on with more rows in storage of `capacity` columns: row i becomes what row `rows[i]` was.

        So a text that several rows begin with is read once.
        """
        numbers = torch.tensor(rows, device=self._storage.device)
        if self.padding is not None:
            self.padding = self.padding[numbers]
        self._move(self._storage[..., : self.length, :].index_select(2, numbers), capacity)

    def _move(self, filled: Tensor, capacity: int) -> None:
        """Go on in storage of `capacity` columns, the first of which are those of `filled`."""
        self._storage = filled.new_empty((*filled.shape[:4], capacity, filled.shape[5]))
        self._storage[..., : self.length, :] = filled
        self.keys, self.values = (half.unbind(0) for half in self._storage)
        self.capacity = capacity
        self._padding_mask = self._mask_of_padding()

    def _keep(self, start: int, stop: int) -> None:
        """Leave out all other rows, and the columns in which none of these has a token, without copying."""
        first = 0
        if self.padding is not None and self._padding_mask is not None:
            padding = self.padding[start:stop]
            first, longest = map(int, padding.aminmax())
            self._least_padding, self._longest_padding = 0, longest - first
            padded = longest > first
            self.padding = padding - first if padded else None
            self._padding_mask = self._padding_mask[start:stop, ..., first:] if padded else None
        self._storage = self._storage[:, :, start:stop, :, first:]
        self.keys, self.values = (half.unbind(0) for half in self._storage)
        self.capacity -= first
        self.length = max(self.length - first, 0)

    def check(self, ids: Tensor, config: GPTConfig, dtype: torch.dtype, reader: int) -> None:
        """Refuse what cannot follow.

        Args:
            ids: (batch, time) tokens to be read.
            config: the shape of the model that reads them.
            dtype: the precision in which it computes.
            reader: a number of its own, by which it is known again.

        Raises:
            ValueError: a cache of another shape, precision or device than the model, filled by another one, or without
                room for the ids.
        """
        self._check_model(config, dtype, ids.device)
        if ids.shape[0] != self.batch:
            raise ValueError(
                f"{ids.shape[0]} rows of ids do not fit a cache of {self.batch} rows; make another cache"
            )
        after = self.length + ids.shape[1]
        if after > self.capacity:
            raise ValueError(
                f"{self.length} + {ids.shape[1]} tokens do not fit a cache of capacity={self.capacity}; "
                "use fewer or make a larger cache"
            )
        if after - self._least_padding > config.context_length:
            raise ValueError(
                f"{after - self._least_padding} tokens in a row are more than the model's "
                f"context_length={config.context_length}; use fewer"
            )
        if self.length and self._reader not in (None, reader):
            raise ValueError(
                f"the {self.length} columns in the cache were filled by another model; make a cache for each model"
            )
        self._reader = reader

    def _check_model(self, config: GPTConfig, dtype: torch.dtype, device: torch.device) -> None:
        has = (self._storage.shape[1], self._storage.shape[3], self._storage.shape[5])
        needs = (config.n_layer, config.n_kv_head, config.head_width)
        if has != needs:
            raise ValueError(
                f"the cache is for n_layer, n_kv_head, head_width = {has} and the model has {needs}; "
                "make it with KVCache(model.config)"
            )
        if self._storage.device != device:
            raise ValueError(
                f"the cache is on {self._storage.device} and the model on {device}; "
                f"make it with KVCache(model.config, device={str(device)!r})"
            )
        # Under autocast the products bring their inputs to one precision.
        if self._storage.dtype != dtype and not torch.is_autocast_enabled(device.type):
            raise ValueError(
                f"the cache is of {self._storage.dtype} and the model computes in {dtype}; "
                f"make it with KVCache(model.config, dtype={dtype})"
            )

    def update(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Store the next columns of one layer, (batch, n_kv_head, time, width); return all columns up to them.

        Raises:
            ValueError: they want gradients, which the storage cannot keep.
        """
        if keys.requires_grad:
            raise ValueError("a cache keeps no gradients; read with it inside torch.no_grad()")
        time = keys.shape[2]
        all_keys, all_values = self.keys[layer], self.values[layer]
        all_keys.narrow(2, self.length, time).copy_(keys)
        all_values.narrow(2, self.length, time).copy_(values)
        return all_keys.narrow(2, 0, self.length + time), all_values.narrow(2, 0, self.length + time)

    def positions(self, time: int) -> Tensor:
        """Position in its own text of each of the next `time` columns, (batch or 1, time); padding has position 0."""
        columns = torch.arange(self.length, self.length + time, device=self._storage.device)[None]
        return columns if self.padding is None else (columns - self.padding[:, None]).clamp(min=0)

    def mask(self, time: int, dtype: torch.dtype) -> Tensor | None:
        """What the next `time` columns may look at, in the form that `attend` takes."""
        after = self.length + time
        if self.padding is None:
            if time == 1 or self.length == 0:
                return None
            return causal_mask(time, after, dtype, self._storage.device)[None, None]
        if time == 1 and self.length >= self._longest_padding and self._padding_mask is not None:
            return self._padding_mask[..., :after].to(dtype)
        return reading_mask(real_columns(self.padding, after), self.length, dtype)

    def _mask_of_padding(self) -> Tensor | None:
        """What one column behind the padding may look at, if there is padding: (batch, 1, 1, capacity)."""
        if self.padding is None:
            return None
        return padding_mask(real_columns(self.padding, self.capacity), self._storage.dtype)


def _check_request(
    config: GPTConfig, batch: int, capacity: int, padding: Tensor | None, dtype: torch.dtype
) -> None:
    """Refuse a cache that no model could use."""
    if not isinstance(dtype, torch.dtype):
        raise TypeError(f"dtype is {dtype!r:.80}; use a torch.dtype such as torch.float32")
    for name, number in (("batch", batch), ("capacity", capacity)):
        if not isinstance(number, int) or isinstance(number, bool):
            raise TypeError(f"{name}={number!r} is not a whole number; use an int of 1 or more")
        if number < 1:
            raise ValueError(f"{name}={number} is too small; use 1 or more")
    if not dtype.is_floating_point:
        raise ValueError(f"a cache of {dtype} cannot hold keys and values; use the dtype of the model")
    longest = 0
    if padding is not None:
        if not isinstance(padding, Tensor):
            raise TypeError(
                f"padding is a {type(padding).__name__}, not a tensor; pass torch.tensor(padding)"
            )
        if tuple(padding.shape) != (batch,) or padding.dtype not in (torch.int64, torch.int32):
            raise ValueError(
                f"padding has shape {tuple(padding.shape)} and {padding.dtype}; "
                f"give one whole number for each of the {batch} rows"
            )
        least, longest = map(int, padding.aminmax())
        if least < 0 or longest >= capacity:
            raise ValueError(
                f"padding goes from {least} to {longest}; use 0 to {capacity - 1}, fewer than capacity={capacity}"
            )
    if capacity - longest > config.context_length:
        raise ValueError(
            f"capacity={capacity} is more than the model's context_length={config.context_length}"
            f"{f' and {longest} of padding' if longest else ''}; use that or less"
        )
