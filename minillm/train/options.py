"""Where and how a training runs: what every stage is told beside its settings and its data."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from minillm.train.runtime import Runtime, choose_runtime

__all__ = ["RunOptions"]


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Where and how a training runs.

    Attributes:
        folder: gets metrics.jsonl and checkpoints, from which a run that was stopped goes on; None: nothing is written.
        seed: decides first weights, order and draws.
        runtime: device, precision, threads and processes; by default chosen by the machine.
        progress: whether to show a progress bar, on standard error.
    """

    folder: Path | None = None
    seed: int = 0
    runtime: Runtime = field(default_factory=choose_runtime)
    progress: bool = True
