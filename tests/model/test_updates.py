"""What a training does to one matrix: Adam's first step on an adapter, and directions that are new."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from minillm.model.lora import LoRAConfig, apply_lora
from minillm.model.updates import first_lora_update, intruders, progress, shrink_intruders


def draw(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize(("rank", "alpha"), [(1, 32.0), (3, 6.0)])
def test_the_first_update_is_that_of_adam_on_a_real_adapter(rank, alpha):
    model = nn.Sequential(nn.Linear(5, 7, bias=False, dtype=torch.float64))
    x, target = draw(1, 4, 5), draw(2, 4, 7)
    (model(x) - target).square().mean().backward()
    gradient = model[0].weight.grad.clone()
    config = LoRAConfig(rank, alpha)
    apply_lora(model, LoRAConfig(rank, alpha, targets=("0",)), generator=3)
    layer = model[0]
    a, before = layer.lora_A["default"].detach().clone(), layer.delta("default").detach().clone()
    adam = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=1e-3, eps=1e-15)
    (model(x) - target).square().mean().backward()
    adam.step()
    assert not before.any() and torch.equal(layer.lora_A["default"], a)
    torch.testing.assert_close(
        first_lora_update(gradient, a, config.scaling, 1e-3),
        layer.delta("default").detach(),
        rtol=1e-6,
        atol=0,
    )


def test_the_first_update_of_a_tiny_layer_by_hand():
    gradient = torch.tensor([[1.0, -3.0, 0.0], [0.0, 2.0, 2.0]])
    a = torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 2.0]])
    # G A^T = [[-2, 0], [2, 4]]; its signs [[-1, 0], [1, 1]]; times A: [[-1, -1, 0], [1, 1, 2]]
    update = first_lora_update(gradient, a, scaling=4.0, learning_rate=0.5)
    assert torch.equal(update, torch.tensor([[2.0, 2.0, 0.0], [-2.0, -2.0, -4.0]]))
    assert progress(update, gradient) == 2 * (1 - 3) - 2 * (0 + 2) - 4 * 2
    # scaling * lr * the sum of |G A^T|, whatever the rank
    assert progress(update, gradient) == -4.0 * 0.5 * float((gradient @ a.T).abs().sum())


def test_progress_is_the_slope_of_the_loss():
    weight, update, x = draw(1, 3, 4), 1e-7 * draw(2, 3, 4), draw(3, 4)
    free = weight.clone().requires_grad_()

    def loss(w):
        return (w @ x).tanh().square().sum()

    loss(free).backward()
    assert progress(update, free.grad) == pytest.approx(float(loss(weight + update) - loss(weight)), rel=1e-4)


def with_intruder(strength: float = 50.0) -> tuple[torch.Tensor, torch.Tensor, np.ndarray]:
    """A matrix (8, 5) that has the directions e0 ... e4, the same with a strong e6, and what was added."""
    before = torch.zeros(8, 5, dtype=torch.float64)
    before[range(5), range(5)] = torch.tensor([9.0, 7.0, 5.0, 3.0, 1.0], dtype=torch.float64)
    added = np.zeros((8, 5))
    added[6, 4] = strength
    return before, before + torch.from_numpy(added), added


def test_a_known_intruder_is_found_and_nothing_else():
    before, after, _ = with_intruder()
    assert intruders(before, after) == [0]
    assert intruders(before, before) == intruders(before, -2 * before) == []
    weak = with_intruder(6.0)[1]
    assert intruders(before, weak) == [2], "between 7 and 5, mixed with e4"
    assert intruders(before, weak, first=2) == []
    assert intruders(before, weak, first=3) == [2]


def test_the_cosine_is_the_border():
    """A direction half way between an old and a new one has the cosine .707 to the old one."""
    before = torch.zeros(4, 2, dtype=torch.float64)
    before[0, 0], before[1, 1] = 2.0, 1.0
    after = before.clone()
    after[:, 1] = torch.tensor([0.0, 30.0, 30.0, 0.0])
    assert intruders(before, after, cosine=0.7) == []
    assert intruders(before, after, cosine=0.71) == [0]


@pytest.mark.parametrize("scale", [0.0, 0.3, 1.0])
def test_intruders_are_shrunk_and_the_rest_stays(scale):
    """Against numpy's decomposition; with a random rest, so that every part takes part."""
    rest = draw(5, 8, 5) * 0.01
    before, after, _ = with_intruder()
    before, after = before + rest, after + rest
    u, s, vt = np.linalg.svd(after.numpy(), full_matrices=False)
    s[0] *= scale  # [0] is the intruder
    assert intruders(before, after) == [0]
    shrunk = shrink_intruders(before, after, scale)
    np.testing.assert_allclose(shrunk.numpy(), (u * s) @ vt, atol=1e-12)


def test_shrinking_takes_out_what_came_in():
    before, after, added = with_intruder(200.0)
    clean = shrink_intruders(before, after, 0.0)
    assert intruders(before, clean, first=4) == [], "the fifth has no length left"
    assert float(clean[6].abs().max()) < 0.01 * added.max()
    assert torch.equal(after, with_intruder(200.0)[1]), "the matrix itself stays"
    torch.testing.assert_close(clean[:, :4], before[:, :4])
    same = shrink_intruders(before, before, 0.0)
    assert torch.equal(same, before), "without intruders nothing changes"


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda m: intruders(m, m.T), r"shapes \(3, 2\) and \(2, 3\); give two matrices of one shape"),
        (lambda m: intruders(m[0], m[0]), "give two matrices of one shape"),
        (lambda m: intruders(m, m, first=0), "first is 0"),
        (lambda m: intruders(m, m, cosine=1.5), "cosine is 1.5"),
        (lambda m: shrink_intruders(m, m, -0.5), "scale is -0.5"),
        (lambda m: first_lora_update(m, m, 0.0, 1.0), "scaling is 0.0"),
        (lambda m: first_lora_update(m, m, 1.0, -1.0), "learning_rate is -1.0"),
    ],
)
def test_wrong_arguments_are_told(call, told):
    with pytest.raises(ValueError, match=told):
        call(torch.ones(3, 2))
