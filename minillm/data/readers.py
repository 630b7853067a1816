"""Documents, conversations and comparisons in files; each mistake in a file is named with its place."""

from __future__ import annotations

import glob
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from minillm import checks
from minillm.data.rows import (
    COMPARISON_KEYS,
    CONVERSATION_KEYS,
    PAIR,
    TURNS,
    key_names,
    parse_comparison,
    parse_conversation,
)
from minillm.files import sha256_file
from minillm.text.chat import Message

__all__ = [
    "PIECE_BYTES",
    "ROW_SUFFIXES",
    "SUFFIXES",
    "FileRows",
    "find_files",
    "is_read_in_pieces",
    "named_files",
    "read_comparisons",
    "read_conversations",
    "read_documents",
]

SUFFIXES = (".txt", ".md", ".jsonl", ".parquet")
ROW_SUFFIXES = (".jsonl",)  # of conversations and comparisons
_WHOLE_BYTES, PIECE_BYTES = 4 << 20, 1 << 20  # a longer text file is read in such pieces


def named_files(source: str) -> list[Path]:
    """The files, of any kind, that a user means by the name of a file, a folder or a pattern; perhaps none."""
    path = Path(source).expanduser()
    if path.is_dir():
        found: Iterable[Path] = path.rglob("*")
    else:
        found = [path] if path.exists() else map(Path, glob.glob(str(path), recursive=True))
    return sorted(path for path in found if path.is_file())


def find_files(source: str, suffixes: Sequence[str], what: str, hint: str) -> tuple[Path, ...]:
    """The files of some kinds that a user means by the name of a file, a folder or a pattern.

    Args:
        source: as the user wrote it.
        suffixes: of the files that can be read.
        what: is looked for, for the message.
        hint: what to give instead, for the message.
    Raises:
        ValueError: there are no such files.
    """
    paths = tuple(path for path in named_files(source) if path.suffix.lower() in suffixes)
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
    example: ClassVar[str] = "{...}"  # of a line, for messages
    source: str  # as the user wrote it
    paths: tuple[Path, ...] = ()  # the files, in order
    validation_share: float = 0.05  # of the items, from the end

    def __post_init__(self) -> None:
        checks.text("source", self.source)
        checks.tuple_of("paths", self.paths, Path)
        checks.number("validation_share", self.validation_share, above=0, below=1)

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
        if not rows:
            raise ValueError(f"{self.source} is empty; write {self.what}, one a line, such as {self.example}")
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
        path: of a kind among `SUFFIXES`; .txt and .md are one document, or, where they are larger than 4 MB, pieces of
            about 1 MB that end with a line; .jsonl and .parquet hold one per line or row.
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
        texts = _read_text(path)
    yield from (text for text in texts if text.strip())


def is_read_in_pieces(path: Path) -> bool:
    """Whether a file is a text so long that it is several documents."""
    return path.suffix.lower() in (".txt", ".md") and path.stat().st_size > _WHOLE_BYTES


def _read_text(path: Path) -> Iterator[str]:
    """The text of a file, whole or, where that would take much memory, in pieces."""
    if not is_read_in_pieces(path):
        yield _decode(path, path.read_bytes())
        return
    offset, line, rest = 0, 1, b""
    with open(path, "rb") as file:
        while raw := rest + file.read(PIECE_BYTES):
            end = _piece_end(raw) if len(raw) > len(rest) and len(raw) >= PIECE_BYTES else len(raw)
            piece, rest = raw[:end], raw[end:]
            yield _decode(path, piece, offset, line)
            offset, line = offset + end, line + piece.count(b"\n")


def _piece_end(raw: bytes) -> int:
    """Where a piece of UTF-8 text is cut: after its last line, else its last space, else its last whole character."""
    for mark in (b"\n", b" "):
        if (found := raw.rfind(mark)) >= 0:
            return found + 1
    end = len(raw) - 1
    while end > len(raw) - 4 and raw[end] & 0b1100_0000 == 0b1000_0000:
        end -= 1
    return end


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
    """The conversations of a .jsonl file, one a line, in the forms that `parse_conversation` reads.

    Raises:
        ValueError: the file is binary, not UTF-8 or not JSON lines, or a line is no conversation; the message names it.
    """
    return _parsed(path, CONVERSATION_KEYS, TURNS, parse_conversation)


def read_comparisons(path: Path) -> Iterator[dict[str, Any]]:
    """The comparisons of a .jsonl file, one a line, as the fields of a `Comparison`; see `parse_comparison`.

    Raises:
        ValueError: the file is binary, not UTF-8 or not JSON lines, or a line is no comparison; the message names it.
    """
    return _parsed(path, COMPARISON_KEYS, PAIR, parse_comparison)


def _parsed(
    path: Path, keys: Sequence[str], example: str, parse: Callable[[dict[str, Any]], Any]
) -> Iterator[Any]:
    for number, row in _json_rows(path, keys, example):
        try:
            yield parse(row)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path}, line {number}: {error}") from None


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
            except (ValueError, RecursionError) as error:  # beside bad JSON: a huge number, deep nesting
                reason = (
                    f"{error.msg}, column {error.colno}"
                    if isinstance(error, json.JSONDecodeError)
                    else str(error)
                )
                raise ValueError(f"{path}, line {number} is not JSON ({reason}); {expected}") from None
            if not isinstance(row, dict):
                raise ValueError(f"{path}, line {number} is a {type(row).__name__}; {expected}")
            if not any(key in row for key in keys):
                names = key_names(row) or "none"
                wanted = " or ".join(filter(None, (", ".join(map(repr, keys[:-1])), repr(keys[-1]))))
                raise ValueError(f"{path}, line {number} has no key {wanted}, only {names}; {expected}")
            yield number, row


def _read_parquet(path: Path, text_key: str) -> Iterator[str]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise ValueError(f"{path} needs the package `pyarrow`: python -m pip install pyarrow") from None
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
