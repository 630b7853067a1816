"""What makes the package, its tools and its files work on Linux, macOS and Windows, as far as one system can tell."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import unicodedata
import venv
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import colab_trial
import mathjax
import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from minillm.artifact import find_artifacts

ROOT = Path(__file__).resolve().parent.parent
# A locale whose encoding is ASCII; on Windows the page of the system, as PYTHONUTF8 is off.
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def git(*arguments: str) -> list[str]:
    """What git answers, at zero bytes."""
    if not (ROOT / ".git").exists() or not shutil.which("git"):
        pytest.skip("not a git checkout")
    return subprocess.run(
        ["git", *arguments], cwd=ROOT, check=True, capture_output=True, encoding="utf-8"
    ).stdout.split("\0")[:-1]


# Names and line ends


def name_problems(names: list[str]) -> Iterator[str]:
    """What Windows or macOS would refuse, or take for the same."""
    seen: dict[str, str] = {}
    for name in names:
        if len(name) > 150:
            yield f"{name}: {len(name)} characters; a path on Windows has 260 at most, with the folder's"
        for part in PurePosixPath(name).parts:
            if re.search(r'[<>:"\\|?*\x00-\x1f]', part) or part.endswith((".", " ")):
                yield f"{name}: {part!r} holds what Windows refuses"
            if re.fullmatch("(?i:con|prn|aux|nul|com[0-9]|lpt[0-9])", part.partition(".")[0]):
                yield f"{name}: {part!r} is a device on Windows"
        folded = unicodedata.normalize("NFC", name).casefold()
        if folded in seen:
            yield f"{name} and {seen[folded]} are one file where capital letters do not count"
        seen[folded] = name


def test_no_name_of_a_file_is_refused_or_taken_twice_on_another_system() -> None:
    names = git("ls-files", "-z", "--cached", "--others", "--exclude-standard")
    assert len(names) > 200 and list(name_problems(names)) == []


def test_no_two_pages_of_the_site_have_one_name_on_another_system() -> None:
    """A module's page and every description on it is found by its dotted name."""
    modules = [path.relative_to(ROOT).with_suffix("") for path in (ROOT / "minillm").rglob("*.py")]
    pages = [f"book/api/{'.'.join(module.parts)}.html" for module in modules]
    pages += [f"book/{path.stem}.html" for kind in ("*.md", "*.ipynb") for path in (ROOT / "book").glob(kind)]
    assert list(name_problems(pages)) == []


@pytest.mark.parametrize(
    "names, problems",
    [
        (["a/Read.md", "a/read.md"], 1),
        (["a/b.md", "a/c.md", "A/d.md"], 0),
        (["caf\u00e9.md", "cafe\u0301.md"], 1),
        (["a/what?.md", "b:c.md"], 2),
        (["a/aux.py", "a/NUL", "a/auxiliary.py"], 2),
        (["a./b"], 1),
        ([".gitignore", "_toc.yml", "__init__.py"], 0),
        (["a/" * 80 + "b"], 1),
    ],
)
def test_such_names_are_found(names: list[str], problems: int) -> None:
    assert len(list(name_problems(names))) == problems


def test_text_files_have_the_same_bytes_in_every_checkout() -> None:
    """Tests compare bytes, and notebooks have a normal form: git may not write CRLF on Windows."""
    for line in git("ls-files", "-z", "--eol"):
        in_index, here, attributes = line.partition("\t")[0].split(None, 2)
        assert "crlf" not in in_index + here and "mixed" not in in_index + here, line
        assert "eol=lf" in attributes or attributes.strip() == "attr/-text", line


# Encodings


def without_encoding(source: str) -> Iterator[int]:
    """The lines of calls that read or write text in the encoding of the system."""
    calls = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))
    for call in calls:
        named = {"encoding", None} & {key.arg for key in call.keywords}
        if not named and (_opens_text(call) or _reads_text(call) or _starts_with_text(call)):
            yield call.lineno


def _called(node: ast.Call) -> str:
    """The name of a function, with what it is asked of: `open`, `os.fdopen`, `.open` of anything that is no name."""
    if isinstance(node.func, ast.Attribute):
        return f"{getattr(node.func.value, 'id', '')}.{node.func.attr}"
    return getattr(node.func, "id", "")


