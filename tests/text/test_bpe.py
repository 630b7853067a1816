import json
import random
from collections import Counter
from itertools import islice, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minillm.text.bpe import BYTE_ALPHABET, bpe_merges, encode_chunk, encode_steps, merge_pair
from minillm.text.chunks import SPLIT_PATTERN, count_chunks

AGE_OF_BYTE = {bytes([byte]): age for age, byte in enumerate(BYTE_ALPHABET)}


def naive_merges(chunk_counts):
    """Count all pairs anew for every merge, with tokens as bytes: slow, and short enough to trust."""
    chunks = {chunk: [bytes([byte]) for byte in chunk] for chunk in chunk_counts}
    ages = dict(AGE_OF_BYTE)
    while True:
        counts = Counter()
        for chunk, tokens in chunks.items():
            for pair in pairwise(tokens):
                counts[pair] += chunk_counts[chunk]
        if not counts:
            return
        best = min(counts, key=lambda pair: (-counts[pair], ages[pair[0]], ages[pair[1]]))
        yield best, counts[best]
        ages[best[0] + best[1]] = len(ages)
        chunks = {chunk: merge_pair(tokens, best, best[0] + best[1]) for chunk, tokens in chunks.items()}


def merge_ids_of(merges):
    ids = {bytes([byte]): byte for byte in range(256)}
    merge_ids = {}
    for left, right in merges:
        merge_ids[ids[left], ids[right]] = len(ids)
        ids[left + right] = len(ids)
    return merge_ids


# Few letters and few counts: many ties, and runs of one letter.
small_chunks = st.dictionaries(
    st.text(alphabet="ab c", min_size=1, max_size=12).map(str.encode), st.integers(1, 3), max_size=12
)


@given(small_chunks)
def test_merges_and_counts_are_those_of_counting_anew(chunk_counts):
    fast = list(bpe_merges(chunk_counts))
    assert [(merge.pair, merge.count) for merge in fast] == list(naive_merges(chunk_counts))
    assert [merge.new_id for merge in fast] == list(range(256, 256 + len(fast)))


@given(st.dictionaries(st.binary(min_size=1, max_size=8), st.integers(1, 100), max_size=20))
def test_any_bytes_and_counts(chunk_counts):
    assert [(m.pair, m.count) for m in bpe_merges(chunk_counts)] == list(naive_merges(chunk_counts))


@given(small_chunks, st.randoms(use_true_random=False))
def test_the_order_of_chunks_does_not_matter(chunk_counts, rng):
    shuffled = list(chunk_counts.items())
    rng.shuffle(shuffled)
    assert list(bpe_merges(dict(shuffled))) == list(bpe_merges(chunk_counts))


def test_example_by_hand():
    # First ab (5 + 1 places). Then (ab, c) and (d, d) tie at 1, and the byte d is older than the token ab.
    merges = list(bpe_merges({b"ab": 5, b"abc": 1, b"dd": 1}))
    assert [merge.pair for merge in merges] == [(b"a", b"b"), (b"d", b"d"), (b"ab", b"c")]
    assert [merge.count for merge in merges] == [6, 1, 1]


def test_a_run_of_one_letter_counts_every_place():
    assert [(m.pair, m.count) for m in bpe_merges({b"aaaaa": 1})] == [
        ((b"a", b"a"), 4),  # five letters have four places, though only two pairs can be joined
        ((b"aa", b"a"), 1),  # aa aa a: (aa, a) and (aa, aa) tie, and the byte is older
        ((b"aa", b"aaa"), 1),
    ]


@pytest.mark.parametrize(
    ("chunk_counts", "first"),
    [
        ({b"xb": 1, b"xa": 1}, (b"x", b"a")),  # the left tokens are the same: the older right one
        ({b"bz": 1, b"ay": 1}, (b"a", b"y")),
        ({b" a": 1, b"zz": 1}, (b"z", b"z")),  # the space comes after the printable characters
        ({b"\xc3\xa9": 1, b" a": 1}, (b"\xc3", b"\xa9")),
        ({b"\n\n": 1, b"  ": 1}, (b"\n", b"\n")),
    ],
)
def test_ties_go_to_the_pair_first_in_the_alphabet(chunk_counts, first):
    assert next(bpe_merges(chunk_counts)).pair == first


