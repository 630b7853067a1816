"""When torch.compile is used, and what happens when it fails. The compiler itself is slow: it is not run."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from minillm.train import FitConfig
from minillm.train import compiling as module
from minillm.train.step import TrainStep


@pytest.fixture
def update(words, runtime):
    def make(compile):
        return TrainStep(
            words.Model(), words.loss, [], FitConfig(steps=1), dataclasses.replace(runtime, compile=compile)
        )

    return make


@pytest.mark.parametrize(
    ("compile", "has_compiler", "steps", "compiled"),
    [
        (False, True, 10**12, False),
        (True, False, 1, True),
        ("auto", True, 10, False),
        ("auto", True, 10**12, True),
        ("auto", False, 10**12, False),
    ],
)
def test_compiled_where_it_pays(words, update, monkeypatch, compile, has_compiler, steps, compiled):
    monkeypatch.setattr(module, "has_cpp_compiler", lambda: has_compiler)
    monkeypatch.setattr(torch, "compile", lambda loss, **_: lambda *a: loss(*a))
    step = update(compile)
    assert (module.compiled_loss(step, words.Source().batch(0), steps) is not words.loss) is compiled


def test_a_failing_compiler_is_reported_once_and_plain_torch_goes_on(words, update, monkeypatch, caplog):
    def broken(*_):
        raise RuntimeError("C++ compile error\nmany\nmore lines")

    monkeypatch.setattr(torch, "compile", lambda *_, **__: broken)
    step = update(True)
    assert module.compiled_loss(step, words.Source().batch(0), 5) is words.loss
    (record,) = caplog.records
    assert record.getMessage() == (
        "torch.compile failed (C++ compile error): going on without it, only slower"
    )


def test_a_trial_that_fails_half_way_leaves_no_gradients(words, update, monkeypatch):
    class Broken(torch.autograd.Function):
        """Passes a number on, and has no way back."""

        @staticmethod
        def forward(_, number):
            return number.clone()

        @staticmethod
        def backward(_, gradient):
            weight = step.model.lm_head.weight
            weight.grad = torch.ones_like(weight)  # what came before the fault
            raise RuntimeError("no way back")

    def half(model, batch):
        nats, tokens = words.loss(model, batch)
        return Broken.apply(nats), tokens

    monkeypatch.setattr(torch, "compile", lambda *_, **__: half)
    step = update(True)
    assert module.compiled_loss(step, words.Source().batch(0), 5) is words.loss
    assert all(parameter.grad is None for parameter in step.model.parameters())


def test_a_process_without_rows_of_the_first_batch_compiles_nothing(words, runtime, monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda loss, **_: pytest.fail("compiled"))
    last = dataclasses.replace(runtime, compile=True, rank=7, world_size=8)
    step = TrainStep(words.Model(), words.loss, [], FitConfig(steps=1), last)
    assert module.compiled_loss(step, words.Source(rows=5).batch(0), 5) is words.loss


def test_the_trial_leaves_no_trace(words, update, monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda loss, **_: loss)
    step = update(True)
    step.model.dropout.p = 0.5
    torch.manual_seed(1)
    before = torch.get_rng_state()
    module.compiled_loss(step, words.Source().batch(0), 5)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(parameter.grad is None for parameter in step.model.parameters())
