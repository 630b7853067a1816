"""The reader's own model in a browser: a dropped folder answers, a spoiled one is told in a line, nothing is sent."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import browser
import pytest
from live_modules import spread
from live_site import Visitor, build, page, visited

from minillm import GPT, GPTConfig, Tokenizer, generate, render_chat
from minillm.text.chat import answer_text, save_chat_format

CONFIG = GPTConfig(vocab_size=280, context_length=2000, n_layer=2, n_head=2, d_model=16, tie_embeddings=False)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train(["Hello there, where is the hat? Here is the hat.", "猫和狗"], CONFIG.vocab_size)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, tokenizer: Tokenizer) -> Path:
    """A folder of runs: two models that never end an answer at temperature 0, a tokenizer, and notes."""
    runs = tmp_path_factory.mktemp("home") / "runs"
    for seed, name in enumerate(("base", "sft")):
        model = GPT(CONFIG)
        spread(model, seed)
        model.head_weight.data[list(tokenizer.special_tokens.values())] = 0
        folder = model.save_pretrained(runs / "cpu" / f"{name}-0123")
        tokenizer.save(folder)
    save_chat_format(runs / "cpu" / "sft-0123", tokenizer)
    tokenizer.save(runs / "cpu" / "tokenizer-0123")
    (runs / "notes.txt").write_text("nothing", encoding="utf-8")
    return runs


@pytest.fixture(scope="module")
def visitor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visitor]:
    site = tmp_path_factory.mktemp("site")
    build(site)
    with visited(site, {"yours.html": page("yours")}) as someone:
        yield someone


def drop(visitor: Visitor, folder: Path) -> None:
    """Drop a folder on the widget."""
    x, y = visitor.js("""(({ x, y, width, height }) => [x + width / 2, y + height / 2])(
        document.querySelector('.drop').getBoundingClientRect())""")
    data = {"items": [], "files": [str(folder)], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        visitor.chromium.call("Input.dispatchDragEvent", type=kind, x=x, y=y, data=data)


def choose(visitor: Visitor, folder: Path) -> None:
    """Choose a folder with the button."""
    root = visitor.chromium.call("DOM.getDocument")["root"]["nodeId"]
    found = visitor.chromium.call("DOM.querySelector", nodeId=root, selector="input[type=file]")["nodeId"]
    visitor.chromium.call("DOM.setFileInputFiles", nodeId=found, files=[str(folder)])


def greedy(folder: Path, tokenizer: Tokenizer, text: str) -> str:
    prompt = render_chat([{"role": "user", "content": text}], tokenizer, add_generation_prompt=True).ids
    ids = generate(GPT.from_pretrained(folder).eval(), [prompt], 20, temperature=0.0)[0]
    return answer_text(ids, tokenizer).rstrip("\ufffd")


def talk(visitor: Visitor, text: str) -> str:
    """Ask at temperature 0 by keyboard, and stop; what was answered."""
    visitor.focus("[type=range]")
    visitor.key("Home")
    visitor.type(text)
    visitor.key("Enter")
    read = "document.querySelector('.assistant .text')?.textContent ?? ''"
    visitor.wait(lambda: len(visitor.js(read)) > 40)
    visitor.key("Escape")
    return str(visitor.js(read))


@pytest.mark.parametrize("look", browser.VIEWS)
@pytest.mark.parametrize("bring", [drop, choose])
def test_own_models_answer(
    visitor: Visitor, runs: Path, tokenizer: Tokenizer, look: str, bring: object
) -> None:
    """The assistant first; the base model is chosen by keyboard. Nothing is asked for but the page's own modules."""
    visitor.open("yours.html", look)
    assert "nothing leaves your machine" in visitor.status()
    bring(visitor, runs)  # type: ignore[operator]
    visitor.wait(lambda: visitor.status() == "runs/cpu/sft-0123 is ready.")
    assert talk(visitor, "Hello").startswith(greedy(runs / "cpu" / "sft-0123", tokenizer, "Hello"))
    visitor.js("document.querySelector('select').focus()")
    visitor.key("ArrowDown")
    visitor.wait(lambda: visitor.status().startswith("runs/cpu/base-0123 is ready. It has no chat template"))
    assert talk(visitor, "Hello").startswith(greedy(runs / "cpu" / "base-0123", tokenizer, "Hello"))
    asked = {url.removeprefix(visitor.origin) for url in visitor.requests()}
    own = {url for url in asked if not url.startswith(("_static/live/", "data:"))}
    assert own == {"yours.html"}
    assert visitor.problems() == set()


def test_a_spoiled_folder_is_told_and_another_one_taken(visitor: Visitor, runs: Path, tmp_path: Path) -> None:
    """The kinds of damage are in test_measure.py; here the page goes on after each."""
    visitor.open("yours.html")
    for number, (file, content, told) in enumerate(
        (
            ("model.safetensors", b"\x00" * 100, "safetensors is damaged"),
            ("config.json", b"{", "config.json is no JSON file."),
            ("tokenizer.json", None, "tokenizer.json is missing in this folder."),
        )
    ):
        folder = tmp_path / f"stage-{number}"
        shutil.copytree(runs / "cpu" / "sft-0123", folder)
        (folder / file).unlink()
        if content is not None:
            (folder / file).write_bytes(content)
        drop(visitor, folder)
        visitor.wait(lambda told=told: told in visitor.status())
        assert visitor.js("document.querySelector('textarea')") is None
    drop(visitor, runs / "notes.txt")
    visitor.wait(lambda: visitor.status().startswith("No folder there holds config.json"))
    drop(visitor, runs / "cpu" / "sft-0123")
    visitor.wait(lambda: visitor.status() == "sft-0123 is ready.")
    assert visitor.problems() == set()


def test_a_folder_that_came_meanwhile_has_the_last_word(visitor: Visitor, runs: Path) -> None:
    """The first one's model is held back until the second has been looked at."""
    visitor.open("yours.html")
    visitor.js("""(() => {
        const post = Worker.prototype.postMessage;
        Worker.prototype.postMessage = function (message) {
            if (message.do === "adopt" && !window.release) window.release = () => post.call(this, message);
            else post.call(this, message);
        };
    })()""")
    drop(visitor, runs / "cpu" / "sft-0123")
    visitor.wait(lambda: visitor.js("'release' in window"))
    drop(visitor, runs / "notes.txt")
    visitor.wait(lambda: visitor.status().startswith("No folder there holds"))
    visitor.js("""(status => { window.told = [];
        new MutationObserver(() => told.push(status.textContent)).observe(status, { childList: true });
    })(document.querySelector(".status"))""")
    visitor.js("release()")
    drop(visitor, runs / "cpu" / "base-0123")  # its model is read after the first one
    visitor.wait(lambda: visitor.status().startswith("base-0123 is ready."))
    assert [line[:9] for line in visitor.js("told")] == ["Looking.", "Reading b", "base-0123"]
    assert visitor.problems() == set()


@pytest.mark.parametrize("look", browser.VIEWS)
def test_there_are_no_barriers(visitor: Visitor, runs: Path, look: str) -> None:
    visitor.open("yours.html", look)
    choose(visitor, runs)
    visitor.wait(lambda: visitor.status() == "runs/cpu/sft-0123 is ready.")
    assert visitor.barriers() == []
