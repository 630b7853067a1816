"""One update: pieces add up to the batch, clipping, loss scaling."""

from __future__ import annotations

import math

import pytest
import torch

from minillm.data.batches import Batch
from minillm.model.gpt import GPT, GPTConfig
from minillm.train import FitConfig, choose_runtime, language_model_loss
from minillm.train.optim import build_optimizers
from minillm.train.step import TrainStep, share_rows, split_rows


def trained(words, runtime, steps=3, optimizer="adamw", **settings):
    """A model after some steps, and what the last one reported."""
    model = words.Model()
    config = FitConfig(steps=steps, optimizer=optimizer, **settings)
    step = TrainStep(model, words.loss, build_optimizers(model, config), config, runtime)
    numbers = [step(words.Source().batch(i)) for i in range(steps)]
    return model, numbers[-1]


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("rows", [1, 3, 4, 10, 99])
def test_accumulation_equals_one_big_batch(words, runtime, optimizer, rows):
    whole, numbers = trained(words, runtime, optimizer=optimizer)
    cut, cut_numbers = trained(words, runtime, optimizer=optimizer, micro_batch_rows=rows)
    for name, weight in whole.state_dict().items():
        # Muon's iterations enlarge a rounding: 0.5e-6 with one set of instructions, 0.2e-6 with another.
        assert torch.allclose(weight, cut.state_dict()[name], rtol=0, atol=5e-6), name
    assert cut_numbers == pytest.approx(numbers, rel=1e-5)


def test_the_gradient_is_that_of_the_mean_over_all_targets(words, runtime):
    model, batch = words.Model(), words.Source().batch(0)
    nats, count = words.loss(model, batch)
    expected = torch.autograd.grad(nats / count, list(model.parameters()))
    config = FitConfig(steps=1, micro_batch_rows=3, max_grad_norm=None)
    step = TrainStep(model, words.loss, [], config, runtime)
    total, targets = step._accumulate(batch)
    assert (float(total), int(targets)) == (pytest.approx(nats.item()), int(count))
    for parameter, gradient in zip(model.parameters(), expected):
        assert torch.allclose(parameter.grad, gradient, atol=1e-6)


def test_reported_numbers(words, runtime):
    batch = words.Source().batch(0)
    nats, count = words.loss(words.Model(), batch)
    _, numbers = trained(words, runtime, steps=1)
    assert numbers["loss"] == pytest.approx((nats / count).item(), rel=1e-6)
    assert numbers["tokens"] == int(count)
    model = words.Model()
    nats, count = words.loss(model, batch)
    (nats / count).backward()
    norm = math.sqrt(sum(float(p.grad.square().sum()) for p in model.parameters()))
    assert numbers["grad_norm"] == pytest.approx(norm, rel=1e-5)


def test_long_gradients_are_cut(words, runtime):
    model = words.Model()
    config = FitConfig(steps=1, max_grad_norm=0.01)
    step = TrainStep(model, words.loss, [], config, runtime)
    step._accumulate(words.Source().batch(0))
    before = step._clip()
    after = math.sqrt(sum(float(p.grad.square().sum()) for p in model.parameters()))
    assert before > 0.02 and after == pytest.approx(0.01, rel=1e-3)


def test_a_non_finite_gradient_changes_no_weight(words, runtime):
    model = words.Model()
    config = FitConfig(steps=1, optimizer="adamw")
    step = TrainStep(
        model,
        lambda m, b: (words.loss(m, b)[0] * math.inf, 5),
        build_optimizers(model, config),
        config,
        runtime,
    )
    before = words.weights(model)
    numbers = step(words.Source().batch(0))
    assert not math.isfinite(numbers["loss"])
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())


def test_fp16_scales_the_loss_skips_overflows_and_learns(words):
    runtime = choose_runtime("cpu", "fp16", threads=1)
    model, source = words.Model(), words.Source()
    config = FitConfig(steps=40, learning_rate=1e-2, optimizer="adamw")
    step = TrainStep(model, words.loss, build_optimizers(model, config), config, runtime)
    step.scaler = torch.amp.GradScaler(
        "cpu", init_scale=2.0**24
    )  # too large for fp16: the first steps overflow
    before = words.weights(model)
    first = step(source.batch(0))
    assert math.isfinite(first["loss"]) and not math.isfinite(first["grad_norm"])
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())
    losses = [step(source.batch(i))["loss"] for i in range(40)]
    assert step.scaler.get_scale() < 2.0**24 and losses[-1] < 0.6 * first["loss"]


def test_language_model_loss_counts_the_targets():
    model = GPT(GPTConfig(vocab_size=13, context_length=7, n_layer=1, n_head=2, d_model=8, d_ff=12))
    ids = torch.arange(10).view(2, 5)
    targets = ids + 1
    targets[0, 3:] = -100
    nats, count = language_model_loss(model, Batch(ids, targets))
    log_probs = model(ids).log_softmax(-1).gather(-1, targets.clamp(min=0)[..., None])[..., 0]
    assert int(count) == 8
    assert nats.item() == pytest.approx(-log_probs[targets != -100].sum().item(), rel=1e-5)


@pytest.mark.parametrize(("pieces", "sizes"), [(1, [7]), (2, [3, 4]), (3, [2, 2, 3]), (7, [1] * 7)])
def test_split_rows_loses_no_row(words, pieces, sizes):
    batch = words.Source(rows=7).batch(0)
    parts = split_rows(batch, pieces)
    assert [len(part.ids) for part in parts] == sizes
    assert torch.equal(torch.cat([part.targets for part in parts]), batch.targets)


def test_share_rows_deals_them_out(words):
    batch = words.Source(rows=7).batch(0)
    shares = [share_rows(batch, rank, 3) for rank in range(3)]
    assert [len(share.ids) for share in shares] == [3, 2, 2]
    assert torch.equal(shares[1].ids, batch.ids[[1, 4]])
    assert [len(share_rows(batch, rank, 8).ids) for rank in range(8)] == [1] * 7 + [0]
    with pytest.raises(ValueError, match="a batch of type str holds no tensor"):
        split_rows("words", 2)
