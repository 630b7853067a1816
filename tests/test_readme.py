"""The commands that README and introduction give, and the tool that runs them to the letter."""

from __future__ import annotations

import configparser
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import nbformat
import pytest
import readme_commands as readme
import typer
import yaml
from nbformat.v4 import new_code_cell, new_notebook, new_output
from repository import read_repository

from minillm.cli import app
from minillm.presets import PRESETS
from minillm.recipes import STAGES

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
INTRODUCTION = (ROOT / "book" / "intro.md").read_text(encoding="utf-8")
SYSTEMS = {"Windows": True, "others": False}
PAGE = """
# A page

```bash
before
```

## How to run

```bash
fetch
enter
```

```bash
make all
make test
```

Text.

```bash
first here
```

```powershell
first there
second there
```

```bash
last
```

```text
printed
```

## Later

```bash
after
```
"""
# Words, double-quoted texts and pipes mean the same in sh, zsh and both PowerShells. Much else does not: `&&`, `A=1 x`,
# a backslash at the end, `a,b` without quotes (two arguments in PowerShell), `# a comment` (arguments in zsh), `$x`.
WORD = r'(?:[\w./:@+][\w./:@+=-]*|--?\w[\w./:@+=-]*|"[^"$`\\!#]*")'
COMMAND = rf"(?![^\s=]*=)[\w./:@+-]+(?: {WORD})*"
SAME_EVERYWHERE = re.compile(rf"{COMMAND}(?: \| {COMMAND})*")


def all_lines() -> list[str]:
    """Every line that README gives without `make`, for any system."""
    lines = [line for windows in SYSTEMS.values() for line in readme.commands(README, windows)]
    return list(dict.fromkeys(lines))


def inline_commands(page: str) -> list[str]:
    """The calls of `minillm` in the running text of a page."""
    return re.findall(r"`([^`\n]*\bminillm (?:-\w|\w)[^`\n]*)`", page)


# The lines


def test_blocks_are_taken_for_the_system() -> None:
    assert readme.commands(PAGE, windows=False) == ["fetch", "enter", "first here", "last"]
    assert readme.commands(PAGE, windows=True) == ["fetch", "enter", "first there", "second there", "last"]


@pytest.mark.parametrize("windows", SYSTEMS.values(), ids=SYSTEMS.keys())
def test_the_introduction_gives_the_same_commands(windows: bool) -> None:
    lines = readme.commands(README, windows)
    assert lines == readme.commands(INTRODUCTION, windows)
    assert [line.split()[0] for line in lines[:2]] == ["git", "cd"]
    assert {"minillm", "jupyter-book", "python"} <= {line.split()[0] for line in lines}


def test_systems_differ_in_the_environment_only() -> None:
    here, there = (readme.commands(README, windows) for windows in (False, True))
    differ = [(a, b) for a, b in zip(here, there, strict=True) if a != b]
    assert differ == [
        ("python3 -m venv .venv", "py -m venv .venv"),
        (". .venv/bin/activate", r".venv\Scripts\Activate.ps1"),
    ]


def test_no_block_is_lost() -> None:
    """Every shell block of the section is either for make or among the lines."""
    for page in (README, INTRODUCTION):
        section = page.partition("\n## How to run\n")[2].partition("\n## ")[0]
        blocks = readme.shell_blocks(page)
        assert section.count("```") == 2 * len(blocks)
        assert not re.search(r"^ {4}\w", section, re.M), "use a fence with a language"
        kept = {*readme.commands(page, True), *readme.commands(page, False)}
        lost = [line for _, block in blocks for line in block if line not in kept]
        assert lost == ["make course", "make test"]


def test_lines_mean_the_same_in_every_shell() -> None:
    same = set(readme.commands(README, True)) & set(readme.commands(README, False))
    calls = [*same, *inline_commands(README), *inline_commands(INTRODUCTION)]
    assert len(calls) > 15
    for line in [*calls, "python3 -m venv .venv", ". .venv/bin/activate", "py -m venv .venv"]:
        assert SAME_EVERYWHERE.fullmatch(line), f"not the same in sh and PowerShell: {line}"


@pytest.mark.parametrize("page", sorted((ROOT / "book").glob("*.md")), ids=lambda page: page.stem)
def test_calls_on_pages_mean_the_same_in_every_shell(page: Path) -> None:
    blocks = re.findall(r"^```bash\n(.*?)^```$", page.read_text(encoding="utf-8"), re.M | re.S)
    for line in "".join(blocks).splitlines():
        if re.match(r"(?:minillm|python) ", line):
            assert SAME_EVERYWHERE.fullmatch(line), f"not the same in sh and PowerShell: {line}"


@pytest.mark.parametrize(
    "line",
    [
        "cd a && make",
        "cd a; ls",
        "TQDM_DISABLE=1 python -m pytest",
        "python -m pytest \\",
        "echo 'Who?' | minillm chat",
        "minillm run --stages tokenizer,base",
        "minillm run # trains",
        "cd ~/course",
        "ls *.py",
        'echo "$HOME"',
        "minillm info > file",
        "pip install .[book]",
        "a & b",
        "a || b",
    ],
)
def test_what_only_one_shell_knows_is_seen(line: str) -> None:
    assert not SAME_EVERYWHERE.fullmatch(line)


