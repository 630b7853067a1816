"""What PPO and GRPO share: a model learns from answers of its own, iteration by iteration.

An iteration samples answers (`sample`), finds out how good they are (`judge`), learns from them (`learn`) and logs it.
How good an answer is, and what the loss is, the run of each method says itself.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain, pairwise
from typing import Any, ClassVar, Generic, TypeVar

import torch
from torch import Tensor, nn

from minillm.keys import deciding
from minillm.model.gpt import GPT
from minillm.stages.policy_losses import kl_penalty, masked_mean
from minillm.stages.rollouts import Rollouts, sample_rollouts
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

__all__ = ["ROLLOUTS_FILE", "Experience", "OnPolicyConfig", "OnPolicyRun"]

ROLLOUTS_FILE = "rollouts.jsonl"
_LOGGED_ROLLOUTS = 4  # of each iteration
_PASSED_OVER = 20  # times as many prompts as are needed are looked at, before they are called too long


@dataclass(frozen=True)
class OnPolicyConfig:
    """The settings that every such run has; each method says its own defaults."""

    iterations: int  # rounds of sampling and learning
    prompts: int  # answered in an iteration
    epochs: int  # passes over an iteration's answers
    minibatches: int  # updates in a pass
    learning_rate: float  # AdamW's peak for the policy
    final_share: float  # share of the learning rates that is left at the end of their linear fall
    kl_coef: float  # what a nat of distance to the reference costs
    max_step_kl: float | None  # nats a token from the sampling policy at which updates end
    max_grad_norm: float  # a longer gradient is cut to it
    temperature: float  # of the answers
    max_new_tokens: int  # of an answer, its end token included
    rows: int  # answers computed at once
    evaluate_every: int  # iterations between evaluations
    checkpoint_every: int  # iterations between checkpoints


@dataclass(frozen=True)
class Experience:
    """What an iteration learns from: the answers, and of each action what the models said when it was taken.

    All tensors but the scores are (batch, time - 1), 0 where there is no action.
    """

    rollouts: Rollouts  # the answers
    scores: Tensor  # (batch,) what each answer earned, without penalty
    log_probs: Tensor  # under the policy that sampled
    log_probs_ref: Tensor | None  # under the reference; None: it was not asked
    entropies: Tensor  # of the policy's choices
    advantages: Tensor  # how much better than expected


Config = TypeVar("Config", bound=OnPolicyConfig)
Asked = TypeVar("Asked")
Told = TypeVar("Told", bound=Experience)


class OnPolicyRun(Generic[Config, Asked, Told]):
    """The state of a run, and the steps that an iteration is made of.

    Args:
        config: the settings.
        sft_model: a copy of it is trained; it is the reference itself, and keeps its weights.
        tokenizer: the model's.
        prompt: what is asked, from 0, 1, 2, ...
        options: where and how; the folder gets rollouts.jsonl too.
    """

    averaged: ClassVar[tuple[str, ...]] = (
        "reward",
        "kl",
        "entropy",
        "clip_fraction",
        "length",
        "ended_share",
    )
    """Numbers of an iteration that are figures of the run, where they are logged: averages over its last tenth."""

    def __init__(
        self,
        config: Config,
        sft_model: GPT,
        tokenizer: Tokenizer,
        prompt: Callable[[int], Asked],
        options: RunOptions,
    ) -> None:
        # In bf16 the first ratios of an iteration, which must be 1, are off by several per cent.
        runtime = replace(options.runtime, precision="fp32")
        self.config, self.options = config, replace(options, runtime=runtime)
        self.tokenizer, self.prompt = tokenizer, prompt
        self.policy = copy.deepcopy(sft_model).to(runtime.device).eval().requires_grad_(True)
        # It belongs to the caller: its gradients stay switched on, and `judge` asks for none.
        self.reference = sft_model.to(runtime.device).eval()
        self.learners: dict[str, nn.Module] = {}
        self.optimizers: dict[str, torch.optim.Optimizer] = {}
        self.teach("policy", self.policy, config.learning_rate)
        self.answers_each = 1  # to a prompt
        folder = options.folder
        written = folder if runtime.is_main else None
        self.log = MetricsLog(written and written / METRICS_FILE)
        self.rollout_log = MetricsLog(written and written / ROLLOUTS_FILE)
        self.checkpoints = None if folder is None else Checkpoints(folder / CHECKPOINT_FOLDER)
        self.iteration, self.kl_coef, self.tokens = 0, config.kl_coef, 0
        self._started = time.perf_counter()

    def teach(self, name: str, model: nn.Module, learning_rate: float) -> None:
        """Count a model among those that learn, with an optimizer of its own."""
        self.learners[name], self.optimizers[name] = model, _adamw(model, learning_rate)
        broadcast_weights(model, self.options.runtime.world_size)

    @property
    def seconds(self) -> float:
        """Time spent so far."""
        return time.perf_counter() - self._started

    # -- what each method says itself --

    def conversations(self, asked: Asked) -> Iterable[tuple[Asked, Sequence[Message]]]:
        """What is asked as a conversation, the first choice first: others serve where it fills the context."""
        raise NotImplementedError

    def judge(self, rollouts: Rollouts, prompts: Sequence[Asked]) -> Told:
        """How good the answers are."""
        raise NotImplementedError

    def losses(self, experience: Told, rows: Tensor) -> tuple[list[Tensor], dict[str, float]]:
        """The losses of the learners on some rows, means over their actions, and numbers that describe them.

        One of these is `ratio_error`, the largest distance of an action's ratio from 1, and one `step_kl`.
        """
        raise NotImplementedError

    def rows_to_learn_from(self, experience: Told) -> Tensor:
        """The numbers of the answers that are learned from, at least one."""
        return torch.arange(len(experience.rollouts))

    def rests(self, name: str) -> bool:
        """Whether a learner keeps its weights in this iteration."""
        return False

    def steer(self, kl: float) -> None:
        """Called after each iteration with its KL per response, to change the coefficient."""

    # -- the steps of an iteration --

    def iterate(self) -> dict[str, float]:
        """Sample, score, estimate advantages, learn, and log."""
        with self.options.runtime.autocast():
            clock = [time.perf_counter()]
            rollouts, prompts = self.sample()
            clock.append(time.perf_counter())
            experience = self.judge(rollouts, prompts)
            clock.append(time.perf_counter())
            numbers = self.learn(experience)
            clock.append(time.perf_counter())
        numbers |= self.describe(experience)
        spent = dict(zip(("sampling", "scoring", "learning"), _differences(clock), strict=True))
        numbers |= {f"seconds_{name}": round(seconds, 4) for name, seconds in spent.items()}
        self.iteration += 1
        self.tokens += int(rollouts.action_mask.sum())
        if "kl" in numbers:
            self.steer(numbers["kl"])
        self.log_rollouts(experience, prompts)
        return numbers

    def sample(self) -> tuple[Rollouts, list[Asked]]:
        """Let the policy answer this iteration's prompts; `order` numbers the answers, prompt after prompt."""
        prompts, rendered = self._prompts()
        rollouts = sample_rollouts(
            self.policy,
            [ids for ids in rendered for _ in range(self.answers_each)],
            self.tokenizer.special_tokens[END],
            self.tokenizer.end_of_text_id,
            self.config.max_new_tokens,
            self.config.temperature,
            make_generator(self.options.seed * 1_000_003 + self.iteration),
            runtime=self.options.runtime,
        )
        return rollouts.to(self.options.runtime.device), prompts

    def _prompts(self) -> tuple[list[Asked], list[list[int]]]:
        """What this iteration asks, and its token ids; a prompt that fills the context is passed over."""
        limit = self.policy.config.context_length - 1
        prompts: list[Asked] = []
        rendered: list[list[int]] = []
        number = self.iteration * self.config.prompts
        stride = self.config.iterations * self.config.prompts
        passed_over = 0
        while len(prompts) < self.config.prompts:
            if passed_over > _PASSED_OVER * self.config.prompts:
                raise ValueError(
                    f"of {passed_over + len(prompts)} prompts only {len(prompts)} leave room for an answer in the "
                    f"context of {limit + 1} tokens; give shorter ones"
                )
            for asked, messages in self.conversations(self.prompt(number + len(prompts))):
                ids = render_chat(messages, self.tokenizer, add_generation_prompt=True).ids
                if len(ids) < limit:
                    prompts.append(asked)
                    rendered.append(ids)
                    break
            else:
                number += 1 if passed_over else stride  # to what no iteration asks, and on one by one
                passed_over += 1
        return prompts, rendered

    def learn(self, experience: Told) -> dict[str, float]:
        """Go over the answers a few times, in minibatches, and change the learners."""
        config, generator = self.config, make_generator(self.options.seed * 1_000_003 + self.iteration)
        self._set_learning_rates()
        history: list[dict[str, float]] = []
        taught = self.rows_to_learn_from(experience)
        for _ in range(config.epochs):
            order = taught[torch.randperm(len(taught), generator=generator)]
            for rows in order.chunk(config.minibatches):
                history.append(self.update(experience, rows.sort().values))
                if config.max_step_kl is not None and history[-1]["step_kl"] > config.max_step_kl:
                    return _summary(history)
        return _summary(history)

    def update(self, experience: Told, rows: Tensor) -> dict[str, float]:
        """One step of each optimizer, on the answers of some rows, of which each process takes its share."""
        config, rank, world_size = self.config, self.options.runtime.rank, self.options.runtime.world_size
        count = int(experience.rollouts.action_mask[rows].sum())
        history = []
        at_once = min(config.rows, math.ceil(len(rows) / world_size))
        for piece in torch.split(rows, at_once)[rank::world_size]:
            losses, numbers = self.losses(experience, piece)
            share = int(experience.rollouts.action_mask[piece].sum()) / max(1, count)
            (share * torch.stack(losses).sum()).backward()  # type: ignore[no-untyped-call]  # untyped in torch
            history.append((share, numbers))
        for model in self.learners.values():
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
        for name, model in self.learners.items():
            norm = nn.utils.clip_grad_norm_(model.parameters(), config.max_grad_norm)
            sums[f"{name}_grad_norm"] = float(norm)
        if not all(map(math.isfinite, sums.values())):
            raise self._diverged()
        for name, optimizer in self.optimizers.items():
            if not self.rests(name):
                optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        return sums

    # -- the log --

    def describe(self, experience: Told) -> dict[str, float]:
        """Every part of an iteration apart: nats per response, tokens per response, shares from 0 to 1."""
        rollouts, reference = experience.rollouts, experience.log_probs_ref
        numbers = {
            "reward": experience.scores.mean().item(),
            "reward_std": experience.scores.std().item() if len(experience.scores) > 1 else 0.0,
            "kl_coef": self.kl_coef,
            "entropy": masked_mean(experience.entropies, rollouts.action_mask).item(),
            "length": sum(map(len, rollouts.answers())) / len(rollouts),
            "ended_share": rollouts.ended.float().mean().item(),
        }
        if reference is not None:
            for name, kind in (("kl", "k1"), ("kl_k3", "k3")):
                distance = kl_penalty(experience.log_probs, reference, kind)
                numbers[name] = distance.sum(dim=1).mean().item()
        return numbers

    def log_rollouts(self, experience: Told, prompts: Sequence[Asked]) -> None:
        """Keep a few answers, so that one can read how they change."""
        rollouts, reference = experience.rollouts, experience.log_probs_ref
        answers = rollouts.answers()
        kl = None if reference is None else (experience.log_probs - reference).sum(dim=1)
        for row in rollouts.order.argsort()[:: self.answers_each][:_LOGGED_ROLLOUTS].tolist():
            asked = prompts[int(rollouts.order[row]) // self.answers_each]
            _, messages = next(iter(self.conversations(asked)))
            self.rollout_log.add(
                {
                    "step": self.iteration,
                    "prompt": messages[-1]["content"],
                    "answer": answer_text(answers[row], self.tokenizer),
                    "reward": round(experience.scores[row].item(), 4),
                    **({} if kl is None else {"kl": round(kl[row].item(), 4)}),
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
        tensors = optimizer_tensors(list(self.optimizers.values()))
        for name, model in self.learners.items():
            tensors |= model_tensors(model, f"{name}.")
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
            for name, model in self.learners.items():
                load_model_tensors(model, tensors, f"{name}.")
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
        saved = [] if self.checkpoints is None else self.checkpoints.steps()
        kept = f"the checkpoint of iteration {saved[-1]} is kept" if saved else "nothing was saved yet"
        return TrainingDivergedError(
            f"the loss or its gradient is not finite in iteration {self.iteration + 1}; {kept}; "
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
