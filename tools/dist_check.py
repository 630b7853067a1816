"""Build what a package index gets, into dist/, and try it where nothing else is installed.

    python tools/dist_check.py      (`make dist-check`)

- The wheel holds the package with the page that it serves and nothing else, and the source archive what git tracks; the
  wheel that is made from the archive is that of the repository, byte for byte.
- The readme renders with full addresses only.
- In an environment with the core's requirements alone (the pins of constraints.txt) and an empty folder, the command
  line trains the preset `smoke`, examines it, talks to it and exports it.
- The source archive's own tests are found, and some of them pass, in the environment of the Python that runs this.

Makes environments in build/dist-check; the one with torch stays there, because it takes longest.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import tomllib
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any

from colab_trial import LEFT_OUT, bare_environment, fresh_environment, python_of
from repository import ROOT

DIST = ROOT / "dist"
WORK = ROOT / "build" / "dist-check"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
# Beside the package, as hatchling writes them.
IN_WHEEL = ("METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE")
# Quick tests of the source archive: code, arithmetic with torch, and the files at its root.
SDIST_TESTS = ("tests/text/test_bpe.py", "tests/model/test_masks.py", "tests/test_frame.py")
RENDER = """
import sys
from readme_renderer import markdown
html = markdown.render(sys.stdin.buffer.read().decode())
sys.exit("the readme cannot be rendered") if html is None else sys.stdout.buffer.write(html.encode())
"""
USES = (  # arguments of `minillm`, what is typed, and a pattern of what it prints
    (["--help"], None, "export"),
    (["example", "mine"], None, "mine"),
    (["run", "--preset", "smoke"], None, "ppo"),
    (["info"], None, "smoke"),
    (["chat", "sft"], "Who is the baker?\n", r"\w"),
    (["eval", "sft"], None, "sft"),
    (["export", "sft", "assistant", "--to", "hf"], None, "assistant"),
)
IN_THE_CORE = """
import sys, minillm, minillm.evaluate
from importlib.metadata import version
assert minillm.__file__.startswith(sys.prefix), minillm.__file__
assert minillm.__version__ == version("minillm-course")
from minillm.web import LIVE
assert (LIVE / "page.js").is_file(), LIVE
try:
    minillm.evaluate.bleu(["a"], ["a"])
except ValueError as error:
    print(error)
"""


def call(command: list[Any], cwd: Path, typed: str | None = None) -> str:
    """Run a command without the variables of this environment; returns what it prints.

    Raises:
        ValueError: it failed; with the end of what it said.
    """
    ours = (*LEFT_OUT, *(key for key in os.environ if key.startswith("MINILLM_")))
    environment = {key: value for key, value in os.environ.items() if key not in ours}
    run = subprocess.run(
        command, cwd=cwd, env=environment, input=typed, capture_output=True, encoding="utf-8"
    )
    if run.returncode:
        shown = " ".join(map(str, command))
        raise ValueError(f"`{shown}` failed:\n{run.stdout[-3000:]}\n{run.stderr[-6000:]}")
    return run.stdout


def tracked(*paths: str) -> set[str]:
    """The files that git tracks, as it names them."""
    return set(call(["git", "ls-files", "-z", *paths], ROOT).rstrip("\0").split("\0"))


def differences(what: str, found: set[str], expected: set[str]) -> list[str]:
    """One line for each file too many or too few."""
    return [f"{what} holds {name}, which it should not" for name in sorted(found - expected)] + [
        f"{what} lacks {name}" for name in sorted(expected - found)
    ]


def build() -> tuple[Path, Path]:
    """Make the source archive and from it the wheel; hold the wheel to the repository's own."""
    shutil.rmtree(DIST, ignore_errors=True)
    tools = python_of(bare_environment(WORK / "tools", PROJECT["optional-dependencies"]["release"]))
    call([tools, "-m", "build", "--outdir", DIST, ROOT], ROOT)
    call([tools, "-m", "twine", "check", "--strict", *sorted(DIST.iterdir())], ROOT)
    (sdist,), (wheel,) = DIST.glob("*.tar.gz"), DIST.glob("*.whl")
    with tempfile.TemporaryDirectory() as folder:
        call([tools, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, ROOT], ROOT)
        if (Path(folder) / wheel.name).read_bytes() != wheel.read_bytes():
            raise ValueError("the wheel made from the source archive differs from the repository's")
    return sdist, wheel


