"""The state of a PPO run, and the steps that are its own: what the four models say, and what two of them learn."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from minillm.data.conversations import prompts_of
from minillm.model.gpt import GPT
from minillm.model.heads import RewardModel, ScalarModel
from minillm.stages import on_policy, policy_losses
from minillm.stages.on_policy import OnPolicyRun
from minillm.stages.policy_losses import gae, kl_penalty, policy_loss, token_rewards, value_loss
from minillm.stages.ppo_config import PPOConfig
from minillm.stages.rollouts import Rollouts, action_log_probs, action_values, answer_scores, by_pieces
from minillm.text.chat import Message
from minillm.text.tokenizer import Tokenizer
from minillm.train.options import RunOptions

__all__ = ["Experience", "PPORun", "token_rewards"]

_ADAPTIVE_GAIN, _ADAPTIVE_CLIP = 0.1, 0.2  # of the adaptive coefficient, Ziegler et al. 2019, section 2.2


@dataclass(frozen=True)
class Experience(on_policy.Experience):
    """What an iteration learns from: the answers, and of each action what the models said when it was taken.

    All tensors but the scores, which are the reward model's, are (batch, time - 1), 0 where there is no action.
    """

    log_probs_ref: Tensor  # under the reference
    values: Tensor  # of the critic
    returns: Tensor  # by `gae`; what the critic should have said


class PPORun(OnPolicyRun[PPOConfig, Sequence[Message], Experience]):
    """One call of `train_policy`, whose arguments these are: the state, and the steps that an iteration is made of."""

    averaged = (*OnPolicyRun.averaged, "explained_variance")

    def __init__(
        self,
        config: PPOConfig,
        sft_model: GPT,
        reward_model: RewardModel,
        tokenizer: Tokenizer,
        prompt: Callable[[int], Sequence[Message]],
        options: RunOptions,
    ) -> None:
        super().__init__(config, sft_model, tokenizer, prompt, options)
        device = self.options.runtime.device
        self.reward_model = reward_model.to(device).eval()  # the caller's, like the reference
        self.critic = critic_of(reward_model).to(device).eval()
        self.teach("critic", self.critic, config.critic_learning_rate)

    def conversations(
        self, asked: Sequence[Message]
    ) -> Iterable[tuple[Sequence[Message], Sequence[Message]]]:
        """The conversation up to each of its questions, the latest first: an earlier one may fit."""
        return [(messages, messages) for messages in prompts_of(asked)]

    def rests(self, name: str) -> bool:
        """The policy waits until the critic has warmed up."""
        return name == "policy" and self.iteration < self.config.critic_warmup

    @torch.no_grad()
    def judge(self, rollouts: Rollouts, prompts: Sequence[Sequence[Message]] = ()) -> Experience:
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
        return Experience(rollouts, scores, log_probs, log_probs_ref, entropies, advantages, values, returns)

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

    def describe(self, experience: Experience) -> dict[str, float]:
        """Every part of an iteration apart; also how much of the returns the critic foresaw (share of variance)."""
        mask = experience.rollouts.action_mask
        explained = policy_losses.explained_variance(experience.values, experience.returns, mask)
        return super().describe(experience) | {"explained_variance": explained.item()}


def critic_of(reward_model: RewardModel) -> ScalarModel:
    """A critic that foresees nothing yet: the reward model's body, and a head of zeros.

    The reward model's own head has learned what to say at the end of an answer, and nothing for the tokens before it.
    There its numbers vary more than what is earned, so that a critic that started from them would be worse than none.
    """
    critic = ScalarModel.from_body(reward_model)
    nn.init.zeros_(critic.score.weight)
    return critic
