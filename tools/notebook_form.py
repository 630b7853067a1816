"""The normal form of a chapter, and the rules that `make check` holds every chapter to."""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import nbformat
from notebook_numbers import bare_numbers
from notebook_text import is_setup
from repository import ROOT, SETUP_METADATA, setup_source

KERNELSPEC = {"display_name": "Python 3", "language": "python", "name": "python3"}
LANGUAGE = {"name": "python", "pygments_lexer": "ipython3"}
METADATA_KEPT = ("tags", "mystnb", "cellView")
TAGS_ALLOWED = {"remove-output", "hide-cell", "hide-input", "remove-input", "nbval-ignore-output"}
MAX_LINES = 30  # lines of a code cell
MAX_BYTES = 1_000_000  # bytes of a notebook file
MAX_WORDS = 4_500  # of prose in a chapter, captions and the list of sources aside
MAX_VISIBLE = 400  # lines of code that are not folded
LEAST_TURNS = 2  # cells in which the reader changes something
MACHINE_PATH = re.compile(
    r"(?<![\w.])(?:/(?:home|root|Users|tmp|work|content|mnt|opt|usr)/|[A-Z]:\\\\?Users)"
)
ADDRESS = re.compile(r" at 0x[0-9a-f]{6,}")
MYST_ONLY = re.compile(r"^:::|^```\{|\{(?:cite|ref|numref|doc|eq|term)[\w:]*\}`", re.M)

CAPTION = re.compile(r"\*Figure \d+\.\d+\. .+\*(?:\n\n|$)", re.S)  # how the cell below a picture starts


def merge_streams(outputs: list[Any]) -> list[Any]:
    """Join neighbouring pieces of one stream: how output was cut into messages is an accident of timing."""
    merged: list[Any] = []
    for output in outputs:
        last = merged[-1] if merged else None
        if last and output.output_type == last.output_type == "stream" and output.name == last.name:
            last.text += output.text
        else:
            merged.append(nbformat.from_dict(output))
    return merged


