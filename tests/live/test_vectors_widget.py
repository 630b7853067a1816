"""The nearest words in a browser and in its worker, both against PyTorch; and the view of points beside the list."""

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
from minillm.figures import point_cloud
from minillm.figures.text import visible
from minillm.model.inspect import hidden_states

WORDS = ["hat", "is", "there", "nothing"]  # the last one is no single token
SHOWN = "document.querySelector('.minillm-point-cloud').dataset.shown"


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train(["Hello there, where is the hat? Here is the hat. There is the hat."] * 3, 281)


@pytest.fixture(scope="module")
def model(tokenizer: Tokenizer) -> GPT:
    """Its vectors have much in common, which the widget must take away."""
    config = GPTConfig(vocab_size=tokenizer.vocab_size, context_length=20, n_layer=2, n_head=2, d_model=12)
    built = GPT(config)
    spread(built, 3)
    built.model.embed_tokens.weight.data += 2
    return built


@pytest.fixture(scope="module")
def visitor(tmp_path_factory: pytest.TempPathFactory, folder: Path) -> Iterator[Visitor]:
    points = torch.eye(4)[:, :3].tolist()
    cloud = point_cloud({"now": points}, WORDS, ["a", "b", "a", "b"])._repr_html_()
    pages = {"page.html": page("vectors", word="hat", body=cloud)}
    site = tmp_path_factory.mktemp("site")
    build(site, {"base": lambda target: shutil.copytree(folder, target)})
    with visited(site, pages) as someone:
        yield someone


def expected(model: GPT, tokenizer: Tokenizer, token: int, layer: int) -> dict[str, float]:
    """The nearest tokens with their cosines, the nearest first, as the chapter on vectors finds them."""
    rows = torch.tensor([[tokenizer.end_of_text_id, i] for i in range(tokenizer.vocab_size)])
    states = hidden_states(model, rows)[layer, :, 1]
    centred = states - states.mean(dim=0)
    cosines = torch.cosine_similarity(centred, centred[token][None])
    order = [i for i in cosines.argsort(descending=True).tolist() if i != token][:12]
    return {visible(tokenizer.vocab[i]): cosines[i].item() for i in order}


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_the_workers_numbers_are_pytorchs(
    node: Any, model: GPT, tokenizer: Tokenizer, folder: Path, layer: int
) -> None:
    node.call("load", str(folder))
    node.call("tokenizer", str(folder / "tokenizer.json"))
    for request, token in (
        ({"word": "hat"}, tokenizer.encode(" hat")[0]),
        ({"word": " is "}, tokenizer.encode(" is")[0]),
        ({"id": 7}, 7),
        ({"id": tokenizer.end_of_text_id}, tokenizer.end_of_text_id),
    ):
        found = node.call("nearest", {**request, "layer": layer})
        near = {row["piece"]: row["cosine"] for row in found["near"]}
        assert [piece["id"] for piece in found["pieces"]] == [token]
        assert near == pytest.approx(expected(model, tokenizer, token, layer), abs=1e-5)
        assert found["nLayer"] == 2


def test_a_word_of_several_tokens_has_no_vector(node: Any, tokenizer: Tokenizer, folder: Path) -> None:
    node.call("load", str(folder))
    node.call("tokenizer", str(folder / "tokenizer.json"))
    for word in ("nothing", "hat hat", "猫", "<|end|>", ""):
        found = node.call("nearest", {"word": word, "layer": 0})
        ids = tokenizer.encode(" " + word) if word else []
        assert [piece["id"] for piece in found["pieces"]] == ids and len(ids) != 1
        assert found["near"] == []


def rows(visitor: Visitor) -> dict[str, str]:
    found: dict[str, str] = visitor.js(
        "Object.fromEntries([...document.querySelectorAll('tbody tr')].map("
        "row => [row.cells[0].textContent, row.cells[1].textContent]))"
    )
    return found


