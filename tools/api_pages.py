"""The API pages of the website, one for each folder of the package, written from the package itself.

What is public is what the modules name in `__all__`. A name is described where it is defined; a module that passes
it on lists it with a link. `book_site.py` calls this before Sphinx looks for its pages.
"""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Module", "page", "pages", "public_modules", "write_pages"]

PACKAGE = "minillm"
FOLDER = Path("book") / "api"  # of the pages, below the root of the book; not in git
FIXED_NAMES = (
    "fixed.txt"  # beside them, for book/api.md: the list of the names that the package itself exports
)
FOLDERS = "folders.txt"  # and that of the pages
LONGEST_VALUE = 160  # characters of a constant; a longer one is described without its value


@dataclass(frozen=True)
class Module:
    """A module and its public names, each with the module that defines it."""

    name: str
    is_folder: bool
    homes: dict[str, str]

    @property
    def own(self) -> list[str]:
        """The names that are described here."""
        return [name for name, home in self.homes.items() if home == self.name]

    @property
    def passed_on(self) -> list[str]:
        """The names that are described elsewhere."""
        return [name for name, home in self.homes.items() if home != self.name]

    @property
    def page(self) -> str:
        """The folder on whose page the module stands."""
        return self.name if self.is_folder else self.name.rpartition(".")[0]


def public_modules(root: Path) -> list[Module]:
    """The modules below a root that have public names, and the folders that hold them, sorted by name."""
    sources = {
        ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): path
        for path in sorted((root / PACKAGE).rglob("*.py"))
        if path.name != "__main__.py"
    }
    imported = {name: _imported_names(path) for name, path in sources.items()}
    public = {name: list(getattr(importlib.import_module(name), "__all__", ())) for name in sources}

    def home(module: str, name: str) -> str:
        """The module that defines a name, as far as the way there is public."""
        source = imported[module].get(name)
        return home(source, name) if source and name in public.get(source, ()) else module

    return [
        Module(name, path.name == "__init__.py", {each: home(name, each) for each in public[name]})
        for name, path in sorted(sources.items())
        if public[name] or path.name == "__init__.py"
    ]


def _imported_names(path: Path) -> dict[str, str]:
    """Name -> module of what a file imports from the package, at its top and under the name that it has there."""
    found: dict[str, str] = {}
    statements: list[ast.stmt] = ast.parse(path.read_text(encoding="utf-8")).body
    while statements:
        statement = statements.pop()
        if isinstance(statement, ast.If):
            statements += [*statement.body, *statement.orelse]
        elif isinstance(statement, ast.ImportFrom):
            names = [alias.name for alias in statement.names if alias.asname in (None, alias.name)]
            found |= dict.fromkeys(names, statement.module or "")
    return {name: module for name, module in found.items() if module.partition(".")[0] == PACKAGE}


def pages(modules: Iterable[Module]) -> dict[str, str]:
    """Folder -> the text of its page, in reStructuredText."""
    folders: dict[str, list[Module]] = {}
    for module in modules:
        folders.setdefault(module.page, []).append(module)
    return {folder: page(folder, inside) for folder, inside in folders.items()}


def page(folder: str, modules: Iterable[Module]) -> str:
    """The page of a folder: its own names first, then module by module."""
    ordered = sorted(modules, key=lambda module: (module.name != folder, module.name))
    return "\n".join(_section(module, "=" if module.name == folder else "-") for module in ordered)


def _section(module: Module, line: str) -> str:
    lines = [module.name, line * len(module.name), "", f".. automodule:: {module.name}", ""]
    if module.passed_on:
        lines += [f"These can be imported from `{module.name}` itself:", ""]
        lines += [*_links(module), ""]
    for name in module.own:
        lines += [*_entry(module.name, name), ""]
    return "\n".join(lines)


def _links(module: Module) -> list[str]:
    """A list of the names that a module passes on, each with its sentence and the way to its description."""
    return [
        f"- :py:obj:`{name} <{module.homes[name]}.{name}>`: {_sentence(module.homes[name], name)}"
        for name in module.passed_on
    ]


def _sentence(module: str, name: str) -> str:
    """What a name is: the beginning of its docstring, or the value of a constant."""
    value = getattr(importlib.import_module(module), name)
    if _kind(value) != "data":
        return _told(value)
    return f"``{value!r}``" if len(repr(value)) <= LONGEST_VALUE else "a constant."


def _told(value: Any) -> str:
    """The first paragraph of a docstring; of a module by its name."""
    value = importlib.import_module(value) if isinstance(value, str) else value
    return " ".join((inspect.getdoc(value) or "").partition("\n\n")[0].split())


def _entry(module: str, name: str) -> list[str]:
    """The directive that describes a name."""
    value = getattr(importlib.import_module(module), name)
    kind = _kind(value)
    options = ["   :no-value:"] if kind == "data" and len(repr(value)) > LONGEST_VALUE else []
    if kind in ("class", "exception"):
        options = [
            "   :members:",
            "   :special-members: __call__, __getitem__, __iter__, __len__",
            *_ancestry(value),
        ]
    return [f".. auto{kind}:: {module}::{name}", *options]


def _ancestry(value: type) -> list[str]:
    """Options for a class: its public bases are named, and what it has from private ones stands with it."""
    private = {base for base in value.__mro__[1:] if _is_private(base)}
    elsewhere = ", ".join(base.__name__ for base in value.__mro__[1:] if base not in private)
    options = [f"   :inherited-members: {elsewhere}"] if private else []
    named = any(base is not object and base not in private for base in value.__bases__)
    return [*options, "   :show-inheritance:"] if named else options


def _is_private(base: type) -> bool:
    return base.__module__.partition(".")[0] == PACKAGE and base.__name__.startswith("_")


def _kind(value: Any) -> str:
    if inspect.isclass(value) and not hasattr(value, "__origin__"):  # list[int] calls itself a class
        return "exception" if issubclass(value, BaseException) else "class"
    return "function" if inspect.isroutine(inspect.unwrap(value)) else "data"


def write_pages(root: Path) -> list[Path]:
    """Write the pages below a root where they are not so already, and remove those of folders that are gone."""
    modules = public_modules(root)
    folders = pages(modules)
    texts = {f"{folder}.rst": text for folder, text in folders.items()}
    texts[FIXED_NAMES] = "\n".join(_links(modules[0])) + "\n"
    texts[FOLDERS] = "\n".join(f"- :doc:`{name} <api/{name}>`: {_told(name)}" for name in folders) + "\n"
    target = root / FOLDER
    target.mkdir(parents=True, exist_ok=True)
    for path in target.iterdir():
        if path.name not in texts:
            path.unlink()
    for name, text in texts.items():
        path = target / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8", newline="\n")
    return [target / name for name in texts]
