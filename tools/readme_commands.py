"""Run the README's commands without `make` to the letter, in a fresh clone of the last commit.

    python tools/readme_commands.py [--list] [--until TEXT] [--then LINE ...] [--runs FOLDER] [--folder NEW]

All lines run one after another in one shell, Windows PowerShell or sh, and the first that fails ends the session. Git
takes the README's address for that of the clone, so even `git clone` stays as it is written. What a program asks for on
standard input is the question below. The folder has a space and letters of another script in its name. Training and
tests included this takes about an hour on two cores; with --runs the stages that lie in a folder are found, and
--until and --then run the beginning of the list and lines of one's own.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path

from colab_trial import LEFT_OUT
from repository import ROOT, read_repository

FOLDER = "my 课程"
QUESTION = "Who is the baker?\n"
MARK = "== line"
SH = "printf '\\n{mark}\\n'\n{line}\n"
POWERSHELL = "Write-Output '', '{mark}'\n{line}\nif (-not $?) {{ exit 1 }}\n"


def shell_blocks(page: str) -> list[tuple[str, list[str]]]:
    """(language, lines) of each block of commands in the section "How to run" of a page."""
    section = page.partition("\n## How to run\n")[2].partition("\n## ")[0]
    found = re.findall(r"^```(bash|powershell)\n(.*?)^```$", section, re.M | re.S)
    return [(language, block.splitlines()) for language, block in found]


def commands(page: str, windows: bool) -> list[str]:
    """The lines without `make` for one system: a block for PowerShell replaces the one before it, on Windows only."""
    blocks = shell_blocks(page)
    lines: list[str] = []
    for (language, block), after in zip_longest(blocks, blocks[1:], fillvalue=("", [])):
        for_windows, for_others = language == "powershell", after[0] == "powershell"
        is_make = block[0].startswith("make ")
        if not is_make and not (for_others if windows else for_windows):
            lines += block
    return lines


def chosen(lines: Sequence[str], until: str | None, then: Sequence[str]) -> list[str]:
    """The lines up to the first that contains a text, and further ones."""
    if until is not None:
        last = next((number for number, line in enumerate(lines) if until in line), None)
        if last is None:
            raise ValueError(f"no line of the README contains {until!r}; --list shows them")
        lines = lines[: last + 1]
    return [*lines, *then]


def clone(folder: Path) -> Path:
    """A bare clone of the last commit, under the name of the published branch."""
    made = folder / "course.git"
    git = ["git", "-C", str(made)]
    subprocess.run(["git", "clone", "-q", "--bare", str(ROOT), str(made)], check=True)
    branch = f"refs/heads/{read_repository()[1]}"
    subprocess.run([*git, "update-ref", branch, "HEAD"], check=True)
    subprocess.run([*git, "symbolic-ref", "HEAD", branch], check=True)
    return made


def environment(source: Path, runs: Path | None) -> dict[str, str]:
    """That of a reader: nothing of this project is set, and the address of the repository leads to `source`."""
    variables = {
        key: value
        for key, value in os.environ.items()
        if key not in LEFT_OUT and not key.startswith("MINILLM_")
    }
    here = os.environ.get("VIRTUAL_ENV")
    path = variables["PATH"].split(os.pathsep)
    variables["PATH"] = os.pathsep.join(
        entry for entry in path if here is None or Path(here) != Path(entry).parent
    )
    if runs is not None:
        variables["MINILLM_RUNS"] = str(runs)
    return variables | {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{source.as_posix()}.insteadOf",
        "GIT_CONFIG_VALUE_0": read_repository()[0],
    }


def session(lines: Sequence[str], scripts: Path, windows: bool) -> list[str]:
    """Write the lines as a program of the shell that tells where it is; return the command that runs it."""
    template, path = (POWERSHELL, scripts / "lines.ps1") if windows else (SH, scripts / "lines.sh")
    marked = [template.format(mark=f"{MARK} {number}", line=line) for number, line in enumerate([*lines, ""])]
    path.write_text("".join(marked), encoding="utf-8")
    if not windows:
        return ["sh", "-e", str(path)]
    program = shutil.which("powershell") or shutil.which("pwsh")
    if program is None:
        raise ValueError("there is no PowerShell; install it")
    # Otherwise PowerShell reads the standard input that is meant for the programs it starts.
    return [
        program,
        "-NoProfile",
        "-InputFormat",
        "None",
        "-ExecutionPolicy",
        "RemoteSigned",
        "-File",
        str(path),
    ]


def run(
    lines: Sequence[str], folder: Path, variables: dict[str, str], windows: bool
) -> tuple[bool, list[float]]:
    """Run the lines in a folder, showing what they print; (whether all went well, seconds of each that began)."""
    starts: list[float] = []
    with tempfile.TemporaryDirectory() as scripts, tempfile.TemporaryFile() as typed:
        typed.write(QUESTION.encode())
        typed.seek(0)
        process = subprocess.Popen(
            session(lines, Path(scripts), windows),
            cwd=folder,
            env=variables,
            stdin=typed,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert process.stdout is not None
        for printed in process.stdout:
            if printed.strip() == f"{MARK} {len(starts)}".encode():
                starts.append(time.perf_counter())
                printed = b"".join(f"$ {line}\n".encode() for line in lines[len(starts) - 1 : len(starts)])
            sys.stdout.buffer.write(printed)
            sys.stdout.buffer.flush()
        passed = process.wait() == 0 and len(starts) > len(lines)
    ends = [*starts[1:], time.perf_counter()]
    return passed, [end - start for start, end in zip(starts, ends)][: len(lines)]


def report(lines: Sequence[str], passed: bool, seconds: Sequence[float], n_readme: int) -> None:
    """One line for each command: how long it took, and which one failed."""
    print()
    for number, (line, spent) in enumerate(zip(lines, seconds)):
        failed = not passed and number == len(seconds) - 1
        notes = ("  (not of the README)" if number >= n_readme else "") + ("  FAILED" if failed else "")
        print(f"{spent:8.1f} s  {line}{notes}")
    verdict = "passed" if passed else "failed"
    print(f"README commands: {verdict}, {len(seconds)} of {len(lines)} lines in {sum(seconds):.0f} s")


def trial(lines: Sequence[str], folder: Path | None, runs: Path | None, n_readme: int) -> bool:
    """Run the lines as a reader would; whether all went well."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        place = Path(name)
        source = clone(place)
        folder = place / FOLDER if folder is None else folder.resolve()
        folder.mkdir(parents=True)
        if runs is not None:  # a line that trains must not do so in the reader's own folder
            runs = Path(shutil.copytree(runs, place / "runs"))
        passed, seconds = run(lines, folder, environment(source, runs), os.name == "nt")
        report(lines, passed, seconds, n_readme)
    return passed


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--list", action="store_true", help="show the lines for this system and run nothing")
    parser.add_argument("--until", metavar="TEXT", help="stop after the first line that contains this")
    parser.add_argument(
        "--then", metavar="LINE", action="append", default=[], help="a further line to run at the end"
    )
    parser.add_argument("--runs", type=Path, help="folder of trained stages to copy and find [default: none]")
    parser.add_argument("--folder", type=Path, help="where to run, kept [default: a temporary one]")
    return parser.parse_args(words)


def main() -> int:
    """Run the command line; returns the exit status."""
    options = arguments()
    sys.stdout.reconfigure(errors="backslashreplace")
    try:
        readme = commands((ROOT / "README.md").read_text(encoding="utf-8"), os.name == "nt")
        lines = chosen(readme, options.until, options.then)
        if options.list:
            print(*lines, sep="\n")
            return 0
        n_readme = len(lines) - len(options.then)
        return 0 if trial(lines, options.folder, options.runs, n_readme) else 1
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
