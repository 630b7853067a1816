"""LoRA: a frozen model, and beside some of its linear layers the product of two thin matrices, which is trained.

A layer with weight W computes `x W^T + (alpha / rank) (x A^T) B^T`. A (rank, inputs) starts at random and B
(outputs, rank) at zero, so that nothing is changed at first. Several adapters can lie beside one model; at most one of
them is active.

Where this departs from the textbook: an adapted layer keeps the name of its weight. So the state dict of an adapted
model is that of the plain one with the adapters' matrices beside it.

Reference: Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models", section 4.1.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minillm import checks

__all__ = [
    "ATTENTION_LAYERS",
    "DEFAULT_ADAPTER",
    "LINEAR_LAYERS",
    "LoRAConfig",
    "LoRALinear",
    "active_adapter",
    "adapted_layers",
    "adapter_names",
    "apply_lora",
    "delete_adapter",
    "load_lora_state_dict",
    "lora_linear",
    "lora_state_dict",
    "merge_lora",
    "merged_state_dict",
    "n_lora_parameters",
    "remove_lora",
    "set_adapter",
    "unmerge_lora",
    "without_adapter",
]

Model = TypeVar("Model", bound=nn.Module)

DEFAULT_ADAPTER = "default"
ATTENTION_LAYERS = ("q_proj", "k_proj", "v_proj", "o_proj")
MLP_LAYERS = ("gate_proj", "up_proj", "down_proj")
LINEAR_LAYERS = (*ATTENTION_LAYERS, *MLP_LAYERS)  # of a block


@dataclass(frozen=True)
class LoRAConfig:
    """The shape of an adapter.

    >>> LoRAConfig(rank=8, alpha=32).scaling
    4.0
    """

    rank: int = 8  # width of the two thin matrices
    alpha: float = 32.0  # what they add is multiplied by alpha / rank
    dropout: float = 0.0  # share of the layer's inputs that the adapter does not see while it is trained
    targets: tuple[str, ...] = LINEAR_LAYERS  # names of the layers, or the ends of their dotted paths

    def __post_init__(self) -> None:
        if isinstance(self.targets, list):
            object.__setattr__(self, "targets", tuple(self.targets))
        checks.whole_number("rank", self.rank, at_least=1)
        checks.number("alpha", self.alpha, above=0)
        checks.number("dropout", self.dropout, at_least=0, below=1)
        names = isinstance(self.targets, tuple) and all(isinstance(name, str) for name in self.targets)
        if not names or not self.targets:
            raise ValueError(f"targets is {self.targets!r}; give names of layers, such as {LINEAR_LAYERS}")

    @property
    def scaling(self) -> float:
        """What the product of the two matrices is multiplied by."""
        return self.alpha / self.rank


def lora_linear(x: Tensor, weight: Tensor, a: Tensor, b: Tensor, scaling: float) -> Tensor:
    """The arithmetic of an adapted layer: `x W^T + scaling (x A^T) B^T`.

    Args:
        x: (..., inputs).
        weight: W (outputs, inputs), frozen.
        a: A (rank, inputs).
        b: B (outputs, rank).
        scaling: alpha / rank.

    Returns:
        (..., outputs).

    >>> x, weight = torch.tensor([[1.0, 2.0]]), torch.eye(2)
    >>> lora_linear(x, weight, a=torch.tensor([[1.0, 1.0]]), b=torch.tensor([[0.0], [1.0]]), scaling=2.0)
    tensor([[1., 8.]])

    Reference: Hu et al. 2021, eq. 3.
    """
    return F.linear(x, weight) + scaling * F.linear(F.linear(x, a), b)


class LoRALinear(nn.Linear):
    """A linear layer with adapters; made by `apply_lora` around the weight of a plain layer.

    Attributes:
        lora_A: (rank, inputs) of each adapter.
        lora_B: (outputs, rank) of each adapter.
        configs: of each adapter.
        active: the adapter that is added, or None.
        merged: the adapter that the weight contains, or None.
    """

    def __init__(self, linear: nn.Linear) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.weight, self.bias = linear.weight, linear.bias
        self.lora_A, self.lora_B = nn.ParameterDict(), nn.ParameterDict()
        self.configs: dict[str, LoRAConfig] = {}
        self.active: str | None = None
        self.merged: str | None = None

    def add(self, name: str, config: LoRAConfig, generator: torch.Generator) -> None:
        """Put an adapter beside the weight, and make it the active one."""
        bound = 1 / math.sqrt(self.in_features)  # as nn.Linear draws its own weights
        a = (2 * torch.rand(config.rank, self.in_features, generator=generator) - 1) * bound
        self.lora_A[name] = nn.Parameter(a.to(self.weight.device, self.weight.dtype))
        self.lora_B[name] = nn.Parameter(self.weight.new_zeros(self.out_features, config.rank))
        self.configs[name], self.active = config, name

    def delta(self, name: str) -> Tensor:
        """What an adapter adds to the weight, `scaling B A` (outputs, inputs)."""
        a, b = self.lora_A[name], self.lora_B[name]
        product: Tensor = self.configs[name].scaling * b @ a
        return product

    def effective_weight(self) -> Tensor:
        """The weight with what the active adapter adds to it (outputs, inputs)."""
        if self.active is None or self.active == self.merged:
            return self.weight
        return self.weight + self.delta(self.active)

    def forward(self, x: Tensor) -> Tensor:
        """(..., inputs) -> (..., outputs)."""
        if self.active is None or self.active == self.merged:
            return F.linear(x, self.weight, self.bias)
        name, config = self.active, self.configs[self.active]
        a, b = self.lora_A[name], self.lora_B[name]
        if self.bias is None and not (config.dropout and self.training):
            return lora_linear(x, self.weight, a, b, config.scaling)
        seen = F.dropout(x, config.dropout, self.training)
        return F.linear(x, self.weight, self.bias) + config.scaling * F.linear(F.linear(seen, a), b)


def apply_lora(
    model: Model, config: LoRAConfig, adapter: str = DEFAULT_ADAPTER, generator: torch.Generator | int = 0
) -> Model:
    """Freeze a model and put a trainable adapter beside its target layers; it is then the active one.

    Args:
        model: any module with `nn.Linear` layers; it is changed in place.
        config: the adapter's shape.
        adapter: its name; one model can have several, each with targets of its own.
        generator: a CPU generator, or a seed for a fresh one; decides the matrices A.

    Returns:
        the model.

    Raises:
        ValueError: a target that is no linear layer of the model, a name that is taken or has a dot in it, or an
            adapter that is merged.
    """
    if not adapter or "." in adapter:
        raise ValueError(f"adapter is {adapter!r}; give a name without a dot")
    if hasattr(nn.ParameterDict(), adapter):  # which is where the adapters are kept
        raise ValueError(f"adapter is {adapter!r}, which means something else to torch; choose another name")
    if adapter in adapter_names(model):
        raise ValueError(f"the model has an adapter {adapter!r} already; choose another name")
    _refuse_merged(model)
    if isinstance(generator, int):
        generator = torch.Generator().manual_seed(generator)
    targets = _targets(model, config.targets)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    for _, layer in adapted_layers(model):
        layer.active = None
    for path in targets:
        parent_path, _, name = path.rpartition(".")
        parent = model.get_submodule(parent_path)
        layer = getattr(parent, name)
        if not isinstance(layer, LoRALinear):
            layer = LoRALinear(layer).train(layer.training)
            setattr(parent, name, layer)
        layer.add(adapter, config, generator)
    return model


def _targets(model: nn.Module, wanted: tuple[str, ...]) -> list[str]:
    """The paths of the linear layers that end in one of the names, in the model's order."""
    linear = [path for path, module in model.named_modules() if isinstance(module, nn.Linear)]
    for name in wanted:
        if not any(_ends(path, name) for path in linear):
            known = ", ".join(dict.fromkeys(path.rpartition(".")[2] for path in linear)) or "none"
            raise ValueError(f"the model has no linear layer {name!r}; its linear layers are {known}")
    return [path for path in linear if any(_ends(path, name) for name in wanted)]


