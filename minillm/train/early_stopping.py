"""The best validation loss so far, the weights that had it, and when to give up."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor, nn

from minillm.train.checkpoint import load_model_tensors, model_tensors

__all__ = ["EarlyStopping"]

_PREFIX = "best."


class EarlyStopping:
    """Follows the validation loss; with a patience it also keeps the best weights.

    Args:
        patience: validations in a row without a better one after which training stops; None: never.
    """

    def __init__(self, patience: int | None) -> None:
        self.patience = patience
        self.loss: float | None = None  # the latest, nats per token
        self.best_loss = math.inf
        self.best_step: int | None = None
        self.worse_in_a_row = 0
        self.weights: dict[str, Tensor] = {}

    @property
    def exhausted(self) -> bool:
        """Whether training should stop."""
        return self.patience is not None and self.worse_in_a_row >= self.patience

    def update(self, step: int, loss: float, model: nn.Module) -> None:
        """Take note of a validation; a NaN loss counts as worse."""
        self.loss = loss
        if not loss < self.best_loss:
            self.worse_in_a_row += 1
            return
        self.best_loss, self.best_step, self.worse_in_a_row = loss, step, 0
        if self.patience is not None:
            self.weights = {name: tensor.clone() for name, tensor in model_tensors(model, _PREFIX).items()}

    def restore_best(self, model: nn.Module) -> None:
        """Give the model its best weights, where a patience was set and there were validations."""
        if self.weights:
            load_model_tensors(model, self.weights, _PREFIX)
            self.loss = self.best_loss

    def state(self) -> dict[str, Any]:
        """What a checkpoint needs beside `weights`, as JSON values."""
        return {
            "loss": None if self.loss is None else str(self.loss),  # JSON has no NaN
            "best_loss": None if self.best_step is None else self.best_loss,
            "best_step": self.best_step,
            "worse_in_a_row": self.worse_in_a_row,
        }

    def load(self, state: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        """Go back to a saved state; the weights are found among `tensors` by their prefix."""
        self.loss = None if state["loss"] is None else float(state["loss"])
        self.best_step, self.worse_in_a_row = state["best_step"], state["worse_in_a_row"]
        self.best_loss = math.inf if state["best_step"] is None else state["best_loss"]
        self.weights = {name: tensor for name, tensor in tensors.items() if name.startswith(_PREFIX)}
