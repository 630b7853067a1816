from __future__ import annotations

import json
from pathlib import Path

import pytest
import safetensors.torch
import torch

from minillm.model.gpt import GPT, GPTConfig
from minillm.model.pretrained import FORMAT_VERSION, config_from_json, config_to_json

transformers = pytest.importorskip("transformers")


@pytest.fixture
def folder(make_model, tmp_path: Path) -> Path:
    """Return a folder with a saved model."""
    return make_model().save_pretrained(tmp_path / "model")


@pytest.mark.parametrize("qk_norm", [True, False])
@pytest.mark.parametrize("tie_embeddings", [True, False])
def test_round_trip(make_model, tmp_path: Path, qk_norm: bool, tie_embeddings: bool) -> None:
    model = make_model(qk_norm=qk_norm, tie_embeddings=tie_embeddings, rope_theta=77.5, norm_eps=1e-4)
    loaded = GPT.from_pretrained(model.save_pretrained(tmp_path))
    assert loaded.config == model.config
    ours, theirs = model.state_dict(), loaded.state_dict()
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["config.json", "model.safetensors"]


@pytest.mark.parametrize("qk_norm", [True, False])
@pytest.mark.parametrize("tie_embeddings", [True, False])
def test_transformers_loads_the_folder(make_model, random_ids, tmp_path, qk_norm, tie_embeddings) -> None:
    model = make_model(qk_norm=qk_norm, tie_embeddings=tie_embeddings, rope_theta=77.5, norm_eps=1e-4)
    model.save_pretrained(tmp_path)
    other, report = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, output_loading_info=True)
    assert type(other).__name__ == ("Qwen3ForCausalLM" if qk_norm else "LlamaForCausalLM")
    assert not report["missing_keys"] and not report["unexpected_keys"]
    with torch.no_grad():
        torch.testing.assert_close(
            model(random_ids(2, 17)), other(random_ids(2, 17)).logits, atol=1e-5, rtol=1e-5
        )


@pytest.mark.parametrize("qk_norm", [True, False])
@pytest.mark.parametrize("tie_embeddings", [True, False])
def test_a_folder_of_transformers_loads(make_model, random_ids, tmp_path, qk_norm, tie_embeddings) -> None:
    model = make_model(qk_norm=qk_norm, tie_embeddings=tie_embeddings, rope_theta=77.5)
    model.save_pretrained(tmp_path / "ours")
    other = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "ours")
    other.save_pretrained(tmp_path / "theirs")
    loaded = GPT.from_pretrained(tmp_path / "theirs")
    assert loaded.config == model.config
    assert torch.equal(loaded(random_ids(1, 9)), model(random_ids(1, 9)))


@pytest.mark.parametrize("kind", ["Llama", "Qwen3"])
@pytest.mark.parametrize("n_kv_head", [4, 2, 1])
@pytest.mark.parametrize("tied", [True, False])
def test_a_model_made_by_transformers_loads_from_several_files(
    random_ids, tmp_path, kind: str, n_kv_head: int, tied: bool
) -> None:
    config = getattr(transformers, f"{kind}Config")(
        vocab_size=53,
        max_position_embeddings=24,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=n_kv_head,
        hidden_size=24,
        head_dim=6,
        intermediate_size=40,
        tie_word_embeddings=tied,
    )
    with torch.random.fork_rng():
        torch.manual_seed(5)
        other = getattr(transformers, f"{kind}ForCausalLM")(config).eval()
    other.save_pretrained(tmp_path, max_shard_size="10KB")
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 1
    loaded = GPT.from_pretrained(tmp_path).eval()
    assert (loaded.lm_head is None) == tied
    ids = random_ids(2, 17)
    with torch.no_grad():
        torch.testing.assert_close(loaded(ids), other(ids).logits, atol=1e-5, rtol=1e-5)


def split(folder: Path) -> dict:
    """Cut the weights of a folder into two files, and return the index."""
    weights = safetensors.torch.load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = {name: f"part-{number % 2}.safetensors" for number, name in enumerate(weights)}
    for file in set(names.values()):
        part = {name: weight for name, weight in weights.items() if names[name] == file}
        safetensors.torch.save_file(part, folder / file)
    index = {"metadata": {}, "weight_map": names}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    return index


def test_several_files_give_the_same_weights(folder: Path) -> None:
    whole = GPT.from_pretrained(folder).state_dict()
    split(folder)
    parts = GPT.from_pretrained(folder).state_dict()
    assert all(torch.equal(parts[name], whole[name]) for name in whole)


