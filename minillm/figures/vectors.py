"""Figures of the chapter on vectors: words in space, turning arrows, attention maps, the block, growth."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch
from matplotlib.patheffects import withStroke

from minillm.figures.style import MARKERS, PALETTE, new_axes, styled
from minillm.figures.text import ink

__all__ = [
    "attention_maps",
    "block_drawing",
    "growth_curves",
    "head_scores",
    "layer_curves",
    "number_tables",
    "rotary_arrows",
    "toy_space",
    "word_map",
]


@styled
def toy_space(points: Mapping[str, Sequence[float]], labels: Sequence[str]) -> Axes:
    """Draw words as arrows from the origin of a space with three axes.

    Args:
        points: for each word, its three coordinates, each from 0 to 1.
        labels: what the three axes mean.
    """
    figure = plt.figure(figsize=(4.6, 4.0))
    axes = figure.add_axes((0.0, 0.06, 0.88, 0.94), projection="3d")
    space: Any = axes  # as which the types of matplotlib do not know it
    for index, (word, point) in enumerate(points.items()):
        colour = PALETTE[index % len(PALETTE)]
        space.quiver(0, 0, 0, *point, color=colour, arrow_length_ratio=0.08, linewidth=1.6)
        axes.plot(
            [point[0]] * 2,
            [point[1]] * 2,
            [0, point[2]],
            color=colour,
            linestyle=":",
            linewidth=0.9,
            marker="",
        )
        side = "top" if index % 2 else "bottom"  # in turn, so that close words do not cover one another
        space.text(*np.asarray(point, dtype=float), f" {word}", color=colour, fontsize=10, va=side)
    axes.set(xlim=(0, 1), ylim=(0, 1), zlim=(0, 1), xlabel=labels[0], ylabel=labels[1], zlabel=labels[2])
    for axis in (space.xaxis, space.yaxis, space.zaxis):
        axis.set_ticks([0, 0.5, 1])
        axis.set_pane_color((1, 1, 1, 0))
    space.view_init(elev=22, azim=-58)
    return axes


@styled
def word_map(
    states: Mapping[str, np.ndarray], names: Sequence[str], kinds: Sequence[str], marked: Sequence[str] = ()
) -> list[Axes]:
    """Draw words as points in the plane, coloured by kind, a panel for each state.

    Args:
        states: for each title, the coordinates of all words (n, 2).
        names: the n words.
        kinds: their n kinds, at most as many different ones as the palette has colours.
        marked: words that are written beside their points.

    Raises:
        ValueError: the lengths differ, or there are too many kinds.
    """
    order = list(dict.fromkeys(kinds))
    if len(order) > len(PALETTE):
        raise ValueError(f"{len(order)} kinds are more than the {len(PALETTE)} colours; leave some out")
    wrong = [title for title, points in states.items() if np.shape(points) != (len(names), 2)]
    if wrong or len(kinds) != len(names):
        raise ValueError(
            f"{len(names)} names, {len(kinds)} kinds and the points of {wrong or list(states)} do not fit together; "
            "give (n, 2) coordinates, n names and n kinds"
        )
    halo = withStroke(linewidth=2.5, foreground="white")
    size = (3.8 * len(states), 4.1)
    panels = plt.subplots(1, len(states), figsize=size, layout="constrained", squeeze=False)[1][0]
    for axes, (title, points) in zip(panels, states.items(), strict=True):
        points = np.asarray(points, dtype=float)
        for index, kind in enumerate(order):
            of_kind = points[[other == kind for other in kinds]]
            axes.scatter(
                *of_kind.T, s=22, color=PALETTE[index], marker=MARKERS[index], label=kind, linewidths=0
            )
        for name, point in zip(names, points, strict=True):
            if name in marked:
                axes.annotate(
                    name, point, (3, 3), textcoords="offset points", fontsize=8, path_effects=[halo]
                )
        axes.set(xlabel="first axis", ylabel="second axis", aspect="equal")
        axes.set_title(title, fontsize=10)
        axes.margins(0.08)
    handles, labels = panels[0].get_legend_handles_labels()
    panels[0].figure.legend(handles, labels, loc="outside lower center", ncols=len(order), fontsize=9)
    return list(panels)


@styled
def rotary_arrows(angles: np.ndarray, rows: Sequence[str]) -> Axes:
    """Draw how one vector is turned at successive positions: an arrow for each pair of channels and each position.

    Args:
        angles: (pair, position), in radians.
        rows: what each pair is called.
    """
    angles = np.asarray(angles, dtype=float)
    n_pairs, n_positions = angles.shape
    axes = new_axes("position (tokens)", "", width=0.5 * n_positions + 1.0, height=0.52 * n_pairs + 0.7)
    for row in range(n_pairs):
        for position in range(n_positions):
            angle = angles[row, position]
            tip = position + 0.38 * math.cos(angle), row - 0.38 * math.sin(angle)  # the axis points down
            axes.add_patch(Circle((position, row), 0.4, fill=False, color="#d9d9d9", linewidth=0.8))
            axes.annotate(
                "",
                tip,
                (position, row),
                arrowprops={
                    "arrowstyle": "-|>",
                    "color": PALETTE[row % len(PALETTE)],
                    "shrinkA": 0,
                    "shrinkB": 0,
                },
            )
    axes.set(xlim=(-0.6, n_positions - 0.4), ylim=(n_pairs - 0.4, -0.6), aspect="equal")
    axes.set_xticks(range(n_positions))
    axes.set_yticks(range(n_pairs), rows)
    axes.grid(False)
    return axes


@styled
def attention_maps(
    maps: Mapping[str, np.ndarray], tokens: Sequence[str], numbers: bool = False
) -> list[Axes]:
    """Draw attention weights as shaded squares, a panel for each map: a row looks, a column is looked at.

    Args:
        maps: for each title, weights (time, time).
        tokens: the text, token by token.
        numbers: whether to write the weights into the squares.
    """
    side = max(2.4, min(4.4, 0.14 * len(tokens) + 1.0))
    size = (side * len(maps) + 0.6, side + 0.3)
    drawn = plt.subplots(1, len(maps), figsize=size, layout="constrained", squeeze=False)[1][0]
    labels = [ink(token) for token in tokens]
    for axes, (title, weights) in zip(drawn, maps.items(), strict=True):
        weights = np.asarray(weights, dtype=float)
        picture = axes.imshow(
            np.ma.masked_equal(weights, 0), cmap="Blues", vmin=0, vmax=1, interpolation="nearest"
        )
        small = {"fontsize": 10 if len(tokens) < 12 else 6.5}
        axes.set_xticks(range(len(tokens)), labels, rotation=90, **small)
        axes.set_yticks(range(len(tokens)), labels if axes is drawn[0] else [""] * len(tokens), **small)
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("looked at")
        axes.grid(False)
        if numbers:
            for row, column in zip(*weights.nonzero(), strict=True):
                value = weights[row, column]
                ground = "white" if value > 0.6 else "#1a1a1a"
                axes.text(column, row, f"{value:.2f}", ha="center", va="center", color=ground, fontsize=8)
    drawn[0].set_ylabel("looks")
    drawn[0].figure.colorbar(picture, ax=list(drawn), label="weight (each row sums to 1)", shrink=0.8)
    return list(drawn)


@styled
def number_tables(
    tables: Mapping[str, np.ndarray], rows: Sequence[str], columns: Mapping[str, Sequence[str]]
) -> list[Axes]:
    """Draw small tables side by side with every number written in its square; minus infinity is left grey.

    Args:
        tables: for each title, numbers (row, column).
        rows: what the rows are called, in all tables.
        columns: for each title, what its columns are called.

    Raises:
        ValueError: a table whose shape does not fit the names of its rows and columns.
    """
    for title, numbers in tables.items():
        if np.shape(numbers) != (len(rows), len(columns[title])):
            raise ValueError(
                f"the table {title!r} has the shape {np.shape(numbers)}, the names are for "
                f"{(len(rows), len(columns[title]))}; give each row and each column one name"
            )
    widths = [len(columns[title]) for title in tables]
    size = (0.56 * sum(widths) + 0.35 * len(widths) + 0.7, 0.4 * len(rows) + 1.0)
    drawn = plt.subplots(
        1, len(tables), figsize=size, layout="constrained", squeeze=False, width_ratios=widths
    )[1][0]
    for axes, (title, numbers) in zip(drawn, tables.items(), strict=True):
        numbers = np.ma.masked_invalid(np.asarray(numbers, dtype=float))
        high = max(1.0, float(numbers.max()))
        axes.imshow(numbers, cmap="Blues", vmin=0, vmax=high, aspect="auto", interpolation="nearest")
        axes.set_facecolor("#d9d9d9")  # seen where nothing is drawn
        for (row, column), value in np.ndenumerate(numbers.filled(-np.inf)):
            text = "−∞" if np.isinf(value) else f"{round(value, 2) + 0.0:g}"
            ground = "white" if value > 0.6 * high else "#1a1a1a"
            axes.text(column, row, text, ha="center", va="center", color=ground, fontsize=8.5)
        names = columns[title]
        axes.set_xticks(range(len(names)), names, rotation=90, fontsize=8.5)
        axes.set_yticks(range(len(rows)), rows if axes is drawn[0] else [""] * len(rows), fontsize=9)
        axes.set_title(title, fontsize=9)
        axes.grid(False)
    return list(drawn)


@styled
def head_scores(panels: Mapping[str, np.ndarray], label: str) -> list[Axes]:
    """Draw one number for each head as shaded squares with the number in it; a panel for each measure, one scale.

    Args:
        panels: for each title, numbers (layer, head).
        label: what the numbers are, with their unit.
    """
    size = (2.5 * len(panels) + 0.4, 2.6)
    low = min(0.0, *(float(np.min(values)) for values in panels.values()))
    high = max(float(np.max(values)) for values in panels.values())
    drawn = plt.subplots(1, len(panels), figsize=size, layout="constrained", squeeze=False)[1][0]
    for axes, (title, values) in zip(drawn, panels.items(), strict=True):
        values = np.asarray(values, dtype=float)
        axes.imshow(
            values,
            cmap="Blues",
            vmin=low,
            vmax=high,
            aspect="auto",
            interpolation="nearest",
        )
        if values.size <= 64:
            for (row, column), value in np.ndenumerate(values):
                ground = "white" if value > 0.6 * high else "#1a1a1a"
                number = f"{round(value, 2) + 0.0:.2f}"  # without the sign of -0.00
                axes.text(column, row, number, ha="center", va="center", color=ground, fontsize=9)
        axes.set_xticks(range(values.shape[1]))
        axes.set_yticks(range(values.shape[0]))
        axes.set_title(title, fontsize=9)
        axes.set(xlabel="head", ylabel="layer" if axes is drawn[0] else "")
        axes.grid(False)
    drawn[0].figure.suptitle(label, fontsize=9, y=0.02, va="bottom")
    drawn[0].figure.get_layout_engine().set(rect=(0, 0.07, 1, 0.93))
    return list(drawn)


@styled
def layer_curves(curves: Mapping[str, Sequence[float]], ylabel: str) -> Axes:
    """Draw a quantity against depth: after the embedding (0) and after each block.

    Args:
        curves: for each name, n_layer + 1 numbers.
        ylabel: the quantity, with its unit.
    """
    axes = new_axes("number of blocks passed (0: the embedding)", ylabel, width=6.0, height=3.0)
    for name, values in curves.items():
        axes.plot(range(len(values)), values, label=name)
    axes.set_xticks(range(max(map(len, curves.values()))))
    axes.legend()
    return axes


@styled
def growth_curves(
    panels: Mapping[str, tuple[Sequence[float], Mapping[str, Sequence[float]]]], ylabel: str
) -> list[Axes]:
    """Draw how quantities grow, on logarithmic axes, a panel for each cause; the legend gives the slope of the end.

    Args:
        panels: for each label of the horizontal axis, its values, and by name a quantity at each of them.
        ylabel: the quantity, with its unit.
    """
    size = (3.7 * len(panels), 3.3)
    drawn = plt.subplots(1, len(panels), figsize=size, layout="constrained", squeeze=False)[1][0]
    for axes, (label, (causes, curves)) in zip(drawn, panels.items(), strict=True):
        for name, values in curves.items():
            slope = math.log(values[-1] / values[-2]) / math.log(causes[-1] / causes[-2])
            axes.plot(causes, values, label=f"{name}: slope {slope:.1f}")
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.set_xticks(causes, [f"{cause:,}" for cause in causes], fontsize=8)
        axes.minorticks_off()
        axes.set(xlabel=label, ylabel=ylabel if axes is drawn[0] else "")
        axes.legend(fontsize=8)
    return list(drawn)


_PLUS = {"boxstyle": "circle,pad=0.15", "facecolor": "white", "edgecolor": "#333333"}
_NORM, _MIX, _THINK, _STREAM = "#ececec", "#cfe3f5", "#fbe0c3", "#cdebdc"


@styled
def block_drawing(
    *,
    d_model: int,
    n_head: int,
    n_kv_head: int,
    d_ff: int,
    vocab_size: int,
    n_layer: int,
    qk_norm: bool = False,
) -> Axes:
    """Draw the model with one block opened: boxes for the modules, arrows with the width of what flows.

    Args:
        d_model: width of the residual stream.
        n_head: query heads.
        n_kv_head: key/value heads.
        d_ff: width inside the feed-forward part.
        vocab_size: tokens in the vocabulary.
        n_layer: how many such blocks follow one another.
        qk_norm: whether queries and keys are normalised before they are turned.
    """
    before = "normalise and turn" if qk_norm else "turn"
    width, stream = d_model // n_head, f"(batch, time, {d_model})"
    axes = plt.subplots(figsize=(6.6, 7.0), layout="constrained")[1]
    axes.set(xlim=(0, 10), ylim=(-0.1, 17.0))
    axes.axis("off")
    axes.add_patch(
        FancyBboxPatch((0.35, 3.0), 9.3, 11.0, "round,pad=0.1", facecolor="#fafafa", edgecolor="#7f7f7f")
    )
    axes.text(9.5, 13.95, f"one block, {n_layer} times", ha="right", va="top", fontsize=9, style="italic")
    _box(axes, 2.2, 0.0, 3.2, "token ids", "white")
    _box(axes, 2.2, 1.4, 3.2, f"embedding: one row of\n{vocab_size:,} × {d_model}", _STREAM)
    _box(axes, 2.2, 14.7, 3.2, f"RMSNorm, {d_model} gains", _NORM)
    _box(axes, 2.2, 16.1, 3.2, f"logits: products with\n{vocab_size:,} × {d_model}", _STREAM)
    for low, high in ((0.76, 1.34), (2.16, 7.2), (7.9, 12.6), (13.3, 14.64), (15.46, 16.04)):
        _arrow(axes, (2.2, low), (2.2, high))
    attention = (
        (f"RMSNorm, {d_model} gains", 3.3, _NORM, ""),
        (f"q: {n_head} heads × {width}\nk and v: {n_kv_head} heads × {width} each", 4.6, _MIX, stream),
        (
            f"{before} q and k;\nsoftmax(q·k / √width + mask) · v",
            5.9,
            _MIX,
            f"(batch, head, time, {width})",
        ),
        (f"output matrix {d_model} × {d_model}", 7.2, _MIX, stream),
    )
    feed_forward = (
        (f"RMSNorm, {d_model} gains", 8.7, _NORM, ""),
        (f"gate and up: {d_model} × {d_ff} each", 10.0, _THINK, stream),
        ("silu(gate) · up", 11.3, _THINK, f"(batch, time, {d_ff}), twice"),
        (f"down: {d_ff} × {d_model}", 12.6, _THINK, f"(batch, time, {d_ff})"),
    )
    _branch(axes, attention)
    _branch(axes, feed_forward)
    axes.text(2.0, 5.6, f"residual\nstream\n{stream}", ha="right", fontsize=8, va="center")
    axes.text(2.35, 1.05, "(batch, time)", fontsize=8, va="center")
    axes.text(2.35, 2.55, stream, fontsize=8, va="center")
    axes.text(2.35, 14.4, stream, fontsize=8, va="center")
    axes.text(4.0, 16.45, f"(batch, time, {vocab_size:,})", fontsize=8, va="center")
    return axes


def _box(axes: Axes, centre: float, bottom: float, width: float, text: str, colour: str) -> None:
    axes.add_patch(
        FancyBboxPatch(
            (centre - width / 2, bottom), width, 0.7, "round,pad=0.06", facecolor=colour, edgecolor="#333333"
        )
    )
    axes.text(centre, bottom + 0.35, text, ha="center", va="center", fontsize=8.5)


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    axes.add_patch(
        FancyArrowPatch(
            start, end, arrowstyle="-|>", mutation_scale=10, color="#333333", shrinkA=1, shrinkB=2
        )
    )


def _branch(axes: Axes, boxes: Sequence[tuple[str, float, str, str]]) -> None:
    """One half of a block: from the stream to the right, up through its boxes, and back to the stream."""
    _arrow(axes, (2.2, boxes[0][1] + 0.35), (4.78, boxes[0][1] + 0.35))
    for index, (text, bottom, colour, shape) in enumerate(boxes):
        _box(axes, 6.8, bottom, 3.9, text, colour)
        if index:
            below = boxes[index - 1][1] + 0.76
            _arrow(axes, (6.8, below), (6.8, bottom - 0.04))
            axes.text(6.95, (below + bottom) / 2, shape, fontsize=8, va="center")
    centre = boxes[-1][1] + 0.35
    axes.text(2.2, centre, "+", ha="center", va="center", fontsize=12, bbox=_PLUS)
    _arrow(axes, (4.79, centre), (2.5, centre))
