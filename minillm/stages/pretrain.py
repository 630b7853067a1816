"""Pretraining: a base model learns to predict the next token of a corpus, document by document.

Losses are in nats per predicted token, measured on whole documents (see `minillm.train.document_loss`).
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from minillm import checks
from minillm.data.batches import InTurn, PackedDocuments, TokenDocuments, tokenize, whole_documents
from minillm.data.corpora import Corpus
from minillm.data.shards import open_shards, write_shards
from minillm.keys import setting
from minillm.model.gpt import GPT, GPTConfig
from minillm.model.init import copy_friendly_start
from minillm.text.tokenizer import Tokenizer
from minillm.train.config import FitConfig, check_fit
from minillm.train.document_loss import DocumentLoss, document_loss
from minillm.train.loop import FitResult, fit
from minillm.train.options import RunOptions
from minillm.train.runtime import Runtime, make_generator, wait_for_main

__all__ = ["PretrainConfig", "pretrain", "validation_figures"]


@dataclass(frozen=True)
class PretrainConfig:
    """Settings of the base stage."""

    model: GPTConfig  # the shape; its vocab_size is replaced by the tokenizer's own
    fit: FitConfig  # the training
    rows: int = 16  # rows of context_length tokens in the batch of one optimizer step
    copy_friendly: bool = True  # whether the first weights make copying from the context easy to learn
    lesson_steps: int = 0  # steps at the start that read the lessons of the corpus, where it has some
    max_epochs: float = 20.0  # fewer steps are made where the corpus would be read more often than this
    validation_tokens: int = setting(  # about so many are predicted at each validation during training
        16_384, decides=lambda config: config.fit.stops_early
    )

    def __post_init__(self) -> None:
        checks.instance("model", self.model, GPTConfig)
        check_fit(self.fit)
        for name in ("rows", "validation_tokens"):
            checks.whole_number(name, getattr(self, name), at_least=1)
        checks.yes_or_no("copy_friendly", self.copy_friendly)
        checks.whole_number("lesson_steps", self.lesson_steps, at_least=0)
        checks.number("max_epochs", self.max_epochs, above=0)


def pretrain(
    config: PretrainConfig,
    tokenizer: Tokenizer,
    corpus: Corpus,
    options: RunOptions,
    *,
    shards: Path | None = None,
) -> tuple[GPT, dict[str, Any]]:
    """Train a base model from random weights.

    Args:
        config: the settings.
        tokenizer: gives the ids, and the model its vocabulary size.
        corpus: the text.
        options: where and how; the seed decides the first weights and the order of the documents.
        shards: folder for the token ids of the training split, written once and read through memory maps; None: they
            are kept in memory.
    Returns:
        the model, and the figures of its training: losses in nats/token; `seconds` of it all, `training_seconds` of the
        steps alone, without compiling.
    Raises:
        ValueError: the corpus is shorter than one context.
    """
    started = time.perf_counter()
    end_of_text, context_length = tokenizer.end_of_text_id, config.model.context_length
    train = _documents(tokenizer, corpus, shards, options.runtime, options.progress)
    if train.n_predictions < context_length:
        raise ValueError(
            f"corpus {corpus.name} has {train.n_predictions} tokens for training, less than one context "
            f"of {context_length}; give a longer text, or choose a shorter context_length"
        )
    held_out = list(tokenize(tokenizer, corpus.documents("validation")))
    some = TokenDocuments(_sample(held_out, config.validation_tokens), end_of_text)
    packed = PackedDocuments(train, end_of_text, context_length, config.rows, options.seed)
    lessons = _lessons(config, tokenizer, corpus, options.seed)
    before = config.lesson_steps if lessons else 0  # they are no epochs of the corpus
    steps = min(config.fit.steps, before + math.ceil(config.max_epochs * packed.batches_per_epoch))
    generator = make_generator(options.seed)
    model = GPT(replace(config.model, vocab_size=tokenizer.vocab_size), generator)
    if config.copy_friendly:
        copy_friendly_start(model, generator)
    result = fit(
        model,
        InTurn(lessons, config.lesson_steps, packed) if lessons else packed,
        replace(config.fit, steps=steps, seed=options.seed),
        validate=lambda _: _loss(model, some, end_of_text).per_token,
        directory=options.folder,
        runtime=options.runtime,
        progress=options.progress,
    )
    return model, _figures(model, result, packed, time.perf_counter() - started)


def _loss(model: GPT, documents: Iterable[list[int]] | TokenDocuments, end_of_text: int) -> DocumentLoss:
    batches = whole_documents(documents, end_of_text, model.config.context_length)
    return document_loss(model, batches, end_of_text)


def validation_figures(model: GPT, tokenizer: Tokenizer, corpus: Corpus) -> dict[str, Any]:
    """The loss of a model on the whole validation split of a corpus.

    Returns:
        `val_loss` (nats/token), `bits_per_byte` and, where the entropy of the text is known, `entropy_floor`
        (nats/token) and `above_floor`, the share by which the loss lies above it.
    """
    texts = list(corpus.documents("validation"))
    loss = _loss(model, list(tokenize(tokenizer, texts)), tokenizer.end_of_text_id)
    n_bytes = sum(len(text.encode()) for text in texts)
    figures = {"val_loss": loss.per_token, "bits_per_byte": loss.bits_per_byte(n_bytes)}
    entropy = corpus.entropy_nats()
    if entropy is not None:
        floor = entropy / loss.predictions
        figures |= {"entropy_floor": floor, "above_floor": loss.per_token / floor - 1}
    return figures


def _documents(
    tokenizer: Tokenizer, corpus: Corpus, folder: Path | None, runtime: Runtime, progress: bool
) -> TokenDocuments:
    """The tokens of the training split, in memory or, where there is a folder, on disk."""
    if folder is None:
        return TokenDocuments(tokenize(tokenizer, corpus.documents("train")), tokenizer.end_of_text_id)
    if runtime.is_main:
        texts = corpus.documents("train")
        write_shards(texts, tokenizer, folder, workers=min(8, runtime.threads), progress=progress)
    wait_for_main(runtime.world_size)
    return open_shards(folder, tokenizer.end_of_text_id)


def _lessons(
    config: PretrainConfig, tokenizer: Tokenizer, corpus: Corpus, seed: int
) -> PackedDocuments | None:
    """The lessons of the corpus for as many steps as there are to be; None where there are none."""
    wanted = config.lesson_steps * config.rows * config.model.context_length
    chosen: list[list[int]] = []
    for ids in tokenize(tokenizer, corpus.lessons() if wanted else ()):
        if wanted <= 0:
            break
        chosen.append(ids)
        wanted -= len(ids) + 1
    if not chosen:
        return None
    return PackedDocuments(chosen, tokenizer.end_of_text_id, config.model.context_length, config.rows, seed)


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
