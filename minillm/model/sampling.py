"""Sampling: from scores to a probability distribution, and from a prompt to its continuation.

Prompts of different length are computed together: shorter rows are padded on the left, which changes none of their
results (see `KVCache`). A prompt that is given several times is read once. A row's continuation does not depend on what
else is in the batch, but at temperatures above 0 the random numbers it gets do. A row that has ended is left out of
later steps; a random number is drawn for it all the same, so that the other rows get the numbers they would get with
it.
"""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Iterable, Iterator, Sequence
from typing import cast

import torch
from torch import Tensor

from minillm.model.blocks import compute_dtype
from minillm.model.cache import KVCache
from minillm.model.decoding import decoding_step
from minillm.model.gpt import GPT

__all__ = ["generate", "sampling_probs", "stream"]

FIRST_COLUMNS = 16  # tokens of each answer there is room for at first; most rows end before they need more


def sampling_probs(
    logits: Tensor, temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None
) -> Tensor:
    """The distribution that tokens are drawn from.

    The logits are divided by the temperature; all but the `top_k` highest are dropped; of the rest, the most
    probable tokens are kept until together they have `top_p`; what is left is scaled to sum 1. Temperature 0 puts
    everything on the highest logit. Among equal logits the lower id comes first.

    Args:
        logits: (..., vocab).
        temperature: 0 or more; below 1 sharpens, above 1 flattens.
        top_k: tokens kept, 1 or more; `None` keeps all.
        top_p: probability kept, above 0 and up to 1; `None` keeps all.

    Returns:
        (..., vocab) float32 probabilities.

    >>> sampling_probs(torch.tensor([2.0, 1.0, 0.0]).log(), top_k=1)
    tensor([1., 0., 0.])

    Reference: Fan et al. 2018 (top-k), Holtzman et al. 2020 (top-p).
    """
    _check_sampling(temperature, top_k, top_p)
    logits = logits.float()
    if temperature == 0.0 or top_k == 1:
        return torch.zeros_like(logits).scatter_(-1, logits.argmax(dim=-1, keepdim=True), 1.0)
    logits = (logits - logits.amax(dim=-1, keepdim=True)) / temperature
    vocab = logits.shape[-1]
    keep_k = top_k is not None and top_k < vocab
    kept = 1.0 if top_p is None else top_p
    if not keep_k and kept == 1.0:
        return logits.softmax(dim=-1)
    values, ids = logits.sort(dim=-1, descending=True, stable=True)
    if keep_k:
        values, ids = values[..., :top_k], ids[..., :top_k]
    probs = values.softmax(dim=-1)
    if kept < 1.0:
        before = probs.cumsum(dim=-1) - probs  # what the more probable tokens have together
        probs = probs.masked_fill(before >= kept, 0.0)
        probs = probs / probs.sum(dim=-1, keepdim=True)
    return torch.zeros_like(logits).scatter_(-1, ids, probs)


def generate(
    model: GPT,
    prompts: Sequence[Sequence[int]],
    max_new_tokens: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    stop: int | Iterable[int] | None = None,
    generator: torch.Generator | None = None,
    share: tuple[int, int] = (0, 1),
) -> list[list[int]]:
    """Continue each prompt token by token.

    A continuation ends before the first stop token (which is not returned), after `max_new_tokens`, or when prompt
    and continuation have reached `context_length + 1` tokens, the last of which has not been read any more.

    Args:
        model: in whatever mode and precision it is.
        prompts: token ids of each, 1 to `context_length` of them.
        max_new_tokens: tokens a prompt, at most; 0 or more.
        temperature: see :func:`sampling_probs`; 0 always takes the most probable token and ignores the generator.
        top_k: see :func:`sampling_probs`.
        top_p: see :func:`sampling_probs`.
        stop: an id or several.
        generator: a CPU generator, the only source of randomness; `None` is one with seed 0.
        share: (number, of how many): only every so many-th prompt is continued, as it is beside the others; so several
            processes with generators of the same seed can share out the prompts.

    Returns:
        The new ids of each prompt that is continued.

    Raises:
        TypeError: `prompts` is one prompt instead of a list of them, or holds something else than whole numbers, like
            `stop`; a setting that is no number.
        ValueError: an empty or too long prompt, an id outside the vocabulary, a sampling setting out of range.
    """
    rows = _checked_prompts(model, prompts)
    _check_sampling(temperature, top_k, top_p)
    _check_length(max_new_tokens)
    stop_ids = _stop_ids(stop)
    numbers = range(len(rows))[share[0] :: share[1]]
    mine = [rows[number] for number in numbers]
    room = [min(max_new_tokens, model.config.context_length + 1 - len(row)) for row in mine]
    new: list[list[int]] = [[] for _ in mine]
    draws = _Draws(generator, len(rows), numbers)
    for step in _steps(model, mine, room, stop_ids, temperature, top_k, top_p, draws):
        for row, token in step:
            new[row].append(token)
    return new


