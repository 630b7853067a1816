"""What a corpus is: documents (strings) of two splits, and what decides them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from minillm.text.tokenizer import Tokenizer

__all__ = ["Corpus", "Split", "check_length", "check_split"]

Split = Literal["train", "validation"]


class Corpus:
    """Documents for training and, apart from them, for validation."""

    @property
    def name(self) -> str:
        """A short name, such as "world" or the name of a file."""
        raise NotImplementedError

    @property
    def description(self) -> str:
        """One sentence for the model card: what the text is and where it comes from."""
        raise NotImplementedError

    def documents(self, split: Split) -> Iterator[str]:
        """The texts of one split, in a fixed order, none of them empty."""
        raise NotImplementedError

    def settings(self) -> dict[str, Any]:
        """Everything that decides the documents, as JSON values."""
        raise NotImplementedError

    def check(self) -> None:
        """Find mistakes in files before anything is trained.

        Raises:
            ValueError: as when they are read.
        """

    def check_fits(self, tokenizer: Tokenizer, context_length: int) -> None:
        """Find out, before a model is trained, that the text is too short for it; what is built in never is.

        Args:
            tokenizer: the model's.
            context_length: of the model (tokens).
        Raises:
            ValueError: the training text has fewer tokens than one context.
        """

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
