"""A slice of preset gpu: its base stage with its shape, shards, compiler, optimizers and checkpoints, on local text.

A step has two micro batches where the preset's has sixteen, and there are as many steps as the time is enough for.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from minillm.costs import n_parameters
from minillm.course import Course
from minillm.model.config import GPTConfig
from minillm.presets import PRESETS, Preset
from minillm.recipes import stage_tokens
from minillm.train.compiling import COMPILE_PAYS
from minillm.train.runtime import has_cpp_compiler
from trial.device import free_memory, gigabytes, peak_flops, peak_memory, runtime, timed, utilisation
from trial.local import local_corpus, log_lines, step_seconds, without_tests
from trial.session import Trial
from trial.speed import OURS, big_shape, fitting_rows, our_program

__all__ = ["run", "would_compile"]

_MICRO_BATCHES = 2  # of a step
_COMPILING = 45.0  # seconds, where no part before has measured it
_AGAIN = 0.6  # of the time that compiling took, where another part has done it before
_SAVING = 8.0  # seconds, with tokenizing
_MOST_STEPS = 300


def run(trial: Trial) -> None:
    """Train, and read the log, also where the time ends before the training."""
    without_tests()
    shape = big_shape(trial.quick)
    most = PRESETS["gpu"].base.fit.micro_batch_rows or 32
    micro = 1 if trial.quick else fitting_rows(shape, trial.device, most)
    preset = _with_local_text(trial, shape)
    compile, steps = _plan(trial, preset, micro)
    rows = _MICRO_BATCHES * micro
    fit = {"steps": steps, "micro_batch_rows": micro, "validate_every": None, "checkpoint_every": steps}
    options: dict[str, Any] = {
        "runtime": runtime(trial, compile=compile),
        "progress": False,
        "base": {"rows": rows, "fit": fit},
    }
    course = Course(preset, trial.scratch, **options)
    trial.record(rows=rows, micro_batch_rows=micro, planned_steps=steps, compile=compile)
    free_memory(trial.device)
    try:
        figures = course.stage("base").figures
        trial.record(seconds=figures["seconds"], training_seconds=figures["training_seconds"])
    finally:
        trial.record(**_measured(trial, course))
    trial.check(trial.figures["last_loss"] < trial.figures["first_loss"], "the loss falls")


def _with_local_text(trial: Trial, shape: GPTConfig) -> Preset:
    """The preset on local text, and its tokenizer trained."""
    corpus = local_corpus(trial.text, trial.scratch, 200_000 if trial.quick else 12_000_000)
    gpu = PRESETS["gpu"]
    preset = replace(gpu, corpus=corpus, base=replace(gpu.base, model=shape, validation_tokens=4_096))
    figures = Course(preset, trial.scratch, runtime=runtime(trial), progress=False).stage("tokenizer").figures
    size = figures["vocab_size"]
    trial.record(text=corpus.description, vocab_size=size, tokenizer_seconds=figures["seconds"])
    if size < shape.vocab_size:
        trial.note(f"the text has no more than {size:,} tokens to learn: the model is smaller")
    return preset


def would_compile(preset: Preset) -> bool:
    """Whether the base stage of a preset is so long that "auto" compiles it on a GPU."""
    shape, fit = preset.base.model, preset.base.fit
    return n_parameters(shape) * preset.base.rows * shape.context_length * fit.steps >= COMPILE_PAYS["cuda"]


def _plan(trial: Trial, preset: Preset, micro: int) -> tuple[bool, int]:
    """Whether to compile, and how many steps fit into the time, by the time of an eager one."""
    if trial.quick:
        return False, 4
    program = our_program(preset.base.model, micro, runtime(trial))
    step = _MICRO_BATCHES * timed(lambda: program.step(program.batch), trial.device)
    before = trial.earlier.get("speed", {}).get("compile_seconds", {}).get(OURS)
    compiling = _COMPILING if before is None else _AGAIN * before
    compile = has_cpp_compiler() and compiling < 0.6 * trial.left()
    left = 0.8 * (trial.left() - (compiling if compile else 0.0)) - _SAVING
    return compile, int(max(8, min(_MOST_STEPS, left / step)))


def _measured(trial: Trial, course: Course) -> dict[str, Any]:
    """What the log and the device tell."""
    lines = log_lines(course.folder("base"))
    seconds = step_seconds(lines)
    found: dict[str, Any] = {"steps": len(lines), "peak_memory_gb": gigabytes(peak_memory(trial.device))}
    if seconds is None:
        return found
    shape = course.preset.base.model
    shape = replace(shape, vocab_size=trial.figures["vocab_size"])
    tokens = course.preset.base.rows * shape.context_length / seconds
    name = torch.cuda.get_device_name() if trial.device == "cuda" else trial.device
    peak, _ = peak_flops(name, course.runtime.precision)
    return found | {
        "first_loss": lines[0]["loss"],
        "last_loss": lines[-1]["loss"],
        "tokens_per_second": round(tokens),
        "utilisation": utilisation(shape, tokens, peak),
        "hours_of_the_whole_stage": round(stage_tokens(PRESETS["gpu"])["base"] / tokens / 3600, 2),
    }
