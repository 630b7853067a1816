"""Looking inside a model while it computes: every tensor of a forward pass, the attention weights, heads switched off.

All functions run the model's own modules and listen with hooks. Only the attention weights are asked for beside, from
the same queries and keys: the kernels that the model uses never write them down.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from minillm.model.blocks import Attention, attention_probs
from minillm.model.gpt import GPT

__all__ = ["attention_weights", "hidden_states", "trace", "weight_on", "without_heads"]


@torch.no_grad()
def attention_weights(model: GPT, ids: Tensor, document_ids: Tensor | None = None) -> Tensor:
    """How much each position takes from each position that it may look at, in every head.

    The weights are `softmax(query @ key^T / sqrt(head_width) + mask)`. Each row (the last axis) sums to 1; what a
    position may not see has weight 0.

    Args:
        model: a GPT.
        ids: (batch, time) token ids.
        document_ids: (batch, time) document of each token; attention stays inside a document.

    Returns:
        (layer, batch, head, time, time), float32: the last two axes are the position that looks and the one looked at.

    Raises:
        ValueError: as :meth:`GPT.forward`.

    Reference: Vaswani et al. 2017, "Attention Is All You Need", eq. 1.
    """
    weights: list[Tensor] = []

    def look(module: Attention, inputs: tuple[Any, ...]) -> None:
        weights.append(_queries_keys_probs(module, inputs)[2])

    with ExitStack() as hooks:
        for block in model.model.blocks:
            hooks.enter_context(block.self_attn.register_forward_pre_hook(look))
        model(ids, document_ids=document_ids)
    return torch.stack(weights)


def weight_on(
    model: GPT, rows: Iterable[Tensor], targets: Callable[[Tensor], Tensor]
) -> tuple[Tensor, float, int]:
    """How much weight each head lays on the positions that a rule picks out: the mean over all that are asked.

    Args:
        model: a GPT.
        rows: documents, each (time,) token ids.
        targets: turns a document into (time, time) of bool: at [t, s] whether s is what t should look at. Rows of it
            without any target are not asked.

    Returns:
        the mean weight on the targets (layer, head); what even weights over all visible positions would give; and the
        number of positions that were asked.

    Raises:
        ValueError: no position of any document has a target.
    """
    total, even, asked = torch.zeros(model.config.n_layer, model.config.n_head), 0.0, 0
    for ids in rows:
        target = targets(ids).cpu()
        looks = target.any(dim=1).nonzero()[:, 0]
        weights = attention_weights(model, ids[None])[:, 0].cpu()
        total += (weights * target)[:, :, looks].sum(dim=(2, 3))
        even += float((target[looks].sum(dim=1) / (looks + 1)).sum())
        asked += len(looks)
    if not asked:
        raise ValueError("the rule picks out no position in these documents; give others, or another rule")
    return total / asked, even / asked, asked


@torch.no_grad()
def hidden_states(model: GPT, ids: Tensor, document_ids: Tensor | None = None) -> Tensor:
    """The residual stream: the token vectors, and what has become of them after each block.

    Args:
        model: a GPT.
        ids: (batch, time) token ids.
        document_ids: (batch, time) document of each token; attention stays inside a document.

    Returns:
        (n_layer + 1, batch, time, d_model); entry 0 is the embedding, the last one is what the final norm reads.

    Raises:
        ValueError: as :meth:`GPT.forward`.
    """
    states: list[Tensor] = []
    with ExitStack() as hooks:
        for module in (model.model.embed_tokens, *model.model.layers):
            hooks.enter_context(module.register_forward_hook(lambda *args: states.append(args[2])))
        model(ids, document_ids=document_ids)
    return torch.stack(states)


@torch.no_grad()
def trace(model: GPT, ids: Tensor, document_ids: Tensor | None = None) -> dict[str, Tensor]:
    """Run the model once and return every intermediate tensor by name, in the order in which they are computed.

    A tensor has the name of the module that returns it, as in the names of the weights but without `model.`, so that
    `layers.0.mlp.gate_proj` is what the matrix `model.layers.0.mlp.gate_proj.weight` gives. What no module returns
    has one of these names:

    - `layers.0.self_attn.query`, `.key`: normalised and turned, (batch, head, time, head_width); there are
      `n_kv_head` keys;
    - `layers.0.self_attn.weights`: as in :func:`attention_weights`, (batch, head, time, time);
    - `layers.0.self_attn.mix`: what the heads have read, side by side, (batch, time, n_head * head_width);
    - `layers.0.after_attention`: the residual stream between the two halves of a block, (batch, time, d_model);
    - `layers.0.mlp.product`: `silu(gate) * up`, (batch, time, d_ff);
    - `logits`: (batch, time, vocab).

    Args:
        model: a GPT.
        ids: (batch, time) token ids.
        document_ids: (batch, time) document of each token; attention stays inside a document.

    Raises:
        ValueError: as :meth:`GPT.forward`.
    """
    seen: dict[str, Tensor] = {}

    def output(name: str) -> Callable[..., None]:
        return lambda module, inputs, result: seen.update({name: result})

    def read(name: str) -> Callable[..., None]:
        return lambda module, inputs: seen.update({name: inputs[0]})

    def look(name: str) -> Callable[..., None]:
        def before(module: Attention, inputs: tuple[Any, ...]) -> None:
            found = _queries_keys_probs(module, inputs)
            seen.update(zip((f"{name}.query", f"{name}.key", f"{name}.weights"), found, strict=True))

        return before

    with ExitStack() as hooks:
        for name, module in model.model.named_modules():
            if isinstance(module, nn.ModuleList) or not name:
                continue
            hooks.enter_context(module.register_forward_hook(output(name)))
            if isinstance(module, Attention):
                hooks.enter_context(module.register_forward_pre_hook(look(name)))
            for end, instead in _READ_BY.items():
                if name.endswith(end):
                    hooks.enter_context(
                        module.register_forward_pre_hook(read(name.removesuffix(end) + instead))
                    )
        seen["logits"] = model(ids, document_ids=document_ids)
    return seen


# What no module returns is taken where the next module reads it.
_READ_BY = {
    "self_attn.o_proj": "self_attn.mix",
    "post_attention_layernorm": "after_attention",
    "mlp.down_proj": "mlp.product",
}


@contextmanager
def without_heads(model: GPT, heads: Iterable[tuple[int, int]]) -> Iterator[None]:
    """Switch attention heads off while the context lasts: what they have read is replaced by zeros.

    Args:
        model: a GPT.
        heads: (layer, head) pairs.

    Raises:
        ValueError: a layer or head that the model does not have.

    Reference: Michel et al. 2019, "Are Sixteen Heads Really Better than One?"
    """
    config = model.config
    of_layer: dict[int, list[int]] = {}
    for layer, head in heads:
        if not (0 <= layer < config.n_layer and 0 <= head < config.n_head):
            raise ValueError(
                f"head {(layer, head)} does not exist; choose a layer from 0 to {config.n_layer - 1} and a head "
                f"from 0 to {config.n_head - 1}"
            )
        of_layer.setdefault(layer, []).append(head)

    def silence(off: list[int]) -> Callable[..., tuple[Tensor]]:
        def before(module: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
            mix = inputs[0].view(*inputs[0].shape[:2], config.n_head, config.head_width).clone()
            mix[..., off, :] = 0
            return (mix.flatten(-2),)

        return before

    with ExitStack() as hooks:
        for layer, block in enumerate(model.model.blocks):
            if off := of_layer.get(layer):
                hooks.enter_context(block.self_attn.o_proj.register_forward_pre_hook(silence(off)))
        yield


def _queries_keys_probs(attention: Attention, inputs: tuple[Any, ...]) -> tuple[Tensor, Tensor, Tensor]:
    """What a layer's attention reads its values with: queries, keys, and the weights in float32."""
    x, cos, sin, mask = inputs[:4]
    query, key, _ = attention.queries_keys_values(x, cos, sin)
    return query, key, attention_probs(query.float(), key.float(), mask)
