"""Rollouts: which tokens are actions, and that their log-probabilities are those with which they were drawn."""

from __future__ import annotations

import math
from dataclasses import fields

import pytest
import torch

from minillm.model.cache import KVCache
from minillm.model.gpt import GPT, GPTConfig
from minillm.model.heads import RewardModel, ScalarModel
from minillm.model.sampling import generate, sampling_probs
from minillm.stages.rollouts import (
    Rollouts,
    action_log_probs,
    action_values,
    answer_scores,
    by_pieces,
    sample_rollouts,
)

END, PAD = 3, 0
CONTEXT, NEW = 19, 8
PROMPTS = [[5, 6, 7, 8, 9, 1], [4], [10, 2], [7] * 15, [6, 6, 1], [9, 2, 4, 5, 8, 1, 2], [2], [5, 5]]


@pytest.fixture(scope="module")
def policy():
    """A small model whose answers end after about five tokens; every weight is random."""
    shape = {"context_length": CONTEXT, "n_layer": 2, "n_head": 2, "n_kv_head": 1, "d_model": 12, "d_ff": 20}
    model = GPT(GPTConfig(vocab_size=11, **shape), generator=1).eval()
    generator = torch.Generator().manual_seed(4)
    for name, weight in model.named_parameters():
        weight.data.normal_(1.0 if name.endswith("norm.weight") else 0.0, 0.2, generator=generator)
    return model


def sample(policy, temperature=1.0, seed=2, new=NEW, **mistakes):
    generator = torch.Generator().manual_seed(seed)
    return sample_rollouts(policy, PROMPTS, END, PAD, new, temperature, generator, **mistakes)


def drawn(policy, temperature=1.0, seed=2, new=NEW):
    """The answers that the sampler gives, without any of what rollouts make of them."""
    return generate(
        policy, PROMPTS, new, temperature, stop=END, generator=torch.Generator().manual_seed(seed)
    )


def expected_rows(policy, seed=2, new=NEW):
    """By hand: of each prompt in turn the row's ids, the places of its actions' tokens, and whether it ended."""
    rows = []
    for prompt, answer in zip(PROMPTS, drawn(policy, seed=seed, new=new), strict=True):
        room = min(new, CONTEXT + 1 - len(prompt))
        ids = [*prompt, *answer] if len(answer) == room else [*prompt, *answer, END]
        kept = ids[:CONTEXT]
        ended = len(answer) < room and len(ids) <= CONTEXT
        rows.append((kept, list(range(len(prompt), len(kept))), ended))
    return rows


def test_the_seed_gives_every_kind_of_row(policy):
    """Otherwise the tests below would show less than they say."""
    rows = expected_rows(policy)
    assert {ended for *_, ended in rows} == {True, False}
    assert any(len(ids) == CONTEXT for ids, *_ in rows), "no answer reaches the end of the context"
    assert len({len(ids) for ids, *_ in rows}) > 3


@pytest.mark.parametrize("seed", range(6))
def test_actions_are_the_answer_and_its_end_token_and_nothing_else(policy, seed):
    rollouts = sample(policy, seed=seed)
    rows = expected_rows(policy, seed=seed)
    assert sorted(rollouts.order.tolist()) == list(range(len(PROMPTS)))
    lengths = rollouts.mask.sum(1)
    assert lengths.tolist() == sorted(lengths.tolist()), "the shortest come first"
    width = rollouts.ids.shape[1]
    assert width == max(len(ids) for ids, *_ in rows)
    assert rollouts.mask.shape == (len(PROMPTS), width)
    assert rollouts.action_mask.shape == (len(PROMPTS), width - 1)
    for row, number in enumerate(rollouts.order.tolist()):
        ids, places, ended = rows[number]
        assert rollouts.ids[row].tolist() == ids + [PAD] * (width - len(ids))
        assert rollouts.mask[row].tolist() == [True] * len(ids) + [False] * (width - len(ids))
        # Column t of the actions belongs to the token in column t + 1.
        assert [t + 1 for t in range(width - 1) if rollouts.action_mask[row, t]] == places
        assert rollouts.ended[row] == ended
        assert rollouts.starts[row] == len(PROMPTS[number])
        assert rollouts.answers()[row] == ids[len(PROMPTS[number]) :]
        last_action = rollouts.ids[row, 1:][rollouts.action_mask[row]][-1]
        assert (last_action == END) == ended, "the end token is the last action"