def normalise(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Return the notebook in normal form: the same content gives the same bytes."""
    seen: dict[str, int] = {}
    cells, count = [], 0
    for cell in notebook.cells:
        source = cell.source.strip("\n")
        digest = hashlib.sha256(f"{cell.cell_type}\n{source}".encode()).hexdigest()[:10]
        seen[digest] = seen.get(digest, 0) + 1
        metadata = {key: cell.metadata[key] for key in METADATA_KEPT if cell.metadata.get(key)}
        fields: dict[str, Any] = {
            "cell_type": cell.cell_type,
            "id": digest if seen[digest] == 1 else f"{digest}-{seen[digest]}",
            "metadata": metadata,
            "source": source,
        }
        if cell.cell_type == "code":
            executed = cell.execution_count is not None
            count += executed
            outputs = [] if is_setup(cell) else merge_streams(cell.outputs)
            for output in outputs:
                if "execution_count" in output:
                    output.execution_count = count
            fields |= {"execution_count": count if executed else None, "outputs": outputs}
        cells.append(fields)
    metadata = {"kernelspec": dict(KERNELSPEC), "language_info": dict(LANGUAGE)}
    return nbformat.from_dict({"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5})


def to_bytes(notebook: nbformat.NotebookNode) -> bytes:
    """The file content of a notebook."""
    return (nbformat.writes(notebook) + "\n").encode()


@lru_cache
def exported_names(package: Path = ROOT / "minillm") -> frozenset[str]:
    """Every name in an `__all__` of the package, read from the source without importing it.

    But for those that are always said with their module, as `checks.text` is.
    """
    names: set[str] = set()
    for path in package.rglob("*.py"):
        if path == package / "checks.py":
            continue
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            targets = getattr(node, "targets", [getattr(node, "target", None)])
            if any(isinstance(t, ast.Name) and t.id == "__all__" for t in targets):
                names |= {
                    c.value
                    for c in ast.walk(node)
                    if isinstance(c, ast.Constant) and isinstance(c.value, str)
                }
    return frozenset(names)


def defined_names(source: str) -> Iterator[str]:
    """Names that a cell binds at its top level: def, class, assignment, loop, import under another name."""
    stack: list[ast.AST] = list(ast.parse(source).body)
    while stack:
        node = stack.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from (alias.asname for alias in node.names if alias.asname and alias.asname != alias.name)
        elif isinstance(node, ast.Name):
            if isinstance(node.ctx, ast.Store):
                yield node.id
        elif not isinstance(node, ast.Lambda | ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
            stack.extend(ast.iter_child_nodes(node))


def output_text(output: Any) -> str:
    """All text of an output, for searching."""
    if output.output_type == "stream":
        return output.text
    return "\n".join(
        str(value) for kind, value in output.get("data", {}).items() if not kind.startswith("image/")
    )


def code_problems(cell: Any) -> Iterator[str]:
    """What is wrong with the source and the metadata of a code cell."""
    if len(cell.source.split("\n")) > MAX_LINES:
        yield f"has {len(cell.source.splitlines())} lines; at most {MAX_LINES} are allowed: split it"
    try:
        defined = set(defined_names(cell.source))
    except SyntaxError as error:
        yield f"is not plain Python ({error.msg}, line {error.lineno}); magics are not allowed"
        defined = set()
    for name in sorted(defined & exported_names()):
        yield f"defines {name!r}, a name that minillm exports: give the toy version another name"
    if cell.source.rstrip().endswith(";"):
        yield "ends in a semicolon, which nbval does not honour: assign the value to a name instead"
    tags = cell.metadata.get("tags", [])
    if unknown := set(tags) - TAGS_ALLOWED:
        yield f"has tags {sorted(unknown)}; allowed are {sorted(TAGS_ALLOWED)}"
    if "remove-output" in tags and not is_setup(cell):
        yield "has the tag remove-output, which only the set-up cell may have"
    titled, form = cell.source.startswith("# @title"), cell.metadata.get("cellView") == "form"
    folded = "hide-cell" in tags or "hide-input" in tags
    if not is_setup(cell) and (titled != form or (form and not folded) or ("hide-cell" in tags and not form)):
        yield "is half folded: `# @title ...` first and cellView form go together, with hide-cell or hide-input"


def output_problems(cell: Any, stem: str, below: Any = None) -> Iterator[str]:
    """What is wrong with the stored outputs of a code cell; `below` is the next cell, where a caption may stand."""
    if cell.source and cell.execution_count is None:
        yield "was not executed: run `make execute`"
    for output in cell.outputs:
        if output.output_type == "error":
            yield f"has a stored error, {output.ename}: {output.evalue}"
        text = output_text(output)
        if match := MACHINE_PATH.search(text):
            yield f"shows a path of the machine it ran on: {text[match.start() : match.start() + 60]!r}"
        if match := ADDRESS.search(text):
            yield f"shows a memory address ({match[0].strip()}): assign it to a name"
        kinds = set(output.get("data", {}))
        if "image/svg+xml" in kinds:
            yield "stores an SVG, whose ids change with each run: use PNG"
        if any("widget" in kind for kind in kinds):
            yield "stores a widget, which the website cannot show"
        if "image/png" in kinds:
            mystnb = cell.metadata.get("mystnb", {})
            figure = mystnb.get("figure", {})
            captions = [figure.get("caption"), below and CAPTION.match(below.source)]
            if not (any(captions) and figure.get("name") and mystnb.get("image", {}).get("alt")):
                yield "draws a picture without caption, name and alt text"
            elif all(captions):
                yield "has two captions: keep the one in the cell below, which Jupyter and Colab show too"
            elif not figure["name"].startswith(f"fig-{stem[:2]}-"):
                yield f"names its figure {figure['name']!r}; it must start with fig-{stem[:2]}-"


def prose_words(notebook: nbformat.NotebookNode) -> int:
    """Words that a reader reads: of all Markdown, but for captions and what stands from `## Sources` on."""
    words = 0
    for cell in notebook.cells:
        if cell.cell_type != "markdown":
            continue
        text, sources, _ = f"\n{cell.source}".partition("\n## Sources")
        words += len(CAPTION.sub("", text.lstrip("\n"), count=1).split())
        if sources:
            break
    return words


def visible_lines(notebook: nbformat.NotebookNode) -> int:
    """Lines of code, blank ones aside, in cells that no tag folds."""
    folded = {"hide-cell", "hide-input", "remove-input"}
    sources = (
        c.source
        for c in notebook.cells
        if c.cell_type == "code" and not is_setup(c) and not folded & set(c.metadata.get("tags", []))
    )
    return sum(bool(line.strip()) for source in sources for line in source.split("\n"))


def length_problems(notebook: nbformat.NotebookNode, stem: str) -> Iterator[str]:
    """Whether a chapter is short enough, and leaves something to the reader; pages such as 02b belong to another."""
    if (words := prose_words(notebook)) > MAX_WORDS:
        yield f"has {words:,} words of prose; at most {MAX_WORDS:,} are allowed: cut, or move it to a page of its own"
    if (lines := visible_lines(notebook)) > MAX_VISIBLE:
        yield f"shows {lines} lines of code; at most {MAX_VISIBLE} are allowed: fold asserts, plots and tables"
    turns = sum(c.source.count("**Your turn") for c in notebook.cells if c.cell_type == "markdown")
    if stem[:2].isdecimal() and stem[2:3] == "_" and turns < LEAST_TURNS:
        yield f"has {turns} cells marked **Your turn**; let the reader change something in {LEAST_TURNS} or more"


def notebook_problems(notebook: nbformat.NotebookNode, stem: str) -> Iterator[str]:
    """What is wrong with a notebook; `stem` is its file name without the extension."""
    cells = notebook.cells
    if not cells or cells[0].cell_type != "markdown" or not cells[0].source.startswith("# "):
        yield "cell 1: must be Markdown that starts with the chapter's title, `# Title`"
    headings = [
        line
        for c in cells
        if c.cell_type == "markdown"
        for line in c.source.split("\n")
        if line.startswith("# ")
    ]
    if len(headings) > 1:
        yield f"has {len(headings)} top headings {headings}; a chapter has one"
    setups = [cell for cell in cells if is_setup(cell)]
    if len(setups) != 1 or setups[0].source != setup_source() or setups[0].metadata != SETUP_METADATA:
        yield "has not exactly one set-up cell in its current form: run `make setup-cells`"
    elif setups[0] is not next(cell for cell in cells if cell.cell_type == "code"):
        yield "has code before the set-up cell"
    names: set[str] = set()
    for number, (cell, below) in enumerate(zip(cells, [*cells[1:], None], strict=True), start=1):
        found: list[str] = []
        if MACHINE_PATH.search(cell.source):
            found.append("names a path of one machine in its source")
        if cell.cell_type == "markdown":
            if match := MYST_ONLY.search(cell.source):
                found.append(f"uses MyST syntax that Colab shows raw: {match[0]!r}")
        else:
            found += [*code_problems(cell), *output_problems(cell, stem, below)]
            name = cell.metadata.get("mystnb", {}).get("figure", {}).get("name")
            if name in names:
                found.append(f"uses the figure name {name!r} a second time")
            names |= {name} - {None}
        first = cell.source.split("\n")[0][:50]
        yield from (f"cell {number} ({first!r}) {problem}" for problem in found)


def file_problems(path: Path) -> list[str]:
    """What is wrong with a notebook file: its content, its form, its size."""
    content = path.read_bytes()
    notebook = nbformat.reads(content.decode("utf-8"), as_version=4)
    problems = [
        *notebook_problems(notebook, path.stem),
        *length_problems(notebook, path.stem),
        *bare_numbers(notebook),
    ]
    if len(content) > MAX_BYTES:
        problems.append(
            f"has {len(content):,} bytes; at most {MAX_BYTES:,} are allowed: draw fewer or smaller pictures"
        )
    if content != to_bytes(normalise(notebook)):
        problems.append("is not in normal form: run `make normalise`")
    return problems
