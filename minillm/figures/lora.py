"""Figures of the chapter on LoRA."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from minillm.figures.style import PALETTE, new_axes, styled

__all__ = ["rank_curves", "share_curves"]


@styled
def rank_curves(curves: Mapping[str, Sequence[float]]) -> Axes:
    """Draw how much of a matrix its best approximation of each rank holds.

    Args:
        curves: for each name, the share of the squared length (%) for rank 1, 2, 3, ...
    """
    axes = new_axes("rank r of the approximation", "share of the squared change (%)")
    for name, shares in curves.items():
        axes.plot(range(1, len(shares) + 1), shares, marker="", label=name)
    longest = max(map(len, curves.values()))
    ticks = [rank for rank in (1, 2, 4, 8, 16, 32, 64, 128, 256, 512) if rank <= longest]
    axes.set_xscale("log")
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.set(xlim=(1, longest), ylim=(0, 103))
    axes.legend()
    return axes


@styled
def share_curves(
    curves: Mapping[str, Mapping[float, float]], widths: Mapping[str, float] | None = None
) -> Axes:
    """Draw the share of an adapter in a model's numbers against the model's width.

    Args:
        curves: for each name, by width (channels), the share (%).
        widths: widths to mark, by name, as vertical lines.
    """
    axes = new_axes("width of the model (channels)", "share of the adapter (%)")
    for name, shares in curves.items():
        axes.plot(list(shares), list(shares.values()), label=name)
    ticks = [width for shares in curves.values() for width in shares]
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks(ticks, [f"{tick:,g}" for tick in ticks])
    axes.minorticks_off()
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    for name, width in (widths or {}).items():
        axes.axvline(width, color=PALETTE[-1], linewidth=1, linestyle=":", marker="")
        axes.annotate(name, (width, 1), (4, -10), ("data", "axes fraction"), "offset points", fontsize=9)
    axes.legend(loc="lower left")
    return axes
