"""Where conversations for fine-tuning come from: the tasks of the micro-world, or the reader's own files.

Like a corpus, a source gives two splits, "train" and "validation", and says in `settings()` what decides them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from minillm.data.corpora import Split
from minillm.data.readers import ROW_SUFFIXES, FileRows, find_files, read_conversations
from minillm.data.tasks import PPO_SEED, Tasks
from minillm.data.world import TRAIN_SEED, VALIDATION_SEED
from minillm.files import sha256_bytes
from minillm.text.chat import Message

__all__ = ["Conversations", "FileConversations", "TaskConversations", "open_conversations"]


class Conversations:
    """Conversations for training and, apart from them, for validation."""

    @property
    def description(self) -> str:
        """One sentence for the model card: what they are and where they come from."""
        raise NotImplementedError

    def conversations(self, split: Split) -> Iterator[list[Message]]:
        """The conversations of one split, in a fixed order, each a list of messages."""
        raise NotImplementedError

    def prompt(self, number: int) -> list[Message]:
        """A conversation that waits for an answer, for number 0, 1, 2, ...: what PPO lets the model answer."""
        raise NotImplementedError

    def settings(self) -> dict[str, Any]:
        """Everything that decides them, as JSON values."""
        raise NotImplementedError


@dataclass(frozen=True)
class TaskConversations(Conversations):
    """Tasks of the micro-world. Validation has people, things and templates that training does not have."""

    n_train: int = 20_000  # training conversations
    n_validation: int = 400  # validation conversations
    families: tuple[str, ...] | None = None  # only these families of tasks; None: all
    steps: bool = True  # whether sums are worked out step by step
    seed: int = TRAIN_SEED  # of the training conversations

    def __post_init__(self) -> None:
        for name in ("n_train", "n_validation"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} is {value!r}; use a whole number of at least 1")
        Tasks("train", self.families)  # refuses unknown families

    @property
    def description(self) -> str:
        return f"{self.n_train:,} conversations about the tasks of the course's micro-world, seed {self.seed}"

    def conversations(self, split: Split) -> Iterator[list[Message]]:
        train = split == "train"
        tasks = Tasks("train" if train else "test", self.families, steps=self.steps)
        seed, n = (self.seed, self.n_train) if train else (VALIDATION_SEED, self.n_validation)
        return (task.conversation for task in tasks.tasks(n, seed))

    def prompt(self, number: int) -> list[Message]:
        return Tasks("train", self.families, steps=self.steps).task(PPO_SEED, number).prompt

    def settings(self) -> dict[str, Any]:
        return {
            "tasks": self.n_train,
            "validation": self.n_validation,
            "families": None if self.families is None else list(self.families),
            "steps": self.steps,
            "seed": self.seed,
            "sample": _task_sample(self.families, self.steps, self.seed),
        }


@cache
def _task_sample(families: tuple[str, ...] | None, steps: bool, seed: int) -> str:
    """A fingerprint of the tasks themselves, so that tasks that are written differently have other artifacts."""
    tasks = Tasks("train", families, steps=steps).tasks(200, seed)
    return sha256_bytes("\0".join(repr(task.conversation) for task in tasks).encode())[:16]


@dataclass(frozen=True)
class FileConversations(FileRows, Conversations):
    """Conversations in .jsonl files, a JSON object a line with the key `messages`."""

    what: ClassVar[str] = "conversations"
    validation_share: float = 0.05  # of the conversations, from the end

    @property
    def description(self) -> str:
        return f"local conversations: {self.name} ({len(self.rows):,} conversations)"

    def read(self, path: Path) -> Iterator[list[Message]]:
        return read_conversations(path)

    def conversations(self, split: Split) -> Iterator[list[Message]]:
        return iter(self.split(split))

    def prompt(self, number: int) -> list[Message]:
        train = self.split("train")
        messages = train[number % len(train)]
        return messages[: max(i for i, message in enumerate(messages) if message["role"] == "user") + 1]


def open_conversations(source: str | Path) -> Conversations:
    """Conversations by the name that a user gives: "tasks" (the built-in ones), a .jsonl file, a folder or a pattern.

    Raises:
        ValueError: there are no such files.
    """
    source = str(source)
    if source == "tasks":
        return TaskConversations()
    hint = 'with a JSON object a line, like {"messages": [...]}, or tasks, the built-in ones'
    paths = find_files(source, ROW_SUFFIXES, "conversations", hint)
    return FileConversations(source, paths)
