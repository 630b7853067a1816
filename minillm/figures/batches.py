"""Figures of the chapter on epochs and batches."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.patches import Patch

from minillm.figures.style import MARKERS, PALETTE, draw_levels, new_axes, styled

__all__ = [
    "batch_picture",
    "epoch_panels",
    "noise_curve",
    "run_bands",
    "schedule_curve",
    "sweep_curve",
]

Metrics = Sequence[Mapping[str, float]]
_TRAINING, _VALIDATION = PALETTE[0], PALETTE[1]  # in all figures of the chapter; the floor is PALETTE[2]
_OTHERS = PALETTE[3:]  # for what is none of them
_FLOOR: dict[str, Any] = {"color": PALETTE[2], "linewidth": 1.5, "linestyle": "--", "marker": ""}
_PADDING, _TWO_GROUNDS = "#e4e4e4", (PALETTE[5], PALETTE[4])


@styled
def batch_picture(document_ids: Sequence[Sequence[int]]) -> Axes:
    """Draw a batch as a grid: a line for each row, a column for each token, neighbouring documents in two colours.

    Args:
        document_ids: (batch, time) number of the document in its row, counted from 0; -1 on padding.
    """
    grid = np.asarray(document_ids)
    axes = new_axes("column (tokens)", "row", height=1.1 + 0.17 * len(grid))
    colours = ListedColormap([_PADDING, *_TWO_GROUNDS])
    axes.pcolormesh(np.where(grid < 0, 0, 1 + grid % 2), cmap=colours, vmin=0, vmax=2)
    for row, column in np.argwhere(np.diff(grid, axis=1) != 0):
        axes.plot([column + 1] * 2, [row, row + 1], color="white", linewidth=1, marker="")
    for line in range(1, len(grid)):
        axes.axhline(line, color="white", linewidth=2, marker="")
    axes.set(xlim=(0, grid.shape[1]), ylim=(len(grid), 0))
    axes.set_yticks(np.arange(len(grid)) + 0.5, map(str, range(1, len(grid) + 1)), fontsize=8)
    axes.grid(False)
    patches = [Patch(color=_TWO_GROUNDS[0]), Patch(color=_TWO_GROUNDS[1]), Patch(color=_PADDING)]
    names = ["a document", "the next one", "padding"]
    axes.legend(patches, names, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1))
    return axes


@styled
def noise_curve(
    noise: Mapping[str, Mapping[int, float]], signals: Mapping[str, float], ylabel: str, up_to: int
) -> Axes:
    """Draw gradient noise against batch size on logarithmic axes, with the law 1/sqrt(B) from each first point.

    Where the law meets the signal, noise and signal are equally long.

    Args:
        noise: for each name, the noise by batch size (rows).
        signals: for some names, the length of the gradient without noise, drawn as a level line.
        ylabel: what the lengths are, with their unit.
        up_to: the largest batch that the law is drawn to (rows).
    """
    axes = new_axes("rows in the batch, log scale", f"{ylabel}, log scale")
    for index, (name, values) in enumerate(noise.items()):
        sizes, colour = np.array(list(values)), _OTHERS[index]
        law = np.array([sizes[0], up_to])
        falling = values[sizes[0]] * np.sqrt(sizes[0] / law)
        axes.plot(law, falling, color=colour, linewidth=1, linestyle=":", marker="")
        points = list(values.values())
        axes.plot(sizes, points, color=colour, marker=MARKERS[index], linestyle="", label=f"noise {name}")
        if name in signals:
            axes.axhline(signals[name], color=colour, linestyle="-", marker="", label=f"signal {name}")
    axes.lines[0].set_label("noise falling as 1/√B")
    axes.set(xscale="log", yscale="log")
    ticks = [4**power for power in range(10) if 4**power <= up_to]
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.minorticks_off()
    _plain_log_ticks(axes)
    axes.legend(ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1))
    return axes


@styled
def sweep_curve(
    curves: Mapping[str, Mapping[float, Sequence[float]]],
    xlabel: str,
    ylabel: str,
    floor: float | None = None,
    log_y: bool = False,
    levels: Mapping[str, float] | None = None,
    median: bool = False,
) -> Axes:
    """Draw a result against a setting: the middle of the repetitions as a line, smallest to largest as a band.

    Args:
        curves: for each name, by value of the setting, the results of all repetitions.
        xlabel: the setting, with its unit; its axis is logarithmic.
        ylabel: the result, with its unit.
        floor: the entropy floor, where the result is a loss (nats/token).
        log_y: whether the axis of the result is logarithmic too.
        levels: results to compare with, by name, as horizontal lines.
        median: whether the line is the median of the repetitions, and not their mean.
    """
    axes = new_axes(f"{xlabel}, log scale", ylabel)
    middle = np.median if median else np.mean
    colours = PALETTE if floor is None else (_VALIDATION, *_OTHERS)
    for index, (name, results) in enumerate(curves.items()):
        settings, rows, colour = list(results), list(results.values()), colours[index]
        lowest, highest = list(map(min, rows)), list(map(max, rows))
        axes.fill_between(settings, lowest, highest, color=colour, alpha=0.2)
        line = [float(middle(row)) for row in rows]
        axes.plot(settings, line, color=colour, marker=MARKERS[index], label=name)
    if floor is not None:
        axes.axhline(floor, label="entropy floor", **_FLOOR)
    draw_levels(axes, levels)
    axes.set_xscale("log")
    ticks = sorted({setting for results in curves.values() for setting in results})
    axes.set_xticks(ticks, [f"{tick:,g}" for tick in ticks])
    axes.minorticks_off()
    if log_y:
        _log_loss_axis(axes)
    else:
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_formatter("{x:,g}")
    if len(curves) > 1 or floor is not None:
        axes.legend()
    return axes


@styled
def run_bands(
    runs: Mapping[str, Sequence[Metrics]], floor: float | None = None, key: str = "val_loss"
) -> Axes:
    """Draw a loss against the step for several settings: mean over seeds as a line, smallest to largest as a band.

    Args:
        runs: for each name, the metrics of the runs with different seeds: lines with "step" and `key`.
        floor: entropy of the language (nats/token).
        key: "val_loss", or "loss" (nats/token).
    """
    axes = new_axes("optimizer step", "loss (nats per token)")
    for index, (name, seeds) in enumerate(runs.items()):
        steps, losses = _curves(seeds, key)
        _band(axes, steps, losses, name, _OTHERS[index], MARKERS[index])
    if floor is not None:
        axes.axhline(floor, label="entropy floor", **_FLOOR)
    _log_loss_axis(axes)
    axes.legend()
    return axes


@styled
def epoch_panels(runs: Mapping[str, Sequence[Metrics]], floor: float) -> list[Axes]:
    """Draw training and validation loss for several amounts of text, a panel for each, with the best validation marked.

    The training loss is the mean over the steps since the validation before, so that the two can be compared.

    Args:
        runs: for each title, the metrics of the runs with different seeds: lines with "step" and "loss", at some steps
            lines with "step" and "val_loss" (nats/token).
        floor: entropy of the language (nats/token).
    """
    size = (2.6 * len(runs) + 0.8, 3.6)
    figure, drawn = plt.subplots(1, len(runs), figsize=size, layout="constrained", sharey=True, squeeze=False)
    for axes, (title, seeds) in zip(drawn[0], runs.items(), strict=True):
        steps, validation = _curves(seeds, "val_loss")
        edges = [0, *steps]
        training = np.array(
            [[_mean_between(run, *span) for span in zip(edges, steps, strict=False)] for run in seeds]
        )
        _band(axes, steps, training, "training", _TRAINING, MARKERS[0])
        _band(axes, steps, validation, "validation", _VALIDATION, MARKERS[1])
        best = int(validation.mean(0).argmin())
        ring = {"marker": "o", "markersize": 13, "markerfacecolor": "none", "linestyle": "", "color": "black"}
        axes.plot(steps[best], validation.mean(0)[best], label="best validation", **ring)
        axes.axhline(floor, label="entropy floor", **_FLOOR)
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("optimizer step")
    drawn[0, 0].set_ylabel("loss (nats per token)")
    _log_loss_axis(drawn[0, 0])  # the others share it
    figure.legend(*drawn[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return list(drawn[0])


@styled
def schedule_curve(schedules: Mapping[str, Sequence[float]]) -> Axes:
    """Draw learning rates, as shares of the peak, against the step.

    Args:
        schedules: for each name, the share (0-1) at every step, from the first.
    """
    axes = new_axes("optimizer step", "share of the peak learning rate", height=3.2)
    for (name, shares), style, colour in zip(
        schedules.items(), ("-", "--", "-.", ":"), _OTHERS, strict=False
    ):
        axes.plot(range(1, len(shares) + 1), shares, color=colour, label=name, marker="", linestyle=style)
    axes.set_ylim(0, 1.05)
    axes.legend()
    return axes


def _curves(seeds: Sequence[Metrics], key: str) -> tuple[list[int], np.ndarray]:
    """The steps at which all runs have the key, and its values (seeds, steps)."""
    runs = [{int(line["step"]): line[key] for line in run if line.get(key) is not None} for run in seeds]
    steps = sorted(set.intersection(*map(set, runs)))
    return steps, np.array([[run[step] for step in steps] for run in runs])


def _mean_between(run: Metrics, after: int, last: int) -> float:
    """Mean training loss of the steps after one and up to another."""
    return float(np.mean([line["loss"] for line in run if "loss" in line and after < line["step"] <= last]))


def _band(axes: Axes, steps: Sequence[int], losses: np.ndarray, name: str, colour: str, marker: str) -> None:
    """A line for the mean over the first axis, and a band from the smallest to the largest."""
    axes.fill_between(steps, losses.min(0), losses.max(0), color=colour, alpha=0.2, linewidth=0)
    axes.plot(steps, losses.mean(0), color=colour, marker=marker, markersize=4, label=name)


def _log_loss_axis(axes: Axes) -> None:
    """A logarithmic loss axis with plain numbers, which says so; a linear one where losses are too close for it."""
    low, high = axes.dataLim.intervaly
    if high < 4 * low:
        return
    axes.set_yscale("log", base=2)
    axes.set_ylabel(f"{axes.get_ylabel()}, log scale")
    limits, ticks = axes.get_ylim(), [2.0**power for power in range(-6, 7)]
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set_ylim(limits)


def _plain_log_ticks(axes: Axes) -> None:
    """Ticks at 1, 2 and 5 times the powers of ten that a logarithmic vertical axis shows, as plain numbers."""
    low, high = axes.get_ylim()
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)))
    ticks = [digit * 10.0**power for power in powers for digit in (1, 2, 5)]
    ticks = [tick for tick in ticks if low <= tick <= high]
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set_ylim(low, high)
