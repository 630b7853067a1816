"""A GPT as one ONNX graph that reads new tokens together with the keys and values of the tokens before them.

The graph is traced from the model's own blocks; only the cache is another one, whose storage comes in and goes out. Its
inputs and outputs have the names that Hugging Face's optimum gives them:

    input_ids (batch, time), attention_mask (batch, past + time),
    past_key_values.{layer}.key and .value (batch, n_kv_head, past, head_width)
    -> logits (batch, time, vocab), present.{layer}.key and .value (batch, n_kv_head, past + time, head_width)

With a past of no columns it reads a text from its beginning. The attention mask is 1 for real tokens and 0 for padding,
which may stand on the left; positions are counted over the real tokens.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minillm.files import write_atomic
from minillm.model.gpt import GPT
from minillm.model.lora import merged_state_dict
from minillm.model.masks import reading_mask

__all__ = ["GraphCache", "write_onnx"]

_NEEDED = ("onnx", "onnxscript")
_MAX_BYTES = 2**31 - 1  # of one protobuf file
_EXAMPLE = {"batch": 2, "past": 3, "time": 4}  # sizes to trace with: all different, none that is special
_BATCH, _TIME, _PAST, _TOTAL = (
    "batch_size",
    "sequence_length",
    "past_sequence_length",
    "total_sequence_length",
)


class GraphCache:
    """What `Decoder` needs of a `KVCache`, without storage of its own.

    Args:
        past: keys and values of each layer, each (batch, n_kv_head, past, head_width).
        attention_mask: (batch, past + time) 1 for real tokens, 0 for padding.
    """

    def __init__(self, past: list[tuple[Tensor, Tensor]], attention_mask: Tensor) -> None:
        self.past, self.present = past, list(past)
        self.padding = attention_mask  # not None: the decoder asks for positions row by row
        self.length = past[0][0].shape[2]

    def update(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """The past with the next columns of one layer, (batch, n_kv_head, past + time, head_width)."""
        old_keys, old_values = self.past[layer]
        self.present[layer] = torch.cat([old_keys, keys], dim=2), torch.cat([old_values, values], dim=2)
        return self.present[layer]

    def positions(self, time: int) -> Tensor:
        """Position of each of the next columns among its row's real tokens, (batch, time)."""
        return (self.padding.cumsum(dim=1) - 1).clamp(min=0)[:, self.length :]

    def mask(self, time: int, dtype: torch.dtype) -> Tensor:
        """What the next columns may look at: the real tokens up to themselves, and padding itself."""
        return reading_mask(self.padding != 0, self.length, dtype)


class _Graph(nn.Module):
    """A GPT as a function of tensors only."""

    def __init__(self, gpt: GPT) -> None:
        super().__init__()
        self.gpt = gpt

    def forward(self, input_ids: Tensor, attention_mask: Tensor, *past: Tensor) -> tuple[Tensor, ...]:
        """Logits, then keys and values of each layer."""
        cache = GraphCache(list(zip(past[::2], past[1::2])), attention_mask)
        hidden = self.gpt.model(input_ids, None, cache)
        present = [half for pair in cache.present for half in pair]
        return F.linear(hidden, self.gpt.head_weight), *present


def write_onnx(model: GPT, path: str | Path) -> Path:
    """Write a language model, an active adapter merged, as one .onnx file in float32.

    Raises:
        ValueError: onnx or onnxscript is not installed, or the weights are too many for one file.
    """
    if missing := [name for name in _NEEDED if find_spec(name) is None]:
        raise ValueError(
            f"ONNX export needs {', '.join(missing)}; run: python -m pip install {' '.join(missing)}"
        )
    weights = merged_state_dict(model)
    if (n_bytes := 4 * sum(weight.numel() for weight in weights.values())) > _MAX_BYTES:
        raise ValueError(
            f"{n_bytes:,} bytes of weights do not fit into one ONNX file of {_MAX_BYTES:,}; use --to hf"
        )
    plain = GPT(model.config)
    plain.load_state_dict(weights)
    return write_atomic(Path(path), _trace(_Graph(plain.eval())))


def _trace(graph: _Graph) -> bytes:
    """The graph as a file's content."""
    config = graph.gpt.config
    batch, past, time = _EXAMPLE.values()
    ids = torch.zeros(batch, time, dtype=torch.long)
    mask = torch.ones(batch, past + time, dtype=torch.long)
    halves = [f"{layer}.{half}" for layer in range(config.n_layer) for half in ("key", "value")]
    storage = [torch.zeros(batch, config.n_kv_head, past, config.head_width) for _ in halves]
    with torch.no_grad(), _silence():
        program = torch.onnx.export(
            graph,
            (ids, mask, *storage),
            dynamo=True,
            verbose=False,
            input_names=["input_ids", "attention_mask", *(f"past_key_values.{half}" for half in halves)],
            output_names=["logits", *(f"present.{half}" for half in halves)],
            dynamic_shapes=(
                {0: _BATCH, 1: _TIME},
                {0: _BATCH, 1: _TOTAL},
                tuple({0: _BATCH, 2: _PAST} for _ in halves),
            ),
        )
    assert program is not None  # it was not told to write a file
    proto = program.model_proto
    for node in proto.graph.node:  # where each came from in our source, in many words
        node.ClearField("metadata_props")
        node.ClearField("doc_string")
    content: bytes = proto.SerializeToString()
    return content


@contextmanager
def _silence() -> Iterator[None]:
    """Without the exporter's remarks, which are about its own parts."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)
