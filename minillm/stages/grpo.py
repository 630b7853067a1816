"""GRPO: the policy answers each task several times, a program checks the answers, and the better ones of a group
become likelier.

Nothing foresees what an answer will earn: no critic and no reward model. A task is answered by a *group*, and how good
an answer is shows beside the others of its group. Where all of them are right, or all wrong, there is nothing to learn:
what never happens cannot be reinforced.

Reference: Shao et al. 2024, "DeepSeekMath", section 4.1, arXiv 2402.03300. Different from there:

- The reward is given for the whole answer and never for a step of it ("outcome supervision", section 4.1.2).
- All tokens of an update count the same, as in Yu et al. 2025 (DAPO), arXiv 2503.14476, section 3.3. In the paper every
  answer counts the same, so that a token of a long answer weighs less than one of a short answer.
- The ratio may move further upwards than downwards, where `clip_high` is set so (DAPO, section 3.1).
- Without a leash, answers of groups that are all alike are left out of the mean, as they have no gradient: a step is as
  long when few groups teach something (DAPO, section 3.2, goes on sampling until the batch is full of groups that do).
- `scale=False` leaves the spread of a group out, as in Liu et al. 2025 ("Dr. GRPO"), arXiv 2503.20783: dividing by it
  makes the tasks count most on which the policy is nearly always right, or nearly always wrong.
- The reference is the fine-tuned model throughout. The leash is in the loss, as in the paper, and not in the reward, as
  in PPO; without it (`kl_coef=0`) the reference is never asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from minillm import checks
from minillm.data.judge import verify
from minillm.data.task_types import Task
from minillm.keys import setting
from minillm.model.gpt import GPT
from minillm.stages import policy_losses
from minillm.stages.iterations import carry_out
from minillm.stages.on_policy import Experience, OnPolicyConfig, OnPolicyRun
from minillm.stages.policy_losses import kl_penalty, masked_mean, policy_loss
from minillm.stages.rollouts import Rollouts, action_log_probs, by_pieces
from minillm.text.chat import Message, answer_text
from minillm.text.tokenizer import Tokenizer
from minillm.train.options import RunOptions

__all__ = ["GRPOConfig", "GRPORun", "group_advantages", "grpo_loss", "train_by_check"]

_EPSILON = 1e-6  # added to the spread of a group, so that nearly equal rewards make no huge advantages


@dataclass(frozen=True)
class GRPOConfig(OnPolicyConfig):
    """Settings of GRPO. One iteration answers some tasks, each several times, and learns from all the answers."""

    iterations: int = 50  # rounds of sampling and learning
    prompts: int = 48  # tasks of an iteration
    answers: int = 8  # to each task: a group
    epochs: int = 1  # passes over an iteration's answers
    minibatches: int = 1  # updates in a pass
    learning_rate: float = 4e-4  # AdamW's peak
    final_share: float = 0.1  # share of the learning rate that is left at the end of its linear fall
    scale: bool = True  # whether the advantages of a group are divided by its spread
    clip_low: float = 0.2  # how far the ratio of probabilities may fall below 1 before that stops paying
    clip_high: float = 0.2  # how far it may rise above 1
    kl_coef: float = 0.0  # loss for a nat a token of distance to the reference; 0: no leash
    max_step_kl: float | None = None  # nats a token from the sampling policy at which updates end
    max_grad_norm: float = 1.0  # a longer gradient is cut to it
    temperature: float = 1.0  # of the answers
    max_new_tokens: int = 80  # of an answer, its end token included
    rows: int = 32  # answers computed at once
    evaluate_every: int = setting(10)  # iterations between evaluations
    checkpoint_every: int = setting(10)  # iterations between checkpoints

    def __post_init__(self) -> None:
        for name in ("iterations", "prompts", "epochs", "minibatches", "rows", "max_new_tokens"):
            checks.whole_number(name, getattr(self, name), at_least=1)
        for name in ("evaluate_every", "checkpoint_every"):
            checks.whole_number(name, getattr(self, name), at_least=1)
        checks.whole_number("answers", self.answers, at_least=2)
        for name in ("learning_rate", "clip_high", "max_grad_norm", "temperature"):
            checks.number(name, getattr(self, name), above=0)
        checks.number("max_step_kl", self.max_step_kl, above=0, optional=True)
        checks.number("clip_low", self.clip_low, above=0, below=1)
        checks.number("final_share", self.final_share, at_least=0, at_most=1)
        checks.number("kl_coef", self.kl_coef, at_least=0)
        checks.yes_or_no("scale", self.scale)
        if self.minibatches > self.prompts * self.answers:
            raise ValueError(
                f"minibatches is {self.minibatches}, and there are {self.prompts} prompts x {self.answers} answers; "
                "use at least an answer a minibatch"
            )


# -- the formulas --


def group_advantages(rewards: Tensor, scale: bool = True) -> Tensor:
    """How much better an answer is than the others of its group.

    A_i = (r_i - mean(r)) / (std(r) + 1e-6), mean and standard deviation over the group (divided by the number of
    answers). A group whose answers all earn the same gets exactly 0.

    Args:
        rewards: (prompts, answers) what each answer earned; a row is a group.
        scale: whether to divide by the standard deviation; False: A_i = r_i - mean(r).

    Returns:
        (prompts, answers) advantages; the sum of a row is 0.

    Raises:
        ValueError: rewards of another shape, or groups of one answer, which has nothing beside it.

    Reference: Shao et al. 2024, section 4.1.2; without the scale Liu et al. 2025, "Understanding R1-Zero-like
    training", section 3.2.

    >>> group_advantages(torch.tensor([[1.0, 0.0, 0.0, 1.0], [1.0, 1.0, 1.0, 1.0]]), scale=False)
    tensor([[ 0.5000, -0.5000, -0.5000,  0.5000],
            [ 0.0000,  0.0000,  0.0000,  0.0000]])
    """
    if rewards.ndim != 2 or rewards.shape[1] < 2:
        raise ValueError(
            f"the rewards have the shape {tuple(rewards.shape)}; give (prompts, answers) with 2 answers or more"
        )
    rewards = rewards if rewards.is_floating_point() else rewards.float()
    centred = rewards - rewards.mean(dim=1, keepdim=True)
    if scale:
        centred = centred / (centred.square().mean(dim=1, keepdim=True).sqrt() + _EPSILON)
    # The mean of equal numbers can be off by a last place, which a division by nearly nothing would blow up.
    alike = rewards.amax(dim=1, keepdim=True) == rewards.amin(dim=1, keepdim=True)
    return torch.where(alike, 0.0, centred)


def grpo_loss(
    log_probs: Tensor,
    log_probs_old: Tensor,
    log_probs_ref: Tensor | None,
    advantages: Tensor,
    mask: Tensor,
    clip_eps: tuple[float, float],
    kl_coef: float,
) -> Tensor:
    """PPO's clipped objective with the group's advantages, negated, and the leash: policy_loss + kl_coef * mean of k3.

    k3 = exp(d) - 1 - d with d = log_probs_ref - log_probs estimates KL(policy || reference) and carries a gradient.
    Both means are over all actions.

    Args:
        log_probs: (batch, time) of the actions, under the policy as it is now; carries the gradient.
        log_probs_old: under the policy that took them.
        log_probs_ref: under the reference; None: there is no leash, whatever kl_coef is.
        advantages: of the actions; all actions of an answer have that of the answer.
        mask: True on actions.
        clip_eps: how far the ratio may fall below 1, and how far it may rise above 1.
        kl_coef: what a nat of distance costs.

    Returns:
        a scalar.

    Raises:
        ValueError: shapes that differ.

    Reference: Shao et al. 2024, eq. 3 and 4.
    """
    loss = policy_loss(log_probs, log_probs_old, advantages, mask, clip_eps)
    if log_probs_ref is None:
        return loss
    return loss + kl_coef * mean_kl(log_probs, log_probs_ref, mask)


def mean_kl(log_probs: Tensor, log_probs_ref: Tensor, mask: Tensor) -> Tensor:
    """The mean of k3 over the actions (nats a token); what stands where the mask is False changes nothing."""
    here, there = (torch.where(mask, tensor, 0.0) for tensor in (log_probs, log_probs_ref))
    return masked_mean(kl_penalty(here, there, "k3"), mask)


# -- the run --


@dataclass(frozen=True)
class GroupExperience(Experience):
    """What an iteration learns from. The scores are (batch,) 1 for right answers and 0 for wrong ones."""

    grouped: Tensor  # (prompts, answers) the scores, group by group
    numbers: dict[str, float]  # what `describe` found out about the texts


class GRPORun(OnPolicyRun[GRPOConfig, Task, GroupExperience]):
    """One call of `train_by_check`, whose arguments these are."""

    averaged = (*OnPolicyRun.averaged, "mixed_groups", "steps_share")

    def __init__(
        self,
        config: GRPOConfig,
        sft_model: GPT,
        tokenizer: Tokenizer,
        task: Callable[[int], Task],
        options: RunOptions,
        check: Callable[[Task, str], float] = verify,
        look: Callable[[Sequence[Task], Sequence[str]], dict[str, float]] | None = None,
    ) -> None:
        super().__init__(config, sft_model, tokenizer, task, options)
        self.answers_each = config.answers
        self.check, self.look = check, look

    def conversations(self, asked: Task) -> Iterable[tuple[Task, Sequence[Message]]]:
        """The task; it has no earlier question that could be checked instead."""
        return [(asked, asked.prompt)]

    @torch.no_grad()
    def judge(self, rollouts: Rollouts, prompts: Sequence[Task]) -> GroupExperience:
        """Check the answers, and compare each with its group."""
        config, device = self.config, rollouts.ids.device
        tasks = [prompts[number // config.answers] for number in rollouts.order.tolist()]
        texts = [answer_text(ids, self.tokenizer) for ids in rollouts.answers()]
        marks = [float(self.check(task, text)) for task, text in zip(tasks, texts, strict=True)]
        scores = torch.tensor(marks, device=device) * rollouts.ended  # what has no end is no answer yet
        grouped = torch.empty_like(scores).scatter(0, rollouts.order, scores).view(-1, config.answers)
        advantages = group_advantages(grouped, config.scale).flatten()[rollouts.order]
        told = by_pieces(self._log_probs, rollouts, config.rows, self.options.runtime)
        log_probs, entropies, *reference = told
        return GroupExperience(
            rollouts,
            scores,
            log_probs,
            reference[0] if reference else None,
            entropies,
            advantages[:, None] * rollouts.action_mask,
            grouped=grouped,
            numbers={} if self.look is None else self.look(tasks, texts),
        )

    def _log_probs(self, piece: Rollouts) -> tuple[Tensor, ...]:
        """Log-probabilities and entropies under the policy; with a leash, log-probabilities under the reference."""
        told = action_log_probs(self.policy, piece, self.config.temperature)
        if not self.config.kl_coef:
            return told
        return *told, action_log_probs(self.reference, piece, self.config.temperature)[0]

    def rows_to_learn_from(self, experience: GroupExperience) -> Tensor:
        """Without a leash the answers of groups that differ: the others have no gradient. All, where no group does."""
        differing = (experience.advantages != 0).any(dim=1).cpu()
        if self.config.kl_coef or not differing.any():
            return super().rows_to_learn_from(experience)
        return differing.nonzero()[:, 0]

    def losses(self, experience: GroupExperience, rows: Tensor) -> tuple[list[Tensor], dict[str, float]]:
        """The loss on some rows, and numbers that describe it."""
        config, rollouts = self.config, experience.rollouts.rows(rows)
        mask, width = rollouts.action_mask, rollouts.action_mask.shape[1]
        old, advantages = experience.log_probs[rows, :width], experience.advantages[rows, :width]
        reference = experience.log_probs_ref
        reference = None if reference is None else reference[rows, :width]
        clip_eps = config.clip_low, config.clip_high
        log_probs, _ = action_log_probs(self.policy, rollouts, config.temperature)
        loss = grpo_loss(log_probs, old, reference, advantages, mask, clip_eps, config.kl_coef)
        now = log_probs.detach()
        numbers = {
            "policy_loss": loss.item(),
            "clip_fraction": policy_losses.clip_fraction(now, old, mask, clip_eps).item(),
            "step_kl": masked_mean(kl_penalty(old, now, "k3"), mask).item(),
            "ratio_error": ((now - old).exp() - 1).abs().max().item(),
        }
        return [loss], numbers

    def describe(self, experience: GroupExperience) -> dict[str, float]:
        """Parts of an iteration apart: `mixed_groups` are those with right and wrong answers (share)."""
        mixed = experience.grouped.amax(dim=1) > experience.grouped.amin(dim=1)
        groups = {"mixed_groups": mixed.float().mean().item()}
        return super().describe(experience) | groups | experience.numbers


def train_by_check(
    config: GRPOConfig,
    sft_model: GPT,
    tokenizer: Tokenizer,
    task: Callable[[int], Task],
    options: RunOptions,
    *,
    check: Callable[[Task, str], float] = verify,
    look: Callable[[Sequence[Task], Sequence[str]], dict[str, float]] | None = None,
    evaluate: Callable[[GPT], dict[str, Any]] | None = None,
) -> tuple[GPT, dict[str, Any]]:
    """Train a policy on tasks whose answers a program can check.

    A run that was stopped goes on from its last checkpoint in the folder, to the same weights bit for bit on a CPU.

    Args:
        config: the settings.
        sft_model: the fine-tuned model. A copy of it is trained; it is the reference itself, and keeps its weights. It
            ends on the runtime's device, in evaluation mode.
        tokenizer: the model's.
        task: from 0, 1, 2, ... to tasks; one that fills the context is passed over.
        options: where and how; the folder gets rollouts.jsonl too.
        check: what an answer earns; by default 1 where `verify` finds it right, else 0. An answer that the model did
            not end earns 0.
        look: further numbers of an iteration for the log, from the task and the text of each of its answers.
        evaluate: called before the first iteration, every `evaluate_every` and after the last; what it returns is
            logged, and reaches nothing else.
    Returns:
        the policy, and the figures of its training, those of the last tenth of the iterations averaged.
    Raises:
        TrainingDivergedError: a loss or gradient became NaN or infinite; the last good checkpoint is kept.
        TrainingInterrupted: Ctrl-C, SIGTERM or SIGHUP; the state has been saved.
        ValueError: the folder holds a run of other settings, or no task leaves room for an answer.
    """
    run = GRPORun(config, sft_model, tokenizer, task, options, check, look)
    return carry_out(
        run,
        evaluate,
        lambda now: f"right {now['reward']:.0%}, groups to learn from {now['mixed_groups']:.0%}",
    )
