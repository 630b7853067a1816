"""Where conversations for fine-tuning come from: the micro-world's tasks, the reader's own files, or the Hub.

Like a corpus, a source gives two splits, "train" and "validation", and says in `settings()` what decides them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from minillm.data.corpora import Split
from minillm.data.hub import HubRows, is_hub_name
from minillm.data.readers import ROW_SUFFIXES, FileRows, find_files, read_conversations
from minillm.data.rows import TURNS, parse_conversation
from minillm.data.tasks import DOMAINS, PPO_SEED, Tasks
from minillm.data.world import TRAIN_SEED, VALIDATION_SEED
from minillm.files import sha256_bytes
from minillm.seeds import check_seed
from minillm.text.chat import Message

__all__ = [
    "Conversations",
    "FileConversations",
    "HubConversations",
    "HubDomain",
    "TaskConversations",
    "open_conversations",
    "open_domain",
    "prompt_of",
]


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

    def check(self) -> None:
        """Find mistakes in files and datasets before anything is trained.

        Raises:
            ValueError: as when they are read.
        """


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
        check_seed("seed", self.seed)
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


def prompt_of(messages: list[Message]) -> list[Message]:
    """A conversation up to the user's last message, which waits for an answer."""
    return messages[: max(i for i, message in enumerate(messages) if message["role"] == "user") + 1]


class _ListedConversations(Conversations):
    """Conversations of which `split` gives a list; a prompt is one of them up to the user's last message."""

    def split(self, split: str) -> list[list[Message]]:
        raise NotImplementedError

    def conversations(self, split: Split) -> Iterator[list[Message]]:
        return iter(self.split(split))

    def check(self) -> None:
        self.split("train")

    def prompt(self, number: int) -> list[Message]:
        train = self.split("train")
        return prompt_of(train[number % len(train)])


@dataclass(frozen=True)
class FileConversations(FileRows, _ListedConversations):
    """Conversations in .jsonl files, one a line; see `minillm.data.rows.parse_conversation` for its forms."""

    what: ClassVar[str] = "conversations"
    example: ClassVar[str] = TURNS
    validation_share: float = 0.05  # of the conversations, from the end

    @property
    def description(self) -> str:
        return f"local conversations: {self.name} ({len(self.rows):,} conversations)"

    def read(self, path: Path) -> Iterator[list[Message]]:
        return read_conversations(path)


@dataclass(frozen=True)
class HubConversations(HubRows, _ListedConversations):
    """Conversations of a dataset of the Hugging Face Hub, one a row; see `minillm.data.rows.parse_conversation`."""

    what: ClassVar[str] = "conversations"
    setting: ClassVar[str] = "conversations"
    offline: ClassVar[str] = "the built-in conversations need no network: --sft tasks"

    @property
    def description(self) -> str:
        return f"{len(self.rows):,} conversations of {self.dataset} on the Hugging Face Hub"

    @staticmethod
    def parse(row: Mapping[str, Any]) -> list[Message]:
        return parse_conversation(row)


@dataclass(frozen=True)
class HubDomain(HubConversations):
    """The same for a specialist, with its own settings in messages."""

    setting: ClassVar[str] = "domain"
    offline: ClassVar[str] = "the built-in help desk needs no network: --domain 'help desk'"


def open_conversations(source: str | Path) -> Conversations:
    """Conversations by the name that a user gives: "tasks" (the built-in ones), a .jsonl file, a folder or a pattern,
    or a dataset of the Hub.

    Raises:
        ValueError: there are no such files.
    """
    source = str(source)
    if source == "tasks":
        return TaskConversations()
    if is_hub_name(source):
        return HubConversations(source)
    return _from_files(source, "tasks, the built-in ones")


def open_domain(source: str | Path) -> Conversations:
    """Conversations for a specialist: "help desk" or "letters" (built in), else as for `open_conversations`.

    Raises:
        ValueError: there are no such files.
    """
    source = str(source)
    if source in DOMAINS:
        return TaskConversations(600, 100, tuple(DOMAINS[source]))
    if is_hub_name(source):
        return HubDomain(source)
    return _from_files(source, f"one of the built-in domains, {' and '.join(DOMAINS)}")


def _from_files(source: str, built_in: str) -> FileConversations:
    hint = (
        'with a JSON object a line, like {"messages": [...]}, a dataset of the Hugging Face Hub (owner/name), '
        f"or {built_in}"
    )
    return FileConversations(source, find_files(source, ROW_SUFFIXES, "conversations", hint))
