"""The body that all models share: embedding, blocks and final norm, whatever head reads what comes out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import torch
from torch import Tensor, nn

from minillm.model.blocks import Block, RMSNorm, compute_dtype, rotary_tables
from minillm.model.cache import KVCache
from minillm.model.config import GPTConfig
from minillm.model.inputs import check_ids, check_labels, check_tokens
from minillm.model.masks import branch_mask, document_mask, seen_before

__all__ = ["Decoder", "DecoderModel"]


class Decoder(nn.Module):
    """Embedding, blocks and final norm: all of the model but the head."""

    cos: Tensor
    sin: Tensor

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.d_model)
        self.layers = nn.ModuleList(Block(config, layer) for layer in range(config.n_layer))
        self.norm = RMSNorm(config.d_model, config.norm_eps)
        cos, sin = rotary_tables(config.context_length, config.head_width, config.rope_theta)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    @property
    def blocks(self) -> Iterable[Block]:
        """The layers, the first one first."""
        return cast(Iterable[Block], self.layers)  # a ModuleList does not tell of what

    def forward(
        self, ids: Tensor, document_ids: Tensor | None, cache: KVCache | None, branches: Tensor | None = None
    ) -> Tensor:
        """(batch, time) -> (batch, time, d_model)."""
        time = ids.shape[1]
        x: Tensor = self.embed_tokens(ids)
        dtype = compute_dtype(x)
        mask, positions = None, None
        if cache is not None:
            mask = cache.mask(time, dtype)
        elif branches is not None:
            mask = branch_mask(branches, dtype)
            # many columns of padding see each other
            positions = seen_before(mask).clamp(max=len(self.cos) - 1)
        elif document_ids is not None:
            mask = document_mask(document_ids, dtype)
        cos, sin = (table.to(dtype) for table in self.rotary(time, cache, positions))
        for block in self.layers:
            x = block(x, cos, sin, mask, cache)
        if cache is not None:
            cache.length += time
        hidden: Tensor = self.norm(x)
        return hidden

    def rotary(
        self, time: int, cache: KVCache | None, positions: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Cosines and sines of the next `time` positions: one table, or where rows differ one for each row."""
        if positions is not None:
            return self.cos[positions].unsqueeze(1), self.sin[positions].unsqueeze(1)
        if cache is None or cache.padding is None:
            start = 0 if cache is None else cache.length
            return self.cos[start : start + time], self.sin[start : start + time]
        # A graph in a file has no check of its own: beyond the context it takes the last position.
        positions = cache.positions(time).clamp(max=len(self.cos) - 1)
        cos, sin = self.cos[positions], self.sin[positions]
        return cos.unsqueeze(1), sin.unsqueeze(1)  # (batch, 1, time, head_width)


class DecoderModel(nn.Module):
    """What a decoder and a head have in common, whatever the head tells.

    Args:
        config: the shape.

    Attributes:
        model: the decoder.
    """

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.config = config
        with torch.random.fork_rng(devices=[]):  # PyTorch's own start draws from the global generator
            self.model = Decoder(config)

    @property
    def n_parameters(self) -> int:
        """Numbers in the weights, a tied matrix counted once, adapters included."""
        return sum(weight.numel() for weight in self.parameters())

    def hidden(
        self,
        ids: Tensor,
        *,
        document_ids: Tensor | None = None,
        branches: Tensor | None = None,
        cache: KVCache | None = None,
    ) -> Tensor:
        """The normalised hidden states that a head reads.

        Args:
            ids: (batch, time) token ids.
            document_ids: (batch, time) number of the document each token belongs to; a token sees only its own
                document. Rotary positions depend on distances alone, so a document's states are those it has alone.
            branches: (batch, time) 0 for the beginning that several texts of a row share, 1, 2, ... for how each goes
                on, -1 for padding; see :func:`~minillm.model.masks.branch_mask`. The states are those that each text
                has alone, so `context_length` limits each text, not the row.
            cache: keys and values of the tokens before `ids`; those of `ids` are added to it.

        Returns:
            (batch, time, d_model).

        Raises:
            TypeError: ids or document_ids that are no tensor.
            ValueError: ids, document_ids or a cache that do not fit the model or each other; an id outside the
                vocabulary (looked for on the CPU only).
        """
        weight = self.model.embed_tokens.weight
        whole_row = cache is None and branches is None
        check_tokens(ids, weight.device, self.config.context_length if whole_row else None)
        if cache is not None and document_ids is not None:
            raise ValueError("document_ids cannot be used together with a cache; leave out one of them")
        if branches is not None:
            if cache is not None or document_ids is not None:
                raise ValueError(
                    "branches cannot be used together with a cache or document_ids; give one of them"
                )
            check_labels("branches", branches, ids)
        if document_ids is not None:
            check_labels("document_ids", document_ids, ids)
        if cache is not None:
            if not isinstance(cache, KVCache):
                raise TypeError(f"cache is a {type(cache).__name__}; make it with KVCache(model.config)")
            cache.check(ids, self.config, compute_dtype(weight), reader=id(self.model))
        check_ids(ids, self.config.vocab_size)
        hidden: Tensor = self.model(ids, document_ids, cache, branches)
        return hidden
