"""Which settings decide a result, which only how it is measured, and which neither.

A field of a frozen dataclass of settings decides the result, unless it is declared with `setting`. A stage's key is
made of the settings that decide it, so that saving more often, or measuring on more text, does not train again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

__all__ = ["deciding", "measuring", "setting", "stops_early"]

_DECIDES, _MEASURES = "decides", "measures"


def setting(
    default: Any = dataclasses.MISSING,
    *,
    decides: bool | Callable[[Any], bool] = False,
    measures: bool = False,
) -> Any:
    """A dataclass field that does not always decide the result.

    Args:
        default: the field's default.
        decides: whether it decides the result; a function of the configuration where that depends on another field.
        measures: whether figures that are measured afterwards depend on it.
    """
    return dataclasses.field(default=default, metadata={_DECIDES: decides, _MEASURES: measures})


def deciding(config: Any) -> Any:
    """The settings that decide a result, as JSON values; nested dataclasses as dictionaries.

    >>> @dataclasses.dataclass(frozen=True)
    ... class Cake:
    ...     eggs: int = 3
    ...     photos: int = setting(1)
    >>> deciding(Cake())
    {'eggs': 3}
    """
    return _chosen(config, lambda field: _decides(config, field))


def measuring(config: Any) -> Any:
    """The settings that change nothing but figures, as JSON values; nested dataclasses as dictionaries."""
    if not dataclasses.is_dataclass(config):
        return {}
    found = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            if inner := measuring(value):
                found[field.name] = inner
        elif field.metadata.get(_MEASURES, False) and not _decides(config, field):
            found[field.name] = value
    return found


def stops_early(config: Any) -> bool:
    """Whether a configuration, or one inside it, lets the validation decide when training ends."""
    if not dataclasses.is_dataclass(config):
        return False
    inner = (getattr(config, field.name) for field in dataclasses.fields(config))
    return bool(getattr(config, "stops_early", False)) or any(map(stops_early, inner))


def _decides(config: Any, field: dataclasses.Field[Any]) -> bool:
    rule = field.metadata.get(_DECIDES, True)
    return bool(rule(config)) if callable(rule) else bool(rule)


def _chosen(value: Any, wanted: Callable[[dataclasses.Field[Any]], bool]) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: deciding(getattr(value, field.name))
            for field in dataclasses.fields(value)
            if wanted(field)
        }
    if isinstance(value, (list, tuple)):
        return [deciding(item) for item in value]
    return value
