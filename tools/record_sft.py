"""Make the recording of chapter 05: sums learned with their steps and without, and the assistants of three seeds.

python tools/record_sft.py [FOLDER OF RUNS] [SEED ...]

Fine-tunes copies of the base model of each seed on sums only, for several lengths of training: about a minute a
seed on one core (and the stages before it, where they are missing). Writes minillm/recordings/sft.json. A run that is
recorded already, with the same settings, is not repeated.
"""

from __future__ import annotations

import copy
import sys
from dataclasses import asdict
from functools import partial
from typing import Any

from recorder import Recorder

from minillm.course import Course
from minillm.data.conversations import TaskConversations
from minillm.data.tasks import Task, held_out_tasks
from minillm.evaluate import answer_tasks, text_statistics
from minillm.stages.sft import SFTConfig, fine_tune
from minillm.train.config import FitConfig
from minillm.train.options import RunOptions

SEEDS = (0, 1, 2)  # of the assistants
SUM_SEEDS = (0,)  # of the sums
LENGTHS = {"in steps": (140, 280), "result only": (140, 560)}  # steps of the optimizer
N_SUMS = 200  # held out, to examine
RUNS = {f"{kind}, {length} steps": (kind, length) for kind, lengths in LENGTHS.items() for length in lengths}
ASSISTANT = "assistant"  # the stage itself, as it was examined
ORDER = [f"{ASSISTANT}, seed {seed}" for seed in SEEDS]
ORDER += [f"{name}, seed {seed}" for name in RUNS for seed in SUM_SEEDS]


def settings(kind: str, length: int) -> tuple[SFTConfig, TaskConversations]:
    """The training of a run and its sums, of which no training has enough to see one twice."""
    fit = FitConfig(length, "adamw", learning_rate=2e-3, warmup_share=0.1)
    sums = TaskConversations(24_000, 100, ("arithmetic",), steps=kind == "in steps")
    return SFTConfig(fit, rows=2, pretraining_share=0.0), sums


def n_steps(task: Task) -> int:
    """Of a sum: the sentences of its worked answer, without the last one, which says the result."""
    return task.answer.count(" is ") - 1


def run(course: Course, kind: str, length: int) -> dict[str, Any]:
    """One run: trained, and examined on held-out sums."""
    base = course.stage("base")
    model = copy.deepcopy(base.language_model)
    config, sums = settings(kind, length)
    options = RunOptions(seed=course.preset.seed, runtime=course.runtime, progress=False)
    figures = fine_tune(
        config, model, base.tokenizer, sums, course.preset.corpus, options, new_control_tokens=True
    )
    tasks = held_out_tasks(N_SUMS, ["arithmetic"])
    report = answer_tasks(model.eval(), base.tokenizer, tasks, max_new_tokens=60)
    right: dict[str, list[bool]] = {"one step": [], "two steps": []}
    for task, verdict in zip(tasks, report.verdicts, strict=True):
        right["one step" if n_steps(task) == 1 else "two steps"].append(verdict.is_correct)
    return {
        "right": {number: sum(marks) for number, marks in right.items()},
        "asked": {number: len(marks) for number, marks in right.items()},
        "mean_tokens": text_statistics(report.answers).mean_tokens,
        "tokens": figures["tokens"],  # of answers, examined in training
        "epochs": figures["epochs"],
    }


def examined(course: Course) -> dict[str, Any]:
    """The tasks that the assistant of a seed has done: the share of all, and of each family."""
    summary = course.stage("sft").summary
    return {name: summary[name] for name in ("task_accuracy", "accuracy")}


def main() -> None:
    """Train what is missing, write after every run."""
    root = sys.argv[1] if len(sys.argv) > 1 else None
    recorder = Recorder("sft", ORDER)
    for seed in [int(seed) for seed in sys.argv[2:]] or SEEDS:
        course = Course("cpu", root, seed=seed)
        decided_by = {"changes": {"seed": seed}, "sft": course.key("sft")}
        recorder.record(f"{ASSISTANT}, seed {seed}", decided_by, partial(examined, course))
        for name, (kind, length) in RUNS.items() if seed in SUM_SEEDS else ():
            config, sums = settings(kind, length)
            changes = {"seed": seed, "sft": asdict(config), "sums": asdict(sums)}
            decided_by = {"changes": changes, "base": course.key("base")}
            recorder.record(f"{name}, seed {seed}", decided_by, partial(run, course, kind, length))


if __name__ == "__main__":
    main()
