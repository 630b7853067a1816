"""Run chapters on the models of other seeds: what they say of a model must not be true of one model only.

    python tools/seed_chapters.py [--seeds 1 2] [--runs FOLDER] [--out FOLDER] [NOTEBOOK ...]

The stages of these seeds at the preset `cpu` are taken from the folder of runs, and trained there where they are
missing. Each assertion that does not hold is told and fails the run, and so does any other error. The chapters with
their outputs are written to `--out`: their computed sentences are to be read beside their figures.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

import nbformat
from console import print_anything
from repository import ROOT
from smoke_chapters import run

CELL_TIMEOUT = 600  # seconds; a chapter may train a stage
OTHER_SEED = """
import minillm.course as _course
_begin = _course.Course.__init__
def _seeded(self, *others, **named):
    _begin(self, *others, **{{"seed": {seed}, **named}})
_course.Course.__init__ = _seeded
"""


def main() -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2], help="of the models and their data")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs", help="where the trained stages are")
    parser.add_argument(
        "--out", type=Path, default=ROOT / "build" / "seeds", help="for the executed chapters"
    )
    parser.add_argument("notebooks", nargs="*", type=Path)
    options = parser.parse_args()
    print_anything()
    notebooks = [path.resolve() for path in options.notebooks] or sorted((ROOT / "book").glob("*.ipynb"))
    os.environ |= {
        "MINILLM_PRESET": "cpu",
        "MINILLM_RUNS": str(options.runs.resolve()),
        "PYTHONIOENCODING": "utf-8",
        "OMP_NUM_THREADS": "1",
        "TQDM_DISABLE": "1",
    }
    wrong = 0
    for seed in options.seeds:
        command = [sys.executable, "-m", "minillm", "run", "--preset=cpu", f"--seed={seed}", "--json"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        folder = options.out / f"seed{seed}"
        folder.mkdir(parents=True, exist_ok=True)
        for path in notebooks:
            one = run(path, str(folder), OTHER_SEED.format(seed=seed), CELL_TIMEOUT)
            nbformat.write(one.notebook, folder / path.name)
            wrong += len(one.claims) + len(one.faults)
            print(
                f"seed {seed}, {one.name}: {one.seconds:.0f} s, {len(one.claims)} claims do not hold",
                flush=True,
            )
            for line in [*one.claims, *one.faults]:
                print(f"    {line}", flush=True)
    print(f"chapters at seeds {options.seeds}: {wrong} claims or faults")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
