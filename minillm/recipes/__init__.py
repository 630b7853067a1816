"""The stages of the course, each in a file of its own; this is where they are registered.

A stage that is not listed here, such as one of your own, joins by `STAGES[stage.name] = stage`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from minillm.costs import token_flops
from minillm.presets import Preset
from minillm.recipes.base import BASE
from minillm.recipes.dpo import DPO
from minillm.recipes.grpo import GRPO
from minillm.recipes.lora import LORA
from minillm.recipes.ppo import PPO
from minillm.recipes.preferences import PREFERENCES
from minillm.recipes.reward import REWARD
from minillm.recipes.sft import SFT
from minillm.recipes.stage import Figures, Job, Stage, Trained
from minillm.recipes.tokenizer import TOKENIZER

__all__ = [
    "STAGES",
    "Figures",
    "Job",
    "Stage",
    "Trained",
    "assistant_stage",
    "find_stage",
    "headline",
    "left_out",
    "stage_flops",
    "stage_tokens",
    "stages_that_write",
]

STAGES: dict[str, Stage[Any]] = {
    stage.name: stage for stage in (TOKENIZER, BASE, SFT, GRPO, PREFERENCES, DPO, REWARD, PPO, LORA)
}
"""All stages by name, parents before children."""


def find_stage(name: str) -> Stage[Any]:
    """The stage of a name.

    Raises:
        ValueError: there is none.
    """
    if name not in STAGES:
        raise ValueError(f"stage {name!r} is unknown; choose one of {', '.join(STAGES)}")
    return STAGES[name]


def stages_that_write() -> list[str]:
    """The names of the stages whose models write."""
    return [stage.name for stage in STAGES.values() if stage.writes]


def assistant_stage() -> str:
    """The first stage whose model answers: later ones are compared with it."""
    return next(stage.name for stage in STAGES.values() if stage.output == "answers")


def headline(stage: str, figures: Figures) -> str:
    """The one thing to know about a stage's figures; "" for a stage that is not registered.

    Where a figure that it tells is missing or of another kind, that is said instead: a table shows the other stages.
    """
    try:
        return STAGES[stage].headline(figures) if stage in STAGES else ""
    except (KeyError, TypeError, ValueError):
        return "figures of another version"


def left_out(given: Collection[str]) -> dict[str, tuple[list[str], str]]:
    """The stages that cannot be trained with conversations of one's own, unless more is given beside them.

    Args:
        given: the sources that the user has named.
    Returns:
        by source, the stages that need it, directly or through their parents, and what to give.
    """
    found: dict[str, tuple[list[str], str]] = {}
    for stage in STAGES.values():
        for source, remedy in stage.needs.items():
            if source not in given:
                names, told = found.get(source, ([], remedy))
                names += [name for name in _with_children(stage.name) if name not in names]
                found[source] = (names, told)
    return found


def _with_children(name: str) -> list[str]:
    """A stage and all that start from it, in their order."""
    found = [name]
    for stage in STAGES.values():
        if set(stage.parents) & set(found):
            found.append(stage.name)
    return found


def stage_tokens(preset: Preset) -> dict[str, int]:
    """Tokens that each stage computes, padding included; answers are counted as if each filled the context.

    For PPO, DPO, GRPO and the reward model that is an upper bound. That little data may end a stage early is not seen.
    """
    return {stage.name: stage.tokens(preset) for stage in _counted() if stage.tokens is not None}


def stage_flops(preset: Preset) -> dict[str, float]:
    """Operations of each stage's training. Sampling the answers for the preferences, and tests, are not counted."""
    forward = token_flops(preset.base.model)
    tokens = stage_tokens(preset)
    return {stage.name: stage.passes(preset) * forward * tokens[stage.name] for stage in _counted()}


def _counted() -> Iterable[Stage[Any]]:
    return [stage for stage in STAGES.values() if stage.tokens is not None]
