"""An arena: models answer the same prompts, somebody votes between two answers, and all votes become ratings.

The model of Bradley and Terry: every player has a strength s > 0, and player i beats player j with the probability

    P(i beats j) = s_i / (s_i + s_j).

The ratings are the strengths under which the votes are most probable; Newton's method finds them. A tie counts as half
a win for each. Strengths are known up to a factor; here their geometric mean is 1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from minillm.evaluate.intervals import Z95

__all__ = ["Ratings", "arena_ratings", "bradley_terry", "elo", "votes_from_scores"]

_MOST_STEPS = 100  # of Newton's method; five or six are usual
_CLOSE = 1e-10  # a step that moves no logarithm of a strength by more is the last one
ELO_POINTS, ELO_MEAN = (
    400.0,
    1000.0,
)  # so many points make a win ten times as probable as a loss; the mean rating


def bradley_terry(wins: Tensor | Sequence[Sequence[float]]) -> Tensor:
    """The most probable strengths of players.

    Args:
        wins: (n, n), how often player i has beaten player j, ties as half a win for each.

    Returns:
        (n,) strengths above 0, their geometric mean is 1.

    Raises:
        ValueError: no such table, or one in which some players have never lost to, or never beaten, any of the others:
            no finite strengths fit it best.

    Reference: Bradley and Terry 1952, "Rank analysis of incomplete block designs: I".

    >>> bradley_terry([[0, 3], [1, 0]]).tolist()  # 3 to 1: the ratio of the strengths is 3
    [1.732..., 0.577...]
    """
    wins = _checked(wins)
    theta = torch.zeros(len(wins), dtype=torch.float64)
    for _ in range(_MOST_STEPS):
        gradient, hessian = _slopes(wins, theta)
        step = torch.linalg.solve(
            hessian + 1 / len(wins), gradient
        )  # the 1 / n holds the mean of theta where it is
        step = step * min(1.0, 2.0 / step.abs().max().item()) if step.any() else step
        theta = theta + step
        if step.abs().max() < _CLOSE:
            break
    return (theta - theta.mean()).exp()


def elo(wins: Tensor | Sequence[Sequence[float]]) -> Tensor:
    """The same strengths on the scale of chess: 400 points more make ten wins for a loss; the mean is 1000.

    Reference: Elo 1978, "The rating of chessplayers, past and present".

    >>> elo([[0, 10], [1, 0]]).tolist()
    [1200.0..., 800.0...]
    """
    return ELO_MEAN + ELO_POINTS / math.log(10) * bradley_terry(wins).log()


@dataclass(frozen=True)
class Ratings:
    """The ratings of players, on the scale of chess.

    Attributes:
        names: of the players.
        rating: (n,).
        low, high: (n,), the 95 % interval of each rating, measured from the mean of all players.
        covariance: (n, n), of the ratings.
    """

    names: tuple[str, ...]
    rating: Tensor
    low: Tensor
    high: Tensor
    covariance: Tensor

    def difference(self, one: str, other: str) -> tuple[float, float, float]:
        """How much higher `one` is rated than `other`, with the 95 % interval: (difference, low, high)."""
        i, j = self.names.index(one), self.names.index(other)
        gap = (self.rating[i] - self.rating[j]).item()
        variance = self.covariance[i, i] + self.covariance[j, j] - 2 * self.covariance[i, j]
        half = Z95 * math.sqrt(max(0.0, variance.item()))
        return gap, gap - half, gap + half


def arena_ratings(
    names: Sequence[str], votes: Tensor, *, clustered: bool = True, group: Sequence[int] | None = None
) -> Ratings:
    """Ratings with intervals, from votes on prompts.

    The interval comes from how much the votes of one prompt pull the ratings. Votes on one prompt hang together: who
    wrote a bad answer loses against everybody at once. So the prompt is what is counted, not the vote.

    Args:
        names: of the players.
        votes: (prompts, n, n), how often i was preferred to j on each prompt (1, 0, or a half for a tie).
        clustered: False believes that each vote is an independent one, as if no prompt had two, and no tie counted
            as halves.
        group: (prompts,), numbers that say which prompts hang together as well; None: none do.

    Raises:
        ValueError: votes of another shape than names and prompts, fewer than two prompts or groups of them, or see
            `bradley_terry`.

    Reference: Huber 1967; White 1982 ("sandwich"). Chiang and others 2024, section 4, use the same for Chatbot Arena.
    """
    votes = votes.cpu().double()  # not on the device: MPS has no float64
    n = len(names)
    if votes.ndim != 3 or votes.shape[1:] != (n, n) or len(votes) < 2:
        raise ValueError(
            f"votes have the shape {tuple(votes.shape)} for {n} names; give (prompts, {n}, {n}), 2 or more prompts"
        )
    wins = votes.sum(0)
    theta = bradley_terry(wins).log()
    _, hessian = _slopes(wins, theta)
    inverse = torch.linalg.pinv(hessian, hermitian=True)  # the mean of theta is fixed, and has no spread
    if clustered:
        pulls = torch.stack([_slopes(one, theta)[0] for one in votes])
        if group is not None:
            if len(group) != len(votes) or len(set(group)) < 2:
                raise ValueError(
                    f"{len(group)} prompts in {len(set(group))} groups; give each of the {len(votes)} prompts one, and "
                    "two groups or more"
                )
            pulls = torch.stack([pulls[torch.tensor(group) == g].sum(0) for g in sorted(set(group))])
        inverse = inverse @ (pulls.T @ pulls) @ inverse * len(pulls) / (len(pulls) - 1)
    scale = ELO_POINTS / math.log(10)
    rating, covariance = ELO_MEAN + scale * theta, scale**2 * inverse
    half = Z95 * covariance.diagonal().clamp(min=0).sqrt()
    return Ratings(tuple(names), rating, rating - half, rating + half, covariance)


def votes_from_scores(scores: Mapping[str, Sequence[float]], tie: float = 1e-9) -> Tensor:
    """The votes of a judge who gives scores: of two answers to a prompt the higher one wins.

    Args:
        scores: for each player those of its answers, in the order of the prompts.
        tie: scores that differ by no more are equal.

    Returns:
        (prompts, n, n), a win is 1, a tie a half.

    Raises:
        ValueError: players with different numbers of scores.

    >>> votes_from_scores({"a": [0.9], "b": [0.2]}).tolist()
    [[[0.0, 1.0], [0.0, 0.0]]]
    """
    counts = {len(values) for values in scores.values()}
    if len(counts) != 1:
        raise ValueError(f"players have {sorted(counts)} scores; give each one for every prompt")
    table = torch.tensor([list(values) for values in scores.values()], dtype=torch.float64).T
    margin = table[:, :, None] - table[:, None, :]
    votes = (margin > tie).double() + (margin.abs() <= tie).double() / 2
    return votes * (1 - torch.eye(table.shape[1], dtype=torch.float64))


def _slopes(wins: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
    """The gradient (n,) of the log-likelihood by the logarithms of the strengths, and minus its Hessian (n, n)."""
    chance = torch.sigmoid(theta[:, None] - theta[None, :])  # that i beats j
    games = wins + wins.T
    gradient = (wins - games * chance).sum(1)
    weight = games * chance * (1 - chance)
    return gradient, torch.diag(weight.sum(1)) - weight


def _checked(wins: Tensor | Sequence[Sequence[float]]) -> Tensor:
    """The table as float64, with nobody against themselves."""
    table = torch.as_tensor(wins).cpu().double()  # not on the device: MPS has no float64
    if table.ndim != 2 or table.shape[0] != table.shape[1] or len(table) < 2:
        raise ValueError(
            f"wins have the shape {tuple(table.shape)}; give a square table of two players or more"
        )
    if not table.isfinite().all() or (table < 0).any():
        raise ValueError(
            "wins must be numbers from 0 on; count the wins of player i over player j in row i, column j"
        )
    table = table - torch.diag(table.diagonal())
    reach = ((table > 0).double() + torch.eye(len(table), dtype=torch.float64)).matrix_power(len(table)) > 0
    if not reach.all():
        raise ValueError(
            "some players have never lost to the others, so that no finite strengths fit best; add votes, leave these "
            "players out, or count ties as half a win for each"
        )
    return table
