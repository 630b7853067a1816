"""What the recipes of policies share: each is set beside the assistant that it started from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from minillm.data.tasks import PPO_TEST_SEED, Task, Tasks
from minillm.evaluate import PolicyReport, Report, evaluate_policy, evaluate_tasks, fitting_tasks, win_rate
from minillm.model.heads import RewardModel
from minillm.recipes.stage import Figures, Job, Trained

__all__ = [
    "DISTANCE_LABEL",
    "TRAINING_LABELS",
    "WINS_LABELS",
    "Beside",
    "beside_sft",
    "watched_tasks",
    "wins_told",
]

_SAMPLED_EVERY = 4  # one in so many held-out tasks is answered at temperature 1 as well

DISTANCE_LABEL = {"kl_per_response": "distance to the fine-tuned model (nats per response)"}
WINS_LABELS = {
    "win_rate_vs_sft": "wins against the fine-tuned model, ties half (share)",
    "win_rate_vs_sft_sampled": "wins against it where both sample at temperature 1, ties half (share)",
    **DISTANCE_LABEL,
    "sampled": "answers sampled at temperature 1",
}
TRAINING_LABELS = {
    "iterations": "rounds of sampling and learning",
    "answers": "answers sampled in training",
    "first_ratio_error": "largest error of a first ratio, which must be 1",
    "train_kl": "distance to the fine-tuned model at the end of training (nats per response)",
    "train_entropy": "entropy of the choices at the end of training (nats/token)",
    "train_clip_fraction": "actions whose ratio was clipped, at the end of training (share)",
    "train_length": "length of an answer at the end of training (tokens)",
    "train_ended_share": "answers with their end token, at the end of training (share)",
    "seconds_sampling": "time of sampling (seconds)",
    "seconds_scoring": "time of scoring (seconds)",
    "seconds_learning": "time of learning (seconds)",
}


@dataclass(frozen=True)
class Beside:
    """A policy's answers to held-out tasks beside the assistant's, the most likely ones and sampled ones.

    Attributes:
        greedy, greedy_before: to all tasks, of the policy and of the assistant.
        sampled, sampled_before: to one in a few, at temperature 1.
    """

    greedy: Report
    greedy_before: Report
    sampled: PolicyReport
    sampled_before: PolicyReport

    def figures(self) -> Figures:
        """The policy's figures, and how often the judge prefers its answers."""
        wins, sampled = self.sampled.win_rate(self.sampled_before), self.sampled.figures()
        return {
            **self.greedy.figures(),
            "win_rate_vs_sft": win_rate(self.greedy.scores, self.greedy_before.scores).rate,
            "win_rate_vs_sft_sampled": wins,
            "kl_per_response": sampled["kl_per_response"],
            "sampled": {"win_rate_vs_sft": wins, **sampled},
        }


def beside_sft(job: Job[Any], trained: Trained, reward_model: RewardModel | None = None) -> Beside | None:
    """Let a policy and the assistant answer the held-out tasks; None where none fits the context."""
    policy, tokenizer = trained.language_model, trained.tokenizer
    reference = job.parents["sft"].language_model.to(job.runtime.device)
    greedy, greedy_before = (
        evaluate_tasks(model, tokenizer, job.test_tasks) for model in (policy, reference)
    )
    if not greedy.tasks:
        return None
    tasks = greedy.tasks[::_SAMPLED_EVERY]
    sampled, sampled_before = (
        evaluate_policy(model, reference, tokenizer, tasks, reward_model) for model in (policy, reference)
    )
    return Beside(greedy, greedy_before, sampled, sampled_before)


def watched_tasks(job: Job[Any]) -> list[Task]:
    """The tasks that a policy is watched on while it trains; nothing else uses them."""
    sft = job.parents["sft"]
    tasks = Tasks("test").tasks(job.test_tasks, PPO_TEST_SEED)
    return fitting_tasks(tasks, sft.language_model, sft.tokenizer)


def wins_told(figures: Figures) -> str:
    """Wins against the assistant and distance from it, in a line; "" where they were not measured."""
    if "win_rate_vs_sft" not in figures:
        return ""
    return (
        f"wins {figures['win_rate_vs_sft']:.0%} against sft, {figures['kl_per_response']:.1f} nats a response away "
        "from it"
    )
