"""`fit`: the one training loop, for every stage that learns from batches of examples."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from minillm.train.compiling import sums_in_order
from minillm.train.config import FitConfig
from minillm.train.interrupt import TrainingInterrupted, stop_signal
from minillm.train.log import Progress
from minillm.train.prefetch import Prefetched
from minillm.train.run import BatchSource, TrainingDivergedError, TrainingRun, Validate
from minillm.train.runtime import Runtime, broadcast_weights, choose_runtime, isolated_randomness
from minillm.train.step import Loss, language_model_loss

__all__ = ["BatchSource", "FitConfig", "FitResult", "TrainingDivergedError", "TrainingInterrupted", "fit"]


@dataclass(frozen=True)
class FitResult:
    """What a run of `fit` came to; the weights are in the model."""

    steps: int  # optimizer steps done, those before a resume included
    tokens: int  # targets seen
    seconds: float  # spent training and validating, before a resume included, compiling not
    train_loss: float  # mean over the last twentieth of the steps, nats per target
    val_loss: float | None  # of the weights that the model now has, nats per token; None without validation
    best_step: int | None  # step of the lowest validation loss
    stopped_early: bool  # patience ran out before the last step
    resumed_from: int  # step of the checkpoint that this call started from, 0 for none
    history: tuple[dict[str, Any], ...]  # the lines of metrics.jsonl


def fit(
    model: nn.Module,
    batches: BatchSource,
    config: FitConfig,
    *,
    loss: Loss = language_model_loss,
    validate: Validate | None = None,
    directory: str | Path | None = None,
    runtime: Runtime | None = None,
    progress: bool = True,
) -> FitResult:
    """Train a model in place.

    The loss of a step is (sum of nats) / (number of targets) over the whole batch, however it is cut into
    micro batches or shared among processes.

    Args:
        model: its parameters with `requires_grad` are trained; it is moved to the run's device and ends in
            evaluation mode.
        batches: `batch(step)` gives the batch of a step.
        config: the settings.
        loss: from (model, batch) to (sum of nats over the targets, number of targets).
        validate: called every `config.validate_every` steps and after the last, without gradients.
        directory: where metrics.jsonl, checkpoints and snapshots go; a run that was cut off there goes on from its last
            checkpoint. None: nothing is written.
        runtime: device, precision, threads and processes; None chooses by the machine.
        progress: whether to show a progress bar.

    Returns:
        the key numbers and the history of the run.

    Raises:
        TrainingDivergedError: loss or gradient became NaN or infinite; the last good checkpoint is kept.
        TrainingInterrupted: Ctrl-C, SIGTERM or SIGHUP; the state has been saved.
        ValueError: `validate` is missing though `validate_every` is set, a batch has no targets, or the
            directory holds a run of other settings or of another model.
        OSError: the disk is full; the last good checkpoint is kept.
    """
    runtime = runtime or choose_runtime()
    model.to(runtime.device)
    broadcast_weights(model, runtime.world_size)
    with (
        isolated_randomness(config.seed + runtime.rank, runtime.device),
        sums_in_order(runtime),
        _ahead(batches, runtime) as source,
    ):
        run = TrainingRun(model, source, config, loss, validate, directory, runtime)
        run.resume()
        run.start_compiler()
        _train(run, progress and runtime.is_main)
        run.use_best_weights()
    return FitResult(
        steps=run.step,
        tokens=run.tokens,
        seconds=run.seconds,
        train_loss=run.log.recent_loss(),
        val_loss=run.early_stopping.loss,
        best_step=run.early_stopping.best_step,
        stopped_early=run.step < config.steps,
        resumed_from=run.resumed_from,
        history=tuple(run.log.lines),
    )


def _overlaps(runtime: Runtime) -> bool:
    """Whether batches can be made while the device computes: on a CPU both would use the same cores."""
    return runtime.device.type == "cuda"


@contextmanager
def _ahead(batches: BatchSource, runtime: Runtime) -> Iterator[BatchSource]:
    """The same batches, made ahead where that helps."""
    if not _overlaps(runtime):
        yield batches
        return
    prefetched = Prefetched(batches, pin=True)
    try:
        yield prefetched
    finally:
        prefetched.close()


def _train(run: TrainingRun, progress: bool) -> None:
    """Step by step to the end, or to Ctrl-C."""
    with (
        Progress(run.config.steps, run.step, progress) as bar,
        stop_signal(run.runtime.world_size == 1, run.what_is_kept) as stop,
    ):
        run.snapshot_if_due()
        while not run.finished:
            numbers = run.train_step()
            bar.step(numbers["loss"], int(numbers["tokens"]))
            run.snapshot_if_due()
            run.validate_if_due()
            stopping = stop.is_set()
            run.save_if_due(now=stopping)
            if stopping:
                raise stop.interruption(run.how_to_go_on())
