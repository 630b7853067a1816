"""Models in the forms that other programs read; each function writes one form into a folder, every file atomically."""

from __future__ import annotations

from pathlib import Path

from minillm.export.onnx_graph import write_onnx
from minillm.files import write_json
from minillm.model.adapters import save_adapter
from minillm.model.gpt import GPT
from minillm.model.heads import RewardModel
from minillm.model.lora import DEFAULT_ADAPTER, merged_state_dict
from minillm.model.pretrained import CLASSIFIER, LANGUAGE_MODEL, config_to_json, write_model
from minillm.text.chat import save_chat_format, token_ids
from minillm.text.tokenizer import Tokenizer

__all__ = ["ONNX_MODEL", "export_hf", "export_onnx", "export_peft", "write_tokenizer"]

ONNX_MODEL = "model.onnx"


def export_hf(
    model: GPT | RewardModel,
    directory: str | Path,
    tokenizer: Tokenizer | None = None,
    *,
    chat: bool = True,
) -> Path:
    """Write a folder that transformers loads, as Llama, or with QK-norm as Qwen3; so does `GPT.from_pretrained`.

    Args:
        model: an active adapter is written into the weights; a reward model becomes a classifier with one label.
        directory: gets config.json, model.safetensors, and with a tokenizer its files, chat template included.
        tokenizer: the model's own; its control tokens are named in the configuration.
        chat: False for a model that continues a text instead of answering: it gets no chat template.

    Raises:
        ValueError: the tokenizer has more tokens than the model, or lacks a control token; a reward model that asks an
            assistant, for which transformers' classifiers have no place.
    """
    if isinstance(model, RewardModel) and model.assistant is not None:
        raise ValueError(
            "this reward model counts the assistant's surprise, for which transformers' classifiers have no place; "
            "train one without: --set reward.surprise=false"
        )
    kind = CLASSIFIER if isinstance(model, RewardModel) else LANGUAGE_MODEL
    ids = _checked_token_ids(model, tokenizer, chat)
    directory = write_model(directory, model.config, merged_state_dict(model), kind, ids)
    return write_tokenizer(model, directory, tokenizer, chat=chat)


def export_peft(
    model: GPT,
    directory: str | Path,
    tokenizer: Tokenizer | None = None,
    *,
    adapter: str = DEFAULT_ADAPTER,
    base: str | None = None,
) -> Path:
    """Write an adapter as PEFT loads it: adapter_config.json, adapter_model.safetensors, and the tokenizer's files.

    Args:
        model: carries the adapter beside its weights.
        directory: gets the files.
        tokenizer: the model's own.
        adapter: which of its adapters.
        base: name or folder of the exported model that the adapter belongs to; PEFT's Auto classes look there.

    Raises:
        ValueError: the model has no such adapter, or the tokenizer does not fit.
    """
    _checked_token_ids(model, tokenizer, chat=True)
    directory = save_adapter(model, directory, adapter, base)
    return write_tokenizer(model, directory, tokenizer)


def export_onnx(
    model: GPT, directory: str | Path, tokenizer: Tokenizer | None = None, *, chat: bool = True
) -> Path:
    """Write model.onnx, a graph with a key/value cache, and beside it config.json and the tokenizer's files.

    What the graph reads and gives is told in `minillm.export.onnx_graph`.

    Raises:
        TypeError: a reward model.
        ValueError: onnx is not installed, the model is too large for one file, or the tokenizer does not fit.
    """
    if not isinstance(model, GPT):
        raise TypeError(f"a {type(model).__name__} is no language model; export it with export_hf")
    directory = Path(directory)
    ids = _checked_token_ids(model, tokenizer, chat)
    write_onnx(model, directory / ONNX_MODEL)
    write_json(directory / "config.json", config_to_json(model.config, LANGUAGE_MODEL, ids))
    return write_tokenizer(model, directory, tokenizer, chat=chat)


def write_tokenizer(
    model: GPT | RewardModel, directory: Path, tokenizer: Tokenizer | None, *, chat: bool = True
) -> Path:
    """Write the files of a tokenizer, if there is one, for a model with its context."""
    if tokenizer is not None:
        tokenizer.save(directory)
        save_chat_format(directory, tokenizer, chat=chat, context_length=model.config.context_length)
    return directory


def _checked_token_ids(
    model: GPT | RewardModel, tokenizer: Tokenizer | None, chat: bool
) -> dict[str, int] | None:
    if tokenizer is None:
        return None
    if tokenizer.vocab_size > model.config.vocab_size:
        raise ValueError(
            f"the tokenizer has {tokenizer.vocab_size} tokens and the model {model.config.vocab_size}; "
            "pass the tokenizer that the model was trained with"
        )
    return token_ids(tokenizer, chat=chat)
