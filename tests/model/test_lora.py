"""LoRA against PEFT on one model, and its own promises: nothing changes at first, the base stays, merging is exact."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from minillm.model.adapters import load_adapter, save_adapter
from minillm.model.gpt import GPT, GPTConfig, next_token_loss
from minillm.model.lora import (
    LINEAR_LAYERS,
    LoRAConfig,
    LoRALinear,
    active_adapter,
    adapted_layers,
    adapter_names,
    apply_lora,
    delete_adapter,
    load_lora_state_dict,
    lora_linear,
    lora_state_dict,
    merge_lora,
    merged_state_dict,
    n_lora_parameters,
    remove_lora,
    set_adapter,
    unmerge_lora,
    without_adapter,
)

SHAPE = GPTConfig(
    vocab_size=31, context_length=16, n_layer=2, n_head=4, n_kv_head=2, d_model=24, d_ff=40, qk_norm=False
)
IDS = torch.tensor([[3, 1, 4, 1, 5], [9, 2, 6, 5, 30]])
TARGETS = [(name,) for name in LINEAR_LAYERS] + [
    ("q_proj", "v_proj"),
    ("q_proj", "k_proj", "v_proj", "o_proj"),
    ("gate_proj", "up_proj", "down_proj"),
    LINEAR_LAYERS,
]


def make_model(seed: int = 0, **changes) -> GPT:
    model = GPT(GPTConfig(**{**SHAPE.__dict__, **changes}), seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():  # no weight is zero or one, so that nothing can hide
        for weight in model.parameters():
            weight.copy_(0.2 * torch.randn(weight.shape, generator=generator))
    return model.eval()


def fill(model: nn.Module, adapter: str = "default", seed: int = 1) -> None:
    """Give an adapter random matrices, B too."""
    generator = torch.Generator().manual_seed(seed)
    state = lora_state_dict(model, adapter)
    load_lora_state_dict(
        model, {name: 0.1 * torch.randn(m.shape, generator=generator) for name, m in state.items()}, adapter
    )


def adapted(config: LoRAConfig | None = None, **changes) -> GPT:
    model = apply_lora(make_model(**changes), config or LoRAConfig(rank=3, alpha=6))
    fill(model)
    return model


@pytest.mark.parametrize("rank", [1, 8, 64])
@pytest.mark.parametrize("targets", TARGETS, ids="+".join)
def test_logits_and_gradients_are_those_of_peft(targets, rank):
    peft = pytest.importorskip("peft")
    transformers = pytest.importorskip("transformers")
    plain = make_model().double()
    theirs = transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=31, hidden_size=24, intermediate_size=40, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, max_position_embeddings=16, rms_norm_eps=SHAPE.norm_eps,
            rope_theta=SHAPE.rope_theta, tie_word_embeddings=True,
        )
    ).double()  # fmt: skip
    theirs.load_state_dict(plain.state_dict(), strict=False)
    theirs = peft.get_peft_model(
        theirs, peft.LoraConfig(r=rank, lora_alpha=32, target_modules=list(targets), lora_dropout=0.0)
    )
    ours = apply_lora(plain, LoRAConfig(rank=rank, alpha=32, targets=targets))
    fill(ours)
    state = {f"base_model.model.{name}": matrix for name, matrix in lora_state_dict(ours).items()}
    found = peft.set_peft_model_state_dict(theirs, state)
    assert not found.unexpected_keys
    logits = theirs(IDS).logits
    torch.testing.assert_close(ours(IDS), logits, atol=1e-6, rtol=1e-6)

    next_token_loss(ours, IDS[:, :-1], IDS[:, 1:], reduction="mean").backward()
    nn.functional.cross_entropy(theirs(IDS[:, :-1]).logits.flatten(0, 1), IDS[:, 1:].flatten()).backward()
    gradients = {
        name.removeprefix("base_model.model.").replace(".default", ""): weight.grad
        for name, weight in theirs.named_parameters()
        if weight.requires_grad
    }
    own = {
        f"{path}.lora_{letter}.weight": getattr(layer, f"lora_{letter}")["default"].grad
        for path, layer in adapted_layers(ours)
        for letter in "AB"
    }
    assert own.keys() == gradients.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(own[name], gradient, atol=1e-6, rtol=1e-6)


def test_nothing_changes_before_training():
    model = make_model()
    before = model(IDS)
    apply_lora(model, LoRAConfig(rank=4))
    assert torch.equal(model(IDS), before)
    assert all(bool(layer.lora_A["default"].any()) for _, layer in adapted_layers(model))
    assert not any(bool(layer.lora_B["default"].any()) for _, layer in adapted_layers(model))


def test_the_product_is_scaled_by_alpha_over_rank():
    generator = torch.Generator().manual_seed(0)
    x, weight, a, b = (
        torch.randn(shape, generator=generator, dtype=torch.float64)
        for shape in ((2, 5, 7), (4, 7), (3, 7), (4, 3))
    )
    whole = weight + 12 / 3 * b @ a
    torch.testing.assert_close(lora_linear(x, weight, a, b, LoRAConfig(3, 12).scaling), x @ whole.T)


def test_only_the_adapter_learns():
    model = adapted()
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.1)
    next_token_loss(model, IDS[:, :-1], IDS[:, 1:]).backward()
    optimizer.step()
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, before[name]) == (".lora_" not in name), name
    assert model.n_trainable == n_lora_parameters(model)
    assert model.n_parameters == GPT(SHAPE).n_parameters + model.n_trainable


def test_the_number_of_parameters_is_the_formula():
    model = apply_lora(make_model(), LoRAConfig(rank=3, targets=("v_proj", "down_proj")))
    assert n_lora_parameters(model) == 2 * 3 * ((24 + 12) + (40 + 24))  # layers x rank x (inputs + outputs)


@pytest.mark.parametrize("qk_norm", [False, True])
def test_merged_is_base_plus_delta_and_unmerging_goes_back(qk_norm):
    model = adapted(qk_norm=qk_norm).double()
    logits = model(IDS)
    with without_adapter(model):
        plain = model(IDS)
    assert (logits - plain).abs().max() > 0.1, "the adapter does something"
    weights = {path: layer.weight.clone() for path, layer in adapted_layers(model)}
    merge_lora(model)
    torch.testing.assert_close(model(IDS), logits)
    for path, layer in adapted_layers(model):
        delta = 2.0 * layer.lora_B["default"] @ layer.lora_A["default"]
        torch.testing.assert_close(layer.weight, weights[path] + delta)
    unmerge_lora(model)
    torch.testing.assert_close(model(IDS), logits)
    set_adapter(model, None)
    torch.testing.assert_close(model(IDS), plain)


def test_a_merged_model_without_its_adapter_is_a_plain_model(tmp_path):
    model = adapted()
    logits = model(IDS)
    remove_lora(merge_lora(model))
    assert model.state_dict().keys() == GPT(SHAPE).state_dict().keys()
    assert not list(adapted_layers(model)) and model.n_trainable == model.n_parameters
    torch.testing.assert_close(model(IDS), logits)


def test_save_pretrained_writes_what_the_model_computes(tmp_path):
    model = adapted()
    model.save_pretrained(tmp_path)
    torch.testing.assert_close(GPT.from_pretrained(tmp_path)(IDS), model(IDS), atol=1e-5, rtol=1e-5)
    assert active_adapter(model) == "default" and model.state_dict().keys() != GPT(SHAPE).state_dict().keys()
    merge_lora(model)
    assert torch.equal(merged_state_dict(model)["model.layers.0.self_attn.q_proj.weight"],
                       model.model.layers[0].self_attn.q_proj.weight)  # fmt: skip


def test_adapters_are_kept_apart():
    model = adapted(LoRAConfig(rank=3, targets=("q_proj",)))
    first = model(IDS)
    apply_lora(model, LoRAConfig(rank=5, targets=("v_proj", "down_proj")), "second", generator=7)
    fill(model, "second", seed=2)
    second = model(IDS)
    assert adapter_names(model) == ["default", "second"] and active_adapter(model) == "second"
    set_adapter(model, "default")
    assert torch.equal(model(IDS), first)
    trainable = [name for name, weight in model.named_parameters() if weight.requires_grad]
    assert trainable and all(name.endswith(".default") for name in trainable)
    set_adapter(model, "second")
    assert torch.equal(model(IDS), second)
    assert all(".v_proj" in name or ".down_proj" in name for name in lora_state_dict(model, "second"))
    delete_adapter(model, "second")
    assert adapter_names(model) == ["default"]
    assert torch.equal(model(IDS), make_model()(IDS))


def test_dropout_is_for_training_only():
    model = adapted(LoRAConfig(rank=3, alpha=6, dropout=0.5))
    assert torch.equal(model(IDS), model(IDS))
    model.train()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        assert not torch.equal(model(IDS), model(IDS))
    with without_adapter(model):
        assert torch.equal(model(IDS), model(IDS)), "the base has no dropout"


def test_a_layer_with_a_bias_keeps_it():
    layers = apply_lora(nn.Sequential(nn.Linear(3, 5)), LoRAConfig(rank=2, targets=("0",)))
    fill(layers)
    layer, x = layers[0], torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(layers(x), x @ (layer.weight + layer.delta("default")).T + layer.bias)


def test_the_seed_decides_a():
    states = [lora_state_dict(apply_lora(make_model(), LoRAConfig(2), generator=s)) for s in (0, 0, 1)]
    name = "model.layers.1.mlp.up_proj.lora_A.weight"
    assert torch.equal(states[0][name], states[1][name]) and not torch.equal(states[0][name], states[2][name])


def test_files_are_those_of_peft(tmp_path):
    peft, transformers = pytest.importorskip("peft"), pytest.importorskip("transformers")
    plain = make_model()
    plain.save_pretrained(tmp_path / "base")
    model = apply_lora(plain, LoRAConfig(rank=3, alpha=7, targets=("q_proj", "down_proj")))
    fill(model)
    save_adapter(model, tmp_path / "adapter", base=str(tmp_path / "base"))
    base = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "base", dtype=torch.float32)
    theirs = peft.PeftModel.from_pretrained(base, tmp_path / "adapter").eval()
    torch.testing.assert_close(model(IDS), theirs(IDS).logits, atol=1e-5, rtol=1e-5)
    theirs.save_pretrained(tmp_path / "theirs")
    ours = load_adapter(GPT.from_pretrained(tmp_path / "base"), tmp_path / "theirs", "back").eval()
    torch.testing.assert_close(ours(IDS), model(IDS), atol=1e-6, rtol=1e-6)
    assert adapter_names(ours) == ["back"]


def test_an_adapter_that_does_not_fit_leaves_the_model_as_it_was(tmp_path):
    save_adapter(adapted(), tmp_path)
    other = make_model(d_model=48)
    before = other(IDS)
    with pytest.raises(
        ValueError, match="does not fit the model: model.layers.0.mlp.down_proj.lora_B.weight"
    ):
        load_adapter(other, tmp_path)
    assert adapter_names(other) == [] and torch.equal(other(IDS), before)
    assert all(weight.requires_grad for weight in other.parameters())
    (tmp_path / "adapter_model.safetensors").write_bytes(b"nonsense")
    with pytest.raises(ValueError, match="missing, damaged or not a safetensors file"):
        load_adapter(make_model(), tmp_path)
    with pytest.raises(ValueError, match="holds no adapter_config.json"):
        load_adapter(make_model(), tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("peft_type", "IA3", "only peft_type 'LORA'"),
        ("use_dora", True, "use_dora=True; only False"),
        ("bias", "all", "bias='all'; only 'none'"),
        ("init_lora_weights", "pissa", "init_lora_weights='pissa'; only True"),  # belongs to a changed base
        (
            "alora_invocation_tokens",
            [1, 2],
            "alora_invocation_tokens=.*; only None",
        ),  # works after some tokens only
        ("target_modules", "all-linear", "only a list of names"),
        ("r", 0, "rank is 0"),
        ("r", "8", "rank is '8'; use a whole number"),
    ],
)
def test_other_kinds_of_adapters_are_refused(tmp_path, key, value, told):
    import json

    save_adapter(adapted(), tmp_path)
    path = tmp_path / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | {key: value}), encoding="utf-8")
    with pytest.raises(ValueError, match=told):
        load_adapter(make_model(), tmp_path)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"rank": 0}, "rank is 0; use a whole number of at least 1"),
        ({"rank": 2.0}, "rank is 2.0"),
        ({"alpha": 0}, "alpha is 0; use a finite number above 0"),
        ({"dropout": 1.0}, "dropout is 1.0; use a number of at least 0 and below 1"),
        ({"targets": ()}, "targets is \\(\\); give names"),
        ({"targets": "q_proj"}, "targets is 'q_proj'; give names"),
    ],
)
def test_wrong_settings_are_told(settings, told):
    with pytest.raises((ValueError, TypeError), match=told):
        LoRAConfig(**settings)


def test_wrong_uses_are_told():
    with pytest.raises(ValueError, match="no linear layer 'proj'; its linear layers are q_proj, k_proj"):
        apply_lora(make_model(), LoRAConfig(targets=("proj",)))
    model = adapted()
    with pytest.raises(ValueError, match="has an adapter 'default' already"):
        apply_lora(model, LoRAConfig())
    with pytest.raises(ValueError, match="without a dot"):
        apply_lora(model, LoRAConfig(), "a.b")
    with pytest.raises(ValueError, match="no adapter 'other'; it has default"):
        lora_state_dict(model, "other")
    with pytest.raises(ValueError, match="none can be merged"):
        merge_lora(make_model())
    with pytest.raises(ValueError, match="no adapter is merged"):
        unmerge_lora(model)
    merge_lora(model)
    with pytest.raises(ValueError, match="'default' is merged into the weights; call unmerge_lora first"):
        set_adapter(model, None)
    assert isinstance(model.model.layers[0].mlp.up_proj, LoRALinear)


def test_an_adapter_of_the_head_is_heard():
    """Regression: the model computed without it, and was merged and saved with it."""
    model = apply_lora(GPT(replace(SHAPE, tie_embeddings=False), 1), LoRAConfig(targets=("lm_head",)))
    plain = model(IDS)
    next_token_loss(model, IDS[:, :-1], IDS[:, 1:]).backward()
    assert model.lm_head.lora_B["default"].grad.abs().max() > 0
    model.lm_head.lora_B["default"].data.fill_(0.1)
    adapted = model(IDS)
    assert (adapted - plain).abs().max() > 0.01
    with without_adapter(model):
        assert torch.equal(model(IDS), plain)
    torch.testing.assert_close(merge_lora(model)(IDS), adapted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["copy", "training", "type"])
def test_names_that_torch_has_taken_are_refused_before_anything_changes(name):
    model = GPT(SHAPE, 1)
    with pytest.raises(ValueError, match=f"adapter is '{name}', which means something else to torch"):
        apply_lora(model, LoRAConfig(), name)
    assert all(weight.requires_grad for weight in model.parameters()) and adapter_names(model) == []
