"""Make the recordings of chapter 13: one recipe at several sizes and amounts of text, and a student of a larger model.

python tools/record_scaling.py [FOLDER OF RUNS] [SECONDS]

Takes the course's tokenizer, and its base model as the teacher, and trains them where they are missing. Then five
seconds to three minutes a run on one core, forty minutes in all, the series first, and writes
minillm/recordings/scaling.json. A run that is recorded already, with the same settings, is not repeated; none is begun
after so many SECONDS, and one that is cut off goes on from its last checkpoint.

- "width 64, 600000 tokens, rates 0.04 and 0.08, seed 0": a small model from plain first weights that reads so many
  tokens of the world once, with these learning rates of its matrices and of its embedding. Some runs are made with
  others too, to see whether they are fair.
- "student, seed 0": the same with its targets from the teacher: all probabilities of every next token.
"""

from __future__ import annotations

import shutil
import sys
import time
from dataclasses import asdict, dataclass
from functools import cache, partial
from typing import Any

import torch
from recorder import ROOT, Recorder
from torch import Tensor

from minillm.course import Course
from minillm.data.batches import IGNORE_INDEX, PackedDocuments, TokenDocuments, tokenize, whole_documents
from minillm.data.corpora import WorldCorpus
from minillm.model.gpt import GPT, GPTConfig
from minillm.train import choose_runtime
from minillm.train.config import FitConfig
from minillm.train.document_loss import document_loss
from minillm.train.loop import fit
from minillm.train.step import Loss, language_model_loss

WIDTHS = (24, 32, 48, 64, 96, 128)
BUDGETS = (150_000, 300_000, 600_000, 1_200_000, 2_400_000)  # tokens that a run reads
SEEDS = (0, 1, 2)
REPEATED = 600_000  # tokens at most of the runs that are made with every seed
RATES = (4e-2, 8e-2)  # learning rates of the matrices and of the embedding
OTHER_RATES = ((2e-2, 8e-2), (8e-2, 8e-2), (4e-2, 4e-2), (4e-2, 16e-2))
TRIED_WIDTHS, TRIED_BUDGETS = (24, 48, 128), (150_000, 600_000)  # where they are tried
STUDENT = (32, 300_000)
CORPUS = WorldCorpus(n_documents=90_000, n_validation=1_000)
CHECKPOINTS = ROOT / "build" / "scaling"
CONTEXT, ROWS, LAYERS, HEAD_WIDTH = 160, 4, 2, 16
RECIPE: dict[str, Any] = {
    "optimizer": "muon",
    "momentum": 0.75,
    "warmup_share": 0.1,
}


