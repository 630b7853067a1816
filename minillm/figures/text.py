"""Text in the page: sentences and tables with numbers of a run, tokens as coloured boxes, the package's own source."""

from __future__ import annotations

import html
import inspect
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

__all__ = [
    "ink",
    "say",
    "show_source",
    "show_table",
    "still_table",
    "token_boxes",
    "visible",
]

_BOX = "display:inline-block;margin:1px;padding:0 4px;border-radius:3px;white-space:pre;line-height:1.6"
_GROUNDS = ("#cfe3f5", "#fbe0c3", "#cdebdc", "#ecd9ec")


class MarkdownText:
    """Markdown; rendered in a notebook, as it was written elsewhere. See `say`."""

    def __init__(self, text: str) -> None:
        self.text = text

    def _repr_markdown_(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return self.text


def say(text: str) -> None:
    """Show a text in Markdown, such as a sentence made of numbers: rendered in a notebook, printed elsewhere.

    >>> say(f"The model is right in **{0.875:.0%}** of the cases.")
    The model is right in **88%** of the cases.
    """
    ipython = sys.modules.get("IPython")  # there already, wherever it could show anything
    if ipython is None or ipython.get_ipython() is None:
        print(text)
    else:
        ipython.display.display(MarkdownText(text))


class Table:
    """A table; HTML in a notebook, Markdown elsewhere. See `still_table`."""

    def __init__(self, header: Sequence[Any], rows: Iterable[Sequence[Any]]) -> None:
        self.header = list(map(str, header))
        self.rows = [list(map(str, row)) for row in rows]
        for number, row in enumerate(self.rows, start=1):
            if len(row) != len(self.header):
                raise ValueError(
                    f"row {number} has {len(row)} cells, the header {len(self.header)}; give each column one"
                )

    def _repr_html_(self) -> str:
        head, *body = (
            "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in row)
            for tag, row in (("th", self.header), *(("td", row) for row in self.rows))
        )
        rows = "".join(f"<tr>{row}</tr>" for row in body)
        return f'<table class="table"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'

    def __repr__(self) -> str:
        lines = [self.header, ["---"] * len(self.header), *self.rows]
        return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def still_table(header: Sequence[Any], rows: Iterable[Sequence[Any]]) -> Table:
    """A table that can stand inside something else, such as the still of `live`.

    Args:
        header: what stands above the columns.
        rows: of cells, as `str` gives them; in HTML they are plain text.
    Raises:
        ValueError: a row with another number of cells than the header.
    """
    return Table(header, rows)


def show_table(header: Sequence[Any], rows: Iterable[Sequence[Any]]) -> None:
    """Show a table: rendered in a notebook, printed in Markdown elsewhere.

    Args:
        header: what stands above the columns.
        rows: of cells, as `str` gives them. They may hold Markdown; a bar stays a bar, a line end becomes a space.
    Raises:
        ValueError: a row with another number of cells than the header.

    >>> show_table(["animal", "legs"], [["cat", 4], ["hen", 2]])
    | animal | legs |
    | --- | --- |
    | cat | 4 |
    | hen | 2 |
    """
    say(repr(Table(header, rows)))


def _cell(text: str) -> str:
    return " ".join(text.splitlines()).replace("|", "\\|")


class TokenBoxes:
    """Rows of tokens; coloured boxes in a notebook, plain text elsewhere. See `token_boxes`."""

    def __init__(self, rows: Mapping[str, Sequence[bytes | str | int]]) -> None:
        self.rows = {label: list(pieces) for label, pieces in rows.items()}

    def _repr_html_(self) -> str:
        return "".join(
            '<div style="margin:0.5em 0"><div style="font-size:0.85em;opacity:0.8">'
            f'{html.escape(label)}</div><div style="font-family:monospace;font-size:0.9em">'
            f"{''.join(_box(piece, index) for index, piece in enumerate(pieces))}</div></div>"
            for label, pieces in self.rows.items()
        )

    def __repr__(self) -> str:
        return "\n".join(f"{label}: {'|'.join(map(visible, row))}" for label, row in self.rows.items())


def token_boxes(rows: Mapping[str, Sequence[bytes | str | int]]) -> TokenBoxes:
    """Show rows of tokens as boxes, each row with a label above it.

    A box is bytes, for an ordinary token (spaces are shown as dots, line ends as arrows, and bytes that are
    no whole characters in hexadecimal digits); a string, for a special token; or an integer, for an id.

    >>> token_boxes({"English": [b"The", b" cat"], "Chinese": [b"\\xe7\\x8c", b"\\xab", "<|end|>"]})
    English: The|·cat
    Chinese: E7 8C|AB|<|end|>
    """
    return TokenBoxes(rows)


def visible(piece: bytes | str | int) -> str:
    """A token as it is shown: see `token_boxes`."""
    if not isinstance(piece, bytes):
        return str(piece)
    try:
        return piece.decode("utf-8").replace(" ", "·").replace("\n", "↵")
    except UnicodeDecodeError:
        return piece.hex(" ").upper()


def _box(piece: bytes | str | int, index: int) -> str:
    ordinary = _GROUNDS[index % len(_GROUNDS)], "#1a1a1a"
    ground, ink = {str: ("#333333", "#ffffff"), int: ("#e8e8e8", "#1a1a1a")}.get(type(piece), ordinary)
    return f'<span style="{_BOX};background:{ground};color:{ink}">{html.escape(visible(piece))}</span>'


class SourceCode:
    """Python source; highlighted in a notebook, plain text elsewhere. See `show_source`."""

    def __init__(self, source: str) -> None:
        self.source = source

    def _repr_markdown_(self) -> str:
        return f"````python\n{self.source}\n````"

    def __repr__(self) -> str:
        return self.source


def show_source(thing: Any) -> SourceCode:
    """Show the source of a function, class or module as it stands in the package."""
    return SourceCode(textwrap.dedent(inspect.getsource(thing)).rstrip())


def ink(token: str) -> str:
    """A token as a label: line ends as arrows, outer spaces dropped unless nothing else is there."""
    return token.replace("\n", "↵").strip(" ") or "␣"
