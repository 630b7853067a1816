"""Assistants side by side in a browser: they answer, the reader votes, and then the rewards are shown."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import browser
import pytest
import torch
from live_modules import spread
from live_site import Visitor, build, page, visited

from minillm import GPT, GPTConfig, Tokenizer, generate, render_chat
from minillm.model.heads import RewardModel
from minillm.text.chat import ASSISTANT, answer_text, stop_ids

CONFIG = GPTConfig(vocab_size=280, context_length=200, n_layer=2, n_head=2, d_model=16)
STAGES = ["base", "sft", "ppo", "grpo"]
THERE = STAGES[:3]
QUESTION = "Where is the <b>hat</b>?"
ANSWERS = 100  # tokens at most
SUMMARY = r"Agreed so far: (\d) of (\d); a random choice would agree in (\d\.\d) of (\d)"


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train(["Hello there, where is the hat? Here is the hat.", "猫和狗"], CONFIG.vocab_size)


@pytest.fixture(scope="module")
def models(tokenizer: Tokenizer) -> dict[str, Any]:
    judge = RewardModel(CONFIG, answer_mark=tokenizer.special_tokens[ASSISTANT])
    made = {**{name: GPT(CONFIG) for name in THERE}, "reward": judge}
    for seed, model in enumerate(made.values()):
        spread(model.eval(), seed)
    return made


@pytest.fixture(scope="module")
def visitor(
    tmp_path_factory: pytest.TempPathFactory, models: dict[str, Any], tokenizer: Tokenizer
) -> Iterator[Visitor]:
    site = tmp_path_factory.mktemp("site")

    def writer(name: str) -> Any:
        return lambda folder: (models[name].save_pretrained(folder), tokenizer.save(folder))

    build(site, {name: writer(name) for name in models})
    build(site / "few", {"sft": writer("sft"), "twin": writer("sft")})
    build(site / "bare")
    build(site / "spoiled", {name: writer(name) for name in ("sft", "ppo", "reward")})
    judge = site / "spoiled" / "models" / "reward" / "model.safetensors"
    judge.write_bytes(judge.read_bytes()[:-1] + b"\x07")
    asked = {
        "all.html": ("", STAGES),
        "twins.html": ("few/", ["sft", "twin"]),
        "none.html": ("few/", ["ppo", "dpo"]),
        "missing.html": ("bare/", STAGES),
        "spoiled.html": ("spoiled/", ["ppo", "sft"]),
        "blind.html": ("", THERE),
    }
    pages = {
        name: page("stages", root, stages=stages, prompts=["Hello there"], blind=name == "blind.html")
        for name, (root, stages) in asked.items()
    }
    with visited(site, pages) as someone:
        yield someone


def ask(visitor: Visitor, text: str, done: str = "document.querySelector('.answer button') !== null") -> None:
    """Ask all at temperature 0, by keyboard."""
    visitor.focus("[type=range]")
    visitor.key("Home")
    visitor.type(text)
    visitor.key("Enter")
    visitor.wait(lambda: visitor.js(done))


def vote(visitor: Visitor, stage: str) -> str:
    """Choose by keyboard; the verdict."""
    visitor.js(f"document.querySelector('[aria-label=\"This is the best: {stage}\"]').focus()")
    visitor.key("Enter")
    visitor.wait(lambda: "so far" in verdict(visitor) or "no reward model" in verdict(visitor))
    return verdict(visitor)


def hold_reward_model(visitor: Visitor) -> None:
    """Until the page's `release` is called, which is there when it is to be loaded."""
    visitor.js("""(() => {
        const post = Worker.prototype.postMessage;
        Worker.prototype.postMessage = function (message) {
            const held = message.do === "load" && message.stage === "reward" && !window.release; // the first time
            if (held) window.release = () => post.call(this, message);
            else post.call(this, message);
        };
    })()""")


def verdict(visitor: Visitor) -> str:
    return str(visitor.js("document.querySelector('.verdict').textContent"))


