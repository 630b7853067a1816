"""Run each chapter as Colab would: alone, in an empty folder and an environment without the package.

    python tools/colab_trial.py [--here] [--runs FOLDER] [NOTEBOOK ...]

The bare environment has ipykernel, nbclient, torch, numpy and matplotlib. The chapter's set-up cell installs
the package from a bare clone of this repository's last commit (`MINILLM_REPO=git+file://...`): uncommitted
changes of the package are not tried. With --here the Python that runs this script is used: for Colab's image. With
--runs the chapters find the stages that were trained in a folder, otherwise they train what they need.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from console import print_anything
from repository import ROOT

BARE = ("ipykernel", "nbclient", "torch", "numpy", "matplotlib")
WORK = ROOT / "build" / "colab"
# Runs a notebook in place; executed in the environment under trial.
RUN = """
import sys, nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], 4)
NotebookClient(notebook, timeout=1800, kernel_name="python3").execute()
nbformat.write(notebook, sys.argv[1])
"""
LEFT_OUT = ("MINILLM_RUNS", "PYTHONPATH", "VIRTUAL_ENV", "JUPYTER_PATH", "TQDM_DISABLE")


def python_of(environment: Path) -> Path:
    """The interpreter of a virtual environment."""
    return environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def bare_environment(base: Path = WORK / "base", packages: Sequence[str] = BARE) -> Path:
    """Make the environment that every trial sits on, once for the same packages and pins."""
    done, pins = base / "done", ROOT / "constraints.txt"
    wanted = "\n".join([*packages, pins.read_text(encoding="utf-8")])
    if not done.exists() or done.read_text(encoding="utf-8") != wanted:
        shutil.rmtree(base, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", base], check=True)
        subprocess.run([python_of(base), "-m", "pip", "install", "-q", "-c", pins, *packages], check=True)
        done.write_text(wanted, encoding="utf-8")
    return base


def fresh_environment(base: Path, name: str) -> Path:
    """An empty environment beside `base` that sees its packages: what the trial installs is gone with it."""
    environment = base.parent / name
    shutil.rmtree(environment, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    own, shared = (Path(sysconfig.get_path("purelib", "venv", {"base": str(e)})) for e in (environment, base))
    # From one to the other: the whole path might hold letters that Python takes for others in such a file.
    (own / "bare.pth").write_text(f"{os.path.relpath(shared, own)}\n", encoding="utf-8")
    return environment


def pace(notebook: Any) -> str:
    """How long a run notebook took for its set-up (its first code cell), and from there to its first figure."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code" and "execution" in cell.metadata]
    drawn = (c for c in cells if any("image/png" in output.get("data", {}) for output in c.outputs))
    figure = next(drawn, None)
    if figure is None:
        return "no figure"
    begun, ready = (_moment(cells[0], status) for status in ("busy", "idle"))
    return f"set-up {ready - begun:.0f} s, first figure {_moment(figure, 'idle') - ready:.0f} s after it"


def _moment(cell: Any, status: str) -> float:
    """When a cell's kernel became busy or idle (seconds)."""
    return datetime.fromisoformat(cell.metadata.execution[f"iopub.status.{status}"]).timestamp()


def trial(notebook: Path, interpreter: Path, clone: Path, runs: Path | None) -> bool:
    """Run one chapter; print how it went and return whether it passed."""
    import nbformat  # not at the top: `readme_commands.py` starts where nothing is installed

    environment = {key: value for key, value in os.environ.items() if key not in LEFT_OUT}
    environment |= {"MINILLM_REPO": f"git+{clone.as_uri()}", "PYTHONIOENCODING": "utf-8"}
    if runs is not None:
        environment["MINILLM_RUNS"] = str(runs.resolve())
    has = subprocess.run([interpreter, "-c", "import minillm"], env=environment, cwd="/", capture_output=True)
    if has.returncode == 0:
        print(f"{notebook.name}: the environment already has minillm, so this would prove nothing")
        return False
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        shutil.copy(notebook, folder)
        start = time.perf_counter()
        run = subprocess.run(
            [interpreter, "-c", RUN, notebook.name],
            env=environment,
            cwd=folder,
            capture_output=True,
            encoding="utf-8",
        )
        left = sorted(path.name for path in Path(folder).iterdir())
        told = "" if run.returncode else pace(nbformat.read(Path(folder, notebook.name), 4)) + "; "
    seconds = time.perf_counter() - start
    if run.returncode:
        print(run.stdout[-2000:], run.stderr[-6000:], sep="\n")
    verdict = "failed" if run.returncode else "passed"
    print(f"{notebook.name}: {verdict} in {seconds:.0f} s; {told}the folder then holds {left}")
    return run.returncode == 0


def main() -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--here", action="store_true", help="use this Python, not a bare environment")
    parser.add_argument(
        "--runs", type=Path, help="folder of trained stages [default: none, in an empty folder]"
    )
    parser.add_argument("notebooks", nargs="*", type=Path)
    options = parser.parse_args()
    print_anything()
    notebooks = [path.resolve() for path in options.notebooks] or sorted((ROOT / "book").glob("*.ipynb"))
    passed = []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        clone = Path(folder) / "minillm-course.git"
        subprocess.run(["git", "clone", "-q", "--bare", str(ROOT), str(clone)], check=True)
        for notebook in notebooks:
            if options.here:
                interpreter = Path(sys.executable)
                subprocess.run(
                    [interpreter, "-m", "pip", "uninstall", "-q", "-y", "minillm-course"], check=True
                )
            else:
                interpreter = python_of(fresh_environment(bare_environment(), notebook.stem))
            passed.append(trial(notebook, interpreter, clone, options.runs))
            if not options.here:
                shutil.rmtree(WORK / notebook.stem)
    print(f"colab trial: {sum(passed)} of {len(passed)} chapters passed")
    return 0 if passed and all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
