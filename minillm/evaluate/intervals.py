"""How sure a share is: its interval, and how many tasks one needs to see a difference."""

from __future__ import annotations

import math
from statistics import NormalDist

__all__ = ["Z95", "share_interval", "tasks_needed"]

Z95 = NormalDist().inv_cdf(0.975)
"""A normal distribution has 95 % of its mass within so many standard deviations of its mean."""


def share_interval(right: float, n: int) -> tuple[float, float]:
    """The 95 % interval of a share, by Wilson.

    Args:
        right: how many of n tasks are done; a half counts as half.
        n: tasks, at least one.

    Returns:
        low and high, from 0 to 1.

    Raises:
        ValueError: numbers that do not fit together.

    Reference: Wilson 1927, "Probable inference, the law of succession, and statistical inference".

    >>> low, high = share_interval(86, 100)
    >>> round(low, 3), round(high, 3)
    (0.779, 0.915)
    """
    if n < 1 or not 0 <= right <= n:
        raise ValueError(f"{right} right of {n} tasks do not fit together; use 0 <= right <= n, n at least 1")
    share, z = right / n, Z95
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return min(share, max(0.0, middle - half)), max(share, min(1.0, middle + half))  # but for rounding


def tasks_needed(
    share: float, difference: float, *, power: float = 0.8, disagree: float | None = None
) -> int:
    """How many tasks it takes to see that one model is better than another.

    Two models with shares of `share` and `share + difference` are compared; the difference is seen, in the share
    `power` of such comparisons, if zero lies outside of its 95 % interval.

    Args:
        share: of tasks that the first model does (0-1).
        difference: what is to be seen (0-1), above zero.
        power: how often it shall be seen (0-1).
        disagree: the same tasks are given to both, and so large a share of them is done by one model alone. None:
            each model gets tasks of its own.

    Returns:
        tasks for each model.

    Raises:
        ValueError: shares that cannot be.

    >>> tasks_needed(0.86, 0.02), tasks_needed(0.86, 0.02, disagree=0.06)
    (4435, 1170)
    """
    other = share + difference
    if not (0 <= share < other <= 1 and 0 < power < 1):
        raise ValueError(
            f"share={share}, difference={difference}, power={power} do not fit together; use shares from 0 to 1, "
            "a difference above 0, a power between 0 and 1"
        )
    if disagree is not None and not difference <= disagree <= 1:
        raise ValueError(f"disagree={disagree} must be from the difference, {difference}, to 1")
    spread = share * (1 - share) + other * (1 - other) if disagree is None else disagree - difference**2
    z = Z95 + NormalDist().inv_cdf(power)
    return math.ceil(spread * (z / difference) ** 2)
