"""How the loss falls with the size of a model and the amount of text: a law with five numbers, and its fit.

    L(N, D) = E + A / N^a + B / D^b

N is the number of parameters, D that of tokens read once, L the loss on unseen text. E is what remains when both grow
without end: the entropy of the text, if the law holds that far.

Where this departs from the papers: they search for all five numbers from many starts. With the two exponents given, the
law is a straight sum in E, A and B, whose best values are a linear regression. So only the exponents are searched, on
a grid that grows finer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from minillm import checks

__all__ = ["ScalingLaw", "fit_scaling_law", "resampled_laws"]

FLOPS_PER_WEIGHT = 6  # of training, per parameter and token: 2 forwards, 4 backwards
_LEAST, _MOST, _POINTS = 0.05, 3.0, 41  # exponents that are tried first
_ROUNDS, _FINER = 4, 9  # grids after the first, and their points in each direction
_LEAST_RUNS = 6  # one more than there are numbers to fit


@dataclass(frozen=True)
class ScalingLaw:
    """A law L(N, D) = E + A / N^a + B / D^b; losses in nats per token."""

    floor: float  # E
    size_factor: float  # A
    size_exponent: float  # a
    text_factor: float  # B
    text_exponent: float  # b

    def loss(self, size: float, tokens: float) -> float:
        """The loss that a model of so many parameters has after so many tokens (nats/token)."""
        of_size = self.size_factor / math.pow(size, self.size_exponent)
        return self.floor + of_size + self.text_factor / math.pow(tokens, self.text_exponent)

    def best_size(self, flops: float) -> float:
        """The number of parameters whose loss is lowest for so much training, where 6 N D operations are one's all.

        The larger model reads less: with D = C / (6 N), dL/dN = 0 gives
        N^(a + b) = (a A) / (b B) * (C / 6)^b.

        Reference: Hoffmann et al. 2022, "Training Compute-Optimal Large Language Models", equation 4.
        """
        ratio = (self.size_exponent * self.size_factor) / (self.text_exponent * self.text_factor)
        power = ratio * (flops / FLOPS_PER_WEIGHT) ** self.text_exponent
        return float(power ** (1 / (self.size_exponent + self.text_exponent)))


def fit_scaling_law(
    sizes: Sequence[float], tokens: Sequence[float], losses: Sequence[float], floor: float | None = None
) -> ScalingLaw:
    """Find the law with the least squared relative error, mean of (L(N, D) / loss - 1)^2 over the runs.

    Args:
        sizes, tokens, losses: of each run N, D and L (nats/token).
        floor: E, where it is known; None: it is fitted too, and is at least 0, as every surprise is.

    Raises:
        ValueError: lists of different lengths, fewer than six runs, a number that is not above 0, a single size or a
            single amount of text, losses that do not fall with size and text, or a floor above them.

    Reference: Hoffmann et al. 2022, section 3.3; Besiroglu et al. 2024, "Chinchilla Scaling: A Replication Attempt".

    >>> truth = ScalingLaw(0.5, 50.0, 0.5, 900.0, 0.6)
    >>> runs = [(n, d) for n in (1e4, 3e4, 1e5) for d in (1e5, 3e5, 1e6)]
    >>> found = fit_scaling_law(*zip(*runs), [truth.loss(*run) for run in runs])
    >>> round(found.floor, 2), round(found.size_exponent, 2), round(found.text_exponent, 2)
    (0.5, 0.5, 0.6)
    """
    runs = _checked(sizes, tokens, losses)
    if floor is not None:
        checks.number("floor", floor, at_least=0)
    return _fit(runs, floor)


def resampled_laws(
    sizes: Sequence[float],
    tokens: Sequence[float],
    losses: Sequence[float],
    n: int,
    seed: int = 0,
    floor: float | None = None,
) -> list[ScalingLaw]:
    """The laws of `n` samples of the runs, drawn with replacement: the bootstrap, which shows how sure a fit is.

    A sample that no law fits (a single size, say) is drawn again.
    """
    checks.whole_number("n", n, at_least=1)
    runs = _checked(sizes, tokens, losses)
    if floor is not None:
        checks.number("floor", floor, at_least=0)
    generator = torch.Generator().manual_seed(seed)
    laws: list[ScalingLaw] = []
    tries = 0
    while len(laws) < n:
        tries += 1
        if tries > 20 * n:
            raise ValueError("hardly a sample of these runs can be fitted; give more runs")
        chosen = torch.randint(len(runs), (len(runs),), generator=generator)
        try:
            laws.append(_fit(runs[chosen], floor))
        except ValueError:
            continue
    return laws


def _checked(sizes: Sequence[float], tokens: Sequence[float], losses: Sequence[float]) -> Tensor:
    """The runs as float64 (runs, 3): N, D, L."""
    if not len(sizes) == len(tokens) == len(losses):
        raise ValueError(
            f"there are {len(sizes)} sizes, {len(tokens)} amounts of text and {len(losses)} losses; give one each a run"
        )
    if len(losses) < _LEAST_RUNS:
        raise ValueError(f"{len(losses)} runs cannot decide five numbers; give {_LEAST_RUNS} or more")
    runs = torch.tensor([list(sizes), list(tokens), list(losses)], dtype=torch.float64).T
    if not bool((runs > 0).all()):
        raise ValueError("a size, an amount of text or a loss is not above 0; give positive numbers")
    return runs


def _fit(runs: Tensor, floor: float | None) -> ScalingLaw:
    """Search the exponents, each time around the best so far, with a finer step."""
    if any(len(set(runs[:, column].tolist())) < 2 for column in (0, 1)):
        raise ValueError("all runs have the same size or the same text; give at least two of each")
    design = torch.cat([runs[:, :2].log(), torch.ones(len(runs), 1, dtype=runs.dtype)], dim=1)
    slopes = torch.linalg.lstsq(design, runs[:, 2:]).solution[:2, 0]
    if not bool((slopes < 0).all()):
        raise ValueError("the losses do not fall with size and text, as the law has it; look at the runs")
    ratio = (_MOST / _LEAST) ** (1 / (_POINTS - 1))
    middle = (_LEAST * _MOST) ** 0.5
    best = _of_floors(runs, _around(middle, middle, ratio, _POINTS), floor)
    for _ in range(_ROUNDS):
        ratio **= 2 / (_FINER - 1)
        grid = _around(best[1].size_exponent, best[1].text_exponent, ratio, _FINER)
        best = min(best, _of_floors(runs, grid, floor), key=lambda found: found[0])
    if not math.isfinite(best[0]):
        raise ValueError(
            "no law with A and B above 0 fits these runs; give a floor below all losses, or look at the runs"
        )
    return best[1]


def _around(size: float, text: float, ratio: float, points: int) -> Tensor:
    """Pairs of exponents around one pair, each `ratio` times the one before it: (points^2, 2)."""
    steps = ratio ** (torch.arange(points, dtype=torch.float64) - (points - 1) / 2)
    return torch.cartesian_prod(size * steps, text * steps)


def _of_floors(runs: Tensor, exponents: Tensor, floor: float | None) -> tuple[float, ScalingLaw]:
    """The best law with these exponents; a fitted floor that wants to be negative is 0."""
    floors = (None, 0.0) if floor is None else (floor,)
    return min((_best(runs, exponents, one) for one in floors), key=lambda found: found[0])


def _best(runs: Tensor, exponents: Tensor, floor: float | None) -> tuple[float, ScalingLaw]:
    """The mean squared error of the best law with one of these (pairs, 2) exponents, and the law.

    The error is infinite where no law with positive factors has one of them.
    """
    size, text, loss = runs.T
    # Each power is taken of the share in the geometric mean, so that all columns are near 1.
    means = [float(column.log().mean().exp()) for column in (size, text)]
    columns = [
        (column / mean)[None] ** -power[:, None]
        for column, mean, power in zip((size, text), means, exponents.T, strict=True)
    ]
    if floor is None:
        columns.append(torch.ones_like(columns[0]))
    design = torch.stack(columns, dim=-1) / loss[:, None]  # (pairs, runs, 2 or 3)
    target = 1 - (floor or 0.0) / loss
    gram = design.mT @ design
    # a little of the identity keeps columns that are nearly alike from having no solution at all
    gram = gram + 1e-12 * gram.diagonal(dim1=-2, dim2=-1).mean(-1)[:, None, None] * torch.eye(gram.shape[-1])
    factors = torch.linalg.solve(gram, (design.mT @ target)[..., None])[..., 0]
    errors = ((design @ factors[..., None])[..., 0] - target).square().mean(dim=-1)
    allowed = (factors[:, :2] > 0).all(dim=-1) & (factors[:, 2:] >= 0).all(dim=-1)
    errors = errors.where(allowed, torch.inf)
    place = int(errors.argmin())
    powers, found = exponents[place].tolist(), factors[place].tolist()
    factor = [value * mean**power for value, mean, power in zip(found[:2], means, powers, strict=True)]
    law = ScalingLaw(found[2] if floor is None else floor, factor[0], powers[0], factor[1], powers[1])
    return float(errors[place]), law
