"""Where a run happens: device, number format, threads, compiler, and the processes that share it."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed
from torch import Tensor, nn

from minillm import checks

__all__ = [
    "ALONE",
    "PRECISIONS",
    "Runtime",
    "broadcast_weights",
    "choose_runtime",
    "from_main",
    "gather_from_processes",
    "has_cpp_compiler",
    "has_fast_bf16",
    "isolated_randomness",
    "leave_processes",
    "make_generator",
    "map_tensors",
    "sum_over_processes",
    "synchronise_gradients",
    "to_device",
    "wait_for_main",
]

PRECISIONS = ("fp32", "bf16", "fp16")


@dataclass(frozen=True)
class Runtime:
    """The machine as one run uses it; made by `choose_runtime`."""

    device: torch.device  # where the model lives
    precision: str  # number format of the large products: "fp32", "bf16" or "fp16"; weights are always fp32
    reason: str  # why this precision, for people
    threads: int  # CPU threads of one operation
    compile: bool | str = "auto"  # torch.compile: True, False, or "auto": where it pays for itself
    rank: int = 0  # this process among those that share the run
    world_size: int = 1  # how many share it

    @property
    def is_main(self) -> bool:
        """True in the one process that writes files and shows progress."""
        return self.rank == 0

    def autocast(self) -> contextlib.AbstractContextManager[Any]:
        """A context in which the large products run in this precision."""
        if self.precision == "fp32":
            return contextlib.nullcontext()
        dtype = torch.bfloat16 if self.precision == "bf16" else torch.float16
        return torch.autocast(self.device.type, dtype=dtype)

    def describe(self) -> str:
        """One line that says what was chosen and why."""
        name = "fp32" if self.precision == "fp32" else f"{self.precision} autocast"
        threads = f"{self.threads} thread" + ("s" if self.threads > 1 else "")
        parts = [f"device {self.device.type}, {name}: {self.reason}", threads]
        if self.world_size > 1:
            parts.append(f"process {self.rank + 1} of {self.world_size}")
        return "; ".join(parts)


ALONE = Runtime(
    torch.device("cpu"), "fp32", "not chosen", 1
)  # one process, for functions that only ask for that


def choose_runtime(
    device: str = "auto", precision: str = "auto", threads: int | None = None, compile: bool | str = "auto"
) -> Runtime:
    """Choose what fits this machine, set the number of threads, and join the other processes under torchrun.

    Args:
        device: "auto" (CUDA, else Apple's MPS, else CPU) or a torch device name.
        precision: "auto" or one of `PRECISIONS`.
        threads: CPU threads; None takes OMP_NUM_THREADS, else the cores that this process may use.
        compile: whether `fit` uses torch.compile; "auto" where a C++ compiler is found and the run is long.

    Raises:
        ValueError: a setting that does not exist, or a device that this machine lacks.
        TypeError: a setting of the wrong type.
    """
    _check_choices(precision, threads, compile)
    rank, world_size, local_rank = (int(os.environ.get(n, d)) for n, d in _RANK_VARIABLES.items())
    chosen = _choose_device(device, local_rank)
    best, reason = _best_precision(chosen)
    if precision not in ("auto", best):
        best, reason = precision, "as asked"
    _first_threads()
    threads = threads or _usable_threads()
    torch.set_num_threads(threads)
    _join_processes(chosen, rank, world_size)
    return Runtime(chosen, best, reason, threads, compile, rank, world_size)


def _check_choices(precision: str, threads: int | None, compile: bool | str) -> None:
    """Refuse settings that no machine knows."""
    checks.one_of("precision", precision, ("auto", *PRECISIONS))
    if compile not in (True, False, "auto"):
        raise ValueError(f"compile is {compile!r}; choose True, False or 'auto'")
    checks.whole_number("threads", threads, at_least=1, optional=True)


# While the first process tokenizes or tests, the others wait for longer than the ten minutes after which a process is
# taken for lost. For that, and for values that are no tensors, there is a group of its own, on the CPU.
_PATIENCE = timedelta(hours=24)
_groups: dict[str, Any] = {}
_RANK_VARIABLES = {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"}  # set by torchrun


def _choose_device(name: str, local_rank: int) -> torch.device:
    """The device of that name, or the best one that is here."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if _has_mps() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"device is {name!r}; choose one of auto, cpu, cuda, mps") from error
    here = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not here.get(device.type, False):
        raise ValueError(f"device is {name!r}, which this machine lacks; choose auto or cpu")
    if device.type == "cuda" and device.index is None:
        device = torch.device("cuda", local_rank)
    if device.type == "cuda":
        _check_number(device)
        torch.cuda.set_device(device)
    return device


def _has_mps() -> bool:
    """Whether an Apple GPU can be used: some virtual machines have one without any memory."""
    if not torch.backends.mps.is_available():
        return False
    try:
        torch.zeros(1, device="mps")
    except RuntimeError:
        return False
    return True


def _check_number(device: torch.device) -> None:
    """Refuse a CUDA device that would be one too many."""
    here = torch.cuda.device_count()
    if device.index >= here:
        raise ValueError(
            f"device is {str(device)!r}, but this machine has {here} CUDA device{'s' if here > 1 else ''}, counted "
            f"from 0; choose one of these, and under torchrun start at most {here} processes"
        )


def _best_precision(device: torch.device) -> tuple[str, str]:
    """The fastest number format that the device computes well, and why."""
    if device.type == "cuda":
        if has_fast_bf16(device):
            return "bf16", f"{torch.cuda.get_device_name(device)} has bf16"
        return "fp16", f"{torch.cuda.get_device_name(device)} has no bf16; losses are scaled"
    if device.type == "mps":
        return "fp32", "Apple's MPS is surest in it"
    if name := _bf16_instructions():
        return "bf16", f"this chip has {name}"
    return "fp32", "this chip has no fast bf16"


def has_fast_bf16(device: torch.device) -> bool:
    """Whether the device has instructions for bf16 products (otherwise they are emulated, and slow)."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= 8  # Ampere or later
    return device.type == "cpu" and _bf16_instructions() is not None


def _bf16_instructions() -> str | None:
    """The processor's instructions for bf16 products, by name; None where it has none, or PyTorch does not tell."""
    if tell := getattr(torch.cpu, "get_capabilities", None):
        found = [tell().get(name, False) for name in ("amx_tile", "avx512_bf16")]
    else:  # an older PyTorch has a private question for each
        asked = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
        found = [getattr(torch.cpu, name, lambda: False)() for name in asked]
    return next((name for name, here in zip(("AMX", "AVX512-BF16"), found) if here), None)


def _usable_threads() -> int:
    """OMP_NUM_THREADS if set, else the cores this process may use."""
    wish = os.environ.get("OMP_NUM_THREADS", "")
    if wish.isdigit() and int(wish) > 0:
        return int(wish)
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(allowed, _container_cores(), _first_threads()))


