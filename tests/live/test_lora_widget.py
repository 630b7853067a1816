"""The slider of an adapter in a browser: each share gives the answer of the model with that share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import browser
import pytest
import torch
from live_modules import spread
from live_site import Visitor, build, page, visited

from minillm import GPT, GPTConfig, Tokenizer, generate, render_chat
from minillm.model.adapters import load_adapter, save_adapter
from minillm.model.lora import LoRAConfig, adapted_layers, apply_lora, merge_lora
from minillm.text.chat import answer_text, stop_ids

QUESTION = "Where is the hat?"
CONFIG = GPTConfig(vocab_size=280, context_length=200, n_layer=2, n_head=2, d_model=16)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train(["Hello there, where is the hat? Here is the hat.", "猫和狗"], CONFIG.vocab_size)


@pytest.fixture(scope="module")
def base() -> GPT:
    model = GPT(CONFIG).eval()
    spread(model, 4)
    return model


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, base: GPT, tokenizer: Tokenizer) -> Path:
    site = tmp_path_factory.mktemp("site")

    def write_base(folder: Path) -> None:
        base.save_pretrained(folder)
        tokenizer.save(folder)

    def write_adapter(folder: Path) -> None:
        write_base(folder)
        model = apply_lora(GPT.from_pretrained(folder), LoRAConfig(rank=2, alpha=6.0))
        for _, layer in adapted_layers(model):
            spread(layer.lora_A, 5)
            spread(layer.lora_B, 6)
        save_adapter(model, folder / "adapter")

    stages = {"sft": write_base, "lora": write_adapter}
    build(site, stages, parents={"lora": ["sft"]})
    build(site / "alone", stages, parents={"lora": ["other"]})
    return site


@pytest.fixture(scope="module")
def visitor(site: Path) -> Iterator[Visitor]:
    roots = {"lora.html": "", "alone.html": "alone/"}
    pages = {name: page("lora", root, stage="lora", prompts=[QUESTION]) for name, root in roots.items()}
    with visited(site, pages) as someone:
        yield someone


def answer(site: Path, tokenizer: Tokenizer, share: float) -> str:
    """What the package answers with a share of the adapter."""
    model = GPT.from_pretrained(site / "models" / "sft").eval()
    load_adapter(model, site / "models" / "lora" / "adapter")
    with torch.no_grad():
        for _, layer in adapted_layers(model):
            layer.lora_B["default"] *= share
    merge_lora(model)
    message = {"role": "user", "content": QUESTION}
    prompt = render_chat([message], tokenizer, add_generation_prompt=True).ids
    ids = generate(model, [prompt], 100, temperature=0.0, stop=stop_ids(tokenizer))[0]
    return answer_text(ids, tokenizer)


def shown(visitor: Visitor) -> str:
    return str(visitor.js("document.querySelector('.text').textContent"))


@pytest.mark.parametrize("look", browser.VIEWS)
def test_the_answer_follows_the_slider(visitor: Visitor, site: Path, tokenizer: Tokenizer, look: str) -> None:
    """By keyboard: a question, then the share."""
    visitor.open("lora.html", look)
    visitor.type(QUESTION)
    visitor.key("Enter")
    visitor.wait(lambda: shown(visitor) == answer(site, tokenizer, 1.0))
    visitor.wait(lambda: "share 1" in visitor.js("document.querySelector('p.note').textContent"))
    visitor.focus("[type=range]")
    answers = {shown(visitor)}
    for key, presses, share in (
        ("Home", 1, 0.0),
        ("ArrowRight", 7, 0.35),
        ("End", 1, 1.5),
        ("ArrowLeft", 10, 1.0),
    ):
        visitor.key(key, presses)
        wanted = answer(site, tokenizer, share)
        visitor.wait(lambda wanted=wanted: shown(visitor) == wanted)
        visitor.wait(lambda share=share: visitor.status().startswith(f"W + {share:g} · 3 · B A"))
        answers.add(wanted)
    assert len(answers) == 4, "each share answers in its own way"
    assert visitor.problems() == set()


def test_the_ends_are_named(visitor: Visitor) -> None:
    visitor.open("lora.html")
    visitor.js("document.querySelector('.prompts button').click()")
    visitor.focus("[type=range]")
    for key, told in (("Home", "as sft without the adapter"), ("End", "Neither")):
        visitor.key(key)
        visitor.wait(lambda told=told: told in visitor.js("document.querySelector('p.note').textContent"))
    assert visitor.problems() == set()


def test_an_adapter_without_its_model_is_refused(visitor: Visitor) -> None:
    visitor.open("alone.html")
    visitor.js("document.querySelector('.prompts button').click()")
    visitor.wait(lambda: "that lora was trained on is not beside this site" in visitor.status())


@pytest.mark.parametrize("look", browser.VIEWS)
def test_there_are_no_barriers(visitor: Visitor, look: str) -> None:
    visitor.open("lora.html", look)
    visitor.focus(".prompts button")
    visitor.key("Enter")
    visitor.wait(lambda: visitor.status().startswith("W + 1 "))
    assert visitor.barriers() == []
