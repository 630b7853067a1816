"""Quantised weights against a loop over single numbers."""

from __future__ import annotations

import pytest
import torch

from minillm.model.gpt import GPT, GPTConfig
from minillm.model.quantise import Quantised, pack_int4, quantise, quantised_copy, unpack_int4

ROWS, COLUMNS = 5, 12
WEIGHT = torch.randn(ROWS, COLUMNS, generator=torch.Generator().manual_seed(0))
CONFIG = GPTConfig(vocab_size=97, context_length=16, n_layer=2, n_head=2, d_model=24, d_ff=40)


def by_hand(weight, bits, group_size):
    """Codes and scales by a loop."""
    codes, scales = [], []
    for row in weight.tolist():
        codes.append([])
        scales.append([])
        for start in range(0, len(row), group_size):
            group = row[start : start + group_size]
            largest = 127 if bits == 8 else 7
            scale = torch.tensor(max(map(abs, group)) / largest).half().item()
            scales[-1].append(scale)
            codes[-1] += [min(largest, max(-largest, round(w / scale))) for w in group]
    return codes, scales


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("group_size", [None, 4])
def test_codes_and_scales_are_those_of_a_loop(bits, group_size):
    made = quantise(WEIGHT, bits, group_size)
    codes, scales = by_hand(WEIGHT, bits, group_size or COLUMNS)
    assert made.codes.tolist() == codes and made.scales.tolist() == scales
    size = group_size or COLUMNS
    for i in range(ROWS):
        for j in range(COLUMNS):
            assert made.weight()[i, j].item() == pytest.approx(codes[i][j] * scales[i][j // size])


@pytest.mark.parametrize("bits", [8, 4])
def test_no_weight_moves_by_more_than_half_a_step(bits):
    made = quantise(WEIGHT, bits, 4)
    steps = made.scales.float().repeat_interleave(4, dim=1)
    # a step in half precision is off by up to 1 in 2^11, times the largest code
    assert ((made.weight() - WEIGHT).abs() <= (0.5 + 2 ** (bits - 1) / 2**11) * steps).all()
    assert (made.weight() - WEIGHT).abs().max() > 0.3 * steps.min(), "something is rounded"


def test_a_large_weight_spoils_its_own_group_only():
    spoiled = WEIGHT.clone()
    spoiled[2, 5] = 1_000.0
    error = (quantise(spoiled, 4, 4).weight() - spoiled).abs()
    before = (quantise(WEIGHT, 4, 4).weight() - WEIGHT).abs()
    outside = torch.ones_like(WEIGHT, dtype=torch.bool)
    outside[2, 4:8] = False
    assert torch.equal(error[outside], before[outside])
    assert quantise(spoiled, 4, 4).codes[2, [4, 6, 7]].tolist() == [0, 0, 0]


@pytest.mark.parametrize("scale", [0.0, 1e-9, 1e-4])
def test_zeros_and_tiny_weights(scale):
    """Steps so small that half precision has only a few digits for them are coarse, and nothing worse."""
    made = quantise(scale * WEIGHT, 8).weight()
    assert made.isfinite().all()
    assert (made - scale * WEIGHT).abs().max() <= max(1e-6, 0.1 * scale)


def test_packing_is_undone_and_halves_the_bytes():
    codes = torch.arange(-8, 8, dtype=torch.int8).repeat(3, 1)
    packed = pack_int4(codes)
    assert packed.dtype == torch.uint8 and packed.numel() * 2 == codes.numel()
    assert torch.equal(unpack_int4(packed), codes)
    assert [(byte & 15, byte >> 4) for byte in packed[0, :2].tolist()] == [(8, 9), (10, 11)]
    made = quantise(WEIGHT, 4, 6)
    assert made.n_bytes == pack_int4(made.codes).numel() + made.scales.numel() * 2 == 30 + 20
    assert quantise(WEIGHT, 8).n_bytes == 60 + 10


def test_a_copy_of_a_model_is_rounded_and_the_model_is_not():
    model = GPT(CONFIG, 0)
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    copied, n_bytes = quantised_copy(model, 4, 8)
    counted = 0
    for name, weight in model.named_parameters():
        assert torch.equal(weight, before[name])
        now = copied.get_parameter(name)
        if weight.ndim == 1:
            assert torch.equal(now, weight)
            counted += 2 * weight.numel()
        else:
            assert torch.equal(now, quantise(weight, 4, 8).weight())
            counted += weight.numel() // 2 + 2 * weight.numel() // 8
    assert n_bytes == counted
    ids = torch.randint(97, (2, 5), generator=torch.Generator().manual_seed(1))
    assert not torch.equal(copied(ids), model(ids))
    assert copied.head_weight is copied.model.embed_tokens.weight, "still tied"


def test_eight_bits_change_less_than_four():
    model, ids = GPT(CONFIG, 0), torch.arange(10).view(2, 5)
    with torch.no_grad():
        for weight in model.parameters():  # the blocks of a fresh model write nothing
            weight += 0.1 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(weight.numel()))
        moved = [(quantised_copy(model, bits)[0](ids) - model(ids)).abs().mean() for bits in (8, 4)]
    assert 0 < moved[0] < moved[1] / 5


def test_a_row_that_no_group_divides_has_one_step():
    copied, _ = quantised_copy(GPT(CONFIG, 0), 8, 7)
    weight = GPT(CONFIG, 0).head_weight
    assert torch.equal(copied.head_weight, quantise(weight, 8).weight())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: quantise(WEIGHT, 3), "bits is 3; choose 8 or 4"),
        (lambda: quantise(WEIGHT, 8, 5), "group_size=5 does not divide the 12 columns"),
        (lambda: quantise(WEIGHT, 8, 0), "at least 1"),
        (lambda: quantised_copy(torch.nn.Linear(12, 3), 8, 0), "at least 1"),
        (lambda: quantise(WEIGHT[0], 8), r"shape \(12,\); give a float matrix"),
        (lambda: quantise(WEIGHT.int(), 8), "give a float matrix"),
        (lambda: quantise(WEIGHT * 1e9, 8), "too large"),
        (lambda: quantise(WEIGHT / 0, 8), "not finite"),
        (lambda: pack_int4(torch.zeros(3, dtype=torch.int8)), "even number"),
        (lambda: pack_int4(torch.full((2,), 8, dtype=torch.int8)), "-8 to 7"),
    ],
)
def test_what_cannot_be_quantised_is_told(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_codes_are_all_that_is_kept():
    made = Quantised(torch.tensor([[1, -2]], dtype=torch.int8), torch.tensor([[0.5]]).half(), 8)
    assert made.weight().tolist() == [[0.5, -1.0]]
