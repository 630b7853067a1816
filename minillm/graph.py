"""The nodes of the course's graph: for each stage its parents, what decides it, and how it is trained and tested.

Here the stages meet the judge: training functions get data and models, and what they made is evaluated afterwards.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minillm.artifact import Artifact
from minillm.data.conversations import TaskConversations
from minillm.data.corpora import Corpus, WorldCorpus
from minillm.data.preferences import write_comparisons
from minillm.data.tasks import PPO_TEST_SEED, Tasks
from minillm.evaluate import (
    answer_tasks,
    domain_comparison,
    domain_figures,
    evaluate_base,
    evaluate_policy,
    evaluate_tasks,
    fitting_tasks,
    reward_figures,
    win_rate,
)
from minillm.model.gpt import GPT
from minillm.model.heads import RewardModel
from minillm.presets import Preset
from minillm.stages.lora import ADAPTER, FULL, adapt
from minillm.stages.ppo import ppo
from minillm.stages.pretrain import pretrain
from minillm.stages.reward import fitting_comparisons, reward, score_comparisons
from minillm.stages.sft import sft
from minillm.stages.tokenizer import train_tokenizer
from minillm.text.tokenizer import Tokenizer
from minillm.train.runtime import from_main

if TYPE_CHECKING:
    from minillm.course import Course

__all__ = ["COMPARISONS", "HELD_OUT_COMPARISONS", "STAGES", "Stage"]

COMPARISONS, HELD_OUT_COMPARISONS = "comparisons.jsonl", "comparisons_held_out.jsonl"
_SHOWN_TASKS = 10  # of those that PPO is evaluated on while it runs, with answers in the log
_SAMPLED_EVERY = 4  # one in so many held-out tasks is answered at temperature 1 as well


@dataclass(frozen=True)
class Stage:
    """One node of the graph.

    Attributes:
        name: of the stage.
        parents: the stages that it starts from.
        version: raised when the stage's code changes what comes out, so that older artifacts are not reused.
        data: one sentence on what it is trained on, for the model card.
        settings: what decides the result beside the parents, as JSON values.
        train: (course, parents by name, folder) -> figures; writes tokenizer and model into the folder.
    """

    name: str
    parents: tuple[str, ...]
    version: int
    data: Callable[[Preset], str]
    settings: Callable[[Preset], dict[str, Any]]
    train: Callable[[Course, dict[str, Artifact], Path], dict[str, Any]]


def _tokenizer_settings(preset: Preset) -> dict[str, Any]:
    return {"corpus": preset.corpus.settings(), **asdict(preset.tokenizer)}


def _train_tokenizer(course: Course, parents: dict[str, Artifact], folder: Path) -> dict[str, Any]:
    if not course.runtime.is_main:
        return {}
    return train_tokenizer(course.preset.tokenizer, course.preset.corpus, folder, progress=course.progress)


def _base_settings(preset: Preset) -> dict[str, Any]:
    return {"corpus": preset.corpus.settings(), "seed": preset.seed, **asdict(preset.base)}


def _train_base(course: Course, parents: dict[str, Artifact], folder: Path) -> dict[str, Any]:
    tokenizer, corpus = parents["tokenizer"].tokenizer, course.preset.corpus
    figures = pretrain(
        course.preset.base,
        tokenizer,
        corpus,
        folder,
        tokens=course.folder("tokenizer").with_name(f"tokens-{course.key('tokenizer')}"),
        seed=course.preset.seed,
        runtime=course.runtime,
        progress=course.progress,
    )
    worlds = _worlds(corpus)
    if course.runtime.is_main and worlds:
        model = GPT.from_pretrained(folder).eval().to(course.runtime.device)
        figures |= evaluate_base(model, tokenizer, worlds[0].n_documents)
        figures |= {
            name: value
            for name, value in _tasks(model, tokenizer, course.preset.test_tasks).items()
            if name == "task_accuracy"
        }
    return figures


def _worlds(corpus: Corpus) -> list[WorldCorpus]:
    """The parts of a corpus that are the micro-world."""
    return [part for part in getattr(corpus, "parts", (corpus,)) if isinstance(part, WorldCorpus)]


def _sft_settings(preset: Preset) -> dict[str, Any]:
    return {"conversations": preset.conversations.settings(), "seed": preset.seed, **asdict(preset.sft)}


def _train_sft(course: Course, parents: dict[str, Artifact], folder: Path) -> dict[str, Any]:
    base, preset = parents["base"], course.preset
    model = GPT.from_pretrained(base.folder)
    figures = sft(
        preset.sft,
        model,
        base.tokenizer,
        preset.conversations,
        preset.corpus,
        folder,
        seed=preset.seed,
        runtime=course.runtime,
        progress=course.progress,
    )
    if course.runtime.is_main and isinstance(preset.conversations, TaskConversations):
        figures |= _tasks(model, base.tokenizer, preset.test_tasks)
    return figures


def _tasks(model: GPT, tokenizer: Tokenizer, n: int) -> dict[str, Any]:
    """The figures of a model on n held-out tasks of each family; none where its context is too short for any."""
    report = evaluate_tasks(model, tokenizer, n)
    return report.figures() if report.tasks else {}


def _reward_settings(preset: Preset) -> dict[str, Any]:
    return {"preferences": preset.preferences.settings(), "seed": preset.seed, **asdict(preset.reward)}


def _train_reward(course: Course, parents: dict[str, Artifact], folder: Path) -> dict[str, Any]:
    started = time.perf_counter()
    preset, tokenizer = course.preset, parents["sft"].tokenizer
    sft_model = GPT.from_pretrained(parents["sft"].folder).eval().to(course.runtime.device)
    (train, counts), (held_out, _) = from_main(
        lambda: [
            preset.preferences.comparisons(split, sft_model, tokenizer) for split in ("train", "validation")
        ],
        course.runtime,
    )
    held_out = fitting_comparisons(held_out, tokenizer, sft_model.config.context_length)
    sampled = time.perf_counter()
    figures = reward(
        preset.reward,
        sft_model,
        tokenizer,
        train,
        held_out,
        folder,
        seed=preset.seed,
        runtime=course.runtime,
        progress=course.progress,
    )
    if course.runtime.is_main:
        write_comparisons(folder / COMPARISONS, train)
        write_comparisons(folder / HELD_OUT_COMPARISONS, held_out)
        model = RewardModel.from_pretrained(folder).eval().to(course.runtime.device)
        figures |= reward_figures(held_out, score_comparisons(model, tokenizer, held_out))
    return figures | {
        "identical_pairs": counts["identical"] / counts["pairs"],
        "truncated_pairs": counts["truncated"] / counts["pairs"],
        "sampling_seconds": round(sampled - started, 2),
        "seconds": round(max(time.perf_counter() - started, figures["seconds"]), 2),
    }


def _ppo_settings(preset: Preset) -> dict[str, Any]:
    return {"conversations": preset.conversations.settings(), "seed": preset.seed, **asdict(preset.ppo)}


def _train_ppo(course: Course, parents: dict[str, Artifact], folder: Path) -> dict[str, Any]:
    started = time.perf_counter()
    preset, tokenizer, device = course.preset, parents["sft"].tokenizer, course.runtime.device
    policy = GPT.from_pretrained(parents["sft"].folder).eval().to(device)
    reference = GPT.from_pretrained(parents["sft"].folder).eval().to(device)
    reward_model = RewardModel.from_pretrained(parents["reward"].folder).eval().to(device)
    judged = isinstance(preset.conversations, TaskConversations)
    tasks = (
        fitting_tasks(Tasks("test").tasks(preset.test_tasks, PPO_TEST_SEED), policy, tokenizer)
        if judged
        else []
    )

    def watch(policy: GPT) -> dict[str, Any]:
        limit = preset.ppo.max_new_tokens
        report = evaluate_policy(policy, reference, tokenizer, tasks, reward_model, max_new_tokens=limit)
        shown = answer_tasks(policy, tokenizer, tasks[:_SHOWN_TASKS], max_new_tokens=limit)
        return {
            **{f"held_out_{name}": value for name, value in report.figures().items()},
            "shown": [
                {"prompt": task.question, "answer": answer.text, "gold": round(score, 4)}
                for task, answer, score in zip(shown.tasks, shown.answers, shown.scores, strict=True)
            ],
        }

    figures = ppo(
        preset.ppo,
        policy,
        reward_model,
        tokenizer,
        preset.conversations.prompt,
        folder,
        evaluate=watch if tasks else None,
        seed=preset.seed,
        runtime=course.runtime,
        progress=course.progress,
    )
    if course.runtime.is_main and judged:
        figures |= _against_reference(policy, reference, reward_model, tokenizer, preset.test_tasks)
    return figures | {"seconds": round(max(time.perf_counter() - started, figures["seconds"]), 2)}


def _against_reference(
    policy: GPT, reference: GPT, reward_model: RewardModel, tokenizer: Tokenizer, n: int
) -> dict[str, Any]:
    """A policy on the held-out tasks beside the model it started from: greedy answers, and sampled ones."""
    greedy, greedy_before = (evaluate_tasks(model, tokenizer, n) for model in (policy, reference))
    if not greedy.tasks:
        return {}
    tasks = greedy.tasks[::_SAMPLED_EVERY]
    sampled, sampled_before = (
        evaluate_policy(model, reference, tokenizer, tasks, reward_model) for model in (policy, reference)
    )
    return {
        **greedy.figures(),
        "win_rate_vs_sft": win_rate(greedy.scores, greedy_before.scores).rate,
        "kl_per_response": sampled.figures()["kl_per_response"],
        "sampled": {"win_rate_vs_sft": sampled.win_rate(sampled_before), **sampled.figures()},
    }


def _lora_settings(preset: Preset) -> dict[str, Any]:
    return {"domain": preset.domain.settings(), "seed": preset.seed, **asdict(preset.lora)}


def _train_lora(course: Course, parents: dict[str, Artifact], folder: Path) -> dict[str, Any]:
    """Fine-tune all weights, as the yardstick, then an adapter, and compare what each has learned and forgotten."""
    started = time.perf_counter()
    preset, parent = course.preset, parents["sft"]
    trained, models = {}, {}
    for name, place in ((FULL, folder / FULL), (ADAPTER, folder)):
        models[name] = GPT.from_pretrained(parent.folder)
        trained[name] = adapt(
            preset.lora,
            models[name],
            parent.tokenizer,
            preset.domain,
            preset.corpus,
            place,
            full=name == FULL,
            seed=preset.seed,
            runtime=course.runtime,
            progress=course.progress,
        )
    if not course.runtime.is_main:
        return {}
    if isinstance(preset.domain, TaskConversations):
        before = GPT.from_pretrained(parent.folder).eval().to(course.runtime.device)
        families, n = preset.domain.families, preset.test_tasks
        tested = partial(domain_figures, tokenizer=parent.tokenizer, families=families, n=n // 2, n_known=n)
        before_figures = tested(before, known=parent.figures)
        trained = {name: figures | tested(models[name]) for name, figures in trained.items()}
        trained[ADAPTER] |= {f"{name}_before": value for name, value in before_figures.items()}
    figures = trained[ADAPTER] | domain_comparison(trained[ADAPTER], trained[FULL])
    return figures | {FULL: trained[FULL], "seconds": round(time.perf_counter() - started, 2)}


def _corpus(preset: Preset) -> str:
    return preset.corpus.description


def _conversations(preset: Preset) -> str:
    return f"{preset.conversations.description}; before that, {preset.corpus.description}"


def _preferences(preset: Preset) -> str:
    return f"{preset.preferences.description}; the model before that: {_conversations(preset)}"


def _domain(preset: Preset) -> str:
    return f"{preset.domain.description}; the model before that: {_conversations(preset)}"


STAGES: dict[str, Stage] = {
    stage.name: stage
    for stage in (
        Stage("tokenizer", (), 1, _corpus, _tokenizer_settings, _train_tokenizer),
        Stage("base", ("tokenizer",), 2, _corpus, _base_settings, _train_base),
        Stage("sft", ("base",), 2, _conversations, _sft_settings, _train_sft),
        Stage("reward", ("sft",), 1, _preferences, _reward_settings, _train_reward),
        Stage("ppo", ("sft", "reward"), 1, _preferences, _ppo_settings, _train_ppo),
        Stage("lora", ("sft",), 1, _domain, _lora_settings, _train_lora),
    )
}