def expected(models: dict[str, Any], tokenizer: Tokenizer) -> dict[str, dict[str, Any]]:
    """What the package says of the greedy answers."""
    prompt = render_chat([{"role": "user", "content": QUESTION}], tokenizer, add_generation_prompt=True).ids
    found = {}
    for stage in THERE:
        ids = generate(models[stage], [prompt], ANSWERS, temperature=0.0, stop=stop_ids(tokenizer))[0]
        whole = list(ids)
        if len(ids) < ANSWERS:
            with torch.no_grad():
                whole.append(int(models[stage](torch.tensor([[*prompt, *ids]]))[0, -1].argmax()))
        tensor = torch.tensor([[*prompt, *whole]])
        with torch.no_grad():
            own, theirs = (
                models[name](tensor)[0, len(prompt) - 1 : -1].log_softmax(dim=-1) for name in (stage, "sft")
            )
            reward = models["reward"](tensor).item()
        ratios = (own - theirs).gather(1, torch.tensor(whole)[:, None])[:, 0]
        text = answer_text(ids, tokenizer)
        found[stage] = {"text": text, "reward": reward, "ratios": ratios.tolist(), "cut": len(ids) == ANSWERS}
    return found


def number(text: str) -> float:
    """The first signed number of a text."""
    return float(re.search(r"[+−]\d+\.\d\d", text)[0].replace("−", "-"))  # type: ignore[index]


@pytest.mark.parametrize("look", browser.VIEWS)
def test_answers_a_vote_and_then_the_rewards(
    visitor: Visitor, models: dict[str, Any], tokenizer: Tokenizer, look: str
) -> None:
    """The answers, rewards, ratios and colours are those that PyTorch gives; HTML stays text."""
    visitor.open("all.html", look)
    ask(visitor, QUESTION)
    wanted = expected(models, tokenizer)
    assert visitor.texts(".answer .text") == [wanted[stage]["text"] for stage in THERE]
    assert visitor.texts(".asked") == [QUESTION]
    assert visitor.js("document.querySelector('.asked b, .text b')") is None
    assert visitor.texts(".answer .note") == [""] * 3, "no reward before the vote"
    assert [("cut off" in text) for text in visitor.texts(".answer .who")] == [
        wanted[stage]["cut"] for stage in THERE
    ]
    # While the reward model is still loading, the line tells how far it is.
    visitor.wait(lambda: visitor.js("document.querySelector('progress').hidden"))
    told = visitor.status()
    assert "left out: grpo" in told and all(f"{name} 0." in told for name in (*THERE, "reward"))

    said = vote(visitor, "ppo")
    best = max(THERE, key=lambda stage: wanted[stage]["reward"])
    agreed = int(best == "ppo")
    assert said.startswith(
        "The reward model agrees" if agreed else f"The reward model disagrees: it scores {best} "
    )
    assert re.search(SUMMARY, said).groups() == (str(agreed), "1", "0.3", "1")  # type: ignore[union-attr]
    assert visitor.js("document.activeElement.className") == "verdict"
    for place, stage in enumerate(THERE):
        card = f".answer:nth-child({place + 1})"
        reward, ratio = visitor.texts(f"{card} .note div")[:2]
        assert number(reward) == pytest.approx(wanted[stage]["reward"], abs=0.006)
        assert ratio.startswith("Log-probability ratio to SFT of this one answer: ")
        assert number(ratio) == pytest.approx(sum(wanted[stage]["ratios"]), abs=0.006)
        signs = [value < 0 for value in wanted[stage]["ratios"]]
        assert len(visitor.texts(f"{card} .text span")) == len(signs)
        if stage != "sft":
            assert len(visitor.texts(f"{card} .text .less")) == sum(signs)
    assert visitor.problems() == set()


def test_votes_are_counted(visitor: Visitor) -> None:
    visitor.open("all.html")
    agreed = 0
    for votes, stage in enumerate(("sft", "base", "ppo"), start=1):
        ask(visitor, QUESTION)
        said = vote(visitor, stage)
        agreed += said.startswith("The reward model agrees")
        counts = re.search(SUMMARY, said).groups()  # type: ignore[union-attr]
        assert counts == (str(agreed), str(votes), f"{votes / 3:.1f}", str(votes))
    assert agreed == 1, "each of three answers was chosen once"


