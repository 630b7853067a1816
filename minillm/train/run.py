"""The state of one training run, and the steps that `fit` is made of."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from minillm.files import discard
from minillm.keys import deciding
from minillm.model.lora import merged_state_dict
from minillm.model.snapshots import delete_snapshots, write_snapshot
from minillm.train.checkpoint import (
    Checkpoints,
    load_model_tensors,
    load_optimizer_tensors,
    model_tensors,
    optimizer_tensors,
    what_is_kept,
)
from minillm.train.compiling import compiled_loss
from minillm.train.config import FitConfig
from minillm.train.early_stopping import EarlyStopping
from minillm.train.log import MetricsLog
from minillm.train.optim import build_optimizers, learning_rate_factor, set_learning_rates
from minillm.train.runtime import Runtime, sum_over_processes
from minillm.train.step import Loss, TrainStep

__all__ = [
    "BatchSource",
    "TrainingDivergedError",
    "TrainingRun",
    "Validate",
    "leftovers",
    "remove_leftovers",
]

CHECKPOINT_FOLDER = "checkpoints"
METRICS_FILE = "metrics.jsonl"


class BatchSource(Protocol):
    """Where batches come from."""

    def batch(self, step: int) -> Any:
        """The batch of one step, 0 for the first: a pure function, so the step tells all."""


Validate = Callable[[nn.Module], float | dict[str, float]]
"""From the model to its validation loss (nats per token), or to several numbers, "val_loss" among them."""


class TrainingDivergedError(RuntimeError):
    """The loss or the gradient stopped being a finite number."""


class TrainingRun:
    """One call of `fit`, whose arguments these are."""

    def __init__(
        self,
        model: nn.Module,
        batches: BatchSource,
        config: FitConfig,
        loss: Loss,
        validate: Validate | None,
        directory: str | Path | None,
        runtime: Runtime,
    ) -> None:
        if validate is None and config.validate_every is not None:
            every = config.validate_every
            raise ValueError(
                f"validate_every is {every}, but there is no validate function; give one or use None"
            )
        self.model, self.batches, self.config = model, batches, config
        self.validate, self.runtime = validate, runtime
        self.optimizers = build_optimizers(model, config, runtime.precision)
        self.update = TrainStep(model, loss, self.optimizers, config, runtime)
        self.early_stopping = EarlyStopping(config.patience)
        self.folder = Path(directory) if directory is not None and runtime.is_main else None
        self.checkpoints = None if directory is None else Checkpoints(Path(directory) / CHECKPOINT_FOLDER)
        metrics = None if self.folder is None else self.folder / METRICS_FILE
        self.log = MetricsLog(metrics)
        self.step, self.tokens, self.resumed_from, self.saved_step = 0, 0, 0, 0
        self._started = time.perf_counter()  # moved back on resume by the time that was spent before

    @property
    def seconds(self) -> float:
        """Time spent so far."""
        return time.perf_counter() - self._started

    @property
    def finished(self) -> bool:
        """Whether all steps are done or patience has run out."""
        return self.step >= self.config.steps or self.early_stopping.exhausted

    def start_compiler(self) -> None:
        """Compile the loss where that pays; the clock stands still meanwhile."""
        if self.finished:
            return
        before = time.perf_counter()
        self.update.loss = compiled_loss(self.update, self.batches.batch(self.step), self.config.steps)
        self._started += time.perf_counter() - before

    def train_step(self) -> dict[str, float]:
        """One update, checked and logged."""
        self.model.train()
        learning_rate = set_learning_rates(self.optimizers, learning_rate_factor(self.step, self.config))
        numbers = self.update(self.batches.batch(self.step))
        self._check(numbers)
        self.step += 1
        self.tokens += int(numbers["tokens"])
        line = {
            "step": self.step,
            "loss": numbers["loss"],
            "lr": learning_rate,
            "grad_norm": numbers["grad_norm"],
        }
        self.log.add(line | {"tokens": self.tokens, "seconds": round(self.seconds, 3)})
        return numbers

    def _check(self, numbers: dict[str, float]) -> None:
        """Stop where there was nothing to learn, or a number is NaN or infinite.

        A gradient that overflows fp16 is no reason while the loss scaling can still answer it.
        """
        step = self.step + 1
        if not numbers["tokens"]:
            raise ValueError(f"the batch of step {step} has no target; check the data and its loss mask")
        scaler = self.update.scaler
        overflow_answered = scaler.is_enabled() and scaler.get_scale() >= 1
        if not math.isfinite(numbers["loss"]):
            what = f"the loss is {numbers['loss']}"
        elif not math.isfinite(numbers["grad_norm"]) and not overflow_answered:
            what = f"the norm of the gradient is {numbers['grad_norm']}"
        else:
            return
        self.log.flush()
        kept = (
            f"the checkpoint of step {self.saved_step} is kept"
            if self.saved_step
            else "nothing was saved yet"
        )
        remedy = "lower learning rates, a longer warm-up, a smaller max_grad_norm, or precision fp32"
        raise TrainingDivergedError(f"{what} at step {step}; {kept}; try {remedy}")

    def validate_if_due(self) -> None:
        """Validate at every `validate_every`-th step and after the last."""
        every = self.config.validate_every
        due = self.step == self.config.steps or (every is not None and self.step % every == 0)
        if self.validate is None or not due:
            return
        numbers = self._validation_numbers(self.validate)
        self.log.add({"step": self.step} | numbers)
        self.early_stopping.update(self.step, numbers["val_loss"], self.model)

    def _validation_numbers(self, validate: Validate) -> dict[str, float]:
        """Call `validate`; all processes take the first one's loss, so that they stop together."""
        self.model.eval()
        with torch.no_grad(), self.runtime.autocast():
            result = validate(self.model)
        numbers = dict(result) if isinstance(result, dict) else {"val_loss": float(result)}
        if "val_loss" not in numbers:
            raise ValueError(
                f"validate returned {sorted(numbers)}; it must give a number or 'val_loss' in a dict"
            )
        if self.runtime.world_size > 1:
            own = torch.tensor([numbers["val_loss"]], device=self.runtime.device)
            own = own if self.runtime.is_main else torch.zeros_like(own)
            numbers["val_loss"] = float(sum_over_processes(own, self.runtime.world_size))
        return numbers

    def save_if_due(self, now: bool = False) -> None:
        """Write a checkpoint every `checkpoint_every` steps, at the end, and `now` if asked."""
        due = now or self.finished or self.step % self.config.checkpoint_every == 0
        if self.checkpoints is None or not due or not self.runtime.is_main:
            return
        self.log.flush()  # first: the lines up to a checkpoint must be there when it is
        self.checkpoints.save(self.step, self._tensors(), self._numbers())
        self.saved_step = self.step

    def snapshot_if_due(self) -> None:
        """Keep the weights of a step that is to be kept; called before a checkpoint is made, so that none is missed."""
        if self.folder is not None and self.step in self.config.snapshot_steps:
            write_snapshot(self.folder, self.step, merged_state_dict(self.model))

    def _tensors(self) -> dict[str, Tensor]:
        """Every tensor that decides how the run goes on."""
        random = {"random.cpu": torch.get_rng_state()}
        if self.runtime.device.type == "cuda":
            random["random.cuda"] = torch.cuda.get_rng_state(self.runtime.device)
        best = self.early_stopping.weights
        return model_tensors(self.model) | best | optimizer_tensors(self.optimizers) | random

    def _numbers(self) -> dict[str, Any]:
        """Everything else that decides it."""
        return {
            "settings": deciding(self.config),
            "tokens": self.tokens,
            "seconds": self.seconds,
            "early_stopping": self.early_stopping.state(),
            "scaler": self.update.scaler.state_dict(),
        }

    def resume(self) -> None:
        """Go back to the newest good checkpoint, if there is one, and cut the log to it."""
        found = None if self.checkpoints is None else self.checkpoints.load()
        if found is not None:
            self.step, tensors, numbers = found
            self._check_settings(numbers["settings"])
            self._restore(tensors, numbers)
            self.resumed_from = self.saved_step = self.step
        elif self.folder is not None:
            delete_snapshots(self.folder)
        self.log.rewind(self.step)

    def _check_settings(self, saved: dict[str, Any]) -> None:
        """Refuse to go on under other settings: the result would be that of neither."""
        for name, value in deciding(self.config).items():
            if saved.get(name) != value:
                folder = None if self.checkpoints is None else self.checkpoints.folder
                raise ValueError(
                    f"{folder} holds a run with {name}={saved.get(name)!r}, now it is "
                    f"{value!r}: use the same settings or another directory, or delete that folder"
                )

    def _restore(self, tensors: dict[str, Tensor], numbers: dict[str, Any]) -> None:
        load_model_tensors(self.model, tensors)
        load_optimizer_tensors(self.optimizers, tensors)
        if self.update.scaler.is_enabled() and numbers["scaler"]:
            self.update.scaler.load_state_dict(numbers["scaler"])
        self.early_stopping.load(numbers["early_stopping"], tensors)
        self.tokens = numbers["tokens"]
        self._started -= numbers["seconds"]
        if self.runtime.is_main:  # only its random numbers are saved
            torch.set_rng_state(tensors["random.cpu"])
            if "random.cuda" in tensors and self.runtime.device.type == "cuda":
                torch.cuda.set_rng_state(tensors["random.cuda"], self.runtime.device)

    def use_best_weights(self) -> None:
        """Put the best weights in place where early stopping was asked for."""
        self.early_stopping.restore_best(self.model)
        self.model.eval()

    def what_is_kept(self) -> str:
        """The line for a user who does not let the step end."""
        return what_is_kept(None if self.checkpoints is None else self.checkpoints.folder)

    def how_to_go_on(self) -> str:
        """The line for a user who pressed Ctrl-C."""
        done = f"stopped after step {self.step} of {self.config.steps}"
        if self.checkpoints is None:
            return f"{done}; nothing was saved, because no directory was given"
        return f"{done}; saved in {self.checkpoints.folder}: run the same command again to go on from there"


def leftovers(folder: Path) -> list[Path]:
    """Checkpoints and unfinished files below a folder, which a finished training does not need."""
    return [*folder.rglob(f"{CHECKPOINT_FOLDER}/step-*"), *folder.rglob(".*.tmp")]


def remove_leftovers(folder: Path) -> None:
    """Delete them, as far as that is possible."""
    for unfinished in list(folder.rglob(".*.tmp")):
        discard(unfinished)
    for checkpoints in list(folder.rglob(CHECKPOINT_FOLDER)):
        Checkpoints(checkpoints).delete()
