"""A few steps of every stage of preset colab, on local text, and the time that the whole graph would take.

That is counted from the time of a step and the tokens of all steps (`minillm.recipes.stage_tokens`); tests, tokenizing
and downloads come on top. Answers of a model that has hardly learned go on to their limit, so the times of sampling
and PPO are upper bounds.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Any

from minillm.course import Course
from minillm.data.answers import answer_prompts
from minillm.data.conversations import TaskConversations, leaves_room
from minillm.data.preferences import SampledPreferences
from minillm.data.tasks import DOMAINS, PREFERENCE_SEED, Tasks
from minillm.presets import PRESETS, Preset
from minillm.recipes import STAGES, stage_flops, stage_tokens
from trial.device import free_memory, gigabytes, peak_memory, runtime
from trial.local import GivenAnswers, local_corpus, log_lines, step_seconds, without_tests
from trial.session import Trial
from trial.slice import would_compile

__all__ = ["run"]

_STEPS = {"base": 24, "sft": 16, "reward": 12, "dpo": 12, "ppo": 3, "lora": 12}  # of each stage
_COMPILING = 25.0  # seconds, about
_SAMPLED = 256  # answers


def run(trial: Trial) -> None:
    """Train every stage for a few steps, quickly of the smallest preset; add up what all of it would take."""
    without_tests()
    whole = PRESETS["smoke" if trial.quick else "colab"]
    preset = _shortened(trial, whole)
    compile = not trial.quick and would_compile(whole) and trial.left() > 3 * _COMPILING
    courses = {
        pays: Course(preset, trial.scratch, runtime=runtime(trial, compile=pays), progress=False)
        for pays in (False, compile)
    }
    trial.record(
        precision=courses[False].runtime.precision, base_compiled=compile, text=preset.corpus.description
    )
    found: dict[str, Any] = {}
    for name in STAGES:
        course = courses[compile and name == "base"]
        trial.record(under_way=name)
        free_memory(trial.device)
        before = time.perf_counter()
        course.stage(name)
        found[name] = {"seconds": round(time.perf_counter() - before, 1)}
        if name in _STEPS:
            found[name] |= _measured(trial, course, name, whole)
        if name == "sft":
            found["sampling for preferences"] = _sampling(trial, course, whole)
        minutes = sum(figures.get("whole_seconds", 0.0) for figures in found.values()) / 60
        trial.record(stages=found, minutes_of_these_stages_as_a_whole=round(minutes, 1))
    trial.record(under_way=None)


def _shortened(trial: Trial, preset: Preset) -> Preset:
    """The preset with local text and few steps, its shapes and rows as they are."""
    corpus = local_corpus(trial.text, trial.scratch, 200_000 if trial.quick else 3_000_000)
    few = {name: 2 if trial.quick else steps for name, steps in _STEPS.items()}

    def shorter(fit: Any, name: str) -> Any:
        return replace(fit, steps=few[name], validate_every=None)

    training = replace(
        preset.lora.training, fit=shorter(preset.lora.training.fit, "lora"), corpus_documents=4
    )
    prompts = 2 * few["reward"] * preset.reward.prompts
    return replace(
        preset,
        corpus=corpus,
        base=replace(preset.base, fit=shorter(preset.base.fit, "base"), validation_tokens=2_048),
        conversations=TaskConversations(n_train=200 if trial.quick else 3_000, n_validation=10),
        sft=replace(preset.sft, fit=shorter(preset.sft.fit, "sft"), corpus_documents=4),
        preferences=GivenAnswers(n_train=prompts, n_validation=20),
        reward=replace(preset.reward, fit=shorter(preset.reward.fit, "reward")),
        dpo=replace(preset.dpo, fit=shorter(preset.dpo.fit, "dpo")),
        ppo=replace(preset.ppo, iterations=few["ppo"], evaluate_every=1_000),
        domain=TaskConversations(100, 10, tuple(DOMAINS["help desk"])),
        lora=replace(preset.lora, training=training),
        test_tasks=1,
    )


def _measured(trial: Trial, course: Course, name: str, whole: Preset) -> dict[str, Any]:
    """The time of a step, and from it that of the whole stage."""
    folder = course.folder(name)
    if name == "ppo":
        parts = ("seconds_sampling", "seconds_scoring", "seconds_learning")
        times = [sum(line[part] for part in parts) for line in log_lines(folder)]
        seconds: float | None = statistics.median(times[len(times) > 1 :])
    elif name == "lora":  # full fine-tuning and the adapter, as many steps each
        both = [step_seconds(log_lines(one)) for one in (folder, folder / "full")]
        seconds = None if None in both else sum(value for value in both if value is not None) / 2
    else:
        seconds = step_seconds(log_lines(folder))
    found: dict[str, Any] = {"peak_memory_gb": gigabytes(peak_memory(trial.device))}
    if seconds is None:
        return found
    steps = _steps(course.preset, name)
    tokens = stage_tokens(course.preset)[name] / steps / seconds
    return found | {
        "steps": steps,
        "seconds_per_step": round(seconds, 4),
        "tokens_per_second": round(tokens),
        "tflops": round(stage_flops(course.preset)[name] / steps / seconds / 1e12, 3),
        "whole_seconds": round(stage_tokens(whole)[name] / tokens, 1),
    }


def _steps(preset: Preset, name: str) -> int:
    """Steps of a stage, or iterations of PPO; LoRA trains twice."""
    if name == "ppo":
        return preset.ppo.iterations
    if name == "lora":
        return 2 * preset.lora.training.fit.steps
    steps: int = getattr(preset, name).fit.steps
    return steps


def _sampling(trial: Trial, course: Course, whole: Preset) -> dict[str, Any]:
    """The time of answers as the stage `preferences` samples them."""
    artifact, source = course.stage("sft"), whole.preferences
    assert isinstance(source, SampledPreferences)
    n = 8 if trial.quick else _SAMPLED
    room = partial(leaves_room, tokenizer=artifact.tokenizer, context_length=whole.context_length)
    fitting = (task.prompt for task in Tasks("train").tasks(4 * n, PREFERENCE_SEED) if room(task.prompt))
    prompts = list(islice(fitting, n))
    limit = 8 if trial.quick else source.max_new_tokens
    model = artifact.language_model.to(trial.device)
    answer_prompts(model, artifact.tokenizer, prompts[:4], limit, source.temperature)  # warm-up
    before = time.perf_counter()
    answer_prompts(model, artifact.tokenizer, prompts, limit, source.temperature)
    each = (time.perf_counter() - before) / len(prompts)
    all_of_them = (source.n_train + source.n_validation) * source.answers
    return {"answers_per_second": round(1 / each, 1), "whole_seconds": round(all_of_them * each, 1)}