def shape(width: int, vocab_size: int) -> GPTConfig:
    """Two layers of a width, with heads of `HEAD_WIDTH`, two at least."""
    return GPTConfig(
        vocab_size,
        context_length=CONTEXT,
        n_layer=LAYERS,
        n_head=max(2, width // HEAD_WIDTH),
        d_model=width,
    )


@dataclass(frozen=True)
class Plan:
    """One run."""

    width: int
    tokens: int
    seed: int = 0
    rates: tuple[float, float] = RATES
    taught: bool = False  # by the teacher

    @property
    def name(self) -> str:
        """What it is called in the recording."""
        rates = "rates {} and {}".format(*self.rates)
        kind = "student" if self.taught else f"width {self.width}, {self.tokens} tokens, {rates}"
        return f"{kind}, seed {self.seed}"

    @property
    def recipe(self) -> dict[str, Any]:
        """The settings of its training."""
        return RECIPE | dict(
            zip(("matrix_learning_rate", "embedding_learning_rate"), self.rates, strict=True)
        )

    @property
    def cost(self) -> tuple[int, int, int]:
        """By what the runs are sorted: the first seed of the series, then the students, then the rest."""
        rest = self.seed > 0 or self.rates != RATES
        return 1 if self.taught else 2 * rest, self.tokens, self.width


class Series:
    """The runs of the series, which share their text."""

    def __init__(self, course: Course) -> None:
        self.tokenizer = course.stage("tokenizer").tokenizer
        self.eot = self.tokenizer.end_of_text_id
        self.runtime = choose_runtime(compile=False)
        self.held_out = list(tokenize(self.tokenizer, CORPUS.documents("validation")))
        self.documents = list(tokenize(self.tokenizer, CORPUS.documents("train")))

    def text(self, tokens: int) -> TokenDocuments:
        """The first documents, of so many tokens in all."""
        chosen: list[list[int]] = []
        for ids in self.documents:
            if tokens <= 0:
                return TokenDocuments(chosen, self.eot)
            chosen.append(ids)
            tokens -= len(ids) + 1
        raise ValueError(f"the corpus is {tokens:,} tokens too short; raise n_documents")

    def run(self, plan: Plan, loss: Loss = language_model_loss) -> dict[str, Any]:
        """Train one model, and measure it on the held-out documents."""
        packed = PackedDocuments(self.text(plan.tokens), self.eot, CONTEXT, ROWS, plan.seed)
        model = GPT(shape(plan.width, self.tokenizer.vocab_size), plan.seed)
        config = FitConfig(packed.batches_per_epoch, **plan.recipe, seed=plan.seed)
        folder = CHECKPOINTS / plan.name
        done = fit(model, packed, config, loss=loss, directory=folder, runtime=self.runtime, progress=False)
        shutil.rmtree(folder)
        return {
            "parameters": model.n_parameters,
            "embedding_parameters": model.head_weight.numel(),
            "tokens": done.tokens,
            "steps": done.steps,
            "seconds": done.seconds,
            "train_loss": done.train_loss,
        } | self.measured(model)

    def measured(self, model: GPT) -> dict[str, float]:
        """The loss of a model on the held-out documents beside their floor, both in nats per token."""
        with self.runtime.autocast():
            batches = whole_documents(self.held_out, self.eot, CONTEXT)
            found = document_loss(model.eval(), batches, self.eot)
        floor = CORPUS.entropy_nats() / found.predictions
        return {"val_loss": found.per_token, "entropy_floor": floor}


def taught_by(teacher: GPT) -> Loss:
    """A loss whose target is not the next token but all of the teacher's probabilities for it."""

    def loss(student: GPT, batch: Any) -> tuple[Tensor, Tensor]:
        counted = batch.targets != IGNORE_INDEX
        with torch.no_grad():
            wanted = teacher(batch.ids, document_ids=batch.document_ids)[counted].float().softmax(dim=-1)
        said = student(batch.ids, document_ids=batch.document_ids)[counted].float().log_softmax(dim=-1)
        return -(wanted * said).sum(), counted.sum()

    return loss


def plans() -> dict[str, Plan]:
    """All runs by name."""
    cells = [(width, tokens) for tokens in BUDGETS for width in WIDTHS]
    runs = [Plan(*cell, seed) for cell in cells for seed in SEEDS if seed == 0 or cell[1] <= REPEATED]
    runs += [
        Plan(w, tokens, rates=rates)
        for tokens in TRIED_BUDGETS
        for w in TRIED_WIDTHS
        for rates in OTHER_RATES
    ]
    runs += [Plan(*STUDENT, seed, taught=True) for seed in SEEDS]
    return {run.name: run for run in runs}


def made(course: Course, series: Series, plan: Plan) -> dict[str, Any]:
    """What a run came to."""
    if not plan.taught:
        return series.run(plan)
    teacher = course.stage("base").language_model
    found = series.run(plan, taught_by(teacher))
    return found | {"teacher": series.measured(teacher)}


def main() -> None:
    """Train what is missing, the cheap first, and write after every run."""
    root = sys.argv[1] if len(sys.argv) > 1 else None
    last_start = time.monotonic() + float(sys.argv[2]) if len(sys.argv) > 2 else float("inf")
    course, all_plans = Course("cpu", root), plans()
    vocab_size = course.preset.base.model.vocab_size
    series = cache(lambda: Series(course))

    def make(plan: Plan) -> dict[str, Any]:
        return made(course, series(), plan)

    recorder = Recorder("scaling", list(all_plans))
    for name, plan in sorted(all_plans.items(), key=lambda item: item[1].cost):
        if time.monotonic() > last_start:
            return
        changes = asdict(plan) | {"model": asdict(shape(plan.width, vocab_size)), "recipe": plan.recipe}
        changes |= {"rows": ROWS, "corpus": CORPUS.settings()}
        made_from = {stage: course.key(stage) for stage in ("tokenizer", "base")[: 1 + plan.taught]}
        decided_by = {"changes": changes, "made_from": made_from}
        recorder.record(name, decided_by, partial(make, plan))


if __name__ == "__main__":
    main()
