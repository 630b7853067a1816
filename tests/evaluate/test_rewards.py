"""Figures of a reward model, against loops over hand-made comparisons."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from minillm.data.comparisons import Comparison
from minillm.data.judge import WEIGHTS, Verdict
from minillm.evaluate import reward_figures, score_pairs

PROMPT = ({"role": "user", "content": "Who?"},)


def verdict(fault="", **marks):
    return Verdict({name: marks.get(name, 1.0) for name in WEIGHTS}, fault)


def comparison(ranks, gold, verdicts=()):
    return Comparison(PROMPT, tuple(f"answer {i}" for i in range(len(ranks))), ranks, gold, verdicts)


COMPARISONS = [comparison((1, 0, 2), (0.9, 0.7, 0.7)), comparison((0, 1), (0.2, 0.8))]
SCORES = [[0.5, 0.1, -2.0], [1.0, 3.0]]


def test_pairs_go_from_the_preferred_answer_to_the_other():
    pairs = score_pairs(COMPARISONS, SCORES)
    assert pairs.margins.tolist() == pytest.approx([0.1 - 0.5, 0.5 + 2.0, 0.1 + 2.0, 1.0 - 3.0])
    assert pairs.gold_margins.tolist() == pytest.approx([0.7 - 0.9, 0.9 - 0.7, 0.0, 0.2 - 0.8])


def test_accuracies_equal_a_count_by_hand():
    """Four pairs, one of them without an order of the judge; the annotator got one of the three right."""
    figures = reward_figures(COMPARISONS, SCORES)
    assert figures["held_out_pairs"] == 4
    assert figures["pair_accuracy_noisy"] == 2 / 4
    assert figures["pair_accuracy_gold"] == 3 / 3
    assert figures["annotator_accuracy"] == pytest.approx(1 / 3)
    flat, gold = [0.5, 0.1, -2.0, 1.0, 3.0], [0.9, 0.7, 0.7, 0.2, 0.8]
    assert figures["correlation_with_judge"] == pytest.approx(np.corrcoef(flat, gold)[0, 1])


def test_accuracies_by_family_are_those_of_each_family_alone():
    families = {
        "story": [COMPARISONS[0]],
        "world": [COMPARISONS[1], comparison((0, 1), (0.9, 0.1))],
        "": [COMPARISONS[1]],
    }
    scores = {"story": [SCORES[0]], "world": [SCORES[1], [0.0, 1.0]], "": [[5.0, 0.0]]}
    named = [replace(one, family=name) for name, group in families.items() for one in group]
    figures = reward_figures(named, [row for group in scores.values() for row in group])
    alone = {name: score_pairs(families[name], scores[name]).accuracy_gold for name in ("story", "world")}
    assert figures["pair_accuracy_by_family"] == alone == {"story": 1.0, "world": 0.5}


def test_accuracies_equal_a_double_loop_on_random_comparisons():
    random = np.random.default_rng(3)
    comparisons = [
        comparison(tuple(random.permutation(4).tolist()), tuple(random.integers(0, 4, 4) / 4))
        for _ in range(50)
    ]
    scores = random.normal(size=(50, 4)).tolist()
    right = with_order = 0
    for one, row in zip(comparisons, scores, strict=True):
        for i, j in combinations(range(4), 2):
            if one.gold[i] != one.gold[j]:
                with_order += 1
                right += (row[i] > row[j]) == (one.gold[i] > one.gold[j])
    assert score_pairs(comparisons, scores).accuracy_gold == pytest.approx(right / with_order)


def test_equal_ranks_are_no_pair():
    pairs = score_pairs([comparison((0, 0, 1), (0.1, 0.2, 0.3))], [[1.0, 2.0, 3.0]])
    assert len(pairs.margins) == 2
    with pytest.raises(ValueError, match="no pair with a preference"):
        score_pairs([comparison((0, 0), (0.1, 0.2))], [[1.0, 2.0]])


def test_the_flaw_is_the_part_that_weighs_most():
    verdicts = (verdict(), verdict(kind=0.0), verdict(correct=0.4, kind=0.9), verdict("loop", correct=0.0))
    one = comparison((0, 1, 2, 3), tuple(v.score for v in verdicts), verdicts)
    pairs = score_pairs([one], [[4.0, 3.0, 2.0, 1.0]])
    # 0.2 of kindness against 0.24 of correctness; a loop is no answer whatever its other marks are
    assert pairs.flaws == ("kind", "correct", "no answer", "correct", "no answer", "no answer")
    assert pairs.accuracy_by_flaw() == {"correct": (1.0, 2), "kind": (1.0, 1), "no answer": (1.0, 3)}


def test_answers_that_differ_in_no_part_have_no_flaw():
    verdicts = (verdict(), verdict(), verdict(kind=0.0))
    pairs = score_pairs(
        [comparison((0, 1, 2), tuple(v.score for v in verdicts), verdicts)], [[3.0, 2.0, 1.0]]
    )
    assert pairs.flaws == ("", "kind", "kind")


def test_odds_drawn_from_the_model_are_calibrated():
    """Preferences drawn with probability sigmoid(margin): in each group what is expected is what happens."""
    random = np.random.default_rng(0)
    margins = random.normal(0, 2, 20_000)
    first = random.random(20_000) < 1 / (1 + np.exp(-margins))
    comparisons = [comparison((0, 1) if wins else (1, 0), (0.0, 1.0)) for wins in first]
    groups = score_pairs(comparisons, [[m, 0.0] for m in margins]).calibration(bins=6)
    assert sum(n for *_, n in groups) == 20_000
    for expected, share, n in groups:
        assert abs(expected - share) < 4 * math.sqrt(0.25 / n)  # four standard errors
    assert [e for e, *_ in groups] == sorted(e for e, *_ in groups)


def test_wrong_scores_are_refused():
    with pytest.raises(ValueError, match="2 scores for 3 answers"):
        score_pairs(COMPARISONS, [[1.0, 2.0], [1.0, 2.0]])


def test_without_a_judge_only_the_annotator_counts():
    figures = reward_figures([Comparison(PROMPT, ("a", "b"), (1, 0))], [[0.0, 1.0]])
    assert figures["pair_accuracy_noisy"] == 1.0 and "pair_accuracy_gold" not in figures


def test_without_an_order_of_the_judge_there_is_no_share_of_it():
    """A share of no pairs was NaN, which no file of figures can hold."""
    figures = reward_figures([comparison((0, 1), (0.7, 0.7))], [[1.0, 0.0]])
    assert figures["pair_accuracy_noisy"] == 1.0 and "pair_accuracy_gold" not in figures
