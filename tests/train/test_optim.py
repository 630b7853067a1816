"""Muon against an exact orthogonalisation and torch's own; parameter groups; the schedule."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from minillm.model.gpt import GPT, GPTConfig
from minillm.train import FitConfig
from minillm.train.optim import (
    Muon,
    build_optimizers,
    learning_rate_factor,
    orthogonalise,
    set_learning_rates,
)


def matrices_with_singular_values(
    values: torch.Tensor, rows: int, columns: int, count: int = 3
) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    left = torch.linalg.qr(torch.randn(count, rows, rows, generator=generator))[0][..., : len(values)]
    right = torch.linalg.qr(torch.randn(count, columns, columns, generator=generator))[0][..., : len(values)]
    return (left * values) @ right.mT


@pytest.mark.parametrize(("rows", "columns"), [(6, 9), (9, 6), (7, 7)])
def test_orthogonalise_keeps_directions_and_evens_out_singular_values(rows, columns):
    values = torch.logspace(0, -1, min(rows, columns))
    matrices = matrices_with_singular_values(values, rows, columns)
    left, _, right = torch.linalg.svd(matrices, full_matrices=False)
    result = orthogonalise(matrices)
    in_svd_basis = left.mT @ result @ right.mT  # diagonal if the singular vectors have not been turned
    diagonal = in_svd_basis.diagonal(dim1=-2, dim2=-1)
    assert torch.allclose(in_svd_basis, torch.diag_embed(diagonal), atol=1e-4)
    assert diagonal.min() > 0.65 and diagonal.max() < 1.25
    exact = left @ right
    cosine = torch.cosine_similarity(result.flatten(1), exact.flatten(1))
    assert cosine.min() > 0.97


def test_orthogonalise_ignores_scale_and_survives_zero():
    matrices = matrices_with_singular_values(torch.tensor([1.0, 0.5, 0.2]), 4, 5)
    assert torch.allclose(orthogonalise(matrices), orthogonalise(1e4 * matrices), atol=1e-5)
    assert orthogonalise(torch.zeros(2, 3, 4)).abs().max() == 0


def test_orthogonalise_works_on_each_matrix_alone():
    matrices = matrices_with_singular_values(torch.tensor([1.0, 0.3]), 3, 5)
    for matrix, result in zip(matrices, orthogonalise(matrices)):
        assert torch.allclose(orthogonalise(matrix[None])[0], result, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_muon_follows_torch_optim_muon(dtype):
    shapes = [(6, 9), (9, 6), (6, 6), (9, 9), (6, 9)]
    generator = torch.Generator().manual_seed(1)
    start = [torch.randn(shape, generator=generator) for shape in shapes]
    ours, theirs = ([nn.Parameter(w.clone()) for w in start] for _ in range(2))
    settings = {"lr": 0.02, "momentum": 0.9, "weight_decay": 0.1}
    optimizers = Muon(ours, dtype=dtype, **settings), torch.optim.Muon(theirs, **settings)
    for _ in range(4):
        for own, other in zip(ours, theirs):
            own.grad = torch.randn(own.shape, generator=generator)
            other.grad = own.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    for own, other, w in zip(ours, theirs, start):
        # torch computes in bf16: its updates carry errors near 1 % each
        assert (own - other).norm() < 0.03 * (other - w).norm()


def test_muon_updates_have_singular_values_near_the_learning_rate():
    weight = nn.Parameter(torch.zeros(5, 8))
    weight.grad = matrices_with_singular_values(torch.logspace(0, -0.7, 5), 5, 8, count=1)[0]
    Muon([weight], lr=0.1).step()
    values = torch.linalg.svdvals(weight.detach())
    assert values.min() > 0.06 and values.max() < 0.13


def test_muon_leaves_matrices_without_gradient_alone_and_refuses_vectors():
    used, unused = nn.Parameter(torch.ones(3, 4)), nn.Parameter(torch.ones(3, 4))
    used.grad = torch.ones(3, 4)
    Muon([used, unused], lr=0.1, weight_decay=0.5).step()
    assert torch.equal(unused, torch.ones(3, 4)) and not torch.equal(used, torch.ones(3, 4))
    with pytest.raises(ValueError, match=r"Muon got a parameter of shape \(4,\)"):
        Muon([nn.Parameter(torch.ones(4))])


def names_by_learning_rate(model: nn.Module, config: FitConfig) -> dict[str, dict[float, set[str]]]:
    name_of = {id(parameter): name for name, parameter in model.named_parameters()}
    names: dict[str, dict[float, set[str]]] = {}
    for optimizer in build_optimizers(model, config):
        rates = names.setdefault(type(optimizer).__name__, {})
        for group in optimizer.param_groups:
            rates.setdefault(group["peak_lr"], set()).update(name_of[id(p)] for p in group["params"])
    return names


SMALL = GPTConfig(vocab_size=20, context_length=6, n_layer=2, n_head=2, d_model=8, d_ff=12)


@pytest.mark.parametrize("tied", [True, False])
def test_muon_gets_the_matrices_of_the_blocks(tied):
    model = GPT(GPTConfig(**(vars(SMALL) | {"tie_embeddings": tied})))
    config = FitConfig(steps=1, matrix_learning_rate=0.02, embedding_learning_rate=0.01, learning_rate=0.003)
    groups = names_by_learning_rate(model, config)
    muon = groups["Muon"][0.02]
    assert muon == {n for n, p in model.named_parameters() if ".layers." in n and p.ndim == 2}
    assert groups["AdamW"][0.01] == {"model.embed_tokens.weight"}
    assert ("lm_head.weight" in groups["AdamW"][0.003]) is not tied
    together = muon | groups["AdamW"][0.01] | groups["AdamW"][0.003]
    assert together == {name for name, _ in model.named_parameters()}


def test_adamw_gets_everything_and_norms_are_not_decayed():
    model = GPT(SMALL)
    optimizers = build_optimizers(model, FitConfig(steps=1, optimizer="adamw", weight_decay=0.3))
    assert [type(optimizer) for optimizer in optimizers] == [torch.optim.AdamW]
    for group in optimizers[0].param_groups:
        assert group["lr"] == 3e-3
        for parameter in group["params"]:
            assert group["weight_decay"] == (0.3 if parameter.ndim == 2 else 0.0)
    assert sum(len(group["params"]) for group in optimizers[0].param_groups) == len(list(model.parameters()))


def test_embeddings_learn_as_fast_as_the_matrices_unless_told_otherwise():
    groups = names_by_learning_rate(GPT(SMALL), FitConfig(steps=1, matrix_learning_rate=0.05))
    assert groups["AdamW"][0.05] == {"model.embed_tokens.weight"}


def test_frozen_parameters_have_no_optimizer():
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 5))
    model[0].requires_grad_(False)
    held = [
        p for o in build_optimizers(model, FitConfig(steps=1)) for g in o.param_groups for p in g["params"]
    ]
    assert {id(p) for p in held} == {id(p) for p in model[1].parameters()}
    with pytest.raises(ValueError, match="no trainable parameter"):
        build_optimizers(model.requires_grad_(False), FitConfig(steps=1))


def test_a_single_row_is_no_matter_for_muon():
    optimizers = build_optimizers(nn.Linear(6, 1), FitConfig(steps=1))
    assert [type(optimizer) for optimizer in optimizers] == [torch.optim.AdamW]


@pytest.mark.parametrize("schedule", ["linear", "cosine", "constant"])
def test_schedule_rises_then_falls_and_never_wastes_a_step(schedule):
    config = FitConfig(steps=50, warmup_share=0.2, schedule=schedule, final_share=0.1)
    factors = [learning_rate_factor(step, config) for step in range(50)]
    assert factors[:10] == pytest.approx([(i + 1) / 10 for i in range(10)])
    assert factors[10] == 1.0
    assert all(a >= b for a, b in zip(factors[10:], factors[11:]))
    end = learning_rate_factor(50, config)
    assert end == pytest.approx(1.0 if schedule == "constant" else 0.1)
    assert min(factors) > 0


def test_cosine_is_half_way_down_in_the_middle():
    config = FitConfig(steps=40, warmup_share=0, schedule="cosine")
    assert learning_rate_factor(20, config) == pytest.approx(0.5)
    assert learning_rate_factor(10, config) == pytest.approx((1 + math.cos(math.pi / 4)) / 2)


def test_set_learning_rates_scales_every_group():
    optimizers = build_optimizers(GPT(SMALL), FitConfig(steps=1, matrix_learning_rate=0.04))
    assert set_learning_rates(optimizers, 0.25) == pytest.approx(0.01)
    for group in (group for optimizer in optimizers for group in optimizer.param_groups):
        assert group["lr"] == pytest.approx(group["peak_lr"] / 4)
