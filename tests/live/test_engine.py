"""The engine of the page gives the numbers of the package: logits, attention weights, scores."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from greedy import n_identical
from live_modules import spread
from safetensors.torch import load_file, save_file

from minillm import GPT, GPTConfig, generate
from minillm.artifact import find_artifacts
from minillm.course import default_root
from minillm.model.heads import RewardModel
from minillm.model.inspect import attention_weights, hidden_states, without_heads
from minillm.model.surprise import chosen_log_probs

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
N_MODELS = 50
TOLERANCE = 1e-4  # the numbers agree to about 1e-6; sums in another order differ in the last bits of float32


def some_config(draw: random.Random, context_length: int = 24) -> GPTConfig:
    """A small shape; what all have in common is only what a model needs."""
    qk_norm = draw.random() < 0.5
    n_kv_head, group, width = draw.choice([1, 2, 3]), draw.choice([1, 2, 3]), 2 * draw.randint(1, 7)
    n_head = n_kv_head * group
    own_width = draw.random() < 0.5
    d_model = n_head * width
    if qk_norm and own_width:
        d_model = draw.randint(3, 41)  # a width of heads that does not follow from it
    elif own_width:
        d_model = n_head * draw.randint(1, 9)
    return GPTConfig(
        vocab_size=draw.randint(2, 97),
        context_length=context_length,
        n_layer=draw.randint(1, 3),
        n_head=n_head,
        n_kv_head=n_kv_head,
        d_model=d_model,
        d_ff=draw.randint(1, 53),
        rope_theta=draw.choice([100.0, 10_000.0, 1_000_000.0]),
        norm_eps=draw.choice([1e-6, 1e-5]),
        qk_norm=qk_norm,
        tie_embeddings=draw.random() < 0.5,
        head_dim=width if own_width else None,
    )


def saved(folder: Path, model: Any, dtype: str = "fp32") -> Any:
    """The model as it comes back from a folder that holds it in a precision."""
    model.save_pretrained(folder)
    weights = {
        name: weight.to(DTYPES[dtype]) for name, weight in load_file(folder / "model.safetensors").items()
    }
    save_file(weights, folder / "model.safetensors")
    return type(model).from_pretrained(folder)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> tuple[GPT, Path]:
    """A model of grouped queries, all sizes different, and its folder."""
    config = GPTConfig(
        vocab_size=61, context_length=120, n_layer=2, n_head=6, n_kv_head=2, d_model=30, d_ff=17, head_dim=8
    )
    model, folder = GPT(config), tmp_path_factory.mktemp("model")
    spread(model, 1)
    return saved(folder, model), folder


def test_logits_are_pytorchs(node: Any, tmp_path: Path) -> None:
    """All layouts, odd sizes, three precisions; each text whole, and in two pieces with a cache."""
    draw = random.Random(17)
    layouts = set()
    for number in range(N_MODELS):
        config = some_config(draw)
        dtype = draw.choice(list(DTYPES))
        built = GPT(config)
        spread(built, number)
        reference = saved(tmp_path / str(number), built, dtype)
        ids = [draw.randrange(config.vocab_size) for _ in range(draw.randint(2, config.context_length))]
        cut = draw.randint(1, len(ids) - 1)
        with torch.no_grad():
            expected = reference(torch.tensor([ids]))[0]
        node.call("load", str(tmp_path / str(number)))
        whole = node.call("forward", ids)
        pieces = node.call("inPieces", [ids[:cut], ids[cut:]])
        case = f"model {number}, {dtype}, {config}"
        assert np.abs(np.array(whole) - expected[-1].numpy()).max() < TOLERANCE, case
        assert np.abs(np.array(pieces) - expected[[cut - 1, -1]].numpy()).max() < TOLERANCE, case
        layouts.add((config.qk_norm, config.tie_embeddings, config.n_kv_head < config.n_head, dtype))
    assert len(layouts) > 18, "most of the 24 kinds must be there"


def test_an_older_config_says_the_same(node: Any, model: tuple[GPT, Path], tmp_path: Path) -> None:
    """Where rope_theta stands alone; and where it is left out, which means 10,000."""
    reference, folder = model
    weights = (folder / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(weights)
    ids = list(range(30))
    node.call("load", str(folder))
    logits = {10_000.0: np.array(node.call("forward", ids))}
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert config.pop("rope_parameters")["rope_theta"] == reference.config.rope_theta == 10_000
    config.pop("rope_theta", None)
    for theta in (None, 10_000.0, 100.0):
        told = {} if theta is None else {"rope_theta": theta}
        (tmp_path / "config.json").write_text(json.dumps(config | told), encoding="utf-8")
        node.call("load", str(tmp_path))
        logits[theta or 10_000.0] = found = np.array(node.call("forward", ids))
        assert (np.abs(found - logits[10_000.0]).max() < TOLERANCE) == (theta != 100.0)


def test_greedy_answers_are_pytorchs(node: Any, model: tuple[GPT, Path]) -> None:
    """100 tokens each. Where two tokens are as good as equal, the last bits decide, and either may be taken."""
    reference, folder = model
    node.call("load", str(folder))
    draw = random.Random(3)
    prompts = [[draw.randrange(61) for _ in range(draw.randint(1, 20))] for _ in range(50)]
    expected = generate(reference, prompts, 100, temperature=0.0)
    ours = [node.call("stream", prompt, {"temperature": 0, "maxNewTokens": 100}) for prompt in prompts]
    assert {len(tokens) for tokens in ours} == {100}
    assert n_identical(reference, prompts, expected, ours, TOLERANCE) >= 49


def test_generation_ends_where_it_must(node: Any, model: tuple[GPT, Path]) -> None:
    reference, folder = model
    node.call("load", str(folder))
    prompt = [5, 7, 11]
    free = node.call("stream", prompt, {"temperature": 0, "maxNewTokens": 1000})
    assert len(free) == 121 - 3, "the last token has not been read any more"
    stop = free[9]
    assert (
        node.call("stream", prompt, {"temperature": 0, "maxNewTokens": 50, "stop": [stop]})
        == free[: free.index(stop)]
    )
    assert node.call("stream", prompt, {"temperature": 0, "maxNewTokens": 0}) == []
    assert (
        node.call("stream", list(range(50)), {"temperature": 0, "maxNewTokens": 4})
        == (generate(reference, [list(range(50))], 4, temperature=0.0)[0])
    )


def test_what_a_cache_holds_is_not_read_again(node: Any, model: tuple[GPT, Path]) -> None:
    """And the token that ends an answer is told."""
    _, folder = model
    node.call("load", str(folder))
    prompt = [5, 7, 11, 2]
    free = node.call("ending", prompt, 0, {"temperature": 0, "maxNewTokens": 12})
    assert free["end"] is None and free["known"] == len(prompt) + 11
    for known in (1, 3):
        assert node.call("ending", prompt, known, {"temperature": 0, "maxNewTokens": 12}) == free
    stop = free["ids"][9]
    assert (
        node.call("ending", prompt, 2, {"temperature": 0, "maxNewTokens": 12, "stop": [stop]})["end"] == stop
    )


def test_log_probs_of_huge_logits(node: Any, tmp_path: Path) -> None:
    """exp of them is infinite."""
    built = GPT(
        GPTConfig(vocab_size=9, context_length=6, n_layer=1, n_head=1, d_model=4, tie_embeddings=False)
    )
    built.head_weight.data *= 1e6
    reference = saved(tmp_path, built)
    node.call("load", str(tmp_path))
    ids = [3, 1, 4, 1]
    with torch.no_grad():
        table = reference(torch.tensor([ids]))[0].double().log_softmax(dim=-1)
    expected = [table[i, token].item() for i, token in enumerate(ids[1:])]
    assert min(expected) < -1000
    assert node.call("logProbs", ids) == pytest.approx(expected, rel=1e-5)


def test_a_cache_forgets(node: Any, model: tuple[GPT, Path]) -> None:
    reference, folder = model
    node.call("load", str(folder))
    with torch.no_grad():
        expected = reference(torch.tensor([[3, 1, 4, 2, 6]]))[0, -1]
    found = node.call("rewound", [3, 1, 4, 1, 5, 9], 3, [2, 6])
    assert np.abs(np.array(found) - expected.numpy()).max() < TOLERANCE


def test_log_probs_are_pytorchs(node: Any, model: tuple[GPT, Path]) -> None:
    reference, folder = model
    node.call("load", str(folder))
    ids = torch.tensor([[3, 1, 4, 1, 5, 9, 2]])
    before, asked = torch.arange(7)[None] - 1, torch.arange(7)[None] > 0
    expected = chosen_log_probs(reference, reference.hidden(ids), ids, before, asked)[0, 1:]
    assert np.abs(np.array(node.call("logProbs", ids[0].tolist())) - expected.numpy()).max() < TOLERANCE


def test_what_can_be_seen_inside(node: Any, model: tuple[GPT, Path]) -> None:
    reference, folder = model
    node.call("load", str(folder))
    ids = [3, 1, 4, 1, 5]
    tensor = torch.tensor([ids])
    attention = attention_weights(reference, tensor)[:, 0].numpy()
    found = node.call("attentionWeights", ids)
    assert [[len(rows) for rows in heads] for heads in found] == [[5] * 6] * 2
    for layer, heads in enumerate(found):
        for head, rows in enumerate(heads):
            for position, row in enumerate(rows):
                assert row == pytest.approx(attention[layer, head, position, : position + 1], abs=1e-5)
    states = node.call("hiddenStates", ids)
    assert np.abs(np.array(states) - hidden_states(reference, tensor)[:, 0].numpy()).max() < TOLERANCE
    off = [[0, 1], [1, 0], [1, 5]]
    with without_heads(reference, [tuple(pair) for pair in off]), torch.no_grad():
        expected = reference(tensor)[0, -1].numpy()
    assert np.abs(np.array(node.call("withoutHeads", ids, off)) - expected).max() < TOLERANCE


@pytest.mark.parametrize("surprise", [False, True])
@pytest.mark.parametrize("qk_norm", [False, True])
def test_scores_are_pytorchs(node: Any, tmp_path: Path, surprise: bool, qk_norm: bool) -> None:
    config = GPTConfig(
        vocab_size=31, context_length=20, n_layer=2, n_head=4, n_kv_head=2, d_model=24, d_ff=19,
        qk_norm=qk_norm, tie_embeddings=not qk_norm,
    )  # fmt: skip
    built = RewardModel(config, answer_mark=7 if surprise else None)
    spread(built, 5)
    built.mean.fill_(0.7)
    reference = saved(tmp_path, built)
    node.call("load", str(tmp_path))
    for ids in ([3, 7, 4, 1, 5, 9], [3, 7, 7, 8], [7, 2, 7], [1, 2, 3, 4, 5, 6], [9]):
        with torch.no_grad():
            expected = reference(torch.tensor([ids])).item()
        assert node.call("forward", ids) == [pytest.approx(expected, abs=TOLERANCE)], ids


def test_the_trained_stages(node: Any) -> None:
    """Those that lie in the runs: the models that readers will see."""
    found = {
        artifact.stage: artifact for artifact in find_artifacts(default_root())[::-1] if artifact.has_model
    }
    if not found:
        pytest.skip(f"no trained stage in {default_root()}")
    for stage, artifact in found.items():
        ids = artifact.tokenizer.encode("Who is the baker? Ada is the baker of Pennywell.")
        with torch.no_grad():
            expected = artifact.model(torch.tensor([ids])).reshape(-1)
        node.call("load", str(artifact.folder))
        logits = np.array(node.call("forward", ids))
        assert np.abs(logits - expected[-len(logits) :].numpy()).max() < TOLERANCE, stage


# Wrong input


def test_wrong_tokens_are_refused(node: Any, model: tuple[GPT, Path]) -> None:
    _, folder = model
    node.call("load", str(folder))
    for ids in ([61], [-1], [1.5], ["1"], [None]):
        with pytest.raises(Exception, match="is outside the vocabulary 0 to 60"):
            node.call("forward", ids)
    with pytest.raises(Exception, match="there are no tokens to read"):
        node.call("forward", [])
    with pytest.raises(Exception, match="121 tokens are more than the model's contextLength=120"):
        node.call("forward", [1] * 121)
    with pytest.raises(Exception, match="the cache belongs to another model"):
        node.call("otherCache", str(folder), [1])


def test_files_that_do_not_fit_are_refused(node: Any, tmp_path: Path) -> None:
    built = GPT(GPTConfig(vocab_size=9, context_length=4, n_layer=1, n_head=1, d_model=4, d_ff=3))
    built.save_pretrained(tmp_path)
    config, path = (tmp_path / "config.json").read_text(encoding="utf-8"), tmp_path / "model.safetensors"
    whole = path.read_bytes()
    wrong = {
        '"model_type": "qwen3"|"model_type": "gpt2"': "only llama and qwen3",
        '"hidden_size": 4|"hidden_size": 6': r"embed_tokens.weight is \(9,4\), wanted is \(9,6\)",
        '"hidden_size": 4|"hidden_size": 0': "hidden_size=0",
        '"num_hidden_layers": 1|"num_hidden_layers": 2': "layers.1.input_layernorm.weight is missing",
        '"tie_word_embeddings": true|"tie_word_embeddings": false': "lm_head.weight is missing",
        '"rope_type": "default"|"rope_type": "yarn"': "rotary positions",
        '"rope_type": "default"|"type": "linear"': "rotary positions",
        '"hidden_act": "silu"|"hidden_act": "gelu"': "activation",
        '"attention_bias": false|"attention_bias": true': "biases",
        '"use_sliding_window": false|"use_sliding_window": true': "sliding window",
        '"head_dim": 4|"head_dim": 3': "heads that do not fit",
    }
    for change, message in wrong.items():
        old, new = change.split("|")
        assert old in config
        (tmp_path / "config.json").write_text(config.replace(old, new), encoding="utf-8")
        with pytest.raises(Exception, match=message):
            node.call("load", str(tmp_path))
    (tmp_path / "config.json").write_text(config, encoding="utf-8")
    for damaged in (
        b"",
        whole[:7],
        whole[:40],
        whole[:-1],
        b"\xff" * 8 + whole[8:],
        whole.replace(b"F32", b"F64", 1),
    ):
        path.write_bytes(damaged)
        with pytest.raises(Exception, match="damaged|stored as F64"):
            node.call("load", str(tmp_path))


def test_every_half_precision_number(node: Any, tmp_path: Path) -> None:
    """fp16 and bf16 have 65,536 each: infinities, NaN, zeros of both signs and the smallest numbers among them."""
    bits = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16)
    path = tmp_path / "numbers.safetensors"
    save_file({"fp16": bits.view(torch.float16), "bf16": bits.clone().view(torch.bfloat16)}, path)
    found = node.call("tensors", str(path))
    for name, dtype in (("fp16", torch.float16), ("bf16", torch.bfloat16)):
        expected = bits.view(dtype).float().numpy()
        ours = np.array(
            list(map(float, (text.replace("Infinity", "inf") for text in found[name]))), np.float32
        )
        assert np.array_equal(ours, expected, equal_nan=True)
