"""Sessions in the terminal: a base model continues your text, an assistant answers your messages."""

from __future__ import annotations

import codecs
import contextlib
import os
import sys
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterable, Iterator

import torch

from minillm import checks
from minillm.artifact import Artifact
from minillm.model.gpt import GPT
from minillm.model.sampling import stream
from minillm.process import typed_text
from minillm.text.chat import BEFORE_CONTENT, answer_text, render_chat, stop_ids
from minillm.text.tokenizer import Tokenizer

__all__ = ["ChatSession", "TextSession", "open_session", "printable", "show", "talk"]


_END_KEY = "Ctrl-Z and Enter" if os.name == "nt" else "Ctrl-D"  # ends the input of a terminal


class Session(ABC):
    """What the user and the model write in turns; texts and conversations share this.

    Args:
        model: in evaluation mode.
        tokenizer: the model's own.
        temperature: 0 takes the most probable token each time; None: what suits the kind of session.
        top_p: only the most probable tokens of this total probability are drawn from; None: all.
        seed: decides the draws.
    """

    default_temperature, welcome = 1.0, ""
    commands = "/temperature X, /reset, /help or /quit"
    repeats_input = False  # whether the user's words are printed in front of the model's

    def __init__(
        self,
        model: GPT,
        tokenizer: Tokenizer,
        temperature: float | None = None,
        top_p: float | None = 0.95,
        seed: int = 0,
    ) -> None:
        checks.seed("seed", seed)
        self.model, self.tokenizer, self.top_p = model, tokenizer, top_p
        self.temperature = self.default_temperature if temperature is None else temperature
        self.generator = torch.Generator().manual_seed(seed)
        self.context_length = model.config.context_length
        self.note = ""  # what to tell the user after the model has written
        self.reset()

    @abstractmethod
    def reset(self) -> str:
        """Begin anew; what to tell the user."""

    @abstractmethod
    def write(self, text: str, max_new_tokens: int) -> Generator[str, None, None]:
        """Yield what the model writes after the user's text, piece by piece."""

    def command(self, line: str) -> str:
        """Carry out a line like "/temperature 0.5"; what to tell the user."""
        name, _, value = line.strip().partition(" ")
        if name == "/reset":
            return self.reset()
        if name == "/temperature":
            return self._set_temperature(value)
        return self.welcome if name == "/help" else f"{name} is unknown; use {self.commands}"

    def _set_temperature(self, value: str) -> str:
        try:
            temperature = float(value)
        except ValueError:
            temperature = -1.0
        if not 0.0 <= temperature <= 10.0:
            return f"temperature {value!r} is not allowed; use a number from 0 to 10"
        self.temperature = temperature
        return f"temperature is {temperature:g}"

    def _tokens(self, prompt: list[int], n: int, stop: Iterable[int], ids: list[int]) -> Iterator[int]:
        """Yield at most n tokens that follow the prompt, each of them added to `ids` before."""
        drawn = stream(
            self.model,
            prompt,
            n,
            temperature=self.temperature,
            top_p=self.top_p,
            stop=stop,
            generator=self.generator,
        )
        for token in drawn:
            ids.append(token)
            yield token

    def _characters(self, tokens: Iterable[int]) -> Iterator[str]:
        """The text of tokens as they come, whole characters at a time."""
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        for token in tokens:
            if piece := decoder.decode(self.tokenizer.decode_bytes([token])):
                yield piece
        if piece := decoder.decode(b"", final=True):
            yield piece


