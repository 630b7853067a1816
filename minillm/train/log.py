"""What a run tells while it lasts: metrics.jsonl, one line a step, and the progress bar."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

from minillm.files import append_text, write_atomic
from minillm.progress import progress_bar

__all__ = ["MetricsLog", "Progress"]


class MetricsLog:
    """Lines of numbers, kept in memory and, where a path is given, written to a JSON-lines file by `flush`.

    Args:
        path: the file, or None for memory only.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.lines: list[dict[str, Any]] = []
        self._written = 0

    def rewind(self, step: int) -> None:
        """Start from the file's lines up to `step`; later ones, of a run that was cut off, are deleted."""
        if self.path is None:
            return
        self.lines = []
        if self.path.exists():
            for text in self.path.read_text(encoding="utf-8", errors="replace").splitlines():
                line = _parse(text)
                if line is None or line["step"] > step:
                    break
                self.lines.append(line)
            write_atomic(self.path, _text(self.lines))
        self._written = len(self.lines)

    def add(self, line: dict[str, Any]) -> None:
        """Add a line; numbers that JSON cannot write (NaN, infinity) become null."""
        self.lines.append({key: _finite(value) for key, value in line.items()})

    def recent_loss(self) -> float:
        """Mean training loss over the last twentieth of the steps, nats per target; NaN before the first."""
        losses = [line["loss"] for line in self.lines if line.get("loss") is not None]
        recent = losses[-max(1, len(losses) // 20) :]
        return sum(recent) / len(recent) if recent else math.nan

    def flush(self) -> None:
        """Write the lines that are not in the file yet."""
        if self.path is not None and self._written < len(self.lines):
            append_text(self.path, _text(self.lines[self._written :]))
            self._written = len(self.lines)


class Progress:
    """A bar with tokens/s, loss and time left.

    Args:
        steps: optimizer steps in all.
        done: steps done before this process started.
        shown: False for silence.
    """

    def __init__(self, steps: int, done: int, shown: bool) -> None:
        shown = shown and done < steps
        self._bar = progress_bar(shown, total=steps, initial=done, unit="step", dynamic_ncols=True)
        self._started = time.perf_counter()
        self._tokens = 0
        self._loss: float | None = None

    def step(self, loss: float, tokens: int) -> None:
        """Move on by one step of `tokens` targets."""
        self._tokens += tokens
        self._loss = loss if self._loss is None else 0.9 * self._loss + 0.1 * loss  # smoothed for the eye
        speed = self._tokens / (time.perf_counter() - self._started)
        self._bar.set_postfix_str(f"loss {self._loss:.3f}, {speed:,.0f} tokens/s", refresh=False)
        self._bar.update()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()


def _parse(text: str) -> dict[str, Any] | None:
    """One line of the file; None for one that is damaged."""
    try:
        line = json.loads(text)
    except json.JSONDecodeError:
        return None
    return line if isinstance(line, dict) and isinstance(line.get("step"), int) else None


def _text(lines: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(line, allow_nan=False) + "\n" for line in lines)


def _finite(value: Any) -> Any:
    """The value, or None for a float that is NaN or infinite."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
