"""The stage `ppo`: a policy, the assistant optimised against the reward model."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from minillm.data.conversations import TaskConversations
from minillm.data.tasks import PPO_TEST_SEED, Tasks
from minillm.evaluate import (
    PolicyReport,
    answer_tasks,
    evaluate_policy,
    evaluate_tasks,
    fitting_tasks,
    win_rate,
)
from minillm.model.gpt import GPT
from minillm.presets import Preset
from minillm.recipes.stage import Figures, Job, Stage, Trained
from minillm.stages.ppo import PPOConfig, train_policy
from minillm.stages.ppo_run import PPORun

__all__ = ["PPO"]

_SHOWN_TASKS = 10  # of those that the policy is watched on while it trains, with answers in the log
_SAMPLED_EVERY = 4  # one in so many held-out tasks is answered at temperature 1 as well


def train(job: Job[PPOConfig], run_class: type[PPORun] = PPORun) -> Trained:
    """Optimise a copy of the assistant; the judge only watches."""
    sft, reward = job.parents["sft"], job.parents["reward"]
    policy, figures = train_policy(
        job.config,
        sft.language_model,
        reward.reward_model,
        sft.tokenizer,
        job.conversations.prompt,
        job,
        evaluate=_watch(job),
        run_class=run_class,
    )
    return Trained(tokenizer=sft.tokenizer, model=policy, figures=figures)


def _watch(job: Job[PPOConfig]) -> Callable[[GPT], dict[str, Any]] | None:
    """What the judge thinks of a policy on the way; None where it does not know the prompts."""
    if not isinstance(job.conversations, TaskConversations):
        return None
    sft, reward = job.parents["sft"], job.parents["reward"]
    tokenizer, limit = sft.tokenizer, job.config.max_new_tokens
    tasks = fitting_tasks(Tasks("test").tasks(job.test_tasks, PPO_TEST_SEED), sft.language_model, tokenizer)
    if not tasks:
        return None

    def report_of(model: GPT) -> PolicyReport:
        return evaluate_policy(
            model, sft.language_model, tokenizer, tasks, reward.reward_model, max_new_tokens=limit
        )

    before = cache(lambda: report_of(sft.language_model))  # not before the models are where they belong

    def watch(policy: GPT) -> dict[str, Any]:
        report = report_of(policy)
        shown = answer_tasks(policy, tokenizer, tasks[:_SHOWN_TASKS], max_new_tokens=limit)
        return {
            **{f"held_out_{name}": value for name, value in report.figures().items()},
            "held_out_win_rate": report.win_rate(before()),
            "shown": [
                {"prompt": task.question, "answer": answer.text, "gold": round(score, 4)}
                for task, answer, score in zip(shown.tasks, shown.answers, shown.scores, strict=True)
            ],
        }

    return watch


def test(job: Job[PPOConfig], trained: Trained) -> Figures:
    """The policy on the held-out tasks beside the assistant it started from: greedy answers, and sampled ones."""
    if not isinstance(job.conversations, TaskConversations):
        return {}
    device, tokenizer, policy = job.runtime.device, trained.tokenizer, trained.language_model
    reference = job.parents["sft"].language_model.to(device)
    reward_model = job.parents["reward"].reward_model.to(device)
    greedy, greedy_before = (
        evaluate_tasks(model, tokenizer, job.test_tasks) for model in (policy, reference)
    )
    if not greedy.tasks:
        return {}
    tasks = greedy.tasks[::_SAMPLED_EVERY]
    sampled, sampled_before = (
        evaluate_policy(model, reference, tokenizer, tasks, reward_model) for model in (policy, reference)
    )
    wins = sampled.win_rate(sampled_before)
    return {
        **greedy.figures(),
        "win_rate_vs_sft": win_rate(greedy.scores, greedy_before.scores).rate,
        "win_rate_vs_sft_sampled": wins,
        "kl_per_response": sampled.figures()["kl_per_response"],
        "sampled": {"win_rate_vs_sft": wins, **sampled.figures()},
        "sft": {**_compared(greedy_before.figures()), "sampled": _compared(sampled_before.figures())},
    }


def _compared(figures: Figures) -> Figures:
    """What a policy's figures are set beside."""
    names = ("task_accuracy", "correct", "accuracy", "gold_score", "parts", "reward", "mean_tokens")
    return {name: figures[name] for name in names if name in figures}


def headline(figures: Figures) -> str:
    """Wins against the assistant and distance from it; of prompts of one's own the learned reward."""
    if "win_rate_vs_sft" in figures:
        wins, distance = figures["win_rate_vs_sft"], figures["kl_per_response"]
        return f"wins {wins:.0%} against sft, {distance:.1f} nats a response away from it"
    reward, distance = figures["train_reward"], figures["train_kl"]
    return f"learned reward {reward:.2f}, {distance:.1f} nats a response from sft"


def tokens(preset: Preset) -> int:
    """Answers counted as if each filled the context."""
    return preset.ppo.iterations * preset.ppo.prompts * preset.context_length


def passes(preset: Preset) -> float:
    """An answer is sampled (1), read by policy, reference, critic and reward model (4), and learned from by two (6)."""
    return 5 + 6 * preset.ppo.epochs


PPO = Stage(
    name="ppo",
    parents=("sft", "reward"),
    reads=("conversations",),
    config=PPOConfig,
    output="answers",
    train=train,
    test=test,
    headline=headline,
    labels={
        "iterations": "rounds of sampling and learning",
        "answers": "answers sampled in training",
        "first_ratio_error": "largest error of a first ratio, which must be 1",
        "train_reward": "learned reward at the end of training",
        "train_kl": "distance to the fine-tuned model at the end of training (nats per response)",
        "train_entropy": "entropy of the choices at the end of training (nats/token)",
        "train_clip_fraction": "actions whose ratio was clipped, at the end of training (share)",
        "train_explained_variance": "variance of the returns that the critic explains, at the end of training (share)",
        "train_length": "length of an answer at the end of training (tokens)",
        "train_ended_share": "answers with their end token, at the end of training (share)",
        "seconds_sampling": "time of sampling (seconds)",
        "seconds_scoring": "time of scoring (seconds)",
        "seconds_learning": "time of learning (seconds)",
        "win_rate_vs_sft": "wins against the fine-tuned model, ties half (share)",
        "win_rate_vs_sft_sampled": "wins against it where both sample at temperature 1, ties half (share)",
        "kl_per_response": "distance to the fine-tuned model (nats per response)",
        "sampled": "answers sampled at temperature 1",
        "sft": "the fine-tuned model on the same tasks",
    },
    tokens=tokens,
    passes=passes,
    validated=False,
    tested_on_tasks=True,
    version=2,
    test_version=3,
)
