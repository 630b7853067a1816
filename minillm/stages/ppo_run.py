"""The state of a PPO run, and the steps that an iteration is made of: sample, judge, learn, log."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import chain, pairwise
from typing import Any

import torch
from torch import Tensor, nn

from minillm.data.conversations import prompts_of
from minillm.keys import deciding
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
    what_is_kept,
)
from minillm.train.log import MetricsLog
from minillm.train.options import RunOptions
from minillm.train.run import CHECKPOINT_FOLDER, METRICS_FILE, TrainingDivergedError
from minillm.train.runtime import (
    broadcast_weights,
    gather_from_processes,
    make_generator,
    synchronise_gradients,
)

__all__ = ["ROLLOUTS_FILE", "Experience", "PPORun", "token_rewards"]

ROLLOUTS_FILE = "rollouts.jsonl"
_LOGGED_ROLLOUTS = 4  # of each iteration
_PASSED_OVER = 20  # times as many prompts as are needed are looked at, before they are called too long
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
    """One call of `train_policy`, whose arguments these are: the state, and the steps that an iteration is made of."""

    def __init__(
        self,
        config: PPOConfig,
        sft_model: GPT,
        reward_model: RewardModel,
        tokenizer: Tokenizer,
        prompt: Callable[[int], Sequence[Message]],
        options: RunOptions,
    ) -> None:
        # In bf16 the first ratios of an iteration, which must be 1, are off by several per cent.
        runtime = replace(options.runtime, precision="fp32")
        self.config, self.options = config, replace(options, runtime=runtime)
        self.tokenizer, self.prompt = tokenizer, prompt
        self.policy = copy.deepcopy(sft_model).to(runtime.device).eval().requires_grad_(True)
        # Both belong to the caller: their gradients stay switched on, and `judge` asks for none.
        self.reference = sft_model.to(runtime.device).eval()
        self.reward_model = reward_model.to(runtime.device).eval()
        self.critic = critic_of(reward_model).to(runtime.device).eval()
        self.optimizers = {
            "policy": _adamw(self.policy, config.learning_rate),
            "critic": _adamw(self.critic, config.critic_learning_rate),
        }
        for model in (self.policy, self.critic):
            broadcast_weights(model, runtime.world_size)
        folder = options.folder
        written = folder if runtime.is_main else None
        self.log = MetricsLog(written and written / METRICS_FILE)
        self.rollout_log = MetricsLog(written and written / ROLLOUTS_FILE)
        self.checkpoints = None if folder is None else Checkpoints(folder / CHECKPOINT_FOLDER)
        self.iteration, self.kl_coef, self.tokens = 0, config.kl_coef, 0
        self._started = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Time spent so far."""
        return time.perf_counter() - self._started

    # -- the steps of an iteration --

    def iterate(self) -> dict[str, float]:
        """Sample, score, estimate advantages, learn, and log."""
        with self.options.runtime.autocast():
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
        prompts: list[Sequence[Message]] = []
        rendered: list[list[int]] = []
        number = self.iteration * self.config.prompts
        stride = self.config.iterations * self.config.prompts
        passed_over = 0
        while len(prompts) < self.config.prompts:  # a prompt that fills the context is passed over
            if passed_over > _PASSED_OVER * self.config.prompts:
                raise ValueError(
                    f"of {passed_over + len(prompts)} prompts only {len(prompts)} leave room for an answer in the "
                    f"context of {limit + 1} tokens; give shorter ones"
                )
            for messages in prompts_of(self.prompt(number + len(prompts))):  # an earlier question may fit
                ids = render_chat(messages, self.tokenizer, add_generation_prompt=True).ids
                if len(ids) < limit:
                    prompts.append(messages)
                    rendered.append(ids)
                    break
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
            make_generator(self.options.seed * 1_000_003 + self.iteration),
            runtime=self.options.runtime,
        )
        return rollouts.to(self.options.runtime.device), prompts

    @torch.no_grad()
    def judge(self, rollouts: Rollouts) -> Experience:
        """Let the four models say what they think of each token, and turn it into advantages."""
        config = self.config
        mask = rollouts.action_mask

        def all_models(piece: Rollouts) -> tuple[Tensor, ...]:
            log_probs, entropies = action_log_probs(self.policy, piece, config.temperature)
            log_probs_ref, _ = action_log_probs(self.reference, piece, config.temperature)
            leash = log_probs_ref
            if config.leash_temperature != 1:
                sharper = config.temperature * config.leash_temperature
                leash, _ = action_log_probs(self.reference, piece, sharper)
            return log_probs, log_probs_ref, leash, entropies, action_values(self.critic, piece)

        log_probs, log_probs_ref, leash, entropies, values = by_pieces(
            all_models, rollouts, config.rows, self.options.runtime
        )
        scores = answer_scores(self.reward_model, rollouts, config.rows, self.options.runtime)
        rewards = token_rewards(
            scores, rollouts.ended, log_probs, leash, mask, self.kl_coef, config.missing_end_penalty
        )
        advantages, returns = gae(rewards, values, mask, config.gamma, config.lam)
        if config.whiten:
            advantages = policy_losses.whiten(advantages, mask)
        return Experience(rollouts, scores, log_probs, log_probs_ref, entropies, values, advantages, returns)

    def learn(self, experience: Experience) -> dict[str, float]:
        """Go over the answers a few times, in minibatches, and change policy and critic."""
        config, generator = self.config, make_generator(self.options.seed * 1_000_003 + self.iteration)
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
        config, rank, world_size = self.config, self.options.runtime.rank, self.options.runtime.world_size
        count = int(experience.rollouts.action_mask[rows].sum())
        history = []
        at_once = min(config.rows, math.ceil(len(rows) / world_size))
        for piece in torch.split(rows, at_once)[rank::world_size]:
            losses, numbers = self.losses(experience, piece)
            share = int(experience.rollouts.action_mask[piece].sum()) / max(1, count)
            (share * (losses[0] + losses[1])).backward()  # type: ignore[no-untyped-call]  # untyped in torch
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
        if self.checkpoints is None or not self.options.runtime.is_main:
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

    def what_is_kept(self) -> str:
        """The line for a user who stops the training."""
        return what_is_kept(None if self.checkpoints is None else self.checkpoints.folder)

    def resume(self) -> None:
        """Go back to the newest good checkpoint, if there is one, and cut the logs to it."""
        if self.checkpoints is not None and (found := self.checkpoints.load()) is not None:
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
        settings: dict[str, Any] = deciding(self.config)
        return settings | {"seed": self.options.seed}

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


def critic_of(reward_model: RewardModel) -> ScalarModel:
    """A critic that foresees nothing yet: the reward model's body, and a head of zeros.

    The reward model's own head has learned what to say at the end of an answer, and nothing for the tokens before it.
    There its numbers vary more than what is earned, so that a critic that started from them would be worse than none.
    """
    critic = ScalarModel.from_body(reward_model)
    nn.init.zeros_(critic.score.weight)
    return critic


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
