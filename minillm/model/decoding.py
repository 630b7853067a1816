"""One step of decoding, in few and large operations.

At one token a row a model's modules spend more time on being called than on computing. Here the matrices that read the
same numbers are joined, laid out in the order in which products with few rows are fastest, and brought to the precision
of the products: once, before the first step. The numbers are those of the modules, up to rounding.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minillm.model.blocks import Block, RMSNorm, apply_rotary, attend, compute_dtype, unit_rms
from minillm.model.cache import KVCache
from minillm.model.decoder import Decoder
from minillm.model.gpt import GPT
from minillm.model.lora import LoRALinear

__all__ = ["decoding_step", "joined"]


def decoding_step(model: GPT) -> Callable[[Tensor, KVCache], Tensor]:
    """A function that reads one token in each row: ids (batch,) and the rows' cache -> hidden states (batch, d_model).

    The model's weights must not change while it is used. Ids and cache are not checked.
    """
    if _joinable(model):
        return _JoinedDecoder(model.model)
    return lambda ids, cache: model.hidden(ids[:, None], cache=cache)[:, -1]


def joined(dtype: torch.dtype, *linears: nn.Module) -> Tensor:
    """The matrices of linear layers side by side, (inputs, all outputs); active adapters are added to theirs."""
    return torch.cat([_matrix(linear) for linear in linears]).detach().to(dtype).T.contiguous()


def _matrix(linear: nn.Module) -> Tensor:
    """(outputs, inputs)."""
    assert isinstance(linear, nn.Linear)
    if isinstance(linear, LoRALinear) and linear.active not in (None, linear.merged):
        return linear.weight + linear.delta(linear.active)
    return linear.weight


def _joinable(model: GPT) -> bool:
    """Whether the blocks' layers are plain ones, nobody listens to them and none drops inputs at random."""
    for module in model.model.modules():
        if module._forward_hooks or module._forward_pre_hooks:
            return False
    for block in model.model.blocks:
        for module in (*block.self_attn.children(), *block.mlp.children()):
            if isinstance(module, RMSNorm):
                continue
            if type(module) not in (nn.Linear, LoRALinear) or module.bias is not None:
                return False  # another layer in the place of ours: only it knows what it computes
            if isinstance(module, LoRALinear):
                drops = any(config.dropout for config in module.configs.values())
                if drops and module.training:
                    return False
    return True


class _JoinedDecoder:
    def __init__(self, decoder: Decoder) -> None:
        self.decoder = decoder
        self.dtype = compute_dtype(decoder.embed_tokens.weight)
        self.blocks = [_JoinedBlock(block, self.dtype) for block in decoder.blocks]

    def __call__(self, ids: Tensor, cache: KVCache) -> Tensor:
        """(batch,) -> (batch, d_model)."""
        x: Tensor = self.decoder.embed_tokens(ids)
        cos, sin = (table.to(self.dtype) for table in self.decoder.rotary(1, cache))
        if cos.dim() == 4:
            cos, sin = cos.squeeze(2), sin.squeeze(2)  # (batch, 1, head_width)
        mask = cache.mask(1, self.dtype)
        for block in self.blocks:
            x = block(x, cos, sin, mask, cache)
        cache.length += 1
        hidden: Tensor = self.decoder.norm(x)
        return hidden


class _JoinedBlock:
    def __init__(self, block: Block, dtype: torch.dtype) -> None:
        attention, mlp = block.self_attn, block.mlp
        self.block, self.layer, self.head_width = block, attention.layer, attention.head_width
        self.n_head = attention.q_proj.weight.shape[0] // self.head_width
        self.n_kv_head = attention.k_proj.weight.shape[0] // self.head_width
        self.inner = joined(dtype, attention.q_proj, attention.k_proj, attention.v_proj)
        self.outer = joined(dtype, attention.o_proj)
        self.gate_up = joined(dtype, mlp.gate_proj, mlp.up_proj)
        self.down = joined(dtype, mlp.down_proj)
        self.gains: Tensor | None = None  # of queries and keys, (heads of both, head_width)
        if attention.q_norm is not None and attention.k_norm is not None:
            self.eps = attention.q_norm.eps
            query, key = attention.q_norm.weight.detach(), attention.k_norm.weight.detach()
            self.gains = torch.cat([query.expand(self.n_head, -1), key.expand(self.n_kv_head, -1)])

    def __call__(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor | None, cache: KVCache) -> Tensor:
        """(batch, d_model) -> (batch, d_model)."""
        x = x + self._attention(self.block.input_layernorm(x), cos, sin, mask, cache)
        gate, up = (self.block.post_attention_layernorm(x) @ self.gate_up).chunk(2, dim=-1)
        wider: Tensor = F.silu(gate) * up
        return x + wider @ self.down

    def _attention(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor | None, cache: KVCache) -> Tensor:
        heads = (x @ self.inner).view(len(x), -1, self.head_width)
        turned = heads[:, : -self.n_kv_head]  # queries and keys
        if self.gains is not None:
            turned = (unit_rms(turned, self.eps) * self.gains).to(heads.dtype)
        turned = apply_rotary(turned, cos, sin)
        query, key = turned[:, : self.n_head, None], turned[:, self.n_head :, None]  # (batch, head, 1, width)
        keys, values = cache.update(self.layer, key, heads[:, -self.n_kv_head :, None])
        return attend(query, keys, values, mask).flatten(1) @ self.outer
