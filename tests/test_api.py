"""The API pages: every public name of the package is described, in a form that Sphinx reads without a complaint."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import inspect
import os
import pkgutil
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import minillm

pytest.importorskip("sphinx", reason="the website is built with the extra `book`")
from api_docstrings import house_lines, trailing_comments  # noqa: E402
from api_pages import public_modules  # noqa: E402
from sphinx.util.inventory import InventoryFile  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent


def modules() -> list[ModuleType]:
    """All modules of the package, by walking it."""
    found = pkgutil.walk_packages(minillm.__path__, "minillm.")
    names = ["minillm", *(module.name for module in found if not module.name.endswith(".__main__"))]
    return [importlib.import_module(name) for name in names]


def public_names() -> list[tuple[str, str]]:
    """(module, name) of everything that a module lists in `__all__`."""
    return [(module.__name__, name) for module in modules() for name in getattr(module, "__all__", ())]


def described() -> dict[str, Any]:
    """Full name -> value of every public class and function, and of the classes' public methods and properties."""
    found = {}
    for module, name in public_names():
        value = getattr(sys.modules[module], name)
        module = getattr(value, "__module__", None) or module
        if inspect.isroutine(inspect.unwrap(value)):
            found[f"{module}.{name}"] = value
        if inspect.isclass(value) and not hasattr(value, "__origin__"):
            found[f"{module}.{name}"] = value
            members = {key: each for key, each in vars(value).items() if key[0] != "_" or key == "__call__"}
            kinds = (property, functools.cached_property, staticmethod, classmethod)
            found |= {
                f"{module}.{name}.{key}": each
                for key, each in members.items()
                if isinstance(each, kinds) or inspect.isroutine(each)
            }
    return found


@pytest.fixture(scope="module")
def complaints_and_inventory(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, set[str]]:
    """What Sphinx complains of when it builds the API pages alone, as strict as the website; the names on them."""
    root = tmp_path_factory.mktemp("book")
    shutil.copytree(ROOT / "minillm", root / "minillm", ignore=shutil.ignore_patterns("__pycache__"))
    (root / "index.rst").write_text(
        "All\n===\n\n.. toctree::\n   :glob:\n\n   book/api/*\n", encoding="utf-8"
    )
    settings = ["-C", "-n", "-q", "-D", "extensions=api_docstrings", "-D", "html_theme=basic"]
    run = subprocess.run(
        [sys.executable, "-m", "sphinx", "-b", "html", *settings, str(root), str(root / "html")],
        capture_output=True,
        encoding="utf-8",
        env=os.environ | {"PYTHONPATH": str(ROOT / "tools"), "NO_COLOR": "1", "PYTHONIOENCODING": "utf-8"},
    )
    assert run.returncode == 0, run.stderr
    with (root / "html" / "objects.inv").open("rb") as file:
        inventory = InventoryFile.load(file, "", lambda base, name: name)
    return run.stderr, {name for kind in inventory if kind.startswith("py:") for name in inventory[kind]}


def test_sphinx_has_no_complaint(complaints_and_inventory: tuple[str, set[str]]) -> None:
    assert complaints_and_inventory[0].strip() == ""


def test_every_public_name_is_described_where_it_is_defined(
    complaints_and_inventory: tuple[str, set[str]],
) -> None:
    on_the_pages = complaints_and_inventory[1]
    homes = {module.name: module.homes for module in public_modules(ROOT)}
    for module, name in public_names():
        assert f"{homes[module][name]}.{name}" in on_the_pages, f"{module}.{name} stands on no page"
        home = sys.modules[homes[module][name]]
        assert getattr(home, name) is getattr(sys.modules[module], name)
    assert {name for name in described() if name.endswith(".forward")} <= on_the_pages


def test_every_field_of_a_public_dataclass_has_a_description(
    complaints_and_inventory: tuple[str, set[str]],
) -> None:
    missing = []
    for value in described().values():
        if dataclasses.is_dataclass(value) and not value.__name__.startswith("_"):
            told = inspect.getdoc(value) or ""
            for field in dataclasses.fields(value):
                homes = {f"{base.__module__}.{base.__qualname__}.{field.name}" for base in value.__mro__}
                in_words = re.search(rf"^ *(\w+, )*{field.name}(, \w+)*:", told, re.M)
                if not in_words and not homes & complaints_and_inventory[1]:
                    missing.append(f"{value.__module__}.{value.__qualname__}.{field.name}")
    assert missing == [], "say in a comment behind the field, or under Attributes, what it is"


def test_a_name_that_is_passed_on_is_listed_with_a_link(tmp_path: Path) -> None:
    texts = {path.stem: path.read_text(encoding="utf-8") for path in write_example(tmp_path)}
    assert ":py:obj:`half <minillm.parts.numbers.half>`: Half of a number." in texts["minillm.parts"]
    assert ":py:obj:`half <minillm.parts.numbers.half>`: Half of a number." in texts["fixed"]
    assert ":py:obj:`LIMIT <minillm.parts.numbers.LIMIT>`: ``9``" in texts["minillm.parts"]
    assert "- :doc:`minillm.parts <api/minillm.parts>`: The parts." in texts["folders"]


