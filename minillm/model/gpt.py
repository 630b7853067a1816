"""A decoder-only Transformer in the Llama / Qwen3 layout, and the loss it is trained with.

Pre-norm RMSNorm, rotary positions, grouped-query attention, SwiGLU, no biases. The names of the weights are Hugging
Face's, so that a state dict moves between ``GPT`` and ``LlamaForCausalLM`` (``qk_norm=False``) or
``Qwen3ForCausalLM`` (``qk_norm=True``) as it is.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minillm.model import pretrained
from minillm.model.blocks import Block, RMSNorm, compute_dtype, rotary_tables
from minillm.model.cache import KVCache
from minillm.model.config import GPTConfig
from minillm.model.init import init_weights
from minillm.model.lora import merged_state_dict
from minillm.model.loss import IGNORE_INDEX, linear_cross_entropy

__all__ = ["GPT", "IGNORE_INDEX", "GPTConfig", "KVCache", "init_weights", "next_token_loss"]


class Decoder(nn.Module):
    """Embedding, blocks and final norm: all of the model but the head."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.d_model)
        self.layers = nn.ModuleList(Block(config, layer) for layer in range(config.n_layer))
        self.norm = RMSNorm(config.d_model, config.norm_eps)
        cos, sin = rotary_tables(config.context_length, config.head_width, config.rope_theta)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    def forward(self, ids: Tensor, document_ids: Tensor | None, cache: KVCache | None) -> Tensor:
        """(batch, time) -> (batch, time, d_model)."""
        time = ids.shape[1]
        x = self.embed_tokens(ids)
        dtype = compute_dtype(x)
        cos, sin = (table.to(dtype) for table in self._rotary(time, cache))
        if cache is not None:
            mask = cache.mask(time, dtype)
        else:
            mask = None if document_ids is None else document_mask(document_ids, dtype)
        for block in self.layers:
            x = block(x, cos, sin, mask, cache)
        if cache is not None:
            cache.length += time
        return self.norm(x)

    def _rotary(self, time: int, cache: KVCache | None) -> tuple[Tensor, Tensor]:
        """Cosines and sines of the next ``time`` positions: one table, or where rows are padded one for each row."""
        if cache is None or cache.padding is None:
            start = 0 if cache is None else cache.length
            return self.cos[start : start + time], self.sin[start : start + time]
        # A row that is complete while others go on may run over its context; what it gets is not used.
        positions = cache.positions(time).clamp(max=len(self.cos) - 1)
        return self.cos[positions].unsqueeze(1), self.sin[positions].unsqueeze(
            1
        )  # (batch, 1, time, head_width)


class GPT(nn.Module):
    """A language model: token ids in, a score for every possible next token out.

    Args:
        config: the shape.
        generator: a CPU generator, or a seed for a fresh one; decides the first weights (see ``init_weights``).

    >>> model = GPT(GPTConfig(vocab_size=100, context_length=16, n_layer=2, n_head=2, d_model=8))
    >>> model(torch.tensor([[5, 7, 11]])).shape
    torch.Size([1, 3, 100])
    """

    def __init__(self, config: GPTConfig, generator: torch.Generator | int = 0) -> None:
        super().__init__()
        self.config = config
        with torch.random.fork_rng(
            devices=[]
        ):  # PyTorch's own initialisation draws from the global generator
            self.model = Decoder(config)
            tied = config.tie_embeddings
            self.lm_head = None if tied else nn.Linear(config.d_model, config.vocab_size, bias=False)
        self.register_load_state_dict_pre_hook(_drop_tied_head)
        init_weights(self, generator)

    @property
    def head_weight(self) -> Tensor:
        """The matrix that turns hidden states into logits, (vocab, d_model)."""
        return self.model.embed_tokens.weight if self.lm_head is None else self.lm_head.weight

    @property
    def n_parameters(self) -> int:
        """Numbers in the weights, a tied matrix counted once, adapters included."""
        return sum(weight.numel() for weight in self.parameters())

    @property
    def n_trainable(self) -> int:
        """Those of them that training changes."""
        return sum(weight.numel() for weight in self.parameters() if weight.requires_grad)

    def hidden(
        self, ids: Tensor, *, document_ids: Tensor | None = None, cache: KVCache | None = None
    ) -> Tensor:
        """The normalised hidden states that the head reads; arguments as in :meth:`forward`.

        Returns:
            (batch, time, d_model).
        """
        _check_shapes(self.config, ids, document_ids, cache)
        return self.model(ids, document_ids, cache)

    def forward(
        self, ids: Tensor, *, document_ids: Tensor | None = None, cache: KVCache | None = None
    ) -> Tensor:
        """Logits of the next token at every position.

        Args:
            ids: (batch, time) token ids.
            document_ids: (batch, time) number of the document each token belongs to; a token sees only its own
                document. Rotary positions depend on distances alone, so a document's logits are those it has alone.
            cache: keys and values of the tokens before ``ids``; those of ``ids`` are added to it.

        Returns:
            (batch, time, vocab).

        Raises:
            ValueError: an id outside the vocabulary (looked for on the CPU only), too many tokens, or ``document_ids``
                of another shape or together with ``cache``.
        """
        check_ids(ids, self.config.vocab_size)
        return F.linear(self.hidden(ids, document_ids=document_ids, cache=cache), self.head_weight)

    def save_pretrained(self, directory: str | Path) -> Path:
        """Write ``config.json`` and ``model.safetensors``; transformers loads the folder as well.

        An active LoRA adapter is written into the weights.
        """
        return pretrained.write_model(directory, self.config, merged_state_dict(self))

    @classmethod
    def from_pretrained(cls, directory: str | Path) -> GPT:
        """Load a folder that ``save_pretrained`` wrote, or a Llama or Qwen3 folder of transformers.

        Raises:
            ValueError: a file is missing, damaged, of a newer format, or the two do not fit together.
        """
        return pretrained.read_model(directory, cls)


