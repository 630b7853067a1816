"""What an instruction task is: the two splits, the draft of a task, and the task as it is asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from minillm.text.chat import Message

__all__ = ["Draft", "Task", "TaskSplit"]

TaskSplit = Literal["train", "test"]


@dataclass(frozen=True)
class Draft:
    """A task before its style: the prompt, and the answer short and in full."""

    prompt: str  # the user's message
    short: str  # the answer, as brief as can be
    full: str  # the answer as a sentence
    keys: tuple[str, ...]  # what a right answer contains
    rivals: tuple[str, ...] = ()  # what it does not contain
    history: tuple[tuple[str, str], ...] = ()  # earlier messages, as (role, content) pairs
    kind: str = ""  # the family's own kind ending; "" takes a general one
    flawed: str = ""  # the family's own flawed answer; "" takes a general flaw


@dataclass(frozen=True)
class Task:
    """A prompt, a reference answer, and what an answer is judged by.

    Attributes:
        family: which kind of task it is, one of `FAMILIES` or of a domain.
        messages: the conversation up to and with the user's prompt, as (role, content) pairs.
        answer: the reference answer, in `style`.
        keys: what a right answer contains, every one of them (compared without case).
        rivals: what it does not contain: the answers to other questions of the kind.
        style: of the answer: "full", "kind", "curt" or "flawed".
        wanted: the style that the system message asks for; "" without one.
    """

    family: str
    messages: tuple[tuple[str, str], ...]
    answer: str
    keys: tuple[str, ...]
    rivals: tuple[str, ...] = ()
    style: str = "full"
    wanted: str = ""

    @property
    def prompt(self) -> list[Message]:
        """The conversation up to and with the user's prompt, in the usual `messages` format."""
        return [{"role": role, "content": content} for role, content in self.messages]

    @property
    def question(self) -> str:
        """The user's last message."""
        return self.messages[-1][1]

    @property
    def conversation(self) -> list[Message]:
        """The prompt and the reference answer, in the usual `messages` format."""
        return [*self.prompt, {"role": "assistant", "content": self.answer}]
