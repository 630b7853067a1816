"""Text from files on this computer, of which a fair part is held out, whatever the order of the files.

Where a corpus is many documents, whole documents are held out. A long text is cut into blocks, and blocks from all over
it are held out: its end alone may be another kind of text than its beginning.
"""

from __future__ import annotations

import hashlib
import logging
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from minillm import checks
from minillm.data.corpus import Corpus, check_length, check_split
from minillm.data.listed import HELD_OUT, held_out
from minillm.data.readers import PIECE_BYTES, Reading, is_read_in_pieces, read_documents, suffix_of
from minillm.data.source import Split
from minillm.data.warc import extraction_version, is_warc
from minillm.files import sha256_file
from minillm.text.tokenizer import Tokenizer

__all__ = ["FileCorpus"]

_LEAST_BLOCK = 2_000  # characters that are held out together, where a long text is cut
_BLOCKS = 10  # so many are held out of a long text at least, if they are not shorter than that

_log = logging.getLogger("minillm")


@dataclass(frozen=True)
class FileCorpus(Corpus):
    """Text from files: .txt and .md (a document each), .jsonl, .json and .parquet (a document per line or row),
    .warc and .warc.gz (the main text of each page).

    About `validation_share` of the text, documents from all over the files, are for validation. A document that is
    longer than twice that share is cut at ends of lines, and some of its blocks are held out. Documents that are the
    same are in the same split.
    """

    source: str  # as the user wrote it
    paths: tuple[Path, ...]  # the files, in order
    validation_share: float = 0.05  # of the characters
    max_validation: int = 250_000  # characters
    text_key: str = "text"  # key or column that holds the text
    skip_bad: bool = False  # whether lines and rows that are refused are left out

    def __post_init__(self) -> None:
        checks.text("source", self.source)
        checks.tuple_of("paths", self.paths, Path)
        checks.number("validation_share", self.validation_share, above=0, below=1)
        checks.whole_number("max_validation", self.max_validation, at_least=1)
        checks.yes_or_no("skip_bad", self.skip_bad)
        checks.text("text_key", self.text_key)

    @property
    def name(self) -> str:
        return Path(self.source).name or str(self.source)

    @property
    def description(self) -> str:
        files = "1 file" if len(self.paths) == 1 else f"{len(self.paths):,} files"
        return f"local text: {self.name} ({files}, {int(self._sizes.sum()):,} characters)"

    @cached_property
    def _texts(self) -> tuple[np.ndarray, np.ndarray]:
        """Characters and a digest of each document: int64, uint64 (documents,)."""
        sizes, digests, reading = array("q"), array("Q"), Reading(self.skip_bad)
        for text in self._all(reading):
            sizes.append(len(text))
            digest = hashlib.blake2b(text.encode("utf-8"), digest_size=8).digest()
            digests.append(int.from_bytes(digest, "little"))
        if not sizes:
            left_out = f" that can be used ({reading.first_bad})" if reading.n_bad else ""
            raise ValueError(
                f"corpus {self.source} holds no text{left_out}; give a file with at least a few thousand words"
            )
        if sum(sizes) < 2:
            raise ValueError(
                f"corpus {self.source} holds one character; give a file with at least a few thousand words"
            )
        if reading.n_bad:
            _log.warning("%s", reading.told("corpus", self.source, len(sizes)))
        if reading.n_marks:
            _log.info(
                "corpus %s: split into documents at %s marks <|endoftext|>",
                self.source,
                f"{reading.n_marks:,}",
            )
        return np.array(sizes), np.array(digests)

    @property
    def _sizes(self) -> np.ndarray:
        return self._texts[0]

    @cached_property
    def _plan(self) -> tuple[np.ndarray, np.ndarray]:
        """Into how many blocks each document is cut, int64 (documents,), and which of all blocks are held out, bool."""
        sizes, digests = self._texts
        total = int(sizes.sum())
        wanted = max(1, min(int(total * self.validation_share), self.max_validation))
        block = min(wanted, total - wanted, max(wanted // _BLOCKS, _LEAST_BLOCK))
        is_long = sizes > min(2 * wanted, total - wanted)
        blocks = np.where(is_long, np.minimum(sizes, np.maximum(2, np.rint(sizes / block))), 1).astype(int)
        _, first, text = np.unique(digests, return_index=True, return_inverse=True)
        ends = np.cumsum(blocks[first])  # the blocks of the first document of each text are numbered
        numbers = np.arange(int(blocks.sum())) - np.repeat(np.cumsum(blocks) - blocks, blocks)
        keys = np.repeat((ends - blocks[first])[text], blocks) + numbers
        return blocks, held_out(keys, wanted / total)

    def check(self) -> None:
        _ = self._plan

    def check_fits(self, tokenizer: Tokenizer, context_length: int) -> None:
        check_length(self, tokenizer, context_length)

    def _all(self, reading: Reading) -> Iterator[str]:
        for path in self.paths:
            yield from read_documents(path, self.text_key, reading)

    def documents(self, split: Split) -> Iterator[str]:
        wanted = check_split(split) == "validation"
        blocks, flags = self._plan
        begin = 0
        for text, n in zip(self._all(Reading(self.skip_bad)), blocks.tolist(), strict=True):
            yield from _parts(text, flags[begin : begin + n].tolist(), wanted)
            begin += n

    @cached_property
    def _checksums(self) -> list[str]:
        return [sha256_file(path) for path in self.paths]

    def settings(self) -> dict[str, Any]:
        settings = {
            "files": self._checksums,
            "share": self.validation_share,
            "max_validation": self.max_validation,
            "key": self.text_key,
            "held_out": HELD_OUT,
        }
        kinds = [suffix_of(path) for path in self.paths]
        if set(kinds) != {".txt"}:
            settings["kinds"] = kinds
        pieces = {"pieces": PIECE_BYTES} if any(map(is_read_in_pieces, self.paths)) else {}
        if any(map(is_warc, self.paths)):
            settings["extraction"] = extraction_version()
        return settings | pieces | ({"skip_bad": True} if self.skip_bad else {})


def _parts(text: str, flags: list[bool], wanted: bool) -> Iterator[str]:
    """The stretches of a text whose blocks have the wanted flag."""
    if len(flags) == 1:
        yield from [text] if flags[0] == wanted else []
        return
    size = len(text) // len(flags)
    borders = [_line_end(text, len(text) * number // len(flags), size) for number in range(1, len(flags))]
    begin = 0
    for number, end in enumerate([*borders, len(text)]):
        last = number + 1 == len(flags) or flags[number + 1] != flags[number]
        if last:
            if flags[number] == wanted:
                yield text[begin:end]
            begin = end


def _line_end(text: str, border: int, size: int) -> int:
    """The last end of a line (else of a word) in the half block of a size before `border`, so that no word is cut."""
    for mark in ("\n", " "):
        if (found := text.rfind(mark, border - size // 2, border)) >= 0:
            return found + 1
    return border
