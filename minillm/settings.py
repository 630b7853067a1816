"""Settings as they are written on the command line, `base.fit.steps=200`, and what their text means."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterable, Mapping
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

__all__ = ["Written", "meant", "named_source", "overrides", "with_source"]

_log = logging.getLogger("minillm")


class Written(str):
    """The text of a setting; what it means depends on the type of the setting: see `meant`."""

    __slots__ = ()


def overrides(changes: Iterable[str]) -> dict[str, Any]:
    """`["base.rows=8", ...]` as nested dictionaries of texts.

    Raises:
        ValueError: a change that is not understood, or two that contradict each other.

    >>> overrides(["base.rows=8", "base.fit.steps=2"])
    {'base': {'rows': '8', 'fit': {'steps': '2'}}}
    """
    nested: dict[str, Any] = {}
    for change in changes:
        path, equals, text = change.partition("=")
        *outer, last = path.split(".")
        if not equals or not all([*outer, last]):
            raise ValueError(f"--set {change!r} is not understood; write it like base.fit.steps=200")
        place = nested
        for name in outer:
            place = place.setdefault(name, {})
            if not isinstance(place, dict):
                raise ValueError(f"--set {change!r} contradicts an earlier --set; give one of them")
        if isinstance(place.get(last), dict):
            raise ValueError(f"--set {change!r} contradicts an earlier --set; give one of them")
        if place.get(last, text) != text:
            _log.warning("--set %s: the last value counts, not %s", change, place[last])
        place[last] = Written(text)
    return nested


def meant(value: Any, config: Any, name: str) -> Any:
    """What a written value means for a field of a dataclass; any other value is returned as it is.

    A field that holds text keeps the text: `123e456` may be a revision. For any other field the text is JSON where it
    can be. None is written null, or None where no text is meant; a tuple as a list.

    Args:
        value: a `Written`, or a value of Python.
        config: the dataclass, or its class.
        name: of the field.

    Raises:
        ValueError: a number that is not finite, or something else where true or false is meant.

    >>> from minillm.data.hub import HubRows
    >>> meant(Written("123e456"), HubRows, "revision"), meant(Written("7"), HubRows, "n_train")
    ('123e456', 7)
    """
    if not isinstance(value, Written):
        return value
    kinds = _kinds(config if isinstance(config, type) else type(config), name)
    if str in kinds and not (type(None) in kinds and value == "null"):
        return str(value)
    result = None if type(None) in kinds and value == "None" else _json(value)
    if isinstance(result, float) and not math.isfinite(result):
        raise ValueError(f"{name} is {str(value)!r}; use a finite number")
    if bool in kinds and not isinstance(result, kinds):
        raise ValueError(f"{name} is {str(value)!r}; use true or false")
    of_tuples = any(get_origin(kind) is tuple for kind in kinds)
    return tuple(result) if of_tuples and isinstance(result, list) else result


def _kinds(config: type, name: str) -> tuple[Any, ...]:
    """The types that a field may have."""
    hint = get_type_hints(config).get(name, Any)
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):  # ValueError: no JSON, or a number of thousands of digits
        return str(text)


def with_source(nested: dict[str, Any], name: str, source: str) -> None:
    """Add a source that has an option of its own, such as --corpus, to overrides.

    Raises:
        ValueError: a --set names another one.
    """
    inner = nested.get(name, {})
    if not isinstance(inner, Mapping) or "source" in inner:
        raise ValueError(f"{name} has a source of its own and one by --set; give one of them")
    nested[name] = {**inner, "source": source}


def named_source(nested: Mapping[str, Any], name: str) -> Any:
    """The source that overrides give, alone or with settings of its own; None where they give none.

    >>> named_source(overrides(["domain.source=a.jsonl", "domain.skip_bad=true"]), "domain")
    'a.jsonl'
    """
    value = nested.get(name)
    return value.get("source") if isinstance(value, Mapping) else value
