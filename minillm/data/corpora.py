"""Where training text comes from: the micro-world, files on this computer, datasets on the Hugging Face Hub.

A corpus gives the documents (strings) of two splits, "train" and "validation", which never share a
document: the world draws them from different seeds, and of files a part from all over them is held out. Everything that
decides the documents stands in `settings()`, so that a changed corpus trains a model of its own.
"""

from __future__ import annotations

import glob
import hashlib
import heapq
import logging
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np

from minillm.data.hub import check_words, is_hub_name, stream_rows
from minillm.data.listed import HELD_OUT, check_share, held_out
from minillm.data.naming import key_names
from minillm.data.places import is_folder, is_there, named_files
from minillm.data.readers import PIECE_BYTES, SUFFIXES, Reading, is_read_in_pieces, read_documents
from minillm.data.world import TRAIN_SEED, VALIDATION_SEED, Document, World
from minillm.files import sha256_bytes, sha256_file
from minillm.text.chunks import check_text
from minillm.text.tokenizer import Tokenizer

__all__ = ["Corpus", "FileCorpus", "HubCorpus", "MixedCorpus", "Split", "WorldCorpus", "open_corpus"]

Split = Literal["train", "validation"]
OFFLINE = "the built-in corpus needs no network: --corpus world"
_LEAST_BLOCK = 2_000  # characters that are held out together, where a long text is cut
_BLOCKS = 10  # so many are held out of a long text at least, if they are not shorter than that

_log = logging.getLogger("minillm")


class Corpus:
    """Documents for training and, apart from them, for validation."""

    @property
    def name(self) -> str:
        """A short name, such as "world" or the name of a file."""
        raise NotImplementedError

    @property
    def description(self) -> str:
        """One sentence for the model card: what the text is and where it comes from."""
        raise NotImplementedError

    def documents(self, split: Split) -> Iterator[str]:
        """The texts of one split, in a fixed order, none of them empty."""
        raise NotImplementedError

    def settings(self) -> dict[str, Any]:
        """Everything that decides the documents, as JSON values."""
        raise NotImplementedError

    def check(self) -> None:
        """Find mistakes in files before anything is trained.

        Raises:
            ValueError: as when they are read.
        """

    def check_fits(self, tokenizer: Tokenizer, context_length: int) -> None:
        """Find out, before a model is trained, that the text is too short for it; what is built in never is.

        Args:
            tokenizer: the model's.
            context_length: of the model (tokens).
        Raises:
            ValueError: the training text has fewer tokens than one context.
        """

    def entropy_nats(self) -> float | None:
        """Surprise of all validation documents under what wrote them (nats, summed); None if unknown."""
        return None


@dataclass(frozen=True)
class WorldCorpus(Corpus):
    """Documents of the micro-world. A training text that also stands in the validation split is left out."""

    n_documents: int = 50_000  # training documents drawn
    n_validation: int = 1_000  # validation documents
    seed: int = TRAIN_SEED  # of the training documents; validation has its own

    def __post_init__(self) -> None:
        _check_counts(self)
        if self.seed == VALIDATION_SEED:
            raise ValueError(f"seed={self.seed} is the seed of the validation documents; choose another one")

    @property
    def name(self) -> str:
        return "world"

    @property
    def description(self) -> str:
        return f"{self.n_documents:,} documents of the course's procedural micro-world, seed {self.seed}"

    def documents(self, split: Split) -> Iterator[str]:
        held_out = [document.text for document in _validation_documents(self.n_validation)]
        if _checked(split) == "validation":
            yield from held_out
            return
        known = set(held_out)
        texts = (document.text for document in World().documents(self.n_documents, self.seed))
        yield from (text for text in texts if text not in known)

    def settings(self) -> dict[str, Any]:
        return {
            "world": self.n_documents,
            "validation": self.n_validation,
            "seed": self.seed,
            "sample": _world_sample(self.seed),
        }

    def entropy_nats(self) -> float:
        return -sum(document.log_prob for document in _validation_documents(self.n_validation))


@cache
def _validation_documents(n: int) -> tuple[Document, ...]:
    return tuple(World().documents(n, VALIDATION_SEED))


@cache
def _world_sample(seed: int) -> str:
    """A fingerprint of the world itself, so that a world that writes differently has other artifacts."""
    return sha256_bytes("\0".join(document.text for document in World().documents(100, seed)).encode())[:16]


