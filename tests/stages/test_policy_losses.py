"""PPO's formulas: against sums written out with loops, exact expectations and numbers worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minillm.stages.policy_losses import (
    KL_KINDS,
    clip_fraction,
    entropy,
    explained_variance,
    gae,
    kl_penalty,
    masked_mean,
    policy_loss,
    value_loss,
    whiten,
)

BATCH, TIME = 4, 7
EPS = 0.2
# Ragged on both sides, as prompts and answers of different length are; row 2 has gaps, row 3 no action at all.
MASK = torch.tensor(
    [
        [0, 1, 1, 1, 0, 0, 0],
        [0, 0, 0, 1, 1, 1, 1],
        [1, 0, 1, 0, 0, 1, 0],
        [0, 0, 0, 0, 0, 0, 0],
    ]
).bool()
GARBAGE = [math.nan, math.inf, -math.inf, 1e30]


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def where_false(tensor, mask, garbage):
    return torch.where(mask, tensor, garbage)


# -- KL estimators --


def random_pair(n_actions, seed):
    """Log-probabilities of a policy and a reference over the same actions."""
    return (normal(n_actions, seed=s).mul(1.5).log_softmax(0) for s in (2 * seed, 2 * seed + 1))


@settings(max_examples=200, deadline=None)
@given(st.integers(2, 9), st.integers(0, 10**6))
def test_expected_estimates_are_the_exact_kl(n_actions, seed):
    """The expectation by enumeration: every action, weighted by its probability under the policy that draws it."""
    log_probs, log_probs_ref = random_pair(n_actions, seed)
    exact = sum(
        math.exp(p) * (p - q) for p, q in zip(log_probs.tolist(), log_probs_ref.tolist(), strict=True)
    )
    for kind in ("k1", "k3"):
        expected = (log_probs.exp() * kl_penalty(log_probs, log_probs_ref, kind)).sum().item()
        assert expected == pytest.approx(exact, abs=1e-12)
    assert exact >= 0


@settings(max_examples=200, deadline=None)
@given(st.floats(-20, 20), st.floats(-20, 20))
def test_signs(log_prob, log_prob_ref):
    """k1 has the sign of the difference; k2 and k3 have none; all three are 0 where the policies agree."""
    p, q = torch.tensor([log_prob], dtype=torch.float64), torch.tensor([log_prob_ref], dtype=torch.float64)
    assert kl_penalty(p, q, "k1").item() == log_prob - log_prob_ref
    assert kl_penalty(p, q, "k2").item() >= 0 and kl_penalty(p, q, "k3").item() >= 0
    assert all(kl_penalty(p, p, kind).item() == 0 for kind in KL_KINDS)


def test_values_by_hand():
    """The policy takes the action twice as often as the reference, then half as often."""
    p, q = torch.tensor([0.5, 0.25]).log(), torch.tensor([0.25, 0.5]).log()
    two = math.log(2)
    assert kl_penalty(p, q, "k1").tolist() == pytest.approx([two, -two])
    assert kl_penalty(p, q, "k2").tolist() == pytest.approx([two**2 / 2, two**2 / 2])
    assert kl_penalty(p, q, "k3").tolist() == pytest.approx([0.5 - 1 + two, 2 - 1 - two])


def test_k2_is_biased_and_less_so_for_near_policies():
    """The bias of E[d^2] / 2 is of the third order in the distance: a tenth of it, a thousandth of the bias."""
    base, direction = normal(5, seed=3), normal(5, seed=4)
    bias = []
    for size in (1.0, 0.1):
        p, q = base.log_softmax(0), (base + size * direction).log_softmax(0)
        exact = (p.exp() * (p - q)).sum()
        bias.append(((p.exp() * kl_penalty(p, q, "k2")).sum() - exact).item())
    assert abs(bias[0]) > 0.01
    assert abs(bias[1]) < abs(bias[0]) / 300


def test_k3_keeps_its_digits_where_the_policies_are_nearly_the_same():
    """Near 0 k3 is d^2 / 2; exp(-d) - 1 + d, taken literally, would be rounding noise there.

    Two terms of size d are added, each rounded to within d 2^-24, so the error may be d 2^-23. At d = 1e-3, where k3
    is 5e-7, that is a few ten-thousandths of it; the literal formula may be off by a fifth.
    """
    for size in (1e-3, 1e-4):
        differences = size * normal(1000, seed=5, dtype=torch.float32).clamp(-2, 2)
        exact = torch.expm1(-differences.double()) + differences.double()
        ours = kl_penalty(differences, torch.zeros(1000), "k3")
        assert ours.dtype == torch.float32
        assert (ours - exact).abs().max() < 2 * size * 2**-23
        naive = (torch.exp(-differences) - 1 + differences - exact).abs().max()
        assert (ours - exact).abs().max() < naive / 50
    tiny = torch.tensor([1e-6, -1e-6])
    # Exact is 5e-13; the last place of a float32 of 1e-6 is 1.1e-13. exp(1e-6) - 1 alone would be off by 5e-8.
    assert (kl_penalty(tiny, torch.zeros(2), "k3") - 5e-13).abs().max() < 1.2e-13


@pytest.mark.parametrize("kind", KL_KINDS)
def test_kl_wants_equal_shapes(kind):
    with pytest.raises(ValueError, match=r"the shapes differ: log_probs \(2, 3\), log_probs_ref \(3,\)"):
        kl_penalty(torch.zeros(2, 3), torch.zeros(3), kind)


def test_unknown_estimators_are_refused():
    with pytest.raises(ValueError, match="kind is 'k4'; choose one of k1, k2, k3"):
        kl_penalty(torch.zeros(2), torch.zeros(2), "k4")


# -- advantages --


def gae_by_double_sum(rewards, values, mask, gamma, lam):
    """The definition, action by action: the sum over the later ones of (gamma lam)^k delta."""
    advantages, returns = np.zeros(rewards.shape), np.zeros(rewards.shape)
    for row in range(len(rewards)):
        columns = [t for t in range(rewards.shape[1]) if mask[row, t]]
        deltas = []
        for here, after in zip(columns, [*columns[1:], None]):
            next_value = 0.0 if after is None else float(values[row, after])
            deltas.append(float(rewards[row, here]) + gamma * next_value - float(values[row, here]))
        for i, column in enumerate(columns):
            total = sum((gamma * lam) ** k * deltas[i + k] for k in range(len(deltas) - i))
            advantages[row, column], returns[row, column] = total, total + float(values[row, column])
    return torch.from_numpy(advantages), torch.from_numpy(returns)


masks = st.lists(st.lists(st.booleans(), min_size=TIME, max_size=TIME), min_size=BATCH, max_size=BATCH)
shares = st.sampled_from([0.0, 0.3, 0.95, 1.0])


@settings(max_examples=200, deadline=None)
@given(masks, shares, shares, st.integers(0, 1000))
def test_gae_is_the_double_sum(mask, gamma, lam, seed):
    mask = torch.tensor(mask)
    rewards, values = normal(BATCH, TIME, seed=seed), normal(BATCH, TIME, seed=seed + 5000)
    ours = gae(rewards, values, mask, gamma, lam)
    theirs = gae_by_double_sum(rewards, values, mask, gamma, lam)
    for one, other in zip(ours, theirs, strict=True):
        assert torch.allclose(one, other, atol=1e-12)
        assert not one[~mask].any()


@pytest.mark.parametrize("garbage", GARBAGE)
def test_columns_of_padding_change_nothing(garbage):
    rewards, values = normal(BATCH, TIME, seed=1), normal(BATCH, TIME, seed=2)
    short = gae(rewards, values, MASK, 0.9, 0.8)
    padding = torch.full((BATCH, 3), garbage, dtype=torch.float64)
    longer = gae(
        torch.cat([where_false(rewards, MASK, garbage), padding], 1),
        torch.cat([where_false(values, MASK, garbage), padding], 1),
        torch.cat([MASK, torch.zeros(BATCH, 3).bool()], 1),
        0.9,
        0.8,
    )
    for one, other in zip(short, longer, strict=True):
        assert torch.equal(one, other[:, :TIME]) and not other[:, TIME:].any()


def test_lam_1_returns_the_discounted_rewards():
    """Whatever the critic says: its values cancel."""
    rewards, gamma = normal(1, 5), 0.7
    mask = torch.ones(1, 5).bool()
    _, returns = gae(rewards, normal(1, 5, seed=9), mask, gamma, 1.0)
    expected = [sum(gamma**k * rewards[0, t + k] for k in range(5 - t)) for t in range(5)]
    assert torch.allclose(returns[0], torch.stack(expected), atol=1e-12)
    assert not torch.allclose(returns, rewards, atol=0.1), "a reward is not a return"


def test_lam_0_looks_one_step_ahead_and_past_the_end_there_is_nothing():
    rewards, values = torch.tensor([[1.0, 2.0, 4.0, 7.0]]), torch.tensor([[10.0, 20.0, 40.0, 70.0]])
    advantages, returns = gae(rewards, values, torch.tensor([[True, True, True, False]]), 0.5, 0.0)
    assert advantages.tolist() == [[1 + 10 - 10, 2 + 20 - 20, 4 + 0 - 40, 0]]
    assert returns.tolist() == [[1 + 10, 2 + 20, 4, 0]]


def test_no_gradient_flows_through_advantages():
    values = normal(BATCH, TIME).requires_grad_()
    rewards = normal(BATCH, TIME, seed=1).requires_grad_()
    assert not any(tensor.requires_grad for tensor in gae(rewards, values, MASK, 0.9, 0.9))


# -- whitening and means --


def test_masked_mean_and_whiten_are_those_of_the_chosen_numbers():
    values = normal(BATCH, TIME, seed=6) * 3 + 5
    chosen = values.numpy()[MASK.numpy()]
    assert masked_mean(values, MASK).item() == pytest.approx(chosen.mean(), rel=1e-12)
    white = whiten(values, MASK)
    # The variance has 1e-8 added before the root is taken, which at a variance of 9 is a relative 1e-9.
    expected = (chosen - chosen.mean()) / chosen.std()
    np.testing.assert_allclose(white.numpy()[MASK.numpy()], expected, rtol=1e-8)
    assert not white[~MASK].any()


def test_nothing_chosen_is_zero_and_not_nan():
    values, nothing = normal(BATCH, TIME).requires_grad_(), torch.zeros(BATCH, TIME).bool()
    for result in (masked_mean(values, nothing), whiten(values, nothing).sum()):
        (gradient,) = torch.autograd.grad(result, values)
        assert result == 0 and not gradient.any()


def test_equal_values_are_whitened_to_zero():
    assert not whiten(torch.full((2, 3), 0.7), torch.ones(2, 3).bool()).any()


# -- what stands where the mask is False --


def loss_of_policy(tensors):
    return policy_loss(tensors[0], tensors[1], tensors[2], MASK, EPS)


FUNCTIONS = {
    "masked_mean": (1, lambda t: masked_mean(t[0], MASK)),
    "whiten": (1, lambda t: (whiten(t[0], MASK) * torch.arange(TIME)).sum()),
    "policy_loss": (3, loss_of_policy),
    "policy_loss, not clipped": (3, lambda t: policy_loss(t[0], t[1], t[2], MASK, None)),
    "value_loss": (3, lambda t: value_loss(t[0], t[1], t[2], MASK, EPS)),
    "value_loss, not clipped": (3, lambda t: value_loss(t[0], t[1], t[2], MASK, None)),
    "clip_fraction": (2, lambda t: clip_fraction(t[0], t[1], MASK, EPS)),
    "explained_variance": (2, lambda t: explained_variance(t[0].detach(), t[1], MASK)),
}


@pytest.mark.parametrize("garbage", GARBAGE)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_garbage_where_the_mask_is_false_changes_nothing(name, garbage):
    """Neither the value nor, where there is one, the gradient with respect to the first argument: not a bit of them."""
    count, function = FUNCTIONS[name]
    clean = [0.3 * normal(BATCH, TIME, seed=seed) for seed in range(count)]
    results = []
    for replace in (False, True):
        tensors = [where_false(one, MASK, garbage) if replace else one.clone() for one in clean]
        tensors[0].requires_grad_()
        value = function(tensors)
        gradient = torch.autograd.grad(value, tensors[0])[0] if value.requires_grad else torch.zeros(())
        results.append((value.detach(), gradient))
    (value, gradient), (other_value, other_gradient) = results
    assert torch.isfinite(value) and torch.equal(value, other_value)
    assert torch.equal(gradient, other_gradient)
    assert gradient.ndim == 0 or not gradient[~MASK].any()


# -- the clipped losses --


def policy_loss_by_loops(log_probs, log_probs_old, advantages, mask, clip_eps):
    terms = []
    for row in range(mask.shape[0]):
        for t in range(mask.shape[1]):
            if mask[row, t]:
                ratio = torch.exp(log_probs[row, t] - log_probs_old[row, t])
                objective = ratio * advantages[row, t]
                if ratio > 1 + clip_eps:
                    objective = min(objective, (1 + clip_eps) * advantages[row, t])
                elif ratio < 1 - clip_eps:
                    objective = min(objective, (1 - clip_eps) * advantages[row, t])
                terms.append(objective)
    return -sum(terms) / len(terms)


def value_loss_by_loops(values, values_old, returns, mask, clip_eps):
    terms = []
    for row in range(mask.shape[0]):
        for t in range(mask.shape[1]):
            if mask[row, t]:
                new, old, target = values[row, t], values_old[row, t], returns[row, t]
                error = (new - target) ** 2
                if clip_eps is not None:
                    if new > old + clip_eps:
                        near = old + clip_eps
                    elif new < old - clip_eps:
                        near = old - clip_eps
                    else:
                        near = new
                    error = max(error, (near - target) ** 2)
                terms.append(error)
    return sum(terms) / len(terms) / 2


@pytest.mark.parametrize("seed", range(5))
def test_policy_loss_and_its_gradient_are_those_of_the_plain_formula(seed):
    old, advantages = normal(BATCH, TIME, seed=seed) - 2, normal(BATCH, TIME, seed=seed + 10)
    log_probs = (old + 0.3 * normal(BATCH, TIME, seed=seed + 20)).requires_grad_()
    ours = policy_loss(log_probs, old, advantages, MASK, EPS)
    theirs = policy_loss_by_loops(log_probs, old, advantages, MASK, EPS)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-12)
    gradients = [torch.autograd.grad(loss, log_probs)[0] for loss in (ours, theirs)]
    assert torch.allclose(*gradients, atol=1e-12) and gradients[0].any()
    outside = ((log_probs - old).exp() - 1).abs() > EPS
    assert 0 < outside[MASK].sum() < MASK.sum(), "no ratio is outside the bounds, so clipping is not tested"
    share = clip_fraction(log_probs, old, MASK, EPS)
    assert share.item() == pytest.approx(outside[MASK].double().mean().item())


def test_without_bounds_the_policy_loss_is_the_plain_ratio_times_advantage():
    """Its gradient goes on where the clipped one's ends, and no action counts as clipped."""
    old, advantages = normal(BATCH, TIME, seed=1) - 2, normal(BATCH, TIME, seed=2)
    log_probs = (old + normal(BATCH, TIME, seed=3)).requires_grad_()
    ours = policy_loss(log_probs, old, advantages, MASK, None)
    terms = np.exp((log_probs - old).detach().numpy()) * advantages.numpy()
    n = int(MASK.sum())
    assert ours.item() == pytest.approx(-terms[MASK.numpy()].sum() / n, rel=1e-12)
    (gradient,) = torch.autograd.grad(ours, log_probs)
    np.testing.assert_allclose(gradient.numpy(), np.where(MASK, -terms / n, 0), rtol=1e-12)
    assert policy_loss(log_probs, old, advantages, MASK, EPS).item() > ours.item()
    assert clip_fraction(log_probs, old, MASK, None) == 0 < clip_fraction(log_probs, old, MASK, EPS)


