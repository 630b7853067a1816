"""Supervised fine-tuning: the loss of packed, masked batches is that of one conversation at a time."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from minillm.data.batches import IGNORE_INDEX, PackedDocuments, tokenize, whole_documents
from minillm.data.conversations import TaskConversations, open_conversations
from minillm.data.corpora import WorldCorpus
from minillm.data.tasks import Tasks
from minillm.data.world import World
from minillm.model.gpt import GPT, GPTConfig
from minillm.stages.sft import (
    SFTConfig,
    answer_losses,
    change_of_losses,
    chat_documents,
    fine_tune,
    renew_control_tokens,
)
from minillm.text.chat import ASSISTANT, END, USER, render_chat
from minillm.text.tokenizer import Tokenizer
from minillm.train.config import FitConfig
from minillm.train.document_loss import document_loss
from minillm.train.options import RunOptions
from minillm.train.step import language_model_loss

SHAPE = GPTConfig(400, context_length=96, n_layer=2, n_head=2, d_model=24, d_ff=40)
CONVERSATIONS = TaskConversations(n_train=60, n_validation=12, families=("greeting", "world", "strangers"))
CORPUS = WorldCorpus(n_documents=40, n_validation=10)
CONFIG = SFTConfig(
    FitConfig(steps=6, optimizer="adamw", learning_rate=1e-2, checkpoint_every=2, validate_every=3),
    rows=4,
    corpus_documents=5,
)


@pytest.fixture(scope="module")
def tokenizer():
    texts = [message["content"] for task in Tasks("train").tasks(300) for message in task.conversation]
    return Tokenizer.train([*texts, *CORPUS.documents("train")], 400)


def fresh_model(tokenizer, **changes):
    return GPT(replace(SHAPE, vocab_size=tokenizer.vocab_size, **changes), generator=1).eval()


def chats(tokenizer, n=40, **kinds):
    return [render_chat(task.conversation, tokenizer) for task in Tasks("train", **kinds).tasks(n)]


def one_at_a_time(model, chat):
    """Nats and number of the answers' tokens of a conversation that stands alone, without mask or packing."""
    ids = torch.tensor(chat.ids[: SHAPE.context_length + 1])
    log_probs = F.log_softmax(model(ids[None, :-1])[0].double(), dim=-1)
    nats = -log_probs[range(len(ids) - 1), ids[1:]]
    wanted = torch.tensor(chat.loss_mask[1 : len(ids)])
    return nats[wanted].sum().item(), int(wanted.sum())


def test_the_packed_masked_loss_is_that_of_one_conversation_at_a_time(tokenizer):
    torch.manual_seed(0)
    model = fresh_model(tokenizer)
    some = [chat for chat in chats(tokenizer, 60) if any(chat.loss_mask[: SHAPE.context_length + 1])]
    end = tokenizer.end_of_text_id
    packed = PackedDocuments(
        chat_documents(some, end, SHAPE.context_length), end, SHAPE.context_length, rows=3
    )
    nats = n = 0
    with torch.no_grad():
        expected = [one_at_a_time(model, chat) for chat in some]
        for step in range(packed.batches_per_epoch):
            batch = packed.batch(step)
            loss, count = language_model_loss(model, batch)
            nats, n = nats + loss.double().item(), n + int(count)
    assert packed.rows_per_epoch < len(some), "no row holds two conversations, so nothing is tested"
    assert n == sum(count for _, count in expected)
    assert nats / n == pytest.approx(sum(nats for nats, _ in expected) / n, rel=1e-6)
    whole = document_loss(model, whole_documents(packed.documents, end, SHAPE.context_length), end)
    assert whole.per_token == pytest.approx(nats / n, rel=1e-6)


def test_no_conversation_sees_another(tokenizer):
    """The loss of a conversation's answer does not change with what shares its row."""
    model, end = fresh_model(tokenizer), tokenizer.end_of_text_id
    mine, *others = sorted(chats(tokenizer, 40, families=["greeting"]), key=lambda chat: len(chat.ids))
    losses = []
    for neighbour in (others[2], others[3]):
        assert len(neighbour.ids) + len(mine.ids) <= SHAPE.context_length
        documents = chat_documents([neighbour, mine], end, SHAPE.context_length)
        batch = PackedDocuments(documents, end, SHAPE.context_length, rows=1).batch(0)
        assert batch.document_ids is not None
        targets = torch.tensor([*mine.ids[1:], end])
        with torch.no_grad():
            row = model(batch.ids, document_ids=batch.document_ids)[0].double()
        starts = [i for i in range(len(row)) if batch.ids[0, i : i + len(mine.ids)].tolist() == mine.ids]
        assert starts, "the conversation is not in the row"
        logits = row[starts[0] : starts[0] + len(mine.ids)]
        losses.append(F.cross_entropy(logits, targets, reduction="none"))
    assert torch.allclose(losses[0], losses[1], atol=1e-6)