def test_answers_that_are_cut_off_have_not_ended(policy):
    rollouts = sample(policy, new=2)
    for row, answer in enumerate(rollouts.answers()):
        assert rollouts.ended[row] == (END in answer)
    assert not rollouts.ended.all() and rollouts.ended.any()


@pytest.mark.parametrize("padding_token", [END, 7])
def test_the_padding_token_may_be_any(policy, padding_token):
    """Also the end token: what counts is the mask."""
    usual = sample(policy)
    other = sample_rollouts(policy, PROMPTS, END, padding_token, NEW, 1.0, torch.Generator().manual_seed(2))
    for field in ("mask", "action_mask", "ended", "order", "starts"):
        assert torch.equal(getattr(usual, field), getattr(other, field))
    assert usual.answers() == other.answers()
    for one, two in zip(action_log_probs(policy, usual), action_log_probs(policy, other), strict=True):
        assert torch.equal(one, two)


@pytest.mark.parametrize("temperature", [1.0, 0.7, 1.6])
@torch.no_grad()
def test_log_probabilities_are_those_of_the_distribution_that_was_sampled(policy, temperature):
    """Token by token with the sampler's own tools: a cache, and the probabilities it draws from."""
    rollouts = sample(policy, temperature)
    log_probs, entropies = action_log_probs(policy, rollouts, temperature)
    compared = 0
    for row in range(len(rollouts)):
        ids = rollouts.ids[row][rollouts.mask[row]].tolist()
        cache = KVCache(policy.config)
        start = int(rollouts.starts[row])
        feed = ids[:start]
        for place in range(start, len(ids)):
            logits = policy(torch.tensor([feed]), cache=cache)[0, -1]
            probs = sampling_probs(logits, temperature)
            # Float32 log-probabilities of a few nats, by two ways of computing attention.
            assert log_probs[row, place - 1].item() == pytest.approx(math.log(probs[ids[place]]), abs=5e-6)
            spread = -(probs * probs.log()).sum().item()
            assert entropies[row, place - 1].item() == pytest.approx(spread, abs=5e-6)
            feed, compared = [ids[place]], compared + 1
    assert compared == rollouts.action_mask.sum()
    assert not log_probs[~rollouts.action_mask].any() and not entropies[~rollouts.action_mask].any()


@torch.no_grad()
def test_frequencies_of_first_tokens_are_their_probabilities(policy):
    """The draws themselves: of 6000 first tokens, each count within 4.5 standard deviations."""
    n, temperature, prompt = 6000, 0.7, [5, 6]
    rollouts = sample_rollouts(
        policy, [prompt] * n, END, PAD, 1, temperature, torch.Generator().manual_seed(0)
    )
    log_probs, _ = action_log_probs(policy, rollouts, temperature)
    tokens = torch.cat([rollouts.ids[:, 1:][rollouts.action_mask]])
    assert len(tokens) == n
    probs = (policy(torch.tensor([prompt]))[0, -1] / temperature).softmax(-1)
    counts = torch.bincount(tokens, minlength=11)
    spread = (n * probs * (1 - probs)).sqrt()
    assert ((counts - n * probs).abs() < 4.5 * spread).all()
    assert torch.allclose(log_probs[rollouts.action_mask].exp(), probs[tokens], atol=1e-6)


def test_only_actions_have_gradient(policy):
    rollouts = sample(policy)
    model = GPT(policy.config).eval()
    model.load_state_dict(policy.state_dict())
    log_probs, entropies = action_log_probs(model, rollouts)
    assert log_probs.requires_grad and not entropies.requires_grad
    nothing = torch.where(rollouts.action_mask, 0.0, log_probs).sum()
    assert not any(g.any() for g in torch.autograd.grad(nothing, list(model.parameters()), retain_graph=True))
    assert all(g.any() for g in torch.autograd.grad(log_probs.sum(), list(model.parameters())))


