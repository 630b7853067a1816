"""The whole graph of preset cpu on the device, stage by stage: seconds, and what came out."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from minillm.course import Course
from minillm.presets import PRESETS
from minillm.recipes import STAGES, Figures, Job, Trained, headline
from minillm.stages.pretrain import validation_figures
from trial.device import free_memory, gigabytes, peak_memory, runtime
from trial.local import GivenAnswers
from trial.session import Trial

__all__ = ["run"]

_TINY: dict[str, Any] = {  # on top of preset smoke
    "corpus": {"n_documents": 600, "n_validation": 20},
    "base": {"fit": {"steps": 6, "validate_every": None}},
    "conversations": {"n_train": 200, "n_validation": 10},
    "sft": {"fit": {"steps": 6}, "corpus_documents": 10},
    "reward": {"fit": {"steps": 2}, "prompts": 4},
    "dpo": {"fit": {"steps": 2}, "prompts": 4},
    "ppo": {"iterations": 1, "max_new_tokens": 6},
    "lora": {"training": {"fit": {"steps": 2}}},
    "test_tasks": 1,
}


def run(trial: Trial) -> None:
    """Train and test every stage, as `minillm run` does."""
    options: dict[str, Any] = {
        "root": trial.scratch,
        "runtime": runtime(trial, compile="auto"),
        "progress": False,
    }
    course = _quick_course(options) if trial.quick else Course("cpu", **options)
    found: dict[str, Any] = {}
    trial.record(preset=course.preset.name, precision=course.runtime.precision)
    started = time.perf_counter()
    for name in STAGES:
        trial.record(under_way=name)
        free_memory(trial.device)
        before = time.perf_counter()
        figures = course.stage(name).figures
        found[name] = {
            "seconds": round(time.perf_counter() - before, 1),
            "training_seconds": figures.get("training_seconds"),
            "headline": headline(name, figures),
            "peak_memory_gb": gigabytes(peak_memory(trial.device)),
        }
        trial.record(stages=found, seconds=round(time.perf_counter() - started, 1))
    trial.record(under_way=None)


def _quick_course(options: dict[str, Any]) -> Course:
    """A graph of seconds: its models learn nothing, so that none of their answers has an end."""
    STAGES["base"] = replace(
        STAGES["base"], test=_loss_only
    )  # which leaves out what they are asked about the village
    preset = replace(PRESETS["smoke"], preferences=GivenAnswers(n_train=12, n_validation=6))
    return Course(preset, **options, **_TINY)


def _loss_only(job: Job[Any], trained: Trained) -> Figures:
    return validation_figures(trained.language_model, trained.tokenizer, job.corpus)
