"""Figures of the chapter on PPO."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from minillm.figures.style import MARKERS, PALETTE, new_axes, styled

__all__ = ["clip_curves", "gold_against_kl", "run_gallery", "training_panels"]

Metrics = Sequence[Mapping[str, float]]
_HEALTHY = "#9a9a9a"


@styled
def clip_curves(clip_eps: float) -> list[Axes]:
    """Draw PPO's clipped objective against the ratio, for a positive and for a negative advantage of size 1.

    Args:
        clip_eps: how far the ratio may move from 1 before that stops paying.
    """
    size = (7.0, 2.9)
    drawn = plt.subplots(1, 2, figsize=size, layout="constrained", sharex=True, sharey=True)[1]
    ratio = np.linspace(0, 2, 201)
    for axes, advantage, title in zip(
        drawn, (1.0, -1.0), ("better than expected: A = 1", "worse: A = −1"), strict=True
    ):
        plain, held = ratio * advantage, ratio.clip(1 - clip_eps, 1 + clip_eps) * advantage
        axes.plot(ratio, plain, color=PALETTE[-1], marker="", linestyle=":", label="ratio × A")
        axes.plot(ratio, np.minimum(plain, held), color=PALETTE[0], marker="", label="clipped objective")
        axes.axvspan(1 - clip_eps, 1 + clip_eps, color=PALETTE[2], alpha=0.15, linewidth=0)
        axes.plot(1, advantage, color=PALETTE[1], marker="o", linestyle="", label="where every batch starts")
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("ratio of probabilities, new / old")
    drawn[0].set_ylabel("objective")
    drawn[0].legend(loc="lower right", fontsize=8)
    return list(drawn)


@styled
def training_panels(
    runs: Mapping[str, Sequence[Metrics]], quantities: Mapping[str, str], columns: int = 3
) -> list[Axes]:
    """Draw several quantities over the iterations of PPO, a panel for each.

    A line is the mean over the runs of a group, a band reaches from the smallest to the largest.

    Args:
        runs: for each name, the metrics of runs with different seeds: lines of metrics.jsonl with "step".
        quantities: the keys of the lines to draw, with their titles.
        columns: panels in a row.
    """
    rows = -(-len(quantities) // columns)
    size = (2.55 * columns + 0.3, 2.1 * rows + 0.5)
    figure, grid = plt.subplots(rows, columns, figsize=size, layout="constrained", sharex=True, squeeze=False)
    drawn = list(grid.flat)
    for axes in drawn[len(quantities) :]:
        axes.remove()
    for axes, (key, title) in zip(drawn, quantities.items(), strict=False):
        for index, (name, seeds) in enumerate(runs.items()):
            steps, values = _over_steps(seeds, key)
            _band(axes, steps, values, PALETTE[index], name)
        axes.set_title(title, fontsize=9)
        axes.tick_params(labelsize=8)
    for axes in drawn[max(0, len(quantities) - columns) : len(quantities)]:
        axes.set_xlabel("iteration", fontsize=9)
        axes.tick_params(labelbottom=True)
    if len(runs) > 1:
        figure.legend(*drawn[0].get_legend_handles_labels(), loc="outside upper center", ncols=len(runs))
    return drawn[: len(quantities)]


@styled
def run_gallery(
    healthy: Sequence[Metrics], broken: Mapping[str, Metrics], quantities: Mapping[str, str]
) -> list[list[Axes]]:
    """Draw broken runs in rows and quantities in columns, each over the band of the healthy runs.

    Args:
        healthy: the metrics of runs with different seeds.
        broken: the metrics of one run each, by name.
        quantities: the keys of the lines to draw, with their titles.
    """
    size = (1.62 * len(quantities) + 1.2, 1.25 * len(broken) + 0.9)
    figure, grid = plt.subplots(
        len(broken), len(quantities), figsize=size, layout="constrained", sharex=True, sharey="col",
        squeeze=False, dpi=85,  # many panels: a file of moderate size
    )  # fmt: skip
    for row, (name, run) in zip(grid, broken.items(), strict=True):
        for axes, key in zip(row, quantities, strict=True):
            _band(axes, *_over_steps(healthy, key), _HEALTHY, "healthy, all seeds", marker="")
            steps, values = _over_steps([run], key)
            axes.plot(steps, values[0], color=PALETTE[1], marker="", linewidth=1.4, label="broken")
            axes.tick_params(labelsize=7)
        row[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=9)
    for axes, title in zip(grid[0], quantities.values(), strict=True):
        axes.set_title(title, fontsize=9)
    for axes in grid[-1]:
        axes.set_xlabel("iteration", fontsize=8)
    figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return [list(row) for row in grid]


@styled
def gold_against_kl(
    paths: Mapping[str, Sequence[tuple[float, float]]], points: Mapping[str, tuple[float, float]]
) -> Axes:
    """Draw the judge's score against the distance to the model that training started from.

    The horizontal axis is logarithmic above 1 nat, so that the first nats have room beside a run that went far.

    Args:
        paths: for each name, (nats per response, gold score 0-1) of points in order, joined by a line.
        points: single points with their names.
    """
    axes = new_axes("distance to the SFT model: KL (nats per response)", "gold score (0–1)", height=4.2)
    for index, (name, path) in enumerate(paths.items()):
        nats, gold = zip(*path, strict=True)
        axes.plot(nats, gold, color=PALETTE[index], marker=MARKERS[index], markersize=4, label=name)
    for name, point in points.items():
        axes.plot(*point, color="black", marker="*", markersize=9, linestyle="")
        ground = {"facecolor": "white", "edgecolor": "none", "pad": 0.4, "alpha": 0.8}
        axes.annotate(name, point, (6, -12), textcoords="offset points", fontsize=8, bbox=ground)
    ticks = [0, 0.5, 1, 2, 4, 8, 16, 32, 64, 128, 256]
    axes.set_xscale("symlog", linthresh=1)
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set_xlim(0, 1.1 * max(1.0, axes.dataLim.intervalx[1]))
    axes.legend(fontsize=8)
    return axes


def _over_steps(seeds: Sequence[Metrics], key: str) -> tuple[list[int], np.ndarray]:
    """The steps at which all runs have the key, and its values (seeds, steps)."""
    runs = [{int(line["step"]): line[key] for line in run if line.get(key) is not None} for run in seeds]
    steps = sorted(set.intersection(*map(set, runs)))
    if not steps:
        raise ValueError(f"no step at which every run has {key!r}; choose a key of metrics.jsonl")
    return steps, np.array([[run[step] for step in steps] for run in runs])


def _band(
    axes: Axes, steps: Sequence[int], values: np.ndarray, colour: str, name: str, marker: str | None = None
) -> None:
    """A line for the mean over the first axis, and a band from the smallest to the largest."""
    if len(values) > 1:
        axes.fill_between(steps, values.min(0), values.max(0), color=colour, alpha=0.22, linewidth=0)
    marker = marker if marker is not None else ("o" if len(steps) <= 12 else "")
    axes.plot(steps, values.mean(0), color=colour, marker=marker, markersize=3.5, linewidth=1.5, label=name)
