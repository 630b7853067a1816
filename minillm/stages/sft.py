"""Supervised fine-tuning: a base model learns to answer, from conversations.

The loss is that of pretraining, on other data: next-token cross-entropy, but only where the token is the assistant's
to write. A share of pretraining documents is mixed in, so that what the base model knows is not forgotten. Their
tokens all count. Conversations and documents are packed into the same rows, and none sees another.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from minillm import checks
from minillm.data.batches import PackedDocuments, TokenDocuments, whole_documents
from minillm.data.conversations import Conversations
from minillm.data.corpora import Corpus
from minillm.model.gpt import GPT
from minillm.stages.pretrain import document_loss, tokenize
from minillm.text.chat import ASSISTANT, END, USER, RenderedChat, render_chat, save_chat_format
from minillm.text.tokenizer import Tokenizer
from minillm.train.config import FitConfig
from minillm.train.loop import fit
from minillm.train.runtime import Runtime, choose_runtime, make_generator

__all__ = ["SFTConfig", "chat_documents", "fine_tune", "renew_control_tokens", "sft"]


@dataclass(frozen=True)
class SFTConfig:
    """Settings of supervised fine-tuning."""

    fit: FitConfig  # the training
    rows: int = 16  # rows of context_length tokens in the batch of one optimizer step
    pretraining_share: float = 0.3  # of the documents that are read; the rest are conversations
    max_epochs: float = 20.0  # fewer steps are made where they would read the conversations more often
    corpus_documents: int = 500  # so many validation documents of the corpus measure what is forgotten

    def __post_init__(self) -> None:
        checks.instance("fit", self.fit, FitConfig)
        for name in ("rows", "corpus_documents"):
            checks.whole_number(name, getattr(self, name), at_least=1)
        checks.number("pretraining_share", self.pretraining_share, at_least=0, below=1)
        checks.number("max_epochs", self.max_epochs, above=0)


def chat_documents(
    chats: Iterable[RenderedChat],
    end_of_text_id: int,
    context_length: int,
    documents: Iterable[list[int]] = (),
) -> TokenDocuments:
    """Conversations, and plain documents beside them, as documents with a loss mask.

    Args:
        chats: rendered conversations; what goes beyond the context is cut off at its end.
        end_of_text_id: id of the control token at the borders.
        context_length: of the model (tokens).
        documents: token ids of plain documents, cut likewise; all of their tokens are predicted.
    Raises:
        ValueError: no conversation has an answer within the context.
    """
    ids, masks = [], []
    for chat in chats:
        within = slice(1, context_length + 1)  # the end-of-text token in front is no part of the document
        if any(chat.loss_mask[within]):
            ids.append(chat.ids[within])
            masks.append([*chat.loss_mask[within], False])
    if not ids:
        raise ValueError(
            f"no conversation has an answer within the context of {context_length} tokens; give shorter ones"
        )
    for document in documents:
        ids.append(document[: context_length - 1])
        masks.append([True] * (len(ids[-1]) + 1))
    return TokenDocuments(ids, end_of_text_id, masks)


@torch.no_grad()
def renew_control_tokens(model: GPT, tokenizer: Tokenizer, seed: int = 0) -> None:
    """Draw fresh vectors for the control tokens of the chat, which pretraining has never shown to the model.

    A token that never occurs is only ever pushed away from all outputs, so that the vectors of all such tokens become
    nearly one and the same. Fresh ones have a random direction and the mean length of the others.
    """
    weight = model.model.embed_tokens.weight
    generator = make_generator(seed)
    special = tokenizer.special_tokens
    length = weight.norm(dim=1).mean()
    for token in (USER, ASSISTANT, END):
        vector = torch.randn(weight.shape[1], generator=generator).to(weight)
        weight[special[token]] = vector * length / vector.norm()


def sft(
    config: SFTConfig,
    base: GPT,
    tokenizer: Tokenizer,
    conversations: Conversations,
    corpus: Corpus,
    folder: str | Path,
    *,
    seed: int = 0,
    runtime: Runtime | None = None,
    progress: bool = True,
) -> dict[str, Any]:
    """Fine-tune a base model on conversations, and save it with its tokenizer and chat template.

    A run that was stopped goes on from its last checkpoint in the folder.

    Args:
        config: the settings.
        base: the model to start from; it is trained in place.
        tokenizer: the base model's.
        conversations: what it learns.
        corpus: what it was pretrained on; some of it is mixed in.
        folder: gets config.json, model.safetensors, tokenizer.json, the chat template and metrics.jsonl.
        seed: decides the order, the plain documents and the new vectors of the control tokens.
        runtime: where it runs; None chooses by the machine.
        progress: whether to show a progress bar.
    Returns:
        the figures of the stage. `val_loss_before` and `val_loss` are those of held-out answers, in nats per
        token of an answer; `corpus_loss_before` and `corpus_loss` are those of the corpus's validation split, in
        nats/token.
    Raises:
        ValueError: no conversation has an answer within the context.
    """
    runtime = runtime or choose_runtime()
    figures = fine_tune(
        config,
        base,
        tokenizer,
        conversations,
        corpus,
        folder,
        new_control_tokens=True,
        seed=seed,
        runtime=runtime,
        progress=progress,
    )
    if runtime.is_main:
        base.save_pretrained(folder)
        tokenizer.save(folder)
        save_chat_format(folder, tokenizer)
    return figures


def fine_tune(
    config: SFTConfig,
    model: GPT,
    tokenizer: Tokenizer,
    conversations: Conversations,
    corpus: Corpus,
    folder: str | Path | None,
    *,
    new_control_tokens: bool = False,
    seed: int = 0,
    runtime: Runtime | None = None,
    progress: bool = True,
) -> dict[str, Any]:
    """Train a model on conversations, wherever it stands.

    What is trained are the parameters that require a gradient: all of them, or those of a LoRA adapter. Arguments,
    figures and errors are those of `sft`, and `new_control_tokens` calls `renew_control_tokens` first. Nothing is
    written but metrics.jsonl and checkpoints, and without a folder not even those.
    """
    started = time.perf_counter()
    runtime = runtime or choose_runtime()
    context_length = model.config.context_length
    end_of_text = tokenizer.end_of_text_id

    def loss_on(documents: TokenDocuments | list[list[int]]) -> float:
        batches = whole_documents(documents, end_of_text, context_length)
        return document_loss(model, batches, end_of_text).per_token

    chats = [render_chat(messages, tokenizer) for messages in conversations.conversations("train")]
    held_out = (render_chat(messages, tokenizer) for messages in conversations.conversations("validation"))
    answers = chat_documents(held_out, end_of_text, context_length)
    plain = list(islice(tokenize(tokenizer, corpus.documents("train")), _n_plain(config, len(chats))))
    train = chat_documents(chats, end_of_text, context_length, plain)
    packed = PackedDocuments(train, end_of_text, context_length, config.rows, seed)
    corpus_sample = list(islice(tokenize(tokenizer, corpus.documents("validation")), config.corpus_documents))
    steps = min(config.fit.steps, math.ceil(config.max_epochs * packed.batches_per_epoch))
    corpus_loss, answer_loss = [loss_on(corpus_sample)], [loss_on(answers)]
    if new_control_tokens:
        renew_control_tokens(model, tokenizer, seed)
    result = fit(
        model,
        packed,
        replace(config.fit, steps=steps, seed=seed),
        validate=lambda _: loss_on(answers),
        directory=folder,
        runtime=runtime,
        progress=progress,
    )
    corpus_loss.append(loss_on(corpus_sample))
    answer_loss.append(loss_on(answers))
    return {
        "seconds": round(max(time.perf_counter() - started, result.seconds), 2),
        "training_seconds": round(result.seconds, 2),
        "parameters": model.n_parameters,
        "steps": result.steps,
        "tokens": result.tokens,
        "epochs": result.tokens / packed.tokens_per_epoch,
        "conversations": len(chats),
        "cut_conversations": sum(len(chat.ids) > context_length + 1 for chat in chats),
        "fill_share": packed.fill_share,
        "train_loss": result.train_loss,
        "val_loss_before": answer_loss[0],
        "val_loss": answer_loss[1],
        "best_step": result.best_step,
        "stopped_early": result.stopped_early,
        "corpus_loss_before": corpus_loss[0],
        "corpus_loss": corpus_loss[1],
        "forgetting": corpus_loss[1] / corpus_loss[0] - 1,
    }


def _n_plain(config: SFTConfig, n_chats: int) -> int:
    """How many plain documents belong beside so many conversations."""
    return round(n_chats * config.pretraining_share / (1 - config.pretraining_share))
