"""Make the recordings that chapter 07 shows: PPO with three seeds, without its leash, with other leashes, and broken.

python tools/record.py [FOLDER OF RUNS]

Trains what is missing, one to two minutes a run on two cores (and the stages before it for the other seeds), and writes
minillm/recordings/ppo.json. A run that is there already is read, not repeated.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))

from common import machine, versions  # noqa: E402

from minillm.artifact import Artifact  # noqa: E402
from minillm.course import Course  # noqa: E402
from minillm.files import write_atomic  # noqa: E402

PPO = Course("cpu").preset.ppo
BROKEN = {
    "learning rate x 10": {"learning_rate": 10 * PPO.learning_rate},
    "padding unmasked": {"mask_padding": False},
    "not whitened": {"whiten": False},
    "end token ignored": {"end_token": False},
}
HARDER = {"iterations": 40, "learning_rate": 3e-4}  # far enough to show what the leash is for
RUNS: dict[str, tuple[int, dict[str, Any]]] = {
    **{f"seed {seed}": (seed, {}) for seed in range(3)},
    **{f"no leash, seed {seed}": (seed, {"kl_coef": 0}) for seed in range(3)},
    **{f"harder, seed {seed}": (seed, HARDER) for seed in range(3)},
    **{f"harder, no leash, seed {seed}": (seed, HARDER | {"kl_coef": 0}) for seed in range(3)},
    **{f"kl_coef {value:g}": (0, {"kl_coef": value}) for value in (0.02, 0.2)},
    **{name: (0, changes) for name, changes in BROKEN.items()},
}
DIGITS = 5  # significant, of a recorded number
LEFT_OUT = ("tokens", "seconds", "updates", "kl_coef")  # of a line


def main() -> None:
    """Train what is missing, gather, write."""
    root = sys.argv[1] if len(sys.argv) > 1 else None
    runs = {}
    for name, (seed, changes) in RUNS.items():
        print(name, file=sys.stderr)
        artifact = Course("cpu", root, seed=seed, ppo=changes).stage("ppo")
        runs[name] = recorded(artifact, seed, changes)
    content = {
        "command": "make recordings",
        "machine": machine(),
        "versions": versions("minillm-course", "torch"),
        "runs": runs,
    }
    write_atomic(ROOT / "minillm" / "recordings" / "ppo.json", lines(content))


def recorded(artifact: Artifact, seed: int, changes: dict[str, Any]) -> dict[str, Any]:
    """What is kept of a run."""
    settings = [f"--set ppo.{name}={json_value(value)}" for name, value in changes.items()]
    seeds = [f"--seed {seed}"] if seed else []
    metrics = [
        {name: value for name, value in line.items() if name not in LEFT_OUT} for line in artifact.metrics
    ]
    return {
        "flag": " ".join(seeds + settings),
        "seed": seed,
        "changes": changes,
        "metrics": rounded(metrics),
        "figures": rounded(artifact.figures),
    }


def json_value(value: Any) -> str:
    """A setting as it is written after `--set`."""
    return json.dumps(value) if isinstance(value, bool) else f"{value:g}"


def rounded(value: Any) -> Any:
    """The same with fewer digits."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [rounded(item) for item in value]
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def lines(content: dict[str, Any]) -> str:
    """JSON with a line for each line of metrics, so that a change can be read."""
    head = {key: value for key, value in content.items() if key != "runs"}
    parts = []
    for name, run in content["runs"].items():
        rest = {key: value for key, value in run.items() if key != "metrics"}
        rows = ",\n".join(json.dumps(line, ensure_ascii=False) for line in run["metrics"])
        body = json.dumps(rest, ensure_ascii=False)[:-1]
        parts.append(f'{json.dumps(name)}: {body}, "metrics": [\n{rows}\n]}}')
    return json.dumps(head)[:-1] + ', "runs": {\n' + ",\n".join(parts) + "\n}}\n"


if __name__ == "__main__":
    main()
