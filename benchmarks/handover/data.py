"""This course's files of conversations and comparisons as TRL's data sets."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from datasets import Dataset, load_dataset

__all__ = ["as_messages", "comparisons", "conversations", "pairs"]

Row = Mapping[str, Any]

_SPEAKERS = {"prompt": "user", "completion": "assistant", "chosen": "assistant", "rejected": "assistant"}


def as_messages(row: Row) -> dict[str, Any]:
    """The row with its texts as messages.

    A list of messages is put into the chat template by TRL. A bare text is not: the model would read it without the
    marks that say who speaks, and learn something else.
    """
    return {
        key: [{"role": _SPEAKERS[key], "content": value}]
        if key in _SPEAKERS and isinstance(value, str)
        else value
        for key, value in row.items()
    }


def pairs(row: Row) -> Iterator[dict[str, Any]]:
    """A comparison as TRL reads it: pairs of a chosen and a rejected answer. Ranked answers make all their pairs."""
    if "answers" not in row:
        yield as_messages({key: row[key] for key in ("prompt", "chosen", "rejected") if key in row})
        return
    ranked = list(zip(row["answers"], row["ranks"], strict=True))
    for chosen, rank in ranked:
        for rejected, other in ranked:
            if rank < other:
                yield as_messages({"prompt": row["prompt"], "chosen": chosen, "rejected": rejected})


def conversations(file: Path) -> Dataset:
    """A file of conversations: `messages`, or `prompt` and `completion`."""
    return load_dataset("json", data_files=str(file), split="train").map(as_messages)


def comparisons(file: Path) -> Dataset:
    """A file of comparisons, as one writes them, or as the stage `preferences` does."""
    with file.open(encoding="utf-8") as lines:
        return Dataset.from_list([pair for line in lines for pair in pairs(json.loads(line))])