# What the lines name


def parse(command: str) -> None:
    """Let the command line read a call of `minillm`, without running it."""
    words = shlex.split(command.partition("minillm ")[2])
    group = typer.main.get_command(app)
    context = group.make_context("minillm", words[:1])
    name, called, rest = group.resolve_command(context, words)
    given = called.make_context(name, rest, parent=context).params
    if given.get("preset") is not None:
        assert given["preset"] in {*PRESETS, "auto"}, command
    for stage in [given.get("model"), given.get("stage")]:
        assert stage is None or stage in STAGES, command


def test_calls_of_the_program_are_read_by_it() -> None:
    lines = [line for line in all_lines() if re.search(r"\bminillm (?!-course)", line)]
    inline = [call for page in (README, INTRODUCTION) for call in inline_commands(page)]
    assert len(lines) >= 4 and len(inline) >= 6
    for call in [*lines, *inline]:
        parse(call)


@pytest.mark.parametrize(
    "call", ["minillm fly", "minillm run --presets cpu", "minillm run --preset gcp", "minillm chat ppp"]
)
def test_a_wrong_call_is_seen(call: str) -> None:
    with pytest.raises((Exception, SystemExit)):
        parse(call)


def test_installing_names_what_is_there() -> None:
    (line,) = [line for line in all_lines() if "constraints" in line]
    words = shlex.split(line)
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = re.fullmatch(r"\.\[(.+)\]", words[words.index("-e") + 1])[1].split(",")
    assert set(named) <= set(extras["optional-dependencies"])
    assert (ROOT / words[words.index("-c") + 1]).is_file()
    url, branch = read_repository()
    assert f"git clone {url}" in all_lines()
    assert f"python -m pip install git+{url}@{branch}" in all_lines()


def test_the_website_command_is_read_by_jupyter_book() -> None:
    main = pytest.importorskip("jupyter_book.cli.main").main
    (line,) = [line for line in all_lines() if line.startswith("jupyter-book ")]
    name, *rest = shlex.split(line)[1:]
    called = main.get_command(main.make_context("jupyter-book", [name]), name)
    given = called.make_context(name, rest).params
    assert (
        given["path_source"] == "." and given["warningiserror"] and given["nitpick"] and given["keep_going"]
    )


def test_pytest_is_given_folders_that_exist() -> None:
    calls = [shlex.split(line)[3:] for line in all_lines() if line.startswith("python -m pytest")]
    assert calls == [[], ["book"]]


# Chapters through nbval: `python -m pytest book`


def test_pytest_in_the_folder_of_chapters_runs_them(tmp_path: Path) -> None:
    for name in ("pytest.ini", "conftest.py"):
        shutil.copy(ROOT / "book" / name, tmp_path)
    settings = configparser.ConfigParser()
    settings.read(tmp_path / "pytest.ini", encoding="utf-8")
    assert "--nbval-cell-timeout" in settings["pytest"]["addopts"]
    cells = [
        ("import os, sys\nprint(os.environ['TQDM_DISABLE'])", "1\n"),
        ("print(sys.executable)", f"{sys.executable}\n"),
        ("print('here')", "there\n"),
    ]
    notebook = new_notebook(
        cells=[
            new_code_cell(source, execution_count=1, outputs=[new_output("stream", name="stdout", text=text)])
            for source, text in cells
        ]
    )
    nbformat.write(notebook, tmp_path / "chapter.ipynb")
    variables = {key: value for key, value in os.environ.items() if key != "TQDM_DISABLE"}
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "."],
        cwd=tmp_path,
        env=variables,
        capture_output=True,
        encoding="utf-8",
    )
    assert "1 failed, 2 passed" in run.stdout, run.stdout
    assert "Cell 2" in run.stdout.replace("::", " ")
    assert not (tmp_path / ".pytest_cache").exists()


# The tool


def test_the_tool_starts_where_nothing_is_installed() -> None:
    """As the workflow starts it: in a Python that has just been set up (-S: without its installed packages)."""
    begin = f"import sys; sys.path.insert(0, {str(ROOT / 'tools')!r}); import readme_commands"
    run = subprocess.run(
        [sys.executable, "-I", "-S", "-B", "-c", begin], capture_output=True, encoding="utf-8"
    )
    assert run.returncode == 0, run.stderr


def test_lines_are_chosen() -> None:
    lines = ["a 1", "b 2", "b 3"]
    assert readme.chosen(lines, None, []) == lines
    assert readme.chosen(lines, "b", ["own"]) == ["a 1", "b 2", "own"]
    with pytest.raises(ValueError, match="no line of the README contains 'z'"):
        readme.chosen(lines, "z", [])