def stream(
    model: GPT,
    prompt: Sequence[int],
    max_new_tokens: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    stop: int | Iterable[int] | None = None,
    generator: torch.Generator | None = None,
) -> Iterator[int]:
    """Continue one prompt, handing out each token as soon as it is drawn; arguments and ends as in :func:`generate`."""
    rows = _checked_prompts(model, [prompt])
    _check_sampling(temperature, top_k, top_p)  # here, or wrong values would be found at the first token only
    _check_length(max_new_tokens)
    room = [min(max_new_tokens, model.config.context_length + 1 - len(rows[0]))]
    stop_ids = _stop_ids(stop)
    steps = _steps(model, rows, room, stop_ids, temperature, top_k, top_p, _Draws(generator))
    return (token for step in steps for _, token in step)


class _Draws:
    """Random numbers, one a step for each row of the batch, whether it still runs here or not.

    Args:
        generator: gives them; `None` is one with seed 0.
        batch: rows of the whole batch.
        numbers: of our rows in it.
    """

    def __init__(
        self, generator: torch.Generator | None, batch: int = 1, numbers: Sequence[int] = (0,)
    ) -> None:
        self.generator = torch.Generator().manual_seed(0) if generator is None else generator
        self.batch, self.numbers = batch, numbers

    def of(self, rows: Sequence[int]) -> Tensor:
        """The numbers of a step for some of our rows, (rows, 1), from 0 to below 1."""
        return torch.rand(self.batch, 1, generator=self.generator)[[self.numbers[row] for row in rows]]


def _steps(
    model: GPT,
    prompts: list[list[int]],
    room: list[int],
    stop_ids: frozenset[int],
    temperature: float,
    top_k: int | None,
    top_p: float | None,
    draws: _Draws,
) -> Iterator[list[tuple[int, int]]]:
    """Yield the (row, token) pairs that each step appends, until every row has met a stop token or filled its room."""
    if max(room, default=0) < 1:
        return
    head, read = _head(model), decoding_step(model)
    rows = sorted(range(len(prompts)), key=lambda row: len(prompts[row]))
    columns = min(FIRST_COLUMNS, max(room) - 1)
    hidden, cache = _read_prompts(model, [prompts[row] for row in rows], columns, head)
    for step in itertools.count(1):
        with torch.inference_mode():
            tokens = _draw(hidden @ head, temperature, top_k, top_p, draws, rows).tolist()
        yield [(row, token) for row, token in zip(rows, tokens) if token not in stop_ids]
        ongoing = [token not in stop_ids and room[row] > step for row, token in zip(rows, tokens)]
        if not any(ongoing):
            return
        if not all(ongoing):
            places = _places(ongoing)
            rows, tokens = [rows[place] for place in places], [tokens[place] for place in places]
            cache.select(places)
        if cache.length == cache.capacity:
            cache.grow(cache.length + step)
        with torch.inference_mode():
            hidden = read(torch.tensor(tokens, device=head.device), cache)


def _head(model: GPT) -> Tensor:
    """The head's matrix, (d_model, vocab), in the precision of matrix products."""
    weight = model.head_weight
    # A product with few rows runs up to four times faster on numbers in this order.
    return weight.detach().to(compute_dtype(weight)).T.contiguous()


def _read_prompts(model: GPT, prompts: list[list[int]], columns: int, head: Tensor) -> tuple[Tensor, KVCache]:
    """Read the prompts, the shortest first, those of similar length together and equal ones once.

    Returns:
        The hidden states behind them, (batch, d_model), and the cache that holds them, with room for `columns` more.
    """
    places: dict[tuple[int, ...], int] = {}
    rows = [places.setdefault(tuple(prompt), len(places)) for prompt in prompts]
    different = [list(prompt) for prompt in places]
    repeated = len(different) < len(prompts)
    longest = len(different[-1])
    padding = torch.tensor([longest - len(row) for row in different])
    cache = KVCache(
        model.config,
        batch=len(different),
        capacity=longest if repeated else longest + columns,
        padding=padding if bool(padding.any()) else None,
        dtype=head.dtype,
        device=head.device,
    )
    pieces = []
    with torch.inference_mode():
        for start, stop in _similar([len(row) for row in different]):
            ids = _left_padded(different[start:stop]).to(head.device)
            pieces.append(model.hidden(ids, cache=cache.part(start, stop))[:, -1])
        cache.length = longest
        hidden = torch.cat(pieces)[torch.tensor(rows, device=head.device)]
    if repeated:
        cache.spread(rows, longest + columns)
    return hidden, cache


def _similar(lengths: list[int]) -> Iterator[tuple[int, int]]:
    """Cut rising lengths into pieces, start and stop of each, that need little padding."""
    start = 0
    for stop in range(1, len(lengths) + 1):
        if stop == len(lengths) or lengths[stop] > 1.25 * lengths[start] + 4:
            yield start, stop
            start = stop


