"""Pretraining: the losses are what they say, and a run that was cut off ends with the same weights."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from itertools import islice

import pytest
import torch
from torch.nn import functional as F

from minillm.data.batches import InTurn, PackedDocuments, tokenize, whole_documents
from minillm.data.corpora import HubCorpus, MixedCorpus, WorldCorpus, open_corpus
from minillm.model.gpt import GPT, GPTConfig
from minillm.stages.pretrain import PretrainConfig, pretrain, validation_figures
from minillm.stages.tokenizer import TokenizerConfig, compression, train_tokenizer
from minillm.text.tokenizer import Tokenizer
from minillm.train.config import FitConfig
from minillm.train.document_loss import document_loss
from minillm.train.options import RunOptions

SHAPE = GPTConfig(300, context_length=24, n_layer=1, n_head=2, d_model=16, d_ff=32)
CONFIG = PretrainConfig(
    SHAPE, FitConfig(steps=6, checkpoint_every=2, validate_every=3), rows=4, validation_tokens=200
)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "fable.jsonl"
    lines = [f"{n} hens sat on {n % 7} eggs, and the fox went home." for n in range(120)]
    path.write_text("".join(json.dumps({"text": line}) + "\n" for line in lines), encoding="utf-8")
    return open_corpus(path)


@pytest.fixture(scope="module")
def tokenizer(corpus):
    return Tokenizer.train(corpus.documents("train"), 300)


def train(corpus, tokenizer, folder, runtime, config=CONFIG, seed=0):
    """The figures of a training and of its validation, and the model."""
    options = RunOptions(folder=folder, seed=seed, runtime=runtime, progress=False)
    model, figures = pretrain(config, tokenizer, corpus, options)
    return figures | validation_figures(model, tokenizer, corpus), model


def test_document_loss_is_the_negative_log_probability_of_each_document(tokenizer):
    torch.manual_seed(0)
    model = GPT(replace(SHAPE, vocab_size=tokenizer.vocab_size), generator=1).eval()
    documents = tokenizer.encode_batch(
        ["the fox", "7 hens sat on the fox, and the fox sat on 3 eggs, and", "e"]
    )
    end = tokenizer.end_of_text_id
    total = ends = 0.0
    for ids in documents:  # one document at a time, piece by piece of the context
        sequence = torch.tensor([end, *ids, end])
        for first in range(0, len(sequence) - 1, SHAPE.context_length):
            piece = sequence[first : first + SHAPE.context_length + 1]
            log_probs = F.log_softmax(model(piece[None, :-1])[0].double(), dim=-1)
            nats = -log_probs.gather(1, piece[1:, None])[:, 0]
            total += nats.sum().item()
            ends += nats[piece[1:] == end].sum().item()
    loss = document_loss(
        model, whole_documents(documents, end, SHAPE.context_length, tokens_per_batch=60), end
    )
    assert loss.nats == pytest.approx(total, rel=1e-5)
    assert loss.end_nats == pytest.approx(ends, rel=1e-5)
    assert loss.predictions == sum(len(ids) + 1 for ids in documents)
    assert loss.per_token == pytest.approx(total / loss.predictions, rel=1e-5)
    assert loss.bits_per_byte(80) == pytest.approx((total - ends) / math.log(2) / 80, rel=1e-5)


def test_pretrain_writes_what_it_reports(corpus, tokenizer, runtime, tmp_path):
    figures, model = train(corpus, tokenizer, tmp_path, runtime, seed=3)
    end = tokenizer.end_of_text_id
    held_out = list(corpus.documents("validation"))
    batches = whole_documents(tokenizer.encode_batch(held_out), end, SHAPE.context_length)
    loss = document_loss(model, batches, end)
    assert figures["val_loss"] == pytest.approx(loss.per_token, rel=1e-6)
    assert figures["bits_per_byte"] == pytest.approx(
        loss.bits_per_byte(sum(len(t.encode()) for t in held_out))
    )
    assert figures["parameters"] == model.n_parameters and figures["steps"] == 6
    assert "entropy_floor" not in figures  # nobody knows the entropy of a file
    assert model.config.vocab_size == tokenizer.vocab_size
    lines = [
        json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    assert [line["step"] for line in lines if "val_loss" in line] == [3, 6]
    packed = PackedDocuments(
        tokenize(tokenizer, corpus.documents("train")), end, SHAPE.context_length, CONFIG.rows, 3
    )
    assert figures["tokens"] == sum(packed.batch(step).n_targets for step in range(6))
    json.dumps(figures, allow_nan=False)


def test_the_world_has_an_entropy_floor(tokenizer, runtime, tmp_path):
    corpus = WorldCorpus(40, 10)
    config = replace(CONFIG, fit=FitConfig(steps=1))
    figures, _ = train(corpus, tokenizer, tmp_path, runtime, config)
    predictions = sum(len(ids) + 1 for ids in tokenize(tokenizer, corpus.documents("validation")))
    assert figures["entropy_floor"] == pytest.approx(corpus.entropy_nats() / predictions)
    assert figures["val_loss"] > figures["entropy_floor"]
    assert figures["above_floor"] == pytest.approx(figures["val_loss"] / figures["entropy_floor"] - 1)


def test_a_stopped_run_ends_with_the_same_weights(corpus, tokenizer, runtime, tmp_path, monkeypatch):
    _, whole = train(corpus, tokenizer, tmp_path / "whole", runtime)
    real = PackedDocuments.batch

    def stops_at_five(self, step):
        if step == 5:
            raise KeyboardInterrupt
        return real(self, step)

    monkeypatch.setattr(PackedDocuments, "batch", stops_at_five)
    with pytest.raises(KeyboardInterrupt):
        train(corpus, tokenizer, tmp_path / "cut", runtime)
    monkeypatch.setattr(PackedDocuments, "batch", real)
    figures, cut = train(corpus, tokenizer, tmp_path / "cut", runtime)
    assert figures["steps"] == 6
    assert all(torch.equal(a, b) for a, b in zip(cut.parameters(), whole.parameters(), strict=True))


def test_lessons_are_read_first(tokenizer, runtime, tmp_path, monkeypatch):
    """The first steps read what the world's lessons say, the others its documents, and the place is the step."""
    world = WorldCorpus(n_documents=60, n_validation=10)
    texts: dict[int, str] = {}

    class Spy(InTurn):
        def batch(self, step):
            batch = super().batch(step)
            texts[step] = tokenizer.decode(
                [i for i in batch.ids.flatten().tolist() if i != tokenizer.end_of_text_id]
            )
            return batch

    monkeypatch.setattr("minillm.stages.pretrain.InTurn", Spy)
    config = replace(CONFIG, lesson_steps=2)
    once, model = train(world, tokenizer, tmp_path / "once", runtime, config)
    counts = [texts[step].count("is at the") for step in range(CONFIG.fit.steps)]
    assert min(counts[:2]) > max(counts[2:])
    assert once["steps"] == CONFIG.fit.steps
    again, _ = train(world, tokenizer, tmp_path / "again", runtime, config)
    assert again["train_loss"] == once["train_loss"]
    without, _ = train(world, tokenizer, tmp_path / "without", runtime)
    assert without["train_loss"] != once["train_loss"]


