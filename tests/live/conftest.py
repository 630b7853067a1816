"""One Node process runs the modules of the page for all tests of this folder: to start one takes longer than a test."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from live_modules import LIVE

from minillm import GPT, Tokenizer

HERE = Path(__file__).resolve().parent


class NodeError(Exception):
    """What a module threw: the name of the error and its message."""


class Node:
    """The process; `node.call(name, ...)` runs one of the commands in `commands.mjs`."""

    def __init__(self, program: str) -> None:
        self.process = subprocess.Popen(
            [program, str(HERE / "commands.mjs"), str(LIVE)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def call(self, name: str, *arguments: Any) -> Any:
        """The result of a command; JSON keeps lone surrogates, as it is sent in ASCII."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps([name, arguments]).encode("ascii") + b"\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline() or '{"error": "Node has ended"}')
        if "error" in answer:
            raise NodeError(answer["error"])
        return answer["result"]

    def close(self) -> None:
        """End it."""
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait(timeout=30)


@pytest.fixture(scope="session")
def node() -> Iterator[Node]:
    """A Node process with the modules of the page."""
    program = shutil.which("node")
    if program is None:
        pytest.skip("Node is not installed, so the modules of the page (book/_static/live) are not tested")
    version = subprocess.run([program, "--version"], capture_output=True, encoding="utf-8", check=True).stdout
    if int(version.lstrip("v").partition(".")[0]) < 18:
        pytest.skip(f"Node {version.strip()} is older than 18, so the modules of the page are not tested")
    started = Node(program)
    yield started
    started.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, model: GPT, tokenizer: Tokenizer) -> Path:
    """The files of a stage with the model and the tokenizer of the module."""
    folder = tmp_path_factory.mktemp("stage")
    model.save_pretrained(folder)
    tokenizer.save(folder)
    return folder