def test_a_blind_vote_hides_who_is_who(
    visitor: Visitor, models: dict[str, Any], tokenizer: Tokenizer
) -> None:
    """No name is in the cards before the vote, the order changes, and afterwards each answer has its own name."""
    visitor.open("blind.html")
    whose = {found["text"]: stage for stage, found in expected(models, tokenizer).items()}
    orders = set()
    for votes in range(1, 9):
        ask(visitor, QUESTION)
        before = str(visitor.js("document.querySelector('.answers').outerHTML"))
        assert not any(stage in before for stage in THERE)
        assert [text[:8] for text in visitor.texts(".answer .who")] == ["Answer 1", "Answer 2", "Answer 3"]
        wrote = tuple(whose[text] for text in visitor.texts(".answer .text"))
        orders.add(wrote)
        said = vote(visitor, "Answer 2")
        assert f" {votes}; " in said and wrote[1] in said
        assert tuple(visitor.texts(".answer .who strong")) == wrote
        named = visitor.js("[...document.querySelectorAll('.answer')].map((card) => card.ariaLabel)")
        assert tuple(named) == wrote
    assert len(orders) > 1, "one of 6^7 = 280,000 runs fails by chance"
    assert visitor.problems() == set()


def test_equal_answers_leave_no_choice(visitor: Visitor) -> None:
    """And without a reward model only the ratio is told."""
    visitor.open("twins.html")
    ask(visitor, QUESTION, "document.querySelector('.verdict').textContent.includes('the same')")
    assert "left out: reward" in visitor.status()
    numbers = visitor.texts(".answer .note div")
    assert numbers == ["Log-probability ratio to SFT of this one answer: +0.00 nats"] * 2
    assert visitor.js("document.querySelector('.answer button')") is None
    assert visitor.problems() == set()


def test_answers_do_not_wait_for_the_reward_model(visitor: Visitor) -> None:
    """It comes last, after the models that answer; where it is spoiled, that is told when it is needed."""
    visitor.open("spoiled.html")
    hold_reward_model(visitor)
    ask(visitor, QUESTION)
    visitor.wait(lambda: visitor.js("'release' in window"))
    visitor.js("release()")
    weights: list[str] = []

    def all_asked_for() -> bool:
        weights[:] = [url.split("/")[-2] for url in visitor.requests() if url.endswith(".safetensors")]
        return len(weights) >= 3

    visitor.wait(all_asked_for)
    assert weights[:3] == ["ppo", "sft", "reward"]
    visitor.focus("[aria-label='This is the best: ppo']")
    visitor.key("Enter")
    visitor.wait(lambda: "is not what the manifest describes" in verdict(visitor))
    visitor.wait(lambda: visitor.status().startswith("Models: "))
    assert visitor.problems() == set()


def test_a_late_verdict_leaves_the_next_question_alone(visitor: Visitor) -> None:
    """The reward model is held back until the next question has been asked; the vote counts all the same."""
    visitor.open("all.html")
    hold_reward_model(visitor)
    ask(visitor, QUESTION)
    visitor.focus(".answer button")
    visitor.key("Enter")
    visitor.js("window.voted = [...document.querySelectorAll('.answer')]; 0")
    ask(visitor, QUESTION)
    visitor.wait(lambda: visitor.js("'release' in window"))
    visitor.js("release()")
    visitor.wait(lambda: visitor.js("voted.every((card) => card.textContent.includes('Reward: '))"))
    assert verdict(visitor).startswith("Which answer is the best?")
    assert visitor.js("document.querySelector('.answers ~ .note').hidden")
    assert re.search(SUMMARY, vote(visitor, "ppo"))[2] == "2"  # type: ignore[index]


def test_escape_stops(visitor: Visitor) -> None:
    visitor.open("all.html")
    visitor.js("""(() => { document.querySelector('.prompts button').click();
        const key = new KeyboardEvent('keydown', { key: 'Escape', bubbles: true });
        document.querySelector('textarea').dispatchEvent(key); })()""")
    visitor.wait(lambda: visitor.status() == "Stopped.")
    assert visitor.texts(".answer") == []
    ask(visitor, QUESTION)  # and it goes on
    assert len(visitor.texts(".answer")) == 3


def test_what_is_missing_is_said(visitor: Visitor) -> None:
    for name, told in (("missing", "minillm publish"), ("none", "have none of: ppo, dpo")):
        visitor.open(f"{name}.html")
        for _ in range(2):  # asked again, it is told again
            visitor.js("document.querySelector('.status').textContent = ''")
            visitor.js("document.querySelector('.prompts button').click()")
            visitor.wait(lambda told=told: told in visitor.status())
            visitor.wait(lambda: not visitor.js("document.querySelector('[type=submit]').disabled"))


@pytest.mark.parametrize("look", browser.VIEWS)
def test_there_are_no_barriers(visitor: Visitor, look: str) -> None:
    visitor.open("all.html", look)
    ask(visitor, QUESTION)
    vote(visitor, "ppo")
    assert visitor.barriers() == []
