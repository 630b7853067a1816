"""Run every chapter at the preset `smoke`, whose models have learned next to nothing.

    python tools/smoke_chapters.py [--jobs 2] [--slow 5] [NOTEBOOK ...]

The chapters must not depend on the numbers of the preset `cpu`: every cell has to run with other sizes of vocabulary,
context and model, and with answers that are nonsense. What a chapter *claims* it asserts, and of such a model most
claims are not true: an `AssertionError` raised by a cell itself is counted, any other error fails the run. Outputs are
thrown away. The stages are trained first, in a folder of their own, and trainings inside the chapters are cut short.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
from console import print_anything
from nbclient import NotebookClient
from repository import ROOT

PRESET = "smoke"
CELL_TIMEOUT = 120  # seconds
COLOURS = re.compile(r"\x1b\[[0-9;]*m")
# Put before a chapter's first cell: experiments of its own that train for long end after a few steps (twelve, which is
# where chapter 04 first looks at its validation pages), and many tasks are fewer.
SHORTER = """
from dataclasses import replace as _replace
from minillm.train.run import TrainingRun as _Run
def _shorter(self, model, batches, config, *others, _begin=_Run.__init__):
    _begin(self, model, batches, _replace(config, steps=min(config.steps, 12)), *others)
_Run.__init__ = _shorter
from minillm.data.tasks import Tasks as _Tasks
def _fewer(self, n, *others, _tasks=_Tasks.tasks):
    return _tasks(self, min(n, 200), *others)
_Tasks.tasks = _fewer
"""


@dataclass
class Outcome:
    """How one chapter went."""

    name: str
    notebook: Any  # with the outputs of this run
    seconds: float = 0.0
    cells: int = 0
    claims: list[str] = field(default_factory=list)  # assertions of cells that did not hold
    faults: list[str] = field(default_factory=list)
    slow: list[tuple[float, int]] = field(default_factory=list)  # seconds and number of the slowest cells


def run(path: Path, folder: str, before: str = SHORTER, cell_timeout: int = CELL_TIMEOUT) -> Outcome:
    """Run one chapter in a fresh kernel, all cells to the end; `before` is put in the place of its title."""
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[0] = nbformat.v4.new_code_cell(before)
    outcome, started, begun = Outcome(path.name, notebook), time.perf_counter(), {}
    client = NotebookClient(
        notebook,
        timeout=cell_timeout,
        kernel_name="python3",
        allow_errors=True,
        resources={"metadata": {"path": folder}},
        on_cell_execute=lambda cell, cell_index: begun.update({cell_index: time.perf_counter()}),
        on_cell_executed=lambda cell, cell_index, execute_reply: outcome.slow.append(
            (time.perf_counter() - begun[cell_index], cell_index)
        ),
    )
    try:
        client.execute()
    except Exception as error:  # a cell that takes too long, a kernel that dies
        outcome.faults.append(f"{type(error).__name__}: {first_line(str(error))}")
    for number, cell in enumerate(notebook.cells):
        outcome.cells += number > 0 and cell.cell_type == "code"
        for output in cell.get("outputs", ()):
            if output.output_type == "error":
                if output.ename == "AssertionError" and raised_by_the_cell(output.traceback):
                    outcome.claims.append(f"cell {number}: {failed_line(output.traceback)}")
                else:
                    outcome.faults.append(f"cell {number}: {output.ename}: {first_line(output.evalue)}")
    outcome.seconds = time.perf_counter() - started
    outcome.slow.sort(reverse=True)
    return outcome


def first_line(text: str) -> str:
    """The beginning of an error's text, which may be empty."""
    return (text.strip().splitlines() or ["no text"])[0][:200]


def failed_line(traceback: list[str]) -> str:
    """The line of the cell that raised, as IPython marks it with an arrow."""
    marked = re.findall(r"^-+> *\d+ (.*)$", COLOURS.sub("", "\n".join(traceback)), re.M)
    return marked[-1].strip()[:200] if marked else "an assertion"


def raised_by_the_cell(traceback: list[str]) -> bool:
    """Whether the innermost frame of a traceback, as IPython prints it, is in a cell and not in a module."""
    frames = re.findall(r"^(Cell|File) ", COLOURS.sub("", "\n".join(traceback)), re.M)
    return bool(frames) and frames[-1] == "Cell"


def main() -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=int, default=2, help="chapters at a time")
    parser.add_argument("--slow", type=float, default=None, help="name the cells that take more seconds")
    parser.add_argument("notebooks", nargs="*", type=Path)
    options = parser.parse_args()
    notebooks = [path.resolve() for path in options.notebooks] or sorted((ROOT / "book").glob("*.ipynb"))
    print_anything()
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        os.environ |= {
            "MINILLM_PRESET": PRESET,
            "MINILLM_RUNS": f"{folder}/runs",
            "PYTHONIOENCODING": "utf-8",
            "OMP_NUM_THREADS": "1",
            "TQDM_DISABLE": "1",
        }
        command = [sys.executable, "-m", "minillm", "run", "--preset", PRESET, "--json"]
        trained = subprocess.run(command, capture_output=True, encoding="utf-8")
        if trained.returncode:
            print(trained.stderr[-2000:])
            return 1
        print(f"preset {PRESET} trained in {time.perf_counter() - started:.0f} s", flush=True)
        notebooks.sort(key=lambda path: -path.stat().st_size)  # roughly the longest first
        with ThreadPoolExecutor(options.jobs) as pool:
            outcomes = list(pool.map(lambda path: run(path, folder), notebooks))
    for one in sorted(outcomes, key=lambda one: one.name):
        print(
            f"{one.name}: {one.cells} cells in {one.seconds:.0f} s, {len(one.claims)} claims do not hold here, "
            f"{len(one.faults)} faults"
        )
        for fault in one.faults:
            print(f"    {fault}")
        for seconds, number in one.slow:
            if options.slow is not None and seconds > options.slow:
                print(f"    cell {number}: {seconds:.0f} s")
    faults = sum(len(one.faults) for one in outcomes)
    print(
        f"chapters at {PRESET}: {len(outcomes)} run, {faults} faults, {time.perf_counter() - started:.0f} s"
    )
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
