"""Intervals of shares, and the number of tasks that a difference needs, by simulation and against known values."""

from __future__ import annotations

import math

import pytest
import torch

from minillm.evaluate import share_interval, tasks_needed, win_rate


def binomial(n: int, p: float) -> list[float]:
    return [math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1)]


@pytest.mark.parametrize(("n", "p"), [(20, 0.9), (50, 0.5), (100, 0.86), (400, 0.97)])
def test_the_interval_covers_the_true_share(n: int, p: float):
    """Summed over all outcomes, not sampled: near 95 %, as Wilson's interval has it."""
    covered = sum(
        chance
        for k, chance in enumerate(binomial(n, p))
        if share_interval(k, n)[0] <= p <= share_interval(k, n)[1]
    )
    assert 0.92 < covered < 0.98


def test_the_interval_is_the_root_of_the_score_test():
    """Its ends are the shares from which the measured one is just 1.96 standard deviations away."""
    for end in share_interval(17, 40):
        assert abs(17 / 40 - end) / math.sqrt(end * (1 - end) / 40) == pytest.approx(1.959964, abs=1e-5)


def test_nothing_and_everything_right_stay_within_0_and_1():
    assert share_interval(0, 10)[0] == 0.0 < share_interval(0, 10)[1] < 0.5
    assert share_interval(10, 10)[1] == 1.0


def test_the_win_rate_has_the_same_interval():
    rate = win_rate([1.0] * 7 + [0.0] * 3, [0.5] * 10)
    assert (rate.low, rate.high) == pytest.approx(share_interval(7, 10))


@pytest.mark.parametrize(("right", "n"), [(1, 0), (-1, 5), (6, 5)])
def test_numbers_that_do_not_fit_are_refused(right: int, n: int):
    with pytest.raises(ValueError, match="do not fit together"):
        share_interval(right, n)


def seen_in_simulation(n: int, share: float, difference: float, disagree: float | None) -> float:
    """How often zero lies outside of the interval of a difference, with n tasks for each model."""
    generator = torch.Generator().manual_seed(3)
    trials = 4_000
    if disagree is None:
        one, two = (
            torch.binomial(torch.full((trials,), float(n)), torch.full((trials,), p), generator=generator) / n
            for p in (share, share + difference)
        )
        gap, variance = two - one, (one * (1 - one) + two * (1 - two)) / n
    else:
        wins = (disagree + difference) / 2
        first = torch.binomial(
            torch.full((trials,), float(n)), torch.full((trials,), wins), generator=generator
        )
        rest = torch.full((trials,), (disagree - wins) / (1 - wins))
        second = torch.binomial(n - first, rest, generator=generator)
        gap = (first - second) / n
        variance = ((first + second) / n - gap**2) / n
    return (gap > 1.96 * variance.sqrt()).double().mean().item()


@pytest.mark.parametrize("disagree", [None, 0.15])
def test_so_many_tasks_show_the_difference_as_often_as_promised(disagree: float | None):
    n = tasks_needed(0.8, 0.05, disagree=disagree)
    assert seen_in_simulation(n, 0.8, 0.05, disagree) == pytest.approx(0.8, abs=0.025)
    assert seen_in_simulation(n // 2, 0.8, 0.05, disagree) < 0.6


@pytest.mark.parametrize(
    ("share", "difference", "options"),
    [(0.9, 0.2, {}), (0.5, 0.0, {}), (0.5, 0.1, {"power": 1.0}), (0.5, 0.1, {"disagree": 0.05})],
)
def test_shares_that_cannot_be_are_refused(share: float, difference: float, options: dict[str, float]):
    with pytest.raises(ValueError, match=r"do not fit together|must be from"):
        tasks_needed(share, difference, **options)
