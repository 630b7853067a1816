"""Answers compared: one model against another, answers against references, answers with themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from minillm.data.answers import Answer
from minillm.evaluate.intervals import share_interval

__all__ = ["TextStatistics", "WinRate", "bleu", "text_statistics", "win_rate"]

_REPEATED_WORDS = 4  # a run of so many words that comes again is a repetition


@dataclass(frozen=True)
class WinRate:
    """How often the answers of one model beat another's.

    Attributes:
        rate: wins and half of the ties, as a share of all prompts (0-1).
        low, high: the 95 % confidence interval of the rate.
        wins, ties, losses: numbers of prompts.
    """

    rate: float
    low: float
    high: float
    wins: int
    ties: int
    losses: int


def win_rate(scores: Sequence[float], others: Sequence[float], tie: float = 1e-9) -> WinRate:
    """Compare two models' scores on the same prompts.

    The interval is that of `share_interval`, for a share of n prompts. A tie counts as half a win and half a loss,
    which varies less than a whole one, so the interval is somewhat wider than it need be.

    Args:
        scores: of one model's answers.
        others: of the other's, in the same order.
        tie: scores that differ by no more than this are equal.
    Raises:
        ValueError: there are no scores, or not as many of both.
    >>> win_rate([0.9, 0.5, 0.3, 0.8], [0.1, 0.5, 0.6, 0.2]).rate
    0.625
    """
    n = len(scores)
    if not n or n != len(others):
        raise ValueError(
            f"{n} and {len(others)} scores cannot be compared; give the same number, at least one"
        )
    margins = [one - other for one, other in zip(scores, others, strict=True)]
    wins, losses = sum(margin > tie for margin in margins), sum(margin < -tie for margin in margins)
    rate = (wins + (n - wins - losses) / 2) / n
    low, high = share_interval(rate * n, n)
    return WinRate(rate, low, high, wins, n - wins - losses, losses)


@dataclass(frozen=True)
class TextStatistics:
    """The look of a set of answers.

    Attributes:
        mean_tokens: mean length (tokens).
        ended_share: share of answers that the model ended itself (0-1).
        repeated_share: share of answers in which a run of four words comes again (0-1).
        distinct_bigrams: different pairs of neighbouring words, as a share of all (0-1); low where all sounds alike.
    """

    mean_tokens: float
    ended_share: float
    repeated_share: float
    distinct_bigrams: float


def text_statistics(answers: Sequence[Answer]) -> TextStatistics:
    """Lengths, ends and repetitions of answers.

    Raises:
        ValueError: there are no answers.
    Reference: Li et al. 2016, "A diversity-promoting objective function for neural conversation models" (distinct-2).
    """
    if not answers:
        raise ValueError("there are no answers to describe; give at least one")
    words = [answer.text.lower().split() for answer in answers]
    bigrams = [pair for text in words for pair in pairwise(text)]
    return TextStatistics(
        sum(len(answer.ids) for answer in answers) / len(answers),
        sum(answer.ended for answer in answers) / len(answers),
        sum(map(_repeats, words)) / len(answers),
        len(set(bigrams)) / len(bigrams) if bigrams else 0.0,
    )


def _repeats(words: list[str]) -> bool:
    runs = [tuple(words[i : i + _REPEATED_WORDS]) for i in range(len(words) - _REPEATED_WORDS + 1)]
    return len(set(runs)) < len(runs)


def bleu(texts: Sequence[str], references: Sequence[str]) -> float:
    """Corpus BLEU (0 to 100) with one reference each, by the `sacrebleu` library.

    BLEU counts the runs of one to four words that a text shares with its reference. It was made for translation, where
    few answers are right. Here many are: a right answer in other words scores low, a wrong one in the right words
    ("Bruno is the baker.") scores high, and a story shares little with another good story. Read it beside the accuracy.

    Raises:
        ValueError: there are no texts, not as many references, or `sacrebleu` is not installed.
    Reference: Papineni et al. 2002; Post 2018, "A call for clarity in reporting BLEU scores".
    """
    if not texts or len(texts) != len(references):
        raise ValueError(
            f"{len(texts)} texts and {len(references)} references; give one reference for each text"
        )
    try:
        from sacrebleu.metrics.bleu import BLEU
    except ImportError:
        raise ValueError("bleu needs the package sacrebleu; run: python -m pip install sacrebleu") from None
    return float(BLEU().corpus_score(list(texts), [list(references)]).score)
