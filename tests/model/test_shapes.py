"""Models of many shapes, each beside transformers: logits, gradients, and text that is written with a cache."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch.nn import functional as F

from minillm.costs import n_parameters
from minillm.model.cache import KVCache
from minillm.model.config import GPTConfig
from minillm.model.gpt import GPT, next_token_loss
from minillm.model.heads import RewardModel
from minillm.model.init import copy_friendly_start
from minillm.model.inspect import attention_weights, trace, without_heads
from minillm.model.lora import LoRAConfig, apply_lora
from minillm.model.pretrained import CLASSIFIER, config_from_json, config_to_json
from minillm.model.sampling import generate

transformers = pytest.importorskip("transformers")

SHAPES = {
    "one head, one layer": {"n_layer": 1, "n_head": 1, "n_kv_head": 1, "d_model": 6, "d_ff": 10},
    "deep and thin": {"n_layer": 9, "n_head": 2, "n_kv_head": 1, "d_model": 8, "d_ff": 4},
    "many heads of width 2": {"n_layer": 2, "n_head": 8, "n_kv_head": 4, "d_model": 16, "d_ff": 33},
    "odd sizes": {"n_layer": 3, "n_head": 5, "n_kv_head": 5, "d_model": 30, "d_ff": 7, "vocab_size": 101},
    "six heads on two": {
        "n_layer": 2,
        "n_head": 6,
        "n_kv_head": 2,
        "d_model": 36,
        "d_ff": 50,
        "vocab_size": 3,
    },
    "wide heads": {"n_layer": 2, "n_head": 4, "n_kv_head": 2, "d_model": 24, "d_ff": 40, "head_dim": 16},
    "narrow heads": {"n_layer": 2, "n_head": 3, "n_kv_head": 1, "d_model": 30, "d_ff": 20, "head_dim": 4},
    "keys wider than the model": {"n_layer": 2, "n_head": 2, "n_kv_head": 2, "d_model": 10, "head_dim": 8},
}
LAYOUTS = {
    "qwen3, tied": {"qk_norm": True, "tie_embeddings": True},
    "llama, untied": {"qk_norm": False, "tie_embeddings": False, "rope_theta": 500.0, "norm_eps": 1e-5},
    "qwen3, untied": {"qk_norm": True, "tie_embeddings": False, "rope_theta": 1e6},
    "llama, tied": {"qk_norm": False, "tie_embeddings": True},
}
OTHER_WIDTHS = [name for name, shape in SHAPES.items() if "head_dim" in shape]


def hugging_face(model, kind="ForCausalLM"):
    layout = "Qwen3" if model.config.qk_norm else "Llama"
    cls = getattr(transformers, layout + kind)
    other = cls(cls.config_class(**config_to_json(model.config, kind))).eval()
    missing, unexpected = other.load_state_dict(model.state_dict(), strict=False)
    assert set(unexpected) <= {"mean"} and set(missing) <= {"lm_head.weight"}
    return other


@pytest.fixture(params=SHAPES)
def shape(request) -> dict[str, int]:
    return SHAPES[request.param]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_logits_and_gradients(make_model, random_ids, shape, layout) -> None:
    model = make_model(**shape, **LAYOUTS[layout])
    vocab_size = model.config.vocab_size
    other = hugging_face(model)
    ids, targets = (random_ids(2, 13, vocab_size=vocab_size, seed=seed) for seed in (2, 3))
    # Sums in another order, of logits up to about 30 and over nine layers.
    torch.testing.assert_close(model(ids), other(ids).logits, atol=5e-5, rtol=2e-5)
    next_token_loss(model, ids, targets, reduction="mean").backward()
    F.cross_entropy(other(ids).logits.flatten(0, 1), targets.flatten()).backward()
    theirs = dict(other.named_parameters())
    for name, weight in model.named_parameters():
        torch.testing.assert_close(weight.grad, theirs[name].grad, atol=1e-5, rtol=1e-3, msg=name)


@pytest.mark.parametrize("layout", ["qwen3, tied", "llama, untied"])
def test_greedy_text_of_padded_prompts(make_model, random_ids, shape, layout) -> None:
    model = make_model(**shape, **LAYOUTS[layout])
    vocab_size = model.config.vocab_size
    prompts = [random_ids(length, vocab_size=vocab_size, seed=length).tolist() for length in (9, 2, 5)]
    width = max(map(len, prompts))
    ids = torch.tensor([[0] * (width - len(row)) + row for row in prompts])
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in prompts])
    output = hugging_face(model).generate(
        ids, attention_mask=mask, max_new_tokens=14, do_sample=False, pad_token_id=0, eos_token_id=None
    )
    assert output[:, width:].tolist() == generate(model, prompts, 14, temperature=0)


@torch.no_grad()
def test_a_cache_and_whole_texts_agree(make_model, random_ids, shape) -> None:
    model = make_model(**shape)
    ids = random_ids(2, 11, vocab_size=model.config.vocab_size)
    cache = KVCache(model.config, batch=2)
    parts = [model(ids[:, start:stop], cache=cache) for start, stop in pairwise((0, 4, 5, 6, 9, 11))]
    torch.testing.assert_close(torch.cat(parts, dim=1), model(ids), atol=5e-5, rtol=2e-5)


@torch.no_grad()
def test_a_score_is_that_of_a_classifier(make_model, random_ids, shape) -> None:
    model = RewardModel.from_body(make_model(**shape), generator=5).eval()
    ids = random_ids(3, 9, vocab_size=model.config.vocab_size)
    other = hugging_face(model, CLASSIFIER)
    other.config.pad_token_id = None
    theirs = torch.cat([other(row[None]).logits[0] for row in ids])
    torch.testing.assert_close(model(ids), theirs, atol=2e-5, rtol=2e-5)


def test_parameters_are_counted(shape) -> None:
    for layout in LAYOUTS.values():
        config = GPTConfig(**{"vocab_size": 53, "context_length": 24} | shape, **layout)
        assert n_parameters(config) == GPT(config).n_parameters


@pytest.mark.parametrize("name", OTHER_WIDTHS)
def test_heads_of_another_width_are_read_saved_adapted_and_looked_into(
    make_model, random_ids, tmp_path, name
) -> None:
    model = make_model(**SHAPES[name])
    config, ids = model.config, random_ids(2, 7)
    hugging_face(model).save_pretrained(tmp_path / "theirs")
    ours = GPT.from_pretrained(tmp_path / "theirs")
    assert ours.config == config
    again = GPT.from_pretrained(ours.save_pretrained(tmp_path / "ours"))
    for loaded in (ours, again):
        assert torch.equal(loaded(ids), model(ids))
    weights = attention_weights(model, ids)
    assert weights.shape == (config.n_layer, 2, config.n_head, 7, 7)
    width = config.n_head * config.head_dim
    assert trace(model, ids)["layers.0.self_attn.mix"].shape == (2, 7, width)
    with without_heads(model, [(0, 1)]):
        silenced = model(ids)
    apply_lora(again, LoRAConfig(rank=2, alpha=4.0))
    assert torch.equal(again(ids), model(ids)) and not torch.allclose(silenced, model(ids))
    q_proj = again.model.layers[0].self_attn.q_proj
    assert q_proj.lora_B["default"].shape == (width, 2)


@pytest.mark.parametrize("name", OTHER_WIDTHS)
@torch.no_grad()
def test_the_copy_friendly_start_fits_every_shape(name) -> None:
    """Each key head of a later layer writes half of what it reads, shared among its query heads."""
    model = GPT(GPTConfig(**{"vocab_size": 53, "context_length": 24} | SHAPES[name]))
    copy_friendly_start(model)
    assert all(bool(weight.isfinite().all()) for weight in model.parameters())
    config, attention = model.config, model.model.layers[1].self_attn
    group = config.n_head // config.n_kv_head
    values = attention.v_proj.weight.unflatten(0, (config.n_kv_head, -1))
    written = attention.o_proj.weight.unflatten(1, (config.n_kv_head, group, -1)).sum(2)  # of a key head
    for head in range(config.n_kv_head):
        sizes = torch.linalg.svdvals(written[:, head] @ values[head])
        rank = min(config.d_model, config.head_dim)
        assert sizes[0] <= 0.5 + 1e-5 and bool((sizes[rank:] < 1e-5).all())


def test_published_shapes_with_wide_heads() -> None:
    """The numbers of parameters are those of transformers' models of the published configurations."""
    common = {"vocab_size": 151_936, "rms_norm_eps": 1e-6, "max_position_embeddings": 40_960, "head_dim": 128}
    sizes = {
        "0.6B": (1024, 3072, 28, 16, 8, True),
        "4B": (2560, 9728, 36, 32, 8, True),
        "32B": (5120, 25_600, 64, 64, 8, False),
    }
    for name, (width, inner, layers, heads, kv_heads, tied) in sizes.items():
        theirs = transformers.Qwen3Config(
            hidden_size=width,
            intermediate_size=inner,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            num_key_value_heads=kv_heads,
            tie_word_embeddings=tied,
            **common,
        )
        config = config_from_json(theirs.to_dict())
        assert config.head_width == 128 and config.d_model == width, name
        with torch.device("meta"):
            other = transformers.Qwen3ForCausalLM(theirs)
        assert n_parameters(config) == sum(weight.numel() for weight in other.parameters()), name


def test_the_usual_width_is_not_written_down() -> None:
    usual = GPTConfig(53, n_head=4, d_model=24)
    assert usual.head_dim is None and usual.head_width == 6
    content = config_to_json(usual)
    assert content["head_dim"] == 6 and config_from_json(content) == usual
    named = GPTConfig(53, n_head=4, d_model=24, head_dim=6)
    assert config_to_json(named) == content
    del content["head_dim"]  # Hugging Face takes 128 for a Qwen3 model that does not tell
    assert config_from_json(content).head_width == transformers.Qwen3Config().head_dim
