"""Pretraining: a base model learns to predict the next token of a corpus, document by document.

Losses are in nats per predicted token, measured on whole documents. A document of n tokens has n + 1
predictions: its first token is predicted from the end-of-text token before it, and the end-of-text token
after it counts too. Their sum is the negative log-probability of the document and nothing else, which is what
the entropy of the micro-world bounds from below. `bits_per_byte` leaves the end token out, as it is no text.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import nn

from minillm.data.batches import Batch, PackedDocuments, TokenDocuments, whole_documents
from minillm.data.corpora import Corpus
from minillm.data.shards import open_shards, write_shards
from minillm.model.gpt import GPT, GPTConfig, next_token_loss
from minillm.model.init import copy_friendly_start
from minillm.text.tokenizer import Tokenizer
from minillm.train.config import FitConfig
from minillm.train.loop import FitResult, fit
from minillm.train.runtime import Runtime, choose_runtime, make_generator, to_device, wait_for_main

__all__ = ["DocumentLoss", "PretrainConfig", "document_loss", "pretrain", "tokenize"]

_ENCODED_AT_ONCE = 2_000  # documents


@dataclass(frozen=True)
class PretrainConfig:
    """Settings of the base stage."""

    model: GPTConfig  # the shape; its vocab_size is replaced by the tokenizer's own
    fit: FitConfig  # the training
    rows: int = 16  # rows of context_length tokens in the batch of one optimizer step
    copy_friendly: bool = True  # whether the first weights make copying from the context easy to learn
    max_epochs: float = 20.0  # fewer steps are made where the corpus would be read more often than this
    validation_tokens: int = 16_384  # about so many are predicted at each validation during training

    def __post_init__(self) -> None:
        for name, kind in (("model", GPTConfig), ("fit", FitConfig)):
            if not isinstance(getattr(self, name), kind):
                raise TypeError(f"{name} is {getattr(self, name)!r}; use a {kind.__name__}")
        for name in ("rows", "max_epochs", "validation_tokens"):
            value = getattr(self, name)
            kinds = (int, float) if name == "max_epochs" else (int,)
            if isinstance(value, bool) or not isinstance(value, kinds):
                raise TypeError(f"{name} is {value!r}; use a number above 0")
            if not value > 0:
                raise ValueError(f"{name} is {value}; use a number above 0")


@dataclass(frozen=True)
class DocumentLoss:
    """Summed surprise of a model at documents.

    Attributes:
        nats: of all predictions, end tokens included.
        predictions: their number (tokens).
        end_nats: the part of `nats` that the end tokens caused.
    """

    nats: float
    predictions: int
    end_nats: float

    @property
    def per_token(self) -> float:
        """Mean loss, end tokens included (nats/token)."""
        return self.nats / self.predictions

    def bits_per_byte(self, n_bytes: int) -> float:
        """Bits per byte of UTF-8 text, end tokens excluded: (nats - end_nats) / ln 2 / bytes."""
        return (self.nats - self.end_nats) / math.log(2) / n_bytes


@torch.no_grad()
def document_loss(model: nn.Module, batches: Iterable[Batch], end_of_text_id: int) -> DocumentLoss:
    """Sum the loss of a model over batches, in the precision that is in force.

    Args:
        model: a GPT, on any device; in evaluation mode.
        batches: from `whole_documents`.
        end_of_text_id: id of the control token between documents.
    """
    device = next(model.parameters()).device
    nats = end_nats = 0.0
    predictions = 0
    for batch in batches:
        predictions += batch.n_targets
        batch = to_device(batch, device)
        losses = next_token_loss(model, batch.ids, batch.targets, batch.document_ids, reduction="none")
        losses = losses.cpu().double()  # not at once: Apple's MPS has no float64
        nats += losses.sum().item()
        end_nats += losses[batch.targets.cpu() == end_of_text_id].sum().item()
    return DocumentLoss(nats, predictions, end_nats)


def tokenize(tokenizer: Tokenizer, texts: Iterable[str]) -> Iterator[list[int]]:
    """The token ids of each text, encoded many at a time."""
    texts = iter(texts)
    while some := list(islice(texts, _ENCODED_AT_ONCE)):
        yield from tokenizer.encode_batch(some)


def pretrain(
    config: PretrainConfig,
    tokenizer: Tokenizer,
    corpus: Corpus,
    folder: str | Path,
    *,
    tokens: str | Path | None = None,
    seed: int = 0,
    runtime: Runtime | None = None,
    progress: bool = True,
) -> dict[str, Any]:
    """Train a base model from random weights, and save it with its tokenizer.

    A run that was stopped goes on from its last checkpoint in the folder.

    Args:
        config: the settings.
        tokenizer: gives the ids, and the model its vocabulary size.
        corpus: the text.
        folder: gets config.json, model.safetensors, tokenizer.json and metrics.jsonl.
        tokens: folder for the token ids of the training split, written once and read through memory maps; None: they
            are kept in memory.
        seed: decides the first weights and the order of the documents.
        runtime: where it runs; None chooses by the machine.
        progress: whether to show a progress bar.
    Returns:
        the figures of the stage: losses in nats/token; `seconds` of the whole stage, `training_seconds` of
        training alone, without compiling.
    Raises:
        ValueError: the corpus is shorter than one context.
    """
    started = time.perf_counter()
    runtime = runtime or choose_runtime()
    end_of_text, context_length = tokenizer.end_of_text_id, config.model.context_length
    train = _documents(tokenizer, corpus, tokens, runtime, progress)
    if train.n_predictions < context_length:
        raise ValueError(
            f"corpus {corpus.name} has {train.n_predictions} tokens for training, less than one context "
            f"of {context_length}; give a longer text, or choose a shorter context_length"
        )
    held_out = list(corpus.documents("validation"))
    held_out_ids = list(tokenize(tokenizer, held_out))
    some = TokenDocuments(_sample(held_out_ids, config.validation_tokens), end_of_text)
    packed = PackedDocuments(train, end_of_text, context_length, config.rows, seed)
    steps = min(config.fit.steps, math.ceil(config.max_epochs * packed.batches_per_epoch))

    def loss_on(documents: Iterable[list[int]] | TokenDocuments) -> DocumentLoss:
        return document_loss(model, whole_documents(documents, end_of_text, context_length), end_of_text)

    generator = make_generator(seed)
    model = GPT(replace(config.model, vocab_size=tokenizer.vocab_size), generator)
    if config.copy_friendly:
        copy_friendly_start(model, generator)
    result = fit(
        model,
        packed,
        replace(config.fit, steps=steps, seed=seed),
        validate=lambda _: loss_on(some).per_token,
        directory=folder,
        runtime=runtime,
        progress=progress,
    )
    loss = loss_on(held_out_ids)
    if runtime.is_main:
        model.save_pretrained(folder)
        tokenizer.save(folder)
    figures = _figures(model, result, packed, time.perf_counter() - started)
    return figures | _losses(loss, corpus, sum(len(text.encode()) for text in held_out))


def _documents(
    tokenizer: Tokenizer, corpus: Corpus, folder: str | Path | None, runtime: Runtime, progress: bool
) -> TokenDocuments:
    """The tokens of the training split, in memory or, where there is a folder, on disk."""
    if folder is None:
        return TokenDocuments(tokenize(tokenizer, corpus.documents("train")), tokenizer.end_of_text_id)
    if runtime.is_main:
        texts = corpus.documents("train")
        write_shards(texts, tokenizer, folder, workers=min(8, runtime.threads), progress=progress)
    wait_for_main(runtime.world_size)
    return open_shards(folder, tokenizer.end_of_text_id)


def _sample(token_documents: list[list[int]], tokens: int) -> list[list[int]]:
    """Evenly spread documents with about so many tokens in all; a longer document is cut."""
    every = max(1, round(sum(map(len, token_documents)) / tokens))
    return [ids[:tokens] for ids in token_documents[::every]]


def _figures(model: GPT, result: FitResult, packed: PackedDocuments, seconds: float) -> dict[str, Any]:
    """The key numbers of the training."""
    return {
        "seconds": round(max(seconds, result.seconds), 2),  # a resumed run began earlier
        "training_seconds": round(result.seconds, 2),
        "parameters": model.n_parameters,
        "steps": result.steps,
        "tokens": result.tokens,
        "epochs": result.tokens / packed.tokens_per_epoch,
        "documents": len(packed.documents),
        "fill_share": packed.fill_share,
        "train_loss": result.train_loss,
        "best_step": result.best_step,
        "stopped_early": result.stopped_early,
    }


def _losses(loss: DocumentLoss, corpus: Corpus, n_bytes: int) -> dict[str, Any]:
    """The losses on the whole validation split, beside the floor where there is one."""
    figures = {"val_loss": loss.per_token, "bits_per_byte": loss.bits_per_byte(n_bytes)}
    entropy = corpus.entropy_nats()
    if entropy is not None:
        floor = entropy / loss.predictions
        figures |= {"entropy_floor": floor, "above_floor": loss.per_token / floor - 1}
    return figures
