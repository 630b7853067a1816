from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from minillm.model import loss
from minillm.model.loss import IGNORE_INDEX, linear_cross_entropy


@pytest.fixture(autouse=True)
def small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut 11 tokens of a vocabulary of 13 into slices of 3, 3, 3 and 2."""
    monkeypatch.setitem(loss._SLICE_NUMBERS, "cpu", 3 * 13 + 5)


def example(dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(4)
    hidden = torch.randn(11, 6, generator=generator).to(dtype).requires_grad_()
    weight = torch.randn(13, 6, generator=generator).to(dtype).requires_grad_()
    targets = torch.randint(0, 13, (11,), generator=generator)
    targets[[0, 4, 10]] = IGNORE_INDEX
    return hidden, weight, targets


def plain(hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor, reduction: str) -> torch.Tensor:
    return F.cross_entropy(F.linear(hidden, weight), targets, ignore_index=IGNORE_INDEX, reduction=reduction)


@pytest.mark.parametrize("reduction", ["sum", "mean", "none"])
def test_value_and_gradients_equal_torch(reduction: str) -> None:
    hidden, weight, targets = example()
    ours, theirs = (f(hidden, weight, targets, reduction) for f in (linear_cross_entropy, plain))
    torch.testing.assert_close(ours, theirs)
    upstream = torch.randn_like(ours)
    for one, other in zip(
        *(torch.autograd.grad(value, (hidden, weight), upstream) for value in (ours, theirs))
    ):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("reduction", ["sum", "mean", "none"])
def test_without_gradients_the_value_is_the_same(reduction: str) -> None:
    hidden, weight, targets = example()
    with torch.no_grad():
        value = linear_cross_entropy(hidden, weight, targets, reduction)
    torch.testing.assert_close(value, plain(hidden, weight, targets, reduction).detach())


def test_frozen_inputs_get_no_gradient() -> None:
    hidden, weight, targets = example()
    linear_cross_entropy(hidden.detach(), weight, targets).backward()
    expected = torch.autograd.grad(plain(hidden, weight, targets, "sum"), (hidden, weight))
    torch.testing.assert_close(weight.grad, expected[1])
    weight.grad = None
    linear_cross_entropy(hidden, weight.detach(), targets).backward()
    torch.testing.assert_close(hidden.grad, expected[0])
    assert weight.grad is None


def test_gradients_by_finite_differences() -> None:
    hidden, weight, targets = example(torch.float64)
    loss_of = lambda h, w: linear_cross_entropy(h, w, targets).double()  # noqa: E731
    # The loss is summed in float32: steps of 1e-2 leave 5 digits of a difference, curvature the same.
    assert torch.autograd.gradcheck(loss_of, (hidden, weight), eps=1e-2, atol=5e-3, rtol=5e-3)


def test_bfloat16_autocast_keeps_the_loss_in_float32() -> None:
    hidden, weight, targets = example()
    reference = torch.autograd.grad(plain(hidden, weight, targets, "sum"), (hidden, weight))
    with torch.autocast("cpu", torch.bfloat16):
        value = linear_cross_entropy(hidden, weight, targets)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, plain(hidden, weight, targets, "sum"), rtol=2e-2, atol=0.0)
    for one, other in zip(torch.autograd.grad(value, (hidden, weight)), reference):
        assert one.dtype == torch.float32
        assert (one - other).norm() < 2e-2 * other.norm()


def test_no_counted_target_gives_zero() -> None:
    hidden, weight, _ = example()
    nothing = torch.full((11,), IGNORE_INDEX)
    value = linear_cross_entropy(hidden, weight, nothing, "mean")
    assert value.item() == 0.0
    assert torch.autograd.grad(value, hidden)[0].abs().max() == 0.0


def test_extreme_logits_stay_finite() -> None:
    hidden, weight, targets = example()
    value = linear_cross_entropy(hidden * 1e3, weight * 1e3, targets)
    assert torch.isfinite(value)
    assert all(torch.isfinite(g).all() for g in torch.autograd.grad(value, (hidden, weight)))


def test_unknown_reduction() -> None:
    with pytest.raises(ValueError, match="reduction='avg' is not one of sum, mean, none"):
        linear_cross_entropy(*example(), reduction="avg")