def next_token_loss(
    model: nn.Module, ids: Tensor, targets: Tensor, document_ids: Tensor | None = None, reduction: str = "sum"
) -> Tensor:
    """Cross-entropy, in nats, of the model's predictions of ``targets``.

    Args:
        model: a GPT.
        ids: (batch, time) tokens that are read.
        targets: (batch, time) token that follows each; ``IGNORE_INDEX`` is not counted.
        document_ids: (batch, time) document of each token; attention stays inside a document.
        reduction: "sum" over the counted targets, "mean" over them, or "none".

    Returns:
        float32 nats: a scalar, or with "none" (batch, time), 0 where ignored.

    Raises:
        ValueError: as :meth:`GPT.forward`; a target outside the vocabulary; an unknown reduction.

    Reference: Shannon 1948, section 7 (entropy of a source); Bengio et al. 2003 (neural language models).
    """
    check_ids(ids, model.config.vocab_size)
    check_ids(targets, model.config.vocab_size, ignore=IGNORE_INDEX)
    hidden = model.hidden(ids, document_ids=document_ids)
    loss = linear_cross_entropy(hidden.flatten(0, 1), model.head_weight, targets.flatten(), reduction)
    return loss.view(targets.shape) if reduction == "none" else loss


def check_ids(ids: Tensor, vocab_size: int, ignore: int | None = None) -> None:
    """Raise ValueError for an id outside the vocabulary.

    On the CPU only: elsewhere the look would make the program wait for the device. Compiled code leaves it out.
    """
    if torch.compiler.is_compiling() or ids.device.type != "cpu" or ids.numel() == 0:
        return
    low, high = (int(bound) for bound in ids.aminmax())
    if low < 0 and ignore is not None:
        low = int(ids.masked_fill(ids == ignore, 0).min())
    if low < 0 or high >= vocab_size:
        raise ValueError(
            f"token id {low if low < 0 else high} is outside the vocabulary 0 to {vocab_size - 1}; "
            "use the tokenizer that belongs to the model"
        )


def _check_shapes(config: GPTConfig, ids: Tensor, document_ids: Tensor | None, cache: KVCache | None) -> None:
    if ids.ndim != 2:
        raise ValueError(f"ids has shape {tuple(ids.shape)}, not (batch, time); add the missing dimension")
    if cache is None and ids.shape[1] > config.context_length:
        raise ValueError(
            f"{ids.shape[1]} tokens are more than the model's context_length={config.context_length}; use fewer"
        )
    if document_ids is not None and document_ids.shape != ids.shape:
        raise ValueError(
            f"document_ids has shape {tuple(document_ids.shape)} and ids {tuple(ids.shape)}; they must be equal"
        )
    if cache is not None:
        if document_ids is not None:
            raise ValueError("document_ids cannot be used together with a cache; leave out one of them")
        cache.check(ids)


def document_mask(document_ids: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Which tokens a token may look at when several documents share a row: its own document's, up to itself.

    Args:
        document_ids: (batch, time) equal within a document.
        dtype: of the result.

    Returns:
        (batch, 1, time, time): 0 where query (row) may see key (column), -inf elsewhere.
    """
    time = document_ids.shape[1]
    same = document_ids[:, None, :, None] == document_ids[:, None, None, :]
    causal = torch.full((time, time), -torch.inf, dtype=dtype, device=document_ids.device).triu(1)
    return torch.where(same, causal, -torch.inf)


def _drop_tied_head(module: GPT, state: dict[str, Tensor], prefix: str, *_: object) -> None:
    """Hugging Face lists a tied head a second time; it is the embedding."""
    if module.lm_head is None:
        state.pop(prefix + "lm_head.weight", None)
