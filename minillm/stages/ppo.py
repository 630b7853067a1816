"""PPO: the policy answers, the reward model scores, and answers that score better than expected become likelier.

Four models take part. The *policy* starts as a copy of the fine-tuned model and is trained. The *reference* is the
fine-tuned model itself and stays: the distance to it costs reward, which is the leash. The *reward model* stays too.
The *critic* starts with the reward model's body and learns to foresee, token by token, what the policy will earn.

Reference: Schulman et al. 2017 (PPO); Ziegler et al. 2019 and Ouyang et al. 2022, section 3.5 (for language models).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from minillm.model.gpt import GPT
from minillm.model.heads import RewardModel
from minillm.stages.iterations import carry_out
from minillm.stages.policy_losses import gae, kl_penalty, policy_loss, value_loss
from minillm.stages.ppo_config import PPOConfig
from minillm.stages.ppo_run import PPORun
from minillm.text.chat import Message
from minillm.text.tokenizer import Tokenizer
from minillm.train.options import RunOptions

__all__ = ["PPOConfig", "gae", "kl_penalty", "policy_loss", "train_policy", "value_loss"]


def train_policy(
    config: PPOConfig,
    sft_model: GPT,
    reward_model: RewardModel,
    tokenizer: Tokenizer,
    prompt: Callable[[int], Sequence[Message]],
    options: RunOptions,
    *,
    evaluate: Callable[[GPT], dict[str, Any]] | None = None,
    run_class: type[PPORun] = PPORun,
) -> tuple[GPT, dict[str, Any]]:
    """Train a policy against a reward model.

    A run that was stopped goes on from its last checkpoint in the folder, to the same weights bit for bit on a CPU.

    Args:
        config: the settings.
        sft_model: the fine-tuned model. A copy of it is trained; it is the reference itself, and keeps its weights.
        reward_model: gives the scores, and keeps its weights; the critic starts with a copy of its body. Both models
            end on the runtime's device, in evaluation mode.
        tokenizer: of all of them.
        prompt: from 0, 1, 2, ... to conversations that end with the user's message.
        options: where and how; the folder gets rollouts.jsonl too.
        evaluate: called before the first iteration, every `evaluate_every` and after the last; what it returns is
            logged, and reaches nothing else.
        run_class: what carries out the steps; one of your own to change a step.
    Returns:
        the policy, and the figures of its training, those of the last tenth of the iterations averaged.
    Raises:
        TrainingDivergedError: a loss or gradient became NaN or infinite; the last good checkpoint is kept.
        TrainingInterrupted: Ctrl-C, SIGTERM or SIGHUP; the state has been saved.
        ValueError: the folder holds a run of other settings.
    """
    run = run_class(config, sft_model, reward_model, tokenizer, prompt, options)
    return carry_out(run, evaluate, lambda now: f"reward {now['reward']:.2f}, KL {now['kl']:.1f} nats")
