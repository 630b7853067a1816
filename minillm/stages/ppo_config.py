"""The settings of PPO."""

from __future__ import annotations

from dataclasses import dataclass

from minillm import checks
from minillm.keys import setting
from minillm.stages.on_policy import OnPolicyConfig

__all__ = ["PPOConfig"]


@dataclass(frozen=True)
class PPOConfig(OnPolicyConfig):
    """Settings of PPO. One iteration samples answers and learns from them, a few times over."""

    iterations: int = 24  # rounds of sampling and learning
    prompts: int = 128  # answered in an iteration, once each
    epochs: int = 1  # passes over an iteration's answers
    minibatches: int = 2  # updates in a pass
    learning_rate: float = 2e-4  # AdamW's peak for the policy
    critic_learning_rate: float = 1e-3  # AdamW's peak for the critic
    critic_warmup: int = 0  # first iterations in which only the critic learns
    final_share: float = 0.1  # share of the learning rates that is left at the end of their linear fall
    clip_eps: float | None = (
        0.2  # how far the ratio of probabilities may move from 1 before that stops paying; None: as it likes
    )
    value_clip_eps: float | None = 0.2  # the same for the critic's values; None: as far as they like
    gamma: float = 1.0  # what a reward a token later is worth
    lam: float = 0.95  # of the advantages: 0 trusts the critic, 1 the rewards alone
    kl_coef: float = 0.1  # reward that a nat of distance to the reference costs
    leash_temperature: float = 1.0  # of the reference in that distance; below 1 unlikely tokens cost more
    kl_target: float | None = None  # nats a response at which kl_coef is steered; None: it stays as it is
    max_step_kl: float | None = None  # nats a token from the sampling policy at which updates end
    whiten: bool = True  # whether advantages are brought to mean 0 and variance 1
    max_grad_norm: float = 1.0  # a longer gradient is cut to it
    temperature: float = 1.0  # of the answers
    max_new_tokens: int = 100  # of an answer, its end token included
    missing_end_penalty: float = 1.0  # taken from the score of an answer without its end token
    rows: int = 16  # answers computed at once
    evaluate_every: int = setting(4)  # iterations between evaluations
    checkpoint_every: int = setting(8)  # iterations between checkpoints

    def __post_init__(self) -> None:
        for name in ("iterations", "prompts", "epochs", "minibatches", "rows", "max_new_tokens"):
            checks.whole_number(name, getattr(self, name), at_least=1)
        for name in ("evaluate_every", "checkpoint_every"):
            checks.whole_number(name, getattr(self, name), at_least=1)
        checks.whole_number("critic_warmup", self.critic_warmup, at_least=0)
        for name in (
            "learning_rate",
            "critic_learning_rate",
            "max_grad_norm",
            "temperature",
            "leash_temperature",
        ):
            checks.number(name, getattr(self, name), above=0)
        for name in ("clip_eps", "value_clip_eps", "kl_target", "max_step_kl"):
            checks.number(name, getattr(self, name), above=0, optional=True)
        for name in ("gamma", "lam", "final_share"):
            checks.number(name, getattr(self, name), at_least=0, at_most=1)
        for name in ("kl_coef", "missing_end_penalty"):
            checks.number(name, getattr(self, name), at_least=0)
        checks.yes_or_no("whiten", self.whiten)
        if self.minibatches > self.prompts:
            raise ValueError(
                f"minibatches is {self.minibatches} and prompts {self.prompts}; use at least a prompt a minibatch"
            )