def _left_padded(rows: list[list[int]]) -> Tensor:
    """Ids (batch, longest)."""
    longest = max(map(len, rows))
    return torch.tensor([[0] * (longest - len(row)) + row for row in rows])


def _places(ongoing: list[bool]) -> list[int]:
    """Places of the ongoing rows, so ordered that few rows change theirs: the last ones fill the gaps."""
    n = sum(ongoing)
    movers = (place for place in range(n, len(ongoing)) if ongoing[place])
    return [place if ongoing[place] else next(movers) for place in range(n)]


def _draw(
    logits: Tensor,
    temperature: float,
    top_k: int | None,
    top_p: float | None,
    draws: _Draws,
    rows: Sequence[int],
) -> Tensor:
    """One token for each of these rows: (running, vocab) -> (running,) on the CPU."""
    if temperature == 0.0:
        return logits.argmax(dim=-1).cpu()
    probs = sampling_probs(logits, temperature, top_k, top_p).cpu()
    cumulative = probs.cumsum(dim=-1, dtype=torch.float64)
    # A float32 number below 1 stays below 1 in float64 products, so that the search cannot run off the end.
    uniform = draws.of(rows).double()
    return torch.searchsorted(cumulative, uniform * cumulative[:, -1:], right=True)[:, 0]


def _checked_prompts(model: GPT, prompts: Sequence[Sequence[int]]) -> list[list[int]]:
    vocab_size, context_length = model.config.vocab_size, model.config.context_length
    if isinstance(prompts, (int, str, bytes)) or not hasattr(prompts, "__iter__"):
        raise TypeError(f"prompts is {prompts!r}; pass a list of lists of token ids")
    rows = []
    for number, prompt in enumerate(prompts):
        row = _whole_numbers(f"prompts[{number}]", prompt, "pass a list of such lists")
        if not row:
            raise ValueError(f"prompts[{number}] is empty; start it with the end-of-text token")
        if len(row) > context_length:
            raise ValueError(
                f"prompts[{number}] has {len(row)} tokens, more than the model's context_length={context_length}; "
                "shorten it or keep its last tokens only"
            )
        if not 0 <= min(row) <= max(row) < vocab_size:
            wrong = min(row) if min(row) < 0 else max(row)
            raise ValueError(
                f"prompts[{number}] holds token id {wrong}, outside the vocabulary 0 to {vocab_size - 1}; "
                "encode the text with the tokenizer the model was trained with"
            )
        rows.append(row)
    return rows


def _whole_numbers(name: str, ids: Iterable[int], remedy: str) -> list[int]:
    """Token ids as integers; nothing else is one, neither 1.7 nor "a"."""
    if isinstance(ids, (str, bytes)) or not hasattr(ids, "__iter__") or getattr(ids, "ndim", 1) != 1:
        raise TypeError(f"{name} is {ids!r}, not a list of token ids; {remedy}")
    try:
        return [operator.index(token) for token in ids]
    except TypeError:
        raise TypeError(f"{name} is {ids!r}, not a list of whole numbers; {remedy}") from None


def _stop_ids(stop: int | Iterable[int] | None) -> frozenset[int]:
    if stop is None:
        return frozenset()
    if isinstance(stop, Iterable) and getattr(stop, "ndim", 1) > 0:
        return frozenset(_whole_numbers("stop", stop, "pass an id or several"))
    return frozenset(_whole_numbers("stop", [cast(int, stop)], "pass an id or several"))


def _check_sampling(temperature: float, top_k: int | None, top_p: float | None) -> None:
    for name, value in (("temperature", temperature), ("top_p", top_p)):
        if not hasattr(value, "__float__") and not (value is None and name == "top_p"):
            raise TypeError(f"{name}={value!r} is not a number; use a float")
    if not (math.isfinite(temperature) and temperature >= 0.0):
        raise ValueError(
            f"temperature={temperature} is not allowed; use 0 (most probable token) or a number above it"
        )
    if top_k is not None and not hasattr(top_k, "__index__"):
        raise TypeError(
            f"top_k={top_k!r} is not a whole number; use an int of 1 or more, or None to keep all"
        )
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k={top_k} keeps no token; use 1 or more, or None to keep all")
    if top_p is not None and not 0.0 < top_p <= 1.0:
        raise ValueError(
            f"top_p={top_p} is not allowed; use a share above 0 and up to 1, or None to keep all"
        )


def _check_length(max_new_tokens: int) -> None:
    if not hasattr(max_new_tokens, "__index__"):
        raise TypeError(f"max_new_tokens={max_new_tokens!r} is not a whole number; use an int of 0 or more")
    if max_new_tokens < 0:
        raise ValueError(f"max_new_tokens={max_new_tokens} is not allowed; use 0 or more")
