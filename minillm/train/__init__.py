"""Training: one loop for all stages that learn from examples, its optimizers, checkpoints and machine."""

from minillm.train.config import FitConfig
from minillm.train.loop import BatchSource, FitResult, TrainingDivergedError, TrainingInterrupted, fit
from minillm.train.runtime import Runtime, choose_runtime
from minillm.train.step import language_model_loss

__all__ = [
    "BatchSource",
    "FitConfig",
    "FitResult",
    "Runtime",
    "TrainingDivergedError",
    "TrainingInterrupted",
    "choose_runtime",
    "fit",
    "language_model_loss",
]
