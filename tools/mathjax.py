"""Fetch MathJax from npm into a folder, so that the website needs nothing from outside; done once.

Without npm it says so and leaves the folder out: the site then loads MathJax from Sphinx's default address.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from console import print_anything

VERSION = "3.2.2"
SCRIPT = "tex-mml-chtml.js"
SHA256 = "300480069078b5892d2363a2b65e2dfbbf30fe5c80f83edbfecf4610fd093862"  # of the script


def is_wanted(name: str) -> bool:
    """Whether the website needs this member of the npm package."""
    return name == f"package/es5/{SCRIPT}" or name.startswith("package/es5/output/chtml/fonts/woff-v2/")


def fetch(npm: str, target: Path) -> None:
    """Put the script and its fonts into `target`, by means of npm.

    Raises:
        RuntimeError: npm failed, or what it brought is not the expected file.
    """
    with tempfile.TemporaryDirectory() as scratch:
        command = [npm, "pack", f"mathjax@{VERSION}", "--silent", "--pack-destination", scratch]
        result = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", timeout=300)
        archives = list(Path(scratch).glob("*.tgz"))
        if result.returncode != 0 or not archives:
            raise RuntimeError(f"`npm {' '.join(command[1:3])}` failed: {result.stderr.strip()[-300:]}")
        unpacked = Path(scratch) / "mathjax"
        with tarfile.open(archives[0]) as archive:
            for member in filter(lambda m: m.isfile() and is_wanted(m.name), archive.getmembers()):
                path = unpacked / member.name.removeprefix("package/es5/")
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(archive.extractfile(member).read())
        digest = hashlib.sha256((unpacked / SCRIPT).read_bytes()).hexdigest()
        if digest != SHA256:
            raise RuntimeError(f"{SCRIPT} of mathjax@{VERSION} has sha256 {digest}, expected {SHA256}")
        shutil.rmtree(target, ignore_errors=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(unpacked, target)


def main(target: Path) -> int:
    """Fetch if needed; a site without it is still a site, so the exit status is 0."""
    if (target / SCRIPT).exists():
        return 0
    print_anything()
    npm = shutil.which("npm")  # on Windows a script, which is started by its path only
    if not npm:
        print("notice: npm is not installed, so the site loads MathJax from the network when it is read")
        return 0
    try:
        fetch(npm, target)
        print(f"MathJax {VERSION} is in {target}")
    except (RuntimeError, OSError, subprocess.TimeoutExpired) as error:
        print(f"notice: {error}; the site loads MathJax from the network when it is read")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
