"""LoRA on a domain: an adapter for the assistant, trained as in supervised fine-tuning, and a yardstick beside it.

The yardstick is full fine-tuning on the same conversations, for the same steps, at a learning rate of its own. No
plain documents are mixed in, so that what each of the two forgets can be seen.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from minillm import checks
from minillm.data.conversations import Conversations
from minillm.data.corpora import Corpus
from minillm.model.gpt import GPT
from minillm.model.lora import LoRAConfig, apply_lora, n_lora_parameters
from minillm.stages.sft import SFTConfig, fine_tune
from minillm.text.tokenizer import Tokenizer
from minillm.train.options import RunOptions

__all__ = ["DomainConfig", "adapt"]


@dataclass(frozen=True)
class DomainConfig:
    """Settings of the two fine-tunings on a domain."""

    adapter: LoRAConfig  # the shape of the adapter
    training: SFTConfig  # how both are trained; its learning rate is the adapter's
    full_learning_rate: float  # AdamW's peak where all weights are trained

    def __post_init__(self) -> None:
        checks.instance("adapter", self.adapter, LoRAConfig)
        checks.instance("training", self.training, SFTConfig)
        checks.number("full_learning_rate", self.full_learning_rate, above=0)

    @property
    def full_training(self) -> SFTConfig:
        """How all weights are trained."""
        return replace(self.training, fit=replace(self.training.fit, learning_rate=self.full_learning_rate))


def adapt(
    config: DomainConfig,
    model: GPT,
    tokenizer: Tokenizer,
    conversations: Conversations,
    corpus: Corpus,
    options: RunOptions,
    *,
    full: bool = False,
) -> dict[str, Any]:
    """Train an adapter, or all weights, on the conversations of a domain: in place.

    Args:
        config: the settings.
        model: an assistant; it ends with its adapter.
        tokenizer: the model's.
        conversations: of the domain.
        corpus: what the model was pretrained on.
        options: where and how; the seed decides the order of the conversations and the adapter's first weights.
        full: whether all weights are trained, without an adapter.
    Returns:
        the figures of `fine_tune`, the number of trained weights, and their share in the model without an adapter.
    Raises:
        ValueError: as `fine_tune`; a target of the adapter that the model does not have.
    """
    whole = model.n_parameters
    if not full:
        apply_lora(model, config.adapter, generator=options.seed)
    training = config.full_training if full else config.training
    figures = fine_tune(training, model, tokenizer, conversations, corpus, options)
    trained = whole if full else n_lora_parameters(model)
    return figures | {"parameters": whole, "trained_parameters": trained, "trainable_share": trained / whole}
