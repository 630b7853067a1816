"""Make the recordings that chapter 07 shows: PPO with three seeds, without leash, without clip, and broken; beside it
GRPO, whose reward is a program, and the best of n.

python tools/record.py [FOLDER OF RUNS]

Trains what is missing, one to two minutes a run on two cores (and the stages before it for the other seeds), and writes
minillm/recordings/ppo.json. A run that is there already is read, not repeated.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from recorder import rounded, write_recording
from torch import Tensor

from minillm.artifact import Artifact
from minillm.course import Course
from minillm.data.tasks import PPO_TEST_SEED, Tasks
from minillm.evaluate import best_of_n, fitting_tasks
from minillm.recipes import STAGES
from minillm.recipes import ppo as recipe
from minillm.stages.ppo_run import PPORun
from minillm.stages.rollouts import Rollouts
from minillm.text.chat import END, Message

PPO = Course("cpu").preset.ppo


class UnmaskedRollouts(Rollouts):
    """Rollouts whose actions go on into the padding, which therefore may not be cut away."""

    def rows(self, numbers: Tensor | slice) -> UnmaskedRollouts:
        some = super().rows(numbers)
        width = max(some.ids.shape[1], 1 + int(self.action_mask[numbers].any(dim=0).nonzero().max()) + 1)
        return UnmaskedRollouts(
            self.ids[numbers, :width],
            self.mask[numbers, :width],
            self.action_mask[numbers, : width - 1],
            some.ended,
            some.order,
            some.starts,
        )


class PaddingUnmasked(PPORun):
    """A mistake to look at: padding counts as actions."""

    def sample(self) -> tuple[Rollouts, list[Sequence[Message]]]:
        rollouts, prompts = super().sample()
        columns = torch.arange(1, rollouts.ids.shape[1], device=rollouts.ids.device)[None]
        parts = vars(rollouts) | {"action_mask": columns >= rollouts.starts[:, None]}
        return UnmaskedRollouts(**parts), prompts


class EndTokenIgnored(PPORun):
    """Another: the end token is no action."""

    def sample(self) -> tuple[Rollouts, list[Sequence[Message]]]:
        rollouts, prompts = super().sample()
        ends = rollouts.ids[:, 1:] == self.tokenizer.special_tokens[END]
        return replace(rollouts, action_mask=rollouts.action_mask & ~ends), prompts


SEEDS = (0, 1, 2)
Changes = dict[str, dict[str, Any]]  # stage: what differs from the preset
MISTAKES: dict[str, type[PPORun]] = {
    "padding unmasked": PaddingUnmasked,
    "end token ignored": EndTokenIgnored,
}
FEW_PROMPTS = {"prompts": 64, "epochs": 2}  # the same answers learned from twice: quicker, and rougher
HARDER = FEW_PROMPTS | {"iterations": 40, "learning_rate": 5e-4}  # far enough to show what the leash is for
MANY_EPOCHS = FEW_PROMPTS | {"iterations": 10, "epochs": 10}  # the clip is at work
TWICE = {"learning_rate": 2 * PPO.learning_rate}
NO_CLIP = {"clip_eps": None}
NO_LEASH, SHORT_LEASH, NO_SURPRISE = {"kl_coef": 0}, {"kl_coef": 0.2}, {"surprise": False}
EXPERIMENTS: dict[str, Changes] = {  # recorded with every seed
    "": {},
    "harder, ": {"ppo": HARDER},
    "harder, no leash, ": {"ppo": HARDER | NO_LEASH},
    "harder, no surprise, ": {"ppo": HARDER, "reward": NO_SURPRISE},
    "harder, no surprise, short leash, ": {"ppo": HARDER | SHORT_LEASH, "reward": NO_SURPRISE},
    "harder, no surprise, no leash, ": {"ppo": HARDER | NO_LEASH, "reward": NO_SURPRISE},
}
RUNS: dict[str, tuple[int, Changes]] = {
    **{f"{name}seed {seed}": (seed, changes) for name, changes in EXPERIMENTS.items() for seed in SEEDS},
    "many epochs": (0, {"ppo": MANY_EPOCHS}),
    "many epochs, no clip": (0, {"ppo": MANY_EPOCHS | NO_CLIP}),
    "many epochs, twice the rate": (0, {"ppo": MANY_EPOCHS | TWICE}),
    "many epochs, twice the rate, no clip": (0, {"ppo": MANY_EPOCHS | TWICE | NO_CLIP}),
    **{f"kl_coef {value:g}": (0, {"ppo": {"kl_coef": value}}) for value in (0.02, 0.2)},
    "learning rate x 10": (0, {"ppo": {"learning_rate": 10 * PPO.learning_rate}}),
    "padding unmasked": (0, {}),
    "end token ignored": (0, {"ppo": {"missing_end_penalty": 0}}),
}
COUNTS = (1, 2, 4, 8)  # answers of which the best is kept
LEFT_OUT = {  # of a line
    "tokens", "seconds", "seconds_sampling", "seconds_scoring", "seconds_learning", "updates", "kl_coef", "kl_k3",
    "reward_std", "step_kl", "policy_loss", "policy_grad_norm", "critic_grad_norm", "held_out_parts", "shown",
}  # fmt: skip


def main() -> None:
    """Train what is missing, gather, write."""
    root = sys.argv[1] if len(sys.argv) > 1 else None
    runs = {}
    for name, (seed, changes) in RUNS.items():
        print(name, file=sys.stderr)
        stage = stage_of(name)
        changed = changes if stage == "ppo" else {stage: changes.get("ppo", {})}
        artifact = Course("cpu", root, seed=seed, **changed).stage(stage)
        runs[name] = recorded(name, artifact, seed, changes)
    best = {f"seed {seed}": best_of(Course("cpu", root, seed=seed)) for seed in SEEDS}
    checked = {f"seed {seed}": of_checker(Course("cpu", root, seed=seed)) for seed in SEEDS}
    write_recording("ppo", runs, best_of_n=best, checked=checked)


def of_checker(course: Course) -> dict[str, Any]:
    """What the full test finds of the policy that a program's verdict has trained, from the same assistant."""
    figures = course.stage("grpo").figures
    kept = "accuracy", "parts", "gold_score", "kl_per_response"
    return {name: rounded(figures[name]) for name in kept}


