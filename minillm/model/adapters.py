"""Adapters in files, in the form that Hugging Face's PEFT reads and writes: a small file beside a large model."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import safetensors
import safetensors.torch
from torch import nn

from minillm.files import read_json, write_atomic, write_json
from minillm.model.lora import (
    DEFAULT_ADAPTER,
    LoRAConfig,
    active_adapter,
    adapted_layers,
    apply_lora,
    delete_adapter,
    load_lora_state_dict,
    lora_state_dict,
    set_adapter,
)

__all__ = ["ADAPTER_CONFIG", "ADAPTER_WEIGHTS", "load_adapter", "save_adapter"]

ADAPTER_CONFIG, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_PREFIX = "base_model.model."  # of PEFT's names
Model = TypeVar("Model", bound=nn.Module)

# What PEFT can do beside, and an adapter of ours does not have: the values that mean it is not used. Some ways to start
# (PiSSA, OLoRA, CorDA, ...) change the base model, so that their adapter belongs to another one than it names.
_PLAIN = {
    "use_dora": (False, None),
    "use_rslora": (False, None),
    "bias": ("none", None),
    "rank_pattern": ({}, None),
    "alpha_pattern": ({}, None),
    "modules_to_save": (None, []),
    "fan_in_fan_out": (False, None),
    "init_lora_weights": (True, False, "gaussian", None),
    **{
        name: (None, False, {}, [])
        for name in (
            "alora_invocation_tokens",
            "arrow_config",
            "kasa_config",
            "monteclora_config",
            "target_parameters",
            "trainable_token_indices",
            "use_bdlora",
            "use_qalora",
            "velora_config",
        )
    },
}


def save_adapter(
    model: nn.Module, directory: str | Path, adapter: str = DEFAULT_ADAPTER, base: str | None = None
) -> Path:
    """Write one adapter as `adapter_config.json` and `adapter_model.safetensors`, each atomically.

    Args:
        model: has the adapter.
        directory: gets the files.
        adapter: its name.
        base: name or folder of the model without it, for whoever loads it.

    Raises:
        ValueError: there is no adapter of that name.
    """
    directory = Path(directory)
    state = lora_state_dict(model, adapter)
    config = next(layer.configs[adapter] for _, layer in adapted_layers(model) if adapter in layer.configs)
    tensors = {_PREFIX + name: matrix.cpu().contiguous() for name, matrix in state.items()}
    write_atomic(directory / ADAPTER_WEIGHTS, safetensors.torch.save(tensors, metadata={"format": "pt"}))
    write_json(directory / ADAPTER_CONFIG, _to_json(config, base))
    return directory


def _to_json(config: LoRAConfig, base: str | None) -> dict[str, Any]:
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": config.rank,
        "lora_alpha": config.alpha,
        "lora_dropout": config.dropout,
        "target_modules": list(config.targets),
        "bias": "none",
        "fan_in_fan_out": False,
        "use_rslora": False,
        "use_dora": False,
        "inference_mode": True,
    }


def load_adapter(model: Model, directory: str | Path, adapter: str = DEFAULT_ADAPTER) -> Model:
    """Put an adapter that `save_adapter` or PEFT wrote beside a model, as the active one.

    Raises:
        ValueError: a file is missing or damaged, the adapter is of a kind that `LoRALinear` is not, or it does not
            fit the model; the model is left as it was.
    """
    directory = Path(directory)
    config = _read_config(directory / ADAPTER_CONFIG)
    path = directory / ADAPTER_WEIGHTS
    try:
        tensors = safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError, ValueError, KeyError) as error:
        raise ValueError(f"{path} is missing, damaged or not a safetensors file; restore it") from error
    state = {name.removeprefix(_PREFIX): matrix for name, matrix in tensors.items()}
    active, learned = active_adapter(model), [weight.requires_grad for weight in model.parameters()]
    apply_lora(model, config, adapter)
    try:
        load_lora_state_dict(model, state, adapter)
    except ValueError as error:
        set_adapter(delete_adapter(model, adapter), active)
        for weight, learns in zip(model.parameters(), learned, strict=True):
            weight.requires_grad_(learns)
        raise ValueError(f"{path}: {error}") from None
    return model


def _read_config(path: Path) -> LoRAConfig:
    if not path.is_file():
        raise ValueError(f"{path.parent} holds no {path.name}; give the folder of an adapter")
    content = read_json(path)
    if not isinstance(content, dict) or content.get("peft_type") != "LORA":
        raise ValueError(f"{path} describes no LoRA adapter; only peft_type 'LORA' can be loaded")
    for key, allowed in _PLAIN.items():
        if content.get(key, allowed[0]) not in allowed:
            raise ValueError(f"{path} has {key}={content[key]!r}; only {allowed[0]!r} can be loaded")
    targets = content.get("target_modules")
    if not isinstance(targets, list):
        raise ValueError(f"{path} has target_modules={targets!r}; only a list of names can be loaded")
    try:
        return LoRAConfig(
            content["r"], content["lora_alpha"], content.get("lora_dropout", 0.0), tuple(sorted(targets))
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is no configuration of a LoRA adapter: {error}") from error
