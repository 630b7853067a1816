"""DPO: its loss against the paper's formula in numpy and numbers by hand, its batches against one answer at a time."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_comparisons import FIT, SHAPE, TOKENIZER, comparison, toy

from minillm.data.comparisons import Comparison
from minillm.keys import deciding
from minillm.model.gpt import GPT
from minillm.stages.dpo import (
    DPOConfig,
    PreferenceBatches,
    batch_log_probs,
    batch_loss,
    comparison_log_probs,
    dpo_loss,
    implicit_rewards,
    preference_figures,
    preferred_pairs,
    train_dpo,
)
from minillm.stages.preference_losses import PAIRS
from minillm.stages.reward import ranking_loss
from minillm.text.chat import render_chat
from minillm.train.config import FitConfig
from minillm.train.options import RunOptions

CONFIG = DPOConfig(FIT, prompts=4)


def make_gpt(seed=1):
    """Random weights everywhere, so that no answer is as likely as another."""
    model = GPT(SHAPE, generator=seed).eval()
    generator = torch.Generator().manual_seed(seed)
    for weight in model.parameters():
        weight.data.normal_(0, 0.3, generator=generator)
    return model


# -- the loss --


def by_the_paper(policy_chosen, policy_rejected, reference_chosen, reference_rejected, beta):
    """Equation 7 in numpy, with the ratios of probabilities and the sigmoid as they are written there; float64."""
    w, l, w_ref, l_ref = (np.asarray(x, dtype=np.float64) for x in (  # noqa: E741  # the paper's letters
        policy_chosen, policy_rejected, reference_chosen, reference_rejected
    ))  # fmt: skip
    inside = beta * np.log(np.exp(w) / np.exp(w_ref)) - beta * np.log(np.exp(l) / np.exp(l_ref))
    return -np.mean(np.log(1 / (1 + np.exp(-inside))))


nats = st.lists(st.tuples(*[st.floats(-30, -0.01)] * 4), min_size=1, max_size=7)


@settings(max_examples=200, deadline=None)
@given(nats, st.floats(0.01, 2))
def test_the_loss_the_rewards_and_the_gradient_are_those_of_the_paper(rows, beta):
    """The gradient is that of the paper's section 4, term by term; float64 throughout."""
    given = torch.tensor(rows, dtype=torch.float64).T
    w, l, w_ref, l_ref = (x.clone().requires_grad_() for x in given)  # noqa: E741
    loss, chosen, rejected = dpo_loss(w, l, w_ref, l_ref, beta)
    assert loss.item() == pytest.approx(by_the_paper(*given, beta), rel=1e-9, abs=1e-12)
    assert chosen.tolist() == pytest.approx([beta * (row[0] - row[2]) for row in rows])
    assert rejected.tolist() == pytest.approx([beta * (row[1] - row[3]) for row in rows])
    loss.backward()
    wrong = [1 / (1 + math.exp(beta * ((row[0] - row[2]) - (row[1] - row[3])))) for row in rows]
    expected = [beta * share / len(rows) for share in wrong]
    assert w.grad.tolist() == pytest.approx([-x for x in expected], rel=1e-9, abs=1e-14)
    assert l.grad.tolist() == pytest.approx(expected, rel=1e-9, abs=1e-14)
    assert (
        w_ref.grad is None and l_ref.grad is None and not chosen.requires_grad and not rejected.requires_grad
    )


def test_values_by_hand():
    """The chosen answer has become four times as likely, the rejected one half as likely: the ratio is 8."""
    two = math.log(2)
    loss, chosen, rejected = dpo_loss(
        torch.tensor([-1.0]),
        torch.tensor([-5.0 - two]),
        torch.tensor([-1 - 2 * two]),
        torch.tensor([-5.0]),
        1.0,
    )
    assert loss.item() == pytest.approx(math.log(9 / 8), rel=1e-6)  # the sigmoid of log 8 is 8 / 9
    assert chosen.item() == pytest.approx(2 * two) and rejected.item() == pytest.approx(-two)


def test_the_reference_itself_is_as_surprised_as_a_coin():
    log_probs = torch.tensor([-3.0, -50.0, -0.1]), torch.tensor([-4.0, -2.0, -70.0])
    loss, chosen, rejected = dpo_loss(*log_probs, *log_probs, beta=0.7)
    assert loss.item() == pytest.approx(math.log(2))
    assert not chosen.any() and not rejected.any()


