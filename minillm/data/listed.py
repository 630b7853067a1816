"""Rows that are read into memory, and which of them are held out: a fair part, whatever their order.

A file is often sorted, by topic, length or source, and its end is then another kind of text than its beginning. So the
rows are cut into as many stretches as rows are held out, and of each stretch one row is taken, drawn with a fixed
seed: the part is spread over the whole file, and no pattern of the file falls in step with it. Rows that are alike
stay together, so that nothing held out is also trained on.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from minillm import checks
from minillm.data.readers import Reading
from minillm.files import sha256_file

__all__ = ["HELD_OUT", "FileRows", "ListedRows", "held_out", "numbered"]

HELD_OUT = "spread"  # how rows are held out, for the settings: another way makes other artifacts
_SEED = 0

_log = logging.getLogger("minillm")


def numbered(keys: Sequence[Hashable]) -> np.ndarray:
    """A number for each key, the same for equal ones: int64 (keys,)."""
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.int64)


def held_out(keys: np.ndarray, share: float) -> np.ndarray:
    """Which of the rows are held out: spread over all, at least one, never all, rows with the same key together.

    Where a stretch of the rows has some that stand there once, one of these is taken, so that few copies are held
    out. If all rows are the same, they are taken as if they were not.

    Args:
        keys: int64 (rows,), equal for rows that are alike; two rows at least.
        share: of the rows, from 0 to 1.
    Returns:
        bool (rows,).

    >>> held_out(np.arange(6), 0.5).tolist()
    [False, True, False, True, True, False]
    """
    _, first, group, copies = np.unique(keys, return_index=True, return_inverse=True, return_counts=True)
    if len(first) < 2:
        first, group, copies = np.arange(len(keys)), np.arange(len(keys)), np.ones(len(keys), dtype=np.int64)
    in_order = np.argsort(first)
    wanted = round(len(keys) * share / float(np.median(copies)))  # groups that hold about so many rows
    most = min(round(len(first) * max(share, 0.5)), len(first) - 1)  # few groups may hold most of the rows
    n = max(1, min(wanted, most))
    edges = np.arange(n + 1) * len(first) // n
    draw = random.Random(_SEED).random
    chosen = np.zeros(len(first), dtype=bool)
    for begin, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        stretch = in_order[begin:end]
        rarest = stretch[copies[stretch] == copies[stretch].min()]
        chosen[rarest[int(draw() * len(rarest))]] = True
    return np.asarray(chosen[group])


class ListedRows:
    """Rows in memory and their two splits."""

    @cached_property
    def rows(self) -> list[Any]:
        """All of them, in order."""
        raise NotImplementedError

    @property
    def held_out_share(self) -> float:
        """How many of the rows are for validation."""
        raise NotImplementedError

    @staticmethod
    def likeness(row: Any) -> tuple[str, ...]:
        """What makes rows alike, the widest sense first; one that leaves too few kinds is passed over."""
        return (repr(row),)

    @cached_property
    def _splits(self) -> dict[str, list[Any]]:
        senses = [numbered(keys) for keys in zip(*map(self.likeness, self.rows), strict=True)]
        wanted = max(2, round(len(self.rows) * self.held_out_share))
        keys = next((keys for keys in senses if keys.max() + 1 >= wanted), senses[-1])
        flags = held_out(keys, self.held_out_share).tolist()
        parts: dict[str, list[Any]] = {"train": [], "validation": []}
        for row, flag in zip(self.rows, flags, strict=True):
            parts["validation" if flag else "train"].append(row)
        return parts

    def split(self, split: str) -> list[Any]:
        """The items of one split, "train" or "validation"."""
        if split not in ("train", "validation"):
            raise ValueError(f"split is {split!r}; allowed are 'train' and 'validation'")
        return self._splits[split]


@dataclass(frozen=True)
class FileRows(ListedRows):
    """What files hold, an item a line or row; a fair part of them, at least one, is for validation.

    Raises:
        ValueError: a share that is not between 0 and 1; when they are read, a row that cannot be used, fewer than two
            items.
    """

    what: ClassVar[str] = "items"  # the lines are, for messages
    example: ClassVar[str] = "{...}"  # of a line, for messages
    source: str  # as the user wrote it
    paths: tuple[Path, ...] = ()  # the files, in order
    validation_share: float = 0.05  # of the items
    skip_bad: bool = False  # whether rows that are refused are left out

    def __post_init__(self) -> None:
        checks.text("source", self.source)
        checks.tuple_of("paths", self.paths, Path)
        checks.number("validation_share", self.validation_share, above=0, below=1)
        checks.yes_or_no("skip_bad", self.skip_bad)

    def read(self, path: Path, reading: Reading) -> Iterator[Any]:
        """The items of one file."""
        raise NotImplementedError

    @property
    def name(self) -> str:
        """The last part of the source."""
        return Path(self.source).name or self.source

    @property
    def held_out_share(self) -> float:
        return self.validation_share

    @cached_property
    def rows(self) -> list[Any]:
        """The items of all files, in order."""
        reading = Reading(self.skip_bad)
        rows = [row for path in self.paths for row in self.read(path, reading)]
        if not rows and not reading.n_bad:
            raise ValueError(f"{self.source} is empty; write {self.what}, one a line, such as {self.example}")
        if len(rows) < 2:
            left_out = (
                f", and {reading.n_bad} that cannot be used ({reading.first_bad})" if reading.n_bad else ""
            )
            raise ValueError(
                f"{self.source} holds {len(rows)} {self.what}{left_out}; give at least 2, one to train on and one to "
                "validate"
            )
        if reading.n_bad:
            _log.warning("%s", reading.told(self.what, self.source, len(rows)))
        return rows

    def settings(self) -> dict[str, Any]:
        """Everything that decides them, as JSON values."""
        settings = {
            "files": [sha256_file(path) for path in self.paths],
            "share": self.validation_share,
            "held_out": HELD_OUT,
        }
        return settings | ({"skip_bad": True} if self.skip_bad else {})
