from __future__ import annotations

import pytest
import torch

from minillm.model.cache import KVCache
from minillm.model.config import GPTConfig

CONFIG = GPTConfig(10, context_length=9, n_layer=2, n_head=4, n_kv_head=2, d_model=24)
INF = -torch.inf


def test_update_appends_columns_of_one_layer() -> None:
    cache = KVCache(CONFIG, batch=3, capacity=5)
    cache.keys[0].zero_()
    first, second = torch.randn(3, 2, 2, 6), torch.randn(3, 2, 1, 6)
    keys, values = cache.update(1, first, -first)
    assert torch.equal(keys, first) and torch.equal(values, -first)
    cache.length = 2
    keys, _ = cache.update(1, second, second)
    assert torch.equal(keys, torch.cat([first, second], dim=2))
    assert not cache.keys[0].any()
    assert cache.batch == 3


def test_capacity_is_the_context_by_default() -> None:
    assert KVCache(CONFIG).capacity == 9


def test_no_mask_where_attention_needs_none() -> None:
    cache = KVCache(CONFIG)
    assert cache.mask(4, torch.float32) is None  # plain causal
    cache.length = 4
    assert cache.mask(1, torch.float32) is None  # the last token sees all


def test_mask_of_a_piece_behind_others() -> None:
    cache = KVCache(CONFIG)
    cache.length = 2
    assert cache.mask(2, torch.float32).tolist() == [[[[0, 0, 0, INF], [0, 0, 0, 0]]]]


def test_mask_and_positions_of_padded_rows() -> None:
    cache = KVCache(CONFIG, batch=2, padding=torch.tensor([0, 2]))
    mask = cache.mask(3, torch.float32)
    assert mask[0, 0].tolist() == [[0, INF, INF], [0, 0, INF], [0, 0, 0]]
    assert mask[1, 0].tolist() == [[0, INF, INF], [INF, 0, INF], [INF, INF, 0]]  # padding sees itself
    assert cache.positions(3).tolist() == [[0, 1, 2], [0, 0, 0]]
    cache.length = 3
    assert cache.mask(1, torch.float32)[1, 0].tolist() == [[INF, INF, 0, 0]]
    assert cache.positions(1).tolist() == [[3], [1]]


def filled_cache(padding: list[int]) -> KVCache:
    """A cache of three columns, with every number another."""
    cache = KVCache(CONFIG, batch=len(padding), capacity=5, padding=torch.tensor(padding))
    for layer in range(CONFIG.n_layer):
        numbers = torch.arange(1.0, len(padding) * 2 * 3 * 6 + 1).view(len(padding), 2, 3, 6)
        cache.update(layer, numbers + 1000 * layer, -numbers - 1000 * layer)
    cache.length = 3
    return cache


@pytest.mark.parametrize("rows", [[0, 1, 2, 3], [3], [1, 2], [0, 3], [2, 1], [3, 0, 2]])
def test_selected_rows_equal_a_cache_of_those_rows(rows: list[int]) -> None:
    padding = torch.tensor([2, 0, 1, 2])
    cache, given = filled_cache(padding.tolist()), padding.clone()
    before = torch.stack([*cache.keys, *cache.values])
    cache.select(rows)
    assert torch.equal(padding, given)
    dropped = int(padding[rows].min())
    fresh = KVCache(
        CONFIG,
        batch=len(rows),
        capacity=5 - dropped,
        padding=padding[rows] - dropped if len(rows) > 1 else None,
    )
    fresh.length = 3 - dropped
    assert (cache.batch, cache.length, cache.capacity) == (fresh.batch, fresh.length, fresh.capacity)
    filled = torch.stack([*cache.keys, *cache.values])[..., : cache.length, :]
    assert torch.equal(filled, before[:, rows, :, dropped:3])
    if len(rows) > 1 and (padding[rows] > dropped).any():
        assert torch.equal(cache.positions(2), fresh.positions(2))
        for time in (1, 2):
            assert torch.equal(cache.mask(time, torch.float32), fresh.mask(time, torch.float32))
    else:
        assert cache.padding is None and cache.mask(1, torch.float32) is None


def test_a_part_is_read_into_the_same_storage() -> None:
    cache = KVCache(CONFIG, batch=3, capacity=5, padding=torch.tensor([3, 2, 0]))
    for half in (*cache.keys, *cache.values):
        half.fill_(9)
    part = cache.part(0, 2)
    assert (part.batch, part.length, part.capacity) == (2, 0, 3)
    assert part.padding.tolist() == [1, 0]
    keys = torch.randn(2, 2, 2, 6)
    part.update(1, keys, -keys)
    cache.length = 4
    assert torch.equal(cache.keys[1][:2, :, 2:4], keys) and torch.equal(cache.values[1][:2, :, 2:4], -keys)
    for untouched in (cache.keys[1][2], cache.keys[1][:, :, :2], cache.keys[1][:, :, 4:], cache.keys[0]):
        assert (untouched == 9).all()
    assert cache.padding.tolist() == [3, 2, 0]


def test_growing_keeps_what_is_filled() -> None:
    cache = filled_cache([2, 0])
    before = torch.stack([*cache.keys, *cache.values])
    cache.grow(8)
    assert cache.capacity == 8
    after = torch.stack([*cache.keys, *cache.values])
    assert torch.equal(after[..., :3, :], before[..., :3, :])
    cache.length = 6
    assert cache.mask(1, torch.float32)[:, 0, 0].tolist() == [[INF, INF, 0, 0, 0, 0, 0], [0] * 7]


def test_a_row_is_spread_over_several() -> None:
    cache = filled_cache([0, 3])
    keys, values = cache.keys[1].clone(), cache.values[1].clone()
    length = cache.length
    cache.spread([1, 0, 1], capacity=length + 2)
    assert (cache.batch, cache.length, cache.capacity) == (3, length, length + 2)
    assert cache.padding.tolist() == [3, 0, 3]
    for now, before in ((cache.keys[1], keys), (cache.values[1], values)):
        assert torch.equal(now[:, :, :length], before[[1, 0, 1], :, :length])
    mask = cache.mask(1, torch.float32)
    assert mask[:, 0, 0, :4].tolist() == [[INF, INF, INF, 0], [0, 0, 0, 0], [INF, INF, INF, 0]]


def test_columns_that_no_row_fills_are_numbers() -> None:
    """Attention weighs padding with 0, and 0 times a NaN that lay in the memory would be NaN."""
    cache = KVCache(CONFIG, batch=2, padding=torch.tensor([0, 4]))
    assert not torch.stack(cache.keys + cache.values)[:, :, :, :4].any()
