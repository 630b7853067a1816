"""The weights a model starts from."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from minillm.model.blocks import Attention
from minillm.model.decoder import DecoderModel

__all__ = ["copy_friendly_start", "init_weights"]

# Of the copy-friendly start:
# of layer 0: rotary pairs, how many tokens back they look, and the share they write of what they read, so that marks
# are about as long as token vectors
_BEFORE = (range(3), 1.0, 0.25)  # the token before
_AROUND = (range(3, 6), 4.0, 1.0)  # some ten tokens, and those about four back the most; their mean is short
_SHARPNESS = 1.5  # gain of the queries
_NOISE = 0.1  # relative to the weights it is added to
_WRITTEN_SHARE = 0.5  # of what a head of a later layer reads
# What the heads of the second layer and of those after it compare, in turn; see `_compare`.
_SECOND, _LATER = (
    ("follows", "surroundings", "mentioned", "follows"),
    ("like", "surroundings", "mentioned", "like"),
)


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
    there. To say where Kofi is, of two people, it needs another mark: which words stand around a token. Learning this
    from nothing takes a small model long. Here

    - half of the heads of layer 0 look at the token before, the other half at some ten tokens before: a direction that
      all embeddings share makes their queries and keys constant, so that rotary positions alone decide. What they read
      they write into directions of their own, so that "Kofi stands before me" is not taken for "I am Kofi";
    - a head of layer 1 compares what a token is with those marks, or the marks with one another, and passes on what
      it finds: see `_compare`;
    - in later layers some of the heads do so too; in the others queries and keys are nearly the same projection, so
      that like attends to like.

    A direction that all token vectors share moves all logits alike, and so leaves the predictions as they are. The
    last norm's gain is 1: a model that can copy needs sharp logits early, and the loss then starts somewhat above
    `ln(vocab_size)`. Training starts from there and is free to undo all of it.

    Args:
        model: a GPT after `init_weights`.
        generator: a CPU generator, or a seed for a fresh one.

    Reference: Trockman & Kolter 2023, "Mimetic Initialization of Self-Attention Layers"; Olsson et al. 2022,
    "In-context Learning and Induction Heads"; Feng & Steinhardt 2023, "How do Language Models Bind Entities in
    Context?" (arXiv 2310.17191).
    """
    generator = torch.Generator().manual_seed(generator) if isinstance(generator, int) else generator
    embedding = model.model.embed_tokens.weight
    shared = _normal((embedding.shape[1],), 1.0, generator).sign()
    embedding += embedding.std() * shared
    first, *others = (block.self_attn for block in model.model.blocks)
    n_before = max(1, _n_key_heads(first) // 2)
    shares = []
    for head in range(_n_key_heads(first)):
        pairs, distance, share = _BEFORE if head < n_before else _AROUND
        _look_back(first, head, shared, pairs, distance, model.config.rope_theta, generator)
        shares.append(share)
    tokens, marks = _write_marks(first, shared, shares, generator)
    for number, attention in enumerate(others):
        plan = _LATER if number else _SECOND
        passed_on = _orthogonal(attention.v_proj.weight.shape, generator)
        for head in range(_n_key_heads(attention)):
            what = plan[head % len(plan)]
            of = head % n_before if what == "follows" else min(n_before + number % n_before, len(marks) - 1)
            _compare(attention, head, what, tokens[of], marks[of], passed_on, generator)
    for attention in (first, *others):
        if attention.q_norm is not None:
            attention.q_norm.weight.fill_(_SHARPNESS)
    model.model.norm.weight.fill_(1.0)


def _look_back(
    attention: Attention,
    head: int,
    shared: Tensor,
    pairs: range,
    distance: float,
    theta: float,
    generator: torch.Generator,
) -> None:
    """Make a key head, and the query heads that share it, see the tokens `distance` back, whatever they are.

    After rotation the score of a key d positions back is the mean of cos(w (d - distance)) over the frequencies w of
    the rotary pairs, times the lengths: highest at d = distance; with fast pairs there alone.
    """
    width = attention.head_width
    chosen = torch.tensor([pair for pair in pairs if pair < width // 2] or [width // 2 - 1])
    angle = distance * theta ** (-chosen * 2.0 / width)
    query, key = torch.zeros(width), torch.zeros(width)
    query[chosen] = 1.0
    key[chosen], key[width // 2 + chosen] = angle.cos(), angle.sin()
    # A vector of the residual stream is half `shared`: after RMSNorm its product with it is d_model / sqrt(2).
    seen = len(shared) / math.sqrt(2)
    for projection, vector, gain, places in (
        (attention.q_proj, query, _SHARPNESS, _query_heads(attention, head)),
        (attention.k_proj, key, 1.0, [_place(attention, head)]),
    ):
        length = gain * math.sqrt(width)  # what QK-norm with this gain makes of it as well
        wanted = torch.outer(vector / vector.norm() * length / seen, shared)
        for place in places:
            projection.weight[place] = _noisy(wanted, generator)


def _write_marks(
    attention: Attention, shared: Tensor, shares: list[float], generator: torch.Generator
) -> tuple[list[Tensor], list[Tensor]]:
    """Let the heads write a share of what they read into directions of their own.

    Returns:
        for each key head (head_width, d_model) the directions of a token that it reads, and those that it writes.
    """
    unit = shared / shared.norm()
    read = _orthogonal(attention.v_proj.weight.shape, generator)
    read -= torch.outer(read @ unit, unit)  # what all tokens share is no mark
    write = _orthogonal(attention.v_proj.weight.shape, generator)
    written = (
        write * torch.tensor(shares).repeat_interleave(attention.head_width)[:, None] / _group(attention)
    )
    attention.v_proj.weight.copy_(read)
    attention.o_proj.weight.copy_(_for_query_heads(written, attention).T)
    places = [_place(attention, head) for head in range(_n_key_heads(attention))]
    return [read[place] for place in places], [write[place] for place in places]


def _compare(
    attention: Attention,
    head: int,
    what: str,
    token: Tensor,
    mark: Tensor,
    passed_on: Tensor,
    generator: torch.Generator,
) -> None:
    """Lay into a head which places it looks for, and what it passes on from there.

    ============ =================================== ============================================================
    what         the present token attends to        so that
    ============ =================================== ============================================================
    follows      places marked with what it is       what followed it last time is passed on
    surroundings places with marks like its own      what stood among the same words is passed on
    mentioned    the words that it is marked with    what they are marked with is passed on: what stood around them
    like         places that are like itself         what it reads is passed on
    ============ =================================== ============================================================

    Args:
        token, mark: (head_width, d_model) directions that a head of layer 0 reads and writes.
        passed_on: (key heads x head_width, d_model) directions for what is passed on as it is.
    """
    place = _place(attention, head)
    same, common = passed_on[place], _normal(token.shape, token.shape[1] ** -0.5, generator)
    query, key, read, write = {
        "follows": (token, mark, same, same),
        "surroundings": (mark, mark, same, same),
        "mentioned": (mark, token, mark, token),
        "like": (common, common, same, same),
    }[what]
    for asking in _query_heads(attention, head):
        attention.q_proj.weight[asking] = _noisy(query, generator)
        attention.o_proj.weight[:, asking] = write.T * (_WRITTEN_SHARE / _group(attention))
    attention.k_proj.weight[place], attention.v_proj.weight[place] = _noisy(key, generator), read


def _n_key_heads(attention: Attention) -> int:
    return attention.k_proj.weight.shape[0] // attention.head_width


def _group(attention: Attention) -> int:
    """How many query heads share a key head."""
    return attention.q_proj.weight.shape[0] // attention.k_proj.weight.shape[0]


def _query_heads(attention: Attention, head: int) -> list[slice]:
    """The places of the query heads that share a key head."""
    group = _group(attention)
    return [_place(attention, query) for query in range(head * group, (head + 1) * group)]


def _place(attention: Attention, head: int) -> slice:
    """The rows, or columns, of a head."""
    return slice(head * attention.head_width, (head + 1) * attention.head_width)


def _noisy(rows: Tensor, generator: torch.Generator) -> Tensor:
    return rows + _normal(rows.shape, _NOISE * float(rows.std()), generator)


def _for_query_heads(rows: Tensor, attention: Attention) -> Tensor:
    """Repeat each key/value head's rows for the query heads that share it."""
    group = attention.q_proj.weight.shape[0] // rows.shape[0]
    of_each = rows.view(-1, attention.head_width, rows.shape[1])  # (n_kv_head, head_width, d_model)
    return of_each.repeat_interleave(group, dim=0).flatten(0, 1)


def _orthogonal(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """A matrix whose rows are orthonormal, or its columns where it has more rows than columns."""
    q: Tensor = torch.linalg.qr(torch.empty(max(shape), max(shape)).normal_(generator=generator)).Q
    return q[: shape[0], : shape[1]]


def _normal(shape: tuple[int, ...], std: float, generator: torch.Generator) -> Tensor:
    return torch.empty(shape).normal_(0.0, std, generator=generator)
