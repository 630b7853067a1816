"""The reward model's stage: its loss against loops over pairs, its batches, and a toy preference that it learns."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_comparisons import FIT, SHAPE, TOKENIZER, comparison, toy

from minillm.model.gpt import GPT
from minillm.model.heads import RewardModel
from minillm.stages.reward import (
    ComparisonBatches,
    RewardConfig,
    batch_loss,
    mean_ranking_loss,
    ranking_loss,
    score_comparisons,
    train_reward_model,
)
from minillm.text.chat import render_chat
from minillm.train.options import RunOptions

CONFIG = RewardConfig(FIT, prompts=4)


# -- the loss --


def loss_by_loops(scores, ranks):
    """Nats per pair of each prompt: over all pairs, -log sigmoid(score of the better - score of the worse)."""
    losses = []
    for row, order in zip(scores, ranks.tolist(), strict=True):
        terms = []
        for i in range(len(order)):
            for j in range(len(order)):
                if 0 <= order[i] < order[j]:
                    terms.append(-torch.log(1 / (1 + torch.exp(row[j] - row[i]))))
        losses.append(sum(terms) / len(terms) if terms else 0.0 * row.sum())
    return torch.stack(losses)


ranks_of_prompts = st.lists(st.lists(st.integers(-1, 3), min_size=4, max_size=4), min_size=1, max_size=5).map(
    torch.tensor
)


@settings(max_examples=50, deadline=None)
@given(ranks_of_prompts, st.integers(0, 1000))
def test_the_loss_and_its_gradient_are_those_of_loops_over_pairs(ranks, seed):
    """With ties, absent answers (-1) and prompts of which no pair is left. Float32 sums of up to 30 terms."""
    scores = torch.randn(ranks.shape, generator=torch.Generator().manual_seed(seed)).mul(2).requires_grad_()
    expected = loss_by_loops(scores, ranks)
    ours = {reduction: ranking_loss(scores, ranks, reduction) for reduction in ("none", "sum", "mean")}
    assert ours["none"].shape == (len(ranks),)
    assert torch.allclose(ours["none"], expected, atol=1e-5)
    assert torch.allclose(ours["sum"], expected.sum(), atol=1e-5)
    assert torch.allclose(ours["mean"], expected.mean(), atol=1e-5)
    gradients = [torch.autograd.grad(loss, scores)[0] for loss in (ours["mean"], expected.mean())]
    assert torch.allclose(*gradients, atol=1e-6)
    assert not gradients[0][ranks < 0].any()


@pytest.mark.parametrize("garbage", [math.nan, math.inf, 1e30])
def test_the_score_of_an_answer_that_is_not_there_does_not_matter(garbage):
    ranks = torch.tensor([[1, -1, 0, 2], [-1, 0, -1, 1]])
    results = []
    for filler in (0.0, garbage):
        scores = torch.where(ranks < 0, filler, torch.arange(8.0).view(2, 4).sin()).requires_grad_()
        loss = ranking_loss(scores, ranks)
        results.append((loss.detach(), torch.autograd.grad(loss, scores)[0]))
    for one, other in zip(*results, strict=True):
        assert torch.equal(one, other)


def test_one_prompt_alone():
    scores = torch.tensor([1.0, -1.0, 0.5])
    expected = sum(math.log1p(math.exp(-margin)) for margin in (1 - 0.5, 1 + 1, 0.5 + 1)) / 3
    for reduction in ("mean", "sum", "none"):
        loss = ranking_loss(scores, torch.tensor([0, 2, 1]), reduction)
        assert loss.shape == () and loss.item() == pytest.approx(expected)


def test_a_prompt_with_many_answers_counts_no_more_than_one_with_few():
    many = ranking_loss(torch.tensor([[4.0, 3.0, 2.0, 1.0]]), torch.tensor([[3, 2, 1, 0]]))
    few = ranking_loss(torch.tensor([[4.0, 3.0, 0.0, 0.0]]), torch.tensor([[0, 1, -1, -1]]))
    both = ranking_loss(
        torch.tensor([[4.0, 3.0, 2.0, 1.0], [4.0, 3.0, 0.0, 0.0]]),
        torch.tensor([[3, 2, 1, 0], [0, 1, -1, -1]]),
    )
    assert both.item() == pytest.approx((many.item() + few.item()) / 2)
    assert abs(many.item() - few.item()) > 0.5


def test_large_margins_neither_overflow_nor_lose_their_gradient():
    scores = torch.tensor([-500.0, 500.0], requires_grad=True)
    loss = ranking_loss(scores, torch.tensor([0, 1]))
    loss.backward()
    assert loss.item() == 1000.0 and scores.grad.tolist() == [-1.0, 1.0]


def test_wrong_arguments_of_the_loss_are_refused():
    with pytest.raises(
        ValueError, match=r"scores have the shape \(2,\) and ranks \(3,\); give a rank for each"
    ):
        ranking_loss(torch.zeros(2), torch.zeros(3))
    with pytest.raises(ValueError, match="reduction is 'max'; choose one of mean, sum, none"):
        ranking_loss(torch.zeros(2), torch.zeros(2), "max")


# -- batches --


def conversations_of(batch, place):
    """The ids of each conversation of a row: the prompt, and the tokens of one branch behind it."""
    ids, branches = batch.ids[place], batch.branches[place]
    answers = range(1, int(branches.max()) + 1)
    return [ids[(branches == 0) | (branches == answer)].tolist() for answer in answers]


def test_a_row_holds_a_prompt_once_with_all_of_its_answers_each_with_its_rank():
    some = toy(5)
    batch = ComparisonBatches(some, TOKENIZER, 40, prompts=3).collate([4, 1, 0])
    assert batch.ids.shape == batch.branches.shape and batch.ends.shape == batch.ranks.shape
    assert len({len(some[number].answers) for number in (4, 1, 0)}) > 1
    widths = []
    for place, number in enumerate((4, 1, 0)):
        answers = some[number].answers
        count = len(answers)
        assert batch.ranks[place].tolist() == [*some[number].ranks] + [-1] * (batch.ranks.shape[1] - count)
        whole = [render_chat(some[number].conversation(answer), TOKENIZER).ids for answer in range(count)]
        assert conversations_of(batch, place) == whole
        ends = batch.ends[place, :count]
        assert batch.branches[place, ends].tolist() == list(range(1, count + 1))
        assert batch.ids[place, ends].tolist() == [TOKENIZER.special_tokens["<|end|>"]] * count
        prompt = int((batch.branches[place] == 0).sum())
        widths.append(prompt + sum(len(ids) - prompt for ids in whole))
        assert batch.branches[place].tolist()[widths[-1] :] == [-1] * (batch.ids.shape[1] - widths[-1])
    assert batch.ids.shape[1] == max(widths)


def test_each_epoch_shows_every_comparison_once_and_a_batch_depends_on_its_step_alone():
    some = toy(23, seed=1)
    batches = ComparisonBatches(some, TOKENIZER, 40, prompts=4, seed=3)
    again = ComparisonBatches(some, TOKENIZER, 40, prompts=4, seed=3)
    assert batches.batches_per_epoch == 6

    def contents(source, steps):
        """Of every step the prompts, each as the ids of its first answer."""
        return [
            [conversations_of(b, place)[0] for place in range(len(b.ids))] for b in map(source.batch, steps)
        ]

    forwards = contents(batches, range(12))
    backwards = contents(again, reversed(range(12)))[::-1]
    assert forwards == backwards
    everything = sorted(render_chat(one.conversation(0), TOKENIZER).ids for one in some)
    for epoch in (forwards[:6], forwards[6:]):
        assert sorted(row for batch in epoch for row in batch) == everything
        assert sorted(map(len, epoch)) == [3, 4, 4, 4, 4, 4]
    assert forwards[:6] != forwards[6:]
    other = ComparisonBatches(some, TOKENIZER, 40, prompts=4, seed=4)
    assert contents(other, range(6)) != forwards[:6]


def test_long_conversations_are_left_out_whole():
    long = comparison("b?", ["a", "a" * 60], [0, 1])
    batches = ComparisonBatches([*toy(3), long], TOKENIZER, 40, prompts=2)
    assert len(batches.comparisons) == 3
    with pytest.raises(ValueError, match="no comparison fits the context of 40 tokens; give shorter prompts"):
        ComparisonBatches([long], TOKENIZER, 40, prompts=2)
    model = RewardModel(SHAPE).eval()
    with pytest.raises(
        ValueError, match="a conversation has more than 40 tokens; leave it out or shorten it"
    ):
        score_comparisons(model, TOKENIZER, [*toy(3), long])


@torch.no_grad()
def test_scores_of_a_batch_are_those_of_one_conversation_at_a_time():
    model, some = RewardModel(SHAPE).eval(), toy(9, seed=2)
    for weight in model.parameters():
        weight.normal_(0, 0.3, generator=torch.Generator().manual_seed(weight.numel()))
    alone = [
        [
            model(torch.tensor([render_chat(one.conversation(n), TOKENIZER).ids])).item()
            for n in range(len(one.answers))
        ]
        for one in some
    ]
    assert np.std([score for row in alone for score in row]) > 0.1
    for prompts in (1, 4, 32):
        scores = score_comparisons(model, TOKENIZER, some, prompts)
        for one, other in zip(scores, alone, strict=True):
            assert one == pytest.approx(other, abs=1e-5)
    nats, count = batch_loss(model, ComparisonBatches(some, TOKENIZER, 40, 9).batch(0))
    expected = loss_by_loops(map(torch.tensor, alone), pad_ranks(some)).sum()
    assert count == 9 and nats.item() == pytest.approx(expected.item(), rel=1e-5)


def pad_ranks(comparisons):
    return torch.tensor([[*one.ranks, *[-1] * (4 - len(one.ranks))] for one in comparisons])


# -- the stage --


def body():
    return GPT(SHAPE, generator=1).eval()


def run(folder, runtime, config=CONFIG, seed=0):
    options = RunOptions(folder=folder, seed=seed, runtime=runtime, progress=False)
    return train_reward_model(config, body(), TOKENIZER, toy(30), toy(10, seed=9), options)


def pair_accuracy(scores, comparisons):
    right = [
        row[i] > row[j]
        for row, one in zip(scores, comparisons, strict=True)
        for i in range(len(row))
        for j in range(len(row))
        if one.ranks[i] < one.ranks[j]
    ]
    return sum(right) / len(right)


def test_a_toy_preference_is_learned_and_zero_lies_at_the_mean(tmp_path, runtime):
    config = replace(
        CONFIG, fit=replace(CONFIG.fit, steps=60, learning_rate=1e-2, validate_every=60), max_epochs=9
    )
    sft_model, train, held_out = body(), toy(40, seed=4), toy(30, seed=5)
    long = comparison("b?", ["a", "a" * 60], [0, 1])
    before = {name: weight.clone() for name, weight in sft_model.state_dict().items()}
    options = RunOptions(folder=tmp_path, runtime=runtime, progress=False)
    model, figures = train_reward_model(config, sft_model, TOKENIZER, [*train, long], held_out, options)
    assert all(torch.equal(weight, before[name]) for name, weight in sft_model.state_dict().items())
    scores, test_scores = (score_comparisons(model, TOKENIZER, part) for part in (train, held_out))
    assert pair_accuracy(test_scores, held_out) > 0.95
    flat = [score for row in scores for score in row]
    # A mean of some 120 float32 scores of size 5.
    assert abs(np.mean(flat)) < 1e-5 and np.std(flat) > 0.5
    losses = loss_by_loops([torch.tensor(row) for row in test_scores], pad_ranks(held_out))
    assert mean_ranking_loss(test_scores, held_out) == pytest.approx(losses.mean().item(), rel=1e-4)
    assert figures["steps"] == 60 and figures["comparisons"] == 40 and figures["too_long"] == 1
    assert figures["pairs"] == sum(one.n_pairs for one in train)
    assert figures["epochs"] == 60 / 10


def test_without_surprise_no_assistant_is_asked(tmp_path, runtime):
    """Then the head alone learns the toy preference, whose answers an untrained assistant cannot tell apart."""
    config = replace(
        CONFIG, fit=replace(CONFIG.fit, steps=60, learning_rate=1e-2), max_epochs=9, surprise=False
    )
    options = RunOptions(folder=tmp_path, runtime=runtime, progress=False)
    held_out = toy(30, seed=5)
    model, _ = train_reward_model(config, body(), TOKENIZER, toy(40, seed=4), held_out, options)
    assert model.assistant is None
    assert pair_accuracy(score_comparisons(model, TOKENIZER, held_out), held_out) > 0.95


def test_the_assistant_that_is_asked_is_the_fine_tuned_model(tmp_path, runtime):
    sft, (model, _) = body(), run(tmp_path, runtime)
    asked = model.assistant.state_dict()
    assert all(torch.equal(weight, asked[name]) for name, weight in sft.state_dict().items())
    assert model.answer_mark == TOKENIZER.special_tokens["<|assistant|>"]
    moved = model.surprise_weight - RewardModel.with_assistant(sft, 5).surprise_weight
    assert (moved.abs() > 1e-4).all()


def test_no_more_epochs_than_allowed(tmp_path, runtime):
    config = replace(CONFIG, fit=replace(CONFIG.fit, steps=100), max_epochs=1.5)
    assert run(tmp_path, runtime, config)[1]["steps"] == 12


def test_a_run_that_was_cut_off_ends_with_the_same_weights(tmp_path, runtime, monkeypatch):
    model, whole = run(tmp_path / "whole", runtime)
    batch = ComparisonBatches.batch

    def cut_off(self, step):
        if step == 5:
            raise MemoryError
        return batch(self, step)

    monkeypatch.setattr(ComparisonBatches, "batch", cut_off)
    with pytest.raises(MemoryError):
        run(tmp_path / "cut", runtime)
    monkeypatch.undo()
    resumed, again = run(tmp_path / "cut", runtime)
    one, other = model.state_dict(), resumed.state_dict()
    assert one["mean"] != 0 and all(torch.equal(one[name], other[name]) for name in one)

    def lines(name):
        rows = map(json.loads, (tmp_path / name / "metrics.jsonl").read_text(encoding="utf-8").splitlines())
        return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]

    assert lines("whole") == lines("cut")
    different = {"seconds", "training_seconds"}
    assert {k: v for k, v in whole.items() if k not in different} == {
        k: v for k, v in again.items() if k not in different
    }
    loaded, finished = run(tmp_path / "whole", runtime)
    third = loaded.state_dict()
    assert finished["steps"] == whole["steps"] and all(torch.equal(one[name], third[name]) for name in one)


def test_the_seed_decides(runtime):
    a, b, c = (run(None, runtime, seed=seed)[0].state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not torch.equal(a["score.weight"], c["score.weight"])


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"fit": 3}, "fit is 3; use a FitConfig"),
        ({"prompts": 0}, "prompts is 0; use a whole number of at least 1"),
        ({"prompts": True}, "prompts is True"),
        ({"prompts": 2.0}, "prompts is 2.0"),
        ({"surprise": 1}, "surprise is 1; use a bool"),
        ({"max_epochs": 0}, "max_epochs is 0; use a finite number above 0"),
        ({"max_epochs": math.nan}, "max_epochs is nan; use a finite number above 0"),
    ],
)
def test_wrong_settings_are_refused(changes, message):
    with pytest.raises((ValueError, TypeError), match=message):
        replace(CONFIG, **changes)
