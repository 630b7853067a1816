"""Counting pairs: against counting anew, where pairs are followed or not, and how much time and memory it takes."""

import random
import time
import tracemalloc
from collections import Counter
from itertools import accumulate, islice, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minillm.text import pairs
from minillm.text.bpe import bpe_merges, merge_pair
from minillm.text.chunks import count_chunks
from minillm.text.pairs import PairCounts

chunk_counts = st.dictionaries(
    st.lists(st.sampled_from([0, 1, 2, 255]), min_size=1, max_size=14).map(bytes),
    st.integers(0, 4),
    max_size=9,
)


def counted_anew(chunks, tokens):
    counts = Counter()
    for chunk, ids in tokens.items():
        for pair in pairwise(ids):
            counts[pair] += chunks[chunk]
    return {pair: count for pair, count in counts.items() if count}


@pytest.mark.parametrize("followed", [1 << 17, 8, 2, 1], ids=lambda n: f"floor from n/{n}")
@pytest.mark.parametrize("at_once", [1 << 20, 3])
@given(chunk_counts)
def test_every_join_leaves_the_counts_of_counting_anew(followed, at_once, chunks):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pairs, "_FOLLOWED", followed)  # with fewer, rare pairs are not followed at first
        patch.setattr(pairs, "_SORTED", at_once)
        kept = PairCounts(chunks)
        tokens = {chunk: list(chunk) for chunk in chunks}
        for new in range(256, 400):
            expected = counted_anew(chunks, tokens)
            best = kept.most_frequent()
            if best is None:
                assert not expected
                return
            pair, count = best
            assert (pair, count) == min(expected.items(), key=lambda item: (-item[1], item[0]))
            kept.join(*pair)
            tokens = {chunk: merge_pair(ids, pair, new) for chunk, ids in tokens.items()}
        raise AssertionError("so short chunks cannot take so many joins")


def test_a_long_text_is_counted_anew_as_its_floor_falls(monkeypatch):
    """All merges of a text that is long beside ``_FOLLOWED``, with and without following every pair."""
    rng = random.Random(2)
    words = ["".join(rng.choices("etaoins", k=rng.randint(1, 9))) for _ in range(300)]
    chunks = count_chunks([" ".join(rng.choices(words, k=2000)) + "".join(rng.choices("etaoins", k=3000))])
    every = list(bpe_merges(chunks))
    lowered = []
    monkeypatch.setattr(pairs, "_FOLLOWED", 16)
    monkeypatch.setattr(PairCounts, "_neighbours", _noting(PairCounts._neighbours, lowered))
    assert list(bpe_merges(chunks)) == every
    assert len(lowered) >= 3


def _noting(method, notes):
    def noted(self):
        notes.append(self._floor)
        return method(self)

    return noted


def chinese(n_characters: int) -> list[str]:
    """Lines in which words of one to four characters, common by Zipf's law, stand without spaces."""
    rng = random.Random(3)
    characters = [chr(0x4E00 + code) for code in rng.sample(range(6000), 3000)]
    weights = list(accumulate(1 / rank for rank in range(1, 3001)))
    words = [
        "".join(rng.choices(characters, cum_weights=weights, k=rng.choice([1, 2, 2, 2, 3, 4])))
        for _ in range(5000)
    ]
    weights = list(accumulate(1 / rank for rank in range(1, 5001)))
    lines, size = [], 0
    while size < n_characters:
        lines.append("".join(rng.choices(words, cum_weights=weights, k=rng.randint(5, 60))))
        size += len(lines[-1])
    return lines


HARD = {
    "Chinese without spaces": lambda: chinese(300_000),
    "one word": lambda: ["".join(random.Random(4).choices("abcdefghijklmnopqrstuvwxyz", k=200_000))],
    "one letter": lambda: ["a" * 1_000_000],
    "two letters in turn": lambda: ["ab" * 500_000],
    "spaces": lambda: [" " * 1_000_000],
    "line ends": lambda: ["\n" * 1_000_000],
    "signs": lambda: ["".join(random.Random(5).choices("!?#$%&*+-", k=500_000))],
    "emoji": lambda: ["👩‍👩‍👧" * 50_000],
    "combining marks": lambda: ["e" + "\u0301" * 300_000],
    "white space in turn": lambda: ["a \t\u00a0\u3000b\n" * 100_000],
}


@pytest.mark.usefixtures("no_collection")
@pytest.mark.parametrize("name", HARD)
def test_training_takes_seconds(name):
    """Measured: 0.05 to 0.5 s; walking through every chunk with a pair took 7 s for one word, minutes for the signs."""
    chunks = count_chunks(HARD[name]())
    started = time.process_time()
    n_merges = sum(1 for _ in islice(bpe_merges(chunks), 1000))
    seconds = time.process_time() - started
    assert n_merges > 4
    assert seconds < 2.5


@pytest.mark.parametrize("name", ["Chinese without spaces", "one word", "spaces"])
def test_training_needs_few_bytes_of_memory_a_byte_of_text(name):
    """Measured: 56 bytes for texts as short as these, 32 for 6 MB."""
    chunks = count_chunks(HARD[name]())
    tracemalloc.start()
    try:
        sum(1 for _ in islice(bpe_merges(chunks), 100))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 150 * sum(map(len, chunks))
