"""Figures of the chapter on the reward model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from minillm.figures.style import MARKERS, PALETTE, new_axes, styled

__all__ = ["calibration_curve", "pair_loss_curve", "share_points"]

_GREY = PALETTE[-1]


@styled
def pair_loss_curve(margins: Mapping[str, float], reach: float = 5.0) -> Axes:
    """Draw the loss of a pair, and the pull on its two scores, against the margin between them.

    Args:
        margins: pairs to mark on the curve, by name: score of the preferred answer less that of the other.
        reach: the largest margin that is drawn.
    """
    axes = new_axes("margin: score of the preferred answer − score of the other", "loss (nats), pull")
    m = np.linspace(-reach, reach, 201)
    axes.plot(m, np.logaddexp(0, -m), marker="", label="loss: −ln σ(margin)")
    axes.plot(m, 1 / (1 + np.exp(m)), marker="", linestyle="--", label="pull: σ(−margin)")
    for name, margin in margins.items():
        loss = float(np.logaddexp(0, -margin))
        axes.plot([margin], [loss], color=PALETTE[0], marker=MARKERS[0], linestyle="")
        axes.annotate(name, (margin, loss), (6, 4), textcoords="offset points", fontsize=9)
    axes.axvline(0, color=_GREY, linewidth=1, linestyle=":", marker="")
    axes.set_ylim(bottom=0)
    axes.legend()
    return axes


@styled
def calibration_curve(models: Mapping[str, Sequence[tuple[float, float, int]]]) -> Axes:
    """Draw what a model expects against what is: points on the diagonal keep their word.

    Whiskers are two standard errors of a share among so many pairs, counted as if they were independent.

    Args:
        models: for each name, groups of pairs as `ScoredPairs.calibration` gives them: mean expected probability,
            share in which the preference was as expected, number of pairs.
    """
    axes = new_axes("expected: the annotator agrees (%)", "the annotator agreed (%)", width=5.0, height=4.2)
    axes.plot([50, 100], [50, 100], color=_GREY, linewidth=1, linestyle=":", marker="", label="as promised")
    for index, (name, groups) in enumerate(models.items()):
        expected, seen, pairs = np.array(groups).T
        errors = 2 * np.sqrt(seen * (1 - seen) / pairs)
        axes.errorbar(100 * expected, 100 * seen, 100 * errors, color=PALETTE[index], capsize=2, label=name)
    axes.set_xlim(48, 102)
    axes.legend(loc="upper left")
    return axes


@styled
def share_points(groups: Mapping[str, Mapping[str, tuple[float, float, float, int]]], xlabel: str) -> Axes:
    """Draw shares of pairs with their intervals as rows of points, a row for each kind of pairs.

    Args:
        groups: for each name, by kind of pairs the share, the ends of its interval (all 0-1) and the number of pairs; a
            kind without pairs is left out. All names have the same kinds.
        xlabel: what the shares are, in percent. A coin's share is a dotted line.
    """
    first = next(iter(groups.values()))
    kinds = [kind for kind, (*_, pairs) in first.items() if pairs]
    axes = new_axes(xlabel, "", height=1.3 + 0.22 * len(kinds) * len(groups))
    apart = 0.6 / len(groups)
    for index, (name, found) in enumerate(groups.items()):
        shares, low, high, _ = 100 * np.array([found[kind] for kind in kinds]).reshape(-1, 4).T
        heights = np.arange(len(kinds)) + (index - (len(groups) - 1) / 2) * apart
        axes.hlines(heights, low, high, color=PALETTE[index], linewidth=1.6, alpha=0.5)
        axes.plot(shares, heights, color=PALETTE[index], marker=MARKERS[index], linestyle="", label=name)
    axes.axvline(50, color=_GREY, linewidth=1, linestyle=":", marker="", label="a coin")
    axes.set_yticks(range(len(kinds)), [f"{kind} ({first[kind][3]})" for kind in kinds])
    axes.set(xlim=(-2, 102), xticks=range(0, 101, 25), ylim=(len(kinds) - 0.4, -0.6))
    axes.grid(False, axis="y")
    axes.legend(loc="lower center", bbox_to_anchor=(0.45, 1), ncols=len(groups) + 1)
    return axes
