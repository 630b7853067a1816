"""A device that is not there, played on the CPU: what a GPU refuses is refused here too.

Tensors on it say that they are on "cuda" or "mps", and hold their numbers on the CPU. PyTorch's own means do not
serve: its fake tensors hold no numbers, so nothing can be trained or sampled with them, and a backend written in
Python cannot be called "cuda".

Refused are: tensors of the device and of the CPU in one operation, but for single numbers and for indices; `numpy()`;
random numbers from a generator of another device; and on "mps" float64, also where it would only be made on the way
to the CPU. Played are autocast of matrix products and attention, random numbers of the device's own, the scaling of
losses and page-locked memory. Kernels, their rounding, streams and memory are not played: see `tests/gpu`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._mode_utils import no_dispatch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

__all__ = ["Away", "played_device"]

NO_FLOAT64 = "Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64"
MIXED = "Expected all tensors to be on the same device, but found at least two devices, {} and cpu! ({})"
NO_NUMPY = (
    "can't convert {} device type tensor to numpy. Use Tensor.cpu() to copy the tensor to host memory first."
)
OTHER_GENERATOR = "Expected a '{}' device type for generator but found '{}'"

_COPIES = {"copy_", "_to_copy", "_foreach_copy_"}  # between devices
_INDEXED = {
    "index",
    "_unsafe_index",
    "index_put",
    "index_put_",
    "_index_put_impl_",
}  # take indices from the CPU
_IN_HALF = {
    *(
        F.linear,
        F.scaled_dot_product_attention,
        torch.matmul,
        torch.bmm,
        torch.baddbmm,
        torch.mm,
        torch.addmm,
    ),
    *(Tensor.matmul, Tensor.__matmul__, Tensor.__rmatmul__),
}
_LITERALS = (torch.tensor, torch.as_tensor)
_ACCESS = (Tensor.__getitem__, Tensor.__setitem__)


class Away(Tensor):
    """A tensor on the device."""

    held: Tensor
    place: torch.device

    @staticmethod
    def __new__(cls, held: Tensor, place: torch.device) -> Away:
        made = torch.Tensor._make_wrapper_subclass(
            cls, held.shape, strides=held.stride(), dtype=held.dtype, device="meta"
        )
        made.held, made.place = held, place
        return made

    @property
    def device(self) -> torch.device:
        return self.place

    @property
    def is_cuda(self) -> bool:
        return self.place.type == "cuda"

    def to(self, *args: Any, **kwargs: Any) -> Tensor:
        device, dtype, *_ = torch._C._nn._parse_to(*args, **{k: v for k, v in kwargs.items() if k != "copy"})
        here = device is None or device.type == self.place.type
        if here and dtype in (None, self.dtype) and not kwargs.get("copy"):
            return self
        return super().to(*args, **kwargs)

    def tolist(self) -> Any:
        return self.held.tolist()

    def numpy(self, *, force: bool = False) -> Any:
        if not force:
            raise TypeError(NO_NUMPY.format(self.place))
        return self.held.numpy(force=True)

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        made = Away(self.held.clone(), self.place).requires_grad_(self.requires_grad)
        made._is_param = getattr(self, "_is_param", False)
        return memo.setdefault(id(self), made)

    def __repr__(self, **_: Any) -> str:
        return f"{self.held!r} on {self.place}"

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        place = next(leaf.place for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Away))
        return compute(function, args, kwargs or {}, place)


class Operations(TorchDispatchMode):
    """Operations with the device as an argument."""

    def __init__(self, place: torch.device) -> None:
        super().__init__()
        self.place = place

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        return compute(function, args, kwargs or {}, self.place)


class Functions(TorchFunctionMode):
    """What PyTorch does without an operation, or before it: numbers written into a tensor, and autocast."""

    def __init__(self, place: torch.device) -> None:
        super().__init__()
        self.place = place

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if (
            torch.device(kwargs.get("device") or "cpu").type == "meta"
        ):  # without numbers, as a program asked for it
            with no_dispatch():
                return function(*args, **kwargs)
        if function is Tensor.to:  # a device without a number: PyTorch asks the device for the number
            args, kwargs = tree_map(self._numbered, args), tree_map(self._numbered, kwargs)
        if function in _ACCESS:  # a list of places is a literal too
            args = (args[0], tree_map(_place, args[1], is_leaf=lambda x: isinstance(x, list)), *args[2:])
        if function in _LITERALS and kwargs.get("device") is not None and not isinstance(args[0], Tensor):
            device = kwargs.pop("device")
            return function(*args, **kwargs).to(device)
        if function in _IN_HALF and torch.is_autocast_enabled(self.place.type):
            dtype = torch.get_autocast_dtype(self.place.type)

            def cast(value: Any) -> Any:
                return value.to(dtype) if isinstance(value, Away) and value.is_floating_point() else value

            args, kwargs = tree_map(cast, args), tree_map(cast, kwargs)
        return function(*args, **kwargs)

    def _numbered(self, value: Any) -> Any:
        bare = isinstance(value, (str, torch.device)) and str(value) == self.place.type
        return self.place if bare else value


def _place(index: Any) -> Any:
    return torch.tensor(index) if isinstance(index, list) else index


def compute(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], place: torch.device
) -> Any:
    """Run an operation on the CPU; its results are where its inputs are, or where it was told to put them."""
    leaves = tree_leaves((args, kwargs))
    seen = any(isinstance(leaf, Away) for leaf in leaves)
    name = function._schema.name.removeprefix("aten::")
    goes_away = seen
    if (device := kwargs.get("device")) is not None:
        goes_away = torch.device(device).type in (
            place.type,
            "meta",
        )  # where PyTorch itself believes `Away` to be
        kwargs = kwargs | {"device": "cpu"}
    if seen:
        _refuse_mixed(name, args, leaves, place)
    for leaf in leaves:
        if goes_away and isinstance(leaf, torch.Generator) and leaf.device.type != place.type:
            raise RuntimeError(OTHER_GENERATOR.format(place.type, leaf.device.type))

    def home(value: Any) -> Any:
        return value.held if isinstance(value, Away) else value

    with _randomness(function, goes_away):
        results = function(*tree_map(home, args), **tree_map(home, kwargs))
    if seen and name.endswith("_") and results is not None:
        assert results.shape == args[0].shape, f"{name} changes a shape, which is not played"
        return args[0]

    def away(value: Any) -> Any:
        if not isinstance(value, Tensor) or not (seen or goes_away):
            return value
        if value.dtype == torch.float64 and place.type == "mps":
            raise TypeError(NO_FLOAT64)
        return Away(value, place) if goes_away else value

    return tree_map(away, results)


def _refuse_mixed(name: str, args: tuple[Any, ...], leaves: list[Any], place: torch.device) -> None:
    """Raise where an operation gets tensors of both devices."""
    if name in _COPIES:
        return
    if name in _INDEXED and isinstance(args[0], Away):
        leaves = tree_leaves(args[2:])
    whole = name.startswith(
        ("_foreach", "_fused", "_amp")
    )  # these take not even a single number from the CPU
    for leaf in leaves:
        written = leaf is args[0] and name.endswith("_")
        if isinstance(leaf, Tensor) and not isinstance(leaf, Away) and (leaf.ndim or whole or written):
            raise RuntimeError(MIXED.format(place, name))


_random = torch.Generator()  # of the device


@contextmanager
def _randomness(function: Any, goes_away: bool) -> Iterator[None]:
    """Draw from the device's own random numbers where an operation on it draws any."""
    if not goes_away or torch.Tag.nondeterministic_seeded not in function.tags:
        yield
        return
    with torch.random.fork_rng(devices=[]):
        torch.set_rng_state(_random.get_state())
        yield
        _random.set_state(torch.get_rng_state())