def test_only_the_difference_counts():
    """Both answers may fall: the loss does not see it."""
    given = [torch.tensor(x) for x in ([-3.0, -9.0], [-4.0, -2.0], [-5.0, -6.0], [-3.0, -4.0])]
    both_fallen = [given[0] - 7, given[1] - 7, *given[2:]]
    assert dpo_loss(*given, 0.3)[0].item() == pytest.approx(dpo_loss(*both_fallen, 0.3)[0].item(), rel=1e-6)


def test_large_margins_neither_overflow_nor_lose_their_gradient():
    chosen = torch.tensor([-1000.0], requires_grad=True)
    loss, _, _ = dpo_loss(chosen, torch.tensor([0.0]), torch.tensor([0.0]), torch.tensor([-1000.0]), 1.0)
    loss.backward()
    assert loss.item() == 2000.0 and chosen.grad.tolist() == [-1.0]


@pytest.mark.parametrize(
    "shapes", [[(2,), (2,), (2,), (3,)], [(2, 1)] * 4, [()] * 4, [(0,)] * 4, [(1,), (2,), (2,), (2,)]]
)
def test_other_shapes_are_refused(shapes):
    with pytest.raises(
        ValueError, match=r"the shapes are policy_chosen .*; give one log-probability for each"
    ):
        dpo_loss(*map(torch.zeros, shapes), beta=0.1)


@pytest.mark.parametrize("beta", [0, -0.1, math.nan])
def test_a_beta_without_meaning_is_refused(beta):
    with pytest.raises(ValueError, match="beta is .*; use a finite number above 0"):
        dpo_loss(*torch.zeros(4, 2), beta=beta)


@settings(max_examples=50, deadline=None)
@given(nats, st.floats(0.01, 0.49))
def test_smoothed_labels_are_the_mean_loss_of_labels_that_are_sometimes_reversed(rows, share):
    w, l, w_ref, l_ref = torch.tensor(rows, dtype=torch.float64).T  # noqa: E741
    as_given = by_the_paper(w, l, w_ref, l_ref, 0.5)
    reversed_ = by_the_paper(l, w, l_ref, w_ref, 0.5)
    loss, _, _ = dpo_loss(w, l, w_ref, l_ref, 0.5, share)
    assert loss.item() == pytest.approx((1 - share) * as_given + share * reversed_, rel=1e-9)


def test_smoothed_labels_are_satisfied_with_their_own_odds():
    """The slope is 0 at the margin whose odds are those of a right label, and turns there."""
    share, slopes = 0.2, []
    for margin in (math.log(4) - 0.1, math.log(4), math.log(4) + 0.1):
        chosen = torch.tensor([margin], dtype=torch.float64, requires_grad=True)
        zero = torch.zeros(1, dtype=torch.float64)
        dpo_loss(chosen, zero, zero, zero, 1.0, share)[0].backward()
        slopes.append(chosen.grad.item())
    assert slopes[0] < 0 < slopes[2] and abs(slopes[1]) < 1e-12


@pytest.mark.parametrize("share", [-0.1, 0.5, math.nan])
def test_a_smoothing_without_meaning_is_refused(share):
    with pytest.raises(ValueError, match="label_smoothing is .*; use a .*number .*at least 0 and below 0.5"):
        dpo_loss(*torch.zeros(4, 2), beta=0.1, label_smoothing=share)
    with pytest.raises(ValueError, match="label_smoothing is"):
        DPOConfig(label_smoothing=share)


def test_smoothing_decides_the_key_only_where_it_is_used():
    """So that what was trained before the setting was there keeps its key."""
    assert "label_smoothing" not in deciding(DPOConfig())
    assert deciding(DPOConfig(label_smoothing=0.1))["label_smoothing"] == 0.1


def test_the_training_takes_the_smoothing():
    batches = PreferenceBatches(toy(8, seed=0), TOKENIZER, SHAPE.context_length, 4)
    model, batch = make_gpt(), batches.batch(0)
    plain, smooth, swapped = (
        batch_loss(model, one, replace(CONFIG, label_smoothing=share))[0].item()
        for one, share in ((batch, 0.0), (batch, 0.25), (replace(batch, ranks=turned(batch.ranks)), 0.0))
    )
    assert smooth == pytest.approx(0.75 * plain + 0.25 * swapped, rel=1e-5)


