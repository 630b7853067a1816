"""Documents and conversations in files; each mistake in a file is named with its place."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from minillm.text.chat import Message, check_messages

__all__ = ["CONVERSATION_SUFFIXES", "SUFFIXES", "read_conversations", "read_documents"]

SUFFIXES = (".txt", ".md", ".jsonl", ".parquet")
CONVERSATION_SUFFIXES = (".jsonl",)


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
    for number, row in _json_rows(path, "messages", example):
        try:
            check_messages(row["messages"])
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path}, line {number}: {error}") from None
        if not any(message["role"] == "assistant" for message in row["messages"]):
            raise ValueError(
                f"{path}, line {number} has no message of the assistant, so nothing to learn; add one"
            )
        yield [{"role": message["role"], "content": message["content"]} for message in row["messages"]]


def _read_jsonl(path: Path, text_key: str) -> Iterator[str]:
    example = f'{{"{text_key}": "..."}}'
    for number, row in _json_rows(path, text_key, example):
        if not isinstance(row[text_key], str):
            kind = type(row[text_key]).__name__
            raise ValueError(
                f"{path}, line {number}: {text_key!r} is a {kind}; each line must be a JSON object such as {example}"
            )
        yield row[text_key]


def _json_rows(path: Path, key: str, example: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """The number and the JSON object of every line that is not empty; each has the key."""
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
            if key not in row:
                names = ", ".join(row) or "none"
                raise ValueError(f"{path}, line {number} has no key {key!r}, only {names}; {expected}")
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