def check_contents(sdist: Path, wheel: Path) -> None:
    """The wheel holds the package, the source archive the repository, and both nothing else."""
    stem = sdist.name.removesuffix(".tar.gz")
    with zipfile.ZipFile(wheel) as archive:
        in_wheel = set(archive.namelist())
        described = archive.read(f"{stem}.dist-info/METADATA").decode()
    with tarfile.open(sdist) as archive:
        in_sdist = {name.removeprefix(f"{stem}/") for name in archive.getnames()}
    page = {name.replace("book/_static/", "minillm/", 1) for name in tracked("book/_static/live")}
    package = tracked("minillm") | page | {f"{stem}.dist-info/{name}" for name in IN_WHEEL}
    problems = differences("the wheel", in_wheel, package)
    problems += differences("the source archive", in_sdist, tracked() | {"PKG-INFO"})
    problems += address_problems(rendered(described.partition("\n\n")[2]))
    if problems:
        raise ValueError("\n".join(problems))
    kinds = sorted({PurePosixPath(name).suffix for name in tracked("minillm")})
    print(f"{wheel.name}: {wheel.stat().st_size / 1000:.0f} KB, {len(in_wheel)} files ({' '.join(kinds)})")
    print(f"{sdist.name}: {sdist.stat().st_size / 1000:.0f} KB, {len(in_sdist)} files")


def rendered(markdown: str) -> str:
    """The readme as a package index shows it."""
    return call([python_of(WORK / "tools"), "-c", RENDER], ROOT, markdown)


def address_problems(html: str) -> list[str]:
    """One line for each address that leads nowhere from another site; anchors of the page itself are fine."""
    addresses = re.findall(r"""(?:href|src|srcset)="([^"]*)\"""", html)
    if not addresses:
        return ["the readme shows no link at all"]
    wrong = [address for address in addresses if not address.startswith(("https://", "#"))]
    return [f"the readme shows the address {address}, which is not a full one" for address in wrong]


def try_wheel(wheel: Path) -> None:
    """Use the command line in an environment with the core alone, from an empty folder."""
    start = time.perf_counter()
    environment = fresh_environment(bare_environment(WORK / "base", ["torch", "numpy"]), "wheel")
    python = python_of(environment)
    constraints = ["-c", str(ROOT / "constraints.txt")]
    call([python, "-m", "pip", "install", "-q", *constraints, wheel], ROOT)
    call([python, "-m", "pip", "check"], ROOT)
    print(f"core installed in {time.perf_counter() - start:.0f} s")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        said = call([python, "-c", IN_THE_CORE], folder)
        if "pip install sacrebleu" not in said:
            raise ValueError(f"bleu without its package says {said!r}, not what to install")
        for arguments, typed, pattern in USES:
            start = time.perf_counter()
            said = call([python.parent / "minillm", *arguments], folder, typed)
            if not re.search(pattern, said):
                raise ValueError(f"minillm {' '.join(arguments)} prints no {pattern!r}:\n{said[-2000:]}")
            print(f"minillm {' '.join(arguments)}: {time.perf_counter() - start:.1f} s")
    shutil.rmtree(environment)


def try_sdist(sdist: Path) -> None:
    """Find the tests of the source archive and run a few, on the package that it holds."""
    with tempfile.TemporaryDirectory() as name:
        with tarfile.open(sdist) as archive:
            archive.extractall(name, filter="data")
        folder = Path(name) / sdist.name.removesuffix(".tar.gz")
        where = call([sys.executable, "-c", "import minillm; print(minillm.__file__)"], folder)
        if not Path(where.strip()).is_relative_to(folder.resolve()):
            raise ValueError(f"the tests of the source archive would try {where.strip()}")
        pytest = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        found = call([*pytest, "--collect-only"], folder).strip().splitlines()[-1]
        passed = call([*pytest, *SDIST_TESTS], folder).strip().splitlines()[-1]
    print(f"tests of the source archive: {found}; {', '.join(SDIST_TESTS)}: {passed}")


def main() -> int:
    """Build and try; returns the exit status."""
    start = time.perf_counter()
    try:
        sdist, wheel = build()
        check_contents(sdist, wheel)
        try_wheel(wheel)
        try_sdist(sdist)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"dist check: passed in {time.perf_counter() - start:.0f} s; dist/ holds both")
    return 0


if __name__ == "__main__":
    sys.exit(main())