@pytest.mark.parametrize("clip_eps", [EPS, None])
@pytest.mark.parametrize("seed", range(5))
def test_value_loss_and_its_gradient_are_those_of_the_plain_formula(seed, clip_eps):
    old, returns = normal(BATCH, TIME, seed=seed), normal(BATCH, TIME, seed=seed + 10)
    values = (old + 0.3 * normal(BATCH, TIME, seed=seed + 20)).requires_grad_()
    ours = value_loss(values, old, returns, MASK, clip_eps)
    theirs = value_loss_by_loops(values, old, returns, MASK, clip_eps)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-12)
    gradients = [torch.autograd.grad(loss, values)[0] for loss in (ours, theirs)]
    assert torch.allclose(*gradients, atol=1e-12) and gradients[0].any()


@pytest.mark.parametrize(
    "ratio, advantage, objective, gradient",
    [
        (1.5, 2.0, 2.4, 0.0),  # likelier than allowed, and good: 1.2 x 2, no more to gain
        (0.5, 2.0, 1.0, 1.0),  # less likely, and good: 0.5 x 2, the way back is open
        (1.5, -2.0, -3.0, -3.0),  # likelier, and bad: 1.5 x -2, the way back is open
        (0.5, -2.0, -1.6, 0.0),  # less likely than allowed, and bad: 0.8 x -2, no more to gain
        (1.1, 2.0, 2.2, 2.2),  # within the bounds
        (0.9, -2.0, -1.8, -1.8),
    ],
)
def test_clipping_by_hand(ratio, advantage, objective, gradient):
    """d ratio / d log_prob is the ratio, so that the gradient of ratio A is ratio A itself."""
    old = torch.tensor([[-1.25]], dtype=torch.float64)
    log_probs = (old + math.log(ratio)).requires_grad_()
    advantages, mask = torch.full_like(old, advantage), torch.ones(1, 1).bool()
    loss = policy_loss(log_probs, old, advantages, mask, EPS)
    loss.backward()
    assert -loss.item() == pytest.approx(objective)
    assert -log_probs.grad.item() == pytest.approx(gradient)
    assert clip_fraction(log_probs, old, mask, EPS) == float(abs(ratio - 1) > EPS)


