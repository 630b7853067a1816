"""Make the recordings that chapter 08 shows: LoRA and full fine-tuning with other ranks, learning rates and layers.

python tools/record_lora.py [FOLDER OF RUNS] [SEED ...]

Trains the stages before it where they are missing, then about a minute a run, and writes
minillm/recordings/lora.json. A run that is recorded already, with the same settings, is not repeated.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import partial
from typing import Any

from recorder import Recorder

from minillm.course import Course
from minillm.evaluate import domain_figures
from minillm.model.gpt import GPT
from minillm.model.lora import ATTENTION_LAYERS, apply_lora, n_lora_parameters
from minillm.stages.sft import answer_losses, change_of_losses, fine_tune
from minillm.train.options import RunOptions

SEEDS = (0, 1, 2)
PRESET = Course("cpu").preset.lora
LR, FULL_LR = PRESET.training.fit.learning_rate, PRESET.full_learning_rate
# name: what differs from the preset; `full` trains all weights
RUNS: dict[str, dict[str, Any]] = {
    "full, 0.001": {"full": True, "learning_rate": 0.001},
    f"rank 8, {LR:g}": {},
    f"full, {FULL_LR:g}": {"full": True},
    f"rank 8, {LR / 2:g}": {"learning_rate": LR / 2},
    "rank 32": {"rank": 32},
    "attention": {"targets": ATTENTION_LAYERS},
    "full, 0.002": {"full": True, "learning_rate": 0.002},
    f"rank 8, {2 * LR:g}": {"learning_rate": 2 * LR},
    "rank 1": {"rank": 1},
    **{  # the preset's scale alpha / rank kept, a rate of their own
        f"rank {rank}, alpha {PRESET.adapter.scaling * rank:g}, {rate:g}": {
            "rank": rank,
            "alpha": PRESET.adapter.scaling * rank,
            "learning_rate": rate,
        }
        for rank, rate in ((16, 0.001), (32, 0.0006), (64, 0.0004))
    },
}
KEPT = ("train_loss", "val_loss_before", "val_loss", "corpus_loss_before", "corpus_loss", "training_seconds")
TASKS, KNOWN_TASKS = 30, 40  # of each family, that a recorded run is tested on


def run(
    course: Course,
    full: bool = False,
    learning_rate: float | None = None,
    **adapter: Any,
) -> dict[str, Any]:
    """Fine-tune the assistant once, and test it."""
    preset, parent = course.preset, course.stage("sft")
    model = GPT.from_pretrained(parent.folder)
    if not full:
        apply_lora(model, replace(preset.lora.adapter, **adapter), generator=preset.seed)
    training = preset.lora.full_training if full else preset.lora.training
    if learning_rate is not None:
        training = replace(training, fit=replace(training.fit, learning_rate=learning_rate))
    sources = parent.tokenizer, preset.domain, preset.corpus
    before = answer_losses(training, model, *sources)
    options = RunOptions(seed=preset.seed, runtime=course.runtime, progress=False)
    figures = fine_tune(training, model, *sources, options)
    figures |= change_of_losses(before, answer_losses(training, model, *sources))
    tested = domain_figures(model, parent.tokenizer, preset.domain.families, TASKS, KNOWN_TASKS)
    return {
        "figures": {
            "trained_parameters": model.n_parameters if full else n_lora_parameters(model),
            **{name: figures[name] for name in KEPT},
            **tested,
        }
    }


def main() -> None:
    """Train what is missing, write after every run."""
    root = sys.argv[1] if len(sys.argv) > 1 else None
    seeds = [int(seed) for seed in sys.argv[2:]] or SEEDS
    recorder = Recorder("lora", [f"{name}, seed {seed}" for name in RUNS for seed in SEEDS])
    for name, changes in RUNS.items():
        for seed in seeds:
            course = Course("cpu", root, seed=seed)
            decided_by = {"changes": changes | {"seed": seed}, "sft": course.key("sft")}
            recorder.record(f"{name}, seed {seed}", decided_by, partial(run, course, **changes))


if __name__ == "__main__":
    main()
