"""One style for all figures.

Figures have a white ground, which the website keeps on a card in its dark mode. The colours of lines are those of
Okabe and Ito (2008), which people with the common kinds of colour blindness can tell apart; markers help as well.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.rcsetup import cycler

if TYPE_CHECKING:
    from matplotlib.typing import RcKeyType

__all__ = [
    "MARKERS",
    "PALETTE",
    "STYLE",
    "draw_levels",
    "new_axes",
    "styled",
]

P = ParamSpec("P")
R = TypeVar("R")

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#4D4D4D")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
STYLE: dict[RcKeyType, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": "#7f7f7f",
    "axes.grid": True,
    "axes.prop_cycle": cycler(color=PALETTE, marker=MARKERS),
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


def styled(figure: Callable[P, R]) -> Callable[P, R]:
    """Decorate a function that draws, so that it draws in the style of the book.

    Only the settings of the style are put back afterwards. `plt.rc_context` would put back all, also those
    that a notebook makes when the first figure starts its backend, and no later figure would be shown.
    """

    @functools.wraps(figure)
    def in_style(*args: P.args, **kwargs: P.kwargs) -> R:
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
    axes: Axes = plt.subplots(figsize=(width, height), layout="constrained")[1]
    axes.set(xlabel=xlabel, ylabel=ylabel)
    return axes


def draw_levels(axes: Axes, levels: Mapping[str, float] | None) -> None:
    """Horizontal dotted lines with their names at the right edge."""
    for name, value in (levels or {}).items():
        axes.axhline(value, color=PALETTE[-1], linewidth=1, linestyle=":", marker="")
        axes.annotate(
            name, (1, value), (0, 2), ("axes fraction", "data"), "offset points", ha="right", fontsize=9
        )
