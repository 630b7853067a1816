"""The stage `ppo`: a policy, the assistant optimised against the reward model."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from minillm.data.conversations import TaskConversations
from minillm.evaluate import PolicyReport, answer_tasks, evaluate_policy
from minillm.model.gpt import GPT
from minillm.presets import Preset
from minillm.recipes.policies import TRAINING_LABELS, WINS_LABELS, beside_sft, watched_tasks, wins_told
from minillm.recipes.stage import Figures, Job, Stage, Trained
from minillm.stages.ppo import PPOConfig, train_policy
from minillm.stages.ppo_run import PPORun

__all__ = ["PPO"]

_SHOWN_TASKS = 10  # of those that the policy is watched on while it trains, with answers in the log


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
    tasks = watched_tasks(job)
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
    reward_model = job.parents["reward"].reward_model.to(job.runtime.device)
    beside = beside_sft(job, trained, reward_model)
    if beside is None:
        return {}
    before, sampled_before = beside.greedy_before.figures(), beside.sampled_before.figures()
    return {**beside.figures(), "sft": {**_compared(before), "sampled": _compared(sampled_before)}}


def _compared(figures: Figures) -> Figures:
    """What a policy's figures are set beside."""
    names = ("task_accuracy", "correct", "accuracy", "gold_score", "parts", "reward", "mean_tokens")
    return {name: figures[name] for name in names if name in figures}


def headline(figures: Figures) -> str:
    """Wins against the assistant and distance from it; of prompts of one's own the learned reward."""
    if line := wins_told(figures):
        return line
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
        **TRAINING_LABELS,
        "train_reward": "learned reward at the end of training",
        "train_explained_variance": "variance of the returns that the critic explains, at the end of training (share)",
        **WINS_LABELS,
        "sft": "the fine-tuned model on the same tasks",
    },
    tokens=tokens,
    passes=passes,
    validated=False,
    tested_on_tasks=True,
    version=2,
    test_version=3,
)
