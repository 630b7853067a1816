"""Win rates, statistics of texts and BLEU against hand calculations and independent libraries."""

from __future__ import annotations

import math
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minillm.evaluate import Answer, bleu, text_statistics, win_rate


def said(text, n_tokens=3, ended=True):
    return Answer(text, tuple(range(n_tokens)), ended)


def test_a_win_rate_by_hand():
    result = win_rate([1.0, 0.5, 0.2, 0.9, 0.7], [0.5, 0.5, 0.6, 0.1, 0.1])
    assert (result.wins, result.ties, result.losses) == (3, 1, 1)
    assert result.rate == 0.7


def test_the_interval_is_the_root_of_wilsons_equation():
    """Its ends are the shares p with |rate - p| = 1.96 sqrt(p (1 - p) / n)."""
    result = win_rate([1] * 13 + [0] * 7, [0] * 13 + [1] * 7)
    for end in (result.low, result.high):
        assert abs(0.65 - end) == pytest.approx(1.959964 * math.sqrt(end * (1 - end) / 20), rel=1e-6)
    assert result.low < 0.65 < result.high


@settings(deadline=None, max_examples=300)
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=60))
def test_the_other_side_has_the_rest(pairs):
    one, other = zip(*pairs, strict=True)
    mine, theirs = win_rate(one, other), win_rate(other, one)
    assert mine.rate + theirs.rate == pytest.approx(1)
    assert mine.low + theirs.high == pytest.approx(1)
    assert 0 <= mine.low <= mine.rate <= mine.high <= 1
    assert (mine.wins, mine.losses) == (theirs.losses, theirs.wins)


@pytest.mark.parametrize("pair", [([], []), ([1.0], []), ([1.0], [1.0, 2.0])])
def test_scores_that_cannot_be_compared_are_refused(pair):
    with pytest.raises(ValueError, match="scores cannot be compared; give the same number, at least one"):
        win_rate(*pair)


def test_statistics_by_hand():
    texts = [said("a b c d", 4), said("a b a b", 8, ended=False), said("x y z w x y z w", 12), said("", 0)]
    statistics = text_statistics(texts)
    assert statistics.mean_tokens == 6
    assert statistics.ended_share == 0.75
    assert statistics.repeated_share == 0.25, "only a run of four words that comes again counts"
    # pairs: ab bc cd | ab ba ab | xy yz zw wx xy yz zw: 13, of which ab bc cd ba xy yz zw wx differ
    assert statistics.distinct_bigrams == 8 / 13


def test_statistics_of_nothing_are_refused():
    with pytest.raises(ValueError, match="there are no answers to describe"):
        text_statistics([])


def test_bleu_by_hand():
    """The geometric mean of four precisions; no brevity penalty at equal length."""
    value = bleu(["the cat sat on a mat"], ["the cat sat on the mat"])
    # runs of the text that stand in the reference: 5 of 6 words, 3 of 5 pairs, 2 of 4 triples, 1 of 3 fours
    expected = 100 * math.exp(sum(map(math.log, (5 / 6, 3 / 5, 2 / 4, 1 / 3))) / 4)
    assert value == pytest.approx(expected)


def test_bleu_is_fooled():
    """A wrong answer in the right words beats a right one in other words: why it is not the measure here."""
    reference = ["Bruno is the blacksmith of Pennywell."]
    assert bleu(["Bruno is the baker of Pennywell."], reference) > bleu(
        ["He shoes horses: a blacksmith."], reference
    )


def test_bleu_without_sacrebleu_names_the_package(monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "sacrebleu"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "sacrebleu", None)
    with pytest.raises(
        ValueError, match=r"^bleu needs the package sacrebleu; run: python -m pip install sacrebleu$"
    ):
        bleu(["the cat"], ["the cat"])


def test_bleu_wants_a_reference_for_each_text():
    with pytest.raises(ValueError, match="2 texts and 1 references; give one reference for each text"):
        bleu(["a", "b"], ["a"])
