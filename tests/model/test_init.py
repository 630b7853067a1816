from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from minillm.model.blocks import Attention
from minillm.model.gpt import GPT, IGNORE_INDEX, GPTConfig, next_token_loss
from minillm.model.init import copy_friendly_start, init_weights

SHAPE = {"vocab_size": 300, "context_length": 96, "n_layer": 3, "d_model": 128}


def test_spread_of_each_kind_of_weight() -> None:
    model = GPT(GPTConfig(2000, n_layer=1, n_head=4, n_kv_head=2, d_model=96, tie_embeddings=False))
    init_weights(model, 3, embedding_std=0.3, output_gain=0.5)
    weights = dict(model.named_parameters())
    assert weights["model.embed_tokens.weight"].std().item() == pytest.approx(0.3, rel=0.02)
    for name in ("q_proj", "k_proj", "v_proj"):
        assert weights[f"model.layers.0.self_attn.{name}.weight"].std().item() == pytest.approx(
            96**-0.5, rel=0.05
        )
    assert weights["model.layers.0.mlp.gate_proj.weight"].std().item() == pytest.approx(96**-0.5, rel=0.05)
    assert weights["lm_head.weight"].std().item() == pytest.approx(96**-0.5, rel=0.05)
    assert not weights["model.layers.0.self_attn.o_proj.weight"].any()
    assert not weights["model.layers.0.mlp.down_proj.weight"].any()
    assert bool((weights["model.layers.0.self_attn.q_norm.weight"] == 1).all())
    assert bool((weights["model.norm.weight"] == 0.5).all())


def test_the_seed_decides() -> None:
    config = GPTConfig(50, n_layer=1, d_model=16)
    one, same, other = (
        GPT(config, generator=seed).state_dict() for seed in (1, torch.Generator().manual_seed(1), 2)
    )
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["model.embed_tokens.weight"], other["model.embed_tokens.weight"])


