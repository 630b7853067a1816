"""What `minillm.model.inspect` shows is what the model computes: checked against the formula and against the model."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from minillm.model.inspect import attention_weights, hidden_states, trace, weight_on, without_heads


@pytest.fixture(params=[True, False], ids=["qk_norm", "plain"])
def model(request, make_model):
    return make_model(qk_norm=request.param)


def turned(x, position, theta):
    """One vector turned pair by pair with complex numbers: not the package's way."""
    half = x.shape[-1] // 2
    angle = position * theta ** (-torch.arange(half, dtype=torch.float64) / half)
    pairs = torch.complex(x[..., :half].double(), x[..., half:].double()) * torch.polar(
        torch.ones_like(angle), angle
    )
    return torch.cat([pairs.real, pairs.imag], dim=-1)


def test_attention_weights_are_the_softmax_of_the_scores_by_hand(model, random_ids):
    ids = random_ids(2, 5)
    weights = attention_weights(model, ids)
    config = model.config
    states = hidden_states(model, ids)
    for layer, block in enumerate(model.model.layers):
        attention, x = block.self_attn, block.input_layernorm(states[layer])
        for row in range(2):
            for head in range(config.n_head):
                kv_head = head // (config.n_head // config.n_kv_head)
                q = attention.q_proj(x[row]).view(5, -1, config.head_width)[:, head]
                k = attention.k_proj(x[row]).view(5, -1, config.head_width)[:, kv_head]
                if config.qk_norm:
                    q, k = attention.q_norm(q), attention.k_norm(k)
                for time in range(5):
                    query = turned(q[time], time, config.rope_theta)
                    scores = [query @ turned(k[other], other, config.rope_theta) for other in range(time + 1)]
                    expected = (torch.stack(scores) / config.head_width**0.5).softmax(dim=-1)
                    got = weights[layer, row, head, time]
                    torch.testing.assert_close(got[: time + 1].double(), expected.detach(), atol=1e-5, rtol=0)
                    assert bool((got[time + 1 :] == 0).all())


def test_a_block_can_be_rebuilt_from_the_weights(model, random_ids):
    ids = random_ids(2, 7)
    seen = trace(model, ids)
    config, block = model.config, model.model.layers[1]
    name = "layers.1.self_attn"
    values = seen[f"{name}.v_proj"].view(2, 7, config.n_kv_head, config.head_width).transpose(1, 2)
    values = values.repeat_interleave(config.n_head // config.n_kv_head, dim=1)
    mix = (seen[f"{name}.weights"] @ values).transpose(1, 2).reshape(2, 7, config.d_model)
    torch.testing.assert_close(mix, seen[f"{name}.mix"], atol=1e-5, rtol=1e-5)
    stream = seen["layers.0"] + mix @ block.self_attn.o_proj.weight.T
    torch.testing.assert_close(stream, seen["layers.1.after_attention"], atol=1e-4, rtol=1e-5)
    read = block.post_attention_layernorm(stream)
    product = F.silu(read @ block.mlp.gate_proj.weight.T) * (read @ block.mlp.up_proj.weight.T)
    torch.testing.assert_close(product, seen["layers.1.mlp.product"], atol=1e-3, rtol=1e-4)
    rebuilt = stream + product @ block.mlp.down_proj.weight.T
    torch.testing.assert_close(rebuilt, seen["layers.1"], atol=1e-3, rtol=1e-4)


def test_rows_of_weights_sum_to_one_and_stay_inside_a_document(model, random_ids):
    ids = random_ids(1, 6)
    document_ids = torch.tensor([[0, 0, 1, 1, 1, 2]])
    weights = attention_weights(model, ids, document_ids)
    assert weights.shape == (3, 1, 4, 6, 6)
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(3, 1, 4, 6))
    foreign = document_ids[0][:, None] != document_ids[0][None, :]
    assert bool((weights[..., foreign] == 0).all())
    alone = attention_weights(model, ids[:, 2:5])
    torch.testing.assert_close(weights[..., 2:5, 2:5], alone, atol=1e-5, rtol=1e-4)


