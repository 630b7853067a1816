"""Settings are refused in one wording, and every setting of every preset is checked."""

from __future__ import annotations

import dataclasses
import doctest
import math
import typing
from types import NoneType, UnionType

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from minillm import checks
from minillm.presets import PRESETS, Preset

# -- the checks --

BOUNDS = st.integers(-100, 100)


@given(st.integers(), st.none() | BOUNDS, st.none() | BOUNDS)
def test_whole_numbers_within_the_bounds_pass(value, low, high):
    allowed = (low is None or value >= low) and (high is None or value <= high)
    if allowed:
        checks.whole_number("n", value, at_least=low, at_most=high)
    else:
        with pytest.raises(ValueError, match=f"^n is {value}; use a whole number (of|from) "):
            checks.whole_number("n", value, at_least=low, at_most=high)


@given(st.floats() | st.integers(), BOUNDS, BOUNDS, st.booleans(), st.booleans())
def test_numbers_within_the_bounds_pass(value, low, high, low_allowed, high_allowed):
    """Against intervals written with infinitesimal care: nextafter moves a bound that does not belong to them."""
    least = float(low) if low_allowed else math.nextafter(low, math.inf)
    most = float(high) if high_allowed else math.nextafter(high, -math.inf)
    bounds = {"at_least" if low_allowed else "above": low, "at_most" if high_allowed else "below": high}
    if least <= value <= most:  # False for nan
        checks.number("x", value, **bounds)
    else:
        with pytest.raises(ValueError, match="^x is .*; use a number ") as caught:
            checks.number("x", value, **bounds)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 10**400])
@pytest.mark.parametrize("bounds", [{}, {"above": 0}, {"at_least": 0}, {"at_most": 5}, {"below": 5}])
def test_numbers_are_finite(value, bounds):
    with pytest.raises(ValueError, match="^x is .*; use a finite number"):
        checks.number("x", value, **bounds)


@pytest.mark.parametrize(
    ("bounds", "allowed"),
    [
        ({}, "a whole number"),
        ({"at_least": 1}, "a whole number of at least 1"),
        ({"at_most": 9}, "a whole number of at most 9"),
        ({"at_least": 1, "at_most": 9}, "a whole number from 1 to 9"),
        ({"at_least": 1, "optional": True}, "a whole number of at least 1, or None"),
    ],
)
def test_whole_numbers_in_words(bounds, allowed):
    for value in (True, 1.0, "1", b"1", [1], object):
        with pytest.raises(TypeError) as caught:
            checks.whole_number("n", value, **bounds)
        assert str(caught.value) == f"n is {value!r}; use {allowed}"


@pytest.mark.parametrize(
    ("bounds", "allowed"),
    [
        ({}, "a finite number"),
        ({"above": 0}, "a finite number above 0"),
        ({"at_least": 0}, "a finite number of at least 0"),
        ({"below": 1}, "a finite number below 1"),
        ({"above": 0, "below": 1}, "a number above 0 and below 1"),
        ({"at_least": 0, "below": 1}, "a number of at least 0 and below 1"),
        ({"at_least": 0, "at_most": 1, "optional": True}, "a number from 0 to 1, or None"),
    ],
)
def test_numbers_in_words(bounds, allowed):
    for value in (False, "0.5", 1j, {}):
        with pytest.raises(TypeError) as caught:
            checks.number("x", value, **bounds)
        assert str(caught.value) == f"x is {value!r}; use {allowed}"


def test_none_passes_where_it_is_a_choice():
    checks.whole_number("n", None, at_least=1, optional=True)
    checks.number("x", None, above=0, optional=True)
    checks.text("t", None, optional=True)
    for check in (checks.whole_number, checks.number, checks.seed, checks.yes_or_no, checks.text):
        with pytest.raises(TypeError, match="^n is None; use "):
            check("n", None)


@pytest.mark.parametrize("value", [np.int64(3), np.uint8(3), np.array(3), torch.tensor(3)])
def test_numbers_of_libraries_are_to_be_converted(value):
    """They do not go into JSON, and with it not into the key of a stage."""
    with pytest.raises(TypeError, match=r"use a whole number of at least 1 \(convert it with int\(\)\)$"):
        checks.whole_number("n", value, at_least=1)
    checks.whole_number("n", int(value), at_least=1)
    with pytest.raises(TypeError, match=r"use a finite number \(convert it with float\(\)\)$"):
        checks.number("x", value)
    checks.number("x", float(value))


def test_a_float_of_numpy_that_is_one_of_python_passes():
    checks.number("x", np.float64(0.5), above=0)
    with pytest.raises(TypeError, match=r"convert it with float\(\)"):
        checks.number("x", np.float32(0.5), above=0)
    for value in (np.float64(3), np.array([3]), np.str_("3")):  # nothing that int() should be asked for
        with pytest.raises(TypeError, match="use a whole number$"):
            checks.whole_number("n", value)


@pytest.mark.parametrize("value", [0, checks.LARGEST_SEED])
def test_seeds_are_what_all_generators_take(value):
    checks.seed("seed", value)
    np.random.RandomState(value)
    np.random.default_rng([value, 0])
    torch.Generator().manual_seed(2 * value + 1)


