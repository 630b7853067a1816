"""The formulas of PPO as pure functions of tensors with an explicit mask.

Everywhere a row is one answer, (batch, time), a column one of its tokens, and the mask is True where a token was the
model's own choice, an *action*. What stands where the mask is False, prompt and padding, changes no result.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = [
    "KL_KINDS",
    "clip_fraction",
    "entropy",
    "explained_variance",
    "gae",
    "kl_penalty",
    "masked_mean",
    "policy_loss",
    "token_rewards",
    "value_loss",
    "whiten",
]

KL_KINDS = ("k1", "k2", "k3")
_EPSILON = 1e-8


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """The mean over the places where the mask is True; 0 where there are none.

    >>> masked_mean(torch.tensor([1.0, 2.0, 100.0]), torch.tensor([True, True, False]))
    tensor(1.5000)
    """
    _same_shapes(values=values, mask=mask)
    return torch.where(mask, values, 0.0).sum() / mask.sum().clamp(min=1)


def whiten(values: Tensor, mask: Tensor) -> Tensor:
    """Shift and scale to mean 0 and variance 1 over the places where the mask is True; 0 elsewhere.

    >>> whiten(torch.tensor([1.0, 3.0, 100.0]), torch.tensor([True, True, False]))
    tensor([-1.,  1.,  0.])
    """
    centred = torch.where(mask, values - masked_mean(values, mask), 0.0)
    variance = masked_mean(centred.square(), mask)
    return centred * torch.rsqrt(variance + _EPSILON)


def kl_penalty(log_probs: Tensor, log_probs_ref: Tensor, kind: str = "k1") -> Tensor:
    """What one sample says of KL(policy || reference), for actions drawn from the policy.

    With d = log_probs - log_probs_ref, k1 = d, k2 = d^2 / 2, k3 = exp(-d) - 1 + d. The mean of k1 and of k3 over many
    samples is the KL divergence; k1 varies more and can be negative, k3 cannot. k2 is biased, little where d is small.

    Args:
        log_probs: any shape, of the actions under the policy (nats).
        log_probs_ref: the same under the reference.
        kind: "k1", "k2" or "k3".

    Returns:
        as log_probs (nats).

    Raises:
        ValueError: an unknown kind, or shapes that differ.

    Reference: Schulman 2020, "Approximating KL divergence", http://joschu.net/blog/kl-approx.html

    >>> kl_penalty(torch.tensor([0.0]), torch.tensor([-1.0]), "k2")
    tensor([0.5000])
    """
    _same_shapes(log_probs=log_probs, log_probs_ref=log_probs_ref)
    difference = log_probs - log_probs_ref
    if kind == "k1":
        return difference
    if kind == "k2":
        return difference.square() / 2
    if kind == "k3":  # expm1: exp(x) - 1 would lose all digits where the policies are nearly the same
        return torch.expm1(-difference) + difference
    raise ValueError(f"kind is {kind!r}; choose one of {', '.join(KL_KINDS)}")


def token_rewards(
    scores: Tensor,
    ended: Tensor,
    log_probs: Tensor,
    log_probs_ref: Tensor,
    action_mask: Tensor,
    kl_coef: float,
    missing_end_penalty: float = 0.0,
) -> Tensor:
    """The reward of each action: its share of the KL penalty, and on the last action the score of the answer.

    Args:
        scores: (batch,) of the reward model.
        ended: (batch,) whether the answer has its end token.
        log_probs: (batch, time) of the actions, under the policy.
        log_probs_ref: (batch, time) under the reference.
        action_mask: (batch, time) True on actions.
        kl_coef: what a nat of distance costs.
        missing_end_penalty: what an answer without an end costs.

    Returns:
        (batch, time), 0 where there is no action.

    Reference: Ziegler et al. 2019, "Fine-tuning language models from human preferences", section 2.
    """
    rewards = torch.where(action_mask, -kl_coef * kl_penalty(log_probs, log_probs_ref), 0.0)
    columns = torch.arange(action_mask.shape[1], device=action_mask.device)
    last = (action_mask * columns).argmax(dim=1, keepdim=True)
    final = torch.where(ended, scores, scores - missing_end_penalty)[:, None]
    return rewards.scatter_add(1, last, torch.where(action_mask.gather(1, last), final, 0.0))


def gae(rewards: Tensor, values: Tensor, mask: Tensor, gamma: float, lam: float) -> tuple[Tensor, Tensor]:
    """Generalised advantage estimation: how much better an action turned out than the critic expected.

    delta_t = r_t + gamma V_{t+1} - V_t;  A_t = sum over k >= 0 of (gamma lam)^k delta_{t+k};  R_t = A_t + V_t.
    t counts the actions of a row. After its last one there is nothing more to come: V = 0.

    Args:
        rewards: (batch, time) reward that each action brought.
        values: (batch, time) what the critic expected before the action.
        mask: (batch, time) True on actions.
        gamma: what a reward a step later is worth, 0 to 1.
        lam: 0 trusts the critic, 1 the rewards alone.

    Returns:
        advantages and returns (batch, time), 0 where the mask is False; no gradient flows through them.

    Raises:
        ValueError: shapes that differ.

    Reference: Schulman et al. 2016, "High-dimensional continuous control using generalized advantage estimation",
    eq. 16.

    >>> ones = torch.ones(1, 3)
    >>> gae(torch.tensor([[0.0, 0.0, 1.0]]), 0 * ones, ones.bool(), gamma=1.0, lam=0.5)[0]
    tensor([[0.2500, 0.5000, 1.0000]])
    """
    _same_shapes(rewards=rewards, values=values, mask=mask)
    rewards, values = rewards.detach(), values.detach()
    advantages = torch.zeros_like(values)
    later = torch.zeros_like(values[:, 0])  # the advantage of the next action of each row
    next_value = torch.zeros_like(later)
    for t in reversed(range(values.shape[1])):
        here = mask[:, t]
        delta = rewards[:, t] + gamma * next_value - values[:, t]
        later = torch.where(here, delta + gamma * lam * later, later)
        next_value = torch.where(here, values[:, t], next_value)
        advantages[:, t] = torch.where(here, later, 0.0)
    return advantages, torch.where(mask, advantages + values, 0.0)


def policy_loss(
    log_probs: Tensor,
    log_probs_old: Tensor,
    advantages: Tensor,
    mask: Tensor,
    clip_eps: float | tuple[float, float] | None,
) -> Tensor:
    """PPO's clipped objective, negated: -mean of min(ratio A, clip(ratio, 1 - eps, 1 + eps) A).

    ratio = exp(log_probs - log_probs_old) is how much likelier an action has become since it was taken. Beyond the
    bounds, going further in the direction of the advantage brings nothing, so that no step goes far.

    Args:
        log_probs: (batch, time) of the actions, under the policy as it is now; carries the gradient.
        log_probs_old: under the policy that took them.
        advantages: of the actions.
        mask: True on actions.
        clip_eps: how far the ratio may move from 1 before that stops paying; a pair: how far below it, and how far
            above; None: as far as it likes.

    Returns:
        a scalar.

    Raises:
        ValueError: shapes that differ.

    Reference: Schulman et al. 2017, "Proximal policy optimization algorithms", eq. 7.
    """
    _same_shapes(log_probs=log_probs, log_probs_old=log_probs_old, advantages=advantages, mask=mask)
    ratio = _ratio(log_probs, log_probs_old, mask)
    low, high = _bounds(clip_eps)
    gain = torch.minimum(ratio * advantages, ratio.clamp(low, high) * advantages)
    return -masked_mean(gain, mask)


def clip_fraction(
    log_probs: Tensor, log_probs_old: Tensor, mask: Tensor, clip_eps: float | tuple[float, float] | None
) -> Tensor:
    """The share of the actions whose ratio lies outside the bounds (0-1)."""
    ratio = _ratio(log_probs, log_probs_old, mask)
    low, high = _bounds(clip_eps)
    return masked_mean(((ratio < low) | (ratio > high)).float(), mask)


def _bounds(clip_eps: float | tuple[float, float] | None) -> tuple[float, float]:
    """Between which the ratio may move."""
    if clip_eps is None:
        return 0.0, math.inf
    below, above = clip_eps if isinstance(clip_eps, tuple) else (clip_eps, clip_eps)
    return 1 - below, 1 + above


def _ratio(log_probs: Tensor, log_probs_old: Tensor, mask: Tensor) -> Tensor:
    """exp(log_probs - log_probs_old); 1 where the mask is False, so that no infinity can spread from there."""
    return torch.where(mask, log_probs - log_probs_old, 0.0).exp()


def value_loss(
    values: Tensor, values_old: Tensor, returns: Tensor, mask: Tensor, clip_eps: float | None
) -> Tensor:
    """The critic's squared error, halved: mean of max((V - R)^2, (clip(V, V_old - eps, V_old + eps) - R)^2) / 2.

    Args:
        values: (batch, time) of the critic as it is now; carries the gradient.
        values_old: when the actions were taken.
        returns: what it should have said.
        mask: True on actions.
        clip_eps: how far a value may move from the old one before that stops paying; None: as far as it likes.

    Returns:
        a scalar.

    Raises:
        ValueError: shapes that differ.

    Reference: the clipping is not in the paper of PPO but in its code; Huang et al. 2022, "The 37 implementation
    details of proximal policy optimization", detail 9.
    """
    _same_shapes(values=values, values_old=values_old, returns=returns, mask=mask)
    # Numbers that are not finite would spread from where the mask is False: not into the loss, but into the gradient.
    values, values_old, returns = (torch.where(mask, x, 0.0) for x in (values, values_old, returns))
    errors = (values - returns).square()
    if clip_eps is not None:
        near = values_old + (values - values_old).clamp(-clip_eps, clip_eps)
        errors = torch.maximum(errors, (near - returns).square())
    return masked_mean(errors, mask) / 2


def entropy(logits: Tensor) -> Tensor:
    """How undecided a distribution is: -sum of p log p (nats), (..., vocab) -> (...).

    >>> entropy(torch.zeros(4)).exp()  # four equally likely tokens
    tensor(4.)
    """
    log_probs = logits.float().log_softmax(dim=-1)
    return -(log_probs.exp() * log_probs).sum(dim=-1)


def explained_variance(values: Tensor, returns: Tensor, mask: Tensor) -> Tensor:
    """How much of the returns' variance the critic foresaw: 1 - Var(R - V) / Var(R); 1 is all, 0 none.

    >>> returns = torch.tensor([1.0, 2.0, 3.0])
    >>> explained_variance(0.5 * returns, returns, torch.ones(3).bool())
    tensor(0.7500)
    """
    _same_shapes(values=values, returns=returns, mask=mask)

    def variance(x: Tensor) -> Tensor:
        return masked_mean((x - masked_mean(x, mask)).square(), mask)

    return 1 - variance(returns - values) / variance(returns).clamp(min=_EPSILON)


def _same_shapes(**tensors: Tensor) -> None:
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if len(set(shapes.values())) > 1:
        told = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise ValueError(f"the shapes differ: {told}; they must be equal")
