"""A decoder-only Transformer in the Llama / Qwen3 layout, and the loss it is trained with.

Pre-norm RMSNorm, rotary positions, grouped-query attention, SwiGLU, no biases. The names of the weights are Hugging
Face's, so that a state dict moves between `GPT` and `LlamaForCausalLM` (`qk_norm=False`) or
`Qwen3ForCausalLM` (`qk_norm=True`) as it is.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minillm.model import pretrained
from minillm.model.cache import KVCache
from minillm.model.config import GPTConfig
from minillm.model.decoder import DecoderModel
from minillm.model.init import init_weights
from minillm.model.inputs import check_ids, check_labels
from minillm.model.lora import LoRALinear, merged_state_dict
from minillm.model.loss import IGNORE_INDEX, linear_cross_entropy

__all__ = ["GPT", "IGNORE_INDEX", "GPTConfig", "KVCache", "init_weights", "next_token_loss"]


class GPT(DecoderModel):
    """A language model: token ids in, a score for every possible next token out.

    Args:
        config: the shape.
        generator: a CPU generator, or a seed for a fresh one; decides the first weights (see `init_weights`).

    >>> model = GPT(GPTConfig(vocab_size=100, context_length=16, n_layer=2, n_head=2, d_model=8))
    >>> model(torch.tensor([[5, 7, 11]])).shape
    torch.Size([1, 3, 100])
    """

    def __init__(self, config: GPTConfig, generator: torch.Generator | int = 0) -> None:
        super().__init__(config)
        with torch.random.fork_rng(devices=[]):
            tied = config.tie_embeddings
            self.lm_head = None if tied else nn.Linear(config.d_model, config.vocab_size, bias=False)
        # torch leaves this method untyped
        self.register_load_state_dict_pre_hook(_drop_tied_head)  # type: ignore[no-untyped-call]
        init_weights(self, generator)

    @property
    def head_weight(self) -> Tensor:
        """The matrix that turns hidden states into logits, (vocab, d_model); with its adapter, but without dropout."""
        if self.lm_head is None:
            return self.model.embed_tokens.weight
        return (
            self.lm_head.effective_weight() if isinstance(self.lm_head, LoRALinear) else self.lm_head.weight
        )

    @property
    def n_trainable(self) -> int:
        """Those of the numbers that training changes."""
        return sum(weight.numel() for weight in self.parameters() if weight.requires_grad)

    def forward(
        self, ids: Tensor, *, document_ids: Tensor | None = None, cache: KVCache | None = None
    ) -> Tensor:
        """Logits of the next token at every position.

        Arguments and errors are those of :meth:`hidden`.

        Returns:
            (batch, time, vocab).
        """
        return F.linear(self.hidden(ids, document_ids=document_ids, cache=cache), self.head_weight)

    def save_pretrained(self, directory: str | Path) -> Path:
        """Write `config.json` and `model.safetensors`; transformers loads the folder as well.

        An active LoRA adapter is written into the weights.
        """
        return pretrained.write_model(directory, self.config, merged_state_dict(self))

    @classmethod
    def from_pretrained(cls, directory: str | Path) -> GPT:
        """Load a folder that `save_pretrained` wrote, or a Llama or Qwen3 folder of transformers.

        Raises:
            ValueError: a file is missing, damaged, of a newer format, or the two do not fit together.
        """
        return pretrained.read_model(directory, cls)


def next_token_loss(
    model: GPT, ids: Tensor, targets: Tensor, document_ids: Tensor | None = None, reduction: str = "sum"
) -> Tensor:
    """Cross-entropy, in nats, of the model's predictions of `targets`.

    Args:
        model: a GPT.
        ids: (batch, time) tokens that are read.
        targets: (batch, time) token that follows each; `IGNORE_INDEX` is not counted.
        document_ids: (batch, time) document of each token; attention stays inside a document.
        reduction: "sum" over the counted targets, "mean" over them, or "none".

    Returns:
        float32 nats: a scalar, or with "none" (batch, time), 0 where ignored.

    Raises:
        TypeError, ValueError: as :meth:`GPT.hidden`; targets that do not fit the ids or the vocabulary; an unknown
            reduction.

    Reference: Shannon 1948, section 7 (entropy of a source); Bengio et al. 2003 (neural language models).
    """
    hidden = model.hidden(ids, document_ids=document_ids)
    check_labels("targets", targets, ids)
    check_ids(targets, model.config.vocab_size, ignore=IGNORE_INDEX)
    loss = linear_cross_entropy(hidden.flatten(0, 1), model.head_weight, targets.flatten().long(), reduction)
    return loss.view(targets.shape) if reduction == "none" else loss


def _drop_tied_head(module: GPT, state: dict[str, Tensor], prefix: str, *_: object) -> None:
    """Hugging Face lists a tied head a second time; it is the embedding."""
    if module.lm_head is None:
        state.pop(prefix + "lm_head.weight", None)
