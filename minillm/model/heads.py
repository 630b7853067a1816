"""Models that give numbers instead of words: a GPT's body with a head of one output.

The names of the weights are those of Hugging Face's `Qwen3ForSequenceClassification` and
`LlamaForSequenceClassification` with one label.
"""

from __future__ import annotations

from pathlib import Path
from typing import Self

import torch
from torch import Tensor, nn

from minillm.model import pretrained
from minillm.model.config import GPTConfig
from minillm.model.decoder import DecoderModel
from minillm.model.gpt import GPT
from minillm.model.init import init_weights
from minillm.model.inputs import check_labels, check_tokens

__all__ = ["RewardModel", "ScalarModel", "last_real"]


class ScalarModel(DecoderModel):
    """A GPT without its vocabulary head: one number for every token. As a critic it tells the value of each state.

    Args:
        config: the shape of the body.
        generator: a CPU generator, or a seed for a fresh one; decides the head's first weights.
    """

    def __init__(self, config: GPTConfig, generator: torch.Generator | int = 0) -> None:
        super().__init__(config)
        with torch.random.fork_rng(devices=[]):
            self.score = nn.Linear(config.d_model, 1, bias=False)
        init_weights(self, generator)

    @classmethod
    def from_body(cls, source: GPT | ScalarModel, generator: torch.Generator | int = 0) -> Self:
        """A copy of a model's body with a head of its own; the head is copied too where the source has one."""
        copy = cls(source.config, generator)
        copy.model.load_state_dict(source.model.state_dict())
        if isinstance(source, ScalarModel):
            copy.score.load_state_dict(source.score.state_dict())
        return copy

    def token_scores(self, ids: Tensor, mask: Tensor | None = None) -> Tensor:
        """One number for every token, which depends on it and the tokens before it.

        Args:
            ids: (batch, time) token ids.
            mask: (batch, time) True for real tokens; None: all are. Padding may stand on either side.

        Returns:
            (batch, time).

        Raises:
            TypeError: ids or a mask that is no tensor.
            ValueError: ids or a mask that do not fit the model or each other; an id outside the vocabulary.
        """
        document_ids = None
        if mask is not None:
            check_tokens(ids, self.score.weight.device, self.config.context_length)
            check_labels("mask", mask, ids)
            # No token looks to its right, so padding there is seen by padding only.
            document_ids = None if bool(mask[:, 0].all()) else mask.long() - 1
        scores: Tensor = self.score(self.hidden(ids, document_ids=document_ids))
        return scores.squeeze(-1)


class RewardModel(ScalarModel):
    """Scores whole conversations: the number at the last real token, less the mean over the SFT model's answers.

    It is called as `reward_model(ids, mask)`. Only differences between scores of the same prompt are learned, so where
    zero lies is a choice: `mean` puts it at the average answer.

    Reference: Ouyang et al. 2022 (InstructGPT), section 3.5.
    """

    mean: Tensor

    def __init__(self, config: GPTConfig, generator: torch.Generator | int = 0) -> None:
        super().__init__(config, generator)
        self.register_buffer("mean", torch.zeros(()))

    def forward(self, ids: Tensor, mask: Tensor | None = None) -> Tensor:
        """Scores of conversations.

        Args:
            ids: (batch, time) rendered conversations, each with its answer's end token.
            mask: (batch, time) True for real tokens; None: all are. Padding may stand on either side.

        Returns:
            (batch,) scores.

        Raises:
            TypeError, ValueError: as :meth:`token_scores`; a row without a real token.
        """
        scores = self.token_scores(ids, mask)
        real = torch.ones_like(ids, dtype=torch.bool) if mask is None else mask.bool()
        return scores.gather(1, last_real(real)[:, None])[:, 0] - self.mean

    def save_pretrained(self, directory: str | Path) -> Path:
        """Write `config.json` and `model.safetensors`."""
        return pretrained.write_model(directory, self.config, self.state_dict(), pretrained.CLASSIFIER)

    @classmethod
    def from_pretrained(cls, directory: str | Path) -> RewardModel:
        """Load a folder that `save_pretrained` wrote.

        Raises:
            ValueError: a file is missing, damaged, of a newer format, or the two do not fit together.
        """
        return pretrained.read_model(directory, cls, pretrained.CLASSIFIER)


def last_real(mask: Tensor) -> Tensor:
    """The column of the last True in each row, (batch, time) -> (batch,).

    Raises:
        ValueError: a row has none.

    >>> last_real(torch.tensor([[True, True, False], [False, True, True]]))
    tensor([1, 2])
    """
    if not bool(mask.any(dim=1).all()):
        row = int((~mask.any(dim=1)).nonzero()[0])
        raise ValueError(f"row {row} of the mask has no real token; give each row at least one")
    columns = torch.arange(mask.shape[1], device=mask.device)
    return (mask * columns).argmax(dim=1)