def test_the_gradient_of_the_log_probabilities_is_that_of_the_plain_formula(policy):
    rollouts = sample(policy, 0.7)
    weights = list(policy.parameters())
    ours = torch.autograd.grad(action_log_probs(policy, rollouts, 0.7)[0].sum(), weights)
    total = 0.0
    for row in range(len(rollouts)):
        ids = rollouts.ids[row][rollouts.mask[row]]
        log_probs = (policy(ids[None])[0] / 0.7).log_softmax(-1)
        total = total + sum(log_probs[t - 1, ids[t]] for t in range(int(rollouts.starts[row]), len(ids)))
    theirs = torch.autograd.grad(total, weights)
    for one, other in zip(ours, theirs, strict=True):
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-4)  # sums of some fifty float32 gradients


# -- critic and reward model --


@pytest.fixture(scope="module")
def reward_model(policy):
    model = RewardModel.from_body(policy, generator=9).eval()
    model.score.weight.data.normal_(generator=torch.Generator().manual_seed(3))
    model.mean.fill_(0.25)
    return model


@torch.no_grad()
def test_values_are_told_before_the_action(policy, reward_model):
    """The critic's value of an action depends on what stood before it, not on the action."""
    rollouts, critic = sample(policy), ScalarModel.from_body(reward_model).eval()
    values = action_values(critic, rollouts)
    assert not values[~rollouts.action_mask].any()
    for row in range(len(rollouts)):
        for t in rollouts.action_mask[row].nonzero()[:, 0].tolist():
            before = critic.token_scores(rollouts.ids[row : row + 1, : t + 1])[0, -1]
            assert values[row, t].item() == pytest.approx(before.item(), abs=1e-5)


@pytest.mark.parametrize("rows", [1, 3, 100])
@torch.no_grad()
def test_scores_are_those_of_one_answer_at_a_time(policy, reward_model, rows):
    rollouts = sample(policy)
    scores = answer_scores(reward_model, rollouts, rows)
    alone = [
        reward_model(ids[mask][None]).item() for ids, mask in zip(rollouts.ids, rollouts.mask, strict=True)
    ]
    assert scores.tolist() == pytest.approx(alone, abs=1e-5)


# -- parts of a batch --


@torch.no_grad()
def test_a_few_rows_at_a_time_are_all_rows_at_once(policy, reward_model):
    rollouts = sample(policy)
    critic = ScalarModel.from_body(reward_model).eval()

    def function(piece):
        return (*action_log_probs(policy, piece, 0.7), action_values(critic, piece))

    whole = function(rollouts)
    for rows in (1, 3, 100):
        for one, other in zip(by_pieces(function, rollouts, rows), whole, strict=True):
            assert one.shape == rollouts.action_mask.shape
            assert torch.allclose(one, other, atol=2e-6)


@pytest.mark.parametrize("numbers", [torch.tensor([4, 0, 2]), slice(0, 3), torch.tensor([7])])
def test_rows_lose_nothing_but_common_padding(policy, numbers):
    rollouts = sample(policy)
    some = rollouts.rows(numbers)
    chosen = list(range(len(rollouts)))[numbers] if isinstance(numbers, slice) else numbers.tolist()
    assert len(some) == len(chosen)
    assert some.ids.shape[1] == max(int(rollouts.mask[row].sum()) for row in chosen)
    assert some.action_mask.shape[1] == some.ids.shape[1] - 1
    answers = rollouts.answers()
    assert some.answers() == [answers[row] for row in chosen]
    for place, row in enumerate(chosen):
        assert torch.equal(some.ids[place][some.mask[place]], rollouts.ids[row][rollouts.mask[row]])
        assert some.action_mask[place].sum() == rollouts.action_mask[row].sum()
        assert some.order[place] == rollouts.order[row] and some.ended[place] == rollouts.ended[row]
        assert some.starts[place] == rollouts.starts[row]


def test_moved_to_a_device_they_are_the_same(policy):
    rollouts = sample(policy)
    moved = rollouts.to(torch.device("cpu"))
    assert isinstance(moved, Rollouts)
    assert all(torch.equal(getattr(moved, f.name), getattr(rollouts, f.name)) for f in fields(Rollouts))


def test_the_same_seed_gives_the_same_answers(policy):
    one, same, other = sample(policy), sample(policy), sample(policy, seed=3)
    assert torch.equal(one.ids, same.ids) and one.answers() != other.answers()
    before = torch.get_rng_state()
    sample(policy)
    assert torch.equal(torch.get_rng_state(), before)
