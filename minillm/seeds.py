"""Which seeds are allowed, everywhere."""

from __future__ import annotations

__all__ = ["LARGEST_SEED", "check_seed"]

# torch takes 64 bits, and PPO multiplies the seed by a million for each iteration's own.
LARGEST_SEED = 2**32 - 1


def check_seed(name: str, value: object) -> None:
    """Refuse what is no seed.

    Raises:
        TypeError: not a whole number.
        ValueError: negative, or larger than LARGEST_SEED.

    >>> check_seed("seed", 7)
    """
    allowed = f"a whole number from 0 to {LARGEST_SEED}"
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} is {value!r}; allowed is {allowed}")
    if not 0 <= value <= LARGEST_SEED:
        shown = value if abs(value) < 10**40 else "a number of more than 40 digits"
        raise ValueError(f"{name} is {shown}; allowed is {allowed}")
