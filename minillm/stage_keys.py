"""The keys of the stages of a preset, hashes of what decides their weights and figures; and what they are made from."""

from __future__ import annotations

import json
from typing import Any

from minillm.evaluate import examination_fingerprint
from minillm.files import sha256_bytes
from minillm.keys import deciding, measuring, stops_early
from minillm.overrides import stage_settings
from minillm.presets import Preset
from minillm.recipes import find_stage

__all__ = ["described", "examination_key", "settings_of", "stage_key"]


def stage_key(preset: Preset, stage: str) -> str:
    """The key of what decides a stage's weights: 12 hexadecimal digits."""
    entry, config = find_stage(stage), settings_of(preset, stage)
    content = {
        "stage": stage,
        "version": entry.version,
        "settings": deciding(config),
        "sources": {name: getattr(preset, name).settings() for name in entry.reads},
        "seed": preset.seed if entry.seeded else None,
        "parents": [stage_key(preset, parent) for parent in entry.parents],
    }
    if stops_early(config):
        content["held out"] = _held_out(preset, stage)
    return _digest(content)


def examination_key(preset: Preset, stage: str) -> str:
    """The key of what decides a stage's figures beside its weights: 12 hexadecimal digits."""
    entry, n = find_stage(stage), preset.test_tasks
    content = {
        "version": entry.test_version,
        "settings": measuring(settings_of(preset, stage)),
        "held out": _held_out(preset, stage),
        "parents": [find_stage(parent).test_version for parent in entry.parents],
        "tasks": examination_fingerprint(n) if entry.tested_on_tasks else None,
    }
    return _digest(content)


def settings_of(preset: Preset, stage: str) -> Any:
    """The settings of a stage in a preset; None for a stage that has none."""
    config = find_stage(stage).config
    return None if config is None else stage_settings(preset, stage, config)


def described(preset: Preset, stage: str) -> dict[str, Any]:
    """What a stage is trained from and how, as JSON values."""
    entry = find_stage(stage)
    return {
        "data": "; before that, ".join(_data(preset, stage)),
        "preset": preset.name,
        "parents": {parent: stage_key(preset, parent) for parent in entry.parents},
        "seed": preset.seed,
        **{name: getattr(preset, name).settings() for name in entry.reads},
        **(deciding(settings_of(preset, stage)) or {}),
    }


def _data(preset: Preset, stage: str) -> list[str]:
    """What a stage learned from, and before that the models that it started from."""
    entry = find_stage(stage)
    own = [getattr(preset, name).description for name in entry.reads[:1]]
    earlier = [text for parent in reversed(entry.parents) for text in _data(preset, parent)]
    return list(dict.fromkeys([*own, *earlier]))


def _held_out(preset: Preset, stage: str) -> list[dict[str, Any]]:
    """What decides the data that a stage is validated on, and nothing else; also of parents that make data."""
    entry = find_stage(stage)
    own = [getattr(preset, name).held_out_settings() for name in entry.reads if entry.validated]
    makers = [parent for parent in entry.parents if find_stage(parent).output == "comparisons"]
    return own + [settings for parent in makers for settings in _held_out(preset, parent)]


def _digest(content: dict[str, Any]) -> str:
    return sha256_bytes(json.dumps(content, sort_keys=True).encode())[:12]
