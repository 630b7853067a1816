"""What the page says of an answer, and what it blends into a model, is what PyTorch computes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from live_modules import spread

from minillm import GPT, GPTConfig, Tokenizer, render_chat
from minillm.model.adapters import load_adapter, save_adapter
from minillm.model.heads import RewardModel
from minillm.model.lora import LoRAConfig, adapted_layers, apply_lora
from minillm.text.chat import ASSISTANT, END

TOLERANCE = 1e-4  # sums in another order
MESSAGES = [{"role": "user", "content": "Where is the 猫?"}]
CONFIG = GPTConfig(
    vocab_size=271, context_length=40, n_layer=2, n_head=4, n_kv_head=2, d_model=20, d_ff=17, head_dim=6
)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train(["Here is the hat, where is the cat?", "猫和狗"], CONFIG.vocab_size)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory, tokenizer: Tokenizer) -> dict[str, Path]:
    """Two assistants and a reward model that asks a third."""
    root = tmp_path_factory.mktemp("stages")
    marked = RewardModel(CONFIG, answer_mark=tokenizer.special_tokens[ASSISTANT])
    models: dict[str, GPT | RewardModel] = {"sft": GPT(CONFIG), "ppo": GPT(CONFIG), "reward": marked}
    for number, (name, model) in enumerate(models.items()):
        spread(model, number)
        model.save_pretrained(root / name)
        tokenizer.save(root / name)
    return {name: root / name for name in models}


def nats(model: GPT, prompt: list[int], ids: list[int]) -> torch.Tensor:
    """The log-probability of each token of an answer."""
    with torch.no_grad():
        logits = model(torch.tensor([[*prompt, *ids][:-1]]))[0]
    table = logits.log_softmax(dim=-1)
    return torch.stack([table[len(prompt) - 1 + i, token] for i, token in enumerate(ids)])


def test_an_answer_is_measured_as_pytorch_does(
    node: Any, folders: dict[str, Path], tokenizer: Tokenizer
) -> None:
    """Whole ones, one that was cut off, an empty one, and one that fills the context."""
    named = {name: str(folder) for name, folder in folders.items()}
    ppo, sft = (GPT.from_pretrained(folders[name]).eval() for name in ("ppo", "sft"))
    judge = RewardModel.from_pretrained(folders["reward"]).eval()
    prompt = render_chat(MESSAGES, tokenizer, add_generation_prompt=True).ids
    end = tokenizer.special_tokens[END]
    room = CONFIG.context_length + 1 - len(prompt)
    for ids in (
        [*tokenizer.encode(" The 猫 is here."), end],
        tokenizer.encode(" The hat"),
        [end],
        (tokenizer.encode(" hat") * 40)[:room],
    ):
        request = {"stage": "ppo", "reference": "sft", "judge": "reward", "messages": MESSAGES, "ids": ids}
        found = node.call("measure", named, request)
        expected = nats(ppo, prompt, ids) - nats(sft, prompt, ids)
        assert np.abs(np.array(found["logRatios"]) - expected.numpy()).max() < TOLERANCE
        assert expected.abs().max() > 0.1, "the two differ"
        read = torch.tensor([[*prompt, *ids][: CONFIG.context_length]])
        with torch.no_grad():
            assert found["reward"] == pytest.approx(judge(read).item(), abs=TOLERANCE)
        assert len(found["pieces"]) == len(ids)
        assert "".join(found["pieces"]) == tokenizer.decode(ids).removeprefix(" ")


def test_what_is_not_asked_is_not_told(node: Any, folders: dict[str, Path], tokenizer: Tokenizer) -> None:
    """Without a reference there is no ratio, without a judge no reward; beside itself a model has moved nothing."""
    named = {name: str(folder) for name, folder in folders.items()}
    asked = {"stage": "sft", "messages": MESSAGES, "ids": tokenizer.encode(" hat")}
    alone = node.call("measure", named, {**asked, "reference": None, "judge": None})
    assert alone["logRatios"] is None and alone["reward"] is None
    itself = node.call("measure", named, {**asked, "reference": "sft", "judge": None})
    assert set(itself["logRatios"]) == {0}


# The adapter


def adapted(folder: Path, base: Path, config: LoRAConfig) -> Path:
    """An adapter whose matrices are both far from zero."""
    model = apply_lora(GPT.from_pretrained(base), config)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for _, layer in adapted_layers(model):
            for matrices in (layer.lora_A, layer.lora_B):
                matrix = matrices["default"]
                matrix.copy_(0.3 * torch.randn(matrix.shape, generator=generator))
    return save_adapter(model, folder)


@pytest.mark.parametrize(
    "config", [LoRAConfig(rank=3, alpha=7.0), LoRAConfig(rank=1, alpha=2.0, targets=("q_proj", "down_proj"))]
)
def test_a_share_of_the_adapter(
    node: Any, folders: dict[str, Path], tmp_path: Path, config: LoRAConfig
) -> None:
    """W + share * alpha / rank * B A, whatever share was there before; 0 and 1 are the base and the trained model."""
    base, ids = folders["sft"], [3, 1, 4, 1, 5]
    folder = adapted(tmp_path, base, config)
    shares = [1.0, 0.25, 1.5, 0.0, 0.7, 1.0, 0.0]
    found = node.call("blended", str(base), str(folder), shares, ids)
    for share, ours in zip(shares, found, strict=True):
        model = GPT.from_pretrained(base).eval()
        load_adapter(model, folder)
        with torch.no_grad():
            for _, layer in adapted_layers(model):
                layer.weight += (share - 1) * layer.delta(
                    "default"
                )  # beside the weight stays the whole adapter
            expected = model(torch.tensor([ids]))[0, -1].numpy()
        assert np.abs(np.array(ours) - expected).max() < TOLERANCE, share
    assert found[0] == found[5] and found[3] == found[6], "nothing is left of earlier shares"
    assert np.abs(np.array(found[0]) - found[3]).max() > 0.5


def test_an_adapter_that_does_not_fit_is_refused(node: Any, folders: dict[str, Path], tmp_path: Path) -> None:
    base = folders["sft"]
    folder = adapted(tmp_path, base, LoRAConfig(rank=3, alpha=7.0))
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    for change, told in (
        ({"r": 4}, "does not fit the model at"),
        ({"use_dora": True}, "no plain LoRA adapter"),
        ({"peft_type": "IA3"}, "no plain LoRA adapter"),
        ({"lora_alpha": "much"}, "no plain LoRA adapter"),
    ):
        path.write_text(json.dumps(config | change), encoding="utf-8")
        with pytest.raises(Exception, match=told):
            node.call("blended", str(base), str(folder), [1], [1])


# A model of the reader's own


def test_an_own_model_is_taken(node: Any, folders: dict[str, Path]) -> None:
    model = GPT.from_pretrained(folders["sft"]).eval()
    with torch.no_grad():
        expected = model(torch.tensor([[1]]))[0, -1].numpy()
    assert np.abs(np.array(node.call("adopt", str(folders["sft"]))) - expected).max() < TOLERANCE


def config_with(**changes: Any) -> Any:
    """Changes config.json."""

    def change(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes), encoding="utf-8")

    return change


def content(name: str, change: Any) -> Any:
    """Changes the bytes of a file."""
    return lambda folder: (folder / name).write_bytes(change((folder / name).read_bytes()))


def with_header(header: bytes) -> Any:
    """Gives the weights another header."""
    return content("model.safetensors", lambda _: len(header).to_bytes(8, "little") + header)


def weights_with(value: float) -> Any:
    """Gives one weight another value."""

    def change(folder: Path) -> None:
        model = GPT.from_pretrained(folder)
        model.model.layers[1].mlp.up_proj.weight.data[0] = value
        model.save_pretrained(folder)

    return change


MARK = b'"<|user|>"'
SPOILED = {
    "weights cut short": (content("model.safetensors", lambda b: b[:-5]), "damaged"),
    "weights almost empty": (content("model.safetensors", lambda b: b[:9]), "damaged"),
    "weights without header": (content("model.safetensors", lambda b: b"\xff" * 8 + b[8:]), "damaged"),
    "a header that is null": (with_header(b"null"), "damaged"),
    "a header that is a list": (with_header(b"[1]"), "damaged"),
    "a tensor that is null": (with_header(b'{"a": null}'), "stored as undefined"),
    "half offsets": (
        with_header(b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [-0.5, 3.5]}}'),
        "damaged at a",
    ),
    "weights missing": (
        lambda folder: (folder / "model.safetensors").unlink(),
        "model.safetensors is missing",
    ),
    "no JSON": (content("config.json", lambda b: b[:-9]), "config.json is no JSON"),
    "a picture as tokenizer": (
        content("tokenizer.json", lambda _: b"\x89PNG\xff"),
        "tokenizer.json is no JSON",
    ),
    "a list as config": (content("config.json", lambda _: b"[]"), "config.json is no JSON object"),
    "null as tokenizer": (content("tokenizer.json", lambda _: b"null"), "tokenizer.json or"),
    "an empty tokenizer": (content("tokenizer.json", lambda _: b"{}"), "tokenizer.json or"),
    "no chat marks": (content("tokenizer.json", lambda b: b.replace(MARK, b'"<|you|>"')), "marks of a chat"),
    "another model type": (config_with(model_type="gpt2"), "only llama and qwen3"),
    "another width": (config_with(hidden_size=22), "embed_tokens.weight is"),
    "huge numbers": (config_with(max_position_embeddings=1e15), "whole number from 1 to"),
    "huge layers": (config_with(num_hidden_layers=4_000_000_000), "whole number from 1 to"),
    "a number as text": (config_with(vocab_size="many"), "whole number from 1 to"),
    "halves of heads": (config_with(num_key_value_heads=3), "heads that do not fit"),
    "no epsilon": (config_with(rms_norm_eps="small"), "rms_norm_eps"),
    "infinite weights": (weights_with(float("inf")), "not finite"),
    "weights too large": (weights_with(3e38), "not finite"),
    "no number": (weights_with(float("nan")), "not finite"),
}


@pytest.mark.parametrize("kind", SPOILED)
def test_spoiled_files_are_refused_in_one_line(
    node: Any, folders: dict[str, Path], tmp_path: Path, kind: str
) -> None:
    change, told = SPOILED[kind]
    folder = tmp_path / "own"
    shutil.copytree(folders["sft"], folder)
    change(folder)
    with pytest.raises(Exception, match=told) as refused:
        node.call("adopt", str(folder))
    message = str(refused.value)
    assert message.startswith("Error: ") and "\n" not in message and len(message) < 200


def test_another_tokenizer_and_a_reward_model_are_refused(
    node: Any, folders: dict[str, Path], tmp_path: Path
) -> None:
    with pytest.raises(Exception, match="reward model: it scores, and does not write"):
        node.call("adopt", str(folders["reward"]))
    shutil.copytree(folders["sft"], tmp_path / "own")
    Tokenizer.train(["a longer table of tokens " * 9, "hat cat bat " * 9], 280).save(tmp_path / "own")
    with pytest.raises(Exception, match=r"tokenizer.json does not belong to this model: it has 2\d\d tokens"):
        node.call("adopt", str(tmp_path / "own"))
