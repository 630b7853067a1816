"""One optimizer step: gradients of a whole batch, in pieces and over processes, and the update."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from minillm.model.gpt import GPT, next_token_loss
from minillm.model.loss import IGNORE_INDEX
from minillm.train.config import FitConfig
from minillm.train.runtime import Runtime, map_tensors, sum_over_processes, synchronise_gradients, to_device

__all__ = ["Loss", "TrainStep", "language_model_loss", "share_rows", "split_rows"]

Loss = Callable[[Any, Any], tuple[Tensor, Tensor | int]]
"""From (model, batch) to (sum of nats over the targets, number of targets)."""


def language_model_loss(model: GPT, batch: Any) -> tuple[Tensor, Tensor]:
    """Next-token loss of a batch: sum of nats over its targets, and their number.

    Args:
        model: a `GPT`.
        batch: has ids, targets and document_ids, each (batch, time).
    """
    nats = next_token_loss(model, batch.ids, batch.targets, batch.document_ids, reduction="sum")
    return nats, (batch.targets != IGNORE_INDEX).sum()


class TrainStep:
    """Turns a batch into one update of the weights.

    The gradient is that of (sum of nats) / (number of targets) over the whole batch: however the batch is cut
    into pieces or shared among processes, the update is the same up to rounding.

    Args:
        model: what is trained.
        loss: gives the sum of nats and the number of targets.
        optimizers: hold the trainable parameters.
        config: gives `micro_batch_rows` and `max_grad_norm`.
        runtime: device, precision and processes.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Loss,
        optimizers: list[torch.optim.Optimizer],
        config: FitConfig,
        runtime: Runtime,
    ) -> None:
        self.model, self.loss, self.optimizers, self.runtime = model, loss, optimizers, runtime
        self.micro_batch_rows, self.max_grad_norm = config.micro_batch_rows, config.max_grad_norm
        self.parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.scaler = torch.amp.GradScaler(runtime.device.type, enabled=runtime.precision == "fp16")

    def __call__(self, batch: Any) -> dict[str, float]:
        """Do one step.

        Args:
            batch: the batch of all processes together; each takes its rows of it.

        Returns:
            "loss" (nats per target), "tokens" (targets of the batch), "grad_norm" (before it is cut).
            Where loss or norm are not finite the weights have not been changed.
        """
        nats, count = self._accumulate(batch)
        synchronise_gradients(self.model, self.runtime.world_size)
        for optimizer in self.optimizers:
            self.scaler.unscale_(optimizer)
        norm = self._clip()
        loss = float(nats / count.clamp(min=1))
        if math.isfinite(loss) and math.isfinite(norm):
            for optimizer in self.optimizers:
                optimizer.step()
        self.scaler.update()
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        return {"loss": loss, "tokens": int(count), "grad_norm": norm}

    def pieces(self, batch: Any) -> list[Any]:
        """This process's rows of a batch, on its device, in pieces of at most `micro_batch_rows` rows.

        None where there are fewer rows than processes, as in the last batch of an epoch of comparisons.
        """
        share = share_rows(batch, self.runtime.rank, self.runtime.world_size)
        rows = _n_rows(share)
        if not rows:
            return []
        share = to_device(share, self.runtime.device)
        return (
            [share]
            if self.micro_batch_rows is None
            else split_rows(share, math.ceil(rows / self.micro_batch_rows))
        )

    def _accumulate(self, batch: Any) -> tuple[Tensor, Tensor]:
        """Leave the gradient of this process's share in `.grad`; nats and targets of all processes."""
        divisor = None  # the number of targets of the first piece; keeps the scale of the gradients moderate
        sums = []
        pieces = self.pieces(batch)
        if not pieces:
            return self._nothing()
        for piece in pieces:
            with self.runtime.autocast():
                nats, count = self.loss(self.model, piece)
            count = torch.as_tensor(count, device=nats.device)
            divisor = count.clamp(min=1) if divisor is None else divisor
            self.scaler.scale(nats / divisor).backward()  # type: ignore[no-untyped-call]
            sums.append(torch.stack([nats.detach().float(), count.float()]))
        totals = sum_over_processes(torch.stack(sums).sum(0), self.runtime.world_size)
        if divisor is not None and (len(sums) > 1 or self.runtime.world_size > 1):
            gradients = [parameter.grad for parameter in self.parameters if parameter.grad is not None]
            torch._foreach_mul_(gradients, divisor / totals[1].clamp(min=1))
        return totals[0], totals[1]

    def _nothing(self) -> tuple[Tensor, Tensor]:
        """The same where this process has no rows: gradients of 0, which the others' are added to."""
        nothing = torch.zeros(2, device=self.runtime.device)
        self.scaler.scale(nothing)  # which makes it ready for a first step
        for parameter in self.parameters:
            parameter.grad = torch.zeros_like(parameter)
        totals = sum_over_processes(nothing, self.runtime.world_size)
        return totals[0], totals[1]

    def _clip(self) -> float:
        """Cut the gradients to `max_grad_norm`; return their norm before."""
        limit = math.inf if self.max_grad_norm is None else self.max_grad_norm
        return float(nn.utils.clip_grad_norm_(self.parameters, limit))


def _n_rows(batch: Any) -> int:
    """Rows of a batch: the length of the first dimension of its tensors."""
    sizes: list[int] = []

    def note(tensor: Tensor) -> Tensor:
        sizes.append(tensor.shape[0])
        return tensor

    map_tensors(note, batch)
    if not sizes:
        kind = type(batch).__name__
        raise ValueError(f"a batch of type {kind} holds no tensor; use a dataclass, tuple or dict of tensors")
    return sizes[0]


def share_rows(batch: Any, rank: int, world_size: int) -> Any:
    """The rows of one process: rank, rank + world_size, ..., perhaps none."""
    if world_size == 1:
        return batch
    return map_tensors(lambda tensor: tensor[rank::world_size], batch)


def split_rows(batch: Any, pieces: int) -> list[Any]:
    """Cut a batch into pieces of neighbouring rows, as equal as can be.

    Args:
        batch: a tensor, or a dataclass, tuple, list or dict of tensors whose first dimension is the row.
        pieces: how many, at most the number of rows.
    """
    if pieces == 1:
        return [batch]
    rows = _n_rows(batch)
    spans = [slice(*edges) for edges in pairwise(rows * i // pieces for i in range(pieces + 1))]
    return [map_tensors(lambda tensor, span=span: tensor[span], batch) for span in spans]
