"""The attention widget in a browser, and what its worker computes: both against PyTorch."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import browser
import pytest
import torch
from live_modules import spread
from live_site import Visitor, build, page, visited

from minillm import GPT, GPTConfig, Tokenizer
from minillm.figures.text import visible
from minillm.model.inspect import attention_weights, without_heads

TEXT = "Hello there, where is the hat?"
MARKUP = "<b>hat</b> <|end|>"


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train(["Hello there, where is the hat? Here is the hat.", "猫和狗"], 280)


@pytest.fixture(scope="module")
def model() -> GPT:
    """Three layers of four heads, and chances that a switched-off head moves."""
    built = GPT(GPTConfig(vocab_size=280, context_length=60, n_layer=3, n_head=4, n_kv_head=2, d_model=24))
    spread(built, 2)
    built.head_weight.data *= 0.3
    return built


@pytest.fixture(scope="module")
def visitor(tmp_path_factory: pytest.TempPathFactory, folder: Path) -> Iterator[Visitor]:
    pages = {
        "page.html": page("attention", text=TEXT, layer=1, head=3),
        "other.html": page("attention", stage="ppo", text=TEXT),
    }
    site = tmp_path_factory.mktemp("site")
    build(site, {"base": lambda target: shutil.copytree(folder, target)})
    with visited(site, pages) as someone:
        yield someone


def ids_of(tokenizer: Tokenizer, text: str) -> list[int]:
    return [tokenizer.end_of_text_id, *tokenizer.encode(text)]


def pieces(tokenizer: Tokenizer) -> list[str]:
    """How the package shows each token; all different."""
    names = [visible(tokenizer.vocab[i]) for i in range(tokenizer.vocab_size)]
    assert len(set(names)) == len(names)
    return names


@torch.no_grad()
def expected(model: GPT, ids: list[int], off: list[tuple[int, int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights (layer, head, time, time) and the next token's probabilities, with heads switched off."""
    with without_heads(model, off):
        return attention_weights(model, torch.tensor([ids]))[:, 0], model(torch.tensor([ids]))[0, -1].softmax(
            0
        )


@pytest.mark.parametrize("off", [[], [(0, 1)], [(0, 0), (1, 3), (2, 2)]])
def test_the_workers_numbers_are_pytorchs(
    node: Any, model: GPT, tokenizer: Tokenizer, folder: Path, off: list[tuple[int, int]]
) -> None:
    node.call("load", str(folder))
    node.call("tokenizer", str(folder / "tokenizer.json"))
    ids = ids_of(tokenizer, TEXT)
    weights, now = expected(model, ids, off)
    whole = expected(model, ids, [])[1]
    found = node.call("lookBack", TEXT, off)
    for layer in range(3):
        for head in range(4):
            rows = found["weights"][layer][head]
            assert len(rows) == (0 if (layer, head) in off else len(ids))
            for position, row in enumerate(rows):
                assert row == pytest.approx(weights[layer, head, position, : position + 1].tolist(), abs=1e-5)
    names = pieces(tokenizer)
    shown = {row["piece"]: (row["whole"], row["now"]) for row in found["next"]}
    best = [(probs, *pair) for probs in (whole, now) for pair in enumerate(probs.topk(6).indices.tolist())]
    assert set(shown) == {names[i] for probs, rank, i in best if rank == 0 or probs[i] >= 0.001}
    for name, both in shown.items():
        at = names.index(name)
        assert both == pytest.approx((whole[at].item(), now[at].item()), abs=1e-5)
    assert ((whole - now).abs().max() > 1e-3) == bool(off)


def test_a_text_that_is_too_long_is_refused(node: Any, folder: Path) -> None:
    node.call("load", str(folder))
    node.call("tokenizer", str(folder / "tokenizer.json"))
    with pytest.raises(Exception, match="has 61 tokens, at most 59 fit"):
        node.call("lookBack", "1 " * 30 + "1", [])


def tiles(visitor: Visitor) -> list[str]:
    found: list[str] = visitor.js("[...document.querySelectorAll('.tiles small')].map(e => e.textContent)")
    return found


def column(visitor: Visitor, number: int) -> dict[str, str]:
    found: dict[str, str] = visitor.js(
        "Object.fromEntries([...document.querySelectorAll('tbody tr')].map("
        f"row => [row.cells[0].textContent, row.cells[{number}]?.textContent ?? null]))"
    )
    return found


def look(visitor: Visitor, view: str = "light", name: str = "page.html") -> None:
    """Open the page and press Enter in its field."""
    visitor.open(name, view)
    visitor.js("document.querySelector('input[type=text]').focus()")
    visitor.key("Enter")


