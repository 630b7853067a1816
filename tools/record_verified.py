"""Make the recording of the stage `grpo` beside its assistant: 64 answers of each to tasks that a program checks.

python tools/record_verified.py [FOLDER OF RUNS] [SEED ...]

Trains what is missing, then about four minutes a seed on one core, and writes minillm/recordings/verified.json. A seed
that is recorded already, of the same stages, is not repeated.
"""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

from recorder import Recorder

from minillm.course import Course
from minillm.data.tasks import FAMILIES, GRPO_TEST_SEED, Task, Tasks
from minillm.evaluate import fitting_tasks, guess_chance, sample_counts, verifiable_families
from minillm.model.gpt import GPT
from minillm.stages.sft import answer_losses
from minillm.text.tokenizer import Tokenizer

SEEDS = (0, 1, 2)
EACH = 30  # tasks of each family at most: those that leave room for an answer
HALF = 32  # answers to each task, twice: one half chooses tasks, the other tells of them
COUNTS = (1, 2, 4, 8, 16, 32, 64)  # of blind guesses


def halves(model: GPT, tokenizer: Tokenizer, tasks: list[Task]) -> list[list[int]]:
    """For each task how many of 32 answers are right, and how many of 32 others."""
    counts = [sample_counts(model, tokenizer, tasks, HALF, seed=seed, max_new_tokens=80) for seed in (0, 1)]
    return [list(pair) for pair in zip(*counts, strict=True)]


def run(course: Course) -> dict[str, Any]:
    """Assistant and policy of a seed, family by family, and what both expect of plain text."""
    preset, stages = course.preset, {name: course.stage(name) for name in ("sft", "grpo")}
    families = {}
    for family in verifiable_families(FAMILIES):
        stream = Tasks("test", [family]).tasks(EACH, GRPO_TEST_SEED)
        tasks = fitting_tasks(stream, stages["sft"].language_model, stages["sft"].tokenizer)
        families[family] = {"chance": {str(k): guess_chance(tasks, k) for k in COUNTS}} | {
            name: halves(stage.language_model, stage.tokenizer, tasks) for name, stage in stages.items()
        }
    return {
        "families": families,
        "corpus_loss": {
            name: answer_losses(
                preset.sft, stage.language_model, stage.tokenizer, preset.conversations, preset.corpus
            )["corpus_loss"]
            for name, stage in stages.items()
        },
        "accuracy": {name: stage.figures["accuracy"] for name, stage in stages.items()},
    }


def main() -> None:
    """Train what is missing, write after every seed."""
    root = sys.argv[1] if len(sys.argv) > 1 else None
    seeds = [int(seed) for seed in sys.argv[2:]] or SEEDS
    recorder = Recorder("verified", [f"seed {seed}" for seed in SEEDS])
    for seed in seeds:
        course = Course("cpu", root, seed=seed)
        decided_by = {name: course.key(name) for name in ("sft", "grpo")} | {"examined": [EACH, HALF]}
        recorder.record(f"seed {seed}", decided_by, partial(run, course))


if __name__ == "__main__":
    main()
