"""Pretraining: the losses are what they say, and a run that was cut off ends with the same weights."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from minillm.data.batches import PackedDocuments, whole_documents
from minillm.data.corpora import WorldCorpus, open_corpus
from minillm.model.gpt import GPT, GPTConfig
from minillm.stages.pretrain import PretrainConfig, document_loss, pretrain, tokenize
from minillm.stages.tokenizer import TokenizerConfig, train_tokenizer
from minillm.text.tokenizer import Tokenizer
from minillm.train.config import FitConfig
from minillm.train.runtime import choose_runtime

SHAPE = GPTConfig(300, context_length=24, n_layer=1, n_head=2, d_model=16, d_ff=32)
CONFIG = PretrainConfig(
    SHAPE, FitConfig(steps=6, checkpoint_every=2, validate_every=3), rows=4, validation_tokens=200
)


@pytest.fixture(scope="module")
def runtime():
    return choose_runtime(device="cpu", precision="fp32", compile=False)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "fable.jsonl"
    lines = [f"{n} hens sat on {n % 7} eggs, and the fox went home." for n in range(120)]
    path.write_text("".join(json.dumps({"text": line}) + "\n" for line in lines))
    return open_corpus(path)


@pytest.fixture(scope="module")
def tokenizer(corpus):
    return Tokenizer.train(corpus.documents("train"), 300)


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
    figures = pretrain(CONFIG, tokenizer, corpus, tmp_path, seed=3, runtime=runtime, progress=False)
    model = GPT.from_pretrained(tmp_path).eval()
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
    assert Tokenizer.load(tmp_path).fingerprint == tokenizer.fingerprint
    assert model.config.vocab_size == tokenizer.vocab_size
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "val_loss" in line] == [3, 6]
    packed = PackedDocuments(
        tokenize(tokenizer, corpus.documents("train")), end, SHAPE.context_length, CONFIG.rows, 3
    )
    assert figures["tokens"] == sum(packed.batch(step).n_targets for step in range(6))
    json.dumps(figures, allow_nan=False)


def test_the_world_has_an_entropy_floor(tokenizer, runtime, tmp_path):
    corpus = WorldCorpus(40, 10)
    config = replace(CONFIG, fit=FitConfig(steps=1))
    figures = pretrain(config, tokenizer, corpus, tmp_path, runtime=runtime, progress=False)
    predictions = sum(len(ids) + 1 for ids in tokenize(tokenizer, corpus.documents("validation")))
    assert figures["entropy_floor"] == pytest.approx(corpus.entropy_nats() / predictions)
    assert figures["val_loss"] > figures["entropy_floor"]
    assert figures["above_floor"] == pytest.approx(figures["val_loss"] / figures["entropy_floor"] - 1)


def test_a_stopped_run_ends_with_the_same_weights(corpus, tokenizer, runtime, tmp_path, monkeypatch):
    pretrain(CONFIG, tokenizer, corpus, tmp_path / "whole", runtime=runtime, progress=False)
    real = PackedDocuments.batch

    def stops_at_five(self, step):
        if step == 5:
            raise KeyboardInterrupt
        return real(self, step)

    monkeypatch.setattr(PackedDocuments, "batch", stops_at_five)
    with pytest.raises(KeyboardInterrupt):
        pretrain(CONFIG, tokenizer, corpus, tmp_path / "cut", runtime=runtime, progress=False)
    assert not (tmp_path / "cut" / "model.safetensors").exists()
    monkeypatch.setattr(PackedDocuments, "batch", real)
    figures = pretrain(CONFIG, tokenizer, corpus, tmp_path / "cut", runtime=runtime, progress=False)
    assert figures["steps"] == 6
    cut, whole = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("cut", "whole"))
    assert cut == whole


def test_seeds_decide_the_result(corpus, tokenizer, runtime, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        pretrain(CONFIG, tokenizer, corpus, tmp_path / name, seed=seed, runtime=runtime, progress=False)
    a, b, c = ((tmp_path / name / "model.safetensors").read_bytes() for name in "abc")
    assert a == b != c


def test_little_text_is_not_read_more_than_max_epochs_times(corpus, tokenizer, runtime, tmp_path):
    config = replace(CONFIG, fit=FitConfig(steps=10_000), max_epochs=0.1)
    figures = pretrain(config, tokenizer, corpus, tmp_path, runtime=runtime, progress=False)
    assert figures["epochs"] < 0.2 and figures["steps"] < 10


def test_a_corpus_shorter_than_one_context_is_refused(tokenizer, runtime, tmp_path):
    (tmp_path / "short.txt").write_text("too short")
    with pytest.raises(ValueError, match="short.txt has .* tokens for training, less than one context of 24"):
        pretrain(CONFIG, tokenizer, open_corpus(tmp_path / "short.txt"), tmp_path / "out", runtime=runtime)


@pytest.mark.parametrize(
    "changes, error",
    [({"rows": 0}, ValueError), ({"rows": "8"}, TypeError), ({"max_epochs": -1.0}, ValueError)],
)
def test_bad_settings_are_refused(changes, error):
    with pytest.raises(error, match=next(iter(changes))):
        replace(CONFIG, **changes)


def test_tokenizer_stage_measures_held_out_text(corpus, tmp_path):
    figures = train_tokenizer(TokenizerConfig(280), corpus, tmp_path)
    tokenizer = Tokenizer.load(tmp_path)
    assert tokenizer.vocab_size == figures["vocab_size"] == 280
    assert figures["bytes_per_token"] == pytest.approx(
        tokenizer.bytes_per_token(corpus.documents("validation"))
    )
    with pytest.warns(UserWarning, match="give it more text"):  # 20 characters hold few pairs
        short = train_tokenizer(TokenizerConfig(280, max_characters=20), corpus, tmp_path / "short")
    assert short["vocab_size"] < 280 and short["bytes_per_token"] < figures["bytes_per_token"]


@pytest.mark.parametrize("make", [lambda: TokenizerConfig(255), lambda: TokenizerConfig(300, 0)])
def test_bad_tokenizer_settings_are_refused(make):
    with pytest.raises(ValueError, match="; use a whole number of at least"):
        make()
