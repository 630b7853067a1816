"""What stages read: text, conversations or comparisons, in a split for training and one for validation."""

from __future__ import annotations

from typing import Any, Literal

from minillm.text.tokenizer import Tokenizer

__all__ = ["Source", "Split"]

Split = Literal["train", "validation"]


class Source:
    """Data of two splits that share nothing, and all that decides them."""

    @property
    def name(self) -> str:
        """A short name for messages, such as "world" or the name of a file."""
        raise NotImplementedError

    @property
    def description(self) -> str:
        """One sentence for the model card: what the data is and where it comes from."""
        raise NotImplementedError

    def settings(self) -> dict[str, Any]:
        """Everything that decides the training split, as JSON values."""
        raise NotImplementedError

    def held_out_settings(self) -> dict[str, Any]:
        """What decides the validation split and nothing else, as JSON values: no part of `settings()`."""
        return {}

    def check(self) -> None:
        """Find mistakes in files and datasets before anything is trained.

        Raises:
            ValueError: as when they are read.
        """

    def check_fits(self, tokenizer: Tokenizer, context_length: int) -> None:
        """Find out, before a model is trained, that nothing fits its context; no more is read than is needed.

        Args:
            tokenizer: the model's.
            context_length: of the model (tokens).
        Raises:
            ValueError: of one of the splits nothing can be used.
        """