class TextSession(Session):
    """One text that the user and the model write in turns.

    When the text fills the context, the model sees the last half of it, and more again as it grows.
    """

    default_temperature = 0.8
    welcome = f"""This is a base model: it continues a text, it does not answer. The assistant: minillm chat sft.
Begin a text; an empty line lets the model go on; Ctrl-C stops it, {_END_KEY} ends.
Commands: {Session.commands}"""
    repeats_input = True

    def reset(self) -> str:
        """Begin a new text."""
        self.ids = [self.tokenizer.end_of_text_id]
        self.ended = False
        return "a new text begins"

    def write(self, text: str, max_new_tokens: int) -> Generator[str, None, None]:
        """Add the user's text and yield the model's continuation, piece by piece, up to the end of the text.

        After the model has ended the text (`ended`), the next call begins a new one.
        """
        if self.ended:
            self.reset()
        self.ids += self.tokenizer.encode(text)
        yield from self._characters(self._continuation(max_new_tokens))
        self.note = "[end of text]" if self.ended else ""

    def _continuation(self, n_tokens: int) -> Iterator[int]:
        length = self.context_length
        while n_tokens > 0 and not self.ended:
            window = self.ids if len(self.ids) < length else self.ids[-max(1, length // 2) :]
            room = max(1, min(n_tokens, length - len(window)))  # a context of one token has room for one
            n_before = len(self.ids)
            yield from self._tokens(window, room, [self.tokenizer.end_of_text_id], self.ids)
            self.ended = len(self.ids) - n_before < room
            n_tokens -= room


class ChatSession(Session):
    """A conversation of the user with an assistant.

    Where less than half of the context would be free for the answer, the oldest exchanges are forgotten. An answer
    that was stopped stays in the conversation as far as it came; without any answer the message is forgotten too.
    """

    default_temperature = 0.3  # facts want the likeliest words, and a small model's second choices are poor
    commands = f"/system TEXT, {Session.commands}"
    welcome = f"""This is a small assistant: it knows little beyond its training texts, and it can be wrong.
Write a message; Ctrl-C stops the answer, {_END_KEY} ends.
Commands: {commands}"""
    system: str | None = None  # what the assistant is told before all messages

    def reset(self) -> str:
        """Begin a new conversation; the system message stays."""
        self.messages: list[dict[str, str]] = []  # without the system's
        self._has_told = False  # that exchanges are forgotten
        return "a new conversation begins"

    def command(self, line: str) -> str:
        """Carry out a command; `/system TEXT` changes the system message, `/system` removes it."""
        name, _, value = line.strip().partition(" ")
        if name != "/system":
            return super().command(line)
        self.system = value.strip() or None
        return f"the system message is: {self.system}" if self.system else "there is no system message"

    def write(self, text: str, max_new_tokens: int) -> Generator[str, None, None]:
        """Yield the answer to a message, piece by piece, and keep both; ValueError: it is empty or too long."""
        message = {"role": "user", "content": text}
        ids: list[int] = []
        self.note = ""
        prompt = self._prompt(message, max_new_tokens)
        room = min(max_new_tokens, self.context_length + 1 - len(prompt))
        pieces = self._characters(self._tokens(prompt, room, stop_ids(self.tokenizer), ids))
        try:
            yield next(pieces, "").removeprefix(BEFORE_CONTENT)
            yield from pieces
        finally:
            if answer := answer_text(ids, self.tokenizer):
                self.messages += [message, {"role": "assistant", "content": answer}]
        if len(ids) == room:
            self.note += f"[cut off after {room} tokens]"

    def _prompt(self, message: dict[str, str], max_new_tokens: int) -> list[int]:
        """The ids to answer; forgets the exchanges that have no room."""
        if not message["content"].strip():
            raise ValueError("the message is empty; write what the assistant shall answer")
        length = self.context_length
        before = [{"role": "system", "content": self.system}] if self.system else []
        for start in range(0, len(self.messages) + 1, 2):
            messages = [*before, *self.messages[start:], message]
            ids = render_chat(messages, self.tokenizer, add_generation_prompt=True).ids
            if len(ids) + min(max_new_tokens, length // 2) <= length:
                break
        if len(ids) > length:
            with_system = " with the system message" if before else ""
            raise ValueError(
                f"the message has {len(ids)} tokens{with_system}, at most {length} fit; shorten it"
            )
        del self.messages[:start]
        if start > 0 and not self._has_told:
            self._has_told = True
            self.note = f"[the model reads {length} tokens at most; the oldest messages are left out]\n"
        return ids


def open_session(
    artifact: Artifact,
    system: str | None = None,
    temperature: float | None = None,
    top_p: float | None = 0.95,
    seed: int = 0,
) -> Session:
    """A text with a base model, a conversation with one of a later stage; the settings are those of `Session`."""
    model = artifact.model
    if not isinstance(model, GPT):
        raise ValueError(
            f"the reward model in {artifact.folder} scores and does not write; choose another stage"
        )
    if not artifact.answers:
        if system is not None:
            raise ValueError(f"a {artifact.stage} model takes no system message; leave it out, or choose sft")
        return TextSession(model, artifact.tokenizer, temperature, top_p, seed)
    session = ChatSession(model, artifact.tokenizer, temperature, top_p, seed)
    session.system = system or None
    return session


def talk(session: Session, max_new_tokens: int) -> None:
    """Read lines from the terminal and let the model write after each, until /quit or the end of the input."""
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401  # arrow keys and earlier lines at the prompt; not on Windows
    print(session.welcome, file=sys.stderr)
    while True:
        try:
            line = typed_text(input("> "), "the line")
        except ValueError as error:  # bytes of another encoding
            print(error, file=sys.stderr)
            continue
        except EOFError:
            print(file=sys.stderr)
            return
        except KeyboardInterrupt:  # one that came too late for the answer must not end the program
            print(f"\n[{_END_KEY} ends]", file=sys.stderr)
            continue
        if line.strip() == "/quit":
            return
        try:
            if line.startswith("/"):
                print(session.command(line), file=sys.stderr)
            else:
                show(session, line, max_new_tokens)
        except KeyboardInterrupt:
            print(" [stopped]", file=sys.stderr)
        except ValueError as error:
            print(error, file=sys.stderr)


def show(session: Session, text: str, max_new_tokens: int) -> None:
    """Print what the model writes after the user's text, as it is written."""
    if session.repeats_input:
        print(text, end="", flush=True)
    with contextlib.closing(session.write(text, max_new_tokens)) as pieces:
        for piece in pieces:
            print(printable(piece), end="", flush=True)
    print(flush=True)
    if session.note:
        print(session.note.rstrip(), file=sys.stderr)


def printable(text: str) -> str:
    """Text without control characters: a model's bytes must not steer the terminal."""
    return "".join(c if c in "\n\t" or unicodedata.category(c) != "Cc" else "\ufffd" for c in text)
