"""The chat of the playground in a browser: it loads, answers, stops, and says what is missing."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import browser
import pytest
from live_modules import LIVE, spread
from site_check import event_problem

from minillm import GPT, GPTConfig, Tokenizer, generate, render_chat
from minillm.text.chat import answer_text, stop_ids

PATIENCE = 60  # seconds, for a busy machine
PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Test</title><link rel="icon" href="data:,"><div class="minillm-live" data-widget="chat" data-stage="{stage}"
data-prompts='["Hello there", "&lt;b&gt;"]'>A still.</div>
<script type="module" src="{root}_static/live/page.js"></script>"""
DEPLOY = (LIVE.parent.parent / "deploy.md").read_text(encoding="utf-8")
OWN_PAGE = (
    DEPLOY.partition("```html\n")[2]
    .partition("```")[0]
    .replace("<meta", '<link rel="icon" href="data:,"><meta', 1)
)
HOSTILE = "<img src=x onerror=alert(1)><|end|><script>alert(2)</script>"


def publish(folder: Path, stages: dict[str, Callable[[Path], Any]]) -> None:
    """Write stages and their manifest, as `minillm publish` does."""
    entries = []
    for stage, write in stages.items():
        write(folder / stage)
        paths = sorted(path for path in (folder / stage).iterdir())
        files = [
            {
                "path": path.relative_to(folder).as_posix(),
                "bytes": path.stat().st_size,
                "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            }
            for path in paths
        ]
        entries.append({"stage": stage, "key": stage, "parents": {}, "figures": {}, "files": files})
    manifest = {"format": 1, "preset": "test", "stages": entries}
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train(["Hello there, where is the hat? Here is the hat.", "猫和狗"], 280)


@pytest.fixture(scope="module")
def model(tokenizer: Tokenizer) -> GPT:
    """One that writes anything, and never ends at temperature 0: of a logit of 0 there is always a higher one."""
    config = GPTConfig(
        vocab_size=280, context_length=3000, n_layer=2, n_head=2, d_model=16, tie_embeddings=False
    )
    model = GPT(config)
    spread(model, 2)
    model.head_weight.data[list(tokenizer.special_tokens.values())] = 0
    return model


class Visitor:
    """Someone who uses the widget by keyboard."""

    def __init__(self, chromium: browser.Browser, origin: str) -> None:
        self.chromium, self.origin = chromium, origin

    def open(self, page: str, look: str = "light") -> None:
        self.chromium.load(self.origin + page, look)
        self.wait(lambda: self.js("document.querySelector('.log') !== null"))

    def js(self, expression: str) -> Any:
        return self.chromium.evaluate(expression)

    def wait(self, true: Callable[[], Any]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not true():
            assert time.monotonic() < deadline, f"did not happen within {PATIENCE} s: {self.status()}"
            time.sleep(0.02)

    def key(self, key: str, code: int) -> None:
        text = {"text": "\r"} if key == "Enter" else {}
        what = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        self.chromium.call("Input.dispatchKeyEvent", type="keyDown", **what, **text)
        self.chromium.call("Input.dispatchKeyEvent", type="keyUp", **what)

    def say(self, text: str) -> None:
        self.js("document.querySelector('textarea').focus()")
        self.chromium.call("Input.insertText", text=text)
        self.key("Enter", 13)

    def temperature(self, value: float) -> None:
        self.js(
            f"(input => {{ input.value = {value}; input.oninput(); }})(document.querySelector('[type=range]'))"
        )

    def status(self) -> str:
        return str(self.js("document.querySelector('.status')?.textContent"))

    def texts(self, who: str) -> list[str]:
        found: list[str] = self.js(
            f"[...document.querySelectorAll('.{who} .text')].map(text => text.textContent)"
        )
        return found

    def problems(self) -> set[str]:
        found = (event_problem(event, self.origin) for event in self.chromium.events)
        return {problem for problem in found if problem}


@pytest.fixture(scope="module")
def visitor(tmp_path_factory: pytest.TempPathFactory, model: GPT, tokenizer: Tokenizer) -> Iterator[Visitor]:
    program = browser.find_program()
    if not program:
        pytest.skip("Chromium is not installed")
    site = tmp_path_factory.mktemp("site")
    shutil.copytree(LIVE, site / "_static" / "live")
    shutil.copytree(LIVE, site / "bare" / "_static" / "live")  # a site without models

    def write(folder: Path) -> None:
        model.save_pretrained(folder)
        tokenizer.save(folder)

    publish(site / "models", {"sft": write, "spoiled": write})
    weights = site / "models" / "spoiled" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x07")
    for name, stage, root in (("sft", "sft", ""), ("spoiled", "spoiled", ""), ("other", "ppo", "")):
        (site / f"{name}.html").write_text(PAGE.format(stage=stage, root=root), encoding="utf-8")
    (site / "missing.html").write_text(PAGE.format(stage="sft", root="bare/"), encoding="utf-8")
    shutil.copytree(LIVE, site / "own" / "live")
    write(site / "own" / "assistant")
    (site / "own" / "index.html").write_text(OWN_PAGE, encoding="utf-8")
    with browser.open_site(site, program) as (chromium, origin):
        yield Visitor(chromium, origin)


@pytest.mark.parametrize("look", browser.VIEWS)
def test_it_answers_as_the_package_does(
    visitor: Visitor, model: GPT, tokenizer: Tokenizer, look: str
) -> None:
    """And what looks like HTML or like a control token stays text."""
    visitor.open("sft.html", look)
    visitor.temperature(0)
    visitor.say(HOSTILE)
    visitor.wait(lambda: len("".join(visitor.texts("assistant"))) > 40)
    visitor.key("Escape", 27)
    visitor.wait(lambda: "Stopped." in visitor.status())
    message = {"role": "user", "content": HOSTILE}
    prompt = render_chat([message], tokenizer, add_generation_prompt=True).ids
    ids = generate(model, [prompt], 20, temperature=0.0, stop=stop_ids(tokenizer))[0]
    expected = answer_text(ids, tokenizer).rstrip("\ufffd")
    assert len(expected) > 4 and visitor.texts("assistant")[0].startswith(expected)
    assert visitor.texts("you") == [HOSTILE]
    assert visitor.js("document.querySelectorAll('.log img, .log script').length") == 0
    assert visitor.js("document.documentElement.scrollWidth") <= browser.VIEWS[look][0]
    assert visitor.js("document.querySelector('textarea').value") == ""
    assert visitor.problems() == set()


def test_a_conversation_goes_on(visitor: Visitor, model: GPT, tokenizer: Tokenizer) -> None:
    """What is in the cache of the conversation so far is that conversation, wherever an answer was stopped."""
    visitor.open("sft.html")
    visitor.temperature(0)
    messages: list[dict[str, str]] = []
    for text in ("Hello", "Where is the hat?", "猫"):
        visitor.say(text)
        visitor.wait(lambda: len(visitor.texts("assistant")) > len(messages) // 2)
        visitor.wait(lambda: len(visitor.texts("assistant")[-1]) > 40)
        visitor.key("Escape", 27)
        visitor.wait(lambda: not visitor.js("document.querySelector('[type=submit]').disabled"))
        messages.append({"role": "user", "content": text})
        start = 0  # the oldest exchanges are left out where less than half of the context is free
        while len(prompt := render_chat(messages[start:], tokenizer, add_generation_prompt=True).ids) > 1500:
            start += 2
        expected = answer_text(generate(model, [prompt], 20, temperature=0.0)[0], tokenizer).rstrip("\ufffd")
        answer = visitor.texts("assistant")[-1]
        assert len(expected) > 4 and answer.startswith(expected)
        messages.append({"role": "assistant", "content": answer})
    assert visitor.problems() == set()


def test_a_prompt_can_be_clicked_and_a_conversation_begun_anew(visitor: Visitor) -> None:
    visitor.open("sft.html")
    visitor.js("document.querySelector('.prompts button').click()")
    visitor.wait(lambda: visitor.texts("you") == ["Hello there"] and visitor.texts("assistant") != [""])
    visitor.js(
        "[...document.querySelectorAll('button')].find(b => b.textContent === 'New conversation').click()"
    )
    visitor.wait(lambda: not visitor.js("document.querySelector('[type=submit]').disabled"))
    assert visitor.texts("you") == visitor.texts("assistant") == []
    assert visitor.problems() == set()


def test_every_control_has_a_name(visitor: Visitor) -> None:
    visitor.open("sft.html")
    nameless = """[...document.querySelectorAll('button, textarea, input, progress, [role=log]')].filter(
        element => !(element.ariaLabel || element.textContent || element.labels?.length)).length"""
    assert visitor.js(nameless) == 0


def test_a_message_that_is_too_long_stays_with_its_writer(visitor: Visitor) -> None:
    visitor.open("sft.html")
    long = "hat " * 3001
    visitor.say(long)
    visitor.wait(lambda: "at most 3000 fit" in visitor.status())
    assert visitor.texts("you") == []
    assert visitor.js("document.querySelector('textarea').value") == long


def test_what_is_missing_or_spoiled_is_said(visitor: Visitor) -> None:
    for page, told in (
        ("missing.html", "minillm publish"),
        ("spoiled.html", "is not what the manifest describes"),
        ("other.html", 'have no stage "ppo"'),
    ):
        visitor.open(page)
        assert visitor.problems() == set()
        visitor.say("Hi")
        visitor.wait(lambda told=told: told in visitor.status())
        assert visitor.texts("you") == []
        assert not visitor.js("document.querySelector('[type=submit]').disabled")


def test_the_page_of_the_deployment_chapter_answers(
    visitor: Visitor, model: GPT, tokenizer: Tokenizer
) -> None:
    visitor.chromium.load(visitor.origin + "own/index.html", "light")
    visitor.wait(lambda: len(visitor.js("document.querySelector('#answer')?.textContent ?? ''")) > 0)
    message = {"role": "user", "content": "Who are you?"}
    prompt = render_chat([message], tokenizer, add_generation_prompt=True).ids
    ids = generate(model, [prompt], 60, temperature=0.0, stop=stop_ids(tokenizer))[0]
    visitor.wait(
        lambda: visitor.js("document.querySelector('#answer').textContent") == answer_text(ids, tokenizer)
    )
    assert visitor.problems() == set()
