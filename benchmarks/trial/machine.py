"""What is here: the device, its memory, its compiler. The other parts are told which device was found."""

from __future__ import annotations

import importlib.metadata
import shutil

import torch
from common import machine

from trial.device import gigabytes, runtime
from trial.session import Trial

__all__ = ["run"]


def run(trial: Trial) -> None:
    """Find the device, compute something on it, and describe it."""
    found = runtime(trial)
    device = found.device.type
    ones = torch.ones(64, 64, device=device)
    trial.check(float((ones @ ones).sum()) == 64.0**3, "the device multiplies matrices of ones rightly")
    trial.record(device=device, runtime=found.describe(), machine=machine(), torch=torch.__version__)
    if device == "cuda":
        free, total = torch.cuda.mem_get_info()
        capability = ".".join(map(str, torch.cuda.get_device_capability()))
        trial.record(
            capability=capability,
            cuda=torch.version.cuda,
            memory_gb=gigabytes(total),
            memory_free_gb=gigabytes(free),
        )
    names = [name for name in ("cc", "gcc", "clang", "c++", "g++", "clang++") if shutil.which(name)]
    trial.record(compilers=names, triton=_version("triton"))


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
