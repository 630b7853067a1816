"""Figures of the chapter on DPO."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from minillm.figures.style import MARKERS, PALETTE, new_axes, styled

__all__ = ["displacement_curves", "method_points", "moved_answers"]

_GREY = PALETTE[-1]


@styled
def displacement_curves(runs: Sequence[Sequence[Mapping[str, float]]]) -> Axes:
    """Draw how the log-probabilities of the chosen and the rejected answers move while DPO trains.

    A line is the mean over the runs, a band reaches from the smallest to the largest. All start at 0, the reference.

    Args:
        runs: for each, the lines of metrics.jsonl with "val_chosen_displacement", at the same steps.
    """
    axes = new_axes("step of training", "change of ln p of a held-out answer (nats)")
    steps = [0, *(int(line["step"]) for line in runs[0])]
    for index, name in enumerate(("chosen", "rejected")):
        key = f"val_{name}_displacement"
        values = np.array([[0.0, *(line[key] for line in run)] for run in runs])
        if len(runs) > 1:
            axes.fill_between(
                steps, values.min(0), values.max(0), color=PALETTE[index], alpha=0.22, linewidth=0
            )
        axes.plot(steps, values.mean(0), color=PALETTE[index], marker=MARKERS[index], label=f"{name} answers")
    axes.axhline(0, color=_GREY, linewidth=1, linestyle=":", marker="", label="the reference")
    axes.legend()
    return axes


@styled
def moved_answers(groups: Mapping[str, Sequence[float]]) -> Axes:
    """Draw how far each answer's log-probability has moved, a row of points for each group, its median as a bar.

    The axis is logarithmic beyond 1 nat on both sides.

    Args:
        groups: for each name, the changes (nats); the first is drawn on top.
    """
    axes = new_axes("change of ln p of an answer (nats)", "", height=1.3 + 0.5 * len(groups))
    for row, changes in enumerate(groups.values()):
        spread = np.random.default_rng(0).uniform(-0.28, 0.28, len(changes))
        colour = PALETTE[row % len(PALETTE)]
        axes.plot(
            changes, row + spread, color=colour, marker=".", markersize=4, alpha=0.45, linestyle="", label="_"
        )
        middle = float(np.median(changes))
        axes.plot([middle] * 2, [row - 0.38, row + 0.38], color="black", linewidth=2.5, marker="")
    axes.axvline(0, color=_GREY, linewidth=1, linestyle=":", marker="")
    axes.set_xscale("symlog", linthresh=1)
    ticks = [-100, -10, -1, 0, 1, 10]
    axes.set_xticks(ticks, [f"{tick:+d}".replace("-", "−") if tick else "0" for tick in ticks])
    axes.set_yticks(range(len(groups)), [f"{name} ({len(values)})" for name, values in groups.items()])
    axes.set_ylim(len(groups) - 0.4, -0.6)
    axes.grid(False, axis="y")
    return axes


@styled
def method_points(
    methods: Mapping[str, Sequence[tuple[float, ...]]], titles: Sequence[str], xlabel: str
) -> list[Axes]:
    """Draw what several methods cost and what they bring, a panel for each quantity, a small point for each seed.

    Args:
        methods: for each name, for each seed the cost and then one value for each title.
        titles: of the quantities.
        xlabel: the cost with its unit.
    """
    size = (3.6 * len(titles) + 0.2, 3.5)
    figure, grid = plt.subplots(1, len(titles), figsize=size, layout="constrained", squeeze=False)
    for panel, (axes, title) in enumerate(zip(grid[0], titles, strict=True)):
        for index, (name, seeds) in enumerate(methods.items()):
            cost, value = (np.array([seed[i] for seed in seeds]) for i in (0, 1 + panel))
            style = {"color": PALETTE[index], "marker": MARKERS[index], "linestyle": ""}
            axes.plot(cost, value, markersize=4, alpha=0.5, **style)
            axes.plot(cost.mean(), value.mean(), markersize=9, label=name, **style)
        axes.set_title(title, fontsize=10)
        axes.set_xlabel(xlabel)
    handles = grid[0, 0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside upper center", ncols=3, fontsize=9)
    return list(grid[0])
