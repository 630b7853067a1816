"""Batches made ahead are the same ones, in any order, and errors come where the batch is asked for."""

from __future__ import annotations

import threading

import pytest
import torch

from minillm.train.prefetch import Prefetched


class Source:
    def __init__(self):
        self.made, self.threads = [], set()

    def batch(self, step):
        if step == 5:
            raise ValueError("step 5 is bad")
        self.made.append(step)
        self.threads.add(threading.current_thread())
        return {"ids": torch.full((2,), step)}


@pytest.fixture
def prefetched():
    ahead = Prefetched(Source(), pin=False)
    yield ahead
    ahead.close()


def test_batches_are_those_of_the_source_in_any_order(prefetched):
    for step in (0, 1, 2, 0, 3, 2, 3):
        assert prefetched.batch(step)["ids"].tolist() == [step, step]


def test_each_batch_is_made_once_and_ahead(prefetched):
    for step in range(4):
        prefetched.batch(step)
    prefetched.close()
    assert prefetched.source.made[:4] == [0, 1, 2, 3] and len(prefetched.source.made) <= 5
    assert len(prefetched.source.threads) == 2  # the first here, the others there


def test_an_error_comes_with_its_own_batch(prefetched):
    for step in range(3, 5):
        prefetched.batch(step)
    with pytest.raises(ValueError, match="step 5 is bad"):
        prefetched.batch(5)


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_fit_comes_to_the_same_weights(run, words, monkeypatch, optimizer):
    """As on a GPU, but without page-locked memory."""
    from minillm.train import loop

    one, _ = run(steps=9, optimizer=optimizer)
    used = []
    monkeypatch.setattr(loop, "_overlaps", lambda runtime: True)
    monkeypatch.setattr(loop, "Prefetched", lambda source, pin: used.append(1) or Prefetched(source, False))
    other, _ = run(steps=9, optimizer=optimizer)
    assert used and words.same_weights(one, other)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_batches_are_in_page_locked_memory():
    ahead = Prefetched(Source(), pin=True)
    assert ahead.batch(0)["ids"].is_pinned() and ahead.batch(1)["ids"].is_pinned()
    ahead.close()
