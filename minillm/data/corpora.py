"""Where training text comes from: the micro-world, files on this computer, datasets on the Hugging Face Hub.

A corpus gives the documents (strings) of two splits, "train" and "validation", which never share a
document: the world draws them from different seeds, and a file keeps its tail for validation. Everything that
decides the documents stands in `settings()`, so that a changed corpus trains a model of its own.
"""

from __future__ import annotations

import glob
import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache, cached_property
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from minillm.data.hub import is_hub_name, stream_rows
from minillm.data.readers import PIECE_BYTES, SUFFIXES, is_read_in_pieces, named_files, read_documents
from minillm.data.world import TRAIN_SEED, VALIDATION_SEED, Document, World
from minillm.files import sha256_bytes, sha256_file

__all__ = ["Corpus", "FileCorpus", "HubCorpus", "MixedCorpus", "Split", "WorldCorpus", "open_corpus"]

Split = Literal["train", "validation"]
OFFLINE = "the built-in corpus needs no network: --corpus world"


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
    """Text from files: .txt and .md (a document each), .jsonl and .parquet (a document per line or row).

    The last documents, about `validation_share` of the text, are for validation. Where the border falls into
    a document that is longer than that share, the document itself is cut at the end of a line.
    """

    source: str  # as the user wrote it
    paths: tuple[Path, ...]  # the files, in order
    validation_share: float = 0.05  # of the characters, from the end
    max_validation: int = 250_000  # characters
    text_key: str = "text"  # key or column that holds the text

    def __post_init__(self) -> None:
        if not 0.0 < self.validation_share < 1.0:
            raise ValueError(
                f"validation_share={self.validation_share} is not allowed; use a number between 0 and 1"
            )

    @property
    def name(self) -> str:
        return Path(self.source).name or str(self.source)

    @property
    def description(self) -> str:
        files = "1 file" if len(self.paths) == 1 else f"{len(self.paths):,} files"
        return f"local text: {self.name} ({files}, {sum(self._sizes):,} characters)"

    @cached_property
    def _sizes(self) -> list[int]:
        """Characters of each document."""
        sizes = [len(text) for text in self._all()]
        if not sizes:
            raise ValueError(
                f"corpus {self.source} holds no text; give a file with at least a few thousand words"
            )
        return sizes

    def check(self) -> None:
        _ = self._sizes  # which are those of all texts

    def _all(self) -> Iterator[str]:
        for path in self.paths:
            yield from read_documents(path, self.text_key)

    def documents(self, split: Split) -> Iterator[str]:
        train = _checked(split) == "train"
        held_out = max(1, min(int(sum(self._sizes) * self.validation_share), self.max_validation))
        border = sum(self._sizes) - held_out
        end = 0
        for text, size in zip(self._all(), self._sizes, strict=True):
            start, end = end, end + size
            if end <= border:
                first, last = text, ""
            elif start >= border or size <= held_out:
                first, last = "", text
            else:
                cut = _line_end(text, border - start)
                first, last = text[:cut], text[cut:]
            if part := first if train else last:
                yield part

    @cached_property
    def _checksums(self) -> list[str]:
        return [sha256_file(path) for path in self.paths]

    def settings(self) -> dict[str, Any]:
        settings = {
            "files": self._checksums,
            "share": self.validation_share,
            "max_validation": self.max_validation,
            "key": self.text_key,
        }
        return settings | ({"pieces": PIECE_BYTES} if any(map(is_read_in_pieces, self.paths)) else {})


def _line_end(text: str, border: int) -> int:
    """The last end of a line (else of a word) before `border`, so that no word is cut."""
    for mark in ("\n", " "):
        if (found := text.rfind(mark, 0, border)) > 0:
            return found + 1
    return border


@dataclass(frozen=True)
class HubCorpus(Corpus):
    """A dataset of the Hugging Face Hub, streamed: its first documents are for validation."""

    dataset: str  # owner/name
    n_documents: int = 100_000  # training documents
    n_validation: int = 1_000  # validation documents
    config: str | None = None  # the dataset's configuration, where it has several
    revision: str | None = None  # a commit or tag; None is the newest
    text_key: str = "text"  # column that holds the text

    def __post_init__(self) -> None:
        _check_counts(self)

    @property
    def name(self) -> str:
        return self.dataset

    @property
    def description(self) -> str:
        config = f", configuration {self.config}" if self.config else ""
        return f"the first {self.n_documents:,} documents of {self.dataset} on the Hugging Face Hub{config}"

    def documents(self, split: Split) -> Iterator[str]:
        train = _checked(split) == "train"
        texts = islice(self._texts(), self.n_validation + self.n_documents if train else self.n_validation)
        number = 0
        for number, text in enumerate(texts, start=1):
            if not train or number > self.n_validation:
                yield text
        if train and number <= self.n_validation:
            raise ValueError(
                f"corpus {self.dataset} has {number:,} documents, and the first {self.n_validation:,} are for "
                "validation; choose a smaller number: --set corpus.n_validation=N"
            )

    def _texts(self) -> Iterator[str]:
        rows = stream_rows(self.dataset, "corpus", OFFLINE, self.config, self.revision)
        for number, row in enumerate(rows, start=1):
            where = f"corpus {self.dataset}, row {number}"
            if self.text_key not in row:
                raise ValueError(
                    f"{where}: there is no column {self.text_key!r}, only {', '.join(row)}; name the one with the "
                    f"text: --set corpus.text_key=NAME; {OFFLINE}"
                )
            text = row[self.text_key]
            if not isinstance(text, (str, type(None))):
                raise ValueError(
                    f"{where}: {self.text_key!r} is a {type(text).__name__}, not text; name another column: "
                    "--set corpus.text_key=NAME"
                )
            if text and text.strip():
                yield text

    def settings(self) -> dict[str, Any]:
        return {
            "hub": self.dataset,
            "config": self.config,
            "revision": self.revision,
            "documents": self.n_documents,
            "validation": self.n_validation,
            "key": self.text_key,
        }


@dataclass(frozen=True)
class MixedCorpus(Corpus):
    """Several corpora, interleaved so that each beginning of the mix holds them in their proportions."""

    parts: tuple[WorldCorpus | HubCorpus, ...] = field(default_factory=tuple)  # what is mixed

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
    path, kinds = Path(source).expanduser(), ", ".join(SUFFIXES)
    if not path.exists() and not glob.has_magic(source):
        raise ValueError(
            f"corpus {source!r} is not there; give a file, a folder or a pattern of {kinds}, "
            "a dataset of the Hugging Face Hub (owner/name), or world"
        )
    paths = named_files(source)
    if path.is_dir():
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
