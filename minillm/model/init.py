"""The weights a model starts from."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from minillm.model.blocks import Attention
from minillm.model.decoder import DecoderModel

__all__ = ["copy_friendly_start", "init_weights"]

# Of the copy-friendly start:
_FAST_PAIRS = 3  # rotary pairs that tell neighbours apart
_SHARPNESS = 1.5  # gain of the queries that look at the token before
_NOISE = 0.3  # relative to the weights it is added to
_WRITTEN_SHARE = 0.5  # of what a layer's heads read


@torch.no_grad()
def init_weights(
    model: DecoderModel,
    generator: torch.Generator | int = 0,
    *,
    embedding_std: float = 0.1,
    output_gain: float | None = None,
) -> None:
    """Set every weight of a model, in place.

    Embeddings are normal with `embedding_std`; matrices are normal with `1 / sqrt(fan_in)`, which keeps the size of
    what passes through them; `o_proj` and `down_proj` are zero, so that every block starts as the identity and the
    gradient reaches the embeddings undisturbed; norm gains are one, but for the last.

    With tied embeddings such a model scores the token it has just read highest: by
    `d_model * embedding_std * output_gain`, all others by about 0. A small gain makes it find all tokens about equally
    likely, so that its loss is that of guessing, `ln(vocab_size)`.

    Args:
        model: a GPT, or another head on its body.
        generator: a CPU generator, or a seed for a fresh one.
        embedding_std: spread of the numbers in a token's vector. With tied embeddings the same vectors write the
            logits, and a normalised output cannot give a sharp logit on small ones.
        output_gain: gain of the last norm; `None` takes `1 / (d_model * embedding_std)`.

    Reference: Zhang et al. 2019, "Fixup Initialization" (zero-initialised outputs of residual branches).
    """
    generator = torch.Generator().manual_seed(generator) if isinstance(generator, int) else generator
    for name, weight in model.named_parameters():
        if weight.ndim == 1:
            weight.fill_(1.0)
        elif name.endswith(("o_proj.weight", "down_proj.weight")):
            weight.zero_()
        else:
            std = embedding_std if name.endswith("embed_tokens.weight") else weight.shape[1] ** -0.5
            weight.copy_(_normal(weight.shape, std, generator))
    gain = model.model.norm.weight
    gain.fill_(1.0 / (len(gain) * embedding_std) if output_gain is None else output_gain)


@torch.no_grad()
def copy_friendly_start(model: DecoderModel, generator: torch.Generator | int = 0) -> None:
    """Lay the steps of copying from the context into the attention weights of a freshly initialised GPT, in place.

    A model continues "... red ball ... red" with "ball" by two steps (Olsson et al. 2022): a head marks each token with
    the token before it; a later head looks for the place whose mark is the present token and passes on what stands
    there. Learning this from nothing takes a small model long. Here

    - half of the heads of layer 0 look at the token before: a direction that all embeddings share makes their queries
      and keys constant, so that rotary positions alone decide, and the keys are turned by one position;
    - in later layers queries and keys of a head are nearly the same projection, so that like attends to like;
    - every layer's heads together write half of what they read, unchanged: W_o W_v = I / 2.

    A direction that all token vectors share moves all logits alike, and so leaves the predictions as they are. The
    last norm's gain is 1: a model that can copy needs sharp logits early, and the loss then starts somewhat above
    `ln(vocab_size)`. Training starts from there and is free to undo all of it.

    Args:
        model: a GPT after `init_weights`.
        generator: a CPU generator, or a seed for a fresh one.

    Reference: Trockman & Kolter 2023, "Mimetic Initialization of Self-Attention Layers"; Olsson et al. 2022,
    "In-context Learning and Induction Heads".
    """
    generator = torch.Generator().manual_seed(generator) if isinstance(generator, int) else generator
    embedding = model.model.embed_tokens.weight
    shared = _normal((embedding.shape[1],), 1.0, generator).sign()
    embedding += embedding.std() * shared
    for layer, block in enumerate(model.model.blocks):
        attention = block.self_attn
        if layer == 0:
            _look_at_the_token_before(attention, shared, model.config.rope_theta, generator)
        else:
            _look_for_the_like(attention, generator)
        _pass_on_what_is_read(attention, generator)
    model.model.norm.weight.fill_(1.0)


def _look_at_the_token_before(
    attention: Attention, shared: Tensor, theta: float, generator: torch.Generator
) -> None:
    """Make half of the heads (at least one) see the previous token, whatever the tokens are.

    After rotation the score of a key d positions back is the mean of cos(w (d - 1)) over the few fastest rotary
    frequencies w, times the lengths: highest at d = 1.
    """
    head_width = attention.head_width
    angle = theta ** (-torch.arange(min(_FAST_PAIRS, head_width // 2)) * 2.0 / head_width)
    query, key = torch.zeros(head_width), torch.zeros(head_width)
    query[: len(angle)] = 1.0
    key[: len(angle)], key[head_width // 2 :][: len(angle)] = angle.cos(), angle.sin()
    n_key_heads = max(1, attention.k_proj.weight.shape[0] // head_width // 2)
    group = attention.q_proj.weight.shape[0] // attention.k_proj.weight.shape[0]
    # A vector of the residual stream is half `shared`: after RMSNorm its product with it is d_model / sqrt(2).
    seen = len(shared) / math.sqrt(2)
    for projection, vector, heads, gain in (
        (attention.q_proj, query, n_key_heads * group, _SHARPNESS),
        (attention.k_proj, key, n_key_heads, 1.0),
    ):
        length = gain * math.sqrt(head_width)  # what QK-norm with this gain makes of it as well
        rows = torch.outer(vector / vector.norm() * length / seen, shared).repeat(heads, 1)
        projection.weight[: len(rows)] = rows + _normal(rows.shape, _NOISE * float(rows.std()), generator)
    if attention.q_norm is not None:
        attention.q_norm.weight.fill_(_SHARPNESS)


def _look_for_the_like(attention: Attention, generator: torch.Generator) -> None:
    """Make queries and keys two noisy copies of one random projection."""
    std = attention.k_proj.weight.shape[1] ** -0.5
    common = _normal(attention.k_proj.weight.shape, std, generator)
    for projection, rows in (
        (attention.q_proj, _for_query_heads(common, attention)),
        (attention.k_proj, common),
    ):
        projection.weight.copy_(rows + _normal(rows.shape, _NOISE * std, generator))


def _pass_on_what_is_read(attention: Attention, generator: torch.Generator) -> None:
    """Make the heads together write half of the normalised vectors they look at."""
    kv_width, d_model = attention.v_proj.weight.shape
    values = _orthogonal(max(kv_width, d_model), generator)[:kv_width, :d_model]
    group = attention.q_proj.weight.shape[0] // attention.v_proj.weight.shape[0]
    attention.v_proj.weight.copy_(values)
    attention.o_proj.weight.copy_(_for_query_heads(values, attention).T * (_WRITTEN_SHARE / group))


def _for_query_heads(rows: Tensor, attention: Attention) -> Tensor:
    """Repeat each key/value head's rows for the query heads that share it."""
    group = attention.q_proj.weight.shape[0] // rows.shape[0]
    of_each = rows.view(-1, attention.head_width, rows.shape[1])  # (n_kv_head, head_width, d_model)
    return of_each.repeat_interleave(group, dim=0).flatten(0, 1)


def _orthogonal(width: int, generator: torch.Generator) -> Tensor:
    q: Tensor = torch.linalg.qr(torch.empty(width, width).normal_(generator=generator)).Q
    return q


def _normal(shape: tuple[int, ...], std: float, generator: torch.Generator) -> Tensor:
    return torch.empty(shape).normal_(0.0, std, generator=generator)