def test_trace_names_every_tensor_in_order_with_its_shape(model, random_ids):
    config, ids = model.config, random_ids(2, 5)
    seen = trace(model, ids)
    names = list(seen)
    assert names[0] == "embed_tokens" and names[-1] == "logits"
    order = (
        "input_layernorm self_attn.q_proj self_attn.weights self_attn.mix self_attn.o_proj after_attention"
    )
    order += " post_attention_layernorm mlp.gate_proj mlp.product mlp.down_proj"
    places = [names.index(f"layers.0.{part}") for part in order.split()]
    assert places == sorted(places)
    shapes = {name: tuple(tensor.shape) for name, tensor in seen.items()}
    width = config.head_width
    assert shapes["layers.2.self_attn.query"] == (2, 4, 5, width)
    assert shapes["layers.2.self_attn.key"] == (2, 2, 5, width)
    assert shapes["layers.2.self_attn.weights"] == (2, 4, 5, 5)
    assert shapes["layers.2.self_attn.mix"] == shapes["layers.2"] == shapes["norm"] == (2, 5, 24)
    assert shapes["layers.2.mlp.product"] == (2, 5, 40)
    assert shapes["logits"] == (2, 5, 53)
    parts = {name.split(".")[-1] for name in names}
    assert ("q_norm" in parts) == config.qk_norm


def test_trace_and_hidden_states_agree_with_the_model(model, random_ids):
    ids = random_ids(2, 5)
    seen, states = trace(model, ids), hidden_states(model, ids)
    with torch.no_grad():
        assert torch.equal(seen["logits"], model(ids))
        torch.testing.assert_close(model.model.norm(states[-1]), model.hidden(ids))
    assert torch.equal(states[0], model.model.embed_tokens(ids))
    assert torch.equal(states[2], seen["layers.1"]) and len(states) == 4
    assert torch.equal(seen["layers.1.self_attn.weights"], attention_weights(model, ids)[1])


def test_without_heads_is_the_model_with_their_columns_zero(model, random_ids):
    ids, width = random_ids(2, 5), model.config.head_width
    before = model(ids)
    with without_heads(model, [(1, 0), (1, 3), (2, 1)]):
        silenced = model(ids)
    assert torch.equal(model(ids), before), "the heads are back afterwards"
    with torch.no_grad():
        for layer, head in ((1, 0), (1, 3), (2, 1)):
            model.model.layers[layer].self_attn.o_proj.weight[:, head * width : (head + 1) * width] = 0
    torch.testing.assert_close(silenced, model(ids))
    assert not torch.allclose(silenced, before)


@pytest.mark.parametrize("head", [(3, 0), (0, 4), (-1, 0)])
def test_without_heads_names_a_head_that_is_not_there(make_model, head):
    error = pytest.raises(ValueError, match=r"layer from 0 to 2 and a head from 0 to 3")
    with error, without_heads(make_model(), [head]):
        pass


def test_no_hook_stays_behind(make_model, random_ids):
    model = make_model()
    trace(model, random_ids(1, 3))
    attention_weights(model, random_ids(1, 3))
    with pytest.raises(ValueError, match="outside the vocabulary"):
        trace(model, torch.tensor([[53]]))
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def one_back(ids):
    return torch.ones(len(ids) - 1).diag(-1).bool()


def test_weight_on_is_the_mean_over_all_positions_that_have_a_target(model, random_ids):
    rows = [random_ids(1, time)[0] for time in (5, 8)]
    scores, even, asked = weight_on(model, rows, one_back)
    assert asked == 4 + 7 and scores.shape == (model.config.n_layer, model.config.n_head)
    looks = [
        attention_weights(model, ids[None])[1, 0, 2, t, t - 1] for ids in rows for t in range(1, len(ids))
    ]
    assert float(scores[1, 2]) == pytest.approx(sum(map(float, looks)) / 11, abs=1e-6)
    chances = [1 / (t + 1) for ids in rows for t in range(1, len(ids))]
    assert even == pytest.approx(sum(chances) / 11, abs=1e-6)


def test_weight_on_refuses_a_rule_that_picks_nothing(model, random_ids):
    with pytest.raises(ValueError, match="picks out no position"):
        weight_on(model, random_ids(2, 5), lambda ids: torch.zeros(5, 5).bool())
