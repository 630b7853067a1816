"""How surprised a language model is at an answer: the log-probability of its tokens, summed up in three numbers.

A wrong fact is often one token that the model itself would hardly have chosen, so the least probable tokens tell more
of it than all of them together.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from minillm.model.gpt import GPT

__all__ = ["N_MARKS", "chosen_log_probs", "surprise_marks"]

N_MARKS = 3  # numbers that sum up an answer
_FEW = 3  # tokens


def surprise_marks(log_probs: Tensor, answers: Tensor) -> Tensor:
    """Of each answer the mean log-probability of its tokens, the least one, and the mean of the three least ones.

    Args:
        log_probs: (batch, time) nats.
        answers: (batch, answers, time) True for the tokens of each answer.

    Returns:
        (batch, answers, 3) nats; 0 for an answer without tokens.

    >>> surprise_marks(torch.tensor([[-1.0, -4.0, -2.0, 0.0, -9.0]]), torch.tensor([[[True, True, True, True, False]]]))
    tensor([[[-1.7500, -4.0000, -2.3333]]])
    """
    spread = log_probs[:, None].expand(answers.shape)
    count = answers.sum(dim=-1)
    mean = spread.where(answers, 0.0).sum(dim=-1) / count.clamp(min=1)
    lowest = spread.where(answers, torch.inf).topk(min(_FEW, spread.shape[-1]), dim=-1, largest=False).values
    lowest = lowest.where(lowest < torch.inf, 0.0)
    of_few = lowest.sum(dim=-1) / count.clamp(min=1, max=_FEW)
    return torch.stack([mean, lowest.min(dim=-1).values, of_few], dim=-1)


@torch.no_grad()
def chosen_log_probs(model: GPT, hidden: Tensor, ids: Tensor, previous: Tensor, chosen: Tensor) -> Tensor:
    """Log-probability of some of the tokens, each given what is before it.

    Args:
        model: whose head turns hidden states into probabilities.
        hidden: (batch, time, d_model) what the model's body makes of the ids.
        ids: (batch, time) token ids.
        previous: (batch, time) the column of the token before each.
        chosen: (batch, time) True for the tokens that are asked for.

    Returns:
        (batch, time) nats; 0 for the others.
    """
    rows = chosen.nonzero()[:, 0]
    logits = F.linear(hidden[rows, previous[chosen]], model.head_weight).float()
    log_probs = -F.cross_entropy(logits, ids[chosen].long(), reduction="none")
    return torch.zeros(ids.shape, device=ids.device).masked_scatter(chosen, log_probs)