@pytest.mark.parametrize(
    "value, target, loss, gradient",
    [  # the old value is 1 and may move by 0.2
        (1.5, 2.0, 0.8**2 / 2, 0.0),  # further towards the target than allowed: the error of 1.2
        (1.5, 0.0, 1.5**2 / 2, 1.5),  # away from the target: the error of 1.5, the way back is open
        (0.5, 0.0, 0.8**2 / 2, 0.0),
        (0.5, 2.0, 1.5**2 / 2, -1.5),
        (1.1, 2.0, 0.9**2 / 2, -0.9),
    ],
)
def test_value_clipping_by_hand(value, target, loss, gradient):
    values = torch.tensor([[value]], dtype=torch.float64, requires_grad=True)
    old, returns = torch.ones_like(values).detach(), torch.full_like(values, target).detach()
    result = value_loss(values, old, returns, torch.ones(1, 1).bool(), 0.2)
    result.backward()
    assert result.item() == pytest.approx(loss)
    assert values.grad.item() == pytest.approx(gradient)


def test_without_advantage_there_is_no_policy_gradient():
    old = normal(BATCH, TIME)
    log_probs = (old + 0.3 * normal(BATCH, TIME, seed=1)).requires_grad_()
    policy_loss(log_probs, old, torch.zeros_like(old), MASK, EPS).backward()
    assert torch.equal(log_probs.grad, torch.zeros_like(old))


