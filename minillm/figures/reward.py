"""Figures of the chapter on the reward model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from minillm.figures.style import MARKERS, PALETTE, new_axes, styled

__all__ = ["calibration_curve", "flaw_bars", "margin_histogram", "pair_loss_curve", "score_scatter"]

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
def margin_histogram(margins: Mapping[str, Sequence[float]], bins: int = 30) -> Axes:
    """Draw how many pairs have which margin; to the right of the dotted line the pair is in the right order.

    Args:
        margins: for each kind of pairs, which stand upon each other, the score of the better less that of the worse.
        bins: bars over the whole width.
    """
    axes = new_axes("margin: score of the better answer − score of the worse", "pairs")
    rows = [np.asarray(row, dtype=float) for row in margins.values()]
    reach = max(float(np.abs(row).max()) for row in rows if len(row))
    edges = np.linspace(-reach, reach, bins + 1)
    axes.hist(rows, edges.tolist(), stacked=True, color=list(PALETTE[: len(rows)]), label=list(margins))
    axes.axvline(0, color=_GREY, linewidth=1.2, linestyle=":", marker="")
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
    axes = new_axes("expected: the annotator agrees (%)", "it was so (%)", width=5.0, height=4.2)
    axes.plot([50, 100], [50, 100], color=_GREY, linewidth=1, linestyle=":", marker="", label="kept its word")
    for index, (name, groups) in enumerate(models.items()):
        expected, seen, pairs = np.array(groups).T
        errors = 2 * np.sqrt(seen * (1 - seen) / pairs)
        axes.errorbar(100 * expected, 100 * seen, 100 * errors, color=PALETTE[index], capsize=2, label=name)
    axes.set_xlim(48, 102)
    axes.legend(loc="upper left")
    return axes


@styled
def score_scatter(answers: Mapping[str, tuple[Sequence[float], Sequence[float]]]) -> Axes:
    """Draw the learned score of answers against the judge's.

    Args:
        answers: for each group, the judge's scores (0-1) and the learned ones, in the same order.
    """
    axes = new_axes("judge's score (0–1)", "learned score")
    for index, (name, (gold, learned)) in enumerate(answers.items()):
        axes.scatter(
            gold,
            learned,
            s=14,
            color=PALETTE[index],
            marker=MARKERS[index],
            alpha=0.5,
            linewidths=0,
            label=name,
        )
    axes.axhline(0, color=_GREY, linewidth=1, linestyle=":", marker="")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=len(answers))
    return axes


@styled
def flaw_bars(models: Mapping[str, Mapping[str, tuple[float, int]]], chance: float = 0.5) -> Axes:
    """Draw the share of pairs in the right order as groups of horizontal bars, a group for each kind of difference.

    Whiskers are two standard errors, counted as if the pairs were independent.

    Args:
        models: for each name, by kind of difference the share (0-1) and the number of pairs, as
            `ScoredPairs.accuracy_by_flaw` gives them; all have the same kinds.
        chance: the share of a coin (0-1), as a dotted line.
    """
    kinds = list(next(iter(models.values())))
    axes = new_axes("pairs in the right order (%)", "", height=1.2 + 0.2 * len(kinds) * (len(models) + 0.6))
    thickness = 0.84 / len(models)
    for index, (name, found) in enumerate(models.items()):
        shares, pairs = np.array([found[kind] for kind in kinds]).reshape(-1, 2).T
        middles = np.arange(len(kinds)) + (index + 0.5) * thickness - 0.42
        errors = 200 * np.sqrt(shares * (1 - shares) / pairs)
        style: dict[str, Any] = {"error_kw": {"ecolor": _GREY, "elinewidth": 1, "capsize": 2}}
        axes.barh(
            middles, 100 * shares, 0.9 * thickness, xerr=errors, color=PALETTE[index], label=name, **style
        )
    axes.axvline(100 * chance, color=_GREY, linewidth=1, linestyle=":", marker="", label="a coin")
    counts = [next(iter(models.values()))[kind][1] for kind in kinds]
    axes.set_yticks(range(len(kinds)), [f"{kind} ({n})" for kind, n in zip(kinds, counts, strict=True)])
    axes.set(xlim=(0, 104), xticks=range(0, 101, 25), ylim=(len(kinds) - 0.4, -0.6))
    axes.grid(False, axis="y")
    axes.legend(loc="lower center", bbox_to_anchor=(0.45, 1), ncols=len(models) + 1)
    return axes