def attention_weights(model: GPT, layer: int, ids: torch.Tensor) -> torch.Tensor:
    """(batch, head, query, key) weights of an untrained model whose earlier layers are ignored."""
    block, decoder = model.model.layers[layer], model.model
    attention, (batch, time) = block.self_attn, ids.shape
    x = block.input_layernorm(decoder.embed_tokens(ids))
    q = attention.q_proj(x).view(batch, time, -1, attention.head_width)
    k = attention.k_proj(x).view(batch, time, -1, attention.head_width)
    if attention.q_norm is not None:
        q, k = attention.q_norm(q), attention.k_norm(k)
    q, k = q.transpose(1, 2), k.transpose(1, 2).repeat_interleave(q.shape[2] // k.shape[2], dim=1)
    q, k = (turned(vectors, model.config.rope_theta) for vectors in (q, k))
    scores = q @ k.mT / attention.head_width**0.5
    return scores.masked_fill(torch.ones(time, time).triu(1).bool(), -torch.inf).softmax(-1)


def turned(vectors: torch.Tensor, theta: float) -> torch.Tensor:
    """Rotary positions written out with complex numbers: pair i of position t is multiplied by exp(i t w_i)."""
    half = vectors.shape[-1] // 2
    frequencies = theta ** (-torch.arange(half) / half)
    angles = torch.arange(vectors.shape[-2])[:, None] * frequencies
    pairs = torch.complex(vectors[..., :half].contiguous(), vectors[..., half:].contiguous())
    pairs = pairs * torch.polar(torch.ones_like(angles), angles)
    return torch.cat([pairs.real, pairs.imag], dim=-1)


@pytest.mark.parametrize("qk_norm", [True, False])
@pytest.mark.parametrize(("n_head", "n_kv_head", "first"), [(4, 4, 2), (4, 2, 2), (2, 1, 2)])
@torch.no_grad()
def test_half_of_the_first_heads_look_at_the_token_before(
    qk_norm: bool, n_head: int, n_kv_head: int, first: int
) -> None:
    model = GPT(GPTConfig(**SHAPE, n_head=n_head, n_kv_head=n_kv_head, qk_norm=qk_norm))
    copy_friendly_start(model)
    ids = torch.randint(0, 300, (3, 90), generator=torch.Generator().manual_seed(1))
    weights = attention_weights(model, 0, ids)
    before = weights.diagonal(-1, dim1=2, dim2=3).mean((0, 2))
    assert bool((before[:first] > 0.5).all())
    assert bool((before[first:] < 0.1).all())


@torch.no_grad()
def test_the_other_first_heads_look_at_some_ten_tokens() -> None:
    model = GPT(GPTConfig(**SHAPE, n_head=4))
    copy_friendly_start(model)
    ids = torch.randint(0, 300, (3, 90), generator=torch.Generator().manual_seed(1))
    weights = attention_weights(model, 0, ids)[:, 2:, 40:]
    distance = (torch.arange(40, 90)[:, None] - torch.arange(90)).clamp(min=0)
    assert 3 < (weights * distance).sum(-1).mean() < 7
    assert (weights * (distance > 12)).sum(-1).mean() < 0.1
    assert weights.amax(-1).mean() < 0.3


def rows_of(attention: Attention, head: int) -> dict[str, torch.Tensor]:
    """(head_width, d_model) directions: what a head asks, offers, reads and writes."""
    part = slice(head * attention.head_width, (head + 1) * attention.head_width)
    weights = {name: getattr(attention, f"{name}_proj").weight for name in "qkvo"}
    return {name: (weight.T if name == "o" else weight)[part] for name, weight in weights.items()}


def alike(one: torch.Tensor, other: torch.Tensor) -> bool:
    return F.cosine_similarity(one.flatten(), other.flatten(), dim=0).item() > 0.85


@torch.no_grad()
def test_second_heads_compare_tokens_with_the_marks_that_the_first_ones_write() -> None:
    model = GPT(GPTConfig(**SHAPE, n_head=4))
    copy_friendly_start(model)
    first, second = (model.model.layers[layer].self_attn for layer in (0, 1))
    for head, of in ((0, 0), (3, 1)):  # follows: what am I? who is marked with it, and what is that?
        mine, marks = rows_of(second, head), rows_of(first, of)
        assert alike(mine["q"], marks["v"]) and alike(mine["k"], marks["o"]) and alike(mine["v"], mine["o"])
    mine, marks = rows_of(second, 1), rows_of(first, 2)  # surroundings: who has my marks, and what is that?
    assert alike(mine["q"], marks["o"]) and alike(mine["k"], marks["o"]) and alike(mine["v"], mine["o"])
    mine = rows_of(second, 2)  # mentioned: who is what I am marked with, and how is that marked?
    assert alike(mine["q"], marks["o"]) and alike(mine["k"], marks["v"])
    assert alike(mine["v"], marks["o"]) and alike(mine["o"], marks["v"])


@torch.no_grad()
def test_some_later_heads_look_for_the_like() -> None:
    model = GPT(GPTConfig(**SHAPE, n_head=4))
    copy_friendly_start(model)
    heads = [rows_of(model.model.layers[2].self_attn, head) for head in range(4)]
    assert [alike(head["q"], head["k"]) for head in heads] == [True, True, False, True]
    assert [alike(head["v"], head["o"]) for head in heads] == [True, True, False, True]


def test_grouped_queries_share_rows() -> None:
    model = GPT(GPTConfig(**SHAPE, n_head=4, n_kv_head=2))
    copy_friendly_start(model)
    query = model.model.layers[1].self_attn.q_proj.weight.detach().unflatten(0, (2, 2, 32))
    for of_a_key_head in query:
        assert alike(of_a_key_head[0], of_a_key_head[1])


def loss_on_repetitions(copy_friendly: bool) -> float:
    """Train a small model on random tokens that are said twice; the loss of the second time, in nats."""
    model = GPT(GPTConfig(40, context_length=32, n_layer=2, n_head=2, d_model=64, d_ff=96), generator=0)
    if copy_friendly:
        copy_friendly_start(model)
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(60):
        half = torch.randint(0, 40, (16, 16), generator=generator)
        ids = torch.cat([half, half], dim=1)
        targets = ids[:, 1:].clone()
        targets[:, :15] = IGNORE_INDEX
        loss = next_token_loss(model, ids[:, :-1], targets, reduction="mean")
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return loss.item()


def test_copying_is_learned_sooner() -> None:
    assert loss_on_repetitions(copy_friendly=True) < 0.6 * loss_on_repetitions(copy_friendly=False)
