"""Figures of the chapter on supervised fine-tuning."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes

from minillm.evaluate import share_interval
from minillm.figures.style import MARKERS, PALETTE, new_axes, styled

__all__ = ["accuracy_bars", "trade_off"]


@styled
def accuracy_bars(
    models: Mapping[str, Mapping[str, float]],
    levels: Mapping[str, float] | None = None,
    counts: Mapping[str, Mapping[str, int]] | None = None,
    what: str = "tasks done (%)",
) -> Axes:
    """Draw the share of tasks done as groups of horizontal bars, a group for each family, a bar for each model.

    Args:
        models: for each name, the accuracy (0-1) by family; a family that a model lacks gets no bar. One model alone
            needs no name.
        levels: shares to compare with, by name, as vertical lines.
        counts: for each name, the number of tasks by family; each bar then has the whiskers of its 95 % interval.
        what: the share, with its unit.
    """
    families = list(dict.fromkeys(family for accuracy in models.values() for family in accuracy))
    axes = new_axes(what, "", height=1.2 + 0.17 * len(families) * (len(models) + 0.6))
    thickness = 0.84 / len(models)
    for index, (name, accuracy) in enumerate(models.items()):
        drawn = [family for family in families if family in accuracy]
        rows = [families.index(family) for family in drawn]
        middles = [row + (index + 0.5) * thickness - 0.42 for row in rows]
        shares = [100 * accuracy[family] for family in drawn]
        whiskers = None
        if counts:
            whiskers = np.array([_whisker(accuracy[family], counts[name][family]) for family in drawn]).T
        bars = axes.barh(
            middles,
            shares,
            0.9 * thickness,
            color=PALETTE[index],
            label=name,
            xerr=whiskers,
            ecolor="#222222",
            error_kw={"linewidth": 0.8},
        )
        axes.bar_label(bars, fmt="%.0f", padding=2, fontsize=8)
    for name, share in (levels or {}).items():
        axes.axvline(100 * share, color=PALETTE[-1], linewidth=1, linestyle=":", marker="", label=name)
    axes.set_yticks(range(len(families)), families)
    axes.set(xlim=(0, 108), xticks=range(0, 101, 20), ylim=(len(families) - 0.4, -0.6))
    axes.grid(False, axis="y")
    if any(models) or levels:
        axes.legend(loc="lower center", bbox_to_anchor=(0.45, 1), ncols=len(models) + len(levels or {}))
    return axes


def _whisker(share: float, n: int) -> tuple[float, float]:
    """How far the 95 % interval of a share of n tasks goes below and above it (%)."""
    low, high = share_interval(round(share * n), n)
    return 100 * max(0.0, share - low), 100 * max(0.0, high - share)


@styled
def trade_off(
    runs: Mapping[str, Mapping[str, tuple[float, float]]], before: float, untrained: str = "the base model"
) -> Axes:
    """Draw what fine-tuning cost against what it brought, a point with its name for each run.

    Args:
        runs: for each group of runs, which share a colour and are joined in order, by name of the run the loss on the
            pretraining corpus (nats/token) and the task accuracy (0-1). A name that begins with an underscore is not
            written, as in the legends of matplotlib.
        before: the loss on the pretraining corpus (nats/token) of the model that all runs start from.
        untrained: what that model is.
    """
    axes = new_axes("loss on the pretraining corpus (nats per token, logarithmic)", "tasks done (%)")
    for index, (group, points) in enumerate(runs.items()):
        losses, shares = np.array(list(points.values())).T
        colour, marker = PALETTE[index], MARKERS[index]
        axes.plot(losses, 100 * shares, color=colour, marker=marker, markersize=8, linewidth=1, label=group)
        for name, loss, share in zip(points, losses, shares, strict=True):
            if name.startswith("_"):
                continue
            ground = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}
            place = (loss, 100 * share)
            # the first group's names stand under its points, out of the others' way, and over those at the bottom
            aside = (8, -13) if index else (0, -19 if share > 0.08 else 10)
            axes.annotate(
                name,
                place,
                aside,
                textcoords="offset points",
                fontsize=9,
                bbox=ground,
                ha="left" if index else "center",
            )
    axes.axvline(before, color=PALETTE[-1], linewidth=1, linestyle=":", marker="", label=untrained)
    ticks = [0.5, 0.7, 1, 1.5, 2, 3, 4, 6, 8, 12]
    axes.set_xscale("log")
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    low, high = axes.dataLim.intervalx
    axes.set(xlim=(0.9 * low, 1.35 * high), ylim=(0, 100))
    axes.legend()
    return axes
