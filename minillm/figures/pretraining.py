"""Figures of the chapter on pretraining."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from minillm.figures.style import PALETTE, draw_levels, new_axes, styled
from minillm.figures.text import ink

__all__ = [
    "loss_curve",
    "next_token_bars",
    "repetition_curve",
    "token_bars",
]


@styled
def next_token_bars(panels: Mapping[str, Mapping[str, float]]) -> list[Axes]:
    """Draw the most probable next tokens after several prefixes, a panel for each.

    Args:
        panels: for each title, the probabilities (0-1) of some tokens, the highest first.
    """
    rows = max(map(len, panels.values()))
    size = (7.6, 0.9 + 0.24 * rows)
    drawn = plt.subplots(1, len(panels), figsize=size, layout="constrained", sharex=True, squeeze=False)[1][0]
    for axes, (title, probabilities) in zip(drawn, panels.items(), strict=True):
        bars = axes.barh(range(len(probabilities)), list(probabilities.values()), color=PALETTE[0])
        told = [f"{p:.2f}" if p >= 0.005 else "<0.01" for p in probabilities.values()]
        axes.bar_label(bars, told, padding=2, fontsize=8)
        axes.set_yticks(range(len(probabilities)), [ink(token) for token in probabilities], fontsize=9)
        axes.set(xlim=(0, 1.28), xticks=(0, 0.5, 1), ylim=(rows - 0.4, -0.6))
        axes.set_xlabel("probability")
        axes.set_title(title, fontsize=9)
        axes.grid(False, axis="y")
    return list(drawn)


@styled
def token_bars(tokens: Sequence[str], rows: Mapping[str, Sequence[float]], ylabel: str) -> Axes:
    """Draw one number for each token of a text as bars, side by side where there are several rows of numbers.

    Args:
        tokens: the text, token by token.
        rows: for each name, a number for each token.
        ylabel: what the numbers are, with their unit.
    """
    axes = new_axes("", ylabel, width=max(7.0, 0.21 * len(tokens)), height=3.2)
    thickness = 0.8 / len(rows)
    for index, (name, values) in enumerate(rows.items()):
        middles = [column + (index + 0.5) * thickness - 0.4 for column in range(len(tokens))]
        axes.bar(middles, values, 0.95 * thickness, label=name)
    axes.set_xticks(range(len(tokens)), [ink(token) for token in tokens], rotation=90, fontsize=8)
    axes.set_xlim(-0.7, len(tokens) - 0.3)
    axes.grid(False, axis="x")
    if len(rows) > 1:
        axes.legend()
    return axes


@styled
def loss_curve(
    metrics: Sequence[Mapping[str, float]],
    floor: float | None = None,
    levels: Mapping[str, float] | None = None,
) -> Axes:
    """Draw the loss against the step, with the entropy floor and other levels as lines; the loss axis is logarithmic.

    Args:
        metrics: lines of metrics.jsonl: "step" with "loss" (nats/token), or with "val_loss".
        floor: entropy of the language (nats/token); None where it is not known.
        levels: losses of simpler predictors by name (nats/token).
    """
    axes = new_axes("optimizer step", "loss (nats per token)", height=4.2)
    kinds: tuple[tuple[str, str, dict[str, Any]], ...] = (
        ("loss", "training", {"marker": "", "linewidth": 1}),
        ("val_loss", "validation", {}),
    )
    for key, name, style in kinds:
        points = [(line["step"], line[key]) for line in metrics if key in line]
        if points:
            axes.plot(*zip(*points, strict=True), label=name, **style)
    draw_levels(axes, levels)
    if floor is not None:
        axes.axhline(floor, color=PALETTE[2], linewidth=1.5, linestyle="--", label="entropy floor")
    axes.set_yscale("log", base=2)
    limits, ticks = axes.get_ylim(), [2.0**power for power in range(-4, 5)]
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_ylim(limits)
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)  # above: levels may lie anywhere
    return axes


@styled
def repetition_curve(
    values: Mapping[int, float], ylabel: str, levels: Mapping[str, float] | None = None
) -> Axes:
    """Draw a quantity against how often a text stood in the training text; the horizontal axis is stretched near 0.

    Args:
        values: the quantity by number of repetitions.
        ylabel: the quantity, with its unit.
        levels: values to compare with, by name, as horizontal lines.
    """
    axes = new_axes("times in the training text", ylabel, height=3.4)
    axes.plot(list(values), list(values.values()))
    axes.set_xscale("symlog", base=2, linthresh=1)
    axes.set_xticks(list(values), list(map(str, values)))
    axes.minorticks_off()
    draw_levels(axes, levels)
    axes.set_ylim(bottom=0)
    return axes