@dataclass(frozen=True)
class FileCorpus(Corpus):
    """Text from files: .txt and .md (a document each), .jsonl, .json and .parquet (a document per line or row).

    About `validation_share` of the text, documents from all over the files, are for validation. A document that is
    longer than twice that share is cut at ends of lines, and some of its blocks are held out. Documents that are the same
    are in the same split.
    """

    source: str  # as the user wrote it
    paths: tuple[Path, ...]  # the files, in order
    validation_share: float = 0.05  # of the characters
    max_validation: int = 250_000  # characters
    text_key: str = "text"  # key or column that holds the text
    skip_bad: bool = False  # whether lines and rows that are refused are left out

    def __post_init__(self) -> None:
        check_share("validation_share", self.validation_share)
        if isinstance(self.max_validation, bool) or not isinstance(self.max_validation, int):
            raise TypeError(f"max_validation is {self.max_validation!r}; use a whole number of characters")
        if self.max_validation < 1:
            raise ValueError(f"max_validation is {self.max_validation}; use 1 or more characters")
        if not isinstance(self.skip_bad, bool):
            raise TypeError(f"skip_bad is {self.skip_bad!r}; use true or false")
        check_words(self, "corpus", "text_key")

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
        _check_length(self, tokenizer, context_length)

    def _all(self, reading: Reading) -> Iterator[str]:
        for path in self.paths:
            yield from read_documents(path, self.text_key, reading)

    def documents(self, split: Split) -> Iterator[str]:
        wanted = _checked(split) == "validation"
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
        pieces = {"pieces": PIECE_BYTES} if any(map(is_read_in_pieces, self.paths)) else {}
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


def _check_length(corpus: Corpus, tokenizer: Tokenizer, context_length: int) -> None:
    """Refuse training text of fewer tokens than one context; no more is read than is needed."""
    tokens = 0
    for text in corpus.documents("train"):
        some = text[: 16 * context_length]  # a word at its cut end has some more tokens than in the whole
        if tokens + len(tokenizer.encode(some)) >= 2 * context_length:
            return
        tokens += len(tokenizer.encode(text)) + 1
        if tokens >= context_length:
            return
    raise ValueError(
        f"corpus {corpus.name} has {tokens} tokens for training, less than one context of {context_length}; give a "
        "longer text, or choose a shorter context: --set base.model.context_length=N"
    )


@dataclass(frozen=True)
class HubCorpus(Corpus):
    """A dataset of the Hugging Face Hub, streamed: its first documents are for validation."""

    dataset: str  # owner/name
    n_documents: int = 100_000  # training documents
    n_validation: int = 1_000  # validation documents
    config: str | None = None  # the dataset's configuration, where it has several
    revision: str | None = None  # a commit or tag; None is the newest
    text_key: str = "text"  # column that holds the text
    skip_bad: bool = False  # whether rows that are refused are left out

    def __post_init__(self) -> None:
        _check_counts(self)
        if not isinstance(self.skip_bad, bool):
            raise TypeError(f"skip_bad is {self.skip_bad!r}; use true or false")
        check_words(self, "corpus", "config", "revision", "text_key")

    @property
    def name(self) -> str:
        return self.dataset

    @property
    def description(self) -> str:
        config = f", configuration {self.config}" if self.config else ""
        return f"the first {self.n_documents:,} documents of {self.dataset} on the Hugging Face Hub{config}"

    def documents(self, split: Split) -> Iterator[str]:
        train = _checked(split) == "train"
        reading = Reading(self.skip_bad)
        wanted = self.n_validation + self.n_documents if train else self.n_validation
        number = 0
        for number, text in enumerate(islice(self._texts(reading), wanted), start=1):
            if not train or number > self.n_validation:
                yield text
        if train and number <= self.n_validation:
            raise ValueError(
                f"corpus {self.dataset} has {number:,} documents, and the first {self.n_validation:,} are for "
                "validation; choose a smaller number: --set corpus.n_validation=N"
            )
        if train and reading.n_bad:
            _log.warning("%s", reading.told("corpus", self.dataset, number))

    @cached_property
    def _begins(self) -> bool:
        """Whether there is a document; its row is checked."""
        return next(self.documents("validation"), None) is not None

    def check(self) -> None:
        if not self._begins:
            raise ValueError(f"corpus {self.dataset} holds no text; {OFFLINE}")

    def check_fits(self, tokenizer: Tokenizer, context_length: int) -> None:
        _check_length(self, tokenizer, context_length)

    def _texts(self, reading: Reading) -> Iterator[str]:
        rows = stream_rows(self.dataset, "corpus", OFFLINE, self.config, self.revision)
        for number, row in enumerate(rows, start=1):
            text = row.get(self.text_key)
            if mistake := self._mistake(row):
                reading.refuse(f"corpus {self.dataset}, row {number}: {mistake}")
            elif text and text.strip():
                yield text

    def _mistake(self, row: Mapping[str, Any]) -> str | None:
        """What is wrong with a row, and the remedy."""
        if self.text_key not in row:
            return (
                f"there is no column {self.text_key!r}, only {key_names(row)}; name the one with the text: "
                f"--set corpus.text_key=NAME; {OFFLINE}"
            )
        text = row[self.text_key]
        if not isinstance(text, (str, type(None))):
            return (
                f"{self.text_key!r} is a {type(text).__name__}, not text; name another column: "
                "--set corpus.text_key=NAME"
            )
        try:
            check_text(text or "")
        except ValueError as error:
            return f"{self.text_key!r} cannot be encoded: {error}; or leave out such rows: --set corpus.skip_bad=true"
        return None

    def settings(self) -> dict[str, Any]:
        return {
            "hub": self.dataset,
            "config": self.config,
            "revision": self.revision,
            "documents": self.n_documents,
            "validation": self.n_validation,
            "key": self.text_key,
            **({"skip_bad": True} if self.skip_bad else {}),
        }


