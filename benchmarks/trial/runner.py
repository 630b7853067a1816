"""The outside of a part: its process, its time limit, and what is kept of it, however it ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from minillm.files import read_json, write_json
from trial.parts import Part, limit
from trial.report import Report

__all__ = ["run_part", "run_parts"]

ROOT = Path(__file__).resolve().parent.parent.parent
_GRACE = 3.0  # seconds that a process has to end by itself at its limit, with its last words
_LAST_LINES = 12  # of what a failed part printed


def run_parts(
    parts: Sequence[Part], told: dict[str, Any], seconds: float, folder: Path, report: Report
) -> bool:
    """Run the parts one after another, and report each; whether the whole was asked to end before its end.

    Args:
        parts: in their order.
        told: the options that all of them get, as JSON values; the device is what the first part finds.
        seconds: for all together; quickly, where each is short, any of them may take what is left.
        folder: for their files.
        report: gets their records.
    """
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return _one_after_another(parts, told, seconds, folder, report)
    finally:
        signal.signal(signal.SIGTERM, before)


def _one_after_another(
    parts: Sequence[Part], told: dict[str, Any], seconds: float, folder: Path, report: Report
) -> bool:
    started = time.perf_counter()
    for number, part in enumerate(parts):
        left = seconds - (time.perf_counter() - started)
        may_take = left if told["quick"] else limit(parts[number:], left)
        if may_take < 1:
            report.add(part, {"status": "cut", "reason": "no time was left", "seconds": 0.0})
            continue
        print(f"{part.name}: {part.what} (at most {may_take:.0f} s)", flush=True)
        options = told | {"earlier": report.figures()} | report.device()
        try:
            record = run_part(part, options, may_take, folder)
        except KeyboardInterrupt:
            record = _read(folder / f"{part.name}.json") | {"status": "cut", "reason": "the trial was ended"}
            report.add(part, record)
            return True
        report.add(part, record)
        print(f"    {record['status']} in {record['seconds']:.0f} s {record['reason']}".rstrip(), flush=True)
        if part.name == "machine" and record["status"] != "done":
            break
    return False


def run_part(part: Part, options: dict[str, Any], limit: float, folder: Path) -> dict[str, Any]:
    """Run a part in a process of its own, and all that it starts in a group of their own.

    Args:
        part: which.
        options: what its `Trial` is made of beside name, time and folders, as JSON values.
        limit: seconds, after which the group is killed.
        folder: gets its files.

    Returns:
        what it has written down, with status "done", "cut" (at its own time, or with the whole), "skipped" or "failed";
        of a failed one also the last lines that it printed.
    """
    result, log, scratch = folder / f"{part.name}.json", folder / f"{part.name}.log", folder / part.name
    scratch.mkdir(parents=True)
    told = options | {"name": part.name, "module": part.module, "seconds": limit}
    told |= {"result": str(result), "scratch": str(scratch)}
    task = write_json(folder / f"{part.name}.task.json", told)
    started = time.perf_counter()
    with open(log, "wb") as output:
        program = subprocess.Popen(
            [sys.executable, str(ROOT / "benchmarks" / "gpu_trial.py"), "--run-part", str(task)],
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=_environment(folder),
            start_new_session=True,
        )
        try:
            with suppress(subprocess.TimeoutExpired):
                program.wait(limit + _GRACE)
        finally:
            _kill_group(program)
    record = _read(result)
    record["seconds"] = round(time.perf_counter() - started, 1)
    if record["status"] == "running":  # it did not come to its end
        over = record["seconds"] >= limit
        how = f"killed at its limit of {limit:.0f} s" if over else f"ended with {program.returncode}"
        record |= {"status": "failed", "reason": how}
    if record["status"] == "failed":
        record["output"] = log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LAST_LINES:]
    return record


def _environment(folder: Path) -> dict[str, str]:
    """Nothing is fetched, no bar is drawn; what one part has compiled the next ones find."""
    return os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
        "PYTHONUTF8": "1",
        "TQDM_DISABLE": "1",
        "HF_HUB_OFFLINE": "1",
        "MINILLM_FETCH": "none",
        "TORCHINDUCTOR_CACHE_DIR": str(folder / "inductor"),
    }


def _kill_group(program: subprocess.Popen[bytes]) -> None:
    """End a process and all that it has started, also where it has ended itself."""
    if os.name == "nt":
        if program.poll() is None:
            subprocess.run(["taskkill", "/F", "/T", "/PID", str(program.pid)], capture_output=True)
    else:
        with suppress(ProcessLookupError, PermissionError):  # nobody is left; macOS says it in another way
            os.killpg(program.pid, signal.SIGKILL)
    program.wait()


def _read(result: Path) -> dict[str, Any]:
    """What a part has written down; an empty record where it has not come so far."""
    try:
        record: dict[str, Any] = read_json(result)
    except (OSError, ValueError):
        return {"status": "running", "reason": "", "seconds": 0.0, "figures": {}, "rows": [], "notes": []}
    return record
