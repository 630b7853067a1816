"""Try minillm on a GPU: is it right, how fast is it, and does every preset run? One program, eight minutes.

    python benchmarks/gpu_trial.py                         # all, on the GPU that is here
    python benchmarks/gpu_trial.py --parts c --minutes 6   # one part, with more time; the others' results are kept
    python benchmarks/gpu_trial.py --device cpu --quick    # small shapes and few steps: does every part run?

Needs no network and no installation of minillm: torch, numpy, safetensors, tiktoken, regex, filelock, tqdm, and for the
comparisons transformers. Each part runs in a process of its own with a time limit of its own; what it has found is
written after each part, so nothing is lost when one crashes, or when the whole is ended. The exit status is 1 where a
part has failed; a part that is not possible on this device, or that its time was too short for, has not.
"""

from __future__ import annotations

import argparse
import importlib.util
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trial.parts import Part

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

NEEDED = ("torch", "numpy", "safetensors", "tiktoken", "regex", "filelock", "tqdm")
PACKAGES = ("torch", "triton", "transformers", "numpy", "tiktoken")
MINUTES, QUICK_MINUTES = 8.0, 5.0


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = _parser().parse_args(arguments)
    if options.run_part is not None:
        return _run_in_this_process(options.run_part)
    if missing := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        print(f"error: missing {' '.join(missing)}; pip install {' '.join(missing)}", file=sys.stderr)
        return 2
    from trial.parts import choose_parts

    try:
        parts = choose_parts(options.parts)
        text = _existing(options.text)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    out = options.out
    if out is None and not options.quick:
        out = ROOT / "benchmarks" / "results" / "gpu_trial.json"
    minutes = options.minutes or (QUICK_MINUTES if options.quick else MINUTES)
    told = {"device": options.device, "quick": options.quick, "text": text}
    folder = Path(tempfile.mkdtemp(prefix="gpu-trial-"))
    try:
        return _run(parts, told, 60 * minutes, folder, out)
    finally:
        if options.keep:
            print(f"files of the parts: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


def _run(parts: list[Part], told: dict[str, Any], seconds: float, folder: Path, out: Path | None) -> int:
    """Run the parts, show what they found, and return the exit status."""
    from trial.report import Report, show
    from trial.runner import run_parts

    report = Report(PACKAGES, [part.name for part in parts], out)
    ended = run_parts(parts, told, seconds, folder, report)
    show(report.content())
    if out is not None:
        print(f"written to {out}")
    if ended:
        return 130
    found = [report.record(part.name)["status"] for part in parts]
    return int("failed" in found or found[0] != "done")  # without the first, no other has run


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--device", choices=("auto", "cuda", "cpu", "mps"), default="auto", help="where it runs"
    )
    parser.add_argument("--quick", action="store_true", help="small shapes and few steps; writes no results")
    parser.add_argument("--parts", metavar="LIST", help="by letter or name, such as a,speed; by default all")
    parser.add_argument("--minutes", type=float, help=f"for all parts together [{MINUTES:g}]")
    parser.add_argument("--text", metavar="FILE", help="local text for the parts colab and slice")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="the results [benchmarks/results/gpu_trial.json]"
    )
    parser.add_argument("--keep", action="store_true", help="keep the parts' files and say where they are")
    parser.add_argument(
        "--run-part", type=Path, help=argparse.SUPPRESS
    )  # what a part's process is started with
    return parser


def _existing(text: str | None) -> str | None:
    """The text's path as the parts can use it, wherever they run."""
    if text is not None and not Path(text).is_file():
        raise ValueError(f"--text {text} is no file; give a text, jsonl or csv file")
    return None if text is None else str(Path(text).resolve())


def _run_in_this_process(task: Path) -> int:
    """One part, as its file of options says."""
    from trial.session import Trial, run_in_this_process

    from minillm.files import read_json

    told = read_json(task)
    paths = {name: Path(told[name]) for name in ("result", "scratch", "text") if told.get(name) is not None}
    trial = Trial(**(told | paths))
    run_in_this_process(trial)
    return int(trial.status == "failed")


if __name__ == "__main__":
    sys.exit(main())
