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
from minillm.progress import progress_bar
from minillm.stages.policy_losses import gae, kl_penalty, policy_loss, value_loss
from minillm.stages.ppo_config import PPOConfig
from minillm.stages.ppo_run import PPORun
from minillm.text.chat import Message
from minillm.text.tokenizer import Tokenizer
from minillm.train.interrupt import stop_signal
from minillm.train.options import RunOptions
from minillm.train.runtime import from_main

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
    run.resume()
    runtime = run.options.runtime
    shown = options.progress and runtime.is_main
    bar = progress_bar(shown, total=config.iterations, initial=run.iteration, unit="iteration")
    with bar, stop_signal(runtime.world_size == 1, run.what_is_kept) as stop:
        watch = evaluate if runtime.is_main else None  # the others need not know
        if watch and not run.log.lines:
            run.log.add({"step": 0} | watch(run.policy))
        while run.iteration < config.iterations:
            numbers = run.iterate()
            last = run.iteration == config.iterations
            if watch and (last or run.iteration % config.evaluate_every == 0):
                numbers |= watch(run.policy)
            run.log.add({"step": run.iteration} | numbers | {"seconds": round(run.seconds, 3)})
            bar.set_postfix_str(f"reward {numbers['reward']:.2f}, KL {numbers['kl']:.1f} nats", refresh=False)
            bar.update()
            if last or stop.is_set() or run.iteration % config.checkpoint_every == 0:
                run.save()
            if stop.is_set() and not last:
                done = f"stopped after iteration {run.iteration} of {config.iterations}"
                again = "run the same command again to go on from there"
                raise stop.interruption(f"{done}; {run.what_is_kept() if options.folder is None else again}")
    figures: dict[str, Any] = from_main(lambda: _figures(run), runtime)  # which has the log
    return run.policy, figures


def _figures(run: PPORun) -> dict[str, Any]:
    """The key numbers of a run; averages are over the last tenth of the iterations."""
    lines = [line for line in run.log.lines if "seconds_sampling" in line]  # those of iterations
    recent = lines[-max(1, len(lines) // 10) :]
    mean = {
        name: sum(line[name] for line in recent) / len(recent)
        for name in (
            "reward",
            "kl",
            "entropy",
            "clip_fraction",
            "explained_variance",
            "length",
            "ended_share",
        )
    }
    spent = {
        name: round(sum(line[name] for line in lines), 2)
        for name in ("seconds_sampling", "seconds_scoring", "seconds_learning")
    }
    return {
        "seconds": round(run.seconds, 2),
        "training_seconds": round(sum(spent.values()), 2),
        "parameters": run.policy.n_parameters,
        "iterations": run.iteration,
        "answers": run.iteration * run.config.prompts,
        "tokens": run.tokens,
        "first_ratio_error": max(line["first_ratio_error"] for line in lines),
        **{f"train_{name}": value for name, value in mean.items()},
        **spent,
    }