def _opens_text(node: ast.Call) -> bool:
    name = _called(node)
    modes = node.args[1:2] if name in ("open", "io.open", "os.fdopen") else node.args[:1]
    if name not in ("open", "io.open", "os.fdopen"):  # of a path, whose first argument is the mode
        is_mode = all(
            isinstance(m, ast.Constant) and set(str(m.value) or "no") <= set("rwaxbt+") for m in modes
        )
        if not (name.endswith(".open") and is_mode):
            return False
    modes += [key.value for key in node.keywords if key.arg == "mode"]
    return not any(isinstance(mode, ast.Constant) and "b" in str(mode.value) for mode in modes)


def _reads_text(node: ast.Call) -> bool:
    method = _called(node).rpartition(".")[2] if isinstance(node.func, ast.Attribute) else ""
    return len(node.args) <= {"read_text": 0, "write_text": 1}.get(method, -1)


def _starts_with_text(node: ast.Call) -> bool:
    given = {key.arg for key in node.keywords}
    return _called(node).startswith("subprocess.") and not given.isdisjoint(("text", "universal_newlines"))


@pytest.mark.parametrize("folder", ["minillm", "tools", "benchmarks", "tests"])
def test_text_is_read_and_written_with_a_named_encoding(folder: str) -> None:
    """What a system takes for text otherwise differs: UTF-8, or a page of 256 characters."""
    found = [
        f"{path.relative_to(ROOT)}, line {line}"
        for path in sorted((ROOT / folder).rglob("*.py"))
        for line in without_encoding(path.read_text(encoding="utf-8"))
    ]
    assert found == [], "name the encoding: utf-8"


@pytest.mark.parametrize(
    "source, found",
    [
        ("open(p)", True),
        ("open(p, 'w')", True),
        ("open(p, 'rb')", False),
        ("open(p, mode='ab')", False),
        ("open(p, encoding='utf-8')", False),
        ("path.open()", True),
        ("path.open('wb')", False),
        ("os.fdopen(n, 'w')", True),
        ("os.open(p, os.O_RDONLY)", False),
        ("tarfile.open(p)", False),
        ("(a / 'b').read_text()", True),
        ("path.read_text('utf-8')", False),
        ("path.write_text('x')", True),
        ("path.write_text('x', encoding='utf-8')", False),
        ("subprocess.run(c, text=True)", True),
        ("subprocess.run(c, capture_output=True)", False),
        ("subprocess.run(c, text=True, encoding='utf-8')", False),
    ],
)
def test_such_calls_are_found(source: str, found: bool) -> None:
    assert bool(list(without_encoding(source))) is found


@pytest.mark.parametrize("tool", ["api_pages", "cover", "repository"])
def test_tools_write_the_files_of_the_book_with_the_same_line_ends(tool: str) -> None:
    tree = ast.parse((ROOT / "tools" / f"{tool}.py").read_text(encoding="utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    written = [call for call in calls if _called(call).endswith(".write_text")]
    assert written and all("newline" in {key.arg for key in call.keywords} for call in written)


# The program and the tools in a folder with spaces and Chinese letters, where the encoding is ASCII

# Several commands in one process, as most of the time goes into loading PyTorch.
COMMANDS = """
import sys
from minillm.cli import main
commands = sys.argv[1:]
while commands:
    end = commands.index("NEXT")
    sys.argv, commands = ["minillm", *commands[:end]], commands[end + 1 :]
    try:
        main()
    except SystemExit as stop:
        if stop.code:
            raise
"""
TINY = ["rows=2", "fit.steps=2", "model.vocab_size=300", "model.context_length=32", "model.n_layer=1"]
TINY = ["--preset=smoke", *(f"--set=base.{one}" for one in [*TINY, "model.d_model=16", "model.d_ff=32"])]


def ascii_environment() -> dict[str, str]:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("LC_", "PYTHON"))}
    return inherited | ASCII | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a space and Chinese letters in its name, as its user's name may have them."""
    folder = tmp_path / "我的 课程"
    folder.mkdir()
    return folder


