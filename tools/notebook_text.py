"""Notebooks as readable text, for authors: percent cells, options of a cell in `#|` lines under `# %%`.

    # %% [markdown]
    r\"\"\"
    Prose.
    \"\"\"

    # %% setup

    # %%
    #| tags: nbval-ignore-output
    #| caption: Figure 1.1. Bytes per token against vocabulary size.
    #| name: fig-01-compression
    #| alt: A falling curve.
    print(1)

`caption`, `name` and `alt` become the figure metadata of MyST-NB; `form: true` folds the code in Colab.
"""

from __future__ import annotations

import re
from typing import Any

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from repository import SETUP_METADATA, setup_source

SETUP_START = "# @title Set-up"
OPTIONS = ("tags", "caption", "name", "alt", "form")


def is_setup(cell: Any) -> bool:
    """Whether a cell is the set-up cell (known by its first words, so that an outdated one is found too)."""
    return cell.cell_type == "code" and cell.source.startswith(SETUP_START)


def parse_options(lines: list[str], where: str) -> dict[str, Any]:
    """Turn `#| key: value` lines into cell metadata."""
    options: dict[str, str] = {}
    for line in lines:
        match = re.fullmatch(r"#\|\s*(\w+):\s*(.*?)\s*", line)
        if not match or match[1] not in OPTIONS:
            raise ValueError(
                f"{where}: cannot read {line!r}; write `#| key: value` with a key of {', '.join(OPTIONS)}"
            )
        options[match[1]] = match[2]
    metadata: dict[str, Any] = {}
    if "tags" in options:
        metadata["tags"] = [tag.strip() for tag in options["tags"].split(",")]
    if options.get("form") == "true":
        metadata["cellView"] = "form"
    mystnb: dict[str, Any] = {}
    if figure := {key: options[key] for key in ("caption", "name") if key in options}:
        mystnb["figure"] = figure
    if "alt" in options:
        mystnb["image"] = {"alt": options["alt"]}
    if mystnb:
        metadata["mystnb"] = mystnb
    return metadata


def format_options(metadata: Any) -> list[str]:
    """The inverse of `parse_options`."""
    mystnb = metadata.get("mystnb", {})
    options = {
        "tags": ", ".join(metadata.get("tags", [])),
        **mystnb.get("figure", {}),
        **mystnb.get("image", {}),
        "form": "true" if metadata.get("cellView") == "form" else "",
    }
    return [f"#| {key}: {options[key]}" for key in OPTIONS if options.get(key)]


def text_to_notebook(text: str) -> nbformat.NotebookNode:
    """Read percent text and return a notebook without outputs."""
    cells = []
    parts = re.split(r"^# %%(.*)\n?", text, flags=re.M)
    if parts[0].strip():
        raise ValueError(
            f"text before the first `# %%`: {parts[0].strip()[:60]!r}; start with `# %% [markdown]`"
        )
    for number, (head, body) in enumerate(zip(parts[1::2], parts[2::2], strict=True), start=1):
        head, body = head.strip(), body.strip("\n").rstrip()
        if head == "[markdown]":
            match = re.fullmatch(r'r?"""\n?(.*?)\n?"""', body, re.S)
            if not match:
                raise ValueError(
                    f'cell {number}: put the Markdown between r""" and """, and nothing else in the cell'
                )
            cells.append(new_markdown_cell(match[1].strip("\n")))
        elif head == "setup":
            cells.append(new_code_cell(setup_source(), metadata=dict(SETUP_METADATA)))
        elif head == "":
            lines = body.split("\n")
            count = next((i for i, line in enumerate(lines) if not line.startswith("#|")), len(lines))
            source = "\n".join(lines[count:]).strip("\n")
            cells.append(new_code_cell(source, metadata=parse_options(lines[:count], f"cell {number}")))
        else:
            raise ValueError(
                f"cell {number}: cannot read `# %% {head}`; allowed: `# %%`, `# %% [markdown]`, `# %% setup`"
            )
    return new_notebook(cells=cells)


def notebook_to_text(notebook: nbformat.NotebookNode) -> str:
    """Write a notebook as percent text, without outputs."""
    blocks = []
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            blocks.append(f'# %% [markdown]\nr"""\n{cell.source}\n"""')
        elif is_setup(cell):
            blocks.append("# %% setup")
        else:
            blocks.append("\n".join(["# %%", *format_options(cell.metadata), cell.source]))
    return "\n\n".join(blocks) + "\n"


def keep_outputs(notebook: nbformat.NotebookNode, old: nbformat.NotebookNode) -> bool:
    """Copy the outputs of `old` if the code is the same, cell by cell; return whether it was."""
    new_code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    old_code = [cell for cell in old.cells if cell.cell_type == "code"]
    if ["" if is_setup(c) else c.source for c in new_code] != [
        "" if is_setup(c) else c.source for c in old_code
    ]:
        return False
    for cell, before in zip(new_code, old_code, strict=True):
        cell.outputs, cell.execution_count = before.outputs, before.execution_count
    return True
