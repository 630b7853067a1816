"""Compiled code on a CPU with two threads: two runs come to the same weights."""

from __future__ import annotations

import dataclasses
import os

import pytest
import torch

from minillm.data.batches import Batch
from minillm.model.gpt import GPT, GPTConfig
from minillm.train import choose_runtime
from minillm.train.compiling import sums_in_order
from minillm.train.runtime import ALONE, has_cpp_compiler
from minillm.train.step import language_model_loss

TOKENS = 11  # few, so that many gradients are added up in each vector


class Rows:
    """Random rows, with a rule to learn."""

    def batch(self, step: int) -> Batch:
        ids = torch.randint(0, TOKENS, (16, 64), generator=torch.Generator().manual_seed(step))
        return Batch(ids, (3 * ids + 1) % TOKENS)


def two_cores_idle() -> bool:
    """Whether two threads run side by side; where they take turns they add in one order, and very slowly."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    return (os.cpu_count() or 1) - load > 1


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    yield choose_runtime("cpu", "fp32", threads=2, compile=True)
    torch.set_num_threads(before)


@pytest.mark.skipif(not has_cpp_compiler(), reason="needs a C++ compiler")
@pytest.mark.skipif(not two_cores_idle(), reason="needs two idle cores: the threads must meet")
def test_compiled_runs_with_two_threads_are_the_same(run, words, two_threads, caplog):
    shape = GPTConfig(TOKENS, context_length=64, n_layer=1, n_head=2, d_model=32, d_ff=48)
    weights = []
    for _ in range(3):
        model, _ = run(20, GPT(shape), Rows(), language_model_loss, two_threads)
        weights.append(words.weights(model))
    assert not [record for record in caplog.records if record.name == "minillm"], "the compiler failed"
    for other in weights[1:]:
        torch.testing.assert_close(other, weights[0], atol=0, rtol=0)


@pytest.mark.parametrize("compile", [True, False])
def test_sums_are_added_in_order_from_the_trial_to_the_last_step(run, words, runtime, monkeypatch, compile):
    """The compiler chooses its code by it, and so do the operations that the code calls."""
    seen = []

    def loss(model, batch):
        nats, count = words.loss(model, batch)
        nats.register_hook(lambda _: seen.append(torch.are_deterministic_algorithms_enabled()))
        seen.append(torch.are_deterministic_algorithms_enabled())
        return nats, count

    monkeypatch.setattr(torch, "compile", lambda loss, **_: loss)
    run(3, loss=loss, run_time=dataclasses.replace(runtime, compile=compile))
    assert seen == [compile] * (8 if compile else 6)
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize("compile", [True, "auto", False])
@pytest.mark.parametrize("before", [(False, False), (True, False), (True, True)])
def test_what_was_set_before_is_set_again(compile, before):
    def flags() -> tuple[bool, bool]:
        return (
            torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(),
        )

    try:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        with pytest.raises(KeyError), sums_in_order(dataclasses.replace(ALONE, compile=compile)):
            assert flags() == (before if before[0] or compile is False else (True, True))
            raise KeyError
        assert flags() == before
    finally:
        torch.use_deterministic_algorithms(False)