@pytest.mark.ascii_locale
def test_the_commands_work_where_the_encoding_is_ascii(place: Path) -> None:
    text = place / "故事 é.txt"
    text.write_bytes("".join(f"{n} Hühner aßen 茶 und {n % 7} Eier.\n" for n in range(300)).encode())
    commands = [
        ["example", "海港 é"],
        ["run", *TINY, "--device=cpu", "--stages=base", "--corpus=故事 é.txt", "--out=运行", "--json"],
        ["info", "--preset=smoke", "--out=运行"],
        ["eval", "base", "--out=运行", "-n", "1"],
        ["chat", "base", "--out=运行", "-p", "茶 é", "--max-tokens=4"],
        ["export", "base", "出口 é", "--out=运行"],
        ["chat", "出口 é", "-p", "茶 é", "--max-tokens=4"],
    ]
    words = [word for command in commands for word in [*command, "NEXT"]]
    done = subprocess.run(
        [sys.executable, "-c", COMMANDS, *words], cwd=place, env=ascii_environment(), capture_output=True
    )
    assert done.returncode == 0 and b"Traceback" not in done.stderr, done.stderr.decode(errors="replace")
    assert (place / "海港 é" / "conversations.jsonl").is_file()
    (base,) = (artifact for artifact in find_artifacts(place / "运行") if artifact.stage == "base")
    assert base.model.n_parameters > 1000
    assert "local text: " in (base.folder / "README.md").read_text(encoding="utf-8")
    assert (place / "出口 é" / "model.safetensors").is_file()
    assert done.stdout.count(b"\\u8336" if sys.platform != "win32" else b" ") >= 2, done.stdout


@pytest.mark.ascii_locale
def test_a_chapter_is_written_as_text_and_back_where_the_encoding_is_ascii(place: Path) -> None:
    source = "茶 = 'é'\nprint(茶)"
    nbformat.write(new_notebook(cells=[new_code_cell(source)]), place / "章 1.ipynb")
    tool = [sys.executable, str(ROOT / "tools" / "notebooks.py")]
    for arguments in (["unpack", "章 1.ipynb", "章 1.py"], ["pack", "章 1.py", "章 2.ipynb"]):
        subprocess.run([*tool, *arguments], cwd=place, env=ascii_environment(), check=True)
    printed = subprocess.run(
        [*tool, "unpack", "章 2.ipynb"], cwd=place, env=ascii_environment(), check=True, capture_output=True
    )
    assert printed.stdout == (place / "章 1.py").read_bytes() == f"# %%\n{source}\n".encode()
    assert b"\r" not in (place / "章 2.ipynb").read_bytes()
    assert nbformat.read(place / "章 2.ipynb", as_version=4).cells[0].source == source


def test_mathjax_says_why_npm_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On Windows npm is a script, which cannot be started by its name alone."""
    name, script = "npm", b"#!/bin/sh\necho no network >&2\nexit 1\n"
    if sys.platform == "win32":
        name, script = "npm.cmd", b"@echo no network 1>&2\r\n@exit /b 1\r\n"
    (tmp_path / name).write_bytes(script)
    (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert mathjax.main(tmp_path / "mathjax") == 0
    assert re.search(r"`npm pack mathjax@[\d.]+` failed: no network; the site", capsys.readouterr().out)


def test_a_trial_sees_the_packages_of_another_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(colab_trial, "WORK", tmp_path / "我的 课程")
    venv.create(tmp_path / "我的 课程" / "base", with_pip=False)
    program = "import sys, sysconfig; print(ascii([sysconfig.get_path('purelib'), sys.path]))"

    def told(environment: Path) -> tuple[str, list[str]]:
        python = colab_trial.python_of(environment)
        run = subprocess.run([python, "-Ic", program], check=True, capture_output=True, encoding="ascii")
        return ast.literal_eval(run.stdout)

    base = tmp_path / "我的 课程" / "base"
    assert told(base)[0] in told(colab_trial.fresh_environment(base, "trial 1"))[1]


def test_the_trial_tells_how_long_a_chapter_took_to_its_first_figure():
    def cell(begun, done, *kinds):
        outputs = [nbformat.v4.new_output("display_data", {kind: "x"}) for kind in kinds]
        day = "2026-01-02T03:04:{:02}.500000Z"
        times = {"iopub.status.busy": day.format(begun), "iopub.status.idle": day.format(done)}
        return nbformat.v4.new_code_cell("x", outputs=outputs, metadata={"execution": times})

    words = nbformat.v4.new_markdown_cell("words")
    cells = [
        words,
        cell(0, 7),
        cell(7, 9, "text/plain"),
        cell(9, 19, "text/plain", "image/png"),
        cell(20, 30, "image/png"),
    ]
    assert colab_trial.pace(nbformat.v4.new_notebook(cells=cells)) == "set-up 7 s, first figure 12 s after it"
    assert colab_trial.pace(nbformat.v4.new_notebook(cells=cells[:3])) == "no figure"
