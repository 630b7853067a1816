from __future__ import annotations

import dataclasses

import pytest

from minillm.model.config import GPTConfig


def test_defaults_that_depend_on_other_fields() -> None:
    config = GPTConfig(100, n_head=6, d_model=96)
    assert config.n_kv_head == 6
    assert config.head_width == 16
    assert config.d_ff == 256  # 8/3 of 96, already a multiple of 32
    assert GPTConfig(100, d_model=128).d_ff == 352  # 341.3 rounded up


def test_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        GPTConfig(100).n_layer = 5


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"vocab_size": 0}, "vocab_size is 0; use a whole number of at least 1"),
        ({"vocab_size": 10, "n_layer": -1}, "n_layer is -1; use"),
        ({"vocab_size": 10, "d_model": 0}, "d_model is 0; use"),
        ({"vocab_size": 10, "d_model": 10, "n_head": 3}, "d_model=10 cannot be shared among n_head=3 heads"),
        ({"vocab_size": 10, "d_model": 12, "n_head": 4}, "heads of odd width 3"),
        ({"vocab_size": 10, "n_head": 4, "n_kv_head": 3}, "n_kv_head=3 does not divide n_head=4"),
        ({"vocab_size": 10, "rope_theta": 0.0}, "rope_theta is 0.0; use a finite number above 0"),
        ({"vocab_size": 10, "norm_eps": float("inf")}, "norm_eps is inf; use a finite number above 0"),
        ({"vocab_size": 10, "norm_eps": float("nan")}, "norm_eps is nan; use"),
    ],
)
def test_values_out_of_range(fields: dict, message: str) -> None:
    with pytest.raises(ValueError) as error:
        GPTConfig(**fields)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"vocab_size": 10.0}, "vocab_size is 10.0; use a whole number of at least 1"),
        ({"vocab_size": True}, "vocab_size is True; use a whole number"),
        ({"vocab_size": 10, "d_model": "128"}, "d_model is '128'; use a whole number"),
        ({"vocab_size": 10, "rope_theta": "big"}, "rope_theta is 'big'; use a finite number above 0"),
        ({"vocab_size": 10, "qk_norm": 1}, "qk_norm is 1; use True or False"),
    ],
)
def test_values_of_the_wrong_type(fields: dict, message: str) -> None:
    with pytest.raises(TypeError) as error:
        GPTConfig(**fields)
    assert message in str(error.value)
