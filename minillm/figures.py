"""What the chapters show: figures in one style, tokens as coloured boxes, and the package's own source.

A plot returns its axes and neither saves nor shows anything; the notebook does that. Figures have a white
ground, which the website keeps on a card in its dark mode. The colours of lines are those of Okabe and Ito
(2008), which people with the common kinds of colour blindness can tell apart; markers help as well.
"""

from __future__ import annotations

import functools
import html
import inspect
import textwrap
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

__all__ = [
    "MARKERS",
    "PALETTE",
    "STYLE",
    "compression_bars",
    "compression_curve",
    "loss_curve",
    "new_axes",
    "next_token_bars",
    "repetition_curve",
    "show_source",
    "styled",
    "token_bars",
    "token_boxes",
    "token_frequencies",
]

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#4D4D4D")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
STYLE: dict[str, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": "#7f7f7f",
    "axes.grid": True,
    "axes.prop_cycle": plt.cycler(color=PALETTE, marker=MARKERS),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.dpi": 120,
    "figure.facecolor": "white",
    "font.size": 10,
    "grid.color": "#e4e4e4",
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "lines.markersize": 5,
}


def styled(figure: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a function that draws, so that it draws in the style of the book.

    Only the settings of the style are put back afterwards. `plt.rc_context` would put back all, also those
    that a notebook makes when the first figure starts its backend, and no later figure would be shown.
    """

    @functools.wraps(figure)
    def in_style(*args: Any, **kwargs: Any) -> Any:
        before = {name: plt.rcParams[name] for name in STYLE}
        plt.rcParams.update(STYLE)
        try:
            return figure(*args, **kwargs)
        finally:
            plt.rcParams.update(before)

    return in_style


@styled
def new_axes(xlabel: str, ylabel: str, width: float = 7.0, height: float = 3.8) -> Axes:
    """Return empty axes of a new figure; the size is in inches."""
    axes = plt.subplots(figsize=(width, height), layout="constrained")[1]
    axes.set(xlabel=xlabel, ylabel=ylabel)
    return axes


@styled
def compression_curve(curves: Mapping[str, Sequence[float]], vocab_sizes: Sequence[int]) -> Axes:
    """Draw bytes per token against vocabulary size, one line for each kind of text.

    Args:
        curves: for each name of a text, its bytes per token at each of the sizes.
        vocab_sizes: in tokens.
    """
    axes = new_axes("vocabulary size (tokens)", "bytes per token")
    for name, values in curves.items():
        axes.plot(vocab_sizes, values, label=name)
    axes.set_xscale("log", base=2)
    axes.set_xticks(vocab_sizes, [f"{size:,}" for size in vocab_sizes])
    axes.set_xticks([], minor=True)
    axes.set_ylim(bottom=0)
    axes.legend()
    return axes


@styled
def token_frequencies(counts: Mapping[str, Collection[int]]) -> Axes:
    """Draw the share of each symbol in a text against its rank, the most frequent first, on logarithmic axes.

    Args:
        counts: for each name of a vocabulary, how often each of its symbols occurs, in any order.
    """
    axes = new_axes("rank of the symbol, from the most frequent", "share of all symbols (%)")
    for name, values in counts.items():
        shares = sorted((100 * value / sum(values) for value in values if value), reverse=True)
        axes.plot(range(1, len(shares) + 1), shares, label=name, marker="")
    axes.set(xscale="log", yscale="log")
    axes.xaxis.set_major_formatter("{x:,g}")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.legend()
    return axes


@styled
def compression_bars(table: Mapping[str, Mapping[str, float]]) -> Axes:
    """Draw bytes per token as bars: `table` has them by text, and for each text by tokenizer."""
    tokenizers = list(next(iter(table.values())))
    thickness = 0.8 / len(tokenizers)
    axes = new_axes("bytes per token", "", height=0.9 + 0.6 * len(table))
    for index, name in enumerate(tokenizers):
        middles = [row + (index + 0.5) * thickness - 0.4 for row in range(len(table))]
        bars = axes.barh(middles, [values[name] for values in table.values()], 0.9 * thickness, label=name)
        axes.bar_label(bars, fmt="%.2f", padding=3, fontsize=9)
    axes.set_yticks(range(len(table)), list(table))
    axes.invert_yaxis()
    axes.grid(False, axis="y")
    axes.margins(x=0.12)
    axes.legend(loc="lower right")
    return axes


_BOX = "display:inline-block;margin:1px;padding:0 4px;border-radius:3px;white-space:pre;line-height:1.6"
_GROUNDS = ("#cfe3f5", "#fbe0c3", "#cdebdc", "#ecd9ec")


class TokenBoxes:
    """Rows of tokens; coloured boxes in a notebook, plain text elsewhere. See ``token_boxes``."""

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
        return "\n".join(f"{label}: {'|'.join(map(_visible, row))}" for label, row in self.rows.items())


def token_boxes(rows: Mapping[str, Sequence[bytes | str | int]]) -> TokenBoxes:
    """Show rows of tokens as boxes, each row with a label above it.

    A box is bytes, for an ordinary token (spaces are shown as dots, line ends as arrows, and bytes that are
    no whole characters in hexadecimal digits); a string, for a special token; or an integer, for an id.

    >>> token_boxes({"English": [b"The", b" cat"], "Chinese": [b"\\xe7\\x8c", b"\\xab", "<|end|>"]})
    English: The|·cat
    Chinese: E7 8C|AB|<|end|>
    """
    return TokenBoxes(rows)


def _visible(piece: bytes | str | int) -> str:
    if not isinstance(piece, bytes):
        return str(piece)
    try:
        return piece.decode("utf-8").replace(" ", "·").replace("\n", "↵")
    except UnicodeDecodeError:
        return piece.hex(" ").upper()


def _box(piece: bytes | str | int, index: int) -> str:
    ordinary = _GROUNDS[index % len(_GROUNDS)], "#1a1a1a"
    ground, ink = {str: ("#333333", "#ffffff"), int: ("#e8e8e8", "#1a1a1a")}.get(type(piece), ordinary)
    return f'<span style="{_BOX};background:{ground};color:{ink}">{html.escape(_visible(piece))}</span>'


class SourceCode:
    """Python source; highlighted in a notebook, plain text elsewhere. See ``show_source``."""

    def __init__(self, source: str) -> None:
        self.source = source

    def _repr_markdown_(self) -> str:
        return f"````python\n{self.source}\n````"

    def __repr__(self) -> str:
        return self.source


def show_source(thing: Any) -> SourceCode:
    """Show the source of a function, class or module as it stands in the package."""
    return SourceCode(textwrap.dedent(inspect.getsource(thing)).rstrip())


def _ink(token: str) -> str:
    """A token as a label: line ends as arrows, outer spaces dropped unless nothing else is there."""
    return token.replace("\n", "↵").strip(" ") or "␣"


@styled
def next_token_bars(panels: Mapping[str, Mapping[str, float]]) -> list[Axes]:
    """Draw the most probable next tokens after several prefixes, a panel for each.

    Args:
        panels: for each title, the probabilities (0-1) of some tokens, the highest first.
    """
    rows = max(map(len, panels.values()))
    size = (7.6, 0.9 + 0.24 * rows)
    drawn = plt.subplots(1, len(panels), figsize=size, layout="constrained", sharex=True, squeeze=False)[1][0]
    for axes, (title, probabilities) in zip(drawn, panels.items(), strict=True):
        bars = axes.barh(range(len(probabilities)), list(probabilities.values()), color=PALETTE[0])
        axes.bar_label(bars, fmt="%.2f", padding=2, fontsize=8)
        axes.set_yticks(range(len(probabilities)), [_ink(token) for token in probabilities], fontsize=9)
        axes.set(xlim=(0, 1.28), xticks=(0, 0.5, 1), ylim=(rows - 0.4, -0.6))
        axes.set_xlabel("probability")
        axes.set_title(title, fontsize=9)
        axes.grid(False, axis="y")
    return list(drawn)


@styled
def token_bars(tokens: Sequence[str], rows: Mapping[str, Sequence[float]], ylabel: str) -> Axes:
    """Draw one number for each token of a text as bars, side by side where there are several rows of numbers.

    Args:
        tokens: the text, token by token.
        rows: for each name, a number for each token.
        ylabel: what the numbers are, with their unit.
    """
    axes = new_axes("", ylabel, width=max(7.0, 0.21 * len(tokens)), height=3.2)
    thickness = 0.8 / len(rows)
    for index, (name, values) in enumerate(rows.items()):
        middles = [column + (index + 0.5) * thickness - 0.4 for column in range(len(tokens))]
        axes.bar(middles, values, 0.95 * thickness, label=name)
    axes.set_xticks(range(len(tokens)), [_ink(token) for token in tokens], rotation=90, fontsize=8)
    axes.set_xlim(-0.7, len(tokens) - 0.3)
    axes.grid(False, axis="x")
    if len(rows) > 1:
        axes.legend()
    return axes


@styled
def loss_curve(
    metrics: Sequence[Mapping[str, float]],
    floor: float | None = None,
    levels: Mapping[str, float] | None = None,
) -> Axes:
    """Draw the loss against the step, with the entropy floor and other levels as lines; the loss axis is logarithmic.

    Args:
        metrics: lines of metrics.jsonl: "step" with "loss" (nats/token), or with "val_loss".
        floor: entropy of the language (nats/token); None where it is not known.
        levels: losses of simpler predictors by name (nats/token).
    """
    axes = new_axes("optimizer step", "loss (nats per token)", height=4.2)
    for key, name, style in (
        ("loss", "training", {"marker": "", "linewidth": 1}),
        ("val_loss", "validation", {}),
    ):
        points = [(line["step"], line[key]) for line in metrics if key in line]
        if points:
            axes.plot(*zip(*points, strict=True), label=name, **style)
    _draw_levels(axes, levels)
    if floor is not None:
        axes.axhline(floor, color=PALETTE[2], linewidth=1.5, linestyle="--", label="entropy floor")
    axes.set_yscale("log", base=2)
    limits, ticks = axes.get_ylim(), [2.0**power for power in range(-4, 5)]
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_ylim(limits)
    axes.legend(loc="center right")
    return axes


@styled
def repetition_curve(
    values: Mapping[int, float], ylabel: str, levels: Mapping[str, float] | None = None
) -> Axes:
    """Draw a quantity against how often a text stood in the training text; the horizontal axis is stretched near 0.

    Args:
        values: the quantity by number of repetitions.
        ylabel: the quantity, with its unit.
        levels: values to compare with, by name, as horizontal lines.
    """
    axes = new_axes("times in the training text", ylabel, height=3.4)
    axes.plot(list(values), list(values.values()))
    axes.set_xscale("symlog", base=2, linthresh=1)
    axes.set_xticks(list(values), list(map(str, values)))
    axes.minorticks_off()
    _draw_levels(axes, levels)
    axes.set_ylim(bottom=0)
    return axes


def _draw_levels(axes: Axes, levels: Mapping[str, float] | None) -> None:
    """Horizontal dotted lines with their names at the right edge."""
    for name, value in (levels or {}).items():
        axes.axhline(value, color=PALETTE[-1], linewidth=1, linestyle=":", marker="")
        axes.annotate(
            name, (1, value), (0, 2), ("axes fraction", "data"), "offset points", ha="right", fontsize=9
        )
