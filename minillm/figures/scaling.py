"""Figures of the chapter on scaling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch

from minillm.evaluate import ScalingLaw
from minillm.figures.style import MARKERS, PALETTE, new_axes, styled

__all__ = ["PARALLEL", "floor_samples", "parallel_drawing", "scaling_curves", "size_curves", "step_stairs"]

_FLOOR: dict[str, Any] = {"color": PALETTE[-1], "linestyle": "--", "marker": "", "linewidth": 1.4}
_NEAR = 1.25  # factor between the cost of a run and that of a curve that it belongs to
PARALLEL = ("data", "tensor", "pipeline")


@styled
def scaling_curves(
    series: Mapping[int, Sequence[tuple[float, float]]],
    law: ScalingLaw | None = None,
    floor: float | None = None,
    left_out: Sequence[int] = (),
) -> Axes:
    """Draw the loss against the tokens read, a colour for each size of model; both axes are logarithmic.

    Args:
        series: for each number of parameters, the tokens and the loss (nats/token) of its runs.
        law: drawn as a line for each size.
        floor: the entropy floor (nats/token).
        left_out: sizes that the law has not seen: hollow points and a dotted line.
    """
    axes = new_axes(
        "tokens read, each once (logarithmic)", "held-out loss (nats per token, logarithmic)", height=4.8
    )
    for index, (size, runs) in enumerate(series.items()):
        colour, unseen = PALETTE[index % len(PALETTE)], size in left_out
        tokens, losses = zip(*runs, strict=True)
        axes.plot(
            tokens,
            losses,
            color=colour,
            marker=MARKERS[index % len(MARKERS)],
            markerfacecolor="white" if unseen else colour,
            markersize=7 if unseen else 5,
            linestyle="-" if law is None else "",
            linewidth=1.2,
            label=f"{_short(size)} parameters" + (", left out" if unseen else ""),
        )
        if law is not None:
            drawn = np.geomspace(min(tokens), max(tokens), 40)
            heights = [law.loss(size, text) for text in drawn]
            axes.plot(drawn, heights, ":" if unseen else "-", color=colour, marker="", linewidth=1.4)
    if floor is not None:
        axes.axhline(floor, label="entropy floor", **_FLOOR)
    axes.set_xscale("log")
    axes.set_yscale("log")
    all_tokens = sorted({text for runs in series.values() for text, _ in runs})
    _plain_ticks(axes, _spread(all_tokens), [0.5, 0.7, 1, 1.5, 2, 3, 4, 6, 8])
    axes.legend(fontsize=9, ncols=2, loc="lower left", bbox_to_anchor=(0, 1))
    return axes


@styled
def floor_samples(floors: Mapping[str, Sequence[float]], truth: float) -> Axes:
    """Draw the floors that fits of resampled runs found, in a row for each kind of fit, beside the true one.

    A thick bar holds the middle 95 %, a dot is the median.

    Args:
        floors: for each kind of fit, its floors (nats/token).
        truth: the known floor.
    """
    axes = new_axes("floor E (nats per token)", "", height=1.5 + 0.55 * len(floors))
    for row, (_, values) in enumerate(floors.items()):
        low, middle, high = np.quantile(values, [0.025, 0.5, 0.975])
        jitter = np.random.default_rng(0).uniform(-0.25, 0.25, len(values))
        axes.plot(values, row + jitter, ".", color=PALETTE[row], alpha=0.25, markersize=4)
        axes.plot([low, high], [row, row], color=PALETTE[row], linewidth=4, marker="", alpha=0.9)
        axes.plot(middle, row, "o", color="white", markeredgecolor=PALETTE[row], markersize=8)
    axes.axvline(truth, label="the true floor", **_FLOOR)
    axes.set_yticks(range(len(floors)), list(floors))
    axes.set_ylim(len(floors) - 0.5, -0.5)
    axes.grid(False, axis="y")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1))
    return axes


@styled
def size_curves(
    law: ScalingLaw, flops: Sequence[float], measured: Sequence[tuple[float, float, float]] = ()
) -> Axes:
    """Draw the loss that a law foretells against the size of the model, a curve for each amount of training.

    Along a curve the larger model reads less text. A star marks the lowest place. Both axes are logarithmic.

    Args:
        law: the law.
        flops: operations of the whole training, 6 N D.
        measured: size, tokens and loss of runs; those that cost one of the amounts, within a quarter, become points.
    """
    axes = new_axes("parameters (logarithmic)", "loss (nats per token, logarithmic)", height=4.2)
    for index, amount in enumerate(flops):
        colour, best = PALETTE[index % len(PALETTE)], law.best_size(amount)
        sizes = np.geomspace(best / 12, best * 12, 80)
        heights = [law.loss(size, amount / (6 * size)) for size in sizes]
        name = f"{amount:.0e}".replace("e+", " × 10^").replace("^0", "^")
        number, power = name.split(" × 10^")
        axes.plot(
            sizes, heights, color=colour, marker="", label=rf"${number} \times 10^{{{power}}}$ operations"
        )
        lowest = law.loss(best, amount / (6 * best))
        axes.plot(best, lowest, "*", color=colour, markersize=13, markeredgecolor="white")
    for size, text, loss in measured:
        away = [abs(np.log(6 * size * text / amount)) for amount in flops]
        if min(away) <= np.log(_NEAR):
            colour = PALETTE[int(np.argmin(away)) % len(PALETTE)]
            axes.plot(size, loss, "o", color=colour, alpha=0.6, markersize=6)
    axes.set_xscale("log")
    axes.set_yscale("log")
    _plain_ticks(axes, None, [0.5, 0.7, 1, 1.5, 2, 3, 4, 6, 8])
    axes.legend(fontsize=9)
    return axes


@styled
def step_stairs(weights: Sequence[float], stored: Mapping[str, Sequence[float]]) -> Axes:
    """Draw what is stored of weights against what they are: dots on stairs, which are finer the more bits there are.

    Args:
        weights: true values.
        stored: by name, the values after rounding, in the same order.
    """
    axes = new_axes("weight", "weight after rounding", height=3.6)
    order = np.argsort(weights)
    true = np.asarray(weights)[order]
    axes.plot(true, true, color=PALETTE[-1], linestyle=":", marker="", linewidth=1, label="exact")
    for index, (name, values) in enumerate(stored.items()):
        axes.plot(true, np.asarray(values)[order], ".", color=PALETTE[index], label=name)
    axes.legend()
    return axes


@styled
def parallel_drawing(kind: str) -> Axes:
    """Draw how several devices share the work: "data", "tensor" or "pipeline".

    Raises:
        ValueError: another kind.
    """
    if kind not in PARALLEL:
        raise ValueError(f"kind is {kind!r}; choose one of {', '.join(PARALLEL)}")
    axes = new_axes("", "", width=6.4, height=2.7)
    axes.set_axis_off()
    axes.set(xlim=(0, 10), ylim=(0, 4.2))
    {"data": _draw_data, "tensor": _draw_tensor, "pipeline": _draw_pipeline}[kind](axes)
    return axes


def _draw_data(axes: Axes) -> None:
    """Two rows: half of the batch, the whole model, its gradient; then their sum."""
    for y, number in ((2.4, 1), (0.4, 2)):
        colour = PALETTE[number - 1]
        _box(axes, 0.2, y, 2.2, 1.4, f"rows of\nbatch, half {number}", "white", colour)
        _box(axes, 3.1, y, 2.2, 1.4, "whole model", colour)
        _box(axes, 6.0, y, 1.6, 1.4, f"gradient\n{number}", "white", colour)
        _arrow(axes, (2.4, y + 0.7), (3.1, y + 0.7))
        _arrow(axes, (5.3, y + 0.7), (6.0, y + 0.7))
        _arrow(axes, (7.6, y + 0.7), (8.4, 2.1))
    _box(axes, 8.4, 1.4, 1.4, 1.4, "sum,\nsame step", PALETTE[2])


def _draw_tensor(axes: Axes) -> None:
    """One layer of two matrices: the first cut by columns, the second by rows; then the sum."""
    _box(axes, 0.1, 1.4, 1.2, 1.4, "input", "white", PALETTE[-1])
    for y, number in ((2.4, 1), (0.4, 2)):
        colour = PALETTE[number - 1]
        _box(axes, 2.0, y, 2.2, 1.4, f"first matrix,\nhalf {number}\n(columns)", colour)
        _box(axes, 5.0, y, 2.2, 1.4, f"second matrix,\nhalf {number}\n(rows)", colour)
        _arrow(axes, (1.3, 2.1), (2.0, y + 0.7))
        _arrow(axes, (4.2, y + 0.7), (5.0, y + 0.7))
        _arrow(axes, (7.2, y + 0.7), (8.3, 2.1))
    _box(axes, 8.3, 1.4, 1.5, 1.4, "sum of\nboth", PALETTE[2])


def _draw_pipeline(axes: Axes, devices: int = 3, pieces: int = 4) -> None:
    """Time from left to right, a row for each device: forwards, then backwards, and where it waits."""
    columns = 2 * (devices + pieces - 1)
    width, height = 8.2 / columns, 0.95
    for device in range(devices):
        y = 3.0 - device * 1.1
        axes.text(0.05, y + height / 2, f"layers {2 * device + 1}–{2 * device + 2}", va="center", fontsize=9)
        forwards = {device + piece: piece + 1 for piece in range(pieces)}
        backwards = {columns - 1 - (device + piece): pieces - piece for piece in reversed(range(pieces))}
        for column in range(columns):
            x = 1.7 + column * width
            piece = forwards.get(column) or backwards.get(column)
            face = "#ececec" if piece is None else PALETTE[0] if column in forwards else PALETTE[1]
            _box(axes, x, y, 0.92 * width, height, str(piece or ""), face)
    axes.text(1.7, 0.25, "blue: forwards    orange: backwards    grey: waiting    time →", fontsize=9)


def _box(
    axes: Axes, x: float, y: float, width: float, height: float, text: str, face: str, edge: str | None = None
) -> None:
    shape = FancyBboxPatch(
        (x, y),
        width,
        height,
        boxstyle="round,pad=0,rounding_size=0.12",
        facecolor=face,
        edgecolor=edge or face,
    )
    axes.add_patch(shape)
    colour = "#222222" if face in ("white", "#ececec") else "white"
    axes.text(x + width / 2, y + height / 2, text, ha="center", va="center", fontsize=9, color=colour)


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    axes.annotate("", end, start, arrowprops={"arrowstyle": "->", "color": "#555555", "linewidth": 1.3})


def _plain_ticks(axes: Axes, horizontal: Sequence[float] | None, vertical: Sequence[float]) -> None:
    """Round numbers at both axes, and no small ticks between them."""
    low, high = axes.get_ylim()
    shown = [tick for tick in vertical if low <= tick <= high]
    axes.set_yticks(shown, [f"{tick:g}" for tick in shown])
    if horizontal is not None:
        axes.set_xticks(horizontal, [_short(tick) for tick in horizontal])
    axes.minorticks_off()


def _spread(values: Sequence[float], gap: float = 1.4) -> list[float]:
    """Those of sorted values that are more than a factor apart."""
    kept: list[float] = []
    for value in values:
        if not kept or value > gap * kept[-1]:
            kept.append(value)
    return kept


def _short(number: float) -> str:
    """150,000 as 150k, 1,200,000 as 1.2M."""
    for unit, name in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if number >= unit:
            return f"{number / unit:.3g}{name}"
    return f"{number:.3g}"