def test_pages_follow_the_package(tmp_path: Path) -> None:
    """A module that is added is described, its constants too; one without public names is not; a gone folder goes."""
    first = write_example(tmp_path)
    page = (tmp_path / "book" / "api" / "minillm.parts.rst").read_text(encoding="utf-8")
    assert ".. autofunction:: minillm.parts.numbers::half" in page
    assert ".. autodata:: minillm.parts.numbers::LIMIT\n" in page
    assert ".. autodata:: minillm.parts.numbers::LONG\n   :no-value:" in page
    assert ".. autoexception:: minillm.parts.numbers::TooLarge" in page
    assert "secret" not in page
    times = [path.stat().st_mtime_ns for path in first]
    assert [path.stat().st_mtime_ns for path in write_example(tmp_path)] == times, (
        "unchanged pages are left alone"
    )
    shutil.rmtree(tmp_path / "minillm" / "parts")
    (tmp_path / "minillm" / "__init__.py").write_text('"""The package."""\n', encoding="utf-8")
    run_writer(tmp_path)
    assert not (tmp_path / "book" / "api" / "minillm.parts.rst").exists()


def write_example(root: Path) -> list[Path]:
    """Write a small package of the same name and its pages."""
    parts = root / "minillm" / "parts"
    parts.mkdir(parents=True, exist_ok=True)
    passed_on = "from minillm.parts.numbers import LIMIT, half\n\n__all__ = ['LIMIT', 'half']\n"
    (root / "minillm" / "__init__.py").write_text(f'"""The package."""\n{passed_on}', encoding="utf-8")
    (parts / "__init__.py").write_text(f'"""The parts."""\n{passed_on}', encoding="utf-8")
    (parts / "secret.py").write_text("VALUE = 1\n", encoding="utf-8")
    (parts / "numbers.py").write_text(
        '__all__ = ["LIMIT", "LONG", "TooLarge", "half"]\n'
        "LIMIT = 9\nLONG = 'x' * 1000\n"
        'class TooLarge(ValueError):\n    """Above the limit."""\n'
        'def half(x):\n    """Half of a number.\n\n    And no more.\n    """\n',
        encoding="utf-8",
    )
    return run_writer(root)


def run_writer(root: Path) -> list[Path]:
    """Write the pages of the package below a root in a process of its own: `minillm` is another package there."""
    program = (
        "import sys, pathlib, api_pages; print(*api_pages.write_pages(pathlib.Path(sys.argv[1])), sep='\\n')"
    )
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(root), str(ROOT / "tools")]),
        "PYTHONIOENCODING": "utf-8",  # of the paths that it prints
    }
    command = [sys.executable, "-c", program, str(root)]
    run = subprocess.run(
        command, capture_output=True, encoding="utf-8", check=True, env=environment, cwd=root
    )
    return [Path(line) for line in run.stdout.splitlines()]


@pytest.mark.parametrize("name", sorted(described()))
def test_everything_public_has_a_docstring_of_a_sentence(name: str) -> None:
    told = inspect.getdoc(inspect.unwrap(described()[name])) or ""
    if name.endswith(".forward"):
        assert told, "give the shapes at least"
    else:
        assert re.match(r"\S.*[\w`)\]\"'][.:?](\s|$)", told, re.S) and len(told.split()) > 1, told


def test_a_docstring_of_the_house_becomes_fields() -> None:
    lines = """The sum.

Args:
    x: (batch,) of a
        batch.

Returns:
    two things: this, and that.

Raises:
    ValueError: none there.

Reference: Someone 2020, "A long title that goes on
in the next line", eq. 3.

Shown as it is written:

    a_ |b| *c

Attributes:
    y: a value.
""".splitlines()
    assert [line for line in house_lines(lines) if line] == [
        "The sum.",
        ":param x: (batch,) of a",
        "          batch.",
        ":returns: two things: this, and that.",
        ":raises ValueError: none there.",
        ':Reference: Someone 2020, "A long title that goes on',
        '    in the next line", eq. 3.',
        "Shown as it is written::",
        "    a_ |b| *c",
        ":Attributes: **y** -- a value.",
    ]


def test_comments_behind_fields_and_constants_describe_them() -> None:
    source = """
WIDTH = 3  # tokens
TOLD = 4  # noqa: E501
# alone
NOTHING = 5
LONG = (
    # inside
    6  # steps
)


class Config:
    rate: float = 0.1  # share
    rows: list[int] = field(default_factory=list)  #: of a batch

    def method(self):
        here = 1  # not public
"""
    assert trailing_comments(source) == {
        ("", "WIDTH"): "tokens",
        ("", "LONG"): "steps",
        ("Config", "rate"): "share",
        ("Config", "rows"): "of a batch",
    }


class Collected:
    """A plugin that notes in which files pytest has found something to run."""

    files: set[Path] = set()

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.files = {item.path for item in session.items}


def test_the_examples_of_every_module_are_run() -> None:
    """`make unit` gives pytest no folder: these settings decide what it collects."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["pytest"][
        "ini_options"
    ]
    assert "minillm" in settings["testpaths"]
    assert "--doctest-modules" in settings["addopts"]
    with_examples = {
        path for path in (ROOT / "minillm").rglob("*.py") if "\n    >>> " in path.read_text("utf-8")
    }
    note = Collected()
    command = ["--collect-only", "-q", "-p", "no:cacheprovider", f"--rootdir={ROOT}", str(ROOT / "minillm")]
    assert pytest.main(command, plugins=[note]) == 0
    assert with_examples and with_examples <= note.files
