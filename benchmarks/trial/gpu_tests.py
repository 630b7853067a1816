"""The tests marked `gpu`, counted."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from xml.etree import ElementTree

from trial.runner import ROOT
from trial.session import Skipped, Trial

__all__ = ["run"]

_NONE_COLLECTED = 5  # pytest's exit status


def run(trial: Trial) -> None:
    """Run them in a process of their own; what they print is the part's output."""
    folder, report = ROOT / "tests" / "gpu", trial.scratch / "report.xml"
    if not folder.is_dir():
        raise Skipped("there is no folder tests/gpu")
    if importlib.util.find_spec("pytest") is None:
        raise Skipped("pytest is missing; pip install pytest")
    command = [sys.executable, "-m", "pytest", "-m", "gpu", str(folder), "-q", "-p", "no:cacheprovider"]
    named = os.environ | {"MINILLM_TEST_DEVICE": trial.device}  # otherwise they are skipped where CUDA is not
    status = subprocess.run([*command, f"--junitxml={report}"], cwd=ROOT, env=named).returncode
    if status == _NONE_COLLECTED:
        raise Skipped("no test is marked gpu")
    if not report.is_file():
        raise RuntimeError(f"pytest ended with {status}")
    counts = dict.fromkeys(("tests", "failures", "errors", "skipped"), 0)
    for suite in ElementTree.parse(report).iter("testsuite"):
        for name in counts:
            counts[name] += int(suite.get(name, 0))
    passed = counts["tests"] - counts["failures"] - counts["errors"] - counts["skipped"]
    trial.record(passed=passed, **counts)
    trial.check(status == 0, f"the tests pass: {counts['failures']} failed, {counts['errors']} could not run")
    trial.check(trial.device != "cuda" or passed > 0, "on CUDA some of them run")
