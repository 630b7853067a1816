"""Numbers in a chapter's prose: each is computed by a cell, comes from a source, or is a constant that stands here.

A number next to a unit ("960 pages", "20 tokens") is a claim. It goes stale when the code beside it changes, unless a
cell prints it. So a bare one is allowed only where the code of the same chapter holds the same number, where its own
paragraph links to a source, where an exercise gives it, or where it is a constant of `CONSTANTS`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import nbformat

# What does not change with our code, and why.
CONSTANTS = {
    "256 bytes": "the values that eight bits can have",
    "1.44 bits": "a nat, 1 / ln 2",
    "50 %": "a coin",
    "73 %": "1 / (1 + 1/e), the chance of the better answer at a margin of 1",
    "95 %": "the level of every interval of the course",
}
UNITS = (
    "seconds?|minutes?|hours?|days?|tokens?|steps?|nats?|bits?|bytes?|[KMGT]B|parameters?|weights?|words?|documents?"
    "|pages?|answers?|prompts?|tasks?|questions?|epochs?|iterations?|updates?|layers?|heads?|GPUs?|FLOPs?|dimensions?"
    "|comparisons?|pairs?|points?|examples?|sums?|seeds?"
)
AMOUNT = r"(?<![\w.^_{/\-–=])(?<!\bchapter )(\d[\d,]*(?:\.\d+)?)(\s(?:thousand|million|billion|trillion))?"
CLAIM = re.compile(rf"{AMOUNT}(?:[ -](?:{UNITS})\b| ?%)")
NOT_PROSE = re.compile(r"```.*?```|\$\$.*?\$\$|\$[^$\n]*\$|`[^`\n]*`|<!--.*?-->", re.S)
SOURCE = re.compile(r"\]\((?:references\.md|https?:)")
EXERCISE = re.compile(r"\*\*Exercise \d")


def numbers_in_code(notebook: nbformat.NotebookNode) -> set[float]:
    """The numbers that stand anywhere in the code of a chapter, strings included."""
    found: set[float] = set()
    for cell in notebook.cells:
        if cell.cell_type == "code":
            for text in re.findall(r"(?<![\w.])\d[\d_,]*(?:\.\d+)?(?:e-?\d+)?", cell.source):
                found.add(float(text.replace("_", "").rstrip(",").replace(",", "")))
    return found


def paragraphs(source: str) -> list[str]:
    """The blocks of a Markdown cell: paragraphs, and the points of a list one by one."""
    return re.split(r"\n\s*\n|\n(?=[-*] |\d+\. |\|)", source)


def bare_numbers(notebook: nbformat.NotebookNode) -> Iterator[str]:
    """The numbers with a unit for which nothing answers, each with the words around it."""
    known = numbers_in_code(notebook)
    for number, cell in enumerate(notebook.cells, start=1):
        if cell.cell_type != "markdown":
            continue
        for block in paragraphs(cell.source):
            if SOURCE.search(block) or EXERCISE.search(block):
                continue
            text = NOT_PROSE.sub(" ", block)
            for match in CLAIM.finditer(text):
                constant = any(match[0].startswith(one) for one in CONSTANTS)
                amount = float(match[1].rstrip(",").replace(",", ""))
                same = {amount, round(amount / 100, 6)} if match[0].endswith("%") else {amount}
                in_code = not match[2] and same & known
                if not (constant or in_code):
                    around = " ".join(text[max(0, match.start() - 40) : match.end() + 20].split())
                    yield (
                        f"cell {number}: no cell computes {match[0]!r} in '{around}': print it, give its source in "
                        "the same paragraph, or name it in CONSTANTS of tools/notebook_numbers.py"
                    )
