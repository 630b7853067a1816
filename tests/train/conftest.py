"""A model and data small enough to train in milliseconds; all sizes differ, so a wrong axis cannot pass."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import minillm
from minillm.train import FitConfig, FitResult, Runtime, choose_runtime, fit


@dataclass(frozen=True)
class Words:
    ids: Tensor  # (batch, time)
    targets: Tensor  # (batch, time), -100 is not counted
    note: str = "fields that are no tensors stay as they are"


class WordSource:
    """Endless random batches; targets are a fixed function of the ids, so there is something to learn."""

    def __init__(self, rows: int = 10, time: int = 5, vocab: int = 11) -> None:
        self.rows, self.time, self.vocab = rows, time, vocab

    def batch(self, step: int) -> Words:
        generator = torch.Generator().manual_seed(step)
        ids = torch.randint(0, self.vocab, (self.rows, self.time), generator=generator)
        targets = (3 * ids + 1) % self.vocab
        targets[
            torch.rand(ids.shape, generator=generator) < 0.3
        ] = -100  # pieces differ in their number of targets
        return Words(ids, targets)


class WordModel(nn.Module):
    def __init__(self, dropout: float = 0.0, vocab: int = 11) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(7)
        self.embed = nn.Embedding(vocab, 8)
        self.up, self.down = nn.Linear(8, 12), nn.Linear(12, 8, bias=False)
        self.gate = nn.Linear(8, 12, bias=False)
        self.norm, self.dropout = nn.LayerNorm(8), nn.Dropout(dropout)
        self.lm_head = nn.Linear(8, vocab, bias=False)
        for parameter in self.parameters():
            if parameter.ndim == 2:
                nn.init.normal_(parameter, std=0.3, generator=generator)
        nn.init.zeros_(self.up.bias)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embed(ids)
        x = x + self.down(self.dropout(self.up(x) * self.gate(x).sigmoid()))
        return self.lm_head(self.norm(x))


def word_loss(model: nn.Module, batch: Words) -> tuple[Tensor, Tensor]:
    logits = model(batch.ids).float()
    nats = F.cross_entropy(logits.flatten(0, 1), batch.targets.flatten(), ignore_index=-100, reduction="sum")
    return nats, (batch.targets != -100).sum()


@pytest.fixture
def runtime() -> Runtime:
    return choose_runtime("cpu", "fp32", threads=1, compile=False)


@pytest.fixture
def words():
    """The helpers above, for test files, which cannot import this one."""

    class Helpers:
        Batch, Source, Model = Words, WordSource, WordModel
        loss = staticmethod(word_loss)

        @staticmethod
        def weights(model: nn.Module) -> dict[str, Tensor]:
            return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}

        @staticmethod
        def same_weights(model: nn.Module, other: nn.Module) -> bool:
            return all(
                torch.equal(weight, other.state_dict()[name]) for name, weight in model.state_dict().items()
            )

        @staticmethod
        def metrics(folder: Path) -> list[dict]:
            """The lines of metrics.jsonl, without the times."""
            lines = [
                json.loads(text)
                for text in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
            ]
            return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]

    return Helpers


@pytest.fixture
def run(words, runtime):
    """Run ``fit`` on the small model; returns the model and the result."""

    def call(
        steps=30, model=None, source=None, loss=None, run_time=runtime, arguments=None, **settings
    ) -> tuple[nn.Module, FitResult]:
        model = model or words.Model(dropout=0.2)
        source, loss = source or words.Source(), loss or words.loss
        config = FitConfig(steps=steps, **settings)
        result = fit(model, source, config, loss=loss, runtime=run_time, progress=False, **(arguments or {}))
        return model, result

    return call


@pytest.fixture
def child_environment() -> dict[str, str]:
    """This process's environment, in which a child process finds the package."""
    root = str(Path(minillm.__file__).parents[1])
    return os.environ | {"PYTHONPATH": root, "OMP_NUM_THREADS": "1"}
