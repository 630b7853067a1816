"""Checks of settings: the one home of what a number, a switch or a name of a setting may be, and of how that is told.

Each check returns nothing, or raises one line: the name, what was got, what is allowed. A value of the wrong type is a
TypeError, any other value that is not allowed (nan and infinity too) a ValueError. True and False are no numbers here.
Nor are the scalars of numpy and torch: settings are written to JSON and hashed, so whoever has one converts it first.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = [
    "LARGEST_SEED",
    "instance",
    "number",
    "one_of",
    "seed",
    "text",
    "tuple_of",
    "whole_number",
    "yes_or_no",
]

LARGEST_SEED = 2**32 - 1  # what every generator of random numbers takes


def whole_number(
    name: str,
    value: object,
    *,
    at_least: int | None = None,
    at_most: int | None = None,
    optional: bool = False,
) -> None:
    """Refuse anything but an int within the bounds, which belong to what is allowed (or None, where that is a choice).

    >>> whole_number("steps", 0, at_least=1)
    Traceback (most recent call last):
    ValueError: steps is 0; use a whole number of at least 1
    """
    if value is None and optional:
        return
    allowed = _allowed("a whole number", at_least=at_least, at_most=at_most, optional=optional)
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} is {value!r:.80}; use {allowed}{_conversion(value, int)}")
    if (at_least is not None and value < at_least) or (at_most is not None and value > at_most):
        raise ValueError(f"{name} is {_shown(value)}; use {allowed}")


def number(
    name: str,
    value: object,
    *,
    above: float | None = None,
    at_least: float | None = None,
    below: float | None = None,
    at_most: float | None = None,
    optional: bool = False,
) -> None:
    """Refuse anything but a finite int or float within the bounds (or None, where that is a choice).

    >>> number("momentum", 1.0, at_least=0, below=1)
    Traceback (most recent call last):
    ValueError: momentum is 1.0; use a number of at least 0 and below 1
    """
    if value is None and optional:
        return
    is_open = (above is None and at_least is None) or (below is None and at_most is None)
    allowed = _allowed(
        "a finite number" if is_open else "a number", above, at_least, below, at_most, optional
    )
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} is {value!r:.80}; use {allowed}{_conversion(value, float)}")
    too_low = (above is not None and value <= above) or (at_least is not None and value < at_least)
    too_high = (below is not None and value >= below) or (at_most is not None and value > at_most)
    if too_low or too_high or not _is_finite(value):
        raise ValueError(f"{name} is {_shown(value)}; use {allowed}")


def seed(name: str, value: object) -> None:
    """Refuse anything but a whole number that every generator of random numbers takes."""
    whole_number(name, value, at_least=0, at_most=LARGEST_SEED)


def yes_or_no(name: str, value: object) -> None:
    """Refuse anything but True and False."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} is {value!r:.80}; use True or False")


def text(name: str, value: object, *, optional: bool = False) -> None:
    """Refuse anything but a string that says something (or None, where that is a choice)."""
    if value is None and optional:
        return
    allowed = "a text that is not empty" + (", or None" if optional else "")
    if not isinstance(value, str):
        raise TypeError(f"{name} is {value!r:.80}; use {allowed}")
    if not value.strip():
        raise ValueError(f"{name} is {value!r:.80}; use {allowed}")


def one_of(name: str, value: object, allowed: Sequence[str]) -> None:
    """Refuse a word that is not on the list.

    >>> one_of("optimizer", "sgd", ("muon", "adamw"))
    Traceback (most recent call last):
    ValueError: optimizer is 'sgd'; choose one of muon, adamw
    """
    if isinstance(value, str) and value in allowed:
        return
    kind = ValueError if isinstance(value, str) else TypeError
    raise kind(f"{name} is {value!r:.80}; choose one of {', '.join(allowed)}")


def instance(name: str, value: object, kind: type) -> None:
    """Refuse anything but an object of a class.

    >>> instance("fit", 3, dict)
    Traceback (most recent call last):
    TypeError: fit is 3; use a dict
    """
    if not isinstance(value, kind):
        word = kind.__name__
        spelled = word[:2].isupper() and word[0] in "FHLMNRSX"  # said letter by letter, as SFT
        article = "an" if spelled or word[0] in "AEIOaeio" else "a"
        raise TypeError(f"{name} is {value!r:.80}; use {article} {word}")


def tuple_of(name: str, value: object, *kinds: type, optional: bool = False) -> None:
    """Refuse anything but a tuple of objects of some classes (or None, where that is a choice).

    >>> tuple_of("families", "sums", str)
    Traceback (most recent call last):
    TypeError: families is 'sums'; use a tuple of str
    """
    if value is None and optional:
        return
    if not isinstance(value, tuple) or not all(isinstance(part, kinds) for part in value):
        words = " or ".join(kind.__name__ for kind in kinds) + (", or None" if optional else "")
        raise TypeError(f"{name} is {value!r:.80}; use a tuple of {words}")


def _shown(value: float) -> str:
    """A number as it is told: of one that fills lines only the beginning."""
    try:
        text = str(value)
    except ValueError:  # Python writes no whole number of more than some thousand digits
        return "a number of thousands of digits"
    return text if len(text) <= 40 else f"{text[:37]}..."


def _allowed(
    kind: str,
    above: float | None = None,
    at_least: float | None = None,
    below: float | None = None,
    at_most: float | None = None,
    optional: bool = False,
) -> str:
    """What is allowed, in words."""
    if at_least is not None and at_most is not None:
        return f"{kind} from {at_least} to {at_most}" + (", or None" if optional else "")
    bounds = {"above": above, "of at least": at_least, "below": below, "at most": at_most}
    told = " and ".join(f"{word} {bound}" for word, bound in bounds.items() if bound is not None)
    told = f"of {told}" if told.startswith("at most") else told
    return f"{kind} {told}".strip() + (", or None" if optional else "")


def _conversion(value: object, kind: type) -> str:
    """The remedy for a scalar of numpy or a tensor without axes, "" for anything else."""
    scalar = getattr(value, "ndim", None) == 0 and hasattr(value, "__index__" if kind is int else "__float__")
    return f" (convert it with {kind.__name__}())" if scalar else ""


def _is_finite(value: float) -> bool:
    """Whether a float can hold it."""
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond the largest float
        return False
