from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from minillm.model.gpt import GPT, IGNORE_INDEX, GPTConfig, KVCache, init_weights, next_token_loss
from minillm.model.pretrained import config_to_json

transformers = pytest.importorskip("transformers")


def hugging_face(model: GPT) -> torch.nn.Module:
    """The transformers model of the same shape with the same weights."""
    kind = transformers.Qwen3ForCausalLM if model.config.qk_norm else transformers.LlamaForCausalLM
    other = kind(kind.config_class(**config_to_json(model.config))).eval()
    missing, unexpected = other.load_state_dict(model.state_dict(), strict=False)
    assert not unexpected
    assert missing == (["lm_head.weight"] if model.config.tie_embeddings else [])
    return other


@pytest.mark.parametrize("qk_norm", [True, False])
@pytest.mark.parametrize("n_kv_head", [1, 2, 4])
@pytest.mark.parametrize("tie_embeddings", [True, False])
def test_logits_equal_transformers(make_model, random_ids, qk_norm, n_kv_head, tie_embeddings) -> None:
    model = make_model(qk_norm=qk_norm, n_kv_head=n_kv_head, tie_embeddings=tie_embeddings, rope_theta=500.0)
    ids = random_ids(2, 17)
    with torch.no_grad():
        ours, theirs = model(ids), hugging_face(model)(ids).logits
    assert ours.shape == (2, 17, 53)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("qk_norm", [True, False])
def test_gradients_equal_transformers(make_model, random_ids, qk_norm) -> None:
    model = make_model(qk_norm=qk_norm)
    other = hugging_face(model)
    ids, targets = random_ids(2, 17), random_ids(2, 17, seed=3)
    next_token_loss(model, ids, targets, reduction="mean").backward()
    F.cross_entropy(other(ids).logits.flatten(0, 1), targets.flatten()).backward()
    theirs = dict(other.named_parameters())
    for name, weight in model.named_parameters():
        # Sums over 34 tokens in another order: a few units in the last place of the largest term.
        torch.testing.assert_close(weight.grad, theirs[name].grad, atol=2e-6, rtol=1e-4, msg=name)


@pytest.mark.parametrize("qk_norm", [True, False])
@pytest.mark.parametrize("tie_embeddings", [True, False])
def test_state_dict_of_transformers_loads(make_model, random_ids, qk_norm, tie_embeddings) -> None:
    model = make_model(qk_norm=qk_norm, tie_embeddings=tie_embeddings)
    other = GPT(model.config)
    other.load_state_dict(hugging_face(model).state_dict())  # strict; lists a tied head twice
    torch.testing.assert_close(other(random_ids(2, 9)), model(random_ids(2, 9)))


def test_number_of_parameters(make_model) -> None:
    model = make_model(n_kv_head=2)
    block = 24 * 24 * 2 + 24 * 12 * 2 + 3 * 24 * 40 + 2 * 24 + 2 * 6
    assert model.n_parameters == 53 * 24 + 3 * block + 24
    assert make_model(tie_embeddings=False).n_parameters == model.n_parameters + 53 * 24


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_token_sees_nothing_that_follows(make_model, random_ids, dtype) -> None:
    model, ids = make_model(), random_ids(2, 15)
    changed = ids.clone()
    changed[:, 8:] = (changed[:, 8:] + 1) % 53
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        before, after = model(ids), model(changed)
    assert torch.equal(before[:, :8], after[:, :8])
    assert not torch.allclose(before[:, 8:], after[:, 8:])


@pytest.mark.parametrize("qk_norm", [True, False])
def test_packed_documents_are_each_as_alone(make_model, random_ids, qk_norm) -> None:
    model, ids = make_model(qk_norm=qk_norm), random_ids(2, 20)
    lengths = [(3, 9, 1, 7), (12, 8)]
    documents = torch.stack(
        [torch.repeat_interleave(torch.arange(len(row)), torch.tensor(row)) for row in lengths]
    )
    documents[0, -2:] = -1  # padding
    with torch.no_grad():
        packed = model(ids, document_ids=documents)
        for row in range(2):
            for document in documents[row].unique().tolist():
                columns = documents[row] == document
                alone = model(ids[row, columns][None])[0]
                torch.testing.assert_close(packed[row, columns], alone, atol=1e-5, rtol=1e-5)


def test_cache_equals_full_forward_at_every_step(make_model, random_ids) -> None:
    model, ids = make_model(), random_ids(3, 24)
    with torch.no_grad():
        full = model(ids)
        cache = KVCache(model.config, batch=3)
        start = 0
        for time in (5, 1, 1, 4, 1, 12):  # single tokens and pieces
            part = model(ids[:, start : start + time], cache=cache)
            torch.testing.assert_close(part, full[:, start : start + time], atol=1e-5, rtol=1e-5)
            start += time
    assert cache.length == 24


def test_ragged_rows_in_a_cache_equal_each_alone(make_model, random_ids) -> None:
    model = make_model()
    texts = [random_ids(1, length, seed=length) for length in (24, 11, 2)]
    padding = torch.tensor([0, 13, 22])
    padded = torch.stack([F.pad(text[0], (pad, 0)) for text, pad in zip(texts, padding.tolist())])
    with torch.no_grad():
        cache = KVCache(model.config, batch=3, padding=padding)
        parts = [model(padded[:, :9], cache=cache), model(padded[:, 9:16], cache=cache)]
        parts += [model(padded[:, column : column + 1], cache=cache) for column in range(16, 24)]
        together = torch.cat(parts, dim=1)
        for row, text in enumerate(texts):
            torch.testing.assert_close(together[row, padding[row] :], model(text)[0], atol=1e-5, rtol=1e-5)


