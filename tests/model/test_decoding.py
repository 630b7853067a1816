"""The joined step of decoding against the model's own modules."""

from __future__ import annotations

import pytest
import torch

from minillm.model.cache import KVCache
from minillm.model.decoding import _JoinedDecoder, decoding_step, joined
from minillm.model.inspect import without_heads
from minillm.model.lora import LoRAConfig, apply_lora, merge_lora, set_adapter


def both(model, padding: list[int] | None = None, steps: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    """Hidden states of a few steps behind a prompt: of the joined step, and of the modules."""
    ids = torch.randint(53, (3, 7 + steps), generator=torch.Generator().manual_seed(5))
    step, found, expected = decoding_step(model), [], []
    caches = [
        KVCache(model.config, batch=3, padding=None if padding is None else torch.tensor(padding))
        for _ in range(2)
    ]
    with torch.inference_mode():
        for cache in caches:
            model.hidden(ids[:, :7], cache=cache)
        for column in range(7, 7 + steps):
            found.append(step(ids[:, column], caches[0]))
            expected.append(model.hidden(ids[:, column : column + 1], cache=caches[1])[:, -1])
    assert caches[0].length == caches[1].length == 7 + steps
    for one, other in zip(caches[0].keys + caches[0].values, caches[1].keys + caches[1].values):
        torch.testing.assert_close(one[:, :, : 7 + steps], other[:, :, : 7 + steps], atol=1e-5, rtol=1e-5)
    return torch.stack(found), torch.stack(expected)


@pytest.mark.parametrize("padding", [None, [0, 4, 2]], ids=["plain", "padded"])
@pytest.mark.parametrize("shape", [{}, {"qk_norm": False}, {"n_kv_head": 4}, {"tie_embeddings": False}])
def test_it_gives_what_the_modules_give(make_model, shape: dict, padding: list[int] | None) -> None:
    model = make_model(**shape)
    assert isinstance(decoding_step(model), _JoinedDecoder)
    found, expected = both(model, padding)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_gains_of_norms_count(make_model) -> None:
    """Every gain is another number, so that none can stand in another's place."""
    model, generator = make_model(), torch.Generator().manual_seed(2)
    for name, weight in model.named_parameters():
        if "norm" in name:
            weight.data = torch.rand(weight.shape, generator=generator) + 0.5
    found, expected = both(model)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("state", ["active", "off", "merged"])
def test_adapters_count_where_they_are_active(make_model, state: str) -> None:
    model, generator = make_model(), torch.Generator().manual_seed(3)
    plain, _ = both(model)
    apply_lora(model, LoRAConfig(rank=2, alpha=4, targets=("q_proj", "v_proj", "o_proj", "down_proj")))
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            weight.data.normal_(std=0.3, generator=generator)
    if state == "off":
        set_adapter(model, None)
    if state == "merged":
        merge_lora(model)
    found, expected = both(model)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert (found - plain).abs().max() > 0.01 or state == "off"


def test_a_model_with_hooks_runs_its_own_modules(make_model) -> None:
    model = make_model()
    whole, _ = both(model)
    with without_heads(model, [(0, 1)]):
        assert not isinstance(decoding_step(model), _JoinedDecoder)
        found, expected = both(model)
    assert torch.equal(found, expected)
    assert not torch.allclose(found, whole, atol=1e-3)


def test_a_model_with_other_layers_runs_its_own_modules(make_model) -> None:
    model = make_model()
    attention = model.model.layers[0].self_attn
    attention.q_proj = torch.nn.Linear(attention.q_proj.in_features, attention.q_proj.out_features)  # a bias
    assert not isinstance(decoding_step(model), _JoinedDecoder)
    found, expected = both(model)
    assert torch.equal(found, expected)


def test_an_adapter_that_drops_inputs_runs_its_own_modules_in_training(make_model) -> None:
    model = apply_lora(make_model(), LoRAConfig(rank=2, alpha=4, dropout=0.5))
    assert not isinstance(decoding_step(model.train()), _JoinedDecoder)
    assert isinstance(decoding_step(model.eval()), _JoinedDecoder)


def test_bfloat16_under_autocast(make_model) -> None:
    model = make_model()
    cache = KVCache(model.config, batch=2, dtype=torch.bfloat16)
    ids = torch.tensor([3, 4])
    with torch.autocast("cpu", torch.bfloat16), torch.inference_mode():
        found = decoding_step(model)(ids, cache)
    expected = model.hidden(ids[:, None])[:, 0]
    assert cache.keys[0].dtype == found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), expected, atol=0.05, rtol=0.05)


def test_joined_matrices_stand_side_by_side() -> None:
    one, other = torch.nn.Linear(3, 2, bias=False), torch.nn.Linear(3, 4, bias=False)
    matrix = joined(torch.float32, one, other)
    assert matrix.shape == (3, 6) and matrix.is_contiguous() and not matrix.requires_grad
    x = torch.tensor([1.0, 2.0, 3.0])
    torch.testing.assert_close(x @ matrix, torch.cat([one(x), other(x)]))
