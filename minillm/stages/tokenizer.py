"""The first stage: learn a vocabulary from the corpus."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from minillm.data.corpora import Corpus
from minillm.text.tokenizer import SPECIAL_TOKENS, Tokenizer

__all__ = ["TokenizerConfig", "train_tokenizer"]

_MEASURED_DOCUMENTS = 500


@dataclass(frozen=True)
class TokenizerConfig:
    """Settings of the tokenizer stage."""

    vocab_size: int = 2048  # bytes, merges and special tokens together
    max_characters: int = 10_000_000  # of the training text that are read

    def __post_init__(self) -> None:
        smallest = 256 + len(SPECIAL_TOKENS)
        if self.vocab_size < smallest:
            raise ValueError(
                f"vocab_size={self.vocab_size} is too small; use at least {smallest}: "
                f"256 bytes and {len(SPECIAL_TOKENS)} special tokens"
            )
        if self.max_characters < 1:
            raise ValueError(f"max_characters={self.max_characters} is too small; use 1 or more")


def train_tokenizer(
    config: TokenizerConfig, corpus: Corpus, folder: str | Path, *, progress: bool = True
) -> dict[str, Any]:
    """Train a tokenizer on the corpus, and save it.

    Args:
        config: the settings.
        corpus: its training documents are read, up to `max_characters`.
        folder: gets tokenizer.json.
        progress: whether to show progress bars.
    Returns:
        the figures of the stage. `vocab_size` is smaller than asked for where the text has too few pairs to
        merge; `bytes_per_token` is measured on validation documents.
    """
    started = time.perf_counter()
    texts = _beginning(corpus, config.max_characters)
    tokenizer = Tokenizer.train(texts, config.vocab_size, progress=progress)
    seconds = time.perf_counter() - started
    tokenizer.save(folder)
    held_out = list(islice(corpus.documents("validation"), _MEASURED_DOCUMENTS))
    return {
        "seconds": round(seconds, 2),
        "vocab_size": tokenizer.vocab_size,
        "n_merges": tokenizer.n_merges,
        "bytes_per_token": tokenizer.bytes_per_token(held_out),
    }


def _beginning(corpus: Corpus, max_characters: int) -> Iterator[str]:
    """The corpus's first training documents, `max_characters` in all."""
    left = max_characters
    for text in corpus.documents("train"):
        if left <= 0:
            return
        yield text[:left]
        left -= len(text)