def turned(ranks):
    """The worst first."""
    return torch.where(ranks >= 0, ranks.max() - ranks, ranks)


# -- pairs --


def pairs_by_loops(ranks, choice):
    found = []
    for prompt, row in enumerate(ranks):
        here = [rank for rank in row if rank >= 0]
        for i, j in permutations(range(len(row)), 2):
            wanted = {
                "all": True,
                "best": row[i] == min(here, default=0),
                "extremes": row[i] == min(here, default=0) and row[j] == max(here, default=0),
            }
            if 0 <= row[i] < row[j] and wanted[choice]:
                found.append((prompt, i, j))
    return found


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(st.integers(-1, 3), min_size=4, max_size=4), min_size=1, max_size=5))
def test_pairs_are_those_of_loops(ranks):
    """With ties, answers that are not there (-1), and prompts of which no pair is left."""
    for choice in PAIRS:
        found = list(zip(*(x.tolist() for x in preferred_pairs(torch.tensor(ranks), choice)), strict=True))
        assert found == pairs_by_loops(ranks, choice)


def test_an_unknown_choice_of_pairs_is_refused():
    with pytest.raises(ValueError, match="pairs is 'worst'; choose one of all, best, extremes"):
        preferred_pairs(torch.tensor([[0, 1]]), "worst")


# -- batches --


def alone(model, one, number):
    """The log-probability of one answer, token by token, with nothing beside it."""
    ids = render_chat(one.conversation(number), TOKENIZER).ids
    start = len(render_chat(one.prompt, TOKENIZER, add_generation_prompt=True).ids)
    log_probs = model(torch.tensor([ids])).log_softmax(-1)[0]
    return sum(log_probs[t - 1, ids[t]].item() for t in range(start, len(ids)))


@torch.no_grad()
def test_log_probs_of_a_batch_are_those_of_one_answer_at_a_time():
    """Sums of up to a dozen float32 terms of size 5."""
    model, some = make_gpt(), toy(9, seed=2)
    some.append(
        Comparison(
            (
                {"role": "user", "content": "a"},
                {"role": "assistant", "content": "bc"},  # an earlier answer, which is not to be learned
                {"role": "user", "content": "d"},
            ),
            ("ef", ""),
            (1, 0),
        )
    )
    expected = [[alone(model, one, number) for number in range(len(one.answers))] for one in some]
    assert np.std([x for row in expected for x in row]) > 3
    for prompts in (1, 4, 32):
        found = comparison_log_probs(model, TOKENIZER, some, prompts)
        for ours, row in zip(found, expected, strict=True):
            assert ours == pytest.approx(row, abs=2e-4)
    batch = PreferenceBatches(some, TOKENIZER, 40, 4).collate([7, 2, 9])
    padded = torch.where(
        batch.ranks[..., None] < 0, 5, batch.ids
    )  # an answer that is not there changes nothing
    found = batch_log_probs(model, replace(batch, ids=padded))
    for place, number in enumerate((7, 2, 9)):
        count = len(some[number].answers)
        assert found[place, :count].tolist() == pytest.approx(expected[number], abs=2e-4)
        assert not found[place, count:].any()


def test_a_batch_holds_answers_ranks_and_what_the_reference_says():
    some = toy(6)
    known = [[-1.0 - 10 * number - n for n in range(len(one.answers))] for number, one in enumerate(some)]
    batches = PreferenceBatches(some, TOKENIZER, 40, prompts=3)
    batches.log_probs_ref = known
    batch = batches.collate([4, 1, 5])
    assert batch.ids.shape == batch.action_mask.shape and batch.ranks.shape == batch.log_probs_ref.shape
    for place, number in enumerate((4, 1, 5)):
        count = len(some[number].answers)
        absent = batch.ranks.shape[1] - count
        assert batch.ranks[place].tolist() == [*some[number].ranks] + [-1] * absent
        assert batch.log_probs_ref[place].tolist() == known[number] + [0] * absent
        for answer in range(count):
            said = batch.ids[place, answer][batch.action_mask[place, answer]].tolist()
            assert TOKENIZER.decode(said).strip() == some[number].answers[answer] + "<|end|>"
        assert not batch.action_mask[place, count:].any()


