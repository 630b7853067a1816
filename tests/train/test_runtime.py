"""Device, precision, threads, seeds."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from minillm.train import choose_runtime
from minillm.train import runtime as module


@pytest.fixture(autouse=True)
def keep_threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def chip(monkeypatch, amx: bool, bf16: bool):
    has = {"amx_tile": amx, "avx512_bf16": bf16}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: has, raising=False)


def older_torch(monkeypatch, amx: bool, bf16: bool):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: bf16, raising=False)


@pytest.mark.parametrize("torch_of", [chip, older_torch])
@pytest.mark.parametrize(
    ("amx", "bf16", "line"),
    [
        (True, True, "device cpu, bf16 autocast: this chip has AMX; 1 thread"),
        (False, True, "device cpu, bf16 autocast: this chip has AVX512-BF16; 1 thread"),
        (False, False, "device cpu, fp32: this chip has no fast bf16; 1 thread"),
    ],
)
def test_precision_follows_the_chip(monkeypatch, torch_of, amx, bf16, line):
    torch_of(monkeypatch, amx, bf16)
    assert choose_runtime("cpu", threads=1).describe() == line
    assert module.has_fast_bf16(torch.device("cpu")) == (amx or bf16)


def test_a_torch_that_tells_nothing_of_the_chip_computes_in_fp32(monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"architecture": "other"}, raising=False)
    line = "device cpu, fp32: this chip has no fast bf16; 1 thread"
    assert choose_runtime("cpu", threads=1).describe() == line
    for name in ("get_capabilities", "_is_amx_tile_supported", "_is_avx512_bf16_supported"):
        monkeypatch.delattr(torch.cpu, name, raising=False)
    assert choose_runtime("cpu", threads=1).describe() == line


def test_what_this_torch_tells_is_what_the_kernel_tells():
    flags = Path("/proc/cpuinfo")
    if not flags.is_file() or "avx2" not in (words := flags.read_text(encoding="utf-8").split()):
        pytest.skip("no list of an x86 chip's features here")
    assert module.has_fast_bf16(torch.device("cpu")) == bool({"amx_tile", "avx512_bf16"} & set(words))


def test_precision_can_be_chosen(monkeypatch):
    chip(monkeypatch, True, True)
    runtime = choose_runtime("cpu", "fp32", threads=2)
    assert runtime.describe() == "device cpu, fp32: as asked; 2 threads"
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize(
    ("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)]
)
def test_autocast_computes_products_in_the_precision(precision, dtype):
    a = torch.randn(3, 4)
    with choose_runtime("cpu", precision, threads=1).autocast():
        assert (a @ a.T).dtype == dtype


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"device": "abacus"}, "device is 'abacus'; choose one of auto, cpu, cuda, mps"),
        ({"device": "meta"}, "device is 'meta', which this machine lacks"),
        ({"precision": "int4"}, "precision is 'int4'; choose one of auto, fp32, bf16, fp16"),
        ({"compile": "yes"}, "compile is 'yes'; choose True, False or 'auto'"),
        ({"threads": "4"}, "threads is '4'; use a whole number of at least 1, or None"),
        ({"threads": 0}, "threads is 0; use a whole number of at least 1, or None"),
    ],
)
def test_unknown_choices_are_refused(arguments, message):
    with pytest.raises((ValueError, TypeError), match=message):
        choose_runtime(**arguments)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_missing_device_is_refused():
    with pytest.raises(ValueError, match="device is 'cuda', which this machine lacks; choose auto or cpu"):
        choose_runtime("cuda")


def test_a_device_number_beyond_the_last_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: pytest.fail(f"{device} was used"))
    with pytest.raises(ValueError, match="device is 'cuda:2', but this machine has 2 CUDA devices"):
        choose_runtime("cuda:2")
    monkeypatch.setenv("LOCAL_RANK", "3")  # by torchrun
    with pytest.raises(ValueError, match="cuda:3.*at most 2 processes"):
        choose_runtime()


def test_threads_come_from_the_environment_or_the_cores(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert choose_runtime("cpu").threads == 3 == torch.get_num_threads()
    monkeypatch.delenv("OMP_NUM_THREADS")
    usual = choose_runtime("cpu").threads
    assert 1 <= usual <= (os.cpu_count() or 1)
    assert choose_runtime("cpu", threads=1).threads == 1 == torch.get_num_threads()
    assert choose_runtime("cpu").threads == usual == torch.get_num_threads(), (
        "what was asked for once is not kept"
    )


@pytest.mark.parametrize(
    ("text", "cores"), [("150000 100000", 2), ("100000 100000", 1), ("max 100000", 1 << 16)]
)
def test_a_containers_limit_is_heeded(tmp_path, text, cores):
    (tmp_path / "cpu.max").write_text(text, encoding="utf-8")
    assert module._container_cores(tmp_path / "cpu.max") == cores
    assert module._container_cores(tmp_path / "missing") == 1 << 16


def test_processes_are_read_from_the_environment(monkeypatch):
    joined, patient = [], []
    monkeypatch.setattr(torch.distributed, "init_process_group", lambda *a, **k: joined.append((a, k)))
    monkeypatch.setattr(torch.distributed, "new_group", lambda **settings: patient.append(settings))
    monkeypatch.setattr(module, "_groups", {})
    for name, value in {"RANK": "1", "WORLD_SIZE": "4", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    runtime = choose_runtime("cpu", "fp32", threads=1)
    assert (runtime.rank, runtime.world_size, runtime.is_main) == (1, 4, False)
    assert joined == [(("gloo",), {"rank": 1, "world_size": 4})]
    # The others wait while the first tokenizes or tests; a lost process is noticed sooner.
    assert [group["timeout"] >= timedelta(hours=10) for group in patient] == [True]
    assert runtime.describe().endswith("process 2 of 4")


def test_isolated_randomness_is_seeded_and_gives_the_callers_state_back():
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    draws = []
    for _ in range(2):
        with module.isolated_randomness(5, torch.device("cpu")):
            draws.append(torch.rand(2))
    assert torch.equal(*draws) and torch.equal(torch.rand(2), expected)


def test_generators_are_independent_of_the_global_one():
    first = torch.rand(2, generator=module.make_generator(1))
    torch.manual_seed(9)
    assert torch.equal(torch.rand(2, generator=module.make_generator(1)), first)


class Pair(NamedTuple):
    left: torch.Tensor
    right: int


@dataclass(frozen=True)
class Nested:
    pair: Pair
    extra: dict
    none: None = None


def test_tensors_are_found_wherever_they_are():
    batch = Nested(Pair(torch.ones(2), 7), {"a": [torch.ones(3)], "b": ("x", torch.ones(1))})
    doubled = module.map_tensors(lambda tensor: 2 * tensor, batch)
    assert doubled.pair.left.sum() == 4 and doubled.pair.right == 7 and doubled.none is None
    assert doubled.extra["a"][0].sum() == 6 and doubled.extra["b"][0] == "x"
    assert isinstance(doubled.pair, Pair) and batch.pair.left.sum() == 2


def test_to_device_moves():
    moved = module.to_device({"a": torch.ones(2)}, torch.device("meta"))
    assert moved["a"].device.type == "meta"


def test_a_compiler_is_looked_for_on_the_path(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setenv("CXX", "my-compiler")
    assert not module.has_cpp_compiler()


def test_on_windows_only_its_own_compiler_counts(monkeypatch):
    asked = []
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(module.torch, "__file__", "/torch/__init__.py")  # a path without a space
    monkeypatch.setattr(module.shutil, "which", lambda name: asked.append(name) or (name != "cl" and name))
    assert module.has_cpp_compiler() == (os.name != "nt")
    with monkeypatch.context() as patch:
        patch.setattr(module.os, "name", "nt")
        found = module.has_cpp_compiler()
    assert not found and asked[-1] == "cl"


@pytest.mark.parametrize(("memory", "chosen"), [(True, "mps"), (False, "cpu")])
def test_an_apple_gpu_without_memory_is_not_chosen(monkeypatch, memory, chosen):
    zeros = torch.zeros

    def allocate(*size, device=None):
        if device == "mps" and not memory:
            raise RuntimeError("MPS backend out of memory (MPS allocated: 0 bytes)")
        return zeros(*size)

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch, "zeros", allocate)
    assert module._choose_device("auto", 0).type == chosen


def test_one_process_has_nothing_to_synchronise():
    model = torch.nn.Linear(2, 3)
    model(torch.ones(1, 2)).sum().backward()
    before = model.weight.grad.clone()
    module.synchronise_gradients(model, 1)
    module.broadcast_weights(model, 1)
    assert torch.equal(model.weight.grad, before)


def test_torch_in_a_folder_with_a_space_does_not_compile(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch.compile gives its own folder to the linker without quotes, which then finds no library."""
    monkeypatch.setattr(module.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(module.torch, "__file__", "/home/me/course/torch/__init__.py")
    assert module.has_cpp_compiler()
    monkeypatch.setattr(module.torch, "__file__", "/home/me/my course/torch/__init__.py")
    assert not module.has_cpp_compiler()
