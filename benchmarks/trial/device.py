"""The device as the parts use it: clocks that wait for it, its memory, and the numbers of its data sheet."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from minillm.costs import MACHINES, token_flops
from minillm.model.config import GPTConfig
from minillm.train.runtime import Runtime, choose_runtime
from trial.session import Trial

__all__ = [
    "free_memory",
    "gigabytes",
    "peak_flops",
    "peak_memory",
    "runtime",
    "stir",
    "synchronise",
    "timed",
    "utilisation",
]

# Dense matrix products a second in bf16 and fp16 with sums in fp32, as NVIDIA's data sheets and white papers give them
# (where they give them with sparsity, half of that); the first name that is part of the device's counts.
_PEAKS: tuple[tuple[str, float, tuple[str, ...]], ...] = (
    ("B200", 2250e12, ("bf16", "fp16")),
    ("H200 NVL", 835e12, ("bf16", "fp16")),
    ("H200", 989e12, ("bf16", "fp16")),
    ("H100 PCIe", 756e12, ("bf16", "fp16")),
    ("H100 NVL", 835e12, ("bf16", "fp16")),
    ("H100", MACHINES["H100"].peak, ("bf16", "fp16")),
    ("A100", MACHINES["A100"].peak, ("bf16", "fp16")),
    ("L40S", 362e12, ("bf16", "fp16")),
    ("L4", 121e12, ("bf16", "fp16")),
    ("RTX 4090", 165e12, ("bf16", "fp16")),
    ("RTX 3090", 71e12, ("bf16", "fp16")),
    ("V100-SXM2", 125e12, ("fp16",)),
    ("T4", MACHINES["T4"].peak, ("fp16",)),
)


def runtime(trial: Trial, precision: str = "auto", compile: bool | str = False) -> Runtime:
    """The runtime of this trial's device."""
    return choose_runtime(trial.device, precision, compile=compile)


def peak_flops(device_name: str, precision: str) -> tuple[float | None, str]:
    """Operations a second of the data sheet, and where they are from; None where it is not known, and why.

    >>> peak_flops("Tesla T4", "fp16")[0] / 1e12
    65.0
    """
    for name, peak, precisions in _PEAKS:
        if name in device_name:
            if precision not in precisions:
                return None, f"{name} has no products in {precision} to compare with"
            return peak, f"NVIDIA's data sheet of {name}, dense {precision}"
    return None, f"no data sheet of {device_name} is listed"


def utilisation(config: GPTConfig, tokens_per_second: float, peak: float | None) -> float | None:
    """Model-FLOPs utilisation: 3 x (operations of a token's forward pass) x tokens/s / peak.

    The backward pass costs two forward passes; `minillm.costs.token_flops` counts the forward pass.
    """
    return None if peak is None else round(3 * token_flops(config) * tokens_per_second / peak, 4)


@torch.no_grad()
def stir(model: nn.Module) -> None:
    """Give every weight a random number of its own: first weights hold zeros, behind which nothing could be seen."""
    generator = torch.Generator().manual_seed(0)
    for weight in model.parameters():
        noise = torch.randn(weight.shape, generator=generator)
        weight.copy_(noise * weight.shape[-1] ** -0.5 if weight.ndim > 1 else 1 + 0.1 * noise)


def synchronise(device: str) -> None:
    """Wait until the device has done what it was given."""
    if device == "cuda":
        torch.cuda.synchronize()
    elif device == "mps":
        torch.mps.synchronize()


def timed(function: Callable[[], Any], device: str) -> float:
    """Seconds of a call, with what it leaves the device to do."""
    synchronise(device)
    started = time.perf_counter()
    function()
    synchronise(device)
    return time.perf_counter() - started


def free_memory(device: str) -> None:
    """Give back what is not used any more, and count the peak anew."""
    gc.collect()
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def peak_memory(device: str) -> float | None:
    """Bytes that tensors took at most since the count began; None where the device does not tell."""
    return float(torch.cuda.max_memory_allocated()) if device == "cuda" else None


def gigabytes(n_bytes: float | None) -> float | None:
    """10^9 bytes, for people."""
    return None if n_bytes is None else round(n_bytes / 1e9, 3)
