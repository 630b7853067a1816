from __future__ import annotations

import torch

from minillm.model.cache import KVCache
from minillm.model.config import GPTConfig

CONFIG = GPTConfig(10, context_length=9, n_layer=2, n_head=4, n_kv_head=2, d_model=24)
INF = -torch.inf


def test_update_appends_columns_of_one_layer() -> None:
    cache = KVCache(CONFIG, batch=3, capacity=5)
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
