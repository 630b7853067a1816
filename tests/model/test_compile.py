"""torch.compile really run: one graph without a break, and the same numbers."""

from __future__ import annotations

import sys

import pytest
import torch

from minillm.model.cache import KVCache
from minillm.model.gpt import next_token_loss
from minillm.model.heads import RewardModel
from minillm.stages.policy_losses import gae, policy_loss, value_loss
from minillm.stages.reward import ranking_loss
from minillm.train.runtime import has_cpp_compiler


@pytest.fixture(autouse=True)
def fresh_compiler():
    torch.compiler.reset()
    yield
    torch.compiler.reset()


DOCUMENTS = (torch.arange(15) // 6).expand(2, 15)


@pytest.mark.parametrize(
    ("shape", "precision", "documents"),
    [
        ({"n_layer": 1}, "bf16", DOCUMENTS),
        ({"n_layer": 1, "qk_norm": False, "tie_embeddings": False}, "fp32", None),
        ({"n_layer": 1, "head_dim": 10}, "fp32", DOCUMENTS),
    ],
    ids=["qwen3 in bf16", "llama, one document", "wide heads"],
)
def test_the_loss_is_one_graph_with_the_same_gradients(
    make_model, random_ids, shape, precision, documents
) -> None:
    model, ids, targets = make_model(**shape), random_ids(2, 15), random_ids(2, 15, seed=5)
    parameters = list(model.parameters())

    def loss(ids, targets):
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            return next_token_loss(model, ids, targets, documents)

    compiled = torch.compile(loss, backend="aot_eager", fullgraph=True, dynamic=False)
    one, other = loss(ids, targets), compiled(ids, targets)
    close = {"atol": 1e-4, "rtol": 1e-4} if precision == "fp32" else {"atol": 0.1, "rtol": 0.05}
    torch.testing.assert_close(other, one, **close)
    gradients = [torch.autograd.grad(value, parameters) for value in (one, other)]
    for plain, traced in zip(*gradients, strict=True):
        torch.testing.assert_close(traced, plain, **close)


@torch.no_grad()
def test_logits_are_one_graph_for_every_length(make_model, random_ids) -> None:
    model = make_model(n_layer=1)
    told = torch._dynamo.explain(model)(random_ids(2, 15))
    assert (told.graph_count, told.graph_break_count) == (1, 0), told.break_reasons
    torch.compiler.reset()
    compiled = torch.compile(model, backend="eager", fullgraph=True, dynamic=True)
    for shape in ((2, 15), (3, 7), (4, 24)):
        ids = random_ids(*shape)
        torch.testing.assert_close(compiled(ids), model(ids), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("padding", [None, [0, 3]], ids=["plain", "padded"])
@torch.no_grad()
def test_reading_with_a_cache_is_one_graph_a_step(make_model, random_ids, padding) -> None:
    model, ids = make_model(n_layer=1), random_ids(2, 8)

    def cache() -> KVCache:
        return KVCache(model.config, batch=2, padding=None if padding is None else torch.tensor(padding))

    compiled = torch.compile(model, backend="eager", fullgraph=True, dynamic=False)
    one, other = cache(), cache()
    for start, stop in ((0, 5), (5, 6), (6, 8)):
        expected = model(ids[:, start:stop], cache=one)
        found = compiled(ids[:, start:stop], cache=other)
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert other.length == 8


def test_the_heads_losses_are_one_graph(make_model, random_ids) -> None:
    model = RewardModel.from_body(make_model(n_layer=1), generator=5)
    ids, ranks = random_ids(6, 9), torch.tensor([[0, 1, 2], [2, 0, 1]])
    compiled = torch.compile(
        lambda ids: ranking_loss(model.token_scores(ids)[:, -1].view(2, 3), ranks),
        backend="eager",
        fullgraph=True,
    )
    expected = ranking_loss(model.token_scores(ids)[:, -1].view(2, 3), ranks)
    torch.testing.assert_close(compiled(ids), expected, atol=1e-5, rtol=1e-5)


def test_the_losses_of_ppo_are_one_graph() -> None:
    a, b, c = torch.randn(3, 2, 6, generator=torch.Generator().manual_seed(1))
    mask = torch.arange(6) < torch.tensor([[6], [4]])
    for function in (
        lambda: policy_loss(a, b, c, mask, 0.2),
        lambda: value_loss(a, b, c, mask, 0.2),
        lambda: gae(a, b, mask, 0.99, 0.95)[0],
    ):
        compiled = torch.compile(function, backend="eager", fullgraph=True)
        torch.testing.assert_close(compiled(), function())


@pytest.mark.skipif(
    sys.platform != "linux" or not has_cpp_compiler(),
    reason="needs a C++ compiler with OpenMP: Apple's has none, Windows' wants a shell of its own",
)
def test_inductor_gives_the_same_loss(make_model, random_ids) -> None:
    model = make_model(n_layer=1)
    ids, targets = random_ids(2, 15), random_ids(2, 15, seed=5)
    compiled = torch.compile(next_token_loss, fullgraph=True, dynamic=False)
    one, other = next_token_loss(model, ids, targets), compiled(model, ids, targets)
    torch.testing.assert_close(other, one, atol=1e-4, rtol=1e-5)
    parameters = list(model.parameters())
    for plain, fast in zip(*(torch.autograd.grad(value, parameters) for value in (one, other)), strict=True):
        torch.testing.assert_close(fast, plain, atol=1e-4, rtol=1e-3)
