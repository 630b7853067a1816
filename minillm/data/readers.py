"""Documents, conversations and comparisons in files; each mistake in a file is named with its place."""

from __future__ import annotations

import glob
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from minillm.files import sha256_file
from minillm.text.chat import Message, check_messages

__all__ = [
    "ROW_SUFFIXES",
    "SUFFIXES",
    "FileRows",
    "find_files",
    "read_comparisons",
    "read_conversations",
    "read_documents",
]

SUFFIXES = (".txt", ".md", ".jsonl", ".parquet")
ROW_SUFFIXES = (".jsonl",)  # of conversations and comparisons


def find_files(source: str, suffixes: Sequence[str], what: str, hint: str) -> tuple[Path, ...]:
    """The files that a user means by the name of a file, a folder or a pattern.

    Args:
        source: as the user wrote it.
        suffixes: of the files that can be read.
        what: is looked for, for the message.
        hint: what to give instead, for the message.
    Raises:
        ValueError: there are no such files.
    """
    path = Path(source)
    if path.is_dir():
        found = sorted(path.rglob("*"))
    else:
        found = [path] if path.is_file() else sorted(map(Path, glob.glob(source)))
    paths = tuple(p for p in found if p.is_file() and p.suffix.lower() in suffixes)
    if not paths:
        kinds = " or ".join(suffixes)
        raise ValueError(
            f"{what} {source!r}: no {kinds} file is there; give a file, folder or pattern of files {hint}"
        )
    return paths


@dataclass(frozen=True)
class FileRows:
    """What .jsonl files hold, an item a line; the last ones, at least one, are for validation.

    Raises:
        ValueError: a share that is not between 0 and 1; when they are read, fewer than two items.
    """

    what: ClassVar[str] = "items"  # the lines are, for messages
    source: str  # as the user wrote it
    paths: tuple[Path, ...] = ()  # the files, in order
    validation_share: float = 0.05  # of the items, from the end

    def __post_init__(self) -> None:
        if not 0.0 < self.validation_share < 1.0:
            raise ValueError(
                f"validation_share={self.validation_share} is not allowed; use a number between 0 and 1"
            )

    def read(self, path: Path) -> Iterator[Any]:
        """The items of one file."""
        raise NotImplementedError

    @property
    def name(self) -> str:
        """The last part of the source."""
        return Path(self.source).name

    @cached_property
    def rows(self) -> list[Any]:
        """The items of all files, in order."""
        rows = [row for path in self.paths for row in self.read(path)]
        if len(rows) < 2:
            raise ValueError(
                f"{self.source} holds {len(rows)} {self.what}; give at least 2, one to train on and one to validate"
            )
        return rows

    def split(self, split: str) -> list[Any]:
        """The items of one split, "train" or "validation"."""
        held_out = max(1, round(len(self.rows) * self.validation_share))
        return self.rows[:-held_out] if split == "train" else self.rows[-held_out:]

    def settings(self) -> dict[str, Any]:
        """Everything that decides them, as JSON values."""
        return {"files": [sha256_file(path) for path in self.paths], "share": self.validation_share}


def read_documents(path: Path, text_key: str) -> Iterator[str]:
    """The documents of one file that hold more than white space.

    Args:
        path: of a kind among `SUFFIXES`; .txt and .md are one document, .jsonl and .parquet one per line or row.
        text_key: key or column that holds the text.
    Raises:
        ValueError: the file is binary, not UTF-8, or lacks the key; the message names the place.
    """
    suffix = path.suffix.lower()
    if suffix == ".jsonl":
        texts = _read_jsonl(path, text_key)
    elif suffix == ".parquet":
        texts = _read_parquet(path, text_key)
    else:
        texts = iter([_decode(path, path.read_bytes())])
    yield from (text for text in texts if text.strip())


