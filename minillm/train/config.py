"""The settings of one training run."""

from __future__ import annotations

from dataclasses import dataclass

from minillm import checks
from minillm.keys import setting

__all__ = ["OPTIMIZERS", "SCHEDULES", "FitConfig", "check_fit"]

OPTIMIZERS = ("muon", "adamw")
SCHEDULES = ("linear", "cosine", "constant")


@dataclass(frozen=True)
class FitConfig:
    """What decides the result of `fit` beside model and data; where it runs is `Runtime`'s matter.

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
    validate_every: int | None = setting(  # steps between validations; None: only after the last step
        None, decides=lambda config: config.stops_early
    )
    patience: int | None = None  # validations in a row without a better one before it stops; None: no end
    checkpoint_every: int = setting(200)  # steps between checkpoints, where a directory is given
    snapshot_steps: tuple[int, ...] = setting(())  # whose weights are kept; 0: the first ones
    seed: int = 0  # for random choices inside the model or the loss, such as dropout

    def __post_init__(self) -> None:
        for name in ("steps", "micro_batch_rows", "validate_every", "patience", "checkpoint_every"):
            optional = name not in ("steps", "checkpoint_every")
            checks.whole_number(name, getattr(self, name), at_least=1, optional=optional)
        for name in ("matrix_learning_rate", "embedding_learning_rate", "learning_rate", "max_grad_norm"):
            optional = name in ("embedding_learning_rate", "max_grad_norm")
            checks.number(name, getattr(self, name), above=0, optional=optional)
        for name in ("warmup_share", "final_share"):
            checks.number(name, getattr(self, name), at_least=0, at_most=1)
        for name in ("momentum", "beta1", "beta2"):
            checks.number(name, getattr(self, name), at_least=0, below=1)
        checks.number("weight_decay", self.weight_decay, at_least=0)
        checks.tuple_of("snapshot_steps", self.snapshot_steps, int)
        for step in self.snapshot_steps:
            checks.whole_number("a step of snapshot_steps", step, at_least=0)
        checks.one_of("optimizer", self.optimizer, OPTIMIZERS)
        checks.one_of("schedule", self.schedule, SCHEDULES)
        checks.seed("seed", self.seed)
        if self.patience is not None and self.validate_every is None:
            raise ValueError(f"patience is {self.patience} and validate_every None; set validate_every too")

    @property
    def stops_early(self) -> bool:
        """Whether validation decides when training ends, and which weights are kept."""
        return self.patience is not None

    @property
    def warmup_steps(self) -> int:
        """Steps of rising learning rate."""
        return round(self.warmup_share * self.steps)


def check_fit(value: object) -> None:
    """Refuse a stage's `fit` that is none, or has a seed: that of the preset decides."""
    checks.instance("fit", value, FitConfig)
    if isinstance(value, FitConfig) and value.seed != 0:
        raise ValueError(
            f"fit.seed is {value.seed}; leave it at 0 here: the seed of the preset decides, --seed N"
        )
