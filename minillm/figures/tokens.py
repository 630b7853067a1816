"""Figures of the chapter on tokens."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from matplotlib.axes import Axes

from minillm.figures.style import PALETTE, new_axes, styled

__all__ = [
    "compression_curve",
    "language_bars",
    "token_frequencies",
]

# One colour for one thing in every figure of the chapter; green is the village and what was learned from it.
_COLOURS = {
    "English": PALETTE[0],
    "Chinese": PALETTE[1],
    "village": PALETTE[2],
    "our tokens": PALETTE[2],
    "code": PALETTE[3],
    "bytes": PALETTE[6],
}


@styled
def compression_curve(curves: Mapping[str, Sequence[float]], vocab_sizes: Sequence[int]) -> Axes:
    """Draw bytes per token against vocabulary size, one line for each kind of text.

    Args:
        curves: for each name of a text, its bytes per token at each of the sizes.
        vocab_sizes: in tokens.
    """
    axes = new_axes("vocabulary size (tokens, logarithmic axis)", "bytes per token")
    for name, values in curves.items():
        axes.plot(vocab_sizes, values, label=name, color=_COLOURS.get(name))
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
    axes = new_axes(
        "rank of the symbol, most frequent first (logarithmic axis)", "share (%, logarithmic axis)"
    )
    for name, values in counts.items():
        shares = sorted((100 * value / sum(values) for value in values if value), reverse=True)
        axes.plot(range(1, len(shares) + 1), shares, label=name, marker="", color=_COLOURS.get(name))
    axes.set(xscale="log", yscale="log")
    axes.xaxis.set_major_formatter("{x:,g}")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.legend()
    return axes


@styled
def language_bars(table: Mapping[str, Mapping[str, int]]) -> Axes:
    """Draw how many tokens each vocabulary needs for one text in several languages.

    Args:
        table: for each name of a vocabulary, the number of tokens by language.
    """
    languages = list(next(iter(table.values())))
    thickness = 0.8 / len(languages)
    axes = new_axes("tokens for the same text", "", height=1.2 + 0.6 * len(table))
    for index, language in enumerate(languages):
        middles = [row + (index + 0.5) * thickness - 0.4 for row in range(len(table))]
        lengths = [counts[language] for counts in table.values()]
        colour = _COLOURS.get(language)
        bars = axes.barh(middles, lengths, 0.9 * thickness, label=language, color=colour)
        axes.bar_label(bars, padding=3, fontsize=9)
    axes.set_yticks(range(len(table)), list(table))
    axes.invert_yaxis()
    axes.grid(False, axis="y")
    axes.margins(x=0.12)
    axes.legend(loc="lower right")
    return axes