@functools.cache
def _first_threads() -> int:
    """How many torch had before any runtime was chosen: a later number is what an earlier one was given."""
    return torch.get_num_threads()


def _container_cores(limit_file: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """Cores that a Linux container may use, rounded up; very many where there is no limit."""
    try:
        quota, period = limit_file.read_text(encoding="utf-8").split()
        return math.ceil(int(quota) / int(period))
    except (OSError, ValueError):
        return 1 << 16


def has_cpp_compiler() -> bool:
    """Whether torch.compile finds what it needs to build CPU code.

    That is a compiler, on Windows no other than `cl`, and a path of torch without a space: torch gives its own folder
    to the linker without quotes.
    """
    candidates = (os.environ.get("CXX"), *(("cl",) if os.name == "nt" else ("g++", "clang++", "c++")))
    return " " not in torch.__file__ and any(shutil.which(name) for name in candidates if name)


def make_generator(seed: int, device: str | torch.device = "cpu") -> torch.Generator:
    """A random number generator of its own, independent of torch's global one."""
    return torch.Generator(device=device).manual_seed(seed)


@contextlib.contextmanager
def isolated_randomness(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch's global generators, which dropout draws from; afterwards the caller's state is back."""
    cuda = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        torch.manual_seed(seed)
        yield


def to_device(value: Any, device: torch.device) -> Any:
    """Move a tensor, or the tensors of a dataclass, tuple, list or dict, to a device."""
    return map_tensors(lambda tensor: tensor.to(device, non_blocking=True), value)


def map_tensors(function: Any, value: Any) -> Any:
    """Apply a function to a tensor, or to every tensor of a dataclass, tuple, list or dict."""
    if isinstance(value, Tensor):
        return function(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: map_tensors(function, getattr(value, f.name)) for f in dataclasses.fields(value)}
        return dataclasses.replace(value, **fields)
    if isinstance(value, dict):
        return {key: map_tensors(function, item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        items = [map_tensors(function, item) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    return value


def _join_processes(device: torch.device, rank: int, world_size: int) -> None:
    """Meet the other processes that torchrun started."""
    if world_size > 1 and not torch.distributed.is_initialized():
        backend = "nccl" if device.type == "cuda" else "gloo"
        torch.distributed.init_process_group(backend, rank=rank, world_size=world_size)
        _groups["patient"] = torch.distributed.new_group(backend="gloo", timeout=_PATIENCE)


def gather_from_processes(value: Any, world_size: int) -> list[Any]:
    """Every process's value, in the order of their ranks; anything that can be pickled."""
    if world_size == 1:
        return [value]
    values: list[Any] = [None] * world_size
    torch.distributed.all_gather_object(values, value, group=_groups.get("patient"))
    return values


def from_main(make: Callable[[], Any], runtime: Runtime) -> Any:
    """What `make` returns in the first process, in all of them: for results that might differ by a rounding."""
    if runtime.world_size == 1:
        return make()
    value = [make() if runtime.is_main else None]
    torch.distributed.broadcast_object_list(value, src=0, group=_groups.get("patient"))
    return value[0]


def wait_for_main(world_size: int) -> None:
    """Let the other processes wait until the first has come here too."""
    if world_size > 1:
        torch.distributed.barrier(group=_groups.get("patient"))


def leave_processes() -> None:
    """Say goodbye to the other processes; the last thing that a program under torchrun does."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def sum_over_processes(tensor: Tensor, world_size: int) -> Tensor:
    """The sum of every process's tensor (the tensor itself when there is one process)."""
    if world_size > 1:
        torch.distributed.all_reduce(tensor)
    return tensor


def synchronise_gradients(model: nn.Module, world_size: int) -> None:
    """Replace each gradient by its sum over all processes, in one message."""
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    if world_size == 1 or not gradients:
        return
    flat = sum_over_processes(torch.cat([gradient.flatten() for gradient in gradients]), world_size)
    pieces = flat.split([gradient.numel() for gradient in gradients])  # type: ignore[no-untyped-call]
    for gradient, piece in zip(gradients, pieces, strict=True):
        gradient.copy_(piece.view_as(gradient))


def broadcast_weights(model: nn.Module, world_size: int) -> None:
    """Give every process the weights of the first."""
    if world_size > 1:
        for tensor in model.state_dict().values():
            torch.distributed.broadcast(tensor, src=0)
