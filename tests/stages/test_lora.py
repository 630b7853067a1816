"""The stage `lora`: an adapter that is trained as all weights would be, beside a model that does not move."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from minillm.data.conversations import TaskConversations
from minillm.data.corpora import WorldCorpus
from minillm.data.tasks import DOMAINS, held_out_tasks
from minillm.data.world import TEST_SEED, World
from minillm.evaluate import best_rate, domain_comparison, domain_figures
from minillm.model.adapters import load_adapter, save_adapter
from minillm.model.gpt import GPT, GPTConfig
from minillm.model.lora import LoRAConfig, merge_lora
from minillm.stages.lora import DomainConfig, adapt
from minillm.stages.sft import SFTConfig, answer_losses
from minillm.text.tokenizer import Tokenizer
from minillm.train.config import FitConfig
from minillm.train.options import RunOptions

CONFIG = DomainConfig(
    LoRAConfig(rank=3, alpha=6),
    SFTConfig(
        FitConfig(steps=6, optimizer="adamw", learning_rate=1e-2),
        rows=4,
        pretraining_share=0.0,
        corpus_documents=10,
    ),
    full_learning_rate=3e-3,
)
DOMAIN = TaskConversations(40, 10, tuple(DOMAINS["help desk"]))
CORPUS = WorldCorpus(50, 20)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train((document.text for document in World().documents(200)), 400)


@pytest.fixture
def model(tokenizer) -> GPT:
    shape = GPTConfig(tokenizer.vocab_size, context_length=96, n_layer=2, n_head=2, d_model=32, d_ff=48)
    return GPT(shape, generator=1)


def train(model, tokenizer, folder, config=CONFIG, **options):
    return adapt(
        config, model, tokenizer, DOMAIN, CORPUS, RunOptions(folder=folder, progress=False), **options
    )


def test_an_adapter_is_trained_and_the_model_stays(model, tokenizer, tmp_path):
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    loss = answer_losses(CONFIG.training, model, tokenizer, DOMAIN, CORPUS)["val_loss"]
    figures = train(model, tokenizer, tmp_path)
    after = model.state_dict()
    assert all(torch.equal(after[name], weight) for name, weight in before.items())
    assert answer_losses(CONFIG.training, model, tokenizer, DOMAIN, CORPUS)["val_loss"] < loss
    layers = 2 * (4 * (32 + 32) + 3 * (32 + 48))
    assert figures["trained_parameters"] == 3 * layers
    assert figures["trainable_share"] == 3 * layers / sum(weight.numel() for weight in before.values())


def test_a_model_is_saved_merged_and_its_adapter_apart(model, tokenizer, tmp_path):
    base = GPT(model.config)
    base.load_state_dict(model.state_dict())
    train(model, tokenizer, None)
    model.save_pretrained(tmp_path)
    save_adapter(model, tmp_path / "adapter")
    ids = torch.tensor([[5, 60, 7, 300]])
    logits = model(ids)
    torch.testing.assert_close(GPT.from_pretrained(tmp_path)(ids), logits, atol=1e-5, rtol=1e-5)
    load_adapter(base, tmp_path / "adapter")
    torch.testing.assert_close(base(ids), logits, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(merge_lora(base)(ids), logits, atol=1e-5, rtol=1e-5)


def test_full_fine_tuning_moves_everything(model, tokenizer, tmp_path):
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    figures = train(model, tokenizer, tmp_path, full=True)
    moved = [name for name, weight in model.state_dict().items() if not torch.equal(weight, before[name])]
    assert moved == list(before) and figures["trainable_share"] == 1.0


def test_a_run_that_was_stopped_ends_in_the_same_adapter(model, tokenizer, tmp_path, monkeypatch):
    from minillm.train import run

    start = {name: weight.clone() for name, weight in model.state_dict().items()}
    config = replace(
        CONFIG, training=replace(CONFIG.training, fit=replace(CONFIG.training.fit, checkpoint_every=2))
    )

    def fresh():
        copy = GPT(model.config)
        copy.load_state_dict(start)
        return copy

    whole, again = fresh(), fresh()
    train(whole, tokenizer, tmp_path / "whole", config)
    step = run.TrainingRun.train_step

    def fails(self):
        if self.step == 5:
            raise OSError("the power is gone")
        return step(self)

    monkeypatch.setattr(run.TrainingRun, "train_step", fails)
    with pytest.raises(OSError, match="power"):
        train(fresh(), tokenizer, tmp_path / "cut", config)
    monkeypatch.undo()
    train(again, tokenizer, tmp_path / "cut", config)
    for name, weight in whole.state_dict().items():
        assert torch.equal(again.state_dict()[name], weight), name


def test_full_training_differs_in_the_learning_rate_alone():
    full = CONFIG.full_training
    assert full.fit.learning_rate == 3e-3
    assert replace(full, fit=replace(full.fit, learning_rate=1e-2)) == CONFIG.training


@pytest.mark.parametrize(
    ("changes", "error", "told"),
    [
        ({"adapter": 8}, TypeError, "adapter is 8; use a LoRAConfig"),
        ({"training": None}, TypeError, "training is None; use an SFTConfig"),
        ({"full_learning_rate": 0.0}, ValueError, "learning_rate is 0.0"),
    ],
)
def test_wrong_settings_are_told(changes, error, told):
    with pytest.raises(error, match=told):
        replace(CONFIG, **changes)


def test_shares_are_those_of_a_hand_calculation():
    adapter = {
        "val_loss_before": 3.0, "val_loss": 1.0, "corpus_loss_before": 0.5, "corpus_loss": 0.6,
        "domain_accuracy_before": 0.1, "domain_accuracy": 0.7, "task_accuracy_before": 0.9, "task_accuracy": 0.8,
    }  # fmt: skip
    full = {"val_loss": 0.5, "corpus_loss": 0.9, "domain_accuracy": 0.9, "task_accuracy": 0.5}
    shares = domain_comparison(adapter, full)
    assert shares == {"domain_gain_share": 0.75, "forgetting_ratio": 0.25, "task_forgetting_ratio": 0.25}
    losses = {"val_loss": 0.5, "corpus_loss": 0.5}
    assert domain_comparison({k: v for k, v in adapter.items() if "loss" in k}, losses) == {
        "domain_gain_share": 0.8,
        "forgetting_ratio": None,
    }


def test_a_model_is_tested_on_the_domain_and_on_what_it_knew(model, tokenizer):
    figures = domain_figures(model, tokenizer, DOMAINS["help desk"], n=2, n_known=1)
    assert set(figures["domain_accuracies"]) == set(DOMAINS["help desk"])
    assert figures["domain_accuracy"] == 0.0 and 0.0 <= figures["task_accuracy"] <= 1.0
    known = {"task_accuracy": 0.5, "accuracy": {"story": 0.5}, "loss": 1.0}
    again = domain_figures(model, tokenizer, DOMAINS["help desk"], n=2, known=known)
    assert again == figures | {"task_accuracy": 0.5, "accuracy": {"story": 0.5}}
    unknown = domain_figures(model, tokenizer, DOMAINS["help desk"], n=2, n_known=1, known={"loss": 1.0})
    assert unknown == figures


def test_settings_are_chosen_on_other_tasks_than_the_tests(model, tokenizer, monkeypatch):
    from minillm.evaluate import domains

    asked = []

    def noted(n, families=None, seed=None):
        asked.append(seed)
        return held_out_tasks(n, families, seed)

    monkeypatch.setattr(domains, "held_out_tasks", noted)
    domain_figures(model, tokenizer, DOMAINS["help desk"], n=1, n_known=1, seed=91)
    domain_figures(model, tokenizer, DOMAINS["help desk"], n=1, n_known=1)
    assert asked == [91, 91, TEST_SEED, TEST_SEED]


def test_the_best_rate_forgets_least_of_those_that_learn_enough():
    runs = {1e-3: (1.0, 0.4), 4e-4: (0.95, 0.1), 2e-4: (0.94, 0.01), 2e-3: (0.99, 0.2)}
    assert best_rate(runs) == 4e-4, "the border belongs to it"
    assert best_rate(runs, share=0.9) == 2e-4
    assert best_rate(runs, share=0.98) == 2e-3
    assert best_rate(runs, share=1.0) == 1e-3
    assert best_rate({2e-3: (1.0, 0.2), 1e-3: (1.0, 0.2)}) == 1e-3
    assert best_rate({1e-3: (0.5, -0.1), 2e-3: (0.5, 0.0)}) == 1e-3, (
        "who forgets less than nothing is better still"
    )


@pytest.mark.parametrize(
    ("runs", "share", "told"),
    [
        ({}, 0.95, "no run has gained anything"),
        ({1e-3: (0.0, 0.0), 1e-2: (-0.1, 0.0)}, 0.95, "no run has gained anything"),
        ({1e-3: (1.0, 0.0)}, 0.0, "share is 0.0"),
        ({1e-3: (1.0, 0.0)}, 1.5, "share is 1.5"),
    ],
)
def test_where_no_rate_is_best(runs, share, told):
    with pytest.raises(ValueError, match=told):
        best_rate(runs, share)