def _ends(path: str, name: str) -> bool:
    return path == name or path.endswith("." + name)


def adapted_layers(model: nn.Module) -> Iterator[tuple[str, LoRALinear]]:
    """The layers that have adapters, with their dotted paths."""
    return ((path, layer) for path, layer in model.named_modules() if isinstance(layer, LoRALinear))


def adapter_names(model: nn.Module) -> list[str]:
    """The names of a model's adapters, in the order in which they came."""
    return list(dict.fromkeys(name for _, layer in adapted_layers(model) for name in layer.configs))


def active_adapter(model: nn.Module) -> str | None:
    """The name of the adapter that the model answers with, or None."""
    return next((layer.active for _, layer in adapted_layers(model) if layer.active is not None), None)


def set_adapter(model: Model, adapter: str | None) -> Model:
    """Answer with one of the adapters, or with none (None), and train that one only.

    Raises:
        ValueError: there is no adapter of that name, or one is merged.
    """
    if adapter is not None:
        _check_adapter(model, adapter)
    _refuse_merged(model)
    for _, layer in adapted_layers(model):
        layer.active = adapter if adapter in layer.configs else None
        for name in layer.configs:
            layer.lora_A[name].requires_grad_(name == adapter)
            layer.lora_B[name].requires_grad_(name == adapter)
    return model


@contextmanager
def without_adapter(model: Model) -> Iterator[Model]:
    """The model as it was before, for as long as the context lasts."""
    active = active_adapter(model)
    set_adapter(model, None)
    try:
        yield model
    finally:
        set_adapter(model, active)