def test_the_alphabet_has_a_visible_character_for_each_byte():
    assert sorted(BYTE_ALPHABET) == list(range(256))
    characters = list(BYTE_ALPHABET.values())
    assert characters == sorted(set(characters))
    assert all(character.isprintable() and not character.isspace() for character in characters)
    assert BYTE_ALPHABET[ord(" ")] == "Ġ" and BYTE_ALPHABET[ord("\n")] == "Ċ" and BYTE_ALPHABET[65] == "A"


@pytest.mark.parametrize("chunk_counts", [{}, {b"": 3}, {b"a": 3}, {b"ab": 0}])
def test_nothing_to_merge(chunk_counts):
    assert list(bpe_merges(chunk_counts)) == []


def test_merges_come_one_by_one():
    merges = bpe_merges(count_chunks(["she sells sea shells"]))
    assert next(merges) == ((b" ", b"s"), 3, 256)
    assert next(merges) == ((b"e", b"l"), 2, 257)


@given(st.lists(st.text(alphabet="ab 1.\n'sé字", max_size=30), min_size=1, max_size=8))
def test_merges_equal_those_of_tokenizers(texts):
    assert [merge.pair for merge in bpe_merges(count_chunks(texts))] == tokenizers_merges(texts, 10_000)


def test_merges_equal_those_of_tokenizers_on_longer_text():
    rng = random.Random(1)
    words = [
        "".join(rng.choices("etaoins", weights=[7, 6, 5, 4, 3, 2, 1], k=rng.randint(1, 9)))
        for _ in range(400)
    ]
    text = " ".join(rng.choices(words, k=20_000))
    ours = [merge.pair for merge in islice(bpe_merges(count_chunks([text])), 700)]
    assert len(ours) == 700
    assert ours == tokenizers_merges([text], 256 + 700)


def tokenizers_merges(texts, vocab_size):
    """Train Hugging Face's byte-level BPE with the same split pattern."""
    hf = pytest.importorskip("tokenizers")
    split = hf.pre_tokenizers.Split(hf.Regex(SPLIT_PATTERN), "isolated")
    to_bytes = hf.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer = hf.Tokenizer(hf.models.BPE())
    tokenizer.pre_tokenizer = hf.pre_tokenizers.Sequence([split, to_bytes])
    alphabet = hf.pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        texts, hf.trainers.BpeTrainer(vocab_size=vocab_size, initial_alphabet=alphabet, show_progress=False)
    )
    byte_of = {character: byte for byte, character in BYTE_ALPHABET.items()}
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    return [tuple(bytes(byte_of[character] for character in part) for part in pair) for pair in merges]


@given(small_chunks, st.text(alphabet="ab cd", max_size=20))
def test_encoding_applies_each_merge_in_the_order_of_training(chunk_counts, text):
    merge_ids = merge_ids_of(merge.pair for merge in bpe_merges(chunk_counts))
    expected = list(text.encode())
    for pair, new_id in merge_ids.items():  # the other way to say it: all merges in order, each everywhere
        expected = merge_pair(expected, pair, new_id)
    assert encode_chunk(text.encode(), merge_ids) == expected


@given(small_chunks)
def test_a_chunk_of_the_training_text_becomes_one_token(chunk_counts):
    merge_ids = merge_ids_of(merge.pair for merge in bpe_merges(chunk_counts))
    assert all(len(encode_chunk(chunk, merge_ids)) == 1 for chunk in chunk_counts)


def test_steps_show_one_merge_at_a_time():
    merge_ids = merge_ids_of([(b"l", b"o"), (b"lo", b"w")])
    low, lo = 257, 256
    assert list(encode_steps(b"lowlo", merge_ids)) == [
        [*b"lowlo"],
        [lo, ord("w"), lo],
        [low, lo],
    ]
    assert list(encode_steps(b"", merge_ids)) == [[]]
    assert encode_chunk(b"", merge_ids) == []


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        ([], []),
        ([1], [1]),
        ([1, 1], [9]),
        ([1, 1, 1], [9, 1]),
        ([2, 1, 1, 1, 1], [2, 9, 9]),
        ([1, 2, 1], [1, 2, 1]),
    ],
)
def test_merge_pair_goes_from_left_to_right(ids, expected):
    assert merge_pair(ids, (1, 1), 9) == expected


def test_a_very_long_chunk_is_no_trouble():
    """Regression: replacing pairs in place took time quadratic in the length of a chunk."""
    chunk = b"ab" * 100_000
    merges = [merge.pair for merge in bpe_merges({chunk: 1})]
    assert 17 <= len(merges) <= 30  # each merge doubles the token
    assert len(encode_chunk(chunk, merge_ids_of(merges))) == 1
