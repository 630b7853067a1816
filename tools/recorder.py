"""A recording that several programs may add runs to, at once or one after another."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))

from common import machine, versions  # noqa: E402

from minillm.files import read_json, write_atomic  # noqa: E402

__all__ = ["Recorder", "rounded", "write_recording"]

FOLDER = ROOT / "minillm" / "recordings"
DIGITS = 5  # significant, of a recorded number


class Recorder:
    """The runs of a recording, each kept with what decided it, and made again only if that has changed."""

    def __init__(self, name: str, order: Sequence[str]) -> None:
        """`order` names all runs; others are dropped."""
        self.name, self.order = name, order
        self._lock = FileLock(FOLDER / f".{name}.lock")

    def record(self, key: str, decided_by: dict[str, Any], make: Callable[[], dict[str, Any]]) -> None:
        """Make a run that is not there yet, and write it among those that are there by then."""
        decided_by = json.loads(json.dumps(decided_by))
        there = self._runs().get(key, {})
        if all(there.get(name) == value for name, value in decided_by.items()):
            return
        print(key, file=sys.stderr, flush=True)
        made = decided_by | rounded(make())
        with self._lock:
            runs = self._runs() | {key: made}
            write_recording(self.name, {key: runs[key] for key in self.order if key in runs})

    def _runs(self) -> dict[str, Any]:
        path = FOLDER / f"{self.name}.json"
        return dict(read_json(path)["runs"]) if path.is_file() else {}


def write_recording(name: str, runs: dict[str, Any], **head: Any) -> None:
    """Write runs, with a line for each run and each line of its metrics, so that a change can be read."""
    head = {
        "command": "make recordings",
        "machine": machine(),
        "versions": versions("minillm-course", "torch"),
    } | head
    parts = []
    for key, run in runs.items():
        text = json.dumps(run, ensure_ascii=False)
        if isinstance(run, dict) and "metrics" in run:
            rest = {name: value for name, value in run.items() if name != "metrics"}
            rows = ",\n".join(json.dumps(line, ensure_ascii=False) for line in run["metrics"])
            text = f'{json.dumps(rest, ensure_ascii=False)[:-1]}, "metrics": [\n{rows}\n]}}'
        parts.append(f"{json.dumps(key)}: {text}")
    text = json.dumps(head)[:-1] + ', "runs": {\n' + ",\n".join(parts) + "\n}}\n"
    write_atomic(FOLDER / f"{name}.json", text)


def rounded(value: Any) -> Any:
    """The same with fewer digits."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [rounded(item) for item in value]
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value
