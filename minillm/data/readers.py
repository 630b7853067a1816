"""Documents, conversations and comparisons in files; each mistake in a file is named with its place."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minillm.data.naming import key_names, one_of
from minillm.data.parquet import parquet_rows, parquet_texts
from minillm.data.places import find_files, named_files
from minillm.data.rows import (
    ALPACA,
    COMPARISON_COLUMNS,
    COMPARISON_KEYS,
    CONVERSATION_COLUMNS,
    CONVERSATION_KEYS,
    PAIR,
    TURNS,
    parse_comparison,
    parse_conversation,
)
from minillm.data.warc import WARC_SUFFIXES, is_warc, warc_texts
from minillm.text.chat import Message
from minillm.text.chunks import check_text
from minillm.text.tokenizer import END_OF_TEXT

__all__ = [
    "PIECE_BYTES",
    "ROW_SUFFIXES",
    "SUFFIXES",
    "Reading",
    "find_files",
    "is_read_in_pieces",
    "named_files",
    "read_comparisons",
    "read_conversations",
    "read_documents",
    "suffix_of",
]

SUFFIXES = (".txt", ".md", ".jsonl", ".parquet", ".json", *WARC_SUFFIXES)  # of a corpus
ROW_SUFFIXES = (".jsonl", ".json", ".parquet")  # of conversations and comparisons
_ARRAY_ADVICE = "; name a file that is one JSON array .json"
_WHOLE_BYTES, PIECE_BYTES = 4 << 20, 1 << 20  # a longer text file is read in such pieces
_MARK = END_OF_TEXT  # between the stories of some .txt files
_OTHER_MARKS = {  # that of UTF-32 begins like that of UTF-16
    (b"\xff\xfe\0\0", b"\0\0\xfe\xff"): "UTF-32",
    (b"\xff\xfe", b"\xfe\xff"): "UTF-16",
}
_WINDOWS = re.compile("[\udc80-\udc9f]")  # bytes that are letters in windows-1252 and nothing in ISO-8859-1

Place = tuple[str, Any]  # where a row stands, with the row, or the ValueError that it cannot be read


@dataclass
class Reading:
    """What is noticed while files are read.

    Attributes:
        skip_bad: whether rows that cannot be used are left out instead of refused.
        n_bad: rows that were left out.
        first_bad: why the first of them was.
        n_marks: end-of-text marks at which texts were split.
    """

    skip_bad: bool = False
    n_bad: int = 0
    first_bad: str = ""
    n_marks: int = 0

    def refuse(self, message: str) -> None:
        """Leave a row out, or raise ValueError."""
        if not self.skip_bad:
            raise ValueError(message)
        self.n_bad += 1
        self.first_bad = self.first_bad or message

    def told(self, what: str, source: str, n_good: int) -> str:
        """What was left out, in one line."""
        return (
            f"{what} {source}: {self.n_bad:,} of {self.n_bad + n_good:,} rows are left out, which cannot be used; "
            f"the first: {self.first_bad}"
        )


def read_documents(path: Path, text_key: str, reading: Reading | None = None) -> Iterator[str]:
    """The documents of one file that hold more than white space.

    Args:
        path: of a kind among `SUFFIXES`; .txt and .md are one document, or, where they are larger than 4 MB, pieces of
            about 1 MB that end with a line; a .txt file ends a document at each mark `<|endoftext|>`; of a WARC file
            each page with a main text is one; the others hold one per line, row or element, where null is none.
        text_key: key or column that holds the text.
        reading: what to do with bad rows, and what was noticed.
    Raises:
        ValueError: the file is binary, not UTF-8, or lacks the key, or no tokenizer can take the text; the message
            names the place.
    """
    reading = reading or Reading()
    suffix = suffix_of(path)
    if suffix in WARC_SUFFIXES:
        texts = warc_texts(path)
    elif suffix in ROW_SUFFIXES:
        texts = _row_texts(path, text_key, reading)
    else:
        texts = _read_text(path)
        texts = _between_marks(texts, reading) if suffix == ".txt" else texts
    yield from (text for text in texts if text.strip())


def suffix_of(path: Path) -> str:
    """What tells the kind of a file: the end of its name, two parts of it for a compressed crawl."""
    return ".warc.gz" if is_warc(path) and path.suffix.lower() == ".gz" else path.suffix.lower()


def is_read_in_pieces(path: Path) -> bool:
    """Whether a file is a text so long that it is several documents."""
    return path.suffix.lower() in (".txt", ".md") and path.stat().st_size > _WHOLE_BYTES


def read_conversations(path: Path, reading: Reading | None = None) -> Iterator[list[Message]]:
    """The conversations of a .jsonl, .json or .parquet file, in the forms that `parse_conversation` reads.

    Raises:
        ValueError: the file is binary, not UTF-8 or not JSON, or a row is no conversation; the message names it.
    """
    reading = reading or Reading()
    rows = _rows(path, CONVERSATION_KEYS, CONVERSATION_COLUMNS, TURNS, reading, also=(ALPACA,))
    return _parsed(path, rows, parse_conversation, reading)


def read_comparisons(path: Path, reading: Reading | None = None) -> Iterator[dict[str, Any]]:
    """The comparisons of a .jsonl, .json or .parquet file, as the fields of a `Comparison`; see `parse_comparison`.

    Raises:
        ValueError: the file is binary, not UTF-8 or not JSON, or a row is no comparison; the message names it.
    """
    reading = reading or Reading()
    rows = _rows(path, COMPARISON_KEYS, COMPARISON_COLUMNS, PAIR, reading)
    return _parsed(path, rows, parse_comparison, reading)


def _parsed(
    path: Path, rows: Iterator[Place], parse: Callable[[dict[str, Any]], Any], reading: Reading
) -> Iterator[Any]:
    for place, row in rows:
        try:
            parsed = parse(row)
        except (TypeError, ValueError) as error:
            reading.refuse(f"{path}, {place}: {error}")
        else:
            yield parsed


def _row_texts(path: Path, key: str, reading: Reading) -> Iterator[str]:
    example = f'{{"{key}": "..."}}'
    if path.suffix.lower() == ".parquet":
        rows = _checked(parquet_texts(path, key), reading)
    else:
        rows = ((place, row[key]) for place, row in _rows(path, (key,), (key,), example, reading))
    for place, text in rows:
        if text is None:
            continue
        if not isinstance(text, str):
            kind = type(text).__name__
            reading.refuse(
                f"{path}, {place}: {key!r} is a {kind}; each line must be a JSON object such as {example}"
            )
            continue
        try:
            check_text(text)
        except ValueError as error:
            reading.refuse(f"{path}, {place}: {key!r} cannot be encoded: {error}")
        else:
            yield text


def _checked(rows: Iterator[Place], reading: Reading) -> Iterator[Place]:
    for place, row in rows:
        if isinstance(row, ValueError):
            reading.refuse(str(row))
        else:
            yield place, row


def _rows(
    path: Path,
    keys: Sequence[str],
    columns: Sequence[str],
    example: str,
    reading: Reading,
    also: Sequence[str] = (),
) -> Iterator[Place]:
    """The place and the content of every row; each is an object with one of the keys, or of those that count also."""
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        yield from _checked(parquet_rows(path, columns, (*keys, *also)), reading)
        return
    array = suffix == ".json" and _begins_array(path)
    expected = f"each {'element' if array else 'line'} must be a JSON object such as {example}"
    for place, row in _checked((_array if array else _lines)(path, expected), reading):
        if not isinstance(row, dict):
            array_here = isinstance(row, list) and place == "line 1" and suffix == ".jsonl"
            advice = _ARRAY_ADVICE if array_here else ""
            reading.refuse(f"{path}, {place} is a {type(row).__name__}; {expected}{advice}")
        elif not any(key in row for key in (*keys, *also)):
            names = key_names(row) or "none"
            reading.refuse(f"{path}, {place} has no key {one_of(keys)}, only {names}; {expected}")
        else:
            yield place, row


def _lines(path: Path, expected: str) -> Iterator[Place]:
    """The JSON of every line that is not empty; lines end with LF, CRLF or CR."""
    offset, number = 0, 0
    with open(path, "rb") as file:
        for ended in file:
            for raw in ended.removesuffix(b"\n").removesuffix(b"\r").split(b"\r"):
                number += 1
                yield from _line(path, raw, offset, number, expected)
                offset += len(raw) + 1
            offset += ended.endswith(b"\r\n")


def _line(path: Path, raw: bytes, offset: int, number: int, expected: str) -> Iterator[Place]:
    place = f"line {number}"
    try:
        line = _decode(path, raw, offset, number).strip()
    except ValueError as error:
        yield place, error
        return
    if line:
        try:
            yield place, json.loads(line)
        except (ValueError, RecursionError) as error:
            yield place, _no_json(path, number, error, expected + _advice(path, number, line))


def _advice(path: Path, number: int, line: str) -> str:
    if path.suffix.lower() == ".json":
        return "; or write one array of them"
    return _ARRAY_ADVICE if number == 1 and line.startswith("[") else ""


def _no_json(path: Path, line: int, error: Exception, expected: str) -> ValueError:
    """The error that a line is no JSON; beside bad JSON there may be a huge number, or deep nesting."""
    reason = f"{error.msg}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else str(error)
    return ValueError(f"{path}, line {line} is not JSON ({reason}); {expected}")


def _begins_array(path: Path) -> bool:
    with open(path, "rb") as file:
        while (chunk := file.read(1024)) and not (chunk := chunk.removeprefix(b"\xef\xbb\xbf").strip()):
            pass
    return chunk.startswith(b"[")


def _array(path: Path, expected: str) -> Iterator[Place]:
    """The elements of a JSON array, each with the line where it begins."""
    text = _decode(path, path.read_bytes())
    decoder, line, counted, number = json.JSONDecoder(), 1, 0, 0
    at = _next(text, _next(text, 0) + 1)
    while number or text[at : at + 1] != "]":
        line, counted = line + text.count("\n", counted, at), at
        try:
            row, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            where = error.lineno if isinstance(error, json.JSONDecodeError) else line
            raise _no_json(path, where, error, expected) from None
        yield f"line {line}", row
        number, at = number + 1, _next(text, end)
        if text[at : at + 1] != ",":
            break
        at = _next(text, at + 1)
    closed = text[at : at + 1] == "]"
    if not closed or (at := _next(text, at + 1)) < len(text):
        wrong = json.JSONDecodeError("Extra data" if closed else "Expecting ',' or ']'", text, at)
        raise _no_json(path, wrong.lineno, wrong, expected)


def _next(text: str, at: int) -> int:
    """Where the next character stands that is no white space."""
    while text[at : at + 1] in (" ", "\t", "\n", "\r"):
        at += 1
    return at


def _between_marks(pieces: Iterator[str], reading: Reading) -> Iterator[str]:
    """Texts split where a mark ends a document."""
    for piece in pieces:
        if _MARK not in piece:
            yield piece
            continue
        reading.n_marks += piece.count(_MARK)
        yield from (text.strip("\n") for text in piece.split(_MARK))


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
    """Where a piece of UTF-8 text is cut: after its last mark, line, or space, else its last whole character."""
    for mark in (_MARK.encode(), b"\n", b" "):
        if (found := raw.rfind(mark)) >= 0:
            return found + len(mark)
    end = len(raw) - 1
    while end > len(raw) - 4 and raw[end] & 0b1100_0000 == 0b1000_0000:
        end -= 1
    return end


def _decode(path: Path, raw: bytes, offset: int = 0, line: int = 1) -> str:
    """Text of UTF-8 bytes that begin at byte `offset`, in line `line`, of the file; line ends become \\n."""
    for marks, name in _OTHER_MARKS.items():
        if raw.startswith(marks):
            raise ValueError(
                f"{path} is {name}, not UTF-8; save it as UTF-8: iconv -f {name} -t UTF-8 IN > OUT"
            )
    if (found := raw.find(b"\0")) >= 0:
        raise ValueError(
            f"{path} is a binary file (zero byte at offset {offset + found}); "
            f"give text as {', '.join(SUFFIXES)}"
        )
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line += raw.count(b"\n", 0, error.start)
        windows = _WINDOWS.search(raw.decode("utf-8", "surrogateescape"))
        raise ValueError(
            f"{path} is not UTF-8: byte 0x{raw[error.start]:02x} at offset {offset + error.start}, line {line}; "
            "convert text in another encoding: "
            f"iconv -f {'WINDOWS-1252' if windows else 'ISO-8859-1'} -t UTF-8 IN > OUT"
        ) from None
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    return text if "\n" in text else text.replace("\r", "\n")  # as old Macs end lines