words = st.text("abc dé\n你<|end|>", max_size=12)
turns = st.lists(st.tuples(words, words), min_size=1, max_size=3)


@settings(max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(turns, st.one_of(st.none(), words))
def test_targets_are_the_answers_and_their_ends_and_nothing_else(tokenizer, pairs, system):
    """By brute force: walk over the conversation's parts and say of each token whose it is."""
    messages = [] if system is None else [{"role": "system", "content": system}]
    expected = []  # the tokens that the model must write
    special = tokenizer.special_tokens
    for question, answer in pairs:
        messages += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        expected += [*tokenizer.encode(" " + answer), special[END]]
    documents = chat_documents([render_chat(messages, tokenizer)], tokenizer.end_of_text_id, 400)
    (batch,) = whole_documents(documents, tokenizer.end_of_text_id, 400)
    targets = batch.targets[batch.targets != IGNORE_INDEX].tolist()
    assert targets == expected
    before = batch.ids[batch.targets != IGNORE_INDEX].tolist()
    assert before.count(special[ASSISTANT]) == len(pairs), (
        "an answer's first token is predicted from the mark"
    )
    assert special[USER] not in before


def test_plain_documents_count_in_full(tokenizer):
    texts = [document.text for document in World().documents(5)]
    plain = [ids for ids in tokenize(tokenizer, texts) if len(ids) < SHAPE.context_length]
    alone = chats(tokenizer, 1)
    both = chat_documents(alone, tokenizer.end_of_text_id, SHAPE.context_length, plain)
    answers = chat_documents(alone, tokenizer.end_of_text_id, SHAPE.context_length)
    assert both.n_predictions - answers.n_predictions == sum(len(ids) + 1 for ids in plain)


def test_a_plain_document_that_is_cut_does_not_end_there(tokenizer):
    """Else a model learns to end a text where its context ends."""
    alone, end = chats(tokenizer, 1), tokenizer.end_of_text_id
    for length, ends in ((31, True), (32, False), (100, False)):
        documents = chat_documents(alone, end, 32, [[5] * length])
        assert documents.is_target[-2] and bool(documents.is_target[-1]) == ends


def test_conversations_without_an_answer_in_the_context_are_not_counted(tokenizer, tmp_path, runtime):
    class SomeLong:
        def conversations(self, split):
            found = list(CONVERSATIONS.conversations(split))
            long = [
                {"role": "user", "content": "Hello! " * 90},
                {"role": "assistant", "content": "Good day!"},
            ]
            return [*found[:20], *[long] * 40]

    figures, _ = run(tokenizer, tmp_path / "some", runtime, conversations=SomeLong())
    assert figures["conversations"] == 20 and figures["cut_conversations"] < 20


def test_what_goes_beyond_the_context_is_cut_off(tokenizer):
    end = tokenizer.end_of_text_id
    short = {"role": "user", "content": "Hello!"}
    long = {"role": "user", "content": "Hello! " * 80}
    answer = {"role": "assistant", "content": "Good day! " * 60}
    documents = chat_documents([render_chat([short, answer], tokenizer)], end, 32)
    assert len(documents.flat) == 34
    assert documents.is_target[-2], "the last token within the context is a target"
    with pytest.raises(ValueError, match="no conversation has an answer within the context of 32 tokens"):
        chat_documents([render_chat([long, answer], tokenizer)], end, 32)


def test_new_control_tokens_are_apart_and_the_rest_stays(tokenizer):
    model = fresh_model(tokenizer)
    weight = model.model.embed_tokens.weight
    before = weight.detach().clone()
    special = [tokenizer.special_tokens[name] for name in (USER, ASSISTANT, END)]
    with torch.no_grad():
        weight[special] = 1.0  # collapsed, as after pretraining
    renew_control_tokens(model, tokenizer, seed=3)
    vectors = weight[special]
    cosines = F.cosine_similarity(vectors[:, None], vectors[None], dim=-1)
    assert (cosines - torch.eye(3)).abs().max() < 0.8
    others = [i for i in range(len(weight)) if i not in special]
    assert torch.equal(weight[others], before[others])
    again = fresh_model(tokenizer)
    with torch.no_grad():
        again.model.embed_tokens.weight[special] = 1.0
    renew_control_tokens(again, tokenizer, seed=3)
    assert torch.equal(again.model.embed_tokens.weight, weight)


def test_new_control_tokens_are_apart_in_a_head_of_its_own(tokenizer):
    model = fresh_model(tokenizer, tie_embeddings=False)
    special = [tokenizer.special_tokens[name] for name in (USER, ASSISTANT, END)]
    with torch.no_grad():
        model.lm_head.weight[special] = 1.0
    renew_control_tokens(model, tokenizer)
    rows = model.lm_head.weight[special]
    assert (F.cosine_similarity(rows[:, None], rows[None], dim=-1) - torch.eye(3)).abs().max() < 0.8


def run(tokenizer, folder, runtime, config=CONFIG, conversations=CONVERSATIONS):
    model = fresh_model(tokenizer)
    options = RunOptions(folder=folder, runtime=runtime, progress=False)
    figures = fine_tune(config, model, tokenizer, conversations, CORPUS, options, new_control_tokens=True)
    return figures, model


def test_the_stage_trains_and_says_what_it_did(tokenizer, tmp_path, runtime):
    config = replace(CONFIG, fit=replace(CONFIG.fit, steps=60))
    figures, model = run(tokenizer, tmp_path, runtime, config)
    untrained = fresh_model(tokenizer)
    losses = [answer_losses(config, m, tokenizer, CONVERSATIONS, CORPUS) for m in (untrained, model)]
    figures |= change_of_losses(*losses)
    held_out = [render_chat(messages, tokenizer) for messages in CONVERSATIONS.conversations("validation")]
    nats = [sum(x) for x in zip(*(one_at_a_time(model, chat) for chat in held_out), strict=True)]
    before = [sum(x) for x in zip(*(one_at_a_time(untrained, chat) for chat in held_out), strict=True)]
    assert figures["val_loss"] == pytest.approx(nats[0] / nats[1], rel=1e-5)
    assert figures["val_loss_before"] == pytest.approx(before[0] / before[1], rel=1e-5)
    assert figures["val_loss"] < 0.8 * before[0] / before[1]
    assert figures["steps"] == 60 and figures["conversations"] == 60
    assert figures["forgetting"] == figures["corpus_loss"] / figures["corpus_loss_before"] - 1
    assert {path.name for path in tmp_path.iterdir()} == {"metrics.jsonl", "checkpoints"}


def test_a_run_that_was_cut_off_ends_with_the_same_weights(tokenizer, tmp_path, runtime, monkeypatch):
    from minillm.train.run import TrainingRun

    whole, expected = run(tokenizer, tmp_path / "whole", runtime)
    step = TrainingRun.train_step

    def cut_off(self):
        if self.step == 4:
            raise MemoryError
        return step(self)

    monkeypatch.setattr(TrainingRun, "train_step", cut_off)
    with pytest.raises(MemoryError):
        run(tokenizer, tmp_path / "cut", runtime)
    monkeypatch.setattr(TrainingRun, "train_step", step)
    again, model = run(tokenizer, tmp_path / "cut", runtime)
    assert all(torch.equal(a, b) for a, b in zip(expected.parameters(), model.parameters(), strict=True))
    different = {"seconds", "training_seconds"}
    assert {k: v for k, v in whole.items() if k not in different} == {
        k: v for k, v in again.items() if k not in different
    }


def test_own_conversations_train_in_its_place(tokenizer, tmp_path, runtime):
    path = tmp_path / "mine.jsonl"
    rows = [task.conversation for task in Tasks("train", ["greeting"]).tasks(30)]
    path.write_text(
        "".join(json.dumps({"messages": row, "source": "me"}) + "\n" for row in rows), encoding="utf-8"
    )
    figures, _ = run(tokenizer, tmp_path / "run", runtime, conversations=open_conversations(path))
    assert figures["conversations"] == 28
    assert math.isfinite(figures["train_loss"])


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"fit": 3}, "fit is 3; use a FitConfig"),
        ({"rows": 0}, "rows is 0; use a whole number of at least 1"),
        ({"pretraining_share": 1.0}, "pretraining_share is 1.0; use a number of at least 0 and below 1"),
        ({"max_epochs": 0}, "max_epochs is 0; use a finite number above 0"),
        ({"corpus_documents": 0}, "corpus_documents is 0"),
    ],
)
def test_wrong_settings_are_refused(changes, message):
    with pytest.raises((ValueError, TypeError), match=message):
        replace(CONFIG, **changes)
