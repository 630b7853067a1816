"""Where conversations for fine-tuning come from: the micro-world's tasks, the reader's own files, or the Hub.

Like a corpus, a source gives two splits, "train" and "validation", and says in `settings()` what decides them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from minillm import checks
from minillm.data.hub import HubRows, is_hub_name
from minillm.data.listed import FileRows
from minillm.data.places import find_files
from minillm.data.readers import ROW_SUFFIXES, Reading, read_conversations
from minillm.data.rows import TURNS, parse_conversation
from minillm.data.source import Source, Split
from minillm.data.tasks import DOMAINS, PPO_SEED, Tasks
from minillm.data.world import TRAIN_SEED, VALIDATION_SEED
from minillm.files import sha256_bytes
from minillm.text.chat import Message, render_chat
from minillm.text.tokenizer import Tokenizer

__all__ = [
    "Conversations",
    "FileConversations",
    "HubConversations",
    "HubDomain",
    "TaskConversations",
    "leaves_room",
    "open_conversations",
    "open_domain",
    "prompt_of",
    "prompts_of",
]


class Conversations(Source):
    """Conversations for training and, apart from them, for validation."""

    what: ClassVar[str] = "conversations"

    def conversations(self, split: Split) -> Iterator[list[Message]]:
        """The conversations of one split, in a fixed order, each a list of messages."""
        raise NotImplementedError

    def prompt(self, number: int) -> list[Message]:
        """A conversation that waits for an answer, for number 0, 1, 2, ...: what PPO lets the model answer."""
        raise NotImplementedError

    def check_fits(self, tokenizer: Tokenizer, context_length: int) -> None:
        remedy = "give shorter ones, or choose a longer context: --set base.model.context_length=N"
        splits: tuple[Split, ...] = ("train", "validation")
        for split in splits:
            number = 0
            for number, messages in enumerate(self.conversations(split), start=1):  # noqa: B007 - told if none fits
                if any(render_chat(messages, tokenizer).loss_mask[1 : context_length + 1]):
                    break
            else:
                raise ValueError(
                    f"{self.what} {self.name}: none of the {number:,} for {split} has an answer within "
                    f"the context of {context_length} tokens; {remedy}"
                )
        prompts = (prompt for messages in self.conversations("train") for prompt in prompts_of(messages))
        if not any(leaves_room(prompt, tokenizer, context_length) for prompt in prompts):
            raise ValueError(
                f"{self.what} {self.name}: no message of the user's leaves room for an answer within the context of "
                f"{context_length} tokens; {remedy}"
            )


def leaves_room(prompt: Sequence[Message], tokenizer: Tokenizer, context_length: int) -> bool:
    """Whether an answer of a token, with its end token, fits after a prompt."""
    return len(render_chat(prompt, tokenizer, add_generation_prompt=True).ids) < context_length - 1


@dataclass(frozen=True)
class TaskConversations(Conversations):
    """Tasks of the micro-world. Validation has people, things and templates that training does not have."""

    n_train: int = 20_000  # training conversations
    n_validation: int = 400  # validation conversations
    families: tuple[str, ...] | None = None  # only these families of tasks; None: all
    steps: bool = True  # whether sums are worked out step by step
    seed: int = TRAIN_SEED  # of the training conversations

    def __post_init__(self) -> None:
        if isinstance(self.families, list):  # as JSON gives it
            object.__setattr__(self, "families", tuple(self.families))
        checks.tuple_of("families", self.families, str, optional=True)
        for name in ("n_train", "n_validation"):
            checks.whole_number(name, getattr(self, name), at_least=1)
        checks.yes_or_no("steps", self.steps)
        checks.seed("seed", self.seed)
        Tasks("train", self.families)  # refuses unknown families

    @property
    def name(self) -> str:
        return "tasks"

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
            "families": None if self.families is None else list(self.families),
            "steps": self.steps,
            "seed": self.seed,
            "sample": _task_sample(self.families, self.steps, self.seed),
        }

    def held_out_settings(self) -> dict[str, Any]:
        return {"validation": self.n_validation}


@cache
def _task_sample(families: tuple[str, ...] | None, steps: bool, seed: int) -> str:
    """A fingerprint of the tasks themselves, so that tasks that are written differently have other artifacts."""
    tasks = Tasks("train", families, steps=steps).tasks(200, seed)
    return sha256_bytes("\0".join(repr(task.conversation) for task in tasks).encode())[:16]


def prompt_of(messages: list[Message]) -> list[Message]:
    """A conversation up to the user's last message, which waits for an answer."""
    return prompts_of(messages)[0]


def prompts_of(messages: Sequence[Message]) -> list[list[Message]]:
    """A conversation up to each message of the user's, the latest first: an earlier one fits where a later does not."""
    asked = [number for number, message in enumerate(messages) if message["role"] == "user"]
    return [list(messages[: number + 1]) for number in reversed(asked)]


class _ListedConversations(Conversations):
    """Conversations of which `split` gives a list; a prompt is one of them up to the user's last message."""

    def split(self, split: str) -> list[list[Message]]:
        raise NotImplementedError

    def conversations(self, split: Split) -> Iterator[list[Message]]:
        return iter(self.split(split))

    def check(self) -> None:
        for split in ("train", "validation"):
            self.split(split)

    def prompt(self, number: int) -> list[Message]:
        train = self.split("train")
        return prompt_of(train[number % len(train)])


@dataclass(frozen=True)
class FileConversations(FileRows, _ListedConversations):
    """Conversations in files, one a line or row; see `minillm.data.rows.parse_conversation` for its forms."""

    what: ClassVar[str] = "conversations"
    example: ClassVar[str] = TURNS
    validation_share: float = 0.05  # of the conversations

    @property
    def description(self) -> str:
        return f"local conversations: {self.name} ({len(self.rows):,} conversations)"

    def read(self, path: Path, reading: Reading) -> Iterator[list[Message]]:
        return read_conversations(path, reading)


@dataclass(frozen=True)
class HubConversations(HubRows, _ListedConversations):
    """Conversations of a dataset of the Hugging Face Hub, one a row; see `minillm.data.rows.parse_conversation`."""

    what: ClassVar[str] = "conversations"
    setting: ClassVar[str] = "conversations"
    offline: ClassVar[str] = "the built-in conversations need no network: --sft tasks"

    @property
    def description(self) -> str:
        n = self.n_train + self.n_validation
        return f"at most {n:,} conversations of {self.dataset} on the Hugging Face Hub"

    @staticmethod
    def parse(row: Mapping[str, Any]) -> list[Message]:
        return parse_conversation(row)


@dataclass(frozen=True)
class HubDomain(HubConversations):
    """The same for a specialist, with its own settings in messages."""

    setting: ClassVar[str] = "domain"
    offline: ClassVar[str] = "the built-in help desk needs no network: --domain 'help desk'"


def open_conversations(source: str | Path) -> Conversations:
    """Conversations by the name that a user gives: "tasks" (the built-in ones), a file, a folder or a pattern, or
    a dataset of the Hub.

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
        'with a JSON object a line, like {"messages": [...]}, such rows in a .json array or a .parquet file, a dataset '
        "of the Hugging Face Hub (owner/name), "
        f"or {built_in}"
    )
    return FileConversations(source, find_files(source, ROW_SUFFIXES, "conversations", hint))