@pytest.mark.parametrize(
    "name",
    ["../part-0.safetensors", "/etc/part-0.safetensors", "a\\part-0.safetensors", "part-0.bin", "..", ""],
)
def test_an_index_may_name_only_weights_beside_it(folder: Path, name: str) -> None:
    index = split(folder)
    index["weight_map"]["model.norm.weight"] = name
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    with pytest.raises(ValueError, match="only .safetensors files beside it are read") as error:
        GPT.from_pretrained(folder)
    assert repr(name) in str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "has no weight_map of weights to files; restore it"),
        ('{"weight_map": {"a": 3}}', "has no weight_map"),
        ('{"weight_map": {"a": "part-7.safetensors"}}', "holds no part-7.safetensors; give the folder that"),
        ('{"weight_map": {"a": "part-0.safetensors"}}', "lack a (1 missing in all); restore them"),
        ('{"weight_map": {}}', "0 weights are too few for 3 layers; restore both files together"),
        ("{", "not valid JSON"),
    ],
)
def test_a_damaged_index(folder: Path, content: str, message: str) -> None:
    split(folder)
    (folder / "model.safetensors.index.json").write_text(content, encoding="utf-8")
    with pytest.raises(ValueError) as error:
        GPT.from_pretrained(folder)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_older_spellings_of_the_configuration() -> None:
    content = config_to_json(GPTConfig(30, qk_norm=False, rope_theta=123.0))
    del content["rope_parameters"], content["minillm_format"], content["head_dim"]
    content["rope_scaling"] = None
    assert config_from_json(content).rope_theta == 123.0


def edit(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **changes}), encoding="utf-8")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"minillm_format": FORMAT_VERSION + 1},
            f"is of format {FORMAT_VERSION + 1}, this minillm reads formats 1 to",
        ),
        ({"minillm_format": "x"}, "is of format 'x'"),
        ({"model_type": "gpt2"}, "has model_type 'gpt2'; only llama, qwen3 can be loaded"),
        ({"attention_bias": True}, "has attention_bias=True; only False can be loaded"),
        ({"hidden_act": "gelu"}, "has hidden_act='gelu'; only 'silu' can be loaded"),
        ({"head_dim": 8}, "k_norm.weight is (6,) in the file and (8,) in the model (18 such weights)"),
        ({"head_dim": 7}, "head_dim=7 is odd, and rotary positions turn pairs; choose an even one"),
        ({"head_dim": "6"}, "head_dim is '6'; use a whole number"),
        ({"head_dim": 0}, "head_dim is 0; use a whole number of at least 1"),
        ({"rope_parameters": {"rope_type": "yarn"}}, "asks for rotary positions of type 'yarn'"),
        ({"num_hidden_layers": 0}, "n_layer is 0; use a whole number of at least 1"),
        ({"hidden_size": "24"}, "d_model is '24'; use a whole number"),
        ({"num_attention_heads": None}, "n_head is None; use a whole number"),
        (
            {"vocab_size": 60},
            "embed_tokens.weight is (53, 24) in the file and (60, 24) in the model (1 such weights)",
        ),
        ({"num_hidden_layers": 2}, "is (24,) in the file and absent in the model (11 such weights)"),
        ({"num_hidden_layers": 4}, "is missing in the file and (24,) in the model (11 such weights)"),
        ({"model_type": "llama"}, "_norm.weight is (6,) in the file and absent in the model"),
    ],
)
def test_a_configuration_that_cannot_be_loaded(folder: Path, changes: dict, message: str) -> None:
    edit(folder, **changes)
    with pytest.raises(ValueError) as error:
        GPT.from_pretrained(folder)
    assert message in str(error.value)
    assert str(folder) in str(error.value)
    assert "\n" not in str(error.value)


def damaged_weights(kind: str, good: bytes) -> bytes:
    return {
        "truncated": good[: len(good) // 2],
        "empty": b"",
        "no header": b"PK\x03\x04 a pickle in a zip",
        "huge header": (10**15).to_bytes(8, "little") + good[8:],
    }[kind]


@pytest.mark.parametrize("kind", ["truncated", "empty", "no header", "huge header"])
def test_damaged_weights(folder: Path, kind: str) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(damaged_weights(kind, path.read_bytes()))
    with pytest.raises(
        ValueError, match=r"is damaged or not a safetensors file \(.*\); restore it, or delete the folder"
    ) as error:
        GPT.from_pretrained(folder)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"model_type": "qw', "not valid JSON"),
        (b"[1, 2]", "holds a list"),
        (b"{}", "model_type None"),
        (b"\xff", "JSON"),
    ],
)
def test_damaged_configuration(folder: Path, content: bytes, message: str) -> None:
    (folder / "config.json").write_bytes(content)
    with pytest.raises(ValueError, match=message) as error:
        GPT.from_pretrained(folder)
    assert "\n" not in str(error.value)


def test_missing_keys_are_named(folder: Path) -> None:
    content = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    del content["hidden_size"], content["rms_norm_eps"]
    (folder / "config.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(
        ValueError, match="lacks hidden_size, rms_norm_eps; write it again with save_pretrained"
    ):
        GPT.from_pretrained(folder)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_missing_file(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(ValueError, match=f"holds no {name}; give the folder that save_pretrained wrote"):
        GPT.from_pretrained(folder)


def test_pickled_weights_are_never_read(folder: Path) -> None:
    weights = safetensors.torch.load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(weights, folder / "pytorch_model.bin")
    with pytest.raises(ValueError, match="holds no model.safetensors"):
        GPT.from_pretrained(folder)


def test_weights_in_half_precision_are_read_as_float32(folder: Path) -> None:
    weights = safetensors.torch.load_file(folder / "model.safetensors")
    safetensors.torch.save_file(
        {name: w.bfloat16() for name, w in weights.items()}, folder / "model.safetensors"
    )
    loaded = GPT.from_pretrained(folder)
    assert loaded.head_weight.dtype == torch.float32
    assert torch.equal(loaded.head_weight, weights["model.embed_tokens.weight"].bfloat16().float())
