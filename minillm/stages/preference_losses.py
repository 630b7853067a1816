"""The formulas of DPO: its loss, the pairs that it is taken over, and what tells how a training went.

Reference: Rafailov et al. 2023, "Direct preference optimization: your language model is secretly a reward model".
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from minillm import checks
from minillm.data.comparisons import Comparison

__all__ = ["PAIRS", "dpo_loss", "implicit_rewards", "preference_figures", "preferred_pairs"]

PAIRS = ("all", "best", "extremes")


def dpo_loss(
    policy_chosen: Tensor,
    policy_rejected: Tensor,
    reference_chosen: Tensor,
    reference_rejected: Tensor,
    beta: float,
    label_smoothing: float = 0.0,
) -> tuple[Tensor, Tensor, Tensor]:
    """Surprise at the preferences, of a policy that is its own reward model.

    An answer's implicit reward is r = beta (log pi - log pi_ref), and the loss of a pair -log sigmoid(r of the chosen
    answer - r of the rejected one). It is log 2 where the policy is the reference. Only the difference counts: the loss
    falls as well where both answers become less likely, the rejected one more.

    Args:
        policy_chosen: (batch,) log-probabilities of the preferred answers under the policy, each summed over the tokens
            of its answer (nats); carries the gradient.
        policy_rejected: (batch,) those of the other answers to the same prompts; carries the gradient.
        reference_chosen: (batch,) of the preferred answers under the reference; gets no gradient.
        reference_rejected: (batch,) of the other answers under the reference; gets no gradient.
        beta: reward of a nat.
        label_smoothing: the share e of preferences that is taken to be wrong: the loss of a pair is (1 - e) times the
            one above and e times that of the reversed pair ("conservative" DPO, Mitchell 2023). With e > 0 it is least
            at the margin log((1 - e) / e), with 0 nowhere.

    Returns:
        the mean loss of the pairs (nats per pair), a scalar; the implicit rewards of the chosen and of the rejected
        answers, (batch,) each, without gradient.

    Raises:
        ValueError: shapes that differ or are not (batch,), no pair, a beta that is not above 0, a smoothing outside of
            0 to 0.5.

    Reference: Rafailov et al. 2023, eq. 7; Mitchell 2023, "A note on DPO with noisy preferences and relationship to
    IPO".

    >>> loss, chosen, rejected = dpo_loss(*torch.tensor([[-9.0], [-14.0], [-10.0], [-12.0]]), beta=0.5)
    >>> chosen.item(), rejected.item(), round(loss.item(), 4)  # the loss is log(1 + exp(-1.5))
    (0.5, -1.0, 0.2014)
    """
    given = {
        "policy_chosen": policy_chosen,
        "policy_rejected": policy_rejected,
        "reference_chosen": reference_chosen,
        "reference_rejected": reference_rejected,
    }
    if any(x.dim() != 1 or x.shape != policy_chosen.shape or not len(x) for x in given.values()):
        told = ", ".join(f"{name} {tuple(x.shape)}" for name, x in given.items())
        raise ValueError(
            f"the shapes are {told}; give one log-probability for each of the same pairs: (batch,)"
        )
    checks.number("beta", beta, above=0)
    checks.number("label_smoothing", label_smoothing, at_least=0, below=0.5)
    chosen = beta * (policy_chosen - reference_chosen.detach())
    rejected = beta * (policy_rejected - reference_rejected.detach())
    margin = chosen - rejected
    loss = -F.logsigmoid(margin).mean()
    if label_smoothing:
        loss = (1 - label_smoothing) * loss - label_smoothing * F.logsigmoid(-margin).mean()
    return loss, chosen.detach(), rejected.detach()


def preferred_pairs(ranks: Tensor, pairs: str = "all") -> tuple[Tensor, Tensor, Tensor]:
    """The pairs of answers to the same prompt of which one is preferred.

    Args:
        ranks: (prompts, answers); 0 for the best. Equal ranks are no pair; a negative rank marks an answer that is not
            there.
        pairs: "all" (Ouyang et al. 2022); "best": the best answer, or each of those, against all others; "extremes":
            best against worst, the pairs that an annotator mistakes least often.

    Returns:
        (pairs,) the number of the prompt, of its preferred answer and of the other one.

    Raises:
        ValueError: an unknown choice of pairs.

    >>> prompt, chosen, rejected = preferred_pairs(torch.tensor([[1, 0, 2], [0, 1, -1]]), "all")
    >>> list(zip(prompt.tolist(), chosen.tolist(), rejected.tolist()))
    [(0, 0, 2), (0, 1, 0), (0, 1, 2), (1, 0, 1)]
    """
    checks.one_of("pairs", pairs, PAIRS)
    here = ranks >= 0
    better = (ranks[:, :, None] < ranks[:, None, :]) & here[:, :, None] & here[:, None, :]
    if pairs != "all":
        beaten = better.any(dim=1)  # (prompts, answers): whether some other answer is preferred to it
        better &= ~beaten[:, :, None]
    if pairs == "extremes":
        last = ranks == ranks.max(dim=1, keepdim=True).values
        better &= last[:, None, :]
    prompt, chosen, rejected = better.nonzero(as_tuple=True)
    return prompt, chosen, rejected


def implicit_rewards(
    log_probs: Sequence[Sequence[float]], log_probs_ref: Sequence[Sequence[float]], beta: float
) -> list[list[float]]:
    """beta (log pi - log pi_ref) of each answer of each comparison: what a reward model would say.

    >>> implicit_rewards([[-2.0, -3.0]], [[-3.0, -3.0]], beta=0.5)
    [[0.5, 0.0]]
    """
    return [
        [beta * (ours - reference) for ours, reference in zip(*rows, strict=True)]
        for rows in zip(log_probs, log_probs_ref, strict=True)
    ]


def preference_figures(
    comparisons: Sequence[Comparison],
    log_probs: Sequence[Sequence[float]],
    log_probs_ref: Sequence[Sequence[float]],
    beta: float,
) -> dict[str, float]:
    """The means over all pairs with a preference.

    DPO is meant to raise the chosen answers and to lower the rejected ones. Often both fall, the rejected ones more:
    the likelihood is *displaced* to answers that are in no pair. `chosen_displacement` below 0 shows it.

    Args:
        comparisons: the ranked answers.
        log_probs: of each answer of each comparison under the policy (nats).
        log_probs_ref: the same under the reference.
        beta: reward of a nat.

    Returns:
        `loss` (nats per pair), `accuracy` (share of the pairs in which the chosen answer has the higher implicit
        reward, 0-1), `chosen_reward`, `rejected_reward` and their difference `margin`; `chosen_log_prob` and
        `rejected_log_prob` (nats per answer), and `chosen_displacement` and `rejected_displacement`, how much these
        lie above the reference's (nats per answer).

    Reference: Razin et al. 2024, "Unintentional unalignment: likelihood displacement in direct preference
    optimization".
    """
    columns: list[tuple[float, float, float, float]] = []
    for one, ours, reference in zip(comparisons, log_probs, log_probs_ref, strict=True):
        _, chosen, rejected = preferred_pairs(torch.tensor([one.ranks]))
        columns += [
            (ours[i], ours[j], reference[i], reference[j])
            for i, j in zip(chosen.tolist(), rejected.tolist(), strict=True)
        ]
    pairs = torch.tensor(columns, dtype=torch.float64).T
    loss, chosen_reward, rejected_reward = dpo_loss(pairs[0], pairs[1], pairs[2], pairs[3], beta)
    margins = chosen_reward - rejected_reward
    means = pairs.mean(dim=1)
    return {
        "loss": loss.item(),
        "accuracy": (margins > 0).double().mean().item(),
        "margin": margins.mean().item(),
        "chosen_reward": chosen_reward.mean().item(),
        "rejected_reward": rejected_reward.mean().item(),
        "chosen_log_prob": means[0].item(),
        "rejected_log_prob": means[1].item(),
        "chosen_displacement": (means[0] - means[2]).item(),
        "rejected_displacement": (means[1] - means[3]).item(),
    }