def _decode(path: Path, raw: bytes, offset: int = 0, line: int = 1) -> str:
    """Text of UTF-8 bytes that begin at byte `offset`, in line `line`, of the file; line ends become \\n."""
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ValueError(f"{path} is UTF-16, not UTF-8; save it as UTF-8: iconv -f UTF-16 -t UTF-8 IN > OUT")
    if (found := raw.find(b"\0")) >= 0:
        raise ValueError(
            f"{path} is a binary file (zero byte at offset {offset + found}); "
            f"give text as {', '.join(SUFFIXES)}"
        )
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line += raw.count(b"\n", 0, error.start)
        raise ValueError(
            f"{path} is not UTF-8: byte 0x{raw[error.start]:02x} at offset {offset + error.start}, "
            f"line {line}; convert text in another encoding: iconv -f ISO-8859-1 -t UTF-8 IN > OUT"
        ) from None
    return text.removeprefix("\ufeff").replace("\r\n", "\n")


def read_conversations(path: Path) -> Iterator[list[Message]]:
    """The conversations of a .jsonl file: a JSON object a line, its key `messages` a list of messages.

    Raises:
        ValueError: the file is binary, not UTF-8 or not JSON lines, or a conversation is refused by `check_messages` or
            has no answer; the message names the line.
    """
    example = '{"messages": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}]}'
    for number, row in _json_rows(path, ("messages",), example):
        try:
            check_messages(row["messages"])
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path}, line {number}: {error}") from None
        if not any(message["role"] == "assistant" for message in row["messages"]):
            raise ValueError(
                f"{path}, line {number} has no message of the assistant, so nothing to learn; add one"
            )
        yield [{"role": message["role"], "content": message["content"]} for message in row["messages"]]


_PAIR = '{"prompt": "...", "chosen": "...", "rejected": "..."}'


def read_comparisons(path: Path) -> Iterator[dict[str, Any]]:
    """The comparisons of a .jsonl file, a JSON object a line, as the fields of a `Comparison`.

    A line has `chosen` and `rejected`, the usual form, each the text of an answer beside a `prompt`, or messages that
    end with the answer, with the prompt before it or apart; or it has `prompt`, `answers` and `ranks` (0 for the best),
    as the `reward` stage writes them. A prompt is a text or a list of messages.

    Raises:
        ValueError: the file is binary, not UTF-8 or not JSON lines, or a line is no comparison; the message names it.
    """
    for number, row in _json_rows(path, ("chosen", "answers"), _PAIR):
        try:
            yield _ranked(row) if "answers" in row else _pair(row)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path}, line {number}: {error}") from None


def _pair(row: dict[str, Any]) -> dict[str, Any]:
    """A comparison of two from `chosen` and `rejected`."""
    if "rejected" not in row:
        raise ValueError(f"there is no key 'rejected'; write a line such as {_PAIR}")
    chosen, rejected = row["chosen"], row["rejected"]
    prompt = row.get("prompt")
    if isinstance(chosen, list) and isinstance(rejected, list):
        chosen, rejected = _conversation(prompt, chosen), _conversation(prompt, rejected)
        if chosen[:-1] != rejected[:-1]:
            raise ValueError(
                "chosen and rejected differ before their last message; give both the same prompt"
            )
        prompt, chosen, rejected = chosen[:-1], chosen[-1]["content"], rejected[-1]["content"]
    if prompt is None:
        raise ValueError(f"there is no key 'prompt'; write a line such as {_PAIR}")
    return _ranked({"prompt": prompt, "answers": [chosen, rejected], "ranks": [0, 1]})


def _conversation(prompt: Any, messages: list[Any]) -> list[Message]:
    """A checked conversation that ends with an answer; its prompt may stand before it, within it, or both."""
    before, messages = _messages(prompt or []), _messages(messages)
    if before:
        check_messages(before)
    if messages[: len(before)] != before:
        messages = [*before, *messages]
    check_messages(messages)
    if messages[-1]["role"] != "assistant":
        raise ValueError(
            f"a conversation ends with a message of the {messages[-1]['role']}; it must end with the assistant's"
        )
    return messages


