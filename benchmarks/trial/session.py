"""The inside of a part's process: its time, and what it has found so far, on disk at every moment."""

from __future__ import annotations

import _thread
import faulthandler
import importlib
import logging
import math
import signal
import sys
import threading
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common import Row

from minillm.files import write_json

__all__ = ["Skipped", "Trial", "run_in_this_process"]

_LAST_SECONDS = 10.0  # of a part, in which it saves and ends, having been asked to; of a short one a fifth


class Skipped(Exception):
    """A part, or something in it, that is not possible here; the message says why."""


@dataclass
class Trial:
    """What a part is told, and what it tells. Every `record` writes all of it to the part's file."""

    name: str  # of the part
    module: str  # whose `run` does it
    result: Path  # the file
    device: str  # "cuda", "cpu" or "mps"
    quick: bool  # small shapes and few steps, to see that all runs
    seconds: float  # that it may take
    scratch: Path  # an empty folder of its own
    text: Path | None = None  # local text to train on, where the user has named one
    earlier: dict[str, Any] = field(default_factory=dict)  # figures of the parts before, by name
    status: str = "running"
    reason: str = ""
    figures: dict[str, Any] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    failed_checks: list[str] = field(default_factory=list)
    started: float = field(default_factory=time.perf_counter)

    def left(self) -> float:
        """Seconds until the part is asked to stop."""
        last = max(0.08 * self.seconds, min(_LAST_SECONDS, 0.2 * self.seconds))
        return self.seconds - last - (time.perf_counter() - self.started)

    def record(self, **figures: Any) -> None:
        """Add figures."""
        self.figures.update(figures)
        self.write()

    def add_row(self, row: Row) -> None:
        """Add a comparison."""
        self.rows.append(row)
        self.write()

    def note(self, text: str) -> None:
        """Add a line for people: what was left out, and why."""
        self.notes.append(text)
        print(f"{self.name}: {text}", file=sys.stderr, flush=True)
        self.write()

    def check(self, met: bool, text: str) -> None:
        """What must hold; where it does not, the part goes on and fails at its end."""
        if not met:
            self.failed_checks.append(text)
            self.note(f"does not hold: {text}")

    def write(self) -> None:
        """Write all down."""
        content = {
            "status": self.status,
            "reason": self.reason,
            "seconds": round(time.perf_counter() - self.started, 1),
            "limit": round(self.seconds, 1),
            "figures": self.figures,
            "rows": self.rows,
            "notes": self.notes,
        }
        write_json(self.result, _writable(content))


def _writable(value: Any) -> Any:
    """The same with numbers that JSON lacks (NaN, infinity) as text."""
    if isinstance(value, dict):
        return {key: _writable(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_writable(inner) for inner in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


class _Warnings(logging.Handler):
    """Keeps what the package warns of, such as a compiler that failed."""

    def __init__(self, trial: Trial) -> None:
        super().__init__(logging.WARNING)
        self.trial = trial

    def emit(self, record: logging.LogRecord) -> None:
        self.trial.note(record.getMessage())


def _interrupt() -> None:
    """Ctrl-C for the main thread, also where it sleeps or waits; training then stops after its step."""
    if hasattr(signal, "pthread_kill") and (number := threading.main_thread().ident) is not None:
        signal.pthread_kill(number, signal.SIGINT)
    else:
        _thread.interrupt_main()


def run_in_this_process(trial: Trial) -> None:
    """Run a part to its end, to its failure or to the end of its time, and write down which it was."""
    faulthandler.dump_traceback_later(trial.seconds, exit=True)  # a hang shows where
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    stop = threading.Timer(trial.left(), _interrupt)
    stop.daemon = True
    stop.start()
    logging.getLogger("minillm").addHandler(_Warnings(trial))
    trial.write()
    try:
        importlib.import_module(trial.module).run(trial)
        trial.status = "failed" if trial.failed_checks else "done"
        trial.reason = "; ".join(trial.failed_checks)
    except Skipped as reason:
        trial.status, trial.reason = "skipped", str(reason)
    except KeyboardInterrupt:
        trial.status, trial.reason = "cut", f"its {trial.seconds:.0f} s were over"
    except BaseException as error:
        traceback.print_exc()
        trial.status, trial.reason = "failed", f"{type(error).__name__}: {error}".splitlines()[0][:300]
    finally:
        stop.cancel()
        faulthandler.cancel_dump_traceback_later()
        trial.write()
