"""Supervised fine-tuning: a base model learns to answer, from conversations.

The loss is that of pretraining, on other data: next-token cross-entropy, but only where the token is the assistant's
to write. A share of pretraining documents is mixed in, so that what the base model knows is not forgotten. Their
tokens all count. Conversations and documents are packed into the same rows, and none sees another.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import torch

from minillm import checks
from minillm.data.batches import PackedDocuments, TokenDocuments, tokenize, whole_documents
from minillm.data.conversations import Conversations
from minillm.data.corpora import Corpus
from minillm.keys import setting
from minillm.model.gpt import GPT
from minillm.text.chat import ASSISTANT, END, USER, RenderedChat, render_chat
from minillm.text.tokenizer import Tokenizer
from minillm.train.config import FitConfig, check_fit
from minillm.train.document_loss import document_loss
from minillm.train.loop import fit
from minillm.train.options import RunOptions
from minillm.train.runtime import make_generator

__all__ = [
    "SFTConfig",
    "answer_losses",
    "change_of_losses",
    "chat_documents",
    "fine_tune",
    "renew_control_tokens",
]


@dataclass(frozen=True)
class SFTConfig:
    """Settings of supervised fine-tuning."""

    fit: FitConfig  # the training
    rows: int = 16  # rows of context_length tokens in the batch of one optimizer step
    pretraining_share: float = 0.3  # of the documents that are read; the rest are conversations
    max_epochs: float = 20.0  # fewer steps are made where they would read the conversations more often
    corpus_documents: int = setting(500, measures=True)  # of its validation, to measure what is forgotten

    def __post_init__(self) -> None:
        check_fit(self.fit)
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
        masks.append([True] * len(ids[-1]) + [len(ids[-1]) == len(document)])  # a cut one does not end there
    return TokenDocuments(ids, end_of_text_id, masks)


@torch.no_grad()
def renew_control_tokens(model: GPT, tokenizer: Tokenizer, seed: int = 0) -> None:
    """Draw fresh vectors for the control tokens of the chat, which pretraining has never shown to the model.

    A token that never occurs is only ever pushed away from all outputs, so that the vectors of all such tokens become
    nearly one and the same. Fresh ones have a random direction and the mean length of the others.
    """
    generator = make_generator(seed)
    special = tokenizer.special_tokens
    own_head = [] if model.lm_head is None else [model.lm_head.weight]
    for weight in (model.model.embed_tokens.weight, *own_head):
        length = weight.norm(dim=1).mean()
        for token in (USER, ASSISTANT, END):
            vector = torch.randn(weight.shape[1], generator=generator).to(weight)
            weight[special[token]] = vector * length / vector.norm()


def fine_tune(
    config: SFTConfig,
    model: GPT,
    tokenizer: Tokenizer,
    conversations: Conversations,
    corpus: Corpus,
    options: RunOptions,
    *,
    new_control_tokens: bool = False,
) -> dict[str, Any]:
    """Train a model on conversations, wherever it stands: in place.

    What is trained are the parameters that require a gradient: all of them, or those of a LoRA adapter.

    Args:
        config: the settings.
        model: a base model or an assistant.
        tokenizer: the model's.
        conversations: what it learns.
        corpus: what it was pretrained on; some of it is mixed in.
        options: where and how; the seed decides the order, the plain documents and the new vectors.
        new_control_tokens: whether `renew_control_tokens` is called first, for a base model.
    Returns:
        the figures of the training; those of `answer_losses` are measured apart.
    Raises:
        ValueError: no conversation has an answer within the context.
    """
    started = time.perf_counter()
    context_length, end_of_text = model.config.context_length, tokenizer.end_of_text_id
    rendered = (render_chat(messages, tokenizer) for messages in conversations.conversations("train"))
    within = slice(1, context_length + 1)
    chats = [chat for chat in rendered if any(chat.loss_mask[within])]  # the others have no answer to learn
    plain = list(islice(tokenize(tokenizer, corpus.documents("train")), _n_plain(config, len(chats))))
    train = chat_documents(chats, end_of_text, context_length, plain)
    packed = PackedDocuments(train, end_of_text, context_length, config.rows, options.seed)
    held_out = _held_out_answers(tokenizer, conversations, context_length)
    steps = min(config.fit.steps, math.ceil(config.max_epochs * packed.batches_per_epoch))
    if new_control_tokens:
        renew_control_tokens(model, tokenizer, options.seed)
    result = fit(
        model,
        packed,
        replace(config.fit, steps=steps, seed=options.seed),
        validate=lambda _: _loss(model, held_out, end_of_text),
        directory=options.folder,
        runtime=options.runtime,
        progress=options.progress,
    )
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
        "best_step": result.best_step,
        "stopped_early": result.stopped_early,
    }


def answer_losses(
    config: SFTConfig, model: GPT, tokenizer: Tokenizer, conversations: Conversations, corpus: Corpus
) -> dict[str, float]:
    """What a model expects of held-out conversations and of plain text.

    Returns:
        `val_loss`, of the answers of the validation split, in nats per token of an answer; `corpus_loss`, of
        `config.corpus_documents` validation documents of the corpus, in nats/token.
    """
    end_of_text = tokenizer.end_of_text_id
    answers = _held_out_answers(tokenizer, conversations, model.config.context_length)
    texts = islice(tokenize(tokenizer, corpus.documents("validation")), config.corpus_documents)
    return {
        "val_loss": _loss(model, answers, end_of_text),
        "corpus_loss": _loss(model, list(texts), end_of_text),
    }


def change_of_losses(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """The `answer_losses` after a training beside those before it; `forgetting` is the rise of the corpus's (share)."""
    return {
        "val_loss_before": before["val_loss"],
        "val_loss": after["val_loss"],
        "corpus_loss_before": before["corpus_loss"],
        "corpus_loss": after["corpus_loss"],
        "forgetting": after["corpus_loss"] / before["corpus_loss"] - 1,
    }


def _held_out_answers(
    tokenizer: Tokenizer, conversations: Conversations, context_length: int
) -> TokenDocuments:
    chats = (render_chat(messages, tokenizer) for messages in conversations.conversations("validation"))
    return chat_documents(chats, tokenizer.end_of_text_id, context_length)


def _loss(model: GPT, documents: TokenDocuments | list[list[int]], end_of_text: int) -> float:
    batches = whole_documents(documents, end_of_text, model.config.context_length)
    return document_loss(model, batches, end_of_text).per_token


def _n_plain(config: SFTConfig, n_chats: int) -> int:
    """How many plain documents belong beside so many conversations."""
    return round(n_chats * config.pretraining_share / (1 - config.pretraining_share))