def test_batches_come_in_an_order_of_the_seed_and_each_epoch_shows_all():
    some = toy(23, seed=1)
    one, again, other = (PreferenceBatches(some, TOKENIZER, 40, 4, seed) for seed in (3, 3, 4))
    assert one.batches_per_epoch == 6

    def contents(source, steps):
        return [sorted(row[0].tolist()[:12] for row in source.batch(step).ids) for step in steps]

    assert contents(one, range(6)) == contents(again, reversed(range(6)))[::-1] != contents(other, range(6))
    first = sorted(row for batch in contents(one, range(6)) for row in batch)
    assert first == sorted(row for batch in contents(one, range(6, 12)) for row in batch)
    assert len(first) == 23


# -- the loss of a batch --


def batch_of(some, reference):
    batches = PreferenceBatches(some, TOKENIZER, 40, len(some))
    batches.ask(reference, steps=1)
    return batches.collate(range(len(some)))


def test_the_reference_reads_what_is_learned_from_and_no_more():
    reference, some = make_gpt(2), toy(9, seed=5)
    batches = PreferenceBatches(some, TOKENIZER, 40, prompts=4, seed=1)
    batches.ask(reference, steps=2)
    everything = comparison_log_probs(reference, TOKENIZER, some)
    asked = [number for number, row in enumerate(batches.log_probs_ref) if any(row)]
    assert len(asked) in (5, 8), "of 9 prompts in batches of 4, 4 and 1"
    for number in asked:
        assert batches.log_probs_ref[number] == pytest.approx(everything[number], abs=1e-4)
    for step in range(2):
        assert batches.batch(step).log_probs_ref.ne(0).equal(batches.batch(step).ranks >= 0)


@pytest.mark.parametrize("pairs", PAIRS)
@pytest.mark.parametrize("nll_coef", [0.0, 0.3])
def test_the_loss_of_a_batch_is_the_sum_over_its_pairs(pairs, nll_coef):
    """Every pair counts the same. Float32 log-probabilities of size 50 in sums of some 20 terms."""
    policy, reference = make_gpt(1), make_gpt(2)
    some = [replace(one, ranks=tuple(range(len(one.answers)))) for one in toy(7, seed=3)]  # no ties
    config = replace(CONFIG, pairs=pairs, beta=0.2, nll_coef=nll_coef)
    terms = []
    with torch.no_grad():
        ours, theirs = (
            [[alone(model, one, n) for n in range(len(one.answers))] for one in some]
            for model in (policy, reference)
        )
    for row, ref, one in zip(ours, theirs, some, strict=True):
        for _, i, j in pairs_by_loops([one.ranks], pairs):
            terms.append(by_the_paper([row[i]], [row[j]], [ref[i]], [ref[j]], 0.2) - nll_coef * row[i])
    total, count = batch_loss(policy, batch_of(some, reference), config)
    assert count == len(terms) and total.item() == pytest.approx(sum(terms), rel=1e-4)


def test_it_is_the_loss_of_a_reward_model_whose_score_is_the_implicit_reward():
    """Of prompts with as many pairs each, for there a prompt's pairs share its weight."""
    policy, reference = make_gpt(1), make_gpt(2)
    some = [one.only([0, 1]) for one in toy(8, seed=4)]
    batch = batch_of(some, reference)
    with torch.no_grad():
        scores = 0.2 * (batch_log_probs(policy, batch) - batch.log_probs_ref)
        total, count = batch_loss(policy, batch, replace(CONFIG, beta=0.2))
    assert (total / count).item() == pytest.approx(ranking_loss(scores, batch.ranks).item(), rel=1e-5)


