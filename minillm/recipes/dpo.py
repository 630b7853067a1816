"""The stage `dpo`: a policy, the assistant optimised on the annotators' rankings themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minillm.data.comparisons import (
    HELD_OUT_COMPARISONS,
    TRAIN_COMPARISONS,
    Comparison,
    fitting_comparisons,
    load_comparisons,
)
from minillm.evaluate import evaluate_policy, reward_figures
from minillm.model.gpt import GPT
from minillm.presets import Preset
from minillm.recipes.policies import WINS_LABELS, beside_sft, watched_tasks, wins_told
from minillm.recipes.stage import Figures, Job, Stage, Trained
from minillm.stages.dpo import (
    DPOConfig,
    comparison_log_probs,
    implicit_rewards,
    preference_figures,
    train_dpo,
)

__all__ = ["DPO"]


def train(job: Job[DPOConfig]) -> Trained:
    """Train a copy of the assistant on the comparisons of its own answers; the judge only watches."""
    sft = job.parents["sft"]
    policy, figures = train_dpo(
        job.config,
        sft.language_model,
        sft.tokenizer,
        _comparisons(job, TRAIN_COMPARISONS),
        _comparisons(job, HELD_OUT_COMPARISONS),
        job,
        evaluate=_watch(job),
    )
    return Trained(tokenizer=sft.tokenizer, model=policy, figures=figures)


def _comparisons(job: Job[DPOConfig], name: str) -> list[Comparison]:
    return load_comparisons(job.parents["preferences"].folder / name)


def _knows_the_tasks(job: Job[DPOConfig]) -> bool:
    """Whether the assistant was taught the course's tasks, and with them what the judge can mark."""
    return "task_accuracy" in job.parents["sft"].figures


def _watch(job: Job[DPOConfig]) -> Callable[[GPT], dict[str, Any]] | None:
    """What the judge thinks of a policy on the way, as of PPO's; None where it does not know the prompts."""
    sft = job.parents["sft"]
    tasks = watched_tasks(job)
    if not tasks or not _knows_the_tasks(job):
        return None

    def watch(policy: GPT) -> dict[str, Any]:
        report = evaluate_policy(policy, sft.language_model, sft.tokenizer, tasks)
        return {f"held_out_{name}": value for name, value in report.figures().items()}

    return watch


def test(job: Job[DPOConfig], trained: Trained) -> Figures:
    """How the policy orders held-out answers, how their likelihoods moved, and the policy's own answers."""
    reference = job.parents["sft"].language_model.to(job.runtime.device)
    held_out = _comparisons(job, HELD_OUT_COMPARISONS)
    figures = _order(job.config, trained.language_model, reference, trained, held_out)
    beside = beside_sft(job, trained) if _knows_the_tasks(job) else None
    if beside is None:
        return figures
    return {
        **figures,
        **beside.figures(),
        "mean_tokens_before": beside.greedy_before.figures()["mean_tokens"],
        "sampled_before": beside.sampled_before.figures(),
    }


def _order(
    config: DPOConfig, policy: GPT, reference: GPT, trained: Trained, comparisons: list[Comparison]
) -> Figures:
    """The implicit reward on held-out comparisons, as a reward model is examined, and what it is made of."""
    tokenizer = trained.tokenizer
    held_out = fitting_comparisons(comparisons, tokenizer, policy.config.context_length)
    log_probs, log_probs_ref = (
        comparison_log_probs(model, tokenizer, held_out) for model in (policy, reference)
    )
    means = preference_figures(held_out, log_probs, log_probs_ref, config.beta)
    found = reward_figures(held_out, implicit_rewards(log_probs, log_probs_ref, config.beta))
    names = {
        "held_out_comparisons": "held_out_comparisons",
        "held_out_pairs": "held_out_pairs",
        "implicit_accuracy": "pair_accuracy_gold",
        "implicit_accuracy_noisy": "pair_accuracy_noisy",
        "implicit_accuracy_by_family": "pair_accuracy_by_family",
    }
    return {
        "val_loss": means.pop("loss"),
        **{ours: found[theirs] for ours, theirs in names.items() if theirs in found},
        **{name: value for name, value in means.items() if name != "accuracy"},
    }


def headline(figures: Figures) -> str:
    """Wins against the assistant and distance from it; of prompts of one's own how it orders held-out answers."""
    if line := wins_told(figures):
        return line
    return f"{figures['implicit_accuracy_noisy']:.0%} of held-out pairs ordered as the annotator did"


def tokens(preset: Preset) -> int:
    """Conversations counted as if each filled the context; of one's own, it is taken, each prompt has two answers."""
    answers = getattr(preset.preferences, "answers", 2)
    return preset.dpo.fit.steps * preset.dpo.prompts * answers * preset.context_length


def passes(preset: Preset) -> float:
    """A conversation is learned from (3) and, once in the first epoch, read by the reference (1)."""
    return 4


DPO = Stage(
    name="dpo",
    parents=("sft", "preferences"),
    config=DPOConfig,
    output="answers",
    train=train,
    test=test,
    headline=headline,
    labels={
        "train_loss": "training loss (nats/pair)",
        "val_loss": "loss on held-out pairs (nats/pair)",
        "comparisons": "prompts with ranked answers",
        "pairs": "pairs of answers learned from, counted again in every epoch",
        "too_long": "prompts left out: longer than the context",
        "seconds_reference": "time of reading the answers with the fine-tuned model (seconds)",
        "held_out_comparisons": "prompts with ranked answers, held out",
        "held_out_pairs": "pairs of answers, held out",
        "implicit_accuracy": "held-out pairs that the implicit reward orders as the judge does (share)",
        "implicit_accuracy_noisy": "held-out pairs that the implicit reward orders as the annotator did (share)",
        "implicit_accuracy_by_family": "held-out pairs ordered as the judge does, by family (share)",
        "margin": "mean implicit reward of the preferred answer above the other's",
        "chosen_reward": "mean implicit reward of the preferred answers",
        "rejected_reward": "mean implicit reward of the other answers",
        "chosen_log_prob": "log-probability of the preferred answers (nats per answer)",
        "rejected_log_prob": "log-probability of the other answers (nats per answer)",
        "chosen_displacement": "rise of the preferred answers' log-probability (nats per answer)",
        "rejected_displacement": "rise of the other answers' log-probability (nats per answer)",
        "mean_tokens_before": "mean length of an answer of the fine-tuned model (tokens)",
        **WINS_LABELS,
        "sampled_before": "answers of the fine-tuned model, sampled likewise",
    },
    tokens=tokens,
    passes=passes,
    tested_on_tasks=True,
)
