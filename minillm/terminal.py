"""Writing with a base model in the terminal: you begin a text, the model goes on."""

from __future__ import annotations

import codecs
import sys
import unicodedata
from collections.abc import Iterator

import torch

from minillm.model.gpt import GPT
from minillm.model.sampling import stream
from minillm.text.tokenizer import Tokenizer

__all__ = ["TextSession", "printable", "show", "talk"]

WELCOME = """This is a base model: it continues a text, it does not answer. The assistant comes with SFT.
Begin a text; an empty line lets the model go on; Ctrl-C stops it.
Commands: /temperature X, /reset, /help, /quit"""
END_MARK = "[end of text]"


class TextSession:
    """One text that the user and the model write in turns.

    When the text fills the context, the model sees the last half of it, and more again as it grows.

    Args:
        model: in evaluation mode.
        tokenizer: the model's own.
        temperature: 0 takes the most probable token each time.
        top_p: only the most probable tokens of this total probability are drawn from; None: all.
        seed: decides the draws.
    """

    def __init__(
        self,
        model: GPT,
        tokenizer: Tokenizer,
        temperature: float = 0.8,
        top_p: float | None = 0.95,
        seed: int = 0,
    ) -> None:
        self.model, self.tokenizer = model, tokenizer
        self.temperature, self.top_p = temperature, top_p
        self.generator = torch.Generator().manual_seed(seed)
        self.reset()

    def reset(self) -> None:
        """Begin a new text."""
        self.ids = [self.tokenizer.end_of_text_id]
        self.ended = False

    def write(self, text: str, max_new_tokens: int) -> Iterator[str]:
        """Add the user's text and yield the model's continuation, piece by piece, up to the end of the text.

        After the model has ended the text (`ended`), the next call begins a new one.
        """
        if self.ended:
            self.reset()
        self.ids += self.tokenizer.encode(text)
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        while max_new_tokens > 0 and not self.ended:
            window = self._window()
            room = min(max_new_tokens, self.model.config.context_length - len(window))
            n_before = len(self.ids)
            for token in self._stream(window, room):
                self.ids.append(token)
                if piece := decoder.decode(self.tokenizer.decode_bytes([token])):
                    yield piece
            written = len(self.ids) - n_before
            self.ended = written < room
            max_new_tokens -= written
        if piece := decoder.decode(b"", final=True):
            yield piece

    def _window(self) -> list[int]:
        """What the model sees of the text: all of it while a token more fits into the context."""
        length = self.model.config.context_length
        return self.ids if len(self.ids) < length else self.ids[-max(1, length // 2) :]

    def _stream(self, window: list[int], n: int) -> Iterator[int]:
        return stream(
            self.model,
            window,
            n,
            temperature=self.temperature,
            top_p=self.top_p,
            stop=self.tokenizer.end_of_text_id,
            generator=self.generator,
        )


def talk(session: TextSession, max_new_tokens: int) -> None:
    """Read lines from the terminal and let the model go on with each, until /quit or the end of the input."""
    print(WELCOME, file=sys.stderr)
    while True:
        try:
            line = input("> ")
        except (EOFError, KeyboardInterrupt):
            print(file=sys.stderr)
            return
        if line.startswith("/"):
            if line.strip() == "/quit":
                return
            print(_command(session, line), file=sys.stderr)
            continue
        try:
            show(session, line, max_new_tokens)
        except KeyboardInterrupt:
            print(" [stopped]", file=sys.stderr)


def show(session: TextSession, beginning: str, max_new_tokens: int) -> None:
    """Print the beginning and its continuation, as it is written."""
    print(beginning, end="", flush=True)
    for piece in session.write(beginning, max_new_tokens):
        print(printable(piece), end="", flush=True)
    print(flush=True)
    if session.ended:
        print(END_MARK, file=sys.stderr)


def printable(text: str) -> str:
    """Text without control characters: a model's bytes must not steer the terminal."""
    return "".join(c if c in "\n\t" or unicodedata.category(c) != "Cc" else "\ufffd" for c in text)


def _command(session: TextSession, line: str) -> str:
    """Carry out a command; what to tell the user."""
    name, _, value = line.strip().partition(" ")
    if name == "/reset":
        session.reset()
        return "a new text begins"
    if name == "/temperature":
        try:
            temperature = float(value)
        except ValueError:
            temperature = -1.0
        if not 0.0 <= temperature <= 10.0:
            return f"temperature {value!r} is not allowed; use a number from 0 to 10"
        session.temperature = temperature
        return f"temperature is {temperature:g}"
    return WELCOME if name == "/help" else f"{name} is unknown; use /temperature X, /reset, /help or /quit"
