"""FitConfig refuses what makes no sense, in one line that says what would."""

from __future__ import annotations

import dataclasses

import pytest

from minillm.train import FitConfig


def test_defaults_are_valid_and_frozen():
    config = FitConfig(steps=100)
    assert config.warmup_steps == 12
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.steps = 5


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 0}, "steps is 0; use a whole number of at least 1"),
        ({"checkpoint_every": 0}, "checkpoint_every is 0"),
        ({"micro_batch_rows": 0}, "micro_batch_rows is 0; .* or None"),
        ({"validate_every": -1}, "validate_every is -1"),
        ({"patience": 0}, "patience is 0"),
        ({"patience": 2}, "patience is 2 and validate_every None; set validate_every too"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0; use a finite number above 0"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
        ({"embedding_learning_rate": -1e-3}, "embedding_learning_rate is -0.001; .* or None"),
        ({"max_grad_norm": 0}, "max_grad_norm is 0"),
        ({"warmup_share": 1.5}, "warmup_share is 1.5; use a number from 0 to 1"),
        ({"beta2": 1.0}, "beta2 is 1.0; use a number of at least 0 and below 1"),
        ({"weight_decay": -0.1}, "weight_decay is -0.1"),
        ({"snapshot_steps": (0, -1)}, "a step of snapshot_steps is -1; use a whole number of at least 0"),
        ({"optimizer": "sgd"}, "optimizer is 'sgd'; choose one of muon, adamw"),
        ({"schedule": "step"}, "schedule is 'step'; choose one of linear, cosine, constant"),
    ],
)
def test_bad_values_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        FitConfig(**({"steps": 10} | settings))


@pytest.mark.parametrize(
    "settings",
    [{"steps": 1.5}, {"steps": True}, {"seed": None}, {"momentum": "high"}, {"snapshot_steps": 50}],
)
def test_wrong_types_are_refused(settings):
    with pytest.raises(TypeError, match=f"{next(iter(settings))} is .*; use a"):
        FitConfig(**({"steps": 10} | settings))
