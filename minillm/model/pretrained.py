"""Model folders: `config.json` and `model.safetensors`, in the form that Hugging Face's tools read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from minillm.files import read_json, write_atomic, write_json
from minillm.model.config import GPTConfig

__all__ = [
    "CLASSIFIER",
    "FORMAT_VERSION",
    "LANGUAGE_MODEL",
    "config_from_json",
    "config_to_json",
    "is_reward_model",
    "read_config",
    "read_model",
    "write_model",
]

Model = TypeVar("Model", bound=nn.Module)
FORMAT_VERSION = 1  # of the folder; raised when an older reader would misread it
_VERSION_KEY = "minillm_format"
_WEIGHTS, _INDEX = "model.safetensors", "model.safetensors.index.json"
LANGUAGE_MODEL, CLASSIFIER = "ForCausalLM", "ForSequenceClassification"  # what Hugging Face calls them
_LAYOUTS = {"llama": "Llama", "qwen3": "Qwen3"}
_NAMES = {  # GPTConfig field -> key in config.json
    "vocab_size": "vocab_size",
    "context_length": "max_position_embeddings",
    "n_layer": "num_hidden_layers",
    "n_head": "num_attention_heads",
    "n_kv_head": "num_key_value_heads",
    "d_model": "hidden_size",
    "d_ff": "intermediate_size",
    "norm_eps": "rms_norm_eps",
    "tie_embeddings": "tie_word_embeddings",
}
_HEAD_DIM_UNTOLD = {"qwen3": 128}  # Hugging Face's default where config.json has none; Llama's is ours
_FIXED = {"hidden_act": "silu", "attention_bias": False, "mlp_bias": False, "use_sliding_window": False}


def config_to_json(
    config: GPTConfig, kind: str = LANGUAGE_MODEL, token_ids: Mapping[str, int] | None = None
) -> dict[str, Any]:
    """The content of `config.json`: Hugging Face's keys, and the version of the format.

    `token_ids` are the control tokens under Hugging Face's names, like `eos_token_id`.
    """
    layout = "qwen3" if config.qk_norm else "llama"
    return {
        _VERSION_KEY: FORMAT_VERSION,
        "architectures": [_LAYOUTS[layout] + kind],
        "model_type": layout,
        **({"num_labels": 1} if kind == CLASSIFIER else {}),
        **{key: getattr(config, field) for field, key in _NAMES.items()},
        "head_dim": config.head_width,
        "rope_theta": config.rope_theta,
        "rope_parameters": {"rope_type": "default", "rope_theta": config.rope_theta},
        **_FIXED,
        "attention_dropout": 0.0,
        **dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id")),
        **(token_ids or {}),
        "dtype": "float32",
        "torch_dtype": "float32",
    }


def config_from_json(content: Any, source: str = "config.json") -> GPTConfig:
    """The shape that a `config.json` describes, ours or Hugging Face's for a Llama or Qwen3 model.

    Raises:
        ValueError: a newer format, another architecture, or a feature that GPT does not have.
    """
    if not isinstance(content, dict):
        raise ValueError(
            f"{source} holds a {type(content).__name__}, not the object of a model's configuration"
        )
    version = content.get(_VERSION_KEY, FORMAT_VERSION)
    if not isinstance(version, int) or not 1 <= version <= FORMAT_VERSION:
        raise ValueError(
            f"{source} is of format {version!r}, this minillm reads formats 1 to {FORMAT_VERSION}; "
            "install a newer minillm to load it"
        )
    layout = content.get("model_type")
    if not isinstance(layout, str) or layout not in _LAYOUTS:
        raise ValueError(f"{source} has model_type {layout!r}; only {', '.join(_LAYOUTS)} can be loaded")
    missing = [key for key in _NAMES.values() if key not in content]
    if missing:
        raise ValueError(f"{source} lacks {', '.join(missing)}; write it again with save_pretrained")
    rope = content.get("rope_parameters") or content.get("rope_scaling") or {}
    if not isinstance(rope, dict):
        raise ValueError(f"{source} describes rotary positions by {rope!r}; it must be an object")
    _check_features(content, rope, source)
    fields: dict[str, Any] = {field: content[key] for field, key in _NAMES.items()}
    fields["head_dim"] = content.get("head_dim", _HEAD_DIM_UNTOLD.get(layout))
    try:
        theta: Any = rope.get("rope_theta", content.get("rope_theta", 10_000.0))
        fields["rope_theta"] = float(theta)
        config = GPTConfig(**fields, qk_norm=layout == "qwen3")
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{source}: {error}") from error
    usual = config.head_dim is not None and config.head_dim * config.n_head == config.d_model
    return replace(config, head_dim=None) if usual else config


def _check_features(content: dict[str, Any], rope: dict[str, Any], source: str) -> None:
    rope_type = rope.get("rope_type", rope.get("type", "default"))
    if rope_type != "default":
        raise ValueError(
            f"{source} asks for rotary positions of type {rope_type!r}; only 'default' can be loaded"
        )
    for key, allowed in _FIXED.items():
        if content.get(key, allowed) != allowed:
            raise ValueError(f"{source} has {key}={content[key]!r}; only {allowed!r} can be loaded")


def write_model(
    directory: str | Path,
    config: GPTConfig,
    weights: Mapping[str, Tensor],
    kind: str = LANGUAGE_MODEL,
    token_ids: Mapping[str, int] | None = None,
    more: Mapping[str, Any] | None = None,
) -> Path:
    """Write `config.json`, with `more` keys where there are any, and `model.safetensors`, each atomically."""
    directory = Path(directory)
    tensors = {name: weight.detach().cpu().contiguous() for name, weight in weights.items()}
    write_atomic(directory / _WEIGHTS, safetensors.torch.save(tensors, metadata={"format": "pt"}))
    write_json(directory / "config.json", {**config_to_json(config, kind, token_ids), **(more or {})})
    return directory


def read_config(directory: str | Path, kind: str = LANGUAGE_MODEL) -> GPTConfig:
    """The shape of the model in a folder, which must be of one kind.

    Raises:
        ValueError: there is none, or it is of another kind.
    """
    path = Path(directory) / "config.json"
    if not path.is_file():
        raise ValueError(f"{directory} holds no config.json; give the folder that save_pretrained wrote")
    content = read_json(path)
    config = config_from_json(content, str(path))
    if (found := _kind(content)) != kind:
        told = {
            LANGUAGE_MODEL: "a language model",
            CLASSIFIER: "a reward model, which scores and does not write",
        }
        raise ValueError(f"{directory} holds {told[found]}; wanted is {told[kind]}")
    return config


def is_reward_model(directory: str | Path) -> bool:
    """Whether the model in a folder gives scores."""
    path = Path(directory) / "config.json"
    return path.is_file() and _kind(read_json(path)) == CLASSIFIER


def _kind(content: Any) -> str:
    architectures = content.get("architectures") if isinstance(content, dict) else None
    first = architectures[0] if isinstance(architectures, list) and architectures else ""
    return CLASSIFIER if str(first).endswith(CLASSIFIER) else LANGUAGE_MODEL


def read_model(
    directory: str | Path,
    make: Callable[[GPTConfig], Model],
    kind: str = LANGUAGE_MODEL,
    file: str = _WEIGHTS,
) -> Model:
    """Make the model in a folder, with the weights of `model.safetensors` or the files of its index.

    Args:
        directory: the folder.
        make: makes a model of a shape. It is called without memory where `config.json` asks for more than the
            weights fill, so that absurd sizes are refused before anything is allocated for them.
        kind: what the model must be.
        file: the name of other weights of the same shape, below the folder.

    Raises:
        ValueError: a file is missing or damaged, or the weights do not match the model's in name and shape.
    """
    config = read_config(directory, kind)
    path = Path(directory) / file
    index = Path(directory) / _INDEX
    if file == _WEIGHTS and not path.is_file() and index.is_file():
        path, weights = index, _read_shards(index)
    else:
        weights = _read_file(path)
    if config.n_layer > len(weights):
        raise ValueError(
            f"{path} does not fit its config.json: {len(weights)} weights are too few for {config.n_layer} layers; "
            "restore both files together"
        )
    # The device "meta" costs a second: torch loads its compiler to make tensors there.
    if config.n_matrix_weights > sum(weight.numel() for weight in weights.values()):
        with torch.device("meta"):
            _check_fit(make(config), weights, path)
    model = make(config)
    _check_fit(model, weights, path)
    model.load_state_dict(weights)
    return model


def _check_fit(model: nn.Module, weights: dict[str, Tensor], path: Path) -> None:
    """Refuse weights that do not match the model's in name and shape; drop the copy of a tied one."""
    wanted = {name: tuple(weight.shape) for name, weight in model.state_dict().items()}
    found = {name: tuple(weight.shape) for name, weight in weights.items()}
    if "lm_head.weight" in found and "lm_head.weight" not in wanted:
        del found["lm_head.weight"], weights["lm_head.weight"]
    differing = [name for name in sorted({**wanted, **found}) if wanted.get(name) != found.get(name)]
    if differing:
        name = differing[0]
        raise ValueError(
            f"{path} does not fit its config.json: {name} is {found.get(name, 'missing')} in the file and "
            f"{wanted.get(name, 'absent')} in the model ({len(differing)} such weights); restore both files together"
        )


def _read_file(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise ValueError(
            f"{path.parent} holds no {path.name}; give the folder that save_pretrained wrote, with all its files"
        )
    try:
        return safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError, ValueError, KeyError) as error:
        raise ValueError(
            f"{path} is damaged or not a safetensors file ({' '.join(str(error).split())}); "
            "restore it, or delete the folder and train again"
        ) from error


def _read_shards(index: Path) -> dict[str, Tensor]:
    """The weights of all files that an index names, which must lie beside it."""
    content = read_json(index)
    places = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(places, dict) or not all(isinstance(name, str) for name in places.values()):
        raise ValueError(f"{index} has no weight_map of weights to files; restore it")
    weights: dict[str, Tensor] = {}
    for name in sorted(set(places.values())):
        if name != Path(name).name or "\\" in name or not name.endswith(".safetensors"):
            raise ValueError(f"{index} names the file {name!r}; only .safetensors files beside it are read")
        weights |= _read_file(index.parent / name)
    if missing := sorted(set(places) - set(weights)):
        raise ValueError(
            f"the files of {index} lack {missing[0]} ({len(missing)} missing in all); restore them"
        )
    return weights
