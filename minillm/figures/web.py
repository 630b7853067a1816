"""Figures of the chapter on web data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from minillm.figures.style import MARKERS, PALETTE, draw_levels, new_axes, styled

__all__ = ["kind_bars", "match_curve", "share_pairs", "step_losses"]

_MORE = ("#999999", "#b8860b", "#7b3294", "#1b7837")  # beside the palette, for many kinds


@styled
def kind_bars(steps: Mapping[str, Mapping[str, int]]) -> Axes:
    """Draw what is left after each step as a stacked horizontal bar of its kinds of page.

    Args:
        steps: for each step, in order, the number of pages of each kind; the first step names all kinds.
    """
    kinds = list(next(iter(steps.values())))
    axes = new_axes("pages left", "", height=0.9 + 0.42 * len(steps))
    begins = np.zeros(len(steps))
    colours = (*PALETTE, *_MORE)
    for index, kind in enumerate(kinds):
        counts = np.array([found.get(kind, 0) for found in steps.values()])
        axes.barh(
            list(steps),
            counts,
            0.7,
            left=begins,
            color=colours[index % len(colours)],
            label=kind,
            edgecolor="white",
            linewidth=0.6,
            hatch="//" if index >= len(PALETTE) else None,
        )
        begins += counts
    axes.invert_yaxis()
    axes.grid(False, axis="y")
    axes.legend(loc="lower center", bbox_to_anchor=(0.4, 1), ncols=5, fontsize=8.5, columnspacing=1.0)
    return axes


@styled
def match_curve(
    settings: Mapping[str, tuple[int, int]], measured: Mapping[float, float] | None = None
) -> Axes:
    """Draw the chance that MinHash finds two texts, against how alike they are.

    Args:
        settings: for each curve its number of buckets and of hashes in a bucket.
        measured: for a likeness (0-1) the share of pairs that were found with the first setting.
    """
    axes = new_axes("likeness of the two texts (Jaccard)", "found (%)", height=3.4)
    likeness = np.linspace(0, 1, 201)
    for index, (name, (buckets, hashes)) in enumerate(settings.items()):
        found = 1 - (1 - likeness**hashes) ** buckets
        style = "-" if index == 0 else "--"
        axes.plot(likeness, 100 * found, color=PALETTE[index], marker="", linestyle=style, label=name)
    if measured:
        shares = [100 * share for share in measured.values()]
        axes.plot(list(measured), shares, "o", color=PALETTE[-1], label="measured")
    axes.set(ylim=(-3, 103), xlim=(0, 1))
    axes.legend()
    return axes


@styled
def step_losses(
    seeds: Mapping[str, Mapping[str, float]], levels: Mapping[str, float] | None = None, what: str = ""
) -> Axes:
    """Draw a loss after each step, a line for each seed.

    Args:
        seeds: for each seed, the loss (nats/token) by step, in order; all have the same steps.
        levels: losses to compare with, by name.
        what: the axis.
    """
    steps = list(next(iter(seeds.values())))
    axes = new_axes("", what or "loss on clean text (nats per token)", height=3.9)
    for index, (name, losses) in enumerate(seeds.items()):
        values = [losses[step] for step in steps]
        axes.plot(range(len(steps)), values, color=PALETTE[index], marker=MARKERS[index], label=name)
    draw_levels(axes, levels)
    axes.set_xticks(range(len(steps)), steps, rotation=35, ha="right")
    axes.set_ylim(bottom=0)
    axes.legend()
    return axes


@styled
def share_pairs(
    rows: Mapping[str, Mapping[str, Sequence[float]]],
    levels: Mapping[str, float] | None = None,
    what: str = "",
) -> Axes:
    """Draw shares as groups of points, one point for each run.

    Args:
        rows: for each group, and in it for each series, the shares (0-1) of some runs.
        levels: shares to compare with, by name.
        what: the axis.
    """
    axes = new_axes("", what, height=3.4)
    series = list(next(iter(rows.values())))
    for index, name in enumerate(series):
        for place, group in enumerate(rows.values()):
            shares = [100 * share for share in group[name]]
            x = place + 0.16 * (index - (len(series) - 1) / 2) + 0.03 * (np.arange(len(shares)) - 1)
            label = name if place == 0 else None
            axes.plot(x, shares, MARKERS[index], color=PALETTE[index], label=label, markersize=7)
    draw_levels(axes, {name: 100 * level for name, level in (levels or {}).items()})
    axes.set_xticks(range(len(rows)), list(rows))
    axes.set(ylim=(-4, 104), xlim=(-0.6, len(rows) - 0.4))
    axes.legend()
    return axes