def _ranked(row: dict[str, Any]) -> dict[str, Any]:
    """A checked comparison from `prompt`, `answers` and `ranks`."""
    prompt, answers, ranks = _messages(row.get("prompt")), row["answers"], row.get("ranks")
    check_messages(prompt)
    if prompt[-1]["role"] != "user":
        raise ValueError(
            f"the prompt ends with a message of the {prompt[-1]['role']}; it must end with the user's"
        )
    if not isinstance(answers, list) or not all(isinstance(answer, str) for answer in answers):
        raise TypeError(f"the answers are {answers!r:.80}; each must be a text")
    for answer in answers:
        check_messages([*prompt, {"role": "assistant", "content": answer}])
    whole = isinstance(ranks, list) and all(type(rank) is int and rank >= 0 for rank in ranks)
    if not whole or len(ranks) != len(answers):
        raise ValueError(f"the ranks are {ranks!r:.80}; give a whole number for each answer, 0 for the best")
    if len(set(ranks)) < 2:
        raise ValueError("no answer is ranked above another; give at least two different ranks")
    gold = row.get("gold")
    return {
        "prompt": tuple(prompt),
        "answers": tuple(answers),
        "ranks": tuple(ranks),
        "gold": tuple(gold) if isinstance(gold, list) and len(gold) == len(answers) else (),
        "family": str(row.get("family", "")),
    }


def _messages(prompt: Any) -> Any:
    """A prompt as messages, without other keys than role and content; a text is the user's."""
    if isinstance(prompt, str):
        return [{"role": "user", "content": prompt}]
    if not isinstance(prompt, list):
        return prompt
    return [
        {key: m[key] for key in ("role", "content") if key in m} if isinstance(m, dict) else m for m in prompt
    ]


def _read_jsonl(path: Path, text_key: str) -> Iterator[str]:
    example = f'{{"{text_key}": "..."}}'
    for number, row in _json_rows(path, (text_key,), example):
        if not isinstance(row[text_key], str):
            kind = type(row[text_key]).__name__
            raise ValueError(
                f"{path}, line {number}: {text_key!r} is a {kind}; each line must be a JSON object such as {example}"
            )
        yield row[text_key]


def _json_rows(path: Path, keys: Sequence[str], example: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """The number and the JSON object of every line that is not empty; each has one of the keys."""
    expected = f"each line must be a JSON object such as {example}"
    offset = 0
    with open(path, "rb") as file:
        for number, raw in enumerate(file, start=1):
            line = _decode(path, raw, offset, number).strip()
            offset += len(raw)
            if not line:
                continue
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise ValueError(
                    f"{path}, line {number} is not JSON ({error.msg}, column {error.colno}); {expected}"
                ) from None
            if not isinstance(row, dict):
                raise ValueError(f"{path}, line {number} is a {type(row).__name__}; {expected}")
            if not any(key in row for key in keys):
                names = ", ".join(row) or "none"
                wanted = " or ".join(map(repr, keys))
                raise ValueError(f"{path}, line {number} has no key {wanted}, only {names}; {expected}")
            yield number, row


def _read_parquet(path: Path, text_key: str) -> Iterator[str]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise ValueError(f"{path} needs the package `pyarrow`: pip install 'minillm-course[hub]'") from None
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            if text_key not in file.schema_arrow.names:
                names = ", ".join(file.schema_arrow.names)
                raise ValueError(
                    f"{path} has no column {text_key!r}, only {names}; rename the column with the text"
                )
            kind = file.schema_arrow.field(text_key).type
            if not (pyarrow.types.is_string(kind) or pyarrow.types.is_large_string(kind)):
                raise ValueError(f"{path}: column {text_key!r} holds {kind}, not text; convert it to strings")
            for rows in file.iter_batches(columns=[text_key]):
                yield from (text for text in rows.column(0).to_pylist() if text is not None)
    except pyarrow.ArrowException as error:
        reason = str(error).strip().split("\n")[0]
        raise ValueError(f"{path} is damaged or not a parquet file ({reason}); restore it") from error