def shares(weights: torch.Tensor) -> list[str]:
    return [f"{weight:.2f}" for weight in weights.tolist()]


@pytest.mark.parametrize("view", browser.VIEWS)
def test_a_token_looks_back(visitor: Visitor, model: GPT, tokenizer: Tokenizer, view: str) -> None:
    """The last one first; arrow keys choose others, a pointer only tries them."""
    look(visitor, view)
    visitor.wait(lambda: tiles(visitor))
    ids = ids_of(tokenizer, TEXT)
    weights = expected(model, ids, [])[0][1, 3]
    assert tiles(visitor) == shares(weights[-1])
    visitor.js("document.querySelector('.tiles [aria-checked=true]').focus()")
    visitor.key("ArrowLeft", 2)
    assert tiles(visitor) == [*shares(weights[-3][:-2]), "", ""]
    visitor.js(
        "document.querySelector('.tiles').children[2].dispatchEvent("
        "new PointerEvent('pointerenter', { pointerType: 'mouse' }))"
    )
    assert tiles(visitor) == [*shares(weights[2][:3]), *[""] * (len(ids) - 3)]
    visitor.js("document.querySelector('.tiles').dispatchEvent(new PointerEvent('pointerleave'))")
    assert tiles(visitor) == [*shares(weights[-3][:-2]), "", ""]
    visitor.js("document.querySelector('.tiles').children[4].click()")
    assert tiles(visitor) == [*shares(weights[4][:5]), *[""] * (len(ids) - 5)]
    assert visitor.js("document.activeElement.ariaChecked") == "true"
    assert visitor.problems() == set()


def test_a_head_is_switched_off_and_on(visitor: Visitor, model: GPT, tokenizer: Tokenizer) -> None:
    look(visitor)
    visitor.wait(lambda: tiles(visitor))
    ids = ids_of(tokenizer, TEXT)
    before = column(visitor, 1)
    assert set(column(visitor, 2).values()) == {None}
    visitor.js("document.querySelector('[type=checkbox]').focus()")
    visitor.key(" ")
    visitor.wait(lambda: None not in column(visitor, 2).values())
    probs = expected(model, ids, [(1, 3)])[1]
    now = column(visitor, 2)
    assert now == {name: f"{100 * probs[pieces(tokenizer).index(name)]:.1f} %" for name in now}
    assert {name: column(visitor, 1)[name] for name in before} == before
    assert set(tiles(visitor)) == {""} and "is off" in visitor.status()
    visitor.js("(select => { select.value = '2'; select.onchange(); })(document.querySelector('select'))")
    assert tiles(visitor) == shares(expected(model, ids, [(1, 3)])[0][2, 3, -1])
    visitor.js("[...document.querySelectorAll('button')].find(b => b.textContent === 'All heads on').click()")
    visitor.wait(lambda: set(column(visitor, 2).values()) == {None})
    assert column(visitor, 1) == before
    assert visitor.problems() == set()


def test_another_text_is_typed(visitor: Visitor, tokenizer: Tokenizer) -> None:
    """And what looks like HTML or like a control token stays text."""
    look(visitor)
    visitor.wait(lambda: tiles(visitor))
    visitor.js("document.querySelector('input[type=text]').select()")
    visitor.chromium.call("Input.insertText", text=MARKUP)
    ids = ids_of(tokenizer, MARKUP)
    visitor.wait(lambda: len(tiles(visitor)) == len(ids))
    shown = visitor.js("[...document.querySelectorAll('.tiles span')].map(e => e.textContent)")
    assert "".join(shown[1:]).replace("·", " ") == MARKUP
    visitor.chromium.call("Input.insertText", text="1 " * 40)
    visitor.wait(lambda: "at most 59 fit" in visitor.status())
    assert visitor.problems() == set()


def test_controls_have_names_and_the_still_stays_until_there_is_more(visitor: Visitor) -> None:
    look(visitor, name="other.html")
    visitor.wait(lambda: 'have no stage "ppo"' in visitor.status())
    assert "A still." in visitor.js("document.querySelector('.minillm-live').innerText")
    look(visitor)
    visitor.wait(lambda: tiles(visitor))
    assert "A still." not in visitor.js("document.querySelector('.minillm-live').innerText")
    assert visitor.problems() == set()


@pytest.mark.parametrize("view", browser.VIEWS)
def test_there_are_no_barriers(visitor: Visitor, view: str) -> None:
    look(visitor, view)
    visitor.wait(lambda: tiles(visitor))
    visitor.js("document.querySelector('[type=checkbox]').click()")
    visitor.wait(lambda: None not in column(visitor, 2).values())
    visitor.js("document.querySelector('.tiles').children[3].click()")
    assert visitor.barriers() == []
