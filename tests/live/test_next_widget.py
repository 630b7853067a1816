"""The next token in the page: what the model expects, how surprised it was, and how it grew up, as in the package."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import browser
import pytest
import torch
from live_modules import spread
from live_site import Visitor, build, page, visited

from minillm import GPT, GPTConfig, Tokenizer
from minillm.figures import still_table
from minillm.figures.text import visible
from minillm.model.sampling import sampling_probs
from minillm.model.snapshots import write_snapshot

TEXT = "Where is the hat? 猫 <b>"
OTHER = "Hello there"
BARS, DIE, UNDO = ".bars button", ".prompts:last-child button", ".prompts:last-child button:last-child"


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train(["Hello there, where is the hat? Here is the hat.", "猫和狗"], 280)


def save(folder: Path, model: GPT, tokenizer: Tokenizer) -> None:
    model.save_pretrained(folder)
    tokenizer.save(folder)


def made(seed: int) -> GPT:
    model = GPT(GPTConfig(vocab_size=280, context_length=60, n_layer=2, n_head=2, d_model=16, d_ff=24)).eval()
    spread(model, seed)
    return model


@pytest.fixture(scope="module")
def model() -> GPT:
    return made(2)


def reading(model: GPT, tokenizer: Tokenizer, ids: list[int]) -> tuple[list[float], torch.Tensor]:
    """By PyTorch: the surprise of each token in nats, and the logits of the next one."""
    whole = torch.tensor([[tokenizer.end_of_text_id, *ids]])
    with torch.no_grad():
        logits = model(whole)[0]
    nats = torch.nn.functional.cross_entropy(logits[:-1], whole[0, 1:], reduction="none")
    return nats.tolist(), logits[-1]


def test_readings_are_pytorchs_in_whatever_order_texts_change(
    node: Any, model: GPT, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    """What was read before is not read again, and changes nothing."""
    save(tmp_path, model, tokenizer)
    node.call("load", str(tmp_path))
    node.call("tokenizer", str(tmp_path / "tokenizer.json"))
    draw = random.Random(5)
    texts = ["", "H", "Hello", "Hello the", "Hello there, where", "Hello the", "猫和狗", TEXT, "Hello"]
    taken: list[int] = []
    for _ in range(40):
        text = draw.choice(texts)
        taken = draw.choice([[], taken, [*taken, draw.randrange(280)][-9:]])
        ids = [*tokenizer.encode(text), *taken]
        surprises, logits = reading(model, tokenizer, ids)
        found = node.call("read", text, taken)
        assert [token["id"] for token in found["tokens"]] == ids
        assert [token["surprise"] for token in found["tokens"]] == pytest.approx(surprises, abs=1e-4)
        assert found["logits"] == pytest.approx(logits.tolist(), abs=1e-4)
        assert [one["id"] for one in found["likeliest"]] == logits.topk(10).indices.tolist()
        pieces = [visible(tokenizer.vocab[one["id"]]) for one in (*found["tokens"], *found["likeliest"])]
        assert [one["piece"] for one in (*found["tokens"], *found["likeliest"])] == pieces
    assert len(node.call("read", "", [7] * 59)["tokens"]) == 59
    with pytest.raises(Exception, match="has 60 tokens, at most 59 fit. Make it shorter"):
        node.call("read", "", [7] * 60)


@pytest.fixture(scope="module")
def visitor(tmp_path_factory: pytest.TempPathFactory, model: GPT, tokenizer: Tokenizer) -> Iterator[Visitor]:
    site = tmp_path_factory.mktemp("site")

    def write(folder: Path) -> None:
        save(folder, model, tokenizer)

    def with_snapshots(folder: Path) -> None:
        write(folder)
        for step in (0, 50):
            write_snapshot(folder, step, made(10 + step).state_dict())

    build(site, {"base": with_snapshots, "sft": write}, steps=200)
    build(site / "bare")
    options = {
        "still": still_table(["next token", "share"], [[" hat", "30 %"]]),
        "text": TEXT,
        "texts": [OTHER],
        "floor": 0.507,
    }
    pages = {
        "next.html": page("next", stage="base", **options),
        "plain.html": page("next", stage="sft", **options),
        "missing.html": page("next", "bare/", stage="base", **options),
    }
    with visited(site, pages) as someone:
        yield someone


def begin(visitor: Visitor, name: str = "next.html", look: str = "light") -> None:
    """Open a page and press the button, as the only thing."""
    visitor.open(name, look)
    assert "hat" in visitor.texts("td")[0]
    visitor.focus("form button")
    visitor.key("Enter")
    visitor.wait(lambda: visitor.texts(BARS) and visitor.status() == "")


def expect(visitor: Visitor, model: GPT, tokenizer: Tokenizer, ids: list[int], **sampling: float) -> None:
    """Wait until the page shows what PyTorch computes."""
    surprises, logits = reading(model, tokenizer, ids)
    probs = sampling_probs(logits, **sampling)
    likeliest = logits.topk(10).indices.tolist()
    tokens = [visible(tokenizer.vocab[i]) + f"{s:.1f}" for i, s in zip(ids, surprises, strict=True)]
    visitor.wait(lambda: visitor.texts(".tokens li") == tokens)
    mean = sum(surprises) / len(surprises)
    told = visitor.texts(".note")[0]
    assert f"the loss: {mean:.2f} nats a token ({len(ids)} tokens). Over all texts of the village" in told
    assert told.endswith("nobody can do better than 0.51.")
    shown = visitor.js("[...document.querySelectorAll('.bars .bar')].map(bar => parseFloat(bar.style.width))")
    assert shown == pytest.approx((100 * probs[likeliest]).tolist(), abs=0.01)
    pieces = visitor.js(f"[...document.querySelectorAll('{BARS}')].map(bar => bar.firstChild.textContent)")
    assert pieces == [visible(tokenizer.vocab[i]) for i in likeliest]
    rest = float(visitor.texts(".others")[0].split(": ")[1].strip("< %"))
    assert rest == pytest.approx(100 * (1 - float(probs[likeliest].sum())), abs=0.51)


@pytest.mark.parametrize("look", browser.VIEWS)
def test_write_take_undo_and_slide(visitor: Visitor, model: GPT, tokenizer: Tokenizer, look: str) -> None:
    begin(visitor, look=look)
    ids = tokenizer.encode(TEXT)
    expect(visitor, model, tokenizer, ids)
    visitor.type(OTHER)
    ids = tokenizer.encode(OTHER)
    expect(visitor, model, tokenizer, ids)
    second = int(reading(model, tokenizer, ids)[1].topk(2).indices[1])
    visitor.focus("li:nth-child(2) > button")
    visitor.key("Enter")
    expect(visitor, model, tokenizer, [*ids, second])
    assert visitor.js("document.activeElement.closest('.bars') !== null"), (
        "the next token can be taken at once"
    )
    visitor.focus(UNDO)
    visitor.key("Enter")
    expect(visitor, model, tokenizer, ids)
    assert visitor.js(f"document.querySelector('{UNDO}').disabled")
    sliders = {"temperature": (0, 0.5), "top_k": (1, 3), "top_p": (2, 0.6)}
    sampling: dict[str, float] = {}
    for name, (place, value) in sliders.items():
        visitor.slide(f".settings label:nth-child({place + 1}) input", value)
        sampling[name] = value
        expect(visitor, model, tokenizer, ids, **sampling)
    assert visitor.texts(".settings output") == ["0.5", "3", "0.6"]
    assert visitor.js("document.querySelectorAll('.tokens b').length") == 0
    assert visitor.problems() == set()


def test_the_die_takes_what_the_settings_allow(visitor: Visitor, model: GPT, tokenizer: Tokenizer) -> None:
    begin(visitor)
    visitor.slide(".settings label:nth-child(2) input", 2)
    ids = tokenizer.encode(TEXT)
    for _ in range(6):
        allowed = reading(model, tokenizer, ids)[1].topk(2).indices.tolist()
        visitor.focus(DIE)
        visitor.key("Enter")
        visitor.wait(lambda: len(visitor.texts(".tokens li")) == len(ids) + 1)
        piece = visitor.js("[...document.querySelectorAll('.tokens li')].at(-1).firstChild.data")
        ids.append(next(i for i in allowed if piece == visible(tokenizer.vocab[i])))
        expect(visitor, model, tokenizer, ids, top_k=2)
    assert visitor.problems() == set()


def test_the_same_text_over_the_training(visitor: Visitor, model: GPT, tokenizer: Tokenizer) -> None:
    begin(visitor)
    ids = tokenizer.encode(TEXT)
    assert visitor.texts("label.slider output")[0] == "the end, step 200"
    visitor.focus("label.slider input")
    for key, step in (("ArrowLeft", 50), ("ArrowLeft", 0), ("ArrowRight", 50)):
        visitor.key(key)
        half = made(10 + step).half().float()
        expect(visitor, half, tokenizer, ids)
        assert visitor.texts("label.slider output")[0] == f"step {step}"
    visitor.key("ArrowRight")
    expect(visitor, model, tokenizer, ids)
    assert visitor.problems() == set()


def test_without_snapshots_without_models_and_with_too_long_a_text(visitor: Visitor) -> None:
    begin(visitor, "plain.html")
    assert visitor.js("document.querySelector('label.slider').hidden")
    visitor.type("hat " * 80)
    visitor.wait(lambda: "at most 59 fit" in visitor.status())
    visitor.focus(".prompts button")
    visitor.key("Enter")
    visitor.wait(lambda: visitor.status() == "" and visitor.texts(".tokens li")[0].startswith("He"))
    assert visitor.problems() == set()
    visitor.open("plain.html")  # and with one that is too long from the first
    visitor.js("document.querySelector('textarea').value = 'hat '.repeat(80)")
    visitor.focus("form button")
    visitor.key("Enter")
    visitor.wait(lambda: "at most 59 fit" in visitor.status())
    visitor.slide(".settings label:nth-child(1) input", 0.5)
    visitor.focus(DIE)
    visitor.key("Enter")
    assert visitor.texts(".tokens li") == []
    visitor.type("He")
    visitor.wait(lambda: visitor.texts(".tokens li") != [])
    assert visitor.problems() == set()
    visitor.open("missing.html")
    visitor.focus("form button")
    visitor.key("Enter")
    visitor.wait(lambda: "minillm publish" in visitor.status())
    assert "hat" in visitor.texts("td")[0]


@pytest.mark.parametrize("look", browser.VIEWS)
def test_there_are_no_barriers(visitor: Visitor, look: str) -> None:
    begin(visitor, look=look)
    assert visitor.barriers() == []
