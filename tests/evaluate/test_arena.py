"""Ratings against a brute-force likelihood, and whether their intervals hold what they promise."""

from __future__ import annotations

import math

import pytest
import torch
from played_device import played_device
from torch import Tensor

from minillm.evaluate import arena_ratings, bradley_terry, elo, votes_from_scores


def brute_force(wins: Tensor) -> Tensor:
    """Strengths by a general optimiser on the likelihood, written out game by game."""
    theta = torch.zeros(len(wins), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [theta], max_iter=2_000, tolerance_grad=1e-13, tolerance_change=1e-18, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        strengths = theta.exp()
        loss = torch.zeros((), dtype=torch.float64)
        for i in range(len(wins)):
            for j in range(len(wins)):
                if i != j:
                    loss = loss - wins[i, j] * (strengths[i] / (strengths[i] + strengths[j])).log()
        loss.backward()
        return loss

    optimizer.step(closure)
    found = theta.detach()
    return (found - found.mean()).exp()


def some_wins(seed: int, n: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(1, 40, (n, n), generator=generator).double() / 2


@pytest.mark.parametrize(("seed", "n"), [(0, 2), (1, 3), (2, 5), (3, 15)])
def test_the_strengths_are_those_of_the_likelihood(seed: int, n: int):
    wins = some_wins(seed, n)
    wins = wins - torch.diag(wins.diagonal())
    assert torch.allclose(bradley_terry(wins), brute_force(wins), atol=1e-6, rtol=1e-6)


def test_few_games_and_far_apart():
    wins = torch.tensor([[0.0, 200.0, 0.0], [1.0, 0.0, 300.0], [0.0, 1.0, 0.0]])
    assert torch.allclose(bradley_terry(wins), brute_force(wins), rtol=1e-5)


def test_expected_wins_are_the_wins():
    """At the maximum every player is expected to win as often as it did."""
    wins = some_wins(4, 6)
    wins = wins - torch.diag(wins.diagonal())
    s = bradley_terry(wins)
    expected = ((wins + wins.T) * s[:, None] / (s[:, None] + s[None, :])).sum(1)
    assert torch.allclose(expected, wins.sum(1), atol=1e-8)


def test_elo_is_the_logarithm():
    ratings = elo([[0, 10], [1, 0]])
    assert ratings.tolist() == pytest.approx([1200, 800])
    s = bradley_terry(some_wins(5, 4))
    assert (elo(some_wins(5, 4))[0] - elo(some_wins(5, 4))[1]).item() == pytest.approx(
        400 * math.log10(s[0] / s[1])
    )


def gumbel(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return -(-torch.rand(shape, generator=generator, dtype=torch.float64).clamp(1e-12, 1 - 1e-12).log()).log()


def simulated(seed: int, prompts: int = 120) -> tuple[Tensor, Tensor]:
    """Votes of one judge, and the true ratings.

    A score is a strength plus Gumbel noise: wins are exactly Bradley-Terry's, and the votes of a prompt hang together.
    """
    theta = torch.tensor([0.9, 0.4, 0.1, -0.4, -1.0], dtype=torch.float64)
    scores = theta + gumbel((prompts, 5), torch.Generator().manual_seed(seed))
    votes = votes_from_scores({str(i): scores[:, i].tolist() for i in range(5)})
    return votes, 1000 + 400 / math.log(10) * theta


def coverage(clustered: bool, runs: int = 300) -> float:
    names = list("abcde")
    inside = 0
    for seed in range(runs):
        votes, truth = simulated(seed)
        ratings = arena_ratings(names, votes, clustered=clustered)
        inside += int(((ratings.low <= truth) & (truth <= ratings.high)).sum())
    return inside / (5 * runs)


def test_the_interval_covers_the_true_rating():
    assert 0.93 < coverage(clustered=True) < 0.97


def test_an_interval_that_believes_in_independent_votes_is_another():
    """Here the votes of a prompt are of five answers, not of ten pairs of answers."""
    assert coverage(clustered=False) < 0.93


def test_differences_are_covered():
    inside = 0
    for seed in range(300):
        votes, truth = simulated(seed)
        _, low, high = arena_ratings(list("abcde"), votes).difference("b", "d")
        inside += low <= (truth[1] - truth[3]).item() <= high
    assert 0.92 < inside / 300 < 0.98


def test_groups_of_prompts_are_counted_as_one():
    """Every prompt twice is no more evidence than once."""
    votes, _ = simulated(1)
    once = arena_ratings(list("abcde"), votes)
    twice = arena_ratings(list("abcde"), votes.repeat(2, 1, 1), group=[*range(120), *range(120)])
    blind = arena_ratings(list("abcde"), votes.repeat(2, 1, 1))
    assert torch.allclose(twice.high - twice.low, once.high - once.low, rtol=1e-9)
    assert (blind.high - blind.low).mean() < 0.75 * (once.high - once.low).mean()


def test_ratings_on_a_device_without_float64():
    wins, votes = some_wins(6, 3).float(), simulated(2)[0].float()
    strengths, ratings = bradley_terry(wins), arena_ratings(list("abcde"), votes)
    with played_device("mps") as device:
        assert torch.equal(bradley_terry(wins.to(device)), strengths)
        assert torch.equal(arena_ratings(list("abcde"), votes.to(device)).low, ratings.low)


def test_votes_from_scores():
    votes = votes_from_scores({"a": [0.9, 0.5], "b": [0.2, 0.5], "c": [0.9, 0.1]})
    assert votes[0].tolist() == [[0, 1, 0.5], [0, 0, 0], [0.5, 1, 0]]
    assert votes[1].tolist() == [[0, 0.5, 1], [0.5, 0, 1], [0, 0, 0]]


@pytest.mark.parametrize(
    ("wins", "told"),
    [
        ([[0, 1, 2]], "square"),
        ([[0.0]], "two players"),
        ([[0, -1], [2, 0]], "numbers from 0"),
        ([[0, float("nan")], [2, 0]], "numbers from 0"),
        ([[0, 3], [0, 0]], "never lost"),
        ([[0, 1, 0, 0], [1, 0, 0, 0], [1, 1, 0, 1], [1, 1, 1, 0]], "never lost"),
    ],
)
def test_tables_without_an_answer_are_refused(wins: list[list[float]], told: str):
    with pytest.raises(ValueError, match=told):
        bradley_terry(wins)


def test_votes_of_another_shape_are_refused():
    with pytest.raises(ValueError, match="give \\(prompts, 2, 2\\)"):
        arena_ratings(["a", "b"], torch.zeros(3, 3, 3))
    for group in ([0, 1], [0, 0, 0]):
        with pytest.raises(ValueError, match="give each of the 3 prompts one, and two groups or more"):
            arena_ratings(["a", "b"], torch.ones(3, 2, 2), group=group)
    with pytest.raises(ValueError, match="give each one for every prompt"):
        votes_from_scores({"a": [1.0], "b": [1.0, 0.0]})
