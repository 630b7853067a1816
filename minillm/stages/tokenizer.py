"""The first stage: learn a vocabulary from the corpus."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from minillm import checks
from minillm.data.corpora import Corpus
from minillm.text.tokenizer import SPECIAL_TOKENS, Tokenizer

__all__ = ["TokenizerConfig", "compression", "train_tokenizer"]

_MEASURED_DOCUMENTS = 500


@dataclass(frozen=True)
class TokenizerConfig:
    """Settings of the tokenizer stage."""

    vocab_size: int = 2048  # bytes, merges and special tokens together
    max_characters: int = 10_000_000  # of the training text that are read

    def __post_init__(self) -> None:
        checks.whole_number("vocab_size", self.vocab_size)
        checks.whole_number("max_characters", self.max_characters, at_least=1)
        smallest = 256 + len(SPECIAL_TOKENS)
        if self.vocab_size < smallest:
            raise ValueError(
                f"vocab_size is {self.vocab_size}; use a whole number of at least {smallest}: "
                f"256 bytes and {len(SPECIAL_TOKENS)} special tokens"
            )


def train_tokenizer(
    config: TokenizerConfig, corpus: Corpus, *, progress: bool = True
) -> tuple[Tokenizer, dict[str, Any]]:
    """Train a tokenizer on the corpus.

    Args:
        config: the settings.
        corpus: its training documents are read, up to `max_characters`.
        progress: whether to show progress bars.
    Returns:
        the tokenizer, and the figures of its training. `vocab_size` is smaller than asked for where the text has too
        few pairs to merge.
    """
    started = time.perf_counter()
    texts = _beginning(corpus, config.max_characters)
    tokenizer = Tokenizer.train(texts, config.vocab_size, progress=progress)
    return tokenizer, {
        "seconds": round(time.perf_counter() - started, 2),
        "vocab_size": tokenizer.vocab_size,
        "n_merges": tokenizer.n_merges,
    }


def compression(tokenizer: Tokenizer, corpus: Corpus) -> dict[str, Any]:
    """How short a tokenizer makes text that it was not trained on: `bytes_per_token`, on validation documents."""
    return {
        "bytes_per_token": tokenizer.bytes_per_token(
            list(islice(corpus.documents("validation"), _MEASURED_DOCUMENTS))
        )
    }


def _beginning(corpus: Corpus, max_characters: int) -> Iterator[str]:
    """The corpus's first training documents, `max_characters` in all."""
    left = max_characters
    for text in corpus.documents("train"):
        if left <= 0:
            return
        yield text[:left]
        left -= len(text)