def best_of(course: Course) -> dict[str, dict[str, float]]:
    """For each n what the best of n answers of the assistant is worth, on the tasks that policies are watched on."""
    sft, reward = course.stage("sft"), course.stage("reward")
    model, tokenizer = sft.language_model, sft.tokenizer
    tasks = fitting_tasks(Tasks("test").tasks(course.preset.test_tasks, PPO_TEST_SEED), model, tokenizer)
    limit = course.preset.ppo.max_new_tokens
    found = best_of_n(model, reward.reward_model, tokenizer, tasks, COUNTS, max_new_tokens=limit)
    return {str(n): rounded(figures) for n, figures in found.items()}


def stage_of(name: str) -> str:
    """The stage that makes a run: `ppo`, or for one with a mistake a stage of its own, which is registered here."""
    if name not in MISTAKES:
        return "ppo"
    stage = f"ppo {name}".replace(" ", "_")
    STAGES[stage] = replace(recipe.PPO, name=stage, train=partial(recipe.train, run_class=MISTAKES[name]))
    return stage


def recorded(name: str, artifact: Artifact, seed: int, changes: Changes) -> dict[str, Any]:
    """What is kept of a run."""
    metrics = [
        {key: value for key, value in line.items() if key not in LEFT_OUT} for line in artifact.metrics
    ]
    metrics[-1]["shown"] = artifact.metrics[-1]["shown"]
    return {
        "flag": flag(name, seed, changes),
        "seed": seed,
        "changes": changes,
        "key": artifact.summary["key"],
        "metrics": rounded(metrics),
        "figures": rounded(artifact.figures),
    }


def flag(name: str, seed: int, changes: Changes) -> str:
    """What makes a run again: the flags for `minillm run`, and the class of one with a mistake."""
    settings = [
        f"--set {stage}.{setting}={json_value(value)}"
        for stage, changed in changes.items()
        for setting, value in changed.items()
    ]
    seeds = [f"--seed {seed}"] if seed else []
    mistake = [f"{MISTAKES[name].__name__} in tools/record.py"] if name in MISTAKES else []
    return " ".join(seeds + settings + mistake)


def json_value(value: Any) -> str:
    """A setting as it is written after `--set`."""
    return f"{value:g}" if isinstance(value, float) else json.dumps(value)


if __name__ == "__main__":
    main()
