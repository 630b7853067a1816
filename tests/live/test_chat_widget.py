"""The chat of the playground in a browser: it loads, answers, stops, and says what is missing."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from os.path import commonprefix
from pathlib import Path

import browser
import pytest
import torch
from live_modules import LIVE, spread
from live_site import Visitor, build, page, visited

from minillm import GPT, GPTConfig, Tokenizer, generate, render_chat
from minillm.text.chat import answer_text, stop_ids

DEPLOY = (LIVE.parent.parent / "deploy.md").read_text(encoding="utf-8")
OWN_PAGE = (
    DEPLOY.partition("```html\n")[2]
    .partition("```")[0]
    .replace("<meta", '<link rel="icon" href="data:,"><meta', 1)
)
CONTEXT = 12_000  # an answer of that length takes many seconds: it is stopped before
HOSTILE = "<img src=x onerror=alert(1)><|end|><script>alert(2)</script>"


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train(["Hello there, where is the hat? Here is the hat.", "猫和狗"], 280)


@pytest.fixture(scope="module")
def model(tokenizer: Tokenizer) -> GPT:
    """One that writes anything, and never ends at temperature 0: of a logit of 0 there is always a higher one."""
    config = GPTConfig(
        vocab_size=280, context_length=CONTEXT, n_layer=2, n_head=2, d_model=16, tie_embeddings=False
    )
    model = GPT(config)
    spread(model, 2)
    model.head_weight.data[list(tokenizer.special_tokens.values())] = 0
    return model


class Talker(Visitor):
    """Someone who talks to the widget."""

    def say(self, text: str) -> None:
        self.type(text)
        self.key("Enter")

    def temperature(self, value: float) -> None:
        self.slide("[type=range]", value)

    def said(self, who: str) -> list[str]:
        return self.texts(f".{who} .text")


def chat_page(stage: str, root: str) -> str:
    return page("chat", root, stage=stage, prompts=["Hello there", "<b>"])


@pytest.fixture(scope="module")
def visitor(tmp_path_factory: pytest.TempPathFactory, model: GPT, tokenizer: Tokenizer) -> Iterator[Talker]:
    site = tmp_path_factory.mktemp("site")

    def write(folder: Path) -> None:
        model.save_pretrained(folder)
        tokenizer.save(folder)

    build(site, {"sft": write, "spoiled": write})
    build(site / "bare")
    weights = site / "models" / "spoiled" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x07")
    shutil.copytree(LIVE, site / "own" / "live")
    write(site / "own" / "assistant")
    pages = {
        "sft.html": chat_page("sft", ""),
        "spoiled.html": chat_page("spoiled", ""),
        "other.html": chat_page("ppo", ""),
        "missing.html": chat_page("sft", "bare/"),
        "own/index.html": OWN_PAGE,
    }
    with visited(site, pages) as someone:
        yield Talker(someone.chromium, someone.origin)


@pytest.mark.parametrize("look", browser.VIEWS)
def test_it_answers_as_the_package_does(visitor: Talker, model: GPT, tokenizer: Tokenizer, look: str) -> None:
    """And what looks like HTML or like a control token stays text."""
    visitor.open("sft.html", look)
    visitor.temperature(0)
    visitor.say(HOSTILE)
    visitor.wait(lambda: len("".join(visitor.said("assistant"))) > 40)
    visitor.key("Escape")
    visitor.wait(lambda: "Stopped." in visitor.status())
    message = {"role": "user", "content": HOSTILE}
    prompt = render_chat([message], tokenizer, add_generation_prompt=True).ids
    ids = generate(model, [prompt], 20, temperature=0.0, stop=stop_ids(tokenizer))[0]
    expected = answer_text(ids, tokenizer).rstrip("\ufffd")
    assert len(expected) > 4 and visitor.said("assistant")[0].startswith(expected)
    assert visitor.said("you") == [HOSTILE]
    assert visitor.js("document.querySelectorAll('.log img, .log script').length") == 0
    assert visitor.js("document.querySelector('textarea').value") == ""
    assert visitor.problems() == set()


def test_a_conversation_goes_on(visitor: Talker, model: GPT, tokenizer: Tokenizer) -> None:
    """What is in the cache of the conversation so far is that conversation, wherever an answer was stopped."""
    visitor.open("sft.html")
    visitor.temperature(0)
    messages: list[dict[str, str]] = []
    for text in ("Hello", "Where is the hat?", "猫"):
        visitor.say(text)
        visitor.wait(lambda: len(visitor.said("assistant")) > len(messages) // 2)
        visitor.wait(lambda: len(visitor.said("assistant")[-1]) > 40)
        visitor.key("Escape")
        visitor.wait(lambda: not visitor.js("document.querySelector('[type=submit]').disabled"))
        messages.append({"role": "user", "content": text})
        start = 0  # the oldest exchanges are left out where less than half of the context is free
        while (
            len(prompt := render_chat(messages[start:], tokenizer, add_generation_prompt=True).ids)
            > CONTEXT // 2
        ):
            start += 2
        ids = generate(model, [prompt], 60, temperature=0.0)[0]
        texts = [answer_text(ids[:n], tokenizer).rstrip("\ufffd") for n in range(len(ids) + 1)]
        answer = visitor.said("assistant")[-1]
        both = min(len(texts[-1]), len(answer))  # where the answer was stopped depends on the machine's speed
        same = len(commonprefix([answer, texts[-1]]))
        assert both > 1
        if same < both:  # allowed only where two tokens are as good as equal: then the last bits decide
            n = max(n for n, text in enumerate(texts) if len(text) <= same)
            with torch.no_grad():
                best, second = model(torch.tensor([[*prompt, *ids[:n]]]))[0, -1].topk(2).values
            assert best - second < 1e-4
        messages.append({"role": "assistant", "content": answer})
    assert visitor.problems() == set()


def test_a_prompt_can_be_clicked_and_a_conversation_begun_anew(visitor: Talker) -> None:
    visitor.open("sft.html")
    visitor.js("document.querySelector('.prompts button').click()")
    visitor.wait(lambda: visitor.said("you") == ["Hello there"] and visitor.said("assistant") != [""])
    visitor.js(
        "[...document.querySelectorAll('button')].find(b => b.textContent === 'New conversation').click()"
    )
    visitor.wait(lambda: not visitor.js("document.querySelector('[type=submit]').disabled"))
    assert visitor.said("you") == visitor.said("assistant") == []
    assert visitor.problems() == set()


def test_a_message_that_is_too_long_stays_with_its_writer(visitor: Talker) -> None:
    visitor.open("sft.html")
    long = "hat " * (CONTEXT + 1)
    visitor.say(long)
    visitor.wait(lambda: f"at most {CONTEXT} fit" in visitor.status())
    assert visitor.said("you") == []
    assert visitor.js("document.querySelector('textarea').value") == long


def test_a_key_that_completes_a_word_does_not_send(visitor: Talker) -> None:
    """Safari ends the composition before it tells of the key, and so says only its code."""
    visitor.open("sft.html")
    visitor.type("猫")
    for told, sends in (("isComposing: true", False), ("keyCode: 229", False), ("keyCode: 13", True)):
        visitor.js(f"""document.querySelector('textarea').dispatchEvent(
            new KeyboardEvent('keydown', {{ key: 'Enter', bubbles: true, {told} }}))""")
        assert visitor.js("document.querySelector('[type=submit]').disabled") == sends, told


def test_the_focus_goes_with_the_button_that_can_be_pressed(visitor: Talker) -> None:
    """A disabled button loses it, and then Escape stopped nothing."""
    visitor.open("sft.html")
    visitor.temperature(0)
    visitor.type("Hi")
    visitor.focus("[type=submit]")
    visitor.key("Enter")
    assert visitor.texts(":focus") == ["Stop"]
    visitor.key("Escape")
    visitor.wait(lambda: "Stopped." in visitor.status())
    visitor.wait(lambda: visitor.texts(":focus") == ["Send"])


def test_a_worker_that_did_not_start_is_told_and_another_one_started(visitor: Talker) -> None:
    visitor.open("sft.html")
    visitor.js("""Worker = class extends Worker {
        constructor(_, options) { super("absent.js", options); Worker = Object.getPrototypeOf(Worker); }}; 0""")
    visitor.say("Hi")
    visitor.wait(lambda: "cannot start the thread" in visitor.status())
    visitor.say("Hi")
    visitor.wait(lambda: visitor.said("assistant") not in ([], [""]))


def test_a_worker_that_breaks_down_later_is_told(visitor: Talker) -> None:
    """The new one knows no model, and the widget takes it for loaded."""
    visitor.open("sft.html")
    visitor.js("""(() => {
        const post = Worker.prototype.postMessage;
        Worker.prototype.postMessage = function (message) { window.thread = this; post.call(this, message); };
    })()""")
    visitor.say("Hi")
    visitor.wait(lambda: visitor.said("assistant") not in ([], [""]))
    visitor.js("thread.dispatchEvent(new Event('error')); 0")
    visitor.wait(lambda: not visitor.js("document.querySelector('[type=submit]').disabled"))
    visitor.say("Hi")
    visitor.wait(lambda: "Load this page again" in visitor.status())


def test_a_signal_stops_whenever_it_was_aborted(visitor: Talker) -> None:
    """Before the job was sent, too: the event of the signal does not come again."""
    visitor.open("sft.html")
    sent = visitor.js("""(async () => {
        const { ask } = await import("./_static/live/client.js");
        const sent = [];
        Worker.prototype.postMessage = (message) => sent.push([message.job, message.do]);
        const later = new AbortController();
        ask({ do: "chat" }, {}, AbortSignal.abort());
        ask({ do: "chat" }, {}, later.signal);
        later.abort();
        return sent;
    })()""")
    assert sent == [[1, "chat"], [1, "stop"], [2, "chat"], [2, "stop"]]


def test_what_is_missing_or_spoiled_is_said(visitor: Talker) -> None:
    for name, told in (
        ("missing.html", "minillm publish"),
        ("spoiled.html", "is not what the manifest describes"),
        ("other.html", 'have no stage "ppo"'),
    ):
        visitor.open(name)
        assert visitor.problems() == set()
        visitor.say("Hi")
        visitor.wait(lambda told=told: told in visitor.status())
        assert visitor.said("you") == []
        assert not visitor.js("document.querySelector('[type=submit]').disabled")


def test_the_page_of_the_deployment_chapter_answers(
    visitor: Talker, model: GPT, tokenizer: Tokenizer
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


@pytest.mark.parametrize("view", browser.VIEWS)
def test_there_are_no_barriers(visitor: Talker, view: str) -> None:
    visitor.open("sft.html", view)
    visitor.say("Hi")
    visitor.wait(lambda: visitor.said("assistant") not in ([], [""]))
    visitor.key("Escape")
    visitor.wait(lambda: "Stopped." in visitor.status())
    assert visitor.barriers() == []