def test_figures_are_those_of_numpy():
    some = [comparison("a", "bcd", (1, 0, 1), family="x"), comparison("e", "fg", (0, 1), family="y")]
    ours, reference = [[-3.0, -1.0, -2.0], [-6.0, -4.0]], [[-2.5, -2.0, -1.0], [-3.0, -5.0]]
    w, l = np.array([-1.0, -1.0, -6.0]), np.array([-3.0, -2.0, -4.0])  # noqa: E741
    w_ref, l_ref = np.array([-2.0, -2.0, -3.0]), np.array([-2.5, -1.0, -5.0])
    expected = {
        "loss": by_the_paper(w, l, w_ref, l_ref, 0.5),
        "accuracy": 2 / 3,
        "margin": np.mean(0.5 * (w - w_ref) - 0.5 * (l - l_ref)),
        "chosen_reward": np.mean(0.5 * (w - w_ref)),
        "rejected_reward": np.mean(0.5 * (l - l_ref)),
        "chosen_log_prob": -8 / 3,
        "rejected_log_prob": -3.0,
        "chosen_displacement": -1 / 3,
        "rejected_displacement": -1 / 6,
    }
    assert preference_figures(some, ours, reference, 0.5) == pytest.approx(expected)
    assert implicit_rewards(ours, reference, 0.5) == [[-0.25, 0.5, -0.5], [-1.5, 0.5]]


# -- the training --


def run(folder, runtime, config=CONFIG, seed=0, **more):
    options = RunOptions(folder=folder, seed=seed, runtime=runtime, progress=False)
    return train_dpo(config, make_gpt(), TOKENIZER, toy(30), toy(10, seed=9), options, **more)


def lines(folder):
    rows = map(json.loads, (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines())
    return [{key: value for key, value in row.items() if "seconds" not in key} for row in rows]


def test_a_toy_preference_is_learned_and_the_reference_stays(tmp_path, runtime):
    config = replace(
        CONFIG, fit=replace(CONFIG.fit, steps=60, learning_rate=1e-2, validate_every=30), max_epochs=9
    )
    sft_model, train, held_out = make_gpt(), toy(40, seed=4), toy(30, seed=5)
    long = comparison("b?", ["a", "a" * 60], [0, 1])
    before = {name: weight.clone() for name, weight in sft_model.state_dict().items()}
    options = RunOptions(folder=tmp_path, runtime=runtime, progress=False)
    policy, figures = train_dpo(config, sft_model, TOKENIZER, [*train, long], held_out, options)
    assert all(torch.equal(weight, before[name]) for name, weight in sft_model.state_dict().items())
    assert not any(torch.equal(weight, before[name]) for name, weight in policy.named_parameters())
    ours, reference = (comparison_log_probs(model, TOKENIZER, held_out) for model in (policy, sft_model))
    found = preference_figures(held_out, ours, reference, config.beta)
    assert found["accuracy"] > 0.9 and found["loss"] < 0.5
    assert figures["steps"] == 60 and figures["comparisons"] == 40 and figures["too_long"] == 1
    assert figures["epochs"] == 60 / 10 and figures["pairs"] == 6 * sum(one.n_pairs for one in train)
    validations = [line for line in lines(tmp_path) if "val_loss" in line]
    assert [line["step"] for line in validations] == [30, 60]
    assert {f"val_{name}" for name in found} <= validations[-1].keys()
    assert validations[-1]["val_margin"] == pytest.approx(found["margin"], rel=1e-4)
    assert lines(tmp_path)[0]["loss"] == pytest.approx(math.log(2), abs=1e-5), "it starts as the reference"


def test_the_training_asks_the_reference_for_every_step(runtime):
    """One step more reads other comparisons; were their reference unknown (0), the loss would be far off ln 2."""
    for pairs in PAIRS:
        _, figures = run(
            None, runtime, replace(CONFIG, fit=FitConfig(steps=3, optimizer="adamw"), pairs=pairs)
        )
        assert figures["train_loss"] == pytest.approx(math.log(2), abs=0.1)


def test_no_more_epochs_than_allowed(tmp_path, runtime):
    config = replace(CONFIG, fit=replace(CONFIG.fit, steps=100), max_epochs=1.5)
    assert run(tmp_path, runtime, config)[1]["steps"] == 12


def test_micro_batches_change_nothing(runtime):
    """But for rounding, which AdamW's first steps of 3e-3 can enlarge where a gradient is nearly 0."""
    one, other = (
        run(None, runtime, replace(CONFIG, fit=replace(CONFIG.fit, micro_batch_rows=rows)))[0].state_dict()
        for rows in (None, 3)
    )
    assert max((one[name] - other[name]).abs().max().item() for name in one) < 1e-4


def test_a_run_that_was_cut_off_ends_with_the_same_weights(tmp_path, runtime, monkeypatch):
    policy, whole = run(tmp_path / "whole", runtime)
    batch = PreferenceBatches.batch

    def cut_off(self, step):
        if step == 5:
            raise MemoryError
        return batch(self, step)

    monkeypatch.setattr(PreferenceBatches, "batch", cut_off)
    with pytest.raises(MemoryError):
        run(tmp_path / "cut", runtime)
    monkeypatch.undo()
    resumed, again = run(tmp_path / "cut", runtime)
    one, other = policy.state_dict(), resumed.state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert lines(tmp_path / "whole") == lines(tmp_path / "cut")
    assert {k: v for k, v in whole.items() if "seconds" not in k} == {
        k: v for k, v in again.items() if "seconds" not in k
    }


def test_what_is_watched_is_logged_and_reaches_nothing_else(tmp_path, runtime):
    seen = []

    def watch(policy):
        seen.append(torch.rand(1).item())  # random numbers of its own
        return {"held_out_gold_score": 0.5}

    one, _ = run(tmp_path / "one", runtime)
    other, _ = run(tmp_path / "other", runtime, evaluate=watch)
    assert all(torch.equal(x, y) for x, y in zip(one.parameters(), other.parameters(), strict=True))
    told = [line["step"] for line in lines(tmp_path / "other") if line.get("held_out_gold_score") == 0.5]
    assert told == [4, 8] and len(seen) == 2


def test_the_seed_decides(runtime):
    a, b, c = (run(None, runtime, seed=seed)[0].state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert any(not torch.equal(a[name], c[name]) for name in a)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"fit": 3}, "fit is 3; use a FitConfig"),
        ({"beta": 0}, "beta is 0; use a finite number above 0"),
        ({"nll_coef": -1}, "nll_coef is -1; use a finite number of at least 0"),
        ({"prompts": 0}, "prompts is 0; use a whole number of at least 1"),
        ({"max_epochs": 0}, "max_epochs is 0; use a finite number above 0"),
        ({"pairs": "some"}, "pairs is 'some'; choose one of all, best, extremes"),
    ],
)
def test_wrong_settings_are_refused(changes, message):
    with pytest.raises((ValueError, TypeError), match=message):
        replace(CONFIG, **changes)