def _pinned(tensor: Tensor, *_: Any) -> Tensor:
    assert not isinstance(tensor, Away), "only memory of the CPU can be page-locked"
    return tensor.clone()


@contextmanager
def played_device(kind: str) -> Iterator[torch.device]:
    """While it lasts, tensors can be moved to the device and made on it.

    Args:
        kind: "cuda", a T4, or "mps".
    """
    place = torch.device(kind, 0)
    overwrite = torch.__future__.get_overwrite_module_params_on_conversion()
    cuda = {
        "_lazy_init": lambda: None,
        "is_available": lambda: kind == "cuda",
        "set_device": lambda device: None,
        "get_device_name": lambda device=None: "played T4",
        "get_device_capability": lambda device=None: (7, 5),
        "device_count": lambda: int(kind == "cuda"),
        "get_rng_state": lambda device=None: _random.get_state(),
        "set_rng_state": lambda state, device=None: _random.set_state(state),
        "manual_seed_all": _random.manual_seed,
    }
    with ExitStack() as stack:
        for name, played in cuda.items():
            stack.enter_context(patch.object(torch.cuda, name, played))
        stack.enter_context(
            patch.object(torch.cuda.amp.common, "amp_definitely_not_available", lambda: False)
        )
        stack.enter_context(patch.object(torch.backends.mps, "is_available", lambda: kind == "mps"))
        stack.enter_context(patch.object(torch.Tensor, "pin_memory", _pinned))
        # Tensors with a class of their own cannot be made in it.
        stack.enter_context(patch.object(torch, "inference_mode", torch.no_grad))
        # A weight on the CPU cannot become one of another class.
        torch.__future__.set_overwrite_module_params_on_conversion(True)
        stack.callback(torch.__future__.set_overwrite_module_params_on_conversion, overwrite)
        stack.enter_context(Operations(place))
        stack.enter_context(Functions(place))
        yield place