def test_at_ratio_1_the_gradient_is_that_of_reinforce():
    """Of -mean of A log pi, with respect to the logits, where no step has been made yet."""
    logits = normal(BATCH, TIME, 5).requires_grad_()
    actions = torch.randint(0, 5, (BATCH, TIME), generator=torch.Generator().manual_seed(0))
    advantages = normal(BATCH, TIME, seed=2)
    log_probs = logits.log_softmax(-1).gather(-1, actions[..., None])[..., 0]
    clipped = policy_loss(log_probs, log_probs.detach(), advantages, MASK, EPS)
    plain = -(log_probs * advantages)[MASK].mean()
    gradients = [torch.autograd.grad(loss, logits, retain_graph=True)[0] for loss in (clipped, plain)]
    assert torch.allclose(*gradients, atol=1e-14) and gradients[0].any()


@pytest.mark.parametrize(
    "call",
    [
        lambda x, y: policy_loss(x, x, y, x > 0, EPS),
        lambda x, y: value_loss(x, y, x, x > 0, EPS),
        lambda x, y: gae(x, y, x > 0, 1.0, 1.0),
        lambda x, y: clip_fraction(x, x, y > 0, EPS),
        lambda x, y: explained_variance(x, y, x > 0),
        lambda x, y: whiten(x, y > 0),
    ],
)
def test_shapes_that_only_broadcast_are_refused(call):
    with pytest.raises((ValueError, RuntimeError), match=r"the shapes differ: .* they must be equal"):
        call(torch.zeros(2, 3), torch.zeros(1, 3))


