"""What no model can read is named in one line, wherever it comes in: what was got, what is allowed, what to do."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch

from minillm.model.cache import KVCache
from minillm.model.config import GPTConfig
from minillm.model.gpt import GPT, next_token_loss
from minillm.model.heads import RewardModel, ScalarModel
from minillm.model.inspect import attention_weights, hidden_states, trace
from minillm.model.sampling import generate

SHAPE = {"context_length": 12, "n_layer": 2, "n_head": 4, "n_kv_head": 2, "d_model": 24}
CONFIG = GPTConfig(20, **SHAPE)
IDS = torch.randint(0, 20, (2, 5), generator=torch.Generator().manual_seed(1))

READERS: dict[str, Callable[[Any], Any]] = {
    "GPT": lambda ids: GPT(CONFIG)(ids),
    "hidden": lambda ids: GPT(CONFIG).hidden(ids),
    "cache": lambda ids: GPT(CONFIG)(ids, cache=KVCache(CONFIG, batch=2)),
    "loss": lambda ids: next_token_loss(GPT(CONFIG), ids, IDS),
    "RewardModel": lambda ids: RewardModel(CONFIG)(ids),
    "masked": lambda ids: RewardModel(CONFIG)(ids, torch.ones(2, 5, dtype=torch.bool)),
    "token_scores": lambda ids: ScalarModel(CONFIG).token_scores(ids),
    "attention_weights": lambda ids: attention_weights(GPT(CONFIG), ids),
    "hidden_states": lambda ids: hidden_states(GPT(CONFIG), ids),
    "trace": lambda ids: trace(GPT(CONFIG), ids),
}
WRONG_IDS = {
    "fractions": (
        IDS.float(),
        ValueError,
        "ids are of torch.float32, not torch.int64 or torch.int32; pass ids.long()",
    ),
    "short integers": (IDS.short(), ValueError, "ids are of torch.int16, not torch.int64 or torch.int32"),
    "truth values": (IDS > 3, ValueError, "ids are of torch.bool, not torch.int64 or torch.int32"),
    "another device": (IDS.to("meta"), ValueError, "ids is on meta and the model on cpu; pass ids.to('cpu')"),
    "a list": ([[1, 2]], TypeError, "ids is a list, not a tensor; pass torch.tensor(ids)"),
    "one text": (IDS[0], ValueError, "ids has shape (5,), not (batch, time); add the missing dimension"),
    "three axes": (IDS[None], ValueError, "ids has shape (1, 2, 5), not (batch, time)"),
    "no token": (
        IDS[:, :0],
        ValueError,
        "ids has shape (2, 0) and so holds no token; start each text with the end-of",
    ),
    "no text": (IDS[:0], ValueError, "ids has shape (0, 5) and so holds no token"),
    "no token of no type": (torch.zeros(2, 0), ValueError, "ids are of torch.float32"),
    "below": (
        IDS - 30,
        ValueError,
        "is outside the vocabulary 0 to 19; use the tokenizer that belongs to the model",
    ),
    "beyond": (IDS + 20, ValueError, "is outside the vocabulary 0 to 19"),
    "too many": (IDS.repeat(1, 3), ValueError, "15 tokens"),
}


@pytest.mark.parametrize("wrong", WRONG_IDS)
@pytest.mark.parametrize("reader", READERS)
def test_ids(reader: str, wrong: str) -> None:
    ids, error, message = WRONG_IDS[wrong]
    if reader == "cache" and wrong == "too many":
        message = "0 + 15 tokens do not fit a cache of capacity=12"
    with pytest.raises(error, match=re.escape(message)) as caught, torch.no_grad():
        READERS[reader](ids)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("reader", ["GPT", "hidden", "loss", "RewardModel"])
@torch.no_grad()
def test_short_integers_of_the_common_kind_are_read(reader: str) -> None:
    assert torch.equal(READERS[reader](IDS.int()), READERS[reader](IDS))


LABELLED: dict[str, Callable[[Any], Any]] = {
    "document_ids": lambda labels: GPT(CONFIG)(IDS, document_ids=labels),
    "mask": lambda labels: RewardModel(CONFIG)(IDS, labels),
    "targets": lambda labels: next_token_loss(GPT(CONFIG), IDS, labels),
}
WRONG_LABELS = {
    "fewer": (IDS[:, :4], ValueError, "{} has shape (2, 4) and ids (2, 5); they must be equal"),
    "more": (torch.ones(2, 6).bool(), ValueError, "{} has shape (2, 6) and ids (2, 5)"),
    "one row": (torch.ones(1, 5).bool(), ValueError, "{} has shape (1, 5) and ids (2, 5)"),
    "one axis": (IDS[0], ValueError, "{} has shape (5,) and ids (2, 5)"),
    "a mask to add": (
        torch.zeros(2, 5),
        ValueError,
        "{} is of torch.float32, not whole numbers or truth values",
    ),
    "another device": (IDS.to("meta"), ValueError, "{} is on meta and ids on cpu; bring them together"),
    "a list": ([[1] * 5] * 2, TypeError, "{0} is a list, not a tensor; pass torch.tensor({0})"),
}


@pytest.mark.parametrize("wrong", WRONG_LABELS)
@pytest.mark.parametrize("name", LABELLED)
def test_what_belongs_to_ids(name: str, wrong: str) -> None:
    labels, error, message = WRONG_LABELS[wrong]
    with pytest.raises(error, match=re.escape(message.format(name))) as caught:
        LABELLED[name](labels)
    assert "\n" not in str(caught.value)


@torch.no_grad()
def test_a_mask_of_numbers_is_one_of_truth_values() -> None:
    model = RewardModel(CONFIG)
    mask = torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 0, 0]])
    assert torch.equal(model(IDS, mask), model(IDS, mask.bool()))


def other(**changes: Any) -> GPTConfig:
    return GPTConfig(20, **{**SHAPE, **changes})


def used() -> KVCache:
    cache = KVCache(CONFIG, batch=2)
    GPT(CONFIG)(IDS, cache=cache)
    return cache


WRONG_CACHES = {
    "bf16": (
        lambda: KVCache(CONFIG, batch=2, dtype=torch.bfloat16),
        "the cache is of torch.bfloat16 and the model computes in torch.float32; make it with "
        "KVCache(model.config, dtype=torch.float32)",
    ),
    "fp16": (
        lambda: KVCache(CONFIG, batch=2, dtype=torch.float16),
        "the cache is of torch.float16 and the model",
    ),
    "fp64": (
        lambda: KVCache(CONFIG, batch=2, dtype=torch.float64),
        "the cache is of torch.float64 and the model",
    ),
    "device": (
        lambda: KVCache(CONFIG, batch=2, device="meta"),
        "the cache is on meta and the model on cpu; make it with KVCache(model.config, device='cpu')",
    ),
    "layers": (
        lambda: KVCache(other(n_layer=3), batch=2),
        "the cache is for n_layer, n_kv_head, head_width = (3, 2, 6) and the model has (2, 2, 6); make it with "
        "KVCache(model.config)",
    ),
    "fewer layers": (
        lambda: KVCache(other(n_layer=1), batch=2),
        "head_width = (1, 2, 6) and the model has (2, 2, 6)",
    ),
    "one head": (
        lambda: KVCache(other(n_kv_head=1), batch=2),
        "head_width = (2, 1, 6) and the model has (2, 2, 6)",
    ),
    "more heads": (
        lambda: KVCache(other(n_kv_head=4), batch=2),
        "head_width = (2, 4, 6) and the model has (2, 2, 6)",
    ),
    "width": (
        lambda: KVCache(other(head_dim=8), batch=2),
        "head_width = (2, 2, 8) and the model has (2, 2, 6)",
    ),
    "rows": (
        lambda: KVCache(CONFIG, batch=3),
        "2 rows of ids do not fit a cache of 3 rows; make another cache",
    ),
    "room": (
        lambda: KVCache(CONFIG, batch=2, capacity=4),
        "0 + 5 tokens do not fit a cache of capacity=4; use fewer",
    ),
    "filled by another": (
        used,
        "the 5 columns in the cache were filled by another model; make a cache for each model",
    ),
}


@pytest.mark.parametrize("wrong", WRONG_CACHES)
@torch.no_grad()
def test_caches(wrong: str) -> None:
    make, message = WRONG_CACHES[wrong]
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        GPT(CONFIG)(IDS, cache=make())
    assert "\n" not in str(caught.value)


@torch.no_grad()
def test_more_tokens_than_the_context_do_not_go_into_a_longer_cache() -> None:
    """They were once read at positions that the model has not."""
    model, long = GPT(CONFIG), KVCache(other(context_length=40), batch=2)
    with pytest.raises(
        ValueError, match="15 tokens in a row are more than the model's context_length=12; use fewer"
    ):
        model(IDS.repeat(1, 3), cache=long)
    model(IDS, cache=long)
    model(IDS, cache=long)
    with pytest.raises(ValueError, match="15 tokens in a row are more than"):
        model(IDS, cache=long)
    padded = KVCache(CONFIG, batch=2, capacity=14, padding=torch.tensor([2, 4]))
    model(IDS.repeat(1, 3)[:, :14], cache=padded)  # 12 and 10 tokens behind the padding
    padded = KVCache(CONFIG, batch=2, capacity=14, padding=torch.tensor([0, 4]))
    with pytest.raises(ValueError, match="14 tokens in a row are more than the model's context_length=12"):
        model(IDS.repeat(1, 3)[:, :14], cache=padded)


@torch.no_grad()
def test_a_cache_is_free_for_another_model_when_nothing_is_in_it() -> None:
    cache = used()
    cache.length = 0
    one = GPT(CONFIG, generator=5)
    assert torch.equal(one(IDS, cache=cache), one(IDS, cache=KVCache(CONFIG, batch=2)))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@torch.no_grad()
def test_a_model_in_half_precision_takes_a_cache_of_its_own(dtype: torch.dtype) -> None:
    model = GPT(CONFIG).to(dtype)
    with pytest.raises(ValueError, match=f"the cache is of torch.float32 and the model computes in {dtype}"):
        model(IDS, cache=KVCache(CONFIG, batch=2))
    cache = KVCache(CONFIG, batch=2, dtype=dtype)
    parts = [model(IDS[:, :3], cache=cache), model(IDS[:, 3:], cache=cache)]
    torch.testing.assert_close(torch.cat(parts, dim=1), model(IDS), atol=0.05, rtol=0.05)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@torch.no_grad()
def test_under_autocast_any_precision_will_do(dtype: torch.dtype) -> None:
    model = GPT(CONFIG)
    with torch.autocast("cpu", torch.bfloat16):
        cache = KVCache(CONFIG, batch=2, dtype=dtype)
        parts = [model(IDS[:, :3], cache=cache), model(IDS[:, 3:], cache=cache)]
        torch.testing.assert_close(torch.cat(parts, dim=1), model(IDS), atol=0.05, rtol=0.05)


def test_gradients_through_a_cache() -> None:
    with pytest.raises(
        ValueError, match=r"a cache keeps no gradients; read with it inside torch.no_grad\(\)"
    ):
        GPT(CONFIG)(IDS, cache=KVCache(CONFIG, batch=2))
    GPT(CONFIG).requires_grad_(False)(IDS, cache=KVCache(CONFIG, batch=2))


def test_something_else_than_a_cache() -> None:
    with pytest.raises(TypeError, match=r"cache is a list; make it with KVCache\(model.config\)"):
        GPT(CONFIG)(IDS, cache=[])


@pytest.mark.parametrize(
    ("request_", "error", "message"),
    [
        ({"batch": 0}, ValueError, "batch=0 is too small; use 1 or more"),
        ({"batch": -1}, ValueError, "batch=-1 is too small"),
        ({"batch": 2.0}, TypeError, "batch=2.0 is not a whole number; use an int of 1 or more"),
        ({"batch": True}, TypeError, "batch=True is not a whole number"),
        ({"capacity": 0}, ValueError, "capacity=0 is too small"),
        (
            {"capacity": 13},
            ValueError,
            "capacity=13 is more than the model's context_length=12; use that or less",
        ),
        ({"dtype": torch.int64}, ValueError, "a cache of torch.int64 cannot hold keys and values"),
        ({"padding": [1, 0]}, TypeError, "padding is a list, not a tensor; pass torch.tensor(padding)"),
        (
            {"padding": torch.tensor([1, 0, 0])},
            ValueError,
            "padding has shape (3,) and torch.int64; give one whole",
        ),
        (
            {"padding": torch.tensor([[1, 0]])},
            ValueError,
            "padding has shape (1, 2) and torch.int64; give one whole",
        ),
        (
            {"padding": torch.tensor([1.0, 0.0])},
            ValueError,
            "padding has shape (2,) and torch.float32; give one",
        ),
        ({"padding": torch.tensor([-1, 0])}, ValueError, "padding goes from -1 to 0; use 0 to 11"),
        (
            {"padding": torch.tensor([0, 12])},
            ValueError,
            "padding goes from 0 to 12; use 0 to 11, fewer than",
        ),
        (
            {"padding": torch.tensor([1, 0]), "capacity": 14},
            ValueError,
            "capacity=14 is more than the model's context_length=12 and 1 of padding; use that or less",
        ),
    ],
)
def test_requests_for_a_cache(request_: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        KVCache(CONFIG, **{"batch": 2, **request_})


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            {"prompts": [[1.7, 2]]},
            TypeError,
            "prompts[0] is [1.7, 2], not a list of whole numbers; pass a list of such",
        ),
        ({"prompts": [[1], ["a"]]}, TypeError, "prompts[1] is ['a'], not a list of whole numbers"),
        (
            {"prompts": [torch.tensor([1.0])]},
            TypeError,
            "prompts[0] is tensor([1.]), not a list of whole numbers",
        ),
        ({"prompts": torch.tensor([1, 2])}, TypeError, "prompts[0] is tensor(1), not a list of token ids"),
        ({"prompts": [[[1]]]}, TypeError, "prompts[0] is [[1]], not a list of whole numbers"),
        ({"prompts": IDS[None]}, TypeError, "not a list of token ids; pass a list of such lists"),
        ({"prompts": None}, TypeError, "prompts is None; pass a list of lists of token ids"),
        ({"prompts": "text"}, TypeError, "prompts is 'text'; pass a list of lists of token ids"),
        ({"prompts": [None]}, TypeError, "prompts[0] is None, not a list of token ids"),
        (
            {"max_new_tokens": 2.5},
            TypeError,
            "max_new_tokens=2.5 is not a whole number; use an int of 0 or more",
        ),
        ({"temperature": "hot"}, TypeError, "temperature='hot' is not a number; use a float"),
        ({"temperature": None}, TypeError, "temperature=None is not a number"),
        ({"top_p": "all"}, TypeError, "top_p='all' is not a number"),
        (
            {"top_k": 1.5},
            TypeError,
            "top_k=1.5 is not a whole number; use an int of 1 or more, or None to keep all",
        ),
        ({"stop": "<|end|>"}, TypeError, "stop is '<|end|>', not a list of token ids; pass an id or several"),
        ({"stop": ["."]}, TypeError, "stop is ['.'], not a list of whole numbers; pass an id or several"),
        ({"stop": 1.5}, TypeError, "stop is [1.5], not a list of whole numbers"),
    ],
)
def test_requests_for_a_continuation(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        generate(GPT(CONFIG), **{"prompts": [[1]], "max_new_tokens": 2, **arguments})


def test_ids_may_stand_in_any_kind_of_list() -> None:
    model = GPT(CONFIG)
    expected = generate(model, [[1, 2], [3, 4]], 5, stop=[7, 9])
    numbers = torch.tensor([[1, 2], [3, 4]])
    for prompts, stop in (
        (numbers, torch.tensor([7, 9])),
        (numbers.numpy(), {7, 9}),
        (((1, 2), (3, 4)), iter(torch.tensor([7, 9]))),
    ):
        assert generate(model, prompts, 5, stop=stop) == expected
    assert generate(model, [[1]], 5, stop=torch.tensor(9)) == generate(model, [[1]], 5, stop=9)
