"""Byte pair encoding: learning merges from chunk counts, and applying them.

Training starts from the 256 bytes and joins, again and again, the pair of neighbouring tokens that occurs
most often. Encoding starts from the bytes of a chunk and applies the learned merges, earliest first.
`encode_chunk` is the readable definition of encoding; `Tokenizer.encode` does the same through
`tiktoken`, and tests hold them together.

A merge changes few places of the text, so training updates the counts there and nowhere else: `PairCounts` keeps
them.

References:
    Sennrich, Haddow, Birch (2016), Neural Machine Translation of Rare Words with Subword Units, algorithm 1.
    Radford et al. (2019), Language Models are Unsupervised Multitask Learners, section 2.2 (bytes, split
    pattern).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from minillm.text.pairs import PairCounts

__all__ = ["BYTE_ALPHABET", "Merge", "bpe_merges", "encode_chunk", "encode_steps", "merge_pair"]

Pair = tuple[int, int]


def _byte_alphabet() -> dict[int, str]:
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + i) for i, byte in enumerate(others)}


# The visible character that stands for each byte in GPT-2's and Hugging Face's files, in the order of those
# characters: first the bytes that are printable characters themselves, then the rest ("Ġ" is the space).
BYTE_ALPHABET = _byte_alphabet()


class Merge(NamedTuple):
    """One step of training.

    `pair` are the two tokens that were joined, `count` is the number of places where they were
    neighbours, `new_id` the id of the token made of them.
    """

    pair: tuple[bytes, bytes]
    count: int  # type: ignore[assignment]  # a tuple has a method of this name, which no one needs here
    new_id: int


def bpe_merges(chunk_counts: Mapping[bytes, int]) -> Iterator[Merge]:
    """Yield the merges of byte pair encoding, best first, until every chunk is one token.

    A pair's count is the number of places where its two tokens stand side by side within a chunk (two in
    `aaa`, though only one of them can be joined). Where counts are equal, the pair of the older tokens
    wins: first the older left token, then the older right token. Merged tokens are ordered by their age, and
    before them come the bytes in the order of `BYTE_ALPHABET`. This is the order of Hugging Face's
    `tokenizers`, so the merges are the same, ties included. It depends on nothing else, so the result is
    the same whatever order the chunks come in.

    Each merge looks once at every place of its pair, so the length of chunks does not matter: a text in which spaces
    are rare, or a million letters without one, takes the time of its bytes.

    Args:
        chunk_counts: how often each chunk occurs, from `count_chunks`.

    Yields:
        the merges; ids 0 to 255 are the bytes, so the first merge makes token 256.

    >>> [(merge.pair, merge.count) for merge in bpe_merges({b"low": 5, b"lower": 2, b"new": 6})][:3]
    [((b'l', b'o'), 7), ((b'lo', b'w'), 7), ((b'e', b'w'), 6)]
    """
    # Inside, a token is its age: the bytes in the alphabet's order, then the merged tokens.
    tokens = [bytes([byte]) for byte in BYTE_ALPHABET]
    age_of_byte = bytes.maketrans(b"".join(tokens), bytes(range(256)))
    pairs = PairCounts({chunk.translate(age_of_byte): count for chunk, count in chunk_counts.items()})
    while best := pairs.most_frequent():
        (left, right), count = best
        yield Merge((tokens[left], tokens[right]), count, len(tokens))
        tokens.append(tokens[left] + tokens[right])
        pairs.join(left, right)


def merge_pair(ids: Sequence[int], pair: Pair, new_id: int) -> list[int]:
    """Return `ids` with every occurrence of `pair` replaced by `new_id`, from left to right.

    >>> merge_pair([97, 97, 97, 98], (97, 97), 256)
    [256, 97, 98]
    """
    left, right = pair
    merged: list[int] = []
    position, last = 0, len(ids) - 1
    while position <= last:
        if ids[position] == left and position < last and ids[position + 1] == right:
            merged.append(new_id)
            position += 2
        else:
            merged.append(ids[position])
            position += 1
    return merged


def encode_steps(chunk: bytes, merge_ids: Mapping[Pair, int]) -> Iterator[list[int]]:
    """Yield the encoding of a chunk step by step: its bytes, then the ids after each merge.

    Args:
        chunk: the bytes of one chunk.
        merge_ids: the id that each pair of ids is joined to; the smaller the id, the earlier the merge.

    >>> list(encode_steps(b"that", {(116, 104): 256, (97, 116): 257, (256, 257): 258}))
    [[116, 104, 97, 116], [256, 97, 116], [256, 257], [258]]
    """
    ids = list(chunk)
    yield ids
    while candidates := merge_ids.keys() & pairwise(ids):
        pair = min(candidates, key=merge_ids.__getitem__)
        ids = merge_pair(ids, pair, merge_ids[pair])
        yield ids


def encode_chunk(chunk: bytes, merge_ids: Mapping[Pair, int]) -> list[int]:
    """Return the ids of a chunk: the readable definition of encoding.

    Each step walks through the chunk once and applies one merge wherever it can, so the time is at most the
    chunk's length times the number of different merges that it needs: linear in the length, also for a chunk
    without spaces.
    """
    ids: list[int] = []
    for ids in encode_steps(chunk, merge_ids):  # noqa: B007 - the last step is the result
        pass
    return ids
