"""The loss of a model on whole documents, in nats, and what it means per token and per byte.

A document of n tokens has n + 1 predictions: its first token is predicted from the end-of-text token before it, and the
end-of-text token after it counts too. Their sum is the negative log-probability of the document and nothing else, which
is what the entropy of the micro-world bounds from below. `bits_per_byte` leaves the end token out, as it is no text.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch

from minillm.model.gpt import GPT, next_token_loss
from minillm.train.runtime import to_device

__all__ = ["DocumentLoss", "document_loss"]


@dataclass(frozen=True)
class DocumentLoss:
    """Summed surprise of a model at documents.

    Attributes:
        nats: of all predictions, end tokens included.
        predictions: their number (tokens).
        end_nats: the part of `nats` that the end tokens caused.
    """

    nats: float
    predictions: int
    end_nats: float

    @property
    def per_token(self) -> float:
        """Mean loss, end tokens included (nats/token)."""
        return self.nats / self.predictions

    def bits_per_byte(self, n_bytes: int) -> float:
        """Bits per byte of UTF-8 text, end tokens excluded: (nats - end_nats) / ln 2 / bytes."""
        return (self.nats - self.end_nats) / math.log(2) / n_bytes


@torch.no_grad()
def document_loss(model: GPT, batches: Iterable[Any], end_of_text_id: int) -> DocumentLoss:
    """Sum the loss of a model over batches, in the precision that is in force.

    Args:
        model: a GPT, on any device; in evaluation mode.
        batches: from `minillm.data.batches.whole_documents`.
        end_of_text_id: id of the control token between documents.
    """
    device = next(model.parameters()).device
    nats = end_nats = 0.0
    predictions = 0
    for batch in batches:
        predictions += batch.n_targets
        batch = to_device(batch, device)
        losses = next_token_loss(model, batch.ids, batch.targets, batch.document_ids, reduction="none")
        losses = losses.cpu().double()  # not at once: Apple's MPS has no float64
        nats += losses.sum().item()
        end_nats += losses[batch.targets.cpu() == end_of_text_id].sum().item()
    return DocumentLoss(nats, predictions, end_nats)
