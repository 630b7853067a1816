"""What all benchmarks share: fair timing, the form of a row, and the file of results.

A row compares one figure of ours with the same figure of another program, taken in the same run on the same
machine. ``ratio`` says how many times better ours is: above 1 is better, also where smaller figures are
better. Ratios carry over to other machines, absolute figures do not.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from minillm.files import write_json

__all__ = ["Row", "interleave", "machine", "print_rows", "row", "save_results", "versions"]

RESULTS = Path(__file__).parent / "results"

Row = dict[str, Any]


def machine() -> dict[str, Any]:
    """Describe the hardware: the CPU's model, the cores this process may use, the GPU if torch has one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    described = {"cpu": _cpu_model(), "cores": cores}
    torch = sys.modules.get("torch")  # not imported for benchmarks that do without
    if torch is not None and torch.cuda.is_available():
        described["gpu"] = torch.cuda.get_device_name(0)
    return described


def versions(*packages: str) -> dict[str, str]:
    """Return the versions of Python and of the named packages; those not installed are left out."""
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def interleave(
    functions: Mapping[str, Callable[[], Any]], repeats: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, float]:
    """Run the functions in turn, ``repeats`` times each, and return the median seconds of each.

    Taking turns spreads other load on the machine over all of them; every round starts with another one. On a
    machine that is busy otherwise, ``clock=time.process_time`` counts core-seconds instead, of all threads.
    """
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    names = list(functions)
    for turn in range(repeats):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            started = clock()
            functions[name]()
            seconds[name].append(clock() - started)
    return {name: statistics.median(values) for name, values in seconds.items()}


def row(
    name: str, ours: float, theirs: float, *, smaller_is_better: bool = False, aim: float | None = None
) -> Row:
    """Make a row of results.

    Args:
        name: what was measured, with its unit and the name of the other program.
        ours: our figure.
        theirs: the other program's figure.
        smaller_is_better: for seconds, losses and the like.
        aim: the smallest ratio that is good enough; None where there is no aim.
    """
    ratio = theirs / ours if smaller_is_better else ours / theirs
    figures = {"ours": _short(ours), "theirs": _short(theirs), "ratio": _short(ratio)}
    return {"name": name, **figures, "aim": aim, "met": None if aim is None else ratio >= aim}


def save_results(name: str, rows: Sequence[Row], packages: Sequence[str]) -> Path:
    """Print the rows as a table and write them to ``benchmarks/results/<name>.json``."""
    print_rows(rows)
    results = {"machine": machine(), "versions": versions(*packages), "rows": list(rows)}
    return write_json(RESULTS / f"{name}.json", results)


def print_rows(rows: Sequence[Row]) -> None:
    """Print the rows as a table."""
    width = max(len(row["name"]) for row in rows)
    print(f"{'':{width}}  {'ours':>10}  {'theirs':>10}  {'ratio':>8}  {'aim':>6}  met")
    for entry in rows:
        figures = f"{entry['ours']:>10g}  {entry['theirs']:>10g}  {entry['ratio']:>8g}"
        aim = "-" if entry["aim"] is None else f"{entry['aim']:g}"
        met = {None: "-", True: "yes", False: "NO"}[entry["met"]]
        print(f"{entry['name']:{width}}  {figures}  {aim:>6}  {met}")


def _short(value: float) -> float:
    return float(f"{value:.4g}")


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
