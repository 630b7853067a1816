"""Figures of the chapter on evaluation and tools."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from minillm.figures.style import MARKERS, PALETTE, new_axes, styled

__all__ = ["inflation_curve", "mark_bars", "needed_curves", "rating_points"]

_GREYS = {"right": PALETTE[2], "made up": PALETTE[1], "no answer": "#c8c8c8"}


@styled
def rating_points(
    groups: Mapping[str, Mapping[str, tuple[float, float, float]]], what: str = "rating (mean of all: 1000)"
) -> Axes:
    """Draw ratings as points with their 95 % intervals, a row for each player, a colour and a sign for each group.

    Args:
        groups: for each group (a judge, say) the rating of each player with the ends of its interval.
        what: the rating, with its unit.
    """
    players = list(dict.fromkeys(player for ratings in groups.values() for player in ratings))
    axes = new_axes(what, "", height=1.0 + 0.22 * len(players) * (len(groups) + 0.3))
    gap = 0.7 / len(groups)
    for index, (group, ratings) in enumerate(groups.items()):
        rows = [players.index(player) + (index + 0.5) * gap - 0.35 for player in ratings]
        middles = np.array([rating for rating, _, _ in ratings.values()])
        whiskers = np.array([(r - low, high - r) for r, low, high in ratings.values()]).T.clip(min=0)
        axes.errorbar(
            middles,
            rows,
            xerr=whiskers,
            color=PALETTE[index],
            marker=MARKERS[index],
            linestyle="",
            elinewidth=1.4,
            capsize=2,
            label=group,
        )
    axes.set_yticks(range(len(players)), players)
    axes.set_ylim(len(players) - 0.5, -0.5)
    axes.grid(False, axis="y")
    if any(groups):
        axes.legend(loc="lower center", bbox_to_anchor=(0.45, 1), ncols=len(groups))
    return axes


@styled
def needed_curves(
    curves: Mapping[str, Mapping[float, float]], marks: Mapping[str, float] | None = None
) -> Axes:
    """Draw how many tasks it takes to see a difference, on two logarithmic axes.

    Args:
        curves: for each way to compare, the number of tasks by difference (0-1).
        marks: numbers of tasks to compare with, by name.
    """
    axes = new_axes("difference to be seen (points of 100, logarithmic)", "tasks needed (logarithmic)")
    for name, points in curves.items():
        axes.plot([100 * d for d in points], list(points.values()), marker="", label=name)
    for name, n in (marks or {}).items():
        axes.axhline(n, color=PALETTE[-1], linewidth=1, linestyle=":", marker="")
        axes.annotate(
            name, (1, n), (0, 2), ("axes fraction", "data"), "offset points", ha="right", fontsize=9
        )
    axes.set(xscale="log", yscale="log")
    ticks = [1, 2, 5, 10]
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.legend(loc="lower left")
    return axes


@styled
def mark_bars(groups: Mapping[str, Mapping[str, Mapping[str, float]]]) -> list[Axes]:
    """Draw how answers ended, as bars of parts that add up to all, a panel for each group, a bar for each kind.

    Args:
        groups: for each group, by kind of question, the share (0-1) of each mark: "right", "made up", "no answer".
    """
    size = (7.0, 1.3 + 0.32 * max(len(kinds) for kinds in groups.values()))
    grid = plt.subplots(1, len(groups), figsize=size, layout="constrained", sharey=True, squeeze=False)[1]
    drawn = list(grid.flat)
    for axes, (title, kinds) in zip(drawn, groups.items(), strict=True):
        left = np.zeros(len(kinds))
        for mark, colour in _GREYS.items():
            widths = 100 * np.array([shares.get(mark, 0.0) for shares in kinds.values()])
            bars = axes.barh(list(kinds), widths, 0.7, left=left, color=colour, label=mark)
            labels = [f"{width:.0f}" if width >= 8 else "" for width in widths]
            axes.bar_label(bars, labels, label_type="center", fontsize=8)
            left = left + widths
        axes.set(title=title, xlim=(0, 100), xlabel="answers (%)")
        axes.title.set_fontsize(10)
        axes.grid(False, axis="y")
    drawn[0].invert_yaxis()
    handles, names = drawn[0].get_legend_handles_labels()
    figure = drawn[0].get_figure()
    assert figure is not None
    figure.legend(handles, names, loc="outside upper center", ncols=len(names))
    return drawn


@styled
def inflation_curve(points: Sequence[tuple[int, float]], honest: float) -> Axes:
    """Draw the best published rating against the number of variants that were tried in private.

    Args:
        points: number of variants, mean rating of the best.
        honest: the rating that all of them really have.
    """
    axes = new_axes("variants tried in private (logarithmic)", "rating of the one that is published")
    axes.axhline(
        honest, color=PALETTE[-1], linewidth=1, linestyle=":", marker="", label="what each of them is worth"
    )
    axes.plot(
        *zip(*points, strict=True), color=PALETTE[1], marker=MARKERS[1], label="best of the variants, mean"
    )
    axes.set_xscale("log")
    axes.set_xticks([n for n, _ in points], [str(n) for n, _ in points])
    axes.minorticks_off()
    axes.legend(loc="upper left")
    return axes
