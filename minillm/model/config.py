"""The shape of a model: every number that decides which weights it has, checked once, when it is written down."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from minillm import checks

__all__ = ["LONGEST_CONTEXT", "GPTConfig"]

_FROM_OTHERS: Any = None  # a default that is worked out from other fields
LONGEST_CONTEXT = 1 << 20  # tokens; a model keeps two tables of rotary positions for all of them


@dataclass(frozen=True)
class GPTConfig:
    """Shape of a decoder-only Transformer.

    `n_kv_head=None` means one key/value head for each query head; `d_ff=None` means 8/3 of `d_model` rounded up
    to a multiple of 32, which gives a SwiGLU block the parameters of a classic block four times as wide as the model
    (Shazeer 2020). `head_dim=None` means that the query heads together are as wide as the model; it stays None, and
    `head_width` tells what follows from it.

    Raises:
        TypeError: a value is of the wrong type.
        ValueError: a value is out of range, or two of them do not fit together.
    """

    vocab_size: int  # token ids 0 .. vocab_size - 1
    context_length: int = 256  # tokens, the longest sequence
    n_layer: int = 4  # blocks
    n_head: int = 2  # query heads a block
    n_kv_head: int = _FROM_OTHERS  # key/value heads a block; divides n_head
    d_model: int = 128  # width of the residual stream
    d_ff: int = _FROM_OTHERS  # width inside the feed-forward part
    rope_theta: float = 10_000.0  # base of the rotary wavelengths
    norm_eps: float = 1e-6  # added to the mean square in RMSNorm
    qk_norm: bool = True  # RMSNorm on queries and keys (the Qwen3 layout; False is Llama's)
    tie_embeddings: bool = True  # one matrix for reading and for writing tokens
    head_dim: int | None = None  # width of a head, where it is not d_model / n_head

    def __post_init__(self) -> None:
        if self.n_kv_head is None:
            object.__setattr__(self, "n_kv_head", self.n_head)
        if self.d_ff is None:
            checks.whole_number("d_model", self.d_model, at_least=1)
            object.__setattr__(self, "d_ff", -(-self.d_model * 8 // 3 // 32) * 32)
        for name in ("vocab_size", "n_layer", "n_head", "n_kv_head", "d_model", "d_ff"):
            checks.whole_number(name, getattr(self, name), at_least=1)
        checks.whole_number("context_length", self.context_length, at_least=1, at_most=LONGEST_CONTEXT)
        checks.whole_number("head_dim", self.head_dim, at_least=1, optional=True)
        for name in ("rope_theta", "norm_eps"):
            checks.number(name, getattr(self, name), above=0)
        for name in ("qk_norm", "tie_embeddings"):
            checks.yes_or_no(name, getattr(self, name))
        self._check_heads()

    def _check_heads(self) -> None:
        if self.head_dim is None and self.d_model % self.n_head:
            raise ValueError(
                f"d_model={self.d_model} cannot be shared among n_head={self.n_head} heads; "
                "choose an n_head that divides d_model, or a head_dim"
            )
        if not self.qk_norm and self.d_model % self.n_head:
            raise ValueError(
                f"d_model={self.d_model} is no multiple of n_head={self.n_head}, which the Llama layout "
                "(qk_norm=False) asks for; choose an n_head that divides d_model, or qk_norm=True"
            )
        if self.head_dim is not None and self.head_dim % 2:
            raise ValueError(
                f"head_dim={self.head_dim} is odd, and rotary positions turn pairs; choose an even one"
            )
        if self.head_width % 2:
            raise ValueError(
                f"d_model={self.d_model} and n_head={self.n_head} give heads of odd width {self.head_width}, which "
                "rotary positions cannot turn in pairs; choose an even d_model / n_head, or a head_dim"
            )
        if self.n_head % self.n_kv_head:
            raise ValueError(
                f"n_kv_head={self.n_kv_head} does not divide n_head={self.n_head}; "
                "each key/value head serves the same number of query heads"
            )

    @property
    def head_width(self) -> int:
        """Numbers in one head's query, key or value."""
        return self.d_model // self.n_head if self.head_dim is None else self.head_dim

    @property
    def n_matrix_weights(self) -> int:
        """Numbers in the matrices of all blocks and in one embedding: what a token is multiplied with."""
        attention = self.d_model * self.head_width * 2 * (self.n_head + self.n_kv_head)
        return self.n_layer * (attention + 3 * self.d_model * self.d_ff) + self.vocab_size * self.d_model
