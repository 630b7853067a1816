"""The state of a PPO run, and the steps that an iteration is made of: sample, judge, learn, log."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from minillm.model.gpt import GPT
from minillm.model.heads import RewardModel, ScalarModel
from minillm.stages import policy_losses
from minillm.stages.policy_losses import gae, kl_penalty, policy_loss, token_rewards, value_loss
from minillm.stages.ppo_config import PPOConfig
from minillm.stages.rollouts import (
    Rollouts,
    action_log_probs,
    action_values,
    answer_scores,
    by_pieces,
    sample_rollouts,
)
from minillm.text.chat import END, Message, answer_text, render_chat
from minillm.text.tokenizer import Tokenizer
from minillm.train.checkpoint import (
    Checkpoints,
    load_model_tensors,
    load_optimizer_tensors,
    model_tensors,
    optimizer_tensors,
)
from minillm.train.log import MetricsLog
from minillm.train.run import CHECKPOINT_FOLDER, METRICS_FILE, TrainingDivergedError
from minillm.train.runtime import (
    Runtime,
    broadcast_weights,
    gather_from_processes,
    make_generator,
    synchronise_gradients,
)

__all__ = ["ROLLOUTS_FILE", "Experience", "PPORun", "token_rewards"]

ROLLOUTS_FILE = "rollouts.jsonl"
_LOGGED_ROLLOUTS = 4  # of each iteration
_PASSED_OVER = (
    20  # times as many prompts as are needed are looked at, before it is said that they are too long
)
_ADAPTIVE_GAIN, _ADAPTIVE_CLIP = 0.1, 0.2  # of the adaptive coefficient, Ziegler et al. 2019, section 2.2


@dataclass(frozen=True)
class Experience:
    """What an iteration learns from: the answers, and of each action what the models said when it was taken.

    All tensors but the scores are (batch, time - 1), 0 where there is no action.
    """

    rollouts: Rollouts  # the answers
    scores: Tensor  # (batch,) of the reward model, without penalty
    log_probs: Tensor  # under the policy that sampled
    log_probs_ref: Tensor  # under the reference
    entropies: Tensor  # of the policy's choices
    values: Tensor  # of the critic
    advantages: Tensor  # by `gae`
    returns: Tensor  # by `gae`; what the critic should have said


class PPORun:
    """One call of `ppo`, whose arguments these are: the state, and the steps that an iteration is made of."""

    def __init__(
        self,
        config: PPOConfig,
        policy: GPT,
        reward_model: RewardModel,
        tokenizer: Tokenizer,
        prompt: Callable[[int], Sequence[Message]],
        folder: Path | None,
        seed: int,
        runtime: Runtime,
    ) -> None:
        self.config, self.runtime, self.seed = config, runtime, seed
        self.tokenizer, self.prompt = tokenizer, prompt
        self.policy = policy.to(runtime.device).eval()
        self.reference = copy.deepcopy(self.policy).requires_grad_(False)
        self.reward_model = reward_model.to(runtime.device).eval().requires_grad_(False)
        self.critic = ScalarModel.from_body(reward_model).to(runtime.device).eval()
        self.optimizers = {
            "policy": _adamw(self.policy, config.learning_rate),
            "critic": _adamw(self.critic, config.critic_learning_rate),
        }
        writes = folder is not None and runtime.is_main
        for model in (self.policy, self.critic):
            broadcast_weights(model, runtime.world_size)
        self.log = MetricsLog(folder / METRICS_FILE if writes else None)
        self.rollout_log = MetricsLog(folder / ROLLOUTS_FILE if writes else None)
        self.checkpoints = Checkpoints(folder / CHECKPOINT_FOLDER) if folder is not None else None
        self.iteration, self.kl_coef, self.tokens = 0, config.kl_coef, 0
        self._started = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Time spent so far."""
        return time.perf_counter() - self._started

    # -- the steps of an iteration --

    def iterate(self) -> dict[str, float]:
        """Sample, score, estimate advantages, learn, and log."""
        with self.runtime.autocast():
            clock = [time.perf_counter()]
            rollouts, prompts = self.sample()
            clock.append(time.perf_counter())
            experience = self.judge(rollouts)
            clock.append(time.perf_counter())
            numbers = self.learn(experience)
            clock.append(time.perf_counter())
        numbers |= self.describe(experience)
        spent = dict(zip(("sampling", "scoring", "learning"), _differences(clock), strict=True))
        numbers |= {f"seconds_{name}": round(seconds, 4) for name, seconds in spent.items()}
        self.iteration += 1
        self.tokens += int(rollouts.action_mask.sum())
        self.steer(numbers["kl"])
        self.log_rollouts(experience, prompts)
        return numbers

    def sample(self) -> tuple[Rollouts, list[Sequence[Message]]]:
        """Let the policy answer this iteration's prompts."""
        limit = self.policy.config.context_length - 1
        prompts, rendered = [], []
        number = self.iteration * self.config.prompts
        stride = self.config.iterations * self.config.prompts
        passed_over = 0
        while len(prompts) < self.config.prompts:  # a prompt that fills the context is passed over
            if passed_over > _PASSED_OVER * self.config.prompts:
                raise ValueError(
                    f"of {passed_over + len(prompts)} prompts only {len(prompts)} leave room for an answer in the "
                    f"context of {limit + 1} tokens; give shorter ones"
                )
            messages = self.prompt(number + len(prompts))
            ids = render_chat(messages, self.tokenizer, add_generation_prompt=True).ids
            if len(ids) < limit:
                prompts.append(messages)
                rendered.append(ids)
            else:
                passed_over += 1
                number += stride
        rollouts = sample_rollouts(
            self.policy,
            rendered,
            self.tokenizer.special_tokens[END],
            self.tokenizer.end_of_text_id,
            self.config.max_new_tokens,
            self.config.temperature,
            make_generator(self.seed * 1_000_003 + self.iteration),
            mask_padding=self.config.mask_padding,
            end_is_action=self.config.end_token,
            runtime=self.runtime,
        )
        return rollouts.to(self.runtime.device), prompts

    @torch.no_grad()
    def judge(self, rollouts: Rollouts) -> Experience:
        """Let the four models say what they think of each token, and turn it into advantages."""
        config = self.config
        mask = rollouts.action_mask

        def all_models(piece: Rollouts) -> tuple[Tensor, ...]:
            log_probs, entropies = action_log_probs(self.policy, piece, config.temperature)
            log_probs_ref, _ = action_log_probs(self.reference, piece, config.temperature)
            return log_probs, log_probs_ref, entropies, action_values(self.critic, piece)

        log_probs, log_probs_ref, entropies, values = by_pieces(
            all_models, rollouts, config.rows, self.runtime
        )
        scores = answer_scores(self.reward_model, rollouts, config.rows, self.runtime)
        penalty = config.missing_end_penalty if config.end_token else 0.0
        rewards = token_rewards(scores, rollouts.ended, log_probs, log_probs_ref, mask, self.kl_coef, penalty)
        advantages, returns = gae(rewards, values, mask, config.gamma, config.lam)
        if config.whiten:
            advantages = policy_losses.whiten(advantages, mask)
        return Experience(rollouts, scores, log_probs, log_probs_ref, entropies, values, advantages, returns)

    def learn(self, experience: Experience) -> dict[str, float]:
        """Go over the answers a few times, in minibatches, and change policy and critic."""
        config, generator = self.config, make_generator(self.seed * 1_000_003 + self.iteration)
        self._set_learning_rates()
        history: list[dict[str, float]] = []
        for _ in range(config.epochs):
            order = torch.randperm(len(experience.rollouts), generator=generator)
            for rows in order.chunk(config.minibatches):
                history.append(self.update(experience, rows.sort().values))
                if config.max_step_kl is not None and history[-1]["step_kl"] > config.max_step_kl:
                    return _summary(history)
        return _summary(history)

    def update(self, experience: Experience, rows: Tensor) -> dict[str, float]:
        """One step of both optimizers, on the answers of some rows, of which each process takes its share."""
        config, rank, world_size = self.config, self.runtime.rank, self.runtime.world_size
        count = int(experience.rollouts.action_mask[rows].sum())
        history = []
        for piece in rows.split(min(config.rows, math.ceil(len(rows) / world_size)))[rank::world_size]:
            losses, numbers = self.losses(experience, piece)
            share = int(experience.rollouts.action_mask[piece].sum()) / max(1, count)
            (share * sum(losses)).backward()
            history.append((share, numbers))
        for model in (self.policy, self.critic):
            if not history:  # fewer rows than processes
                for parameter in model.parameters():
                    parameter.grad = torch.zeros_like(parameter)
            synchronise_gradients(model, world_size)
        sums: dict[str, float] = {}
        for share, numbers in chain.from_iterable(gather_from_processes(history, world_size)):
            for name, value in numbers.items():
                largest = name == "ratio_error"
                sums[name] = (
                    max(sums.get(name, 0.0), value) if largest else sums.get(name, 0.0) + share * value
                )
        for name, model in (("policy", self.policy), ("critic", self.critic)):
            norm = nn.utils.clip_grad_norm_(model.parameters(), config.max_grad_norm)
            sums[f"{name}_grad_norm"] = float(norm)
        if not all(map(math.isfinite, sums.values())):
            raise self._diverged()
        for name, optimizer in self.optimizers.items():
            if name == "critic" or self.iteration >= config.critic_warmup:
                optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        return sums

    def losses(self, experience: Experience, rows: Tensor) -> tuple[list[Tensor], dict[str, float]]:
        """The losses of policy and critic on some rows, and numbers that describe them."""
        config = self.config
        rollouts = experience.rollouts.rows(rows)
        mask = rollouts.action_mask
        width = mask.shape[1]
        old, advantages, values_old, returns = (
            tensor[rows, :width]
            for tensor in (experience.log_probs, experience.advantages, experience.values, experience.returns)
        )
        log_probs, _ = action_log_probs(self.policy, rollouts, config.temperature)
        values = action_values(self.critic, rollouts)
        losses = [
            policy_loss(log_probs, old, advantages, mask, config.clip_eps),
            value_loss(values, values_old, returns, mask, config.value_clip_eps),
        ]
        now = log_probs.detach()
        numbers = {
            "policy_loss": losses[0].item(),
            "value_loss": losses[1].item(),
            "clip_fraction": policy_losses.clip_fraction(now, old, mask, config.clip_eps).item(),
            "step_kl": policy_losses.masked_mean(kl_penalty(old, now, "k3"), mask).item(),
            "ratio_error": ((now - old).exp() - 1).abs().max().item(),
        }
        return losses, numbers

    def steer(self, kl: float) -> None:
        """Move the coefficient so that the KL per response comes to its target, where there is one."""
        if self.config.kl_target is not None:
            error = max(-_ADAPTIVE_CLIP, min(_ADAPTIVE_CLIP, kl / self.config.kl_target - 1))
            self.kl_coef *= 1 + _ADAPTIVE_GAIN * error

    # -- the log --

    def describe(self, experience: Experience) -> dict[str, float]:
        """Every part of an iteration apart: nats per response, tokens per response, shares from 0 to 1."""
        mask, rollouts = experience.rollouts.action_mask, experience.rollouts
        kl = {
            kind: kl_penalty(experience.log_probs, experience.log_probs_ref, kind).sum(dim=1).mean().item()
            for kind in ("k1", "k3")
        }
        explained = policy_losses.explained_variance(experience.values, experience.returns, mask)
        return {
            "reward": experience.scores.mean().item(),
            "reward_std": experience.scores.std().item() if len(experience.scores) > 1 else 0.0,
            "kl": kl["k1"],
            "kl_k3": kl["k3"],
            "kl_coef": self.kl_coef,
            "entropy": policy_losses.masked_mean(experience.entropies, mask).item(),
            "explained_variance": explained.item(),
            "length": sum(map(len, rollouts.answers())) / len(rollouts),
            "ended_share": rollouts.ended.float().mean().item(),
        }

    def log_rollouts(self, experience: Experience, prompts: Sequence[Sequence[Message]]) -> None:
        """Keep a few answers, so that one can read how they change."""
        rollouts = experience.rollouts
        answers = rollouts.answers()
        kl = (experience.log_probs - experience.log_probs_ref).sum(dim=1)
        for row in rollouts.order.argsort()[:_LOGGED_ROLLOUTS].tolist():
            self.rollout_log.add(
                {
                    "step": self.iteration,
                    "prompt": prompts[int(rollouts.order[row])][-1]["content"],
                    "answer": answer_text(answers[row], self.tokenizer),
                    "reward": round(experience.scores[row].item(), 4),
                    "kl": round(kl[row].item(), 4),
                    "ended": bool(rollouts.ended[row]),
                }
            )

    # -- to stop and go on --

    def save(self) -> None:
        """Write a checkpoint from which `resume` goes on bit for bit."""
        if self.checkpoints is None or not self.runtime.is_main:
            return
        self.log.flush()
        self.rollout_log.flush()
        tensors = model_tensors(self.policy, "policy.") | model_tensors(self.critic, "critic.")
        tensors |= optimizer_tensors(list(self.optimizers.values()))
        state = {
            "settings": self._settings(),
            "kl_coef": self.kl_coef,
            "tokens": self.tokens,
            "seconds": self.seconds,
        }
        self.checkpoints.save(self.iteration, tensors, state)

    @torch.no_grad()
    def resume(self) -> None:
        """Go back to the newest good checkpoint, if there is one, and cut the logs to it."""
        found = None if self.checkpoints is None else self.checkpoints.load()
        if found is not None:
            self.iteration, tensors, state = found
            if state["settings"] != self._settings():
                raise ValueError(
                    f"{self.checkpoints.folder} holds a run with other settings: use the same settings or another "
                    "directory, or delete that folder"
                )
            load_model_tensors(self.policy, tensors, "policy.")
            load_model_tensors(self.critic, tensors, "critic.")
            load_optimizer_tensors(list(self.optimizers.values()), tensors)
            self.kl_coef, self.tokens = state["kl_coef"], state["tokens"]
            self._started -= state["seconds"]
        self.log.rewind(self.iteration)
        self.rollout_log.rewind(self.iteration)

    def _settings(self) -> dict[str, Any]:
        settings = asdict(self.config) | {"seed": self.seed}
        del settings["checkpoint_every"]
        return settings

    def _set_learning_rates(self) -> None:
        done = self.iteration / self.config.iterations
        factor = 1 - (1 - self.config.final_share) * done
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = factor * group["peak_lr"]

    def _diverged(self) -> TrainingDivergedError:
        self.log.flush()
        return TrainingDivergedError(
            f"the loss or its gradient is not finite in iteration {self.iteration + 1}; the last checkpoint is kept; "
            "try lower learning rates or a smaller max_grad_norm"
        )


def _adamw(model: nn.Module, learning_rate: float) -> torch.optim.Optimizer:
    group = {"params": list(model.parameters()), "peak_lr": learning_rate}
    return torch.optim.AdamW([group], lr=learning_rate, betas=(0.9, 0.95), weight_decay=0.0, fused=True)


def _summary(history: list[dict[str, float]]) -> dict[str, float]:
    """The mean over the updates of an iteration; the ratio's error of the first, where it must be about 0."""
    mean = {name: sum(numbers[name] for numbers in history) / len(history) for name in history[0]}
    del mean["ratio_error"]
    return mean | {"first_ratio_error": history[0]["ratio_error"], "updates": len(history)}


def _differences(times: Sequence[float]) -> list[float]:
    return [later - earlier for earlier, later in pairwise(times)]