def lora_state_dict(model: nn.Module, adapter: str = DEFAULT_ADAPTER) -> dict[str, Tensor]:
    """The matrices of one adapter alone: `<path of the layer>.lora_A.weight` and `.lora_B.weight`.

    Raises:
        ValueError: there is no adapter of that name.
    """
    _check_adapter(model, adapter)
    return {
        f"{path}.lora_{letter}.weight": matrices[adapter].detach()
        for path, layer in adapted_layers(model)
        if adapter in layer.configs
        for letter, matrices in (("A", layer.lora_A), ("B", layer.lora_B))
    }


@torch.no_grad()
def load_lora_state_dict(
    model: nn.Module, state: Mapping[str, Tensor], adapter: str = DEFAULT_ADAPTER
) -> None:
    """Give an adapter that `apply_lora` made the matrices of a `lora_state_dict`.

    Raises:
        ValueError: a matrix is missing, superfluous or of another shape.
    """
    own = lora_state_dict(model, adapter)
    for name in sorted({*own, *state}):
        shapes = [tuple(tensors[name].shape) if name in tensors else "absent" for tensors in (state, own)]
        if shapes[0] != shapes[1]:
            raise ValueError(
                f"the adapter does not fit the model: {name} is {shapes[0]} in the state and {shapes[1]} in the "
                "model; use the configuration and the base model that it was trained with"
            )
    for name, matrix in own.items():
        matrix.copy_(state[name])


def n_lora_parameters(model: nn.Module, adapter: str = DEFAULT_ADAPTER) -> int:
    """How many numbers one adapter has: the sum of rank (inputs + outputs) over its layers."""
    return sum(matrix.numel() for matrix in lora_state_dict(model, adapter).values())


@torch.no_grad()
def merge_lora(model: Model, adapter: str | None = None) -> Model:
    """Add an adapter to the weights, W <- W + scaling B A, so that it costs nothing any more.

    The adapter is kept, so that `unmerge_lora` can take it out again, up to rounding; `remove_lora` forgets it.

    Args:
        model: with adapters; changed in place.
        adapter: its name; None: the active one.

    Returns:
        the model.

    Raises:
        ValueError: there is no such adapter, or one is merged already.
    """
    adapter = active_adapter(model) if adapter is None else adapter
    if adapter is None:
        raise ValueError("no adapter is active, so none can be merged; choose one with set_adapter")
    set_adapter(model, adapter)
    for _, layer in adapted_layers(model):
        if adapter in layer.configs:
            layer.weight += layer.delta(adapter)
            layer.merged = adapter
    return model


@torch.no_grad()
def unmerge_lora(model: Model) -> Model:
    """Take a merged adapter out of the weights again; it stays active beside them.

    Raises:
        ValueError: none is merged.
    """
    merged = [(layer, layer.merged) for _, layer in adapted_layers(model) if layer.merged is not None]
    if not merged:
        raise ValueError("no adapter is merged; there is nothing to take out")
    for layer, adapter in merged:
        layer.weight -= layer.delta(adapter)
        layer.merged = None
    return model


def delete_adapter(model: Model, adapter: str) -> Model:
    """Forget one adapter; the others stay, and the weights too.

    Raises:
        ValueError: there is no adapter of that name, or it is merged.
    """
    _check_adapter(model, adapter)
    _refuse_merged(model)
    for _, layer in adapted_layers(model):
        if adapter in layer.configs:
            del layer.lora_A[adapter], layer.lora_B[adapter], layer.configs[adapter]
            layer.active = None if layer.active == adapter else layer.active
    return model


def remove_lora(model: Model) -> Model:
    """Make the layers plain again; the weights stay as they are, a merged adapter included, and can be trained."""
    for path, layer in list(adapted_layers(model)):
        parent_path, _, name = path.rpartition(".")
        plain = nn.Linear(layer.in_features, layer.out_features, bias=layer.bias is not None, device="meta")
        plain.weight, plain.bias = layer.weight, layer.bias
        setattr(model.get_submodule(parent_path), name, plain.train(layer.training))
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    return model


@torch.no_grad()
def merged_state_dict(model: nn.Module) -> dict[str, Tensor]:
    """The state dict of the plain model that computes what this one does; the model stays as it is."""
    state = {
        name: tensor
        for name, tensor in model.state_dict().items()
        if ".lora_A." not in name and ".lora_B." not in name
    }
    for path, layer in adapted_layers(model):
        if layer.active is not None and layer.merged is None:
            state[f"{path}.weight"] = layer.weight + layer.delta(layer.active)
    return state


def _check_adapter(model: nn.Module, adapter: str) -> None:
    names = adapter_names(model)
    if adapter not in names:
        raise ValueError(f"the model has no adapter {adapter!r}; it has {', '.join(names) or 'none'}")


def _refuse_merged(model: nn.Module) -> None:
    merged = next((layer.merged for _, layer in adapted_layers(model) if layer.merged is not None), None)
    if merged is not None:
        raise ValueError(f"the adapter {merged!r} is merged into the weights; call unmerge_lora first")
