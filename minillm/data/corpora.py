"""Where training text comes from: the micro-world, files on this computer, datasets on the Hugging Face Hub.

A corpus gives the documents (strings) of two splits, "train" and "validation", which never share a
document: the world draws them from different seeds, and of files a part from all over them is held out. Everything that
decides the documents stands in `settings()`, so that a changed corpus trains a model of its own.
"""

from __future__ import annotations

import glob
import heapq
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from itertools import count, islice
from pathlib import Path
from typing import Any

from minillm import checks
from minillm.data.corpus import Corpus, check_length, check_split
from minillm.data.file_corpus import FileCorpus
from minillm.data.hub import is_hub_name, stream_rows
from minillm.data.naming import key_names
from minillm.data.places import is_folder, is_there, named_files
from minillm.data.readers import SUFFIXES, Reading, suffix_of
from minillm.data.source import Split
from minillm.data.world import TEST_SEED, TRAIN_SEED, VALIDATION_SEED, Document, World
from minillm.files import sha256_bytes
from minillm.text.chunks import check_text
from minillm.text.tokenizer import Tokenizer

__all__ = ["Corpus", "FileCorpus", "HubCorpus", "MixedCorpus", "WorldCorpus", "open_corpus"]

OFFLINE = "the built-in corpus needs no network: --corpus world"

_log = logging.getLogger("minillm")


@dataclass(frozen=True)
class WorldCorpus(Corpus):
    """Documents of the micro-world. A training text that also stands in the validation split is left out.

    Introductions of newcomers may stand among the documents for training, and nowhere else: their made-up names can be
    copied, but not foreseen, and the validation is of what the world says.
    """

    n_documents: int = 50_000  # training documents drawn
    n_validation: int = 1_000  # validation documents
    seed: int = TRAIN_SEED  # of the training documents; validation and test have their own
    introduce_every: int = 0  # training documents between two introductions; 0: none

    def __post_init__(self) -> None:
        _check_counts(self)
        checks.seed("seed", self.seed)
        checks.whole_number("introduce_every", self.introduce_every, at_least=0)
        if self.seed in (VALIDATION_SEED, TEST_SEED):
            kind = "validation" if self.seed == VALIDATION_SEED else "test"
            raise ValueError(f"seed={self.seed} is the seed of the {kind} documents; choose another one")

    @property
    def name(self) -> str:
        return "world"

    @property
    def description(self) -> str:
        return f"{self.n_documents:,} documents of the course's procedural micro-world, seed {self.seed}"

    def documents(self, split: Split) -> Iterator[str]:
        held_out = [document.text for document in _validation_documents(self.n_validation)]
        if check_split(split) == "validation":
            yield from held_out
            return
        known, world = set(held_out), World()
        for number, document in enumerate(world.documents(self.n_documents, self.seed), start=1):
            if document.text not in known:
                yield document.text
            if self.introduce_every and number % self.introduce_every == 0:
                yield world.introduction(self.seed, number).text

    def lessons(self) -> Iterator[str]:
        return (World().lesson(self.seed, index).text for index in count())

    def settings(self) -> dict[str, Any]:
        return {
            "world": self.n_documents,
            "validation": self.n_validation,
            "seed": self.seed,
            "introductions": self.introduce_every,
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
    world = World()
    texts = [document.text for document in world.documents(100, seed)]
    texts += [world.lesson(seed, index).text for index in range(20)]
    texts += [world.introduction(seed, index).text for index in range(20)]
    return sha256_bytes("\0".join(texts).encode())[:16]


@dataclass(frozen=True)
class HubCorpus(Corpus):
    """A dataset of the Hugging Face Hub, streamed: its first documents are for validation.

    A training text that also stands in the validation split is left out.
    """

    dataset: str  # owner/name
    n_documents: int = 100_000  # training documents
    n_validation: int = 1_000  # validation documents
    config: str | None = None  # the dataset's configuration, where it has several
    revision: str | None = None  # a commit or tag; None is the newest
    dataset_split: str = "train"  # the dataset's own split that is read
    text_key: str = "text"  # column that holds the text
    skip_bad: bool = False  # whether rows that are refused are left out

    def __post_init__(self) -> None:
        _check_counts(self)
        checks.text("dataset", self.dataset)
        checks.text("dataset_split", self.dataset_split)
        checks.yes_or_no("skip_bad", self.skip_bad)
        checks.text("text_key", self.text_key)
        for name in ("config", "revision"):
            checks.text(name, getattr(self, name), optional=True)

    @property
    def name(self) -> str:
        return self.dataset

    @property
    def description(self) -> str:
        config = f", configuration {self.config}" if self.config else ""
        return f"the first {self.n_documents:,} documents of {self.dataset} on the Hugging Face Hub{config}"

    def documents(self, split: Split) -> Iterator[str]:
        train = check_split(split) == "train"
        reading = Reading(self.skip_bad)
        wanted = self.n_validation + self.n_documents if train else self.n_validation
        held_out: set[str] = set()
        number = 0
        for number, text in enumerate(islice(self._texts(reading), wanted), start=1):
            if train and number <= self.n_validation:
                held_out.add(text)
            elif text not in held_out:
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
        check_length(self, tokenizer, context_length)

    def _texts(self, reading: Reading) -> Iterator[str]:
        rows = stream_rows(self.dataset, "corpus", OFFLINE, self.config, self.revision, self.dataset_split)
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
            "apart": True,
            **({"split": self.dataset_split} if self.dataset_split != "train" else {}),
            **({"skip_bad": True} if self.skip_bad else {}),
        }


@dataclass(frozen=True)
class MixedCorpus(Corpus):
    """Several corpora, interleaved so that each beginning of the mix holds them in their proportions."""

    parts: tuple[WorldCorpus | HubCorpus, ...] = field(default_factory=tuple)  # what is mixed

    def __post_init__(self) -> None:
        checks.tuple_of("parts", self.parts, WorldCorpus, HubCorpus)
        if not self.parts:
            raise ValueError("a mixed corpus needs at least one part")

    @property
    def name(self) -> str:
        return " + ".join(part.name for part in self.parts)

    @property
    def description(self) -> str:
        return "; ".join(part.description for part in self.parts)

    def documents(self, split: Split) -> Iterator[str]:
        train = check_split(split) == "train"
        sizes = [part.n_documents if train else part.n_validation for part in self.parts]
        streams = [_with_progress(part.documents(split), sizes[i], i) for i, part in enumerate(self.parts)]
        yield from (text for _, _, text in heapq.merge(*streams))

    def lessons(self) -> Iterator[str]:
        """Those of the first part that has some."""
        return next((part.lessons() for part in self.parts if isinstance(part, WorldCorpus)), iter(()))

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
        paths = [path for path in paths if suffix_of(path) in SUFFIXES]
    if not paths:
        raise ValueError(f"corpus {source!r} has no files of the kinds {kinds}")
    for path in paths:
        if suffix_of(path) not in SUFFIXES:
            raise ValueError(f"corpus file {path} is of an unknown format; allowed are {kinds}")
    return FileCorpus(source, tuple(paths))


def _check_counts(corpus: WorldCorpus | HubCorpus) -> None:
    for name in ("n_documents", "n_validation"):
        checks.whole_number(name, getattr(corpus, name), at_least=1)