# -- descriptions --


def test_entropy_is_that_of_the_distribution():
    logits = normal(3, 5, 11, seed=8, dtype=torch.float32) * 2
    p = np.exp(logits.double().numpy())
    p /= p.sum(-1, keepdims=True)
    assert entropy(logits).shape == (3, 5)
    np.testing.assert_allclose(
        entropy(logits), -(p * np.log(p)).sum(-1), rtol=1e-5
    )  # float32 sums of 11 terms
    assert entropy(torch.tensor([0.0, 80.0])).item() == pytest.approx(0, abs=1e-30)
    assert entropy(torch.zeros(7)).item() == pytest.approx(math.log(7))


def test_explained_variance():
    values, returns = normal(BATCH, TIME), normal(BATCH, TIME, seed=1)
    v, r = values[MASK].numpy(), returns[MASK].numpy()
    assert explained_variance(values, returns, MASK).item() == pytest.approx(1 - (r - v).var() / r.var())
    assert explained_variance(returns, returns, MASK) == 1
    assert explained_variance(returns + 3, returns, MASK).item() == pytest.approx(1), (
        "a constant is no variance"
    )
    assert explained_variance(torch.ones_like(returns), returns, MASK).item() == pytest.approx(0, abs=1e-12)
    same = torch.ones_like(returns)
    assert torch.isfinite(explained_variance(values, same, MASK)), "returns that are all the same"
