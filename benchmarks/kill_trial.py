"""Kill the course again and again while it trains, and see whether anything is lost.

    python benchmarks/kill_trial.py [--passes 6] [--seed 0] [--preset smoke]

The whole graph is trained once undisturbed. Then, for each pass, it is trained into a fresh folder by a program that
is killed (SIGKILL, which no program can catch) once in each stage, at a random moment of the time that the stage
takes, started again after each kill, and left to end after the last. At last every file of every artifact is compared
with the undisturbed run's, byte by byte; of the logs, summaries and model cards everything but the times. One thread,
on the CPU.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from common import machine, versions

from minillm.files import sha256_file, write_json

RESULTS = Path(__file__).parent / "results"
TIMES = re.compile(r"seconds|^sha256$|^files$|checksum")  # keys whose values differ from run to run


def command(preset: str, out: Path) -> list[str]:
    """The program that trains the graph."""
    return [sys.executable, "-m", "minillm", "run", "--preset", preset, "--out", str(out), "--threads", "1"]


def undisturbed(preset: str, out: Path) -> dict[str, float]:
    """Train the graph to its end; the seconds that each stage took, with its tests."""
    seconds: dict[str, float] = {}
    program = subprocess.Popen(
        command(preset, out),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env=environment(),
    )
    before, stage = 0.0, None
    for line in program.stderr or ():
        if found := re.match(r"(\w+): training in", line):
            if stage is not None:
                seconds[stage] = time.perf_counter() - before
            before, stage = time.perf_counter(), found[1]
    if program.wait():
        raise SystemExit(f"the program ended with {program.returncode}")
    if stage is not None:
        seconds[stage] = time.perf_counter() - before
    return seconds


def environment() -> dict[str, str]:
    """Nothing is compiled, and no bar is drawn."""
    return os.environ | {"TQDM_DISABLE": "1", "OMP_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8"}


def killed(preset: str, out: Path, stage: str, seconds: float) -> dict[str, Any] | None:
    """Start the program and kill it so many seconds after it began with a stage; None where it ended before."""
    log = out / "stderr.txt"
    out.mkdir(parents=True, exist_ok=True)
    with open(log, "w", encoding="utf-8") as stderr:
        program = subprocess.Popen(
            command(preset, out), stdout=subprocess.DEVNULL, stderr=stderr, env=environment()
        )
        while program.poll() is None and f"{stage}: training in" not in log.read_text(encoding="utf-8"):
            time.sleep(0.02)
        try:
            program.wait(seconds)
        except subprocess.TimeoutExpired:
            program.kill()
            program.wait()
    stages = re.findall(r"^(\w+): training in", log.read_text(encoding="utf-8"), re.M)
    log.unlink()
    if program.returncode == 0:
        return None
    if program.returncode != -9:
        raise SystemExit(f"the program ended with {program.returncode}")
    kept = sorted(path.stem for path in out.glob(f"*/{stages[-1]}-*/**/step-*.json"))
    return {"stage": stages[-1], "after_seconds": round(seconds, 2), "checkpoint": kept[-1] if kept else None}


def contents(root: Path) -> dict[str, Any]:
    """By path below the root, what must be the same: the digest of a file, or what a log says apart from times."""
    found = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if path.is_dir() or name.endswith(".lock"):
            continue
        if path.suffix == ".jsonl":
            found[name] = [
                timeless(json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()
            ]
        elif path.name == "summary.json":
            found[name] = timeless(json.loads(path.read_text(encoding="utf-8")))
        elif path.name == "README.md":
            found[name] = [
                line for line in path.read_text(encoding="utf-8").splitlines() if "seconds" not in line
            ]
        else:
            found[name] = sha256_file(path)
    return found


def timeless(value: Any) -> Any:
    """A JSON value without the entries that hold times, or digests of files that do."""
    if isinstance(value, dict):
        return {key: timeless(inner) for key, inner in value.items() if not TIMES.search(key)}
    return value


def main() -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--passes", type=int, default=6, help="graphs that are trained under fire")
    parser.add_argument("--seed", type=int, default=0, help="decides the moments")
    parser.add_argument("--preset", default="smoke", help="what is trained")
    options = parser.parse_args()
    die, rows, same = random.Random(options.seed), [], True
    with tempfile.TemporaryDirectory() as folder:
        seconds = undisturbed(options.preset, Path(folder) / "whole")
        expected = contents(Path(folder) / "whole")
        print(f"undisturbed: {sum(seconds.values()):.0f} s, {len(expected)} files", flush=True)
        for number in range(options.passes):
            out, kills = Path(folder) / str(number), []
            for stage, duration in seconds.items():
                found = killed(options.preset, out, stage, die.uniform(0.0, duration))
                if found is not None:
                    kills.append(found)
                    print(f"pass {number + 1}, kill {len(kills)}: {found}", flush=True)
            undisturbed(options.preset, out)
            got = contents(out)
            differing = sorted(
                name for name in expected.keys() | got.keys() if expected.get(name) != got.get(name)
            )
            for kill in kills:
                mine = [name for name in differing if f"/{kill['stage']}-" in name]
                rows.append({"pass": number + 1, **kill, "identical": not mine})
            same &= not differing
            print(f"pass {number + 1}: {len(kills)} kills, differing: {differing or 'none'}", flush=True)
    print(
        "\n| pass | killed in | seconds after start | newest checkpoint | end identical |\n|---|---|---|---|---|"
    )
    for row in rows:
        identical = "yes" if row["identical"] else "NO"
        print(
            f"| {row['pass']} | {row['stage']} | {row['after_seconds']} | {row['checkpoint'] or '-'} | {identical} |"
        )
    print(f"{len(rows)} kills, {sum(row['identical'] for row in rows)} with an identical end")
    write_json(
        RESULTS / "kills.json",
        {
            "machine": machine(),
            "versions": versions("minillm-course", "torch"),
            "command": f"python benchmarks/kill_trial.py --passes {options.passes} "
            f"--seed {options.seed} --preset {options.preset}",
            "rows": rows,
        },
    )
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