@pytest.mark.parametrize("value", [-1, checks.LARGEST_SEED + 1, 10**30])
def test_other_seeds_are_refused(value):
    with pytest.raises(ValueError, match=f"seed is {value}; use a whole number from 0 to 4294967295"):
        checks.seed("seed", value)


def test_switches_words_and_kinds():
    checks.yes_or_no("on", False)
    checks.text("name", "x")
    checks.one_of("word", "a", ("a", "b"))
    checks.instance("fit", {}, dict)
    for value in (0, 1, "yes", np.True_):
        with pytest.raises(TypeError, match="^on is .*; use True or False$"):
            checks.yes_or_no("on", value)
    with pytest.raises(TypeError, match="^name is 3; use a text that is not empty$"):
        checks.text("name", 3)
    with pytest.raises(ValueError, match="^name is ' '; use a text that is not empty, or None$"):
        checks.text("name", " ", optional=True)
    with pytest.raises(ValueError, match="^word is 'c'; choose one of a, b$"):
        checks.one_of("word", "c", ("a", "b"))
    with pytest.raises(TypeError, match=r"^word is \['a'\]; choose one of a, b$"):
        checks.one_of("word", ["a"], ("a", "b"))


def test_tuples_of_one_kind():
    checks.tuple_of("parts", (), str)
    checks.tuple_of("parts", ("a", 1), str, int)
    checks.tuple_of("parts", None, str, optional=True)
    for value in (["a"], "a", (1.0,), None):
        with pytest.raises(TypeError, match=r"^parts is .*; use a tuple of str or int$"):
            checks.tuple_of("parts", value, str, int)


@pytest.mark.parametrize(
    ("name", "article"),
    [("FitConfig", "a"), ("SFTConfig", "an"), ("Artifact", "an"), ("LoRAConfig", "a"), ("PPOConfig", "a")],
)
def test_kinds_have_their_article(name, article):
    with pytest.raises(TypeError, match=f"^x is 3; use {article} {name}$"):
        checks.instance("x", 3, type(name, (), {}))


def test_long_values_are_cut():
    with pytest.raises(TypeError) as caught:
        checks.whole_number("n", "x" * 1000)
    assert len(str(caught.value)) < 130


# -- the settings --


def _required(kind: object) -> object:
    """A value for a field without a default."""
    return () if typing.get_origin(kind) is tuple else "owner/name"


def _made(kind: type) -> object:
    hints = typing.get_type_hints(kind)
    missing = [f.name for f in dataclasses.fields(kind) if f.default is f.default_factory]
    return kind(**{name: _required(hints[name]) for name in missing})


def _classes_below(kind: type) -> typing.Iterator[type]:
    for below in kind.__subclasses__():
        yield below
        yield from _classes_below(below)


def _settings() -> dict[type, object]:
    """An object of every class of settings that a preset holds, or may hold in place of another of its kind."""
    found: dict[type, object] = {}

    def walk(value: object) -> None:
        if isinstance(value, tuple):
            for part in value:
                walk(part)
        elif dataclasses.is_dataclass(value) and type(value).__module__.startswith("minillm."):
            found[type(value)] = value
            for field in dataclasses.fields(value):
                walk(getattr(value, field.name))

    for preset in PRESETS.values():
        walk(preset)
        walk(preset.tokenizer)
    kinds = [kind for kind in typing.get_type_hints(Preset).values() if isinstance(kind, type)]
    for kind in dict.fromkeys(below for base in kinds for below in _classes_below(base)):
        if dataclasses.is_dataclass(kind) and kind not in found and kind.__module__.startswith("minillm."):
            found[kind] = _made(kind)
    return found


WRONG = {
    bool: (1, "x", math.nan),
    int: (True, "x", math.nan, 1.5, -1),
    float: (True, "x", math.nan, math.inf, -1.0),
    str: (3, True, math.nan, ""),
}


def _wrong_settings() -> typing.Iterator[typing.Any]:
    for kind, example in _settings().items():
        hints = typing.get_type_hints(kind)
        for field in dataclasses.fields(kind):
            hint = hints[field.name]
            union = typing.get_args(hint) if isinstance(hint, UnionType) else (hint,)
            plain = next((part for part in union if part in WRONG), None)
            values = WRONG[plain] if plain else (3, math.nan)
            has_none = (
                NoneType in union or field.default is None
            )  # which stands for what follows from other fields
            for value in values if has_none else (*values, None):
                yield pytest.param(example, field.name, value, id=f"{kind.__name__}.{field.name}={value}")


@pytest.mark.parametrize(("example", "name", "value"), list(_wrong_settings()))
def test_every_setting_is_checked(example, name, value):
    with pytest.raises((TypeError, ValueError)) as caught:
        dataclasses.replace(example, **{name: value})
    message = str(caught.value)
    assert message.startswith(f"{name} is {value!r}; "), message
    assert "\n" not in message


def test_the_walk_finds_all_stages():
    names = {kind.__name__ for kind in _settings()}
    assert names >= {"Preset", "GPTConfig", "FitConfig", "LoRAConfig", "TokenizerConfig", "PPOConfig"}
    assert names >= {"WorldCorpus", "FileCorpus", "HubCorpus", "MixedCorpus", "HubConversations"}


def test_examples():
    result = doctest.testmod(checks)
    assert result.failed == 0 and result.attempted >= 5
