"""The stage `grpo`: a policy, the assistant optimised on tasks whose answers a program checks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from minillm.data.conversations import TaskConversations
from minillm.data.judge import verify
from minillm.data.source import Source
from minillm.data.step_sums import steps_share
from minillm.data.tasks import FAMILIES, GRPO_SEED, GRPO_TEST_SEED, Task, Tasks, held_out_tasks
from minillm.evaluate import (
    answer_tasks,
    evaluate_policy,
    evaluate_tasks,
    fitting_tasks,
    guess_chance,
    pass_at_k,
    sample_counts,
    verifiable_families,
    verified_share,
)
from minillm.model.gpt import GPT
from minillm.presets import Preset
from minillm.recipes.policies import DISTANCE_LABEL, TRAINING_LABELS
from minillm.recipes.stage import Figures, Job, Stage, Trained
from minillm.stages.grpo import GRPOConfig, train_by_check

__all__ = ["GRPO"]

_SHOWN_TASKS = 10  # of those that the policy is watched on while it trains, with answers in the log
_SAMPLED_EVERY = 4  # one in so many held-out tasks is answered eight times at temperature 1
_SAMPLES = 8


def train(job: Job[GRPOConfig]) -> Trained:
    """Optimise a copy of the assistant on the families whose answers can be checked."""
    sft, source = job.parents["sft"], _checked(job.sources)
    tasks = Tasks("train", _families(source), steps=source.steps)
    policy, figures = train_by_check(
        job.config,
        sft.language_model,
        sft.tokenizer,
        lambda number: tasks.task(GRPO_SEED, number),
        job,
        look=steps_share,
        evaluate=_watch(job),
    )
    return Trained(tokenizer=sft.tokenizer, model=policy, figures=figures)


def accepts(sources: Mapping[str, Source]) -> None:
    """Refuse conversations that no program can check."""
    _checked(sources)


def _checked(sources: Mapping[str, Source]) -> TaskConversations:
    """The conversations, which must be built-in tasks of a family that can be checked."""
    source = sources["conversations"]
    if not isinstance(source, TaskConversations):
        raise ValueError(
            f"no program knows which answers to the conversations of {source.name} are right; leave the stage grpo "
            "out, or call minillm.stages.grpo.train_by_check with a check of your own"
        )
    if not _families(source):
        raise ValueError(
            f"conversations.families is {list(source.families or ())}, of which no answer can be checked; "
            f"take one of {', '.join(verifiable_families(FAMILIES))} too"
        )
    return source


def _families(source: TaskConversations) -> list[str]:
    """The families of the conversations whose answers can be checked."""
    return verifiable_families(FAMILIES if source.families is None else source.families)


def _watch(job: Job[GRPOConfig]) -> Callable[[GPT], dict[str, Any]] | None:
    """What a policy gets right on the way, of tasks that nothing else uses; None where none fits the context."""
    sft = job.parents["sft"]
    families = _families(_checked(job.sources))
    tokenizer, limit = sft.tokenizer, job.config.max_new_tokens
    stream = Tasks("test", families).tasks(job.test_tasks, GRPO_TEST_SEED)
    tasks = fitting_tasks(stream, sft.language_model, tokenizer)
    if not tasks:
        return None

    def watch(policy: GPT) -> dict[str, Any]:
        told: dict[str, Any] = {}
        for name, temperature in (("greedy", 0.0), ("sampled", 1.0)):
            answers = answer_tasks(policy, tokenizer, tasks, temperature, max_new_tokens=limit).answers
            told[f"held_out_{name}"] = verified_share(tasks, answers)
            told[f"held_out_{name}_tokens"] = sum(len(answer.ids) for answer in answers) / len(answers)
            if name == "greedy":
                told["shown"] = [
                    {"prompt": task.question, "answer": answer.text, "right": verify(task, answer.text)}
                    for task, answer in zip(tasks[:_SHOWN_TASKS], answers, strict=False)
                ]
        return told

    return watch


def test(job: Job[GRPOConfig], trained: Trained) -> Figures:
    """The policy on all held-out tasks; on those that can be checked also sampled, beside the assistant and chance."""
    device, tokenizer, policy = job.runtime.device, trained.tokenizer, trained.language_model
    reference = job.parents["sft"].language_model.to(device)
    families = _families(_checked(job.sources))
    tasks = fitting_tasks(held_out_tasks(job.test_tasks, families), policy, tokenizer)
    if not tasks:
        return {}
    examined = evaluate_tasks(policy, tokenizer, job.test_tasks)
    own = [i for i, task in enumerate(examined.tasks) if task.family in families]
    share = verified_share([examined.tasks[i] for i in own], [examined.answers[i] for i in own])
    figures: Figures = examined.figures() | ({} if share is None else {"verified_share": share})
    report, before = (evaluate_policy(model, reference, tokenizer, tasks) for model in (policy, reference))
    few = tasks[::_SAMPLED_EVERY]
    return {
        **figures,
        "verified_share_sampled": verified_share(tasks, report.answers),
        "verified_share_sampled_before": verified_share(tasks, before.answers),
        "kl_per_response": report.figures()["kl_per_response"],
        "sampled_tokens": report.figures()["mean_tokens"],
        "sampled_tokens_before": before.figures()["mean_tokens"],
        **_pass_rates(policy, few, job, ""),
        **_pass_rates(reference, few, job, "_before"),
        **{f"pass_at_{k}_chance": guess_chance(tasks, k) for k in (1, _SAMPLES)},
    }


def _pass_rates(model: GPT, tasks: list[Task], job: Job[GRPOConfig], when: str) -> Figures:
    """How often one of k sampled answers is right."""
    counts = sample_counts(model, job.parents["sft"].tokenizer, tasks, _SAMPLES)
    return {
        f"pass_at_{k}{when}": sum(pass_at_k(_SAMPLES, count, k) for count in counts) / len(counts)
        for k in (1, _SAMPLES)
    }


def headline(figures: Figures) -> str:
    """The share that is right, where the answers are sampled as in training, and the distance."""
    if "verified_share_sampled" in figures:
        before, after = figures["verified_share_sampled_before"], figures["verified_share_sampled"]
        return f"sampled answers right: {before:.0%} -> {after:.0%}, greedy {figures['verified_share']:.0%}"
    return f"answers right in training: {figures['train_reward']:.0%}"


def tokens(preset: Preset) -> int:
    """Answers counted as if each filled the context."""
    config = preset.grpo
    return config.iterations * config.prompts * config.answers * preset.context_length


def passes(preset: Preset) -> float:
    """An answer is sampled (1), read by the policy and, with a leash, by the reference, and learned from (3)."""
    return 2 + bool(preset.grpo.kl_coef) + 3 * preset.grpo.epochs


GRPO = Stage(
    name="grpo",
    parents=("sft",),
    reads=("conversations",),
    config=GRPOConfig,
    output="answers",
    train=train,
    test=test,
    headline=headline,
    labels={
        **TRAINING_LABELS,
        "train_reward": "right answers at the end of training (share)",
        "train_mixed_groups": "groups with right and wrong answers, at the end of training (share)",
        "train_steps_share": "answers to sums that work something out, at the end of training (share)",
        "verified_share_sampled": "the same of answers sampled at temperature 1 (share)",
        "verified_share_sampled_before": "the same, of the fine-tuned model (share)",
        **DISTANCE_LABEL,
        "sampled_tokens": "mean length of a sampled answer (tokens)",
        "sampled_tokens_before": "the same, of the fine-tuned model (tokens)",
        "pass_at_1": "tasks right at one try, of a quarter of them (share)",
        f"pass_at_{_SAMPLES}": "tasks right at one of eight tries (share)",
        "pass_at_1_before": "tasks right at one try, of the fine-tuned model (share)",
        f"pass_at_{_SAMPLES}_before": "tasks right at one of eight tries, of the fine-tuned model (share)",
        "pass_at_1_chance": "tasks right by one blind guess (share)",
        f"pass_at_{_SAMPLES}_chance": "tasks right by one of eight blind guesses (share)",
    },
    tokens=tokens,
    passes=passes,
    validated=False,
    tested_on_tasks=True,
    needs={
        "verifier": "no program knows which answers to your own conversations are right; in Python give "
        "minillm.stages.grpo.train_by_check a check of yours"
    },
    accepts=accepts,
)
