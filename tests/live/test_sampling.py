"""Sampling in the page: the distribution is the package's; draws follow it, and the seed decides them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from minillm import GPT, GPTConfig
from minillm.model.sampling import sampling_probs

SETTINGS = [
    {},
    {"temperature": 0},
    {"temperature": 0.3, "topP": 0.95},
    {"temperature": 2.5},
    {"topK": 1},
    {"topK": 5},
    {"topK": 1000},
    {"topP": 0.1},
    {"topP": 0.5},
    {"topP": 1},
    {"temperature": 0.7, "topK": 7, "topP": 0.8},
    {"topK": 3, "topP": 0.01},
]
NAMES = {"topK": "top_k", "topP": "top_p", "temperature": "temperature"}


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_probabilities_are_the_packages(node: Any, setting: dict[str, float]) -> None:
    generator = torch.Generator().manual_seed(4)
    for size in (1, 2, 9, 300):
        logits = 4 * torch.randn(size, generator=generator)
        expected = sampling_probs(logits, **{NAMES[name]: value for name, value in setting.items()})
        found = node.call("samplingProbs", logits.tolist(), setting)
        assert found == pytest.approx(expected.tolist(), abs=1e-6)
        assert sum(found) == pytest.approx(1)


def test_of_equal_logits_the_lower_id_comes_first(node: Any) -> None:
    logits = [1.0, 3.0, 3.0, 3.0, 2.0]
    assert node.call("samplingProbs", logits, {"temperature": 0}) == [0, 1, 0, 0, 0]
    assert node.call("samplingProbs", logits, {"topK": 2}) == [0, 0.5, 0.5, 0, 0]
    assert node.call("samplingProbs", logits, {"topP": 0.3}) == [0, 0.5, 0.5, 0, 0]


def test_of_equal_logits_as_many_as_are_needed_are_kept(node: Any) -> None:
    """Exactly the share that is asked for is enough."""
    logits = torch.zeros(2)
    assert sampling_probs(logits, top_p=0.5).tolist() == [1, 0]
    assert node.call("samplingProbs", logits.tolist(), {"topP": 0.5}) == [1, 0]


def test_what_is_impossible_is_never_drawn(node: Any) -> None:
    """At the ends of the random numbers, and where one choice ends and the next begins."""
    probs = [0, 0.25, 0, 0.75, 0]
    for share, drawn in ((0, 1), (0.2499, 1), (0.25, 3), (0.9999, 3), (1, 3)):
        assert node.call("drawAt", probs, share) == drawn


def test_draws_follow_the_probabilities(node: Any) -> None:
    probs = [0.5, 0.0, 0.3, 0.2, 0.0]
    node.call("seed", 7)
    counts = np.bincount(node.call("draws", probs, 20_000), minlength=5) / 20_000
    assert counts[[1, 4]].tolist() == [0, 0]
    assert counts.tolist() == pytest.approx(probs, abs=0.015)  # four standard errors


def test_random_numbers_are_even_and_the_seeds(node: Any) -> None:
    numbers = {}
    for seed in (0, 1, 2**31, -1):
        node.call("seed", seed)
        numbers[seed] = np.array(node.call("randoms", 5_000))
        node.call("seed", seed)
        assert node.call("randoms", 5) == numbers[seed][:5].tolist()
    assert len({tuple(found[:3]) for found in numbers.values()}) == 4
    for found in numbers.values():
        assert found.min() >= 0 and found.max() < 1
        assert np.histogram(found, 10, (0, 1))[0] == pytest.approx(500, abs=100)
        assert abs(np.corrcoef(found[:-1], found[1:])[0, 1]) < 0.06


def test_the_seed_decides_an_answer(node: Any, tmp_path: Path) -> None:
    model = GPT(GPTConfig(vocab_size=50, context_length=40, n_layer=1, n_head=1, d_model=8))
    node.call("load", str(model.save_pretrained(tmp_path)))
    options = {"maxNewTokens": 30, "temperature": 1}
    first = node.call("stream", [1], {**options, "seed": 3})
    assert node.call("stream", [1], {**options, "seed": 3}) == first
    assert node.call("stream", [1], {**options, "seed": 4}) != first
    cold = {**options, "temperature": 0}
    assert node.call("stream", [1], {**cold, "seed": 3}) == node.call("stream", [1], {**cold, "seed": 4})


def test_wrong_settings_are_refused(node: Any) -> None:
    for setting in (
        {"temperature": -1},
        {"temperature": "hot"},
        {"temperature": "Infinity"},
        {"topK": 0},
        {"topP": 0},
        {"topP": 1.1},
    ):
        name, value = next(iter(setting.items()))
        with pytest.raises(Exception, match=f"{name}={value}"):
            node.call("samplingProbs", [1.0, 2.0], setting)
