"""Masks against the sentences that define them, and attention by its fast kernels against attention written out."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from minillm.model.blocks import PLAIN_ATTENTION_LENGTH, attend, attention_probs
from minillm.model.masks import (
    branch_mask,
    causal_mask,
    document_mask,
    padding_mask,
    reading_mask,
    real_columns,
    seen_before,
)

INF = -torch.inf


@given(st.integers(1, 6), st.integers(0, 6))
def test_causal(time: int, before: int) -> None:
    columns = before + time
    expected = [[0.0 if key <= before + query else INF for key in range(columns)] for query in range(time)]
    assert causal_mask(time, columns).tolist() == expected


@given(st.lists(st.lists(st.integers(-1, 2), min_size=5, max_size=5), min_size=1, max_size=3))
def test_documents(rows: list[list[int]]) -> None:
    mask = document_mask(torch.tensor(rows), torch.bfloat16)
    assert mask.shape == (len(rows), 1, 5, 5) and mask.dtype == torch.bfloat16
    for row, documents in enumerate(rows):
        for query in range(5):
            for key in range(5):
                may = key <= query and documents[key] == documents[query]
                assert mask[row, 0, query, key].item() == (0.0 if may else INF)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=4), st.integers(0, 4))
def test_reading_behind_a_start(padding: list[int], start: int) -> None:
    real = real_columns(torch.tensor(padding), 5)
    mask = reading_mask(real, start, torch.float32)
    assert mask.shape == (len(padding), 1, 5 - start, 5)
    for row, pads in enumerate(padding):
        assert real[row].tolist() == [column >= pads for column in range(5)]
        for query in range(start, 5):
            for key in range(5):
                may = key == query or (pads <= key < query)
                assert mask[row, 0, query - start, key].item() == (0.0 if may else INF)
    if start == 4:  # one column that reads, behind all padding
        behind = torch.tensor(padding) < 5
        assert torch.equal(padding_mask(real, torch.float32)[behind], mask[behind])


def by_hand(query, key, value, mask):
    """One number after another in float64: (batch, n_head, time, width) and the weights."""
    batch, n_head, time, width = query.shape
    columns, group = key.shape[2], n_head // key.shape[1]
    weights = torch.zeros(batch, n_head, time, columns, dtype=torch.float64)
    for row in range(batch):
        for head in range(n_head):
            for t in range(time):
                scores = key[row, head // group].double() @ query[row, head, t].double() / math.sqrt(width)
                if mask is None:
                    scores[columns - time + t + 1 :] = INF
                else:
                    scores = scores + mask[row % len(mask), 0, t].double()
                weights[row, head, t] = scores.softmax(dim=0)
    return weights @ value.double().repeat_interleave(group, dim=1), weights


SHAPES = [  # batch, n_head, n_kv_head, time, columns, width
    (2, 4, 2, 5, 5, 6),
    (1, 6, 1, 7, 7, 10),
    (3, 3, 3, 1, 8, 4),
    (2, 4, 4, 3, 8, 12),  # a piece behind others, without a mask
    (1, 2, 1, 2, 9, 2),
]


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_kernels_and_the_explicit_weights_agree(shape, dtype, masked: bool) -> None:
    batch, n_head, n_kv_head, time, columns, width = shape
    generator = torch.Generator().manual_seed(3)
    query = torch.randn(batch, n_head, time, width, generator=generator).to(dtype)
    key, value = (torch.randn(batch, n_kv_head, columns, width, generator=generator).to(dtype) for _ in "kv")
    mask = None
    if masked:
        mask = reading_mask(real_columns(torch.arange(batch), columns), columns - time, dtype)
    expected, expected_weights = by_hand(query, key, value, mask)
    # A few roundings of sums of ten terms; bfloat16 has 8 bits.
    close = {"atol": 2e-6, "rtol": 1e-5} if dtype == torch.float32 else {"atol": 0.04, "rtol": 0.04}
    weights = attention_probs(query, key, mask)
    group = n_head // n_kv_head
    fused = attend(query, key, value, mask)
    assert fused.dtype == weights.dtype == dtype
    torch.testing.assert_close(weights.double(), expected_weights, **close)
    torch.testing.assert_close(fused.double(), expected, **close)
    torch.testing.assert_close(weights @ value.repeat_interleave(group, dim=1), fused, **close)
    if mask is not None:
        assert not weights[(mask == INF).expand_as(weights)].any()


@settings(max_examples=5, deadline=None)
@given(st.integers(PLAIN_ATTENTION_LENGTH - 2, PLAIN_ATTENTION_LENGTH + 2))
def test_both_ways_in_bfloat16_are_the_same_attention(time: int) -> None:
    """Beyond a length another kernel takes over."""
    generator = torch.Generator().manual_seed(time)
    query, key, value = (torch.randn(1, 2, time, 8, generator=generator).bfloat16() for _ in range(3))
    expected = F.scaled_dot_product_attention(query.float(), key.float(), value.float(), is_causal=True)
    torch.testing.assert_close(attend(query, key, value, None).float(), expected, atol=0.02, rtol=0.02)


@given(st.lists(st.lists(st.integers(-1, 3), min_size=5, max_size=5), min_size=1, max_size=3))
def test_branches(rows: list[list[int]]) -> None:
    """A token sees what is before it in its own branch and in the trunk, and a trunk or padding sees no branch."""
    mask = branch_mask(torch.tensor(rows), torch.bfloat16)
    assert mask.shape == (len(rows), 1, 5, 5) and mask.dtype == torch.bfloat16
    seen = seen_before(mask)
    for row, branches in enumerate(rows):
        for query in range(5):
            own = branches[query]
            may = [branches[key] in ({0, own} if own >= 0 else {own}) for key in range(query + 1)]
            expected = [0.0 if allowed else INF for allowed in may] + [INF] * (4 - query)
            assert mask[row, 0, query].tolist() == expected
            assert seen[row, query].item() == sum(may) - 1
