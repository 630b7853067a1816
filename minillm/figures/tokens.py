"""Figures of the chapter on tokens."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from matplotlib.axes import Axes

from minillm.figures.style import new_axes, styled

__all__ = [
    "compression_bars",
    "compression_curve",
    "token_frequencies",
]


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
