from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from minillm.model.blocks import RMSNorm, apply_rotary, attend, rotary_tables


def test_rms_norm_equals_its_formula_and_torch() -> None:
    norm = RMSNorm(12, eps=1e-3)
    torch.nn.init.normal_(norm.weight)
    x = torch.randn(2, 5, 12)
    formula = x / (x.square().mean(-1, keepdim=True) + 1e-3).sqrt() * norm.weight
    torch.testing.assert_close(norm(x), formula)
    with torch.no_grad():
        torch.testing.assert_close(norm(x), F.rms_norm(x, (12,), norm.weight, 1e-3))


def test_rms_norm_gradient_equals_autograd() -> None:
    norm = RMSNorm(12, eps=1e-3)
    torch.nn.init.normal_(norm.weight)
    x = torch.randn(2, 3, 5, 12, requires_grad=True)
    upstream = torch.randn(2, 3, 5, 12)
    ours = torch.autograd.grad(norm(x), (x, norm.weight), upstream)
    reference = F.rms_norm(x, (12,), norm.weight, 1e-3)
    theirs = torch.autograd.grad(reference, (x, norm.weight), upstream)
    for one, other in zip(ours, theirs):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("grad", [True, False])
def test_rms_norm_gives_the_precision_of_autocast_and_computes_in_float32(grad: bool) -> None:
    norm = RMSNorm(12, eps=1e-6)
    x = 1e4 * torch.randn(2, 5, 12)  # squares would overflow in half precision
    with torch.set_grad_enabled(grad):
        with torch.autocast("cpu", torch.bfloat16):
            low = norm(x)
        assert low.dtype == torch.bfloat16
        torch.testing.assert_close(low, norm(x).bfloat16())
        assert norm(x.bfloat16()).dtype == torch.bfloat16


def test_rotary_turns_each_pair_by_its_angle() -> None:
    cos, sin = rotary_tables(7, 6, theta=100.0)
    x = torch.randn(2, 3, 7, 6)
    turned = apply_rotary(x, cos, sin)
    for position in (0, 1, 6):
        for pair in range(3):
            angle = torch.tensor(position * 100.0 ** (-2 * pair / 6))
            number = torch.complex(x[..., position, pair], x[..., position, pair + 3])
            expected = number * torch.polar(torch.tensor(1.0), angle)
            torch.testing.assert_close(turned[..., position, pair], expected.real)
            torch.testing.assert_close(turned[..., position, pair + 3], expected.imag)


def test_rotary_products_depend_on_the_distance_only() -> None:
    cos, sin = rotary_tables(40, 8, theta=10_000.0)
    query, key = torch.randn(8), torch.randn(8)
    product = (
        apply_rotary(query.expand(1, 1, 40, 8), cos, sin) @ apply_rotary(key.expand(1, 1, 40, 8), cos, sin).mT
    )
    for distance in (0, 1, 5):
        diagonal = product[0, 0].diagonal(-distance)
        torch.testing.assert_close(diagonal, diagonal[:1].expand_as(diagonal), atol=1e-5, rtol=1e-5)


def brute_force_attention(query, key, value, allowed):
    """Attention by loops over batch, heads and positions."""
    out = torch.zeros_like(query)
    batch, heads, time, width = query.shape
    group = heads // key.shape[1]
    for b in range(batch):
        for h in range(heads):
            for t in range(time):
                columns = allowed[b, t].nonzero()[:, 0]
                scores = key[b, h // group, columns] @ query[b, h, t] / width**0.5
                out[b, h, t] = scores.softmax(0) @ value[b, h // group, columns]
    return out


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("kv_heads", [1, 2, 4])
def test_attend_equals_loops(dtype: torch.dtype, masked: bool, kv_heads: int) -> None:
    generator = torch.Generator().manual_seed(3)
    query = torch.randn(2, 4, 5, 6, generator=generator)
    key, value = (torch.randn(2, kv_heads, 5, 6, generator=generator) for _ in range(2))
    allowed = torch.ones(5, 5, dtype=torch.bool).tril().repeat(2, 1, 1)
    mask = None
    if masked:
        allowed[1, 3:, :2] = False
        mask = torch.zeros(2, 1, 5, 5).masked_fill(~allowed[:, None], -torch.inf).to(dtype)
    expected = brute_force_attention(query, key, value, allowed)
    out = attend(query.to(dtype), key.to(dtype), value.to(dtype), mask)
    assert out.dtype == dtype
    tolerance = 1e-5 if dtype == torch.float32 else 3e-2  # bfloat16 keeps 8 bits
    torch.testing.assert_close(out.float(), expected, atol=tolerance, rtol=tolerance)


def test_the_two_ways_of_bfloat16_attention_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(3)
    query, key, value = (torch.randn(2, 2, 9, 8, generator=generator).bfloat16() for _ in range(3))
    written_out = attend(query, key, value, None)
    monkeypatch.setattr("minillm.model.blocks.PLAIN_ATTENTION_LENGTH", 0)
    torch.testing.assert_close(attend(query, key, value, None), written_out, atol=2e-2, rtol=2e-2)