@pytest.mark.parametrize("windows", SYSTEMS.values(), ids=SYSTEMS.keys())
def test_workflows_ask_for_lines_that_exist(windows: bool) -> None:
    jobs = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text(encoding="utf-8"))["jobs"]
    runs = [step.get("run", "") for job in jobs.values() for step in job["steps"]]
    calls = [shlex.split(run) for run in runs if "readme_commands" in run]
    assert len(calls) == 2 and all(words[:2] == ["python", "tools/readme_commands.py"] for words in calls)
    for words in calls:
        given = readme.arguments(words[2:])
        lines = readme.chosen(readme.commands(README, windows), given.until, given.then)
        assert lines[-1] == (given.then or readme.commands(README, windows))[-1]
        for line in given.then:
            assert SAME_EVERYWHERE.fullmatch(line)
            if line.startswith("minillm "):
                parse(line)


@pytest.fixture
def variables() -> dict[str, str]:
    """An environment in which `python` is the one of the tests."""
    folder = str(Path(sys.executable).parent)
    return {**os.environ, "PATH": os.pathsep.join([folder, os.environ["PATH"]])}


def test_lines_run_in_one_session(tmp_path: Path, variables: dict[str, str], capfdbinary) -> None:
    place = tmp_path / readme.FOLDER
    (place / "inner").mkdir(parents=True)
    asking = "import time\ntime.sleep(2)\nprint('asked: ' + input())"
    (place / "inner" / "ask.py").write_text(asking, encoding="utf-8")
    lines = ["cd inner", "python ask.py", 'echo "by pipe" | python ask.py']
    passed, seconds = readme.run(lines, place, variables, os.name == "nt")
    printed = capfdbinary.readouterr().out.decode()
    assert passed and len(seconds) == 3
    assert f"asked: {readme.QUESTION.strip()}" in printed and "asked: by pipe" in printed
    assert [line for line in printed.splitlines() if line.startswith("$ ")] == [f"$ {line}" for line in lines]
    assert seconds[0] < seconds[1] > 0.005


@pytest.mark.parametrize("bad", ["python wrong.py", "nosuchprogram", "cd nowhere"])
def test_the_first_failure_ends_the_session(
    bad: str, tmp_path: Path, variables: dict[str, str], capfdbinary
) -> None:
    (tmp_path / "wrong.py").write_text("raise SystemExit(3)", encoding="utf-8")
    (tmp_path / "later.py").write_text("open('late', 'w')", encoding="utf-8")
    passed, seconds = readme.run(["cd .", bad, "python later.py"], tmp_path, variables, os.name == "nt")
    assert not passed and len(seconds) == 2
    assert not (tmp_path / "late").exists()
    readme.report(["cd .", bad, "python later.py"], passed, seconds, 3)
    printed = capfdbinary.readouterr().out.decode()
    assert re.search(rf"\d s  {bad}  FAILED$", printed, re.M)
    assert "README commands: failed, 2 of 3 lines" in printed


def test_powershell_gets_the_lines_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readme.shutil, "which", lambda name: f"C:/{name}.exe" if name == "pwsh" else None)
    lines = readme.commands(README, windows=True)
    command = readme.session(lines, tmp_path, windows=True)
    assert command[0] == "C:/pwsh.exe" and command[-2:] == ["-File", str(tmp_path / "lines.ps1")]
    program = (tmp_path / "lines.ps1").read_text(encoding="utf-8").splitlines()
    assert [line for line in program if line in lines] == lines
    assert program.count("if (-not $?) { exit 1 }") == len(lines) + 1
    monkeypatch.setattr(readme.shutil, "which", lambda name: None)
    with pytest.raises(ValueError, match="no PowerShell"):
        readme.session(lines, tmp_path, windows=True)


def test_the_address_leads_to_the_last_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not (ROOT / ".git").exists() or not shutil.which("git"):
        pytest.skip("not a git checkout")
    monkeypatch.setenv("MINILLM_PRESET", "smoke")
    monkeypatch.setenv("VIRTUAL_ENV", str(tmp_path / "env"))
    monkeypatch.setenv("PATH", os.pathsep.join([str(tmp_path / "env" / "bin"), os.environ["PATH"]]))
    variables = readme.environment(readme.clone(tmp_path), tmp_path / "runs")
    assert "MINILLM_PRESET" not in variables and variables["MINILLM_RUNS"] == str(tmp_path / "runs")
    assert str(tmp_path) not in variables["PATH"]
    lines = readme.commands(README, windows=False)[:2]
    passed, _ = readme.run([*lines, "git rev-parse HEAD main"], tmp_path, variables, os.name == "nt")
    assert passed
    heads = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=ROOT, check=True, capture_output=True, encoding="utf-8"
    ).stdout
    cloned = tmp_path / lines[1].removeprefix("cd ")
    for name in ("HEAD", f"origin/{read_repository()[1]}"):
        made = subprocess.run(
            ["git", "rev-parse", name], cwd=cloned, check=True, capture_output=True, encoding="utf-8"
        ).stdout
        assert made == heads