@dataclass(frozen=True)
class MixedCorpus(Corpus):
    """Several corpora, interleaved so that each beginning of the mix holds them in their proportions."""

    parts: tuple[WorldCorpus | HubCorpus, ...] = field(default_factory=tuple)

    def __post_init__(self) -> None:
        if not self.parts:
            raise ValueError("a mixed corpus needs at least one part")

    @property
    def name(self) -> str:
        return " + ".join(part.name for part in self.parts)

    @property
    def description(self) -> str:
        return "; ".join(part.description for part in self.parts)

    def documents(self, split: Split) -> Iterator[str]:
        train = _checked(split) == "train"
        sizes = [part.n_documents if train else part.n_validation for part in self.parts]
        streams = [_with_progress(part.documents(split), sizes[i], i) for i, part in enumerate(self.parts)]
        yield from (text for _, _, text in heapq.merge(*streams))

    def settings(self) -> dict[str, Any]:
        return {"mix": [part.settings() for part in self.parts]}


def _with_progress(texts: Iterator[str], size: int, part: int) -> Iterator[tuple[float, int, str]]:
    yield from ((number / size, part, text) for number, text in enumerate(texts))


def open_corpus(source: str | Path) -> Corpus:
    """The corpus that a user names: "world", a file, a folder, a pattern of files, or a dataset of the Hub.

    Raises:
        ValueError: nothing of that name can be read.
    """
    source = str(source)
    if source == "world":
        return WorldCorpus()
    if is_hub_name(source):
        return HubCorpus(source)
    kinds = ", ".join(SUFFIXES)
    if not is_there(source) and not glob.has_magic(source):
        raise ValueError(
            f"corpus {source!r} is not there; give a file, a folder or a pattern of {kinds}, "
            "a dataset of the Hugging Face Hub (owner/name), or world"
        )
    paths = named_files(source)
    if is_folder(source):
        paths = [path for path in paths if path.suffix.lower() in SUFFIXES]
    if not paths:
        raise ValueError(f"corpus {source!r} has no files of the kinds {kinds}")
    for path in paths:
        if path.suffix.lower() not in SUFFIXES:
            raise ValueError(f"corpus file {path} is of an unknown format; allowed are {kinds}")
    return FileCorpus(source, tuple(paths))


def _check_counts(corpus: WorldCorpus | HubCorpus) -> None:
    for name in ("n_documents", "n_validation"):
        value = getattr(corpus, name)
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"{name} is {value!r}; use a whole number of documents")
        if value < 1:
            raise ValueError(f"{name} is {value}, which is too small; use 1 or more documents")


def _checked(split: str) -> str:
    if split not in ("train", "validation"):
        raise ValueError(f"split is {split!r}; allowed are 'train' and 'validation'")
    return split
