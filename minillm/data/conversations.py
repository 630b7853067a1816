"""Where conversations for fine-tuning come from: the tasks of the micro-world, or the reader's own files.

Like a corpus, a source gives two splits, "train" and "validation", and says in `settings()` what decides them.
"""

from __future__ import annotations

import glob
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from minillm.data.corpora import Split
from minillm.data.readers import CONVERSATION_SUFFIXES, read_conversations
from minillm.data.tasks import Tasks
from minillm.data.world import TRAIN_SEED, VALIDATION_SEED
from minillm.files import sha256_bytes, sha256_file
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
class FileConversations(Conversations):
    """Conversations in .jsonl files, a JSON object a line with the key `messages`.

    The last ones, about `validation_share` of them and at least one, are for validation.
    """

    source: str  # as the user wrote it
    paths: tuple[Path, ...] = field(default=())  # the files, in order
    validation_share: float = 0.05  # of the conversations, from the end

    def __post_init__(self) -> None:
        if not 0.0 < self.validation_share < 1.0:
            raise ValueError(
                f"validation_share={self.validation_share} is not allowed; use a number between 0 and 1"
            )

    @property
    def description(self) -> str:
        return f"local conversations: {Path(self.source).name} ({len(self._all):,} conversations)"

    @cached_property
    def _all(self) -> list[list[Message]]:
        conversations = [messages for path in self.paths for messages in read_conversations(path)]
        if len(conversations) < 2:
            raise ValueError(
                f"{self.source} holds {len(conversations)} conversations; give at least 2, one to train on and one to "
                "validate"
            )
        return conversations

    def conversations(self, split: Split) -> Iterator[list[Message]]:
        held_out = max(1, round(len(self._all) * self.validation_share))
        return iter(self._all[:-held_out] if split == "train" else self._all[-held_out:])

    def settings(self) -> dict[str, Any]:
        return {"files": [sha256_file(path) for path in self.paths], "share": self.validation_share}


def open_conversations(source: str | Path) -> Conversations:
    """Conversations by the name that a user gives: "tasks" (the built-in ones), a .jsonl file, a folder or a pattern.

    Raises:
        ValueError: there are no such files.
    """
    source = str(source)
    if source == "tasks":
        return TaskConversations()
    path = Path(source)
    found = (
        sorted(path.rglob("*"))
        if path.is_dir()
        else [path]
        if path.is_file()
        else map(Path, sorted(glob.glob(source)))
    )
    paths = tuple(p for p in found if p.is_file() and p.suffix.lower() in CONVERSATION_SUFFIXES)
    if not paths:
        kinds = " or ".join(CONVERSATION_SUFFIXES)
        raise ValueError(
            f"conversations {source!r}: no {kinds} file is there; give a file, folder or pattern of files with a JSON "
            'object a line, like {"messages": [...]}, or tasks, the built-in ones'
        )
    return FileConversations(source, paths)
