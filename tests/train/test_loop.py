"""fit: it learns, validates, stops where it should, and says why."""

from __future__ import annotations

import math

import pytest
import torch

from minillm.data.batches import PackedDocuments
from minillm.model.gpt import GPT, GPTConfig
from minillm.train import FitConfig, TrainingDivergedError, choose_runtime, fit
from minillm.train.checkpoint import Checkpoints


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_it_learns(run, optimizer):
    _, result = run(steps=120, optimizer=optimizer, learning_rate=1e-2)
    assert result.history[0]["loss"] > 2 and result.train_loss < 0.5
    assert (result.steps, result.stopped_early, result.resumed_from, result.val_loss) == (120, False, 0, None)
    assert result.tokens == result.history[-1]["tokens"] and result.seconds > 0


def test_a_gpt_learns_packed_documents():
    documents = [[i % 7, (i + 1) % 7, (i + 2) % 7, (i + 3) % 7] for i in range(40)]
    source = PackedDocuments(documents, end_of_text_id=7, context_length=12, rows=4)
    model = GPT(GPTConfig(vocab_size=8, context_length=12, n_layer=1, n_head=2, d_model=16, d_ff=24))
    runtime = choose_runtime("cpu", "fp32", threads=1, compile=False)
    result = fit(model, source, FitConfig(steps=120), runtime=runtime, progress=False)
    # only a document's first token has to be guessed, one of five predictions: ln(7) / 5 nats a token
    assert result.train_loss == pytest.approx(math.log(7) / 5, abs=0.12)
    assert not model.training


def test_same_seed_same_weights_and_the_callers_randomness_is_untouched(run, words):
    first, second, third = (words.Model(dropout=0.2) for _ in range(3))
    torch.manual_seed(5)
    before = torch.get_rng_state()
    run(steps=5, model=first)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(6)
    run(steps=5, model=second)
    run(steps=5, seed=1, model=third)
    assert words.same_weights(first, second) and not words.same_weights(first, third)


def test_metrics_have_one_line_a_step(run, words, tmp_path):
    _, result = run(steps=4, validate_every=2, arguments={"directory": tmp_path, "validate": lambda m: 1.5})
    lines = words.metrics(tmp_path)
    assert [(line["step"], "loss" in line) for line in lines] == [
        (1, True),
        (2, True),
        (2, False),
        (3, True),
        (4, True),
        (4, False),
    ]
    assert result.history[0].keys() == {"step", "loss", "lr", "grad_norm", "tokens", "seconds"}
    assert lines[2] == result.history[2] == {"step": 2, "val_loss": 1.5}
    assert [line["loss"] for line in lines if "loss" in line] == [
        line["loss"] for line in result.history if "loss" in line
    ]


def test_early_stopping_restores_the_best_weights(run, words, tmp_path):
    seen = {}
    losses = iter([3.0, 2.0, 2.5, 2.6, 1.0])

    def validate(model):
        assert not model.training and not torch.is_grad_enabled()
        seen[len(seen)] = words.weights(model)
        return {"val_loss": next(losses), "other": 1.0}

    settings = {"steps": 50, "validate_every": 5, "patience": 2}
    model, result = run(**settings, arguments={"directory": tmp_path, "validate": validate})
    assert result.stopped_early and result.steps == 20
    assert (result.best_step, result.val_loss) == (10, 2.0)
    assert all(torch.equal(weight, seen[1][name]) for name, weight in model.state_dict().items())
    again, result = run(
        **settings, model=words.Model(), arguments={"directory": tmp_path, "validate": validate}
    )
    assert words.same_weights(model, again) and result.stopped_early


def test_validation_happens_after_the_last_step_too(run):
    _, result = run(steps=5, validate_every=3, arguments={"validate": lambda model: 2.0})
    assert [line["step"] for line in result.history if "val_loss" in line] == [3, 5]
    with pytest.raises(ValueError, match="validate_every is 3, but there is no validate function"):
        run(steps=5, validate_every=3)
    with pytest.raises(ValueError, match="validate returned .'loss'.; it must give a number or 'val_loss'"):
        run(steps=1, arguments={"validate": lambda model: {"loss": 1.0}})


def exploding(words, at):
    calls = []

    def loss(model, batch):
        calls.append(1)
        nats, count = words.loss(model, batch)
        return (nats * math.nan if len(calls) == at else nats), count

    return loss


def test_nan_stops_and_the_last_good_checkpoint_stays(run, words, tmp_path):
    with pytest.raises(TrainingDivergedError) as caught:
        run(steps=9, checkpoint_every=3, loss=exploding(words, at=8), arguments={"directory": tmp_path})
    message = str(caught.value)
    assert message.startswith(
        "the loss is nan at step 8; the checkpoint of step 6 is kept; try lower learning rates"
    )
    assert "\n" not in message
    assert Checkpoints(tmp_path / "checkpoints").steps() == [3, 6]
    assert [line["step"] for line in words.metrics(tmp_path)] == [1, 2, 3, 4, 5, 6, 7]


def test_nan_in_fp16_stops_as_well(run, words):
    fp16 = choose_runtime("cpu", "fp16", threads=1)
    with pytest.raises(TrainingDivergedError, match="the loss is nan at step 2; nothing was saved yet"):
        run(steps=4, loss=exploding(words, at=2), run_time=fp16)


def test_an_endless_gradient_stops(run, words):
    def loss(model, batch):
        nats, count = words.loss(model, batch)
        root = model.up.bias.abs().sum().sqrt()  # its slope at 0 is infinite
        return nats + root - root.detach(), count

    with pytest.raises(TrainingDivergedError, match="the norm of the gradient is .* at step 1"):
        run(steps=2, loss=loss)


def test_a_batch_without_targets_is_refused(run, words):
    def loss(model, batch):
        return words.loss(model, batch)[0] * 0, 0

    with pytest.raises(
        ValueError, match="the batch of step 1 has no target; check the data and its loss mask"
    ):
        run(steps=2, loss=loss)


def test_frozen_weights_stay(run, words):
    model = words.Model()
    model.up.requires_grad_(False)
    before = words.weights(model)
    run(steps=3, model=model)
    assert torch.equal(model.up.weight, before["up.weight"])
    assert not torch.equal(model.down.weight, before["down.weight"])