def test_bfloat16_autocast_is_close(make_model, random_ids) -> None:
    model, ids = make_model(), random_ids(2, 15)
    documents = (torch.arange(15) // 6).expand(2, 15)
    with torch.no_grad():
        full = model(ids, document_ids=documents)
        with torch.autocast("cpu", torch.bfloat16):
            low = model(ids, document_ids=documents)
    assert low.dtype == torch.bfloat16
    assert (low - full).norm() < 0.03 * full.norm()  # a few roundings of 1/256 in each of 3 layers


@pytest.mark.parametrize("reduction", ["sum", "mean", "none"])
def test_next_token_loss_equals_cross_entropy_of_the_logits(make_model, random_ids, reduction) -> None:
    model, ids, targets = make_model(), random_ids(2, 15), random_ids(2, 15, seed=5)
    targets[0, :4] = IGNORE_INDEX
    documents = (torch.arange(15) // 6).expand(2, 15)
    loss = next_token_loss(model, ids, targets, documents, reduction)
    logits = model(ids, document_ids=documents)
    reference = F.cross_entropy(logits.mT, targets, ignore_index=IGNORE_INDEX, reduction=reduction)
    torch.testing.assert_close(loss, reference)
    parameters = list(model.parameters())
    for one, other in zip(*(torch.autograd.grad(value.sum(), parameters) for value in (loss, reference))):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("embedding_std", "output_gain"), [(0.02, 1.0), (0.1, 1 / (48 * 0.1))])
def test_untrained_model_guesses(embedding_std: float, output_gain: float) -> None:
    config = GPTConfig(700, context_length=64, n_layer=2, n_head=2, d_model=48)
    model = GPT(config)
    init_weights(model, 1, embedding_std=embedding_std, output_gain=output_gain)
    ids, targets = (
        torch.randint(0, 700, (8, 64), generator=torch.Generator().manual_seed(s)) for s in (0, 1)
    )
    # Logits spread by at most 0.14 around 0, the read token's own is about 1: worth 0.01 nats.
    assert next_token_loss(model, ids, targets, reduction="mean").item() == pytest.approx(
        math.log(700), abs=0.03
    )


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_learns_one_batch_by_heart(precision: str) -> None:
    config = GPTConfig(40, context_length=16, n_layer=2, n_head=2, d_model=32, d_ff=64)
    model = GPT(config, generator=3)
    generator = torch.Generator().manual_seed(6)
    ids = torch.randint(0, 40, (4, 17), generator=generator)
    ids[:, 0] = torch.arange(4)  # the first token tells the rows apart
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.0)
    for _ in range(150):
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            loss = next_token_loss(model, ids[:, :-1], ids[:, 1:], reduction="mean")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.01


def test_wrong_input_is_named(make_model, random_ids) -> None:
    model, ids = make_model(), random_ids(2, 5)
    wrong = ids.clone()
    wrong[1, 2] = 53
    message = "token id 53 is outside the vocabulary 0 to 52; use the tokenizer that belongs to the model"
    for call in (
        lambda: model(wrong),
        lambda: next_token_loss(model, wrong, ids),
        lambda: next_token_loss(model, ids, wrong),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    wrong[1, 2] = -1
    with pytest.raises(ValueError, match="token id -1 is outside"):
        next_token_loss(model, ids, wrong)
    with pytest.raises(ValueError, match="25 tokens are more than the model's context_length=24"):
        model(random_ids(1, 25))
    with pytest.raises(ValueError, match=r"ids has shape \(5,\), not \(batch, time\)"):
        model(ids[0])
    with pytest.raises(ValueError, match=r"document_ids has shape \(1, 5\) and ids \(2, 5\)"):
        model(ids, document_ids=torch.zeros(1, 5))
    with pytest.raises(ValueError, match="reduction='avg'"):
        next_token_loss(model, ids, ids, reduction="avg")


def test_wrong_use_of_a_cache_is_named(make_model, random_ids) -> None:
    model, ids = make_model(), random_ids(2, 5)
    with pytest.raises(ValueError, match="2 rows of ids do not fit a cache of 3 rows"):
        model(ids, cache=KVCache(model.config, batch=3))
    with pytest.raises(ValueError, match=r"0 \+ 5 tokens do not fit a cache of capacity=4"):
        model(ids, cache=KVCache(model.config, batch=2, capacity=4))
    with pytest.raises(ValueError, match="capacity=25 is more than the model's context_length=24"):
        KVCache(model.config, capacity=25)
    with pytest.raises(ValueError, match="document_ids cannot be used together with a cache"):
        model(ids, document_ids=torch.zeros(2, 5), cache=KVCache(model.config, batch=2))


def test_construction_leaves_the_global_generator_alone() -> None:
    state = torch.random.get_rng_state()
    GPT(GPTConfig(30, n_layer=1, d_model=16))
    assert torch.equal(torch.random.get_rng_state(), state)