# -- beside another library --


def test_the_loss_is_that_of_trl(tmp_path):
    """Its trainer on the exported models: template, log-probabilities, mask and loss, pair by pair. Float32."""
    trl = pytest.importorskip("trl", reason="trl is not installed")
    datasets = pytest.importorskip("datasets")
    transformers = pytest.importorskip("transformers")
    from minillm.export.formats import export_hf

    some = [one.only(sorted(one.ranks.index(rank) for rank in (0, 1))) for one in toy(6, seed=6)]
    models, theirs = {}, {}
    for name, seed in (("policy", 1), ("reference", 2)):
        models[name] = make_gpt(seed)
        folder = export_hf(models[name], tmp_path / name, TOKENIZER)
        theirs[name] = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    rows = [
        {
            "prompt": list(one.prompt),
            "chosen": one.conversation(one.ranks.index(0))[1:],
            "rejected": one.conversation(one.ranks.index(1))[1:],
        }
        for one in some
    ]
    trainer = trl.DPOTrainer(
        model=theirs["policy"],
        ref_model=theirs["reference"],
        args=trl.DPOConfig(
            str(tmp_path / "out"),
            beta=0.3,
            report_to=[],
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
        ),
        train_dataset=datasets.Dataset.from_list(rows),
        processing_class=transformers.AutoTokenizer.from_pretrained(folder),
    )
    trainer.model.eval()
    for number, one in enumerate(some):
        batch = trainer.data_collator([trainer.train_dataset[number]])
        tensors = {name: value for name, value in batch.items() if torch.is_tensor(value)}
        expected = trainer.compute_loss(trainer.model, tensors).item()
        with torch.no_grad():
            loss, count = batch_loss(
                models["policy"], batch_of([one], models["reference"]), replace(CONFIG, beta=0.3)
            )
        assert count == 1 and loss.item() == pytest.approx(expected, rel=1e-4, abs=1e-5)
