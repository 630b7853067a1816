"""Add up the reports that the test runs left and print one closing line."""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ET
from pathlib import Path


def summary(folder: Path) -> tuple[int, int, int]:
    """(passed, failed, skipped) over all JUnit files in a folder."""
    passed = failed = skipped = 0
    for path in sorted(folder.glob("*.xml")):
        for suite in ET.parse(path).getroot().iter("testsuite"):
            bad = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
            skips = int(suite.get("skipped", 0))
            failed, skipped = failed + bad, skipped + skips
            passed += int(suite.get("tests", 0)) - bad - skips
    return passed, failed, skipped


if __name__ == "__main__":
    totals = summary(Path(sys.argv[1]))
    print("tests: {} passed, {} failed, {} skipped".format(*totals))
    sys.exit(1 if totals[1] or not totals[0] else 0)
