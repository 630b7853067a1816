"""The scaling law: what its fit finds in runs whose law is known, and the best size against a search."""

from __future__ import annotations

import math

import pytest
import torch

from minillm.evaluate import ScalingLaw, fit_scaling_law, resampled_laws

TRUTH = ScalingLaw(0.51, 60.0, 0.45, 4_000.0, 0.7)
SIZES, TOKENS = (4e4, 9e4, 1.5e5, 2.4e5, 6e5), (1.5e5, 3e5, 6e5, 1.2e6)


def series(noise=0.0, seed=0):
    """Sizes, tokens and losses of runs of the known law, each loss off by a relative `noise`."""
    runs = [(size, tokens) for size in SIZES for tokens in TOKENS]
    off = 1 + noise * torch.randn(len(runs), generator=torch.Generator().manual_seed(seed))
    losses = [TRUTH.loss(*run) * factor for run, factor in zip(runs, off.tolist(), strict=True)]
    return [size for size, _ in runs], [tokens for _, tokens in runs], losses


def test_the_law_is_its_formula():
    assert TRUTH.loss(1e4, 1e6) == pytest.approx(0.51 + 60 / 1e4**0.45 + 4_000 / 1e6**0.7)


def test_the_fit_finds_the_law_that_made_the_runs():
    found = fit_scaling_law(*series())
    assert found.floor == pytest.approx(TRUTH.floor, abs=0.005)
    assert found.size_exponent == pytest.approx(TRUTH.size_exponent, abs=0.01)
    assert found.text_exponent == pytest.approx(TRUTH.text_exponent, abs=0.01)
    for run in ((1e6, 5e6), (2e4, 1e5)):  # beyond the series on both sides
        assert found.loss(*run) == pytest.approx(TRUTH.loss(*run), rel=0.005)


def test_a_known_floor_is_kept():
    found = fit_scaling_law(*series(), floor=TRUTH.floor)
    assert found.floor == TRUTH.floor
    assert found.size_factor == pytest.approx(TRUTH.size_factor, rel=0.02)
    assert found.text_factor == pytest.approx(TRUTH.text_factor, rel=0.02)
    assert fit_scaling_law(*series(), floor=0.2).floor == 0.2


def test_a_fitted_floor_is_never_below_zero():
    """Losses of a law whose floor is negative, which no entropy is: the best that is left has 0."""
    below = ScalingLaw(-0.3, 60.0, 0.45, 4_000.0, 0.7)
    sizes, tokens, _ = series()
    losses = [below.loss(*run) for run in zip(sizes, tokens, strict=True)]
    found = fit_scaling_law(sizes, tokens, losses)
    assert found.floor == 0
    assert found == fit_scaling_law(sizes, tokens, losses, floor=0)


def test_no_neighbour_of_the_fit_is_better():
    """The error of the found law against that of laws with each of the five numbers moved a little."""
    sizes, tokens, losses = series(noise=0.02)

    def error(law):
        runs = zip(sizes, tokens, losses, strict=True)
        return sum((law.loss(size, text) / loss - 1) ** 2 for size, text, loss in runs)

    found = fit_scaling_law(sizes, tokens, losses)
    numbers = (
        found.floor,
        found.size_factor,
        found.size_exponent,
        found.text_factor,
        found.text_exponent,
    )
    for place in range(5):
        for factor in (0.98, 1.02):
            moved = list(numbers)
            moved[place] *= factor
            assert error(ScalingLaw(*moved)) > error(found)


def test_the_interval_of_the_bootstrap_holds_the_floor_about_as_often_as_it_says():
    """Ten noisy series: 90 % intervals, which hold the truth six times at least, and are wider the more noise."""
    held, widths = 0, []
    for seed in range(10):
        floors = sorted(law.floor for law in resampled_laws(*series(noise=0.02, seed=seed), 20, seed))
        held += floors[1] <= TRUTH.floor <= floors[18]
        widths.append(floors[18] - floors[1])
    assert held >= 6
    calm = sorted(law.floor for law in resampled_laws(*series(noise=0.002), 20))
    assert calm[18] - calm[1] < min(widths)


def test_the_same_seed_draws_the_same_samples():
    noisy = series(noise=0.02)
    assert resampled_laws(*noisy, 3, 1) == resampled_laws(*noisy, 3, 1) != resampled_laws(*noisy, 3, 2)
    assert all(law.floor == 0.4 for law in resampled_laws(*noisy, 3, floor=0.4))


@pytest.mark.parametrize("flops", [1e11, 1e13, 1e20])
def test_the_best_size_is_the_best_of_a_search(flops):
    tried = [10 ** (i / 1_000) for i in range(3_000, 12_000)]
    best = min(tried, key=lambda size: TRUTH.loss(size, flops / (6 * size)))
    assert TRUTH.best_size(flops) == pytest.approx(best, rel=0.003)


def test_published_figures_of_chinchilla():
    """The replication's law gives about 20 tokens a parameter for the computation of Gopher and Chinchilla."""
    law = ScalingLaw(1.8172, 482.01, 0.3478, 2085.43, 0.3658)
    size = law.best_size(5.76e23)
    assert 15 < 5.76e23 / (6 * size) / size < 25


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s, t, x: (s[1:], t, x), "19 sizes, 20 amounts of text and 20 losses"),
        (lambda s, t, x: (s[:5], t[:5], x[:5]), "5 runs cannot decide five numbers; give 6 or more"),
        (lambda s, t, x: (s, [0, *t[1:]], x), "not above 0"),
        (lambda s, t, x: (s, t, [math.nan, *x[1:]]), "not above 0"),
        (lambda s, t, x: ([1e4] * 20, t, x), "the same size"),
        (lambda s, t, x: (s, t, [1 / loss for loss in x]), "do not fall"),
    ],
)
def test_runs_without_a_law_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        fit_scaling_law(*change(*series()))


def test_a_floor_above_the_losses_is_refused():
    sizes, tokens, losses = series()
    with pytest.raises(ValueError, match="give a floor below all losses"):
        fit_scaling_law(sizes, tokens, losses, floor=2 * max(losses))


@pytest.mark.parametrize("floor", [math.nan, -1])
def test_a_floor_that_is_none_is_refused(floor):
    for call in (fit_scaling_law, lambda *runs, floor: resampled_laws(*runs, 2, floor=floor)):
        with pytest.raises(ValueError, match=f"floor is {floor}; use a finite number of at least 0"):
            call(*series(), floor=floor)
