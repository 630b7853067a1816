"""One command for the chapters: read them as text, run them, hold them to the normal form.

python tools/notebooks.py unpack book/01_token.ipynb 01_token.py      notebook -> readable text
python tools/notebooks.py pack 01_token.py book/01_token.ipynb        text -> notebook
python tools/notebooks.py execute [NOTEBOOK ...]                      run, normalise, store the outputs
python tools/notebooks.py normalise [NOTEBOOK ...]                    normal form, without running
python tools/notebooks.py setup [NOTEBOOK ...]                        write the current set-up cell
python tools/notebooks.py check [NOTEBOOK ...]                        list what breaks the rules
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

import nbformat
from console import print_anything
from notebook_form import file_problems, normalise, to_bytes
from notebook_text import is_setup, keep_outputs, notebook_to_text, text_to_notebook
from repository import ROOT, SETUP_METADATA, setup_source

CELL_TIMEOUT = 1800  # seconds; a fresh machine trains the base model inside a cell


def chapters() -> list[Path]:
    """All chapters, in reading order."""
    return sorted((ROOT / "book").glob("*.ipynb"))


def read(path: Path) -> nbformat.NotebookNode:
    """Read a notebook of the current format."""
    return nbformat.reads(path.read_text(encoding="utf-8"), as_version=4)


def unpack(source: Path, target: Path | None = None) -> None:
    """Write a notebook as text, or print it; in UTF-8 on every system."""
    content = notebook_to_text(read(source)).encode()
    if target is None:
        sys.stdout.buffer.write(content)
    else:
        target.write_bytes(content)


def pack(source: Path, target: Path) -> None:
    """Write text as a notebook; outputs stay if no code cell changed."""
    notebook = text_to_notebook(source.read_text(encoding="utf-8"))
    kept = target.exists() and keep_outputs(notebook, read(target))
    target.write_bytes(to_bytes(normalise(notebook)))
    print(
        f"{target}: {len(notebook.cells)} cells, "
        + ("outputs kept" if kept else "no outputs: run `make execute`")
    )


def execute(path: Path) -> None:
    """Run a notebook in a fresh kernel in its own folder and store its outputs in normal form.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell failed; the file is left as it was.
    """
    from nbclient import NotebookClient

    notebook = read(path)
    start = time.perf_counter()
    NotebookClient(
        notebook,
        timeout=CELL_TIMEOUT,
        kernel_name="python3",
        record_timing=False,
        store_widget_state=False,
        resources={"metadata": {"path": str(path.parent)}},
    ).execute()
    path.write_bytes(to_bytes(normalise(notebook)))
    print(f"{path.name}: executed in {time.perf_counter() - start:.0f} s")


def write_setup(path: Path) -> None:
    """Replace the set-up cell of a notebook by the current one."""
    notebook = read(path)
    for cell in filter(is_setup, notebook.cells):
        cell.source, cell.metadata = setup_source(), nbformat.from_dict(SETUP_METADATA)
    path.write_bytes(to_bytes(normalise(notebook)))


def check(paths: list[Path]) -> int:
    """Print what breaks the rules; returns the number of problems."""
    problems = [f"{path.name}: {problem}" for path in paths for problem in file_problems(path)]
    print(*problems, sep="\n", end="\n" if problems else "")
    print(f"notebook form: {len(paths)} checked, {len(problems)} problems")
    return len(problems)


def main() -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=["unpack", "pack", "execute", "normalise", "setup", "check"])
    parser.add_argument("paths", nargs="*", type=Path, help="notebooks; none means all chapters")
    options = parser.parse_args()
    print_anything()
    os.environ.setdefault("TQDM_DISABLE", "1")  # progress bars hold times, and would be stored
    try:
        if options.command == "pack":
            pack(*options.paths)
        elif options.command == "unpack":
            unpack(*options.paths)
        elif options.command == "check":
            return 1 if check(options.paths or chapters()) else 0
        else:
            for path in options.paths or chapters():
                if options.command == "execute":
                    execute(path.resolve())
                elif options.command == "setup":
                    write_setup(path)
                else:
                    path.write_bytes(to_bytes(normalise(read(path))))
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
