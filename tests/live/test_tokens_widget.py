"""The tokens of the first chapter in a browser: pieces and ids are the package's, at every number of merges."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import browser
import pytest
from live_site import Visitor, build, page, visited

from minillm import Tokenizer, World
from minillm.figures import token_boxes
from minillm.figures.text import visible

TEXT = "The baker's hat,  12 hats.\nШляпа. 狗追猫 👩‍👩‍👧 <b>&amp;<|end|>"
NO_ANSWER = "Promise.reject(new TypeError('Failed to fetch'))"
NO_END = "new Response(new ReadableStream({ pull: (body) => body.error(new TypeError('network error')) }))"
EXAMPLES = [["狗追猫", "GPT-4 makes 6 tokens of it."], ["<b>", ""]]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    village = [document.text for document in World().documents(40)]
    return Tokenizer.train([*village, "狗追猫。猫追鼠！" * 20], 700)


def first(tokenizer: Tokenizer, count: int) -> Tokenizer:
    """One that has learned so many merges and no more."""
    return Tokenizer(tokenizer.merges[:count])


def test_first_merges_are_the_packages(node: Any, tokenizer: Tokenizer, tmp_path: Path) -> None:
    node.call("tokenizer", str(tokenizer.save(tmp_path)))
    texts = [TEXT, "", *(document.text for document in World().documents(5))]
    for count in (0, 1, 2, 7, 100, tokenizer.n_merges - 1, tokenizer.n_merges):
        assert node.call("encode", texts, count) == first(tokenizer, count).encode_batch(texts), count
    assert node.call("encode", texts) == tokenizer.encode_batch(texts), "it has kept all of its own"
    for index in (0, 100, tokenizer.n_merges - 1):
        assert list(map(bytes, node.call("mergeParts", index))) == list(tokenizer.merges[index])


def test_bytes_are_shown_as_python_shows_them(node: Any) -> None:
    pieces = [
        b" the",
        b"\n\n",
        b"\xe7\x8c",
        b"\xef\xbb\xbfa",
        "猫".encode(),
        b"\x00\x0f",
        b"\xff",
        b"a\xed\xa0\x80",
    ]
    assert [node.call("visible", list(piece)) for piece in pieces] == [visible(piece) for piece in pieces]


@pytest.fixture(scope="module")
def visitor(tmp_path_factory: pytest.TempPathFactory, tokenizer: Tokenizer) -> Iterator[Visitor]:
    site = tmp_path_factory.mktemp("site")
    build(site, {"tokenizer": tokenizer.save})
    build(site / "bare")
    still = token_boxes({"ours": [b"The", b" baker"]})
    pages = {
        name: page("tokens", root, still=still, text="The baker.", examples=EXAMPLES)
        for name, root in {"tokens.html": "", "missing.html": "bare/"}.items()
    }
    with visited(site, pages) as someone:
        yield someone


def shown(visitor: Visitor) -> list[tuple[str, int]]:
    """The pieces and their ids."""
    pieces = visitor.js(
        "[...document.querySelectorAll('.tokens li')].map(li => [li.firstChild.data ?? '', li.lastChild.textContent])"
    )
    return [(piece, int(number)) for piece, number in pieces]


def expected(tokenizer: Tokenizer, text: str) -> list[tuple[str, int]]:
    ids = tokenizer.encode(text)
    return [(visible(tokenizer.vocab[number]), number) for number in ids]


@pytest.mark.parametrize("look", browser.VIEWS)
def test_typing_and_sliding(visitor: Visitor, tokenizer: Tokenizer, look: str) -> None:
    visitor.open("tokens.html", look)
    assert visitor.loaded() == [] and "The·baker" in "".join(visitor.texts(".minillm-live"))
    visitor.type(TEXT)
    visitor.wait(lambda: shown(visitor))
    assert shown(visitor) == expected(tokenizer, TEXT)
    assert sorted(visitor.loaded()) == ["manifest.json", "tokenizer.json"]
    assert visitor.js("document.querySelectorAll('.tokens b').length") == 0
    counts = visitor.texts(".note")[0]
    assert f"characters: {len(TEXT)} · bytes: {len(TEXT.encode())} ·" in counts
    assert f"tokens: {len(tokenizer.encode(TEXT))} ·" in counts
    visitor.focus("[type=range]")
    visitor.key("ArrowLeft", 3)
    left = tokenizer.n_merges - 3
    visitor.wait(lambda: shown(visitor) == expected(first(tokenizer, left), TEXT))
    assert visitor.texts("output")[0].startswith(f"{left} of {tokenizer.n_merges}; the last joins ")
    visitor.key("Home")
    visitor.wait(lambda: [number for _, number in shown(visitor)] == list(TEXT.encode()))
    assert visitor.texts("output") == ["none: every token is one byte"]
    assert visitor.problems() == set()


def test_an_example_has_a_note_and_chinese_has_words(visitor: Visitor, tokenizer: Tokenizer) -> None:
    visitor.open("tokens.html")
    visitor.focus(".prompts button")
    visitor.key("Enter")
    visitor.wait(lambda: shown(visitor) == expected(tokenizer, "狗追猫"))
    assert visitor.status() == EXAMPLES[0][1]
    assert "characters: 3 · bytes: 9 · words: " in visitor.texts(".note")[0]
    assert "words: 0" not in visitor.texts(".note")[0]
    visitor.type("")
    visitor.js("document.activeElement.value = ''; document.activeElement.oninput()")
    visitor.wait(lambda: shown(visitor) == [])
    assert visitor.status() == "" and "tokens: 0" in visitor.texts(".note")[0]
    assert visitor.problems() == set()


def test_the_button_begins_and_what_is_missing_is_said(visitor: Visitor, tokenizer: Tokenizer) -> None:
    visitor.open("tokens.html")
    visitor.focus("form button")
    visitor.key("Enter")
    visitor.wait(lambda: shown(visitor) == expected(tokenizer, "The baker."))
    visitor.open("missing.html")
    visitor.focus("form button")
    visitor.key("Enter")
    visitor.wait(lambda: "minillm publish" in visitor.status())
    assert "The·baker" in "".join(visitor.texts(".minillm-live"))


@pytest.mark.parametrize(
    ("file", "answer", "what"),
    [
        ("manifest.json", NO_ANSWER, "The list of the models"),
        ("tokenizer.json", NO_ANSWER, "tokenizer/tokenizer.json"),
        ("tokenizer.json", NO_END, "tokenizer/tokenizer.json"),
    ],
    ids=["list", "file", "half a file"],
)
def test_a_lost_connection_is_told_and_can_be_tried_again(
    visitor: Visitor, tokenizer: Tokenizer, file: str, answer: str, what: str
) -> None:
    """In words of the page: each browser has its own. It is lost before the answer, or while a file comes."""
    visitor.open("tokens.html")
    visitor.js(f"""window.whole = fetch;
        fetch = async (url) => String(url).endsWith("/{file}") ? {answer} : whole(url); 0""")
    visitor.focus("form button")
    visitor.key("Enter")
    visitor.wait(lambda: visitor.status() == f"{what} cannot be loaded: there is no connection. Try again.")
    visitor.js("fetch = whole; 0")
    visitor.key("Enter")
    visitor.wait(lambda: shown(visitor) == expected(tokenizer, "The baker."))


@pytest.mark.parametrize("look", browser.VIEWS)
def test_there_are_no_barriers(visitor: Visitor, look: str) -> None:
    visitor.open("tokens.html", look)
    visitor.focus("form button")
    visitor.key("Enter")
    visitor.wait(lambda: visitor.texts(".tokens li"))
    assert visitor.barriers() == []
