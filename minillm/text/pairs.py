"""The pairs of neighbouring tokens in all chunks: how often each occurs, and where.

All chunks stand one after the other in one array, a cell a byte, with a border between them. A token writes its
number into its first and its last cell. So the cell before a token shows the token before it, the cell after it the
token after it, and a place is joined without moving anything. A merge then works on all of its places at once.

Two tricks keep the time and the memory small without changing a count. The places of a pair are noted once, when the
pair comes up, and those that have gone since are sorted out when it is joined. And only pairs with at least `floor`
occurrences are followed: as counts only ever fall, the rest cannot be the next to join before the floor is lowered,
which counts them anew.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["PairCounts"]

Array = npt.NDArray[np.signedinteger[Any]]

_BORDER, _INSIDE = -1, -2  # cells that are no token's first or last one
_SHIFT = 31  # a pair of tokens is one number: the left one above these bits, the right one below
_FOLLOWED = 1 << 17  # about so many places a followed pair may be rarer than the text is long
_STEP = 8  # by what the floor is divided when no pair reaches it
_SORTED = 1 << 20  # about so many places are sorted at a time


class PairCounts:
    """Counts of neighbouring tokens, where tokens are numbered by age, and equal counts go to the older pair.

    Args:
        chunk_counts: chunks whose bytes are the ages of the first 256 tokens, and how often each occurs.
    """

    def __init__(self, chunk_counts: Mapping[bytes, int]) -> None:
        chunks = [chunk for chunk, count in chunk_counts.items() if count > 0]
        counts = np.fromiter((chunk_counts[chunk] for chunk in chunks), np.int64, len(chunks))
        # Chunks of equal count stand side by side, so a few bounds tell how often the text at a place occurs.
        order = np.argsort(-counts, kind="stable")
        chunks = [chunks[index] for index in order.tolist()]
        borders = np.cumsum([0, *(len(chunk) + 1 for chunk in chunks)])
        self._cells = np.frombuffer(b"\0".join([b"", *chunks, b""]), np.uint8).astype(np.int32)
        self._cells[borders] = _BORDER
        self._counts, first = np.unique(-counts[order], return_index=True)
        self._counts, self._bounds = -self._counts, borders[first]
        self._index = np.int32 if len(self._cells) < 1 << 31 else np.int64
        self._lengths = np.ones(256, np.int64)  # of each token, in bytes, and room for more
        self._n_tokens = 256
        self._followed: dict[int, int] = {}  # pair -> count
        self._places: dict[int, Array] = {}  # pair -> its first cells, in order, some of them outdated
        self._heap: list[tuple[int, int]] = []  # (-count, pair), some of them outdated
        self._floor = max(1, len(self._cells) // _FOLLOWED)
        self._follow()

    def most_frequent(self) -> tuple[tuple[int, int], int] | None:
        """The pair with the highest count, and the count; None where no two tokens are neighbours."""
        while True:
            while self._heap:
                count, pair = -self._heap[0][0], self._heap[0][1]
                now = self._followed.get(pair, 0)
                if now == count:
                    return (pair >> _SHIFT, pair & (1 << _SHIFT) - 1), count
                heapq.heappop(self._heap)
                if now:
                    heapq.heappush(self._heap, (-now, pair))
            if self._floor == 1:
                return None
            self._floor = max(1, self._floor // _STEP)
            self._follow()

    def join(self, left: int, right: int) -> None:
        """Put the next token in every place of the pair `left`, `right`, a followed one."""
        pair, length_left = left << _SHIFT | right, int(self._lengths[left])
        length = length_left + int(self._lengths[right])
        new = self._number(length)
        places = self._current(self._places.pop(pair), left, right)
        del self._followed[pair]

        before, after = self._cells[places - 1], self._cells[places + length]
        touching = (places[1:] == places[:-1] + length).nonzero()[0]  # places with another one right after
        open_left, open_right = before != _BORDER, after != _BORDER
        open_left[touching + 1] = False
        open_right[touching] = False
        self._write(places, new, length_left, length)

        if len(touching):
            occurrences = int(self._occurrences(places[touching]).sum())
            self._fewer(right << _SHIFT | left, occurrences)
            self._more(new << _SHIFT | new, occurrences, places[touching])
        neighbours, starts = before[open_left], places[open_left]
        first_cells = (starts - self._lengths[neighbours]).astype(self._index)
        for neighbour, count, cells in self._grouped(neighbours, first_cells):
            self._fewer(neighbour << _SHIFT | left, count)
            self._more(neighbour << _SHIFT | new, count, cells)
        for neighbour, count, cells in self._grouped(after[open_right], places[open_right]):
            self._fewer(right << _SHIFT | neighbour, count)
            self._more(new << _SHIFT | neighbour, count, cells)

    def _number(self, length: int) -> int:
        """Give the next token its number."""
        if self._n_tokens == len(self._lengths):
            self._lengths = np.append(self._lengths, np.ones_like(self._lengths))
        self._lengths[self._n_tokens] = length
        self._n_tokens += 1
        return self._n_tokens - 1

    def _current(self, places: Array, left: int, right: int) -> Array:
        """Those places where the pair still stands and can be joined, going from left to right."""
        length = int(self._lengths[left])
        places = places[self._cells[places] == left]
        places = places[self._cells[places + length] == right]
        if left != right or len(places) < 2:
            return places
        # In a run of one token every place overlaps the next, and only every second one can be joined.
        number = np.arange(len(places))
        opens = np.append(True, places[1:] != places[:-1] + length)
        first = np.maximum.accumulate(np.where(opens, number, 0))
        joined: Array = places[(number - first) % 2 == 0]
        return joined

    def _write(self, places: Array, new: int, length_left: int, length: int) -> None:
        if length_left > 1:
            self._cells[places + length_left - 1] = _INSIDE
        if length - length_left > 1:
            self._cells[places + length_left] = _INSIDE
        self._cells[places] = new
        self._cells[places + length - 1] = new

    def _fewer(self, pair: int, occurrences: int) -> None:
        count = self._followed.get(pair, 0)
        if count - occurrences >= self._floor:
            self._followed[pair] = count - occurrences
        elif count:
            del self._followed[pair], self._places[pair]

    def _more(self, pair: int, occurrences: int, places: Array) -> None:
        """Follow a pair, which has the new token, so this is the first time that it is seen."""
        if occurrences >= self._floor:
            self._followed[pair], self._places[pair] = occurrences, places
            heapq.heappush(self._heap, (-occurrences, pair))

    def _grouped(self, keys: Array, places: Array) -> Iterator[tuple[int, int, Array]]:
        """Each key with its occurrences and its places, which keep their order."""
        if not len(keys):
            return
        order = keys.argsort(kind="stable")
        keys, places = keys[order], places[order]
        first = np.concatenate(([0], (keys[1:] != keys[:-1]).nonzero()[0] + 1))
        totals = np.add.reduceat(self._occurrences(places), first).tolist()
        begins = first.tolist()
        for key, total, begin, end in zip(keys[first].tolist(), totals, begins, [*begins[1:], len(places)]):
            yield key, total, places[begin:end]

    def _occurrences(self, places: Array) -> Array:
        """How often the chunk around each place occurs."""
        if len(self._counts) == 1:
            return np.full(len(places), self._counts[0])
        return self._counts[self._bounds.searchsorted(places, side="right") - 1]

    def _follow(self) -> None:
        """Count all pairs anew, and follow those that reach the floor."""
        self._followed.clear()
        self._places.clear()
        self._heap.clear()
        places, left, right = self._neighbours()
        parts = 1 + len(places) // _SORTED
        part = (left % parts).astype(np.int16 if parts < 1 << 15 else np.int64)
        for number in range(parts):
            here = part == number
            keys = left[here].astype(np.int64) << _SHIFT | right[here]
            for pair, count, cells in self._grouped(keys, places[here]):
                self._more(pair, count, cells)

    def _neighbours(self) -> tuple[Array, Array, Array]:
        """Every place where two tokens are neighbours: its first cell, the left and the right token."""
        written = np.arange(len(self._cells), dtype=self._index)[self._cells != _INSIDE]
        tokens = self._cells[written]
        # A token of several bytes shows twice, at its first and at its last cell: the first is every odd one.
        several = (self._lengths > 1)[tokens] & (tokens != _BORDER)
        is_first = ~several | (np.cumsum(several, dtype=self._index) % 2 == 1)
        written, tokens = written[is_first], tokens[is_first]
        is_pair = (tokens[1:] != _BORDER) & (tokens[:-1] != _BORDER)
        return written[:-1][is_pair], tokens[:-1][is_pair], tokens[1:][is_pair]