def wanted(model: GPT, tokenizer: Tokenizer, word: str, layer: int = 0) -> dict[str, str]:
    found = expected(model, tokenizer, tokenizer.encode(" " + word)[0], layer)
    return {name: f"{cosine:.2f}" for name, cosine in found.items()}


def type_word(visitor: Visitor, word: str) -> None:
    visitor.type(word, "input[type=text]")
    visitor.key("Enter")


@pytest.mark.parametrize("view", browser.VIEWS)
def test_neighbours_by_keyboard(visitor: Visitor, model: GPT, tokenizer: Tokenizer, view: str) -> None:
    """Find a word, go on to its nearest one, and look after a layer."""
    visitor.open("page.html", view)
    assert "A still." in visitor.js("document.querySelector('.minillm-live').innerText")
    visitor.js("document.querySelector('input[type=text]').focus()")
    visitor.key("Enter")
    visitor.wait(lambda: rows(visitor) == wanted(model, tokenizer, "hat"))
    assert "A still." not in visitor.js("document.querySelector('.minillm-live').innerText")
    nearest = next(iter(rows(visitor)))
    visitor.js("document.querySelector('tbody button').focus()")
    visitor.key("Enter")
    visitor.wait(lambda: f"“{nearest}” is nearest to" in visitor.status())
    assert visitor.js("document.activeElement === document.querySelector('input[type=text]')")
    type_word(visitor, "there")
    visitor.wait(lambda: rows(visitor) == wanted(model, tokenizer, "there"))
    visitor.js("(select => { select.value = '2'; select.onchange(); })(document.querySelector('select'))")
    visitor.wait(lambda: rows(visitor) == wanted(model, tokenizer, "there", 2))
    assert visitor.js("document.querySelector('select').selectedOptions[0].textContent") == "after layer 1"
    assert visitor.problems() == set()


def test_what_is_no_single_token_is_said(visitor: Visitor, tokenizer: Tokenizer) -> None:
    """And what looks like HTML stays text."""
    visitor.open("page.html")
    for word in ("nothing", "<b>"):
        type_word(visitor, word)
        ids = tokenizer.encode(" " + word)
        visitor.wait(lambda ids=ids: f"This is {len(ids)} tokens" in visitor.status())
        choices = visitor.js("[...document.querySelectorAll('.prompts button')].map(b => b.textContent)")
        assert choices == [visible(tokenizer.vocab[i]) for i in ids]
    visitor.js("document.querySelector('.prompts button:last-child').click()")
    visitor.wait(lambda: rows(visitor))
    type_word(visitor, " ")
    visitor.wait(lambda: visitor.status() == "Write a word.")
    assert visitor.problems() == set()


def test_list_and_view_of_points_mark_the_same_word(
    visitor: Visitor, model: GPT, tokenizer: Tokenizer
) -> None:
    visitor.open("page.html")
    type_word(visitor, "there")
    visitor.wait(lambda: visitor.js(SHOWN) == "there")
    type_word(visitor, "Hello")
    visitor.wait(lambda: visitor.js(SHOWN) == "")
    visitor.js("""(root => { const field = root.querySelector('input'); field.value = 'is';
        for (const type of ['input', 'change']) field.dispatchEvent(new Event(type));
    })(document.querySelector('.minillm-point-cloud').shadowRoot)""")
    visitor.wait(lambda: rows(visitor) == wanted(model, tokenizer, "is"))
    assert visitor.js("document.querySelector('input[type=text]').value") == "is"
    visitor.wait(lambda: visitor.js(SHOWN) == "is")  # told with the next frame
    assert visitor.problems() == set()


@pytest.mark.parametrize("view", browser.VIEWS)
def test_there_are_no_barriers(visitor: Visitor, view: str) -> None:
    visitor.open("page.html", view)
    type_word(visitor, "there")
    visitor.wait(lambda: rows(visitor))
    assert visitor.barriers() == []
