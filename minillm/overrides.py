"""A preset with some of its settings changed, and the settings of a stage in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from minillm import checks
from minillm.presets import SOURCES, Preset
from minillm.recipes import STAGES
from minillm.settings import meant

__all__ = ["stage_settings", "with_overrides"]


def stage_settings(preset: Preset, stage: str, config: type[Any]) -> Any:
    """The settings of a stage: those given beside the preset's fields, else those of the preset, else the defaults."""
    return preset.more.get(stage) or getattr(preset, stage, None) or config()


def with_overrides(preset: Preset, overrides: Mapping[str, Any]) -> Preset:
    """A copy of a preset with some settings changed; those of stages that have no field of their own go into `more`."""
    known = {field.name for field in fields(Preset)} - {"more"}
    beside = {
        name: config
        for name in overrides
        if name not in known and name in STAGES and (config := STAGES[name].config) is not None
    }
    changes = {name: _opened(name, value) for name, value in overrides.items() if name not in beside}
    changed: Preset = _changed(preset, changes, preset.name)
    more = dict(changed.more)
    for name, config in beside.items():
        value, before = overrides[name], stage_settings(changed, name, config)
        more[name] = _changed(before, value, name) if isinstance(value, Mapping) else value
        checks.instance(name, more[name], config)
    return replace(changed, more=more)


def _opened(name: str, value: Any) -> Any:
    """A setting's value; where it names a source, that source, with its own settings changed."""
    if name not in SOURCES:
        return value
    if isinstance(value, (str, Path)):
        return SOURCES[name](value)
    if isinstance(value, Mapping) and "source" in value:
        changes = {key: inner for key, inner in value.items() if key != "source"}
        return _changed(SOURCES[name](value["source"]), changes, name)
    return value


def _changed(config: Any, changes: Mapping[str, Any], where: str) -> Any:
    """A copy of a frozen dataclass with some fields changed, deeper ones by nested mappings."""
    known = [field.name for field in fields(config) if field.name != "more"]
    values = {}
    for name, value in changes.items():
        if name not in known:
            raise ValueError(f"{where} has no setting {name!r}; it has {', '.join(known)}")
        inner = getattr(config, name)
        deeper = isinstance(value, Mapping) and is_dataclass(inner)
        values[name] = _changed(inner, value, f"{where}.{name}") if deeper else meant(value, config, name)
    return replace(config, **values)
