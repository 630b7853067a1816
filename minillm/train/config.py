"""The settings of one training run."""

from __future__ import annotations

import math
from dataclasses import dataclass

from minillm.seeds import check_seed

__all__ = ["OPTIMIZERS", "SCHEDULES", "FitConfig"]

OPTIMIZERS = ("muon", "adamw")
SCHEDULES = ("linear", "cosine", "constant")


@dataclass(frozen=True)
class FitConfig:
    """What decides the result of ``fit`` beside model and data; where it runs is ``Runtime``'s matter.

    Raises:
        ValueError: a field has a value that is not allowed.
        TypeError: a field has a value of the wrong type.
    """

    steps: int  # optimizer steps in all
    optimizer: str = "muon"  # "muon" (matrices of the blocks; AdamW has the rest) or "adamw" (everything)
    matrix_learning_rate: float = 2e-2  # Muon's peak: change of a singular value per step
    embedding_learning_rate: float | None = None  # AdamW's peak for embeddings; None: that of the matrices
    learning_rate: float = 3e-3  # AdamW's peak for everything else
    warmup_share: float = 0.12  # share of the steps in which learning rates rise from 0 to their peaks
    schedule: str = "linear"  # how they fall afterwards: "linear", "cosine" or "constant" (not at all)
    final_share: float = 0.0  # share of the peak that is left at the end of the fall
    weight_decay: float = 0.02  # decoupled, per unit of learning rate; not on norms and biases
    momentum: float = 0.95  # Muon's average of past gradients
    beta1: float = 0.9  # AdamW's average of past gradients
    beta2: float = 0.95  # AdamW's average of past squared gradients
    max_grad_norm: float | None = 1.0  # a longer gradient (2-norm of all of it) is cut to it; None: never
    micro_batch_rows: int | None = None  # rows run at once, gradients add up to the batch's; None: all
    validate_every: int | None = None  # steps between validations; None: only after the last step
    patience: int | None = None  # validations in a row without a better one before it stops; None: no end
    checkpoint_every: int = 200  # steps between checkpoints, where a directory is given
    seed: int = 0  # for random choices inside the model or the loss, such as dropout

    def __post_init__(self) -> None:
        for name in ("steps", "micro_batch_rows", "validate_every", "patience", "checkpoint_every"):
            _check_whole(name, getattr(self, name), optional=name not in ("steps", "checkpoint_every"))
        for name in ("matrix_learning_rate", "embedding_learning_rate", "learning_rate", "max_grad_norm"):
            optional = name in ("embedding_learning_rate", "max_grad_norm")
            _check_number(name, getattr(self, name), low=0, low_allowed=False, optional=optional)
        for name in ("warmup_share", "final_share"):
            _check_number(name, getattr(self, name), low=0, high=1, high_allowed=True)
        for name in ("momentum", "beta1", "beta2"):
            _check_number(name, getattr(self, name), low=0, high=1)
        _check_number("weight_decay", self.weight_decay, low=0)
        _check_choice("optimizer", self.optimizer, OPTIMIZERS)
        _check_choice("schedule", self.schedule, SCHEDULES)
        if self.patience is not None and self.validate_every is None:
            raise ValueError(f"patience is {self.patience} and validate_every None; set validate_every too")
        check_seed("seed", self.seed)

    @property
    def warmup_steps(self) -> int:
        """Steps of rising learning rate."""
        return round(self.warmup_share * self.steps)


def _check_whole(name: str, value: object, optional: bool) -> None:
    """Refuse anything but a whole number of at least 1 (or None, where that is a choice)."""
    if value is None and optional:
        return
    allowed = "a whole number of at least 1" + (" or None" if optional else "")
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} is {value!r}; allowed is {allowed}")
    if value < 1:
        raise ValueError(f"{name} is {value}; allowed is {allowed}")


def _check_number(
    name: str,
    value: object,
    low: float,
    high: float = math.inf,
    low_allowed: bool = True,
    high_allowed: bool = False,
    optional: bool = False,
) -> None:
    """Refuse anything but a number between ``low`` and ``high`` (or None, where that is a choice)."""
    if value is None and optional:
        return
    allowed = f"a number {'from' if low_allowed else 'above'} {low}"
    if high < math.inf:
        allowed += f" {'up to' if high_allowed else 'to below'} {high}"
    allowed += " or None" if optional else ""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} is {value!r}; allowed is {allowed}")
    too_low = value < low or (value == low and not low_allowed)
    too_high = value > high or (value == high and not high_allowed)
    if too_low or too_high or not math.isfinite(value):
        raise ValueError(f"{name} is {value}; allowed is {allowed}")


def _check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    """Refuse a word that is not on the list."""
    if value not in choices:
        raise ValueError(f"{name} is {value!r}; choose one of {', '.join(choices)}")
