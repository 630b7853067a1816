"""The next batch is made while the device computes this one."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import torch

from minillm.train.runtime import map_tensors

__all__ = ["Prefetched"]


class Prefetched:
    """A source of batches that makes the next one in another thread, in memory that a GPU can copy from by itself.

    The batches are the source's own: `batch(step)` is a pure function, so it does not matter who calls it, or when.

    Args:
        source: `batch(step)` gives the batch of a step.
        pin: whether to copy each batch to page-locked memory, from which copies to the GPU overlap with its work (where
            several processes share a batch, each one's rows are copied once more, and only the making is ahead).
    """

    def __init__(self, source: Any, pin: bool) -> None:
        self.source, self.pin = source, pin
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="batches")
        self._waiting: tuple[int, Future[Any]] | None = None

    def batch(self, step: int) -> Any:
        """The batch of a step; that of the step after is begun."""
        if self._waiting is not None and self._waiting[0] == step:
            batch = self._waiting[1].result()
        else:  # the first one, or a jump
            batch = self._make(step)
        self._waiting = (step + 1, self._thread.submit(self._make, step + 1))
        return batch

    def close(self) -> None:
        """Let the thread end."""
        self._waiting = None
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _make(self, step: int) -> Any:
        batch = self.source.batch(step)
        return map_tensors(torch.Tensor.pin_memory, batch) if self.pin else batch
