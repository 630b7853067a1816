"""What a corpus is: documents (strings) of two splits, and what decides them."""

from __future__ import annotations

from collections.abc import Iterator

from minillm.data.source import Source, Split
from minillm.text.tokenizer import Tokenizer

__all__ = ["Corpus", "check_length", "check_split"]


class Corpus(Source):
    """Documents for training and, apart from them, for validation."""

    def documents(self, split: Split) -> Iterator[str]:
        """The texts of one split, in a fixed order, none of them empty."""
        raise NotImplementedError

    def lessons(self) -> Iterator[str]:
        """Short texts without end that a model reads before all others, in a fixed order; most corpora have none."""
        return iter(())

    def entropy_nats(self) -> float | None:
        """Surprise of all validation documents under what wrote them (nats, summed); None if unknown."""
        return None


def check_length(corpus: Corpus, tokenizer: Tokenizer, context_length: int) -> None:
    """Refuse training text of fewer tokens than one context; no more is read than is needed."""
    tokens = 0
    for text in corpus.documents("train"):
        some = text[: 16 * context_length]  # a word at its cut end has some more tokens than in the whole
        if tokens + len(tokenizer.encode(some)) >= 2 * context_length:
            return
        tokens += len(tokenizer.encode(text)) + 1
        if tokens >= context_length:
            return
    raise ValueError(
        f"corpus {corpus.name} has {tokens} tokens for training, less than one context of {context_length}; give a "
        "longer text, or choose a shorter context: --set base.model.context_length=N"
    )


def check_split(split: str) -> str:
    """The split, if there is one of this name."""
    if split not in ("train", "validation"):
        raise ValueError(f"split is {split!r}; allowed are 'train' and 'validation'")
    return split
