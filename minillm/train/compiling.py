"""torch.compile where it pays: tried out before the first step, and plain torch where it fails."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from minillm.train.runtime import Runtime, has_cpp_compiler, map_tensors
from minillm.train.step import Loss, TrainStep

__all__ = ["compiled_loss", "sums_in_order"]

_log = logging.getLogger("minillm")

# Compiling takes 15-50 s and saves a quarter to two fifths of each step. This much work, in parameters x
# tokens, takes plain torch some minutes: counted, not timed, so that the choice is the same in every run.
COMPILE_PAYS = {"cpu": 2e12, "cuda": 1e15}


def compiled_loss(update: TrainStep, batch: Any, steps: int) -> Loss:
    """The step's loss, compiled where the runtime asks for it and it works; otherwise as it is.

    Args:
        update: the step whose loss, model and runtime are meant.
        batch: the first batch; the compiled code is tried out on it, gradients included.
        steps: how many steps the whole run has.
    """
    if not _wanted(update, batch, steps):
        return update.loss
    pieces = update.pieces(batch)
    if not pieces:  # this process has no rows of the first batch
        return update.loss
    torch.compiler.reset()  # forget earlier runs' models: torch compiles only so many variants of a function
    compiled = torch.compile(update.loss, dynamic=False)
    try:
        _try(compiled, update, pieces[0])
    except Exception as error:  # whatever the compiler stumbled over, plain torch does the same work
        reason = (str(error) or type(error).__name__).strip().splitlines()[0][:200]
        _log.warning("torch.compile failed (%s): going on without it, only slower", reason)
        return update.loss
    return compiled


@contextmanager
def sums_in_order(runtime: Runtime) -> Iterator[None]:
    """While it lasts, compiled code on a CPU adds in the same order in every run, as plain torch does.

    Otherwise threads add the gradients of a token's vector, of the embedding, whenever they come to them.
    """
    on = torch.are_deterministic_algorithms_enabled()
    if on or not runtime.compile or runtime.device.type != "cpu":
        yield
        return
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(on, warn_only=warn_only)


def _wanted(update: TrainStep, batch: Any, steps: int) -> bool:
    """True or False as the runtime says; "auto": with a compiler, and for a long run."""
    runtime = update.runtime
    if runtime.compile != "auto":
        return bool(runtime.compile)
    if runtime.device.type not in COMPILE_PAYS or not has_cpp_compiler():
        return False
    tokens: list[int] = []

    def note(tensor: Tensor) -> Tensor:
        tokens.append(tensor.numel())
        return tensor

    map_tensors(note, batch)
    parameters = sum(parameter.numel() for parameter in update.model.parameters())
    return parameters * tokens[0] * steps >= COMPILE_PAYS[runtime.device.type]


def _try(loss: Loss, update: TrainStep, piece: Any) -> None:
    """Run forward and backward once and leave no trace: not in the gradients, not in the random numbers."""
    cuda = [update.runtime.device] if update.runtime.device.type == "cuda" else []
    update.model.train()
    try:
        with torch.random.fork_rng(devices=cuda):
            with update.runtime.autocast():
                nats, _ = loss(update.model, piece)
            nats.backward()  # type: ignore[no-untyped-call]
    finally:  # a backward pass that fails half way has left some
        update.model.zero_grad(set_to_none=True)
