"""A small model learns in every number format, and a run that is killed goes on to the weights of one that is not."""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
import time
from pathlib import Path
from typing import Any

import torch

from minillm.data.batches import PackedDocuments, tokenize
from minillm.data.world import TRAIN_SEED, World
from minillm.model.gpt import GPT, GPTConfig
from minillm.text.tokenizer import Tokenizer
from minillm.train.config import FitConfig
from minillm.train.loop import FitResult, fit
from minillm.train.runtime import PRECISIONS, Runtime, choose_runtime, has_fast_bf16
from trial.device import runtime
from trial.session import Trial

__all__ = ["learn", "resume"]

_CHECKPOINT_EVERY, _KILLED_AT = 4, 9  # steps
_LOSS_TOLERANCE = 1e-3  # nats, of a run that went on beside one that was not killed


class _Source:
    """Rows of the micro-world as bytes.

    Args:
        killed_at: the step whose batch is the death of the process; None: it lives.
    """

    def __init__(self, killed_at: int | None = None) -> None:
        tokenizer = Tokenizer([])
        texts = [document.text for document in World().documents(300, TRAIN_SEED)]
        self.vocab_size, self.killed_at = tokenizer.vocab_size, killed_at
        documents = list(tokenize(tokenizer, texts))
        self.packed = PackedDocuments(documents, tokenizer.end_of_text_id, 96, rows=8)

    def batch(self, step: int) -> Any:
        """The batch of a step."""
        if step == self.killed_at:
            while not _checkpoints(self.folder):  # the batch is asked for ahead, in another thread
                time.sleep(0.01)
            os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
        return self.packed.batch(step)

    folder = Path()


def _checkpoints(folder: Path) -> list[Path]:
    return list(folder.rglob("step-*.json"))


def _train(
    run_time: Runtime, steps: int, folder: Path | None = None, killed_at: int | None = None
) -> tuple[GPT, FitResult]:
    """Train the small model."""
    source = _Source(killed_at)
    source.folder = folder or Path()
    shape = GPTConfig(source.vocab_size, 96, n_layer=2, n_head=4, n_kv_head=2, d_model=64, d_ff=160)
    model = GPT(shape)
    config = FitConfig(steps=steps, checkpoint_every=_CHECKPOINT_EVERY)
    return model, fit(model, source, config, directory=folder, runtime=run_time, progress=False)


def learn(trial: Trial) -> None:
    """The loss falls in fp32, bf16 and, with scaling, fp16; steps that the scaler skipped are counted."""
    found: dict[str, Any] = {}
    for precision in PRECISIONS:
        if precision == "bf16" and trial.device == "cuda" and not has_fast_bf16(runtime(trial).device):
            trial.note("bf16 is left out: this device would emulate it")
            continue
        try:
            _, result = _train(runtime(trial, precision), steps=12 if trial.quick else 60)
        except (NotImplementedError, RuntimeError) as error:
            if trial.device == "cuda":
                raise
            trial.note(f"{precision} is not possible on {trial.device}: {str(error).splitlines()[0]}")
            continue
        found[precision] = _described(result)
        trial.record(training=found)
        first, last = found[precision]["first_loss"], found[precision]["last_loss"]
        trial.check(last < 0.9 * first, f"{precision}: the loss falls, from {first} to {last} nats")


def _described(result: FitResult) -> dict[str, Any]:
    lines = [line for line in result.history if "grad_norm" in line]
    skipped = sum(line["grad_norm"] is None for line in lines)  # infinite: the scaler lowers its scale
    return {
        "steps": result.steps,
        "first_loss": round(lines[0]["loss"], 4),
        "last_loss": round(result.train_loss, 4),
        "skipped_steps": skipped,
    }


def resume(trial: Trial) -> None:
    """A run that is killed in its middle and started again, beside two that are not killed."""
    best = runtime(trial)
    steps, folder = 16, trial.scratch / "killed"
    whole, again = (_train(best, steps) for _ in range(2))
    process = multiprocessing.get_context("spawn").Process(
        target=_train_until_killed,
        args=(trial.device, best.precision, steps, str(folder)),
        daemon=True,  # it ends with this process, should it outlive it
    )
    process.start()
    process.join(max(1.0, trial.left()))
    if process.exitcode is None:
        process.kill()
        raise RuntimeError("the run that was to be killed did not come so far")
    resumed = _train(best, steps, folder)
    lines = [[line["loss"] for line in result.history if "loss" in line] for _, result in (whole, resumed)]
    apart = max((abs(one - other) for one, other in zip(*lines, strict=True)), default=math.inf)
    difference = _difference(whole[0], resumed[0])
    trial.record(
        resume={
            "precision": best.precision,
            "steps": steps,
            "killed_with": process.exitcode,
            "resumed_from": resumed[1].resumed_from,
            "bit_for_bit": difference == 0.0,
            "largest_difference": difference,
            "largest_difference_of_two_whole_runs": _difference(whole[0], again[0]),
            "largest_difference_of_losses": apart,
        }
    )
    trial.check(0 < resumed[1].resumed_from < steps, "the killed run goes on from a checkpoint")
    trial.check(apart < _LOSS_TOLERANCE, f"it has the losses of a whole one, apart {apart:.1e} nats")


def _train_until_killed(device: str, precision: str, steps: int, folder: str) -> None:
    """What the process does that is killed."""
    _train(choose_runtime(device, precision, compile=False), steps, Path(folder), killed_at=_KILLED_AT)


def _difference(one: torch.nn.Module, other: torch.nn.Module) -> float:
    """The largest difference of any weight."""
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return max(float((a.detach() - b.detach()).abs().max()) for a, b in pairs)
