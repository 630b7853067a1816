"""What a model refuses to read: each function names what it got, what is allowed, and the remedy.

All of it but the look at the ids' values is decided from shapes and types, without waiting for a device.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["check_ids", "check_labels", "check_tokens"]

_ID_TYPES = (torch.int64, torch.int32)


def check_tokens(ids: Tensor, device: torch.device, context_length: int | None = None) -> None:
    """Refuse ids that are no batch of texts on the model's device.

    Args:
        ids: (batch, time) token ids.
        device: where the model is.
        context_length: tokens, the longest text; None: that is checked elsewhere.

    Raises:
        TypeError: no tensor.
        ValueError: another shape, number format or device, no token at all, or too many.
    """
    if not isinstance(ids, Tensor):
        raise TypeError(f"ids is a {type(ids).__name__}, not a tensor; pass torch.tensor(ids)")
    if ids.ndim != 2:
        raise ValueError(f"ids has shape {tuple(ids.shape)}, not (batch, time); add the missing dimension")
    if ids.dtype not in _ID_TYPES:
        raise ValueError(f"ids are of {ids.dtype}, not torch.int64 or torch.int32; pass ids.long()")
    if ids.shape[0] < 1 or ids.shape[1] < 1:
        raise ValueError(
            f"ids has shape {tuple(ids.shape)} and so holds no token; start each text with the end-of-text token"
        )
    if ids.device != device:
        raise ValueError(f"ids is on {ids.device} and the model on {device}; pass ids.to({str(device)!r})")
    if context_length is not None and ids.shape[1] > context_length:
        raise ValueError(
            f"{ids.shape[1]} tokens are more than the model's context_length={context_length}; use fewer"
        )


def check_labels(name: str, labels: Tensor, ids: Tensor) -> None:
    """Refuse a tensor that does not give a whole number or a truth value for each of the ids.

    Args:
        name: of the tensor, for the message.
        labels: a mask, or the number of each token's document.
        ids: (batch, time) what it belongs to.

    Raises:
        TypeError: no tensor.
        ValueError: another shape or device, or fractions.
    """
    if not isinstance(labels, Tensor):
        raise TypeError(f"{name} is a {type(labels).__name__}, not a tensor; pass torch.tensor({name})")
    if labels.shape != ids.shape:
        raise ValueError(
            f"{name} has shape {tuple(labels.shape)} and ids {tuple(ids.shape)}; they must be equal"
        )
    if labels.is_floating_point() or labels.is_complex():
        raise ValueError(
            f"{name} is of {labels.dtype}, not whole numbers or truth values; pass {name}.long()"
        )
    if labels.device != ids.device:
        raise ValueError(f"{name} is on {labels.device} and ids on {ids.device}; bring them together")


def check_ids(ids: Tensor, vocab_size: int, ignore: int | None = None) -> None:
    """Raise ValueError for an id outside the vocabulary.

    On the CPU only: elsewhere the look would make the program wait for the device. Compiled code leaves it out.
    """
    if torch.compiler.is_compiling() or ids.device.type != "cpu" or ids.numel() == 0:
        return
    low, high = (int(bound) for bound in ids.aminmax())
    if low < 0 and ignore is not None:
        low = int(ids.masked_fill(ids == ignore, 0).min())
    if low < 0 or high >= vocab_size:
        raise ValueError(
            f"token id {low if low < 0 else high} is outside the vocabulary 0 to {vocab_size - 1}; "
            "use the tokenizer that belongs to the model"
        )
