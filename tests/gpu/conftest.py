"""Tests for the owner of a GPU: `pytest -m gpu`. $MINILLM_TEST_DEVICE names another device, such as mps or cpu."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
import torch

from minillm.train.runtime import Runtime, choose_runtime, has_fast_bf16

DEVICE = os.environ.get("MINILLM_TEST_DEVICE") or "cuda"


@pytest.fixture(scope="session")
def device() -> torch.device:
    """Where these tests run; skips them where the device is missing."""
    if DEVICE == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA here; MINILLM_TEST_DEVICE=cpu runs these tests on the CPU")
    return choose_runtime(DEVICE, threads=1).device


@pytest.fixture
def run_time(device: torch.device) -> Callable[..., Runtime]:
    """Make a `Runtime` on the device, by default one that computes in fp32 and compiles nothing."""

    def make(precision: str = "fp32", compile: bool = False) -> Runtime:
        if device.type == "mps" and precision != "fp32":
            pytest.skip("on MPS everything is computed in fp32")
        if device.type == "cuda" and precision == "bf16" and not has_fast_bf16(device):
            pytest.skip(f"{torch.cuda.get_device_name(device)} has no bf16")
        return choose_runtime(str(device), precision, threads=1, compile=compile)

    return make