def test_lessons_take_nothing_from_the_epochs_of_a_small_corpus(tokenizer, runtime, tmp_path):
    world = WorldCorpus(n_documents=20, n_validation=10)
    config = replace(CONFIG, fit=replace(CONFIG.fit, steps=10_000), max_epochs=1)
    without, _ = train(world, tokenizer, tmp_path / "without", runtime, config)
    after, _ = train(world, tokenizer, tmp_path / "after", runtime, replace(config, lesson_steps=7))
    assert after["steps"] == without["steps"] + 7


def test_a_corpus_without_lessons_is_read_from_the_first_step(corpus, tokenizer, runtime, tmp_path):
    assert list(corpus.lessons()) == []
    plain, _ = train(corpus, tokenizer, tmp_path / "plain", runtime)
    asked, _ = train(corpus, tokenizer, tmp_path / "asked", runtime, replace(CONFIG, lesson_steps=3))
    assert asked["train_loss"] == plain["train_loss"]


def test_a_mix_has_the_lessons_of_its_world():
    world = WorldCorpus(n_documents=10, n_validation=5)
    mix = MixedCorpus((HubCorpus("owner/stories"), world))
    assert list(islice(mix.lessons(), 3)) == list(islice(world.lessons(), 3))
    assert list(MixedCorpus((HubCorpus("owner/stories"),)).lessons()) == []


def test_seeds_decide_the_result(corpus, tokenizer, runtime, tmp_path):
    a, b, c = (train(corpus, tokenizer, None, runtime, seed=seed)[1].state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not all(torch.equal(a[name], c[name]) for name in a)


def test_little_text_is_not_read_more_than_max_epochs_times(corpus, tokenizer, runtime, tmp_path):
    config = replace(CONFIG, fit=FitConfig(steps=10_000), max_epochs=0.1)
    figures, _ = train(corpus, tokenizer, tmp_path, runtime, config)
    assert figures["epochs"] < 0.2 and figures["steps"] < 10


def test_a_corpus_shorter_than_one_context_is_refused(tokenizer, runtime, tmp_path):
    (tmp_path / "short.txt").write_text("too short", encoding="utf-8")
    with pytest.raises(ValueError, match="short.txt has .* tokens for training, less than one context of 24"):
        train(open_corpus(tmp_path / "short.txt"), tokenizer, tmp_path / "out", runtime)


@pytest.mark.parametrize(
    "changes, error",
    [({"rows": 0}, ValueError), ({"rows": "8"}, TypeError), ({"max_epochs": -1.0}, ValueError)],
)
def test_bad_settings_are_refused(changes, error):
    with pytest.raises(error, match=next(iter(changes))):
        replace(CONFIG, **changes)


def test_tokenizer_stage_measures_held_out_text(corpus):
    tokenizer, figures = train_tokenizer(TokenizerConfig(280), corpus)
    assert tokenizer.vocab_size == figures["vocab_size"] == 280
    told = compression(tokenizer, corpus)["bytes_per_token"]
    texts = list(corpus.documents("validation"))
    tokens = sum(len(tokenizer.encode(text)) for text in texts)
    assert told == pytest.approx(sum(len(text.encode()) for text in texts) / tokens)
    with pytest.warns(UserWarning, match="give it more text"):  # 20 characters hold few pairs
        short, _ = train_tokenizer(TokenizerConfig(280, max_characters=20), corpus)
    assert short.vocab_size < 280 and compression(short, corpus)["bytes_per_token"] < told


@pytest.mark.parametrize("make", [lambda: TokenizerConfig(255), lambda: TokenizerConfig(300, 0)])
def test_bad_tokenizer_settings_are_refused(make):
    with pytest.raises(ValueError, match="; use a whole number of at least"):
        make()
