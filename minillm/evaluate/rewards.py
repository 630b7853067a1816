"""How good a reward model is: whether it orders answers as the judge does, and whether its odds can be believed.

The order is that of the judge's `score`, the annotators' taste without its noise: this is what the annotators rank by,
and so what a reward model can learn. A friendly wrong answer has about half a score there. The gated `gold` score, by
which policies are measured, is another yardstick and plays no part here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from minillm.data.comparisons import Comparison
from minillm.data.judge import WEIGHTS, Verdict

__all__ = ["ScoredPairs", "reward_figures", "score_pairs"]

_TIE = 1e-9


@dataclass(frozen=True)
class ScoredPairs:
    """All pairs of answers to the same prompts, each the way round in which the annotator prefers the first.

    Attributes:
        margins: (pairs,) the reward model's score of the preferred answer less that of the other.
        gold_margins: (pairs,) the same of the judge's scores without noise; empty where those are unknown.
        flaws: for each pair the part of the judge's rubric that decides most between the two ("kind", "correct", ...;
            "no answer" where one is none at all, "" where they are equal); empty where unknown.
        families: of the tasks that were asked, one for each pair; "" where unknown.
    """

    margins: np.ndarray
    gold_margins: np.ndarray
    flaws: tuple[str, ...]
    families: tuple[str, ...] = ()

    @property
    def accuracy_noisy(self) -> float:
        """Share of the pairs in which the preferred answer has the higher score (0-1)."""
        return float((self.margins > 0).mean())

    @property
    def has_order(self) -> np.ndarray:
        """(pairs,) whether the judge scores the two answers differently."""
        order: np.ndarray = np.abs(self.gold_margins) > _TIE
        return order

    @property
    def agrees(self) -> np.ndarray:
        """(pairs,) whether the model orders the pair as the judge does."""
        same: np.ndarray = (self.margins > 0) == (self.gold_margins > 0)
        return same

    @property
    def accuracy_gold(self) -> float:
        """Share of the pairs with an order that the model orders as the judge does (0-1)."""
        return float(self.agrees[self.has_order].mean())

    @property
    def annotator_accuracy(self) -> float:
        """Share of the pairs with an order that the annotator ordered so (0-1): what noise leaves of it."""
        return float((self.gold_margins[self.has_order] > 0).mean())

    def accuracy_by_flaw(self) -> dict[str, tuple[float, int]]:
        """For each kind of flaw the accuracy against the judge (0-1) and the number of pairs."""
        return self._accuracy_by(self.flaws)

    def accuracy_by_family(self) -> dict[str, tuple[float, int]]:
        """For each family of tasks the accuracy against the judge (0-1) and the number of pairs."""
        return self._accuracy_by(self.families)

    def _accuracy_by(self, labels: tuple[str, ...]) -> dict[str, tuple[float, int]]:
        """The same for any label of the pairs."""
        found = {}
        for label in sorted(set(labels) - {""}):
            chosen = (np.array(labels) == label) & self.has_order
            if chosen.any():
                found[label] = (float(self.agrees[chosen].mean()), int(chosen.sum()))
        return found

    def calibration(self, bins: int = 8) -> list[tuple[float, float, int]]:
        """For groups of pairs of about equal size: what the model expects, what is, and how many they are.

        The model expects that the answer with the higher score is preferred with probability sigmoid(margin).

        Returns:
            (mean expected probability, share in which the annotator prefers it, pairs) of each group.
        """
        margins = np.abs(self.margins)
        order = np.argsort(margins, kind="stable")
        expected = 1 / (1 + np.exp(-margins))
        return [
            (float(expected[group].mean()), float((self.margins[group] > 0).mean()), len(group))
            for group in np.array_split(order, bins)
            if len(group)
        ]


def score_pairs(comparisons: Sequence[Comparison], scores: Sequence[Sequence[float]]) -> ScoredPairs:
    """All pairs with a preference.

    Args:
        comparisons: the ranked answers.
        scores: the reward model's score of each answer of each comparison.
    Raises:
        ValueError: not as many scores as answers, or no pair.
    """
    margins, gold, flaws, families = [], [], [], []
    for comparison, row in zip(comparisons, scores, strict=True):
        if len(row) != len(comparison.answers):
            raise ValueError(
                f"{len(row)} scores for {len(comparison.answers)} answers; give one for each answer"
            )
        for one, other in combinations(range(len(row)), 2):
            if comparison.ranks[one] == comparison.ranks[other]:
                continue
            if comparison.ranks[one] > comparison.ranks[other]:
                one, other = other, one
            margins.append(row[one] - row[other])
            if comparison.gold:
                gold.append(comparison.gold[one] - comparison.gold[other])
            if comparison.verdicts:
                flaws.append(_flaw(comparison.verdicts[one], comparison.verdicts[other]))
            families.append(comparison.family)
    if not margins:
        raise ValueError("there is no pair with a preference; give comparisons with different ranks")
    return ScoredPairs(np.array(margins), np.array(gold), tuple(flaws), tuple(families))


def _flaw(one: Verdict, other: Verdict) -> str:
    """The part of the rubric in which two verdicts differ most; nothing where they differ in none."""
    if bool(one.fault) != bool(other.fault):
        return "no answer"
    if one.parts == other.parts:
        return ""
    return max(WEIGHTS, key=lambda part: WEIGHTS[part] * abs(one.parts[part] - other.parts[part]))


def reward_figures(comparisons: Sequence[Comparison], scores: Sequence[Sequence[float]]) -> dict[str, Any]:
    """The key figures of a reward model on comparisons that it was not trained on, as JSON values.

    Those that compare it with the judge are left out where the judge's scores are unknown, or the same for all pairs.
    """
    pairs = score_pairs(comparisons, scores)
    figures: dict[str, Any] = {
        "held_out_comparisons": len(comparisons),
        "held_out_pairs": len(pairs.margins),
        "pair_accuracy_noisy": pairs.accuracy_noisy,
        "mean_margin": float(pairs.margins.mean()),
    }
    if not pairs.has_order.any():
        return figures
    flat = [score for row in scores for score in row]
    gold = [score for comparison in comparisons for score in comparison.gold]
    return figures | {
        "pair_accuracy_gold": pairs.accuracy_gold,
        "annotator_accuracy": pairs.annotator_accuracy,
        "correlation_with_judge": float(np.corrcoef(flat, gold)[0, 1]),
        "accuracy_by_flaw": {flaw: round(share, 4) for flaw, (share, _) in pairs.accuracy_by_flaw().items()},
        "pair_accuracy_by_family": {
            family: round(share, 4) for family, (share, _) in pairs.accuracy_by_family().items()
        },
    }
