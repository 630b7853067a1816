"""Models that give numbers instead of words: a GPT's body with a head of one output.

The names of the weights are those of Hugging Face's `Qwen3ForSequenceClassification` and
`LlamaForSequenceClassification` with one label.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minillm.files import read_json
from minillm.model import pretrained
from minillm.model.config import GPTConfig
from minillm.model.decoder import DecoderModel
from minillm.model.gpt import GPT
from minillm.model.init import init_weights
from minillm.model.inputs import check_labels, check_tokens
from minillm.model.surprise import N_MARKS, chosen_log_probs, surprise_marks

__all__ = ["RewardModel", "ScalarModel", "last_real"]

_MARK_KEY = "answer_mark"  # in config.json
# What the marks are multiplied with, beside their weights: the optimizer moves each weight by about its learning rate
# a step, whatever the size of the input, and these three have far to go.
_GAINS = (10.0, 2.5, 5.0)
_FIRST_WEIGHT = 0.06


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

    With an `answer_mark` it has a second opinion beside its own: an assistant that stays as it is tells how probable
    it finds the tokens of the answer (:func:`~minillm.model.surprise.surprise_marks`), and a weighted sum of that is
    added to the score. What the assistant knows in its last layer, its own layers need not find out again. The price
    is that an answer gains by being probable alone.

    Args:
        config: the shape of the body, and of the assistant.
        generator: as for :class:`ScalarModel`.
        answer_mark: id of the token behind which an answer begins; None: no assistant is asked.

    Attributes:
        assistant: the model that is asked, or None; it does not learn.

    Reference: Ouyang et al. 2022 (InstructGPT), section 3.5.
    """

    mean: Tensor

    def __init__(
        self, config: GPTConfig, generator: torch.Generator | int = 0, *, answer_mark: int | None = None
    ) -> None:
        super().__init__(config, generator)
        self.register_buffer("mean", torch.zeros(()))
        self.answer_mark = answer_mark
        self.assistant: GPT | None = None
        if answer_mark is not None:
            self.assistant = GPT(config).requires_grad_(False)
            self.surprise_weight = nn.Parameter(torch.full((N_MARKS,), _FIRST_WEIGHT))

    @classmethod
    def with_assistant(
        cls, assistant: GPT, answer_mark: int, generator: torch.Generator | int = 0
    ) -> RewardModel:
        """A copy of an assistant's body with a head of its own, and the assistant itself to be asked."""
        made = cls(assistant.config, generator, answer_mark=answer_mark)
        assert made.assistant is not None
        made.model.load_state_dict(assistant.model.state_dict())
        made.assistant.load_state_dict(assistant.state_dict())
        return made

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
        own = scores.gather(1, last_real(real)[:, None])[:, 0]
        if self.assistant is None:
            return own - self.mean
        hidden = self.assistant.hidden(ids, document_ids=real.long() - 1)
        follows = F.pad(real[:, :-1], (1, 0))  # a text's first token has none before it
        answer = real & follows & _behind_the_last(real & (ids == self.answer_mark))
        previous = (torch.arange(ids.shape[1], device=ids.device) - 1).expand(ids.shape)
        log_probs = chosen_log_probs(self.assistant, hidden, ids, previous, answer)
        return own + self._opinion(log_probs, answer[:, None])[:, 0] - self.mean

    def branch_scores(self, ids: Tensor, branches: Tensor, ends: Tensor) -> Tensor:
        """Scores of several answers to one prompt, which is read once for all of them.

        Args:
            ids: (batch, time) a prompt and one answer after the other, each with its end token.
            branches: (batch, time) 0 for the prompt, 1, 2, ... for its answers, -1 for padding on the right.
            ends: (batch, answers) the column in which each answer ends.

        Returns:
            (batch, answers): what :meth:`forward` gives for the prompt with each answer alone, where the prompt ends
            with the mark of the answer.

        Raises:
            TypeError, ValueError: as :meth:`hidden`.
        """
        scores: Tensor = self.score(self.hidden(ids, branches=branches)).squeeze(-1)
        own = scores.gather(1, ends)
        if self.assistant is None:
            return own - self.mean
        hidden = self.assistant.hidden(ids, branches=branches)
        log_probs = chosen_log_probs(self.assistant, hidden, ids, _before(branches), branches > 0)
        numbers = torch.arange(1, ends.shape[1] + 1, device=ids.device)
        return own + self._opinion(log_probs, branches[:, None] == numbers[:, None]) - self.mean

    def _opinion(self, log_probs: Tensor, answers: Tensor) -> Tensor:
        """What the assistant's surprise adds to the scores, (batch, answers)."""
        marks = surprise_marks(log_probs, answers)
        return (marks * self.surprise_weight * torch.tensor(_GAINS, device=marks.device)).sum(dim=-1)

    def save_pretrained(self, directory: str | Path) -> Path:
        """Write `config.json` and `model.safetensors`."""
        more = {} if self.answer_mark is None else {_MARK_KEY: self.answer_mark}
        return pretrained.write_model(
            directory, self.config, self.state_dict(), pretrained.CLASSIFIER, more=more
        )

    @classmethod
    def from_pretrained(cls, directory: str | Path) -> RewardModel:
        """Load a folder that `save_pretrained` wrote, with an assistant or without.

        Raises:
            ValueError: a file is missing, damaged, of a newer format, or the two do not fit together.
        """
        config = pretrained.read_config(directory, pretrained.CLASSIFIER)
        path = Path(directory) / "config.json"
        mark = read_json(path).get(_MARK_KEY)
        if mark is not None and (type(mark) is not int or not 0 <= mark < config.vocab_size):
            raise ValueError(
                f"{path} has {_MARK_KEY}={mark!r}, which is no token id of the model; restore the file, or delete the "
                "folder and train again"
            )
        return pretrained.read_model(directory, partial(cls, answer_mark=mark), pretrained.CLASSIFIER)


def _behind_the_last(marks: Tensor) -> Tensor:
    """True for the tokens behind a row's last mark; where there is none, for all.

    >>> _behind_the_last(torch.tensor([[True, False, True, False], [False] * 4])).int()
    tensor([[0, 0, 0, 1],
            [1, 1, 1, 1]], dtype=torch.int32)
    """
    columns = torch.arange(marks.shape[1], device=marks.device)
    last = torch.where(marks, columns, -1).max(dim=1).values
    return columns > last[:, None]


def _before(branches: Tensor) -> Tensor:
    """The column of the token before each, (batch, time): before the first of a branch stands the last of the trunk.

    >>> _before(torch.tensor([[0, 0, 1, 1, 2]]))
    tensor([[-1,  0,  1,  2,  1]])
    """
    columns = torch.arange(branches.shape[1], device=branches.device).expand(branches.shape)
    is_first = torch.ones_like(branches, dtype=torch.bool)
    is_first[:, 1:] = branches[:, 1:] != branches[:, :-1]
    trunk_end = (branches == 0).sum(dim=1, keepdim=True) - 1
    return torch.where(is_first & (branches > 0), trunk_end, columns - 1)


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
