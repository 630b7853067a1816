"""Patience, and the weights it brings back."""

from __future__ import annotations

import json
import math

import pytest
import torch

from minillm.train.early_stopping import EarlyStopping


def follow(losses, patience, model):
    tracker = EarlyStopping(patience)
    for step, loss in enumerate(losses, start=1):
        with torch.no_grad():
            model.weight.fill_(step)
        tracker.update(step, loss, model)
    return tracker


@pytest.mark.parametrize(
    ("losses", "exhausted", "best_step"),
    [
        ([3.0, 2.0, 2.5, 2.4], True, 2),
        ([3.0, 2.0, 2.5, 1.9], False, 4),
        ([3.0, 3.0, 3.0], True, 1),  # an equal loss is no better one
        ([3.0, math.nan, math.nan], True, 1),
    ],
)
def test_patience_of_two(losses, exhausted, best_step):
    model = torch.nn.Linear(3, 2)
    tracker = follow(losses, 2, model)
    assert (tracker.exhausted, tracker.best_step) == (exhausted, best_step)
    assert tracker.best_loss == losses[best_step - 1]
    tracker.restore_best(model)
    assert (model.weight == best_step).all() and tracker.loss == tracker.best_loss


def test_without_patience_the_last_weights_stay():
    model = torch.nn.Linear(3, 2)
    tracker = follow([1.0, 2.0, 3.0], None, model)
    tracker.restore_best(model)
    assert not tracker.exhausted and (model.weight == 3).all() and tracker.loss == 3.0


def test_state_survives_json():
    model = torch.nn.Linear(3, 2)
    for losses in ([], [3.0, 2.0, 2.5], [3.0, math.inf]):
        tracker, copy = follow(losses, 2, model), EarlyStopping(2)
        copy.load(
            json.loads(json.dumps(tracker.state(), allow_nan=False)),
            {"other": torch.ones(1)} | tracker.weights,
        )
        assert vars(copy) == vars(tracker)
    tracker = follow([math.nan], 2, model)
    copy.load(json.loads(json.dumps(tracker.state(), allow_nan=False)), {})
    assert math.isnan(copy.loss) and copy.best_loss == math.inf
    copy.load(tracker.state() | {"loss": 2.5}, {})  # of a checkpoint that was written before
    assert copy.loss == 2.5
