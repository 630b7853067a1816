"""Which merges are accepted: exactly those that the plain encoder can make happen."""

import itertools
import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minillm.text.bpe import encode_chunk
from minillm.text.tokenizer import Tokenizer
from minillm.text.vocabulary import merge_tables


def accepted_by_encoding(candidates):
    """The merges whose bytes the plain encoder joins to one token, each tried beside the ones before it."""
    ids, merge_ids, merges = {bytes([byte]): byte for byte in range(256)}, {}, []
    for left, right in candidates:
        if left not in ids or right not in ids or left + right in ids:
            continue
        tried = {**merge_ids, (ids[left], ids[right]): len(ids)}
        if encode_chunk(left + right, tried) == [len(ids)]:
            merge_ids, merges = tried, [*merges, (left, right)]
            ids[left + right] = len(ids)
    return merges


def accepted_by_the_tables(candidates):
    merges = []
    for merge in candidates:
        try:
            merge_tables([*merges, merge])
        except ValueError:
            continue
        merges.append(merge)
    return merges


words = st.text("abc", min_size=1, max_size=6).map(str.encode)


@given(st.lists(st.tuples(words, words), max_size=40))
def test_merges_are_accepted_if_encoding_makes_them_happen(candidates):
    assert accepted_by_the_tables(candidates) == accepted_by_encoding(candidates)


@pytest.mark.parametrize("letters", ["a", "ab", "abc"])
def test_every_pair_of_tokens_of_many_vocabularies(letters):
    """Candidates are made of tokens, so most are possible; runs of one letter, and letters in turn, above all."""
    rng = random.Random(len(letters))
    for _ in range(12):
        tokens, candidates = [letter.encode() for letter in letters], []
        for _ in range(30):
            left, right = rng.choice(tokens), rng.choice(tokens)
            if len(left + right) < 24:
                candidates.append((left, right))
                tokens.append(left + right)
        merges = accepted_by_encoding(candidates)
        assert accepted_by_the_tables(candidates) == merges
        made = [letter.encode() for letter in letters] + [left + right for left, right in merges]
        for pair in itertools.product(made[-8:], repeat=2):
            assert accepted_by_the_tables([*merges, pair]) == accepted_by_encoding([*merges, pair])


@pytest.mark.usefixtures("no_collection")
def test_tokens_as_long_as_the_text_take_no_longer():
    """Regression: each token was encoded to see whether it can come up, 2 s for 5,000 letters and 60 s for 20,000."""
    word = "".join(random.Random(0).choices("abcdefghijklmnopqrstuvwxyz", k=5000))
    started = time.process_time()
    with pytest.warns(UserWarning, match="so the vocabulary has"):
        tokenizer = Tokenizer.train([word], 60_000)
    assert time.process_time() - started < 2
    assert len(tokenizer.encode(word)) == 1
