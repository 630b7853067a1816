"""Figures of the chapter on reasoning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from minillm.figures.style import MARKERS, PALETTE, new_axes, styled

__all__ = ["pass_curves", "shift_points"]

_GREY = PALETTE[-1]


@styled
def pass_curves(
    panels: Mapping[str, Mapping[str, Sequence[Mapping[int, float]]]], guessing: str = "blind guesses"
) -> list[Axes]:
    """Draw the share of tasks that k answers solve against k, a panel for each kind of task.

    The axis of k is logarithmic. A line is the mean over the runs of a name, a band reaches from the smallest to the
    largest.

    Args:
        panels: for each title, by name, runs with the share (0-1) by k. All names of all panels share a legend.
        guessing: the name whose line is dotted and grey.
    """
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    size = (2.6 * columns + 1.6 / columns, 2.3 * rows + 0.6)
    figure, grid = plt.subplots(rows, columns, figsize=size, layout="constrained", sharey=True, squeeze=False)
    names = list(dict.fromkeys(name for panel in panels.values() for name in panel))
    looks = _looks(names, guessing)
    drawn = list(grid.flat)[: len(panels)]
    for axes in list(grid.flat)[len(panels) :]:
        axes.remove()
    for axes, (title, panel) in zip(drawn, panels.items(), strict=True):
        for name, runs in panel.items():
            ks = sorted(runs[0])
            shares = 100 * np.array([[run[k] for k in ks] for run in runs])
            if len(runs) > 1:
                colour = looks[name]["color"]
                axes.fill_between(ks, shares.min(0), shares.max(0), color=colour, alpha=0.2, linewidth=0)
            axes.plot(ks, shares.mean(0), label=name, markersize=4, **looks[name])
        axes.set_xscale("log")
        axes.set_xticks(ks, [str(k) for k in ks])
        axes.minorticks_off()
        axes.set_title(title, fontsize=9)
        axes.tick_params(labelsize=8)
        axes.set_ylim(0, 103)
    for axes in drawn[-columns:]:
        axes.set_xlabel("answers k (logarithmic)", fontsize=9)
    for axes in grid[:, 0]:
        axes.set_ylabel("tasks solved (%)", fontsize=9)
    handles = {name: line for axes in drawn for line, name in zip(*axes.get_legend_handles_labels())}
    figure.legend(handles.values(), handles, loc="outside upper center", ncols=2, fontsize=9)
    return drawn


def _looks(names: Sequence[str], guessing: str) -> dict[str, dict[str, str]]:
    """Colour, marker and line of each name."""
    others = [name for name in names if name != guessing]
    looks = {
        name: {"color": PALETTE[i], "marker": MARKERS[i], "linestyle": "-"} for i, name in enumerate(others)
    }
    return looks | {guessing: {"color": _GREY, "marker": "", "linestyle": ":"}}


@styled
def shift_points(groups: Mapping[str, Sequence[tuple[float, float, float]]]) -> Axes:
    """Draw how often tasks are solved after a change against how often before, as means of groups of tasks.

    Args:
        groups: for each name, means of groups: share before, share after (both 0-1), half the width of the interval.
            On the dotted diagonal nothing has changed.
    """
    axes = new_axes("answers that were right (%)", "of other answers, right (%)", width=5.2, height=4.4)
    axes.plot([0, 100], [0, 100], color=_GREY, linewidth=1, linestyle=":", marker="", label="no change")
    for index, (name, points) in enumerate(groups.items()):
        before, after, error = 100 * np.array(points).T
        axes.errorbar(
            before, after, error, color=PALETTE[index], marker=MARKERS[index], capsize=2, label=name
        )
    axes.set(xlim=(-2, 102), ylim=(-2, 102))
    axes.legend(loc="lower right")
    return axes
