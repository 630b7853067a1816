"""A corpus as token ids on disk: tokenized once, a block of documents at a time, and read through memory maps.

A folder of shards holds the same array as `TokenDocuments` in memory, `eot doc eot doc eot`, cut between documents
into files of nothing but ids, 2 bytes each (4 with more than 65,536 ids), the lower byte first. Beside each
`shard-00000.bin` stands a JSON file with its sizes and its checksum, written last; `index.json`, written when all are
there, says how many there are, and of how many bytes an id.

Where blocks end depends on the text alone, so any number of workers writes the same files. What is in memory at a time
is a few blocks of text. A run that was cut off goes on with the first missing block, and a damaged shard is written
again; for both the corpus is read again from its beginning, and a block is left alone if its text and the tokenizer
are those that its shard was made from.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from minillm.data.batches import TokenDocuments
from minillm.files import discard, locked, read_json, sha256_bytes, sha256_file, write_atomic, write_json
from minillm.progress import progress_bar
from minillm.text.chunks import text_batches
from minillm.text.tokenizer import Tokenizer

__all__ = ["Concatenated", "open_shards", "write_shards"]

FORMAT = 1
INDEX = "index.json"
BLOCK_CHARACTERS = 1 << 23  # of text in a shard, about
_OPEN_FILES = 64  # at a time: systems allow some hundreds, and a large corpus has as many shards

_log = logging.getLogger("minillm")


class Concatenated:
    """Arrays one after another that look like one, without being copied together.

    >>> both = Concatenated([np.array([1, 2]), np.array([3, 4])])
    >>> len(both), both[1:3].tolist()
    (4, [2, 3])
    """

    def __init__(self, parts: Sequence[Any]) -> None:
        self.parts = parts
        self.ends = np.cumsum([len(part) for part in parts])

    def __len__(self) -> int:
        return int(self.ends[-1])

    @property
    def dtype(self) -> np.dtype:
        """That of the parts."""
        dtype: np.dtype = self.parts[0].dtype
        return dtype

    def __getitem__(self, span: slice) -> np.ndarray:
        """The elements from `span.start` to before `span.stop`, both from 0 to the length."""
        first = int(np.searchsorted(self.ends, span.start, side="right"))
        pieces, begin = [], span.start
        for number in range(first, len(self.parts)):
            before = int(self.ends[number]) - len(self.parts[number])
            pieces.append(self.parts[number][begin - before : span.stop - before])
            begin = int(self.ends[number])
            if begin >= span.stop:
                break
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces or [self.parts[0][:0]])


def write_shards(
    texts: Iterable[str],
    tokenizer: Tokenizer,
    folder: str | Path,
    *,
    workers: int | None = None,
    block_characters: int = BLOCK_CHARACTERS,
    progress: bool = False,
) -> None:
    """Tokenize documents into a folder, except for what is there already and whole.

    Two programs that want the same folder write it once: the second waits.

    Args:
        texts: the documents, always the same ones in the same order for one folder; they are read only where something
            is missing.
        tokenizer: gives the ids.
        folder: gets the shards; its name should tell what corpus and tokenizer they are from.
        workers: blocks that are tokenized at a time; None: as many as there are cores, up to 8.
        block_characters: a shard ends with the first document that fills it up to so many characters.
        progress: whether to show a progress bar.
    Raises:
        ValueError: there are no documents; those of the corpus.
        OSError: the disk is full, or the folder cannot be written; what is there already stays.
    """
    folder = Path(folder)
    workers = workers or min(8, os.cpu_count() or 1)
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        good = _good_shards(folder)
        if _complete(folder, good, tokenizer):
            return
        _mapped.cache_clear()  # Windows replaces no file that is mapped
        try:
            facts = list(_written(texts, tokenizer, folder, workers, block_characters, good, progress))
        except KeyboardInterrupt as stop:
            kept = f"shards that are whole stay in {folder}: run the same command again to go on"
            stop.args = stop.args or (f"stopped while tokenizing; {kept}",)
            raise
        if not facts:
            raise ValueError("there are no documents to train on; give a corpus with at least one document")
        index = {
            "format": FORMAT,
            "shards": len(facts),
            "documents": sum(one["documents"] for one in facts),
            "tokens": sum(one["tokens"] for one in facts),
            "bytes_per_id": _dtype(tokenizer).itemsize,
            "tokenizer": tokenizer.fingerprint,
        }
        write_json(folder / INDEX, index)
        for path in folder.glob(".*.tmp"):  # what a killed process left
            discard(path)


def open_shards(folder: str | Path, end_of_text_id: int) -> TokenDocuments:
    """The documents in a folder that `write_shards` has filled; their ids stay on disk.

    Raises:
        ValueError: shards are missing.
    """
    folder = Path(folder)
    index = _index(folder)
    files = [_tokens_file(folder, number) for number in range(index["shards"] if index else 0)]
    if index is None or not all(file.is_file() and file.stat().st_size for file in files):
        raise ValueError(f"the tokens in {folder} are not complete; run the same command again to write them")
    _mapped.cache_clear()  # a file may have been written again since
    shards = [_Shard(file, f"<u{index['bytes_per_id']}") for file in files]
    start = np.array([end_of_text_id], dtype=shards[0].dtype)
    ends = [np.flatnonzero(shard[:] == end_of_text_id) for shard in shards]
    firsts = 1 + np.cumsum([0, *(len(shard) for shard in shards[:-1])])
    offsets = [ends_of_one + first for ends_of_one, first in zip(ends, firsts, strict=True)]
    return TokenDocuments.from_arrays(
        Concatenated([start, *shards]), np.concatenate([[0], *offsets]), end_of_text_id
    )


class _Shard:
    """The ids of one file, mapped into memory while they are used."""

    def __init__(self, path: Path, dtype: str) -> None:
        self.path, self.dtype = path, np.dtype(dtype)
        n_bytes = path.stat().st_size
        if n_bytes % self.dtype.itemsize:
            raise ValueError(
                f"{path} is damaged: it ends within an id; run the same command again to write it"
            )
        self.length = n_bytes // self.dtype.itemsize

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, span: slice) -> np.ndarray:
        return _mapped(self.path, self.dtype)[span]


@lru_cache(maxsize=_OPEN_FILES)
def _mapped(path: Path, dtype: np.dtype) -> np.ndarray:
    return np.memmap(path, dtype=dtype, mode="r")


def _written(
    texts: Iterable[str],
    tokenizer: Tokenizer,
    folder: Path,
    workers: int,
    block_characters: int,
    good: dict[int, dict[str, Any]],
    progress: bool,
) -> Iterator[dict[str, Any]]:
    """The facts of each shard, in order, as they are written or found."""
    waiting: deque[tuple[int, Future[dict[str, Any]]]] = deque()
    bar = progress_bar(progress, unit="B", unit_scale=True, desc="tokenizing")
    with ThreadPoolExecutor(workers) as pool, bar:

        def next_one() -> dict[str, Any]:
            size, future = waiting.popleft()
            facts = future.result()
            bar.update(size)
            return facts

        try:
            for number, block in enumerate(text_batches(texts, block_characters)):
                source = _source(block, tokenizer)
                if number in good and good[number].get("source") == source:
                    future: Future[dict[str, Any]] = Future()
                    future.set_result(good[number])
                else:
                    future = pool.submit(_write_shard, block, source, tokenizer, folder, number)
                waiting.append((sum(map(len, block)), future))
                del block
                if len(waiting) > workers:
                    yield next_one()
            while waiting:
                yield next_one()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _source(block: list[str], tokenizer: Tokenizer) -> str:
    """A digest of what a shard is made from: the texts of its block, and the tokenizer."""
    digest = hashlib.sha256(tokenizer.fingerprint.encode())
    for text in block:
        raw = text.encode("utf-8")
        digest.update(len(raw).to_bytes(8, "little") + raw)
    return digest.hexdigest()


def _write_shard(
    block: list[str], source: str, tokenizer: Tokenizer, folder: Path, number: int
) -> dict[str, Any]:
    """Tokenize a block and write it; the shard's facts."""
    dtype = _dtype(tokenizer)
    end = np.array([tokenizer.end_of_text_id], dtype=dtype)
    pieces: list[np.ndarray] = []
    for text in block:
        pieces += [tokenizer.encode_to_numpy(text).astype(dtype), end]
    tokens = np.concatenate(pieces)
    content = tokens.tobytes()
    write_atomic(_tokens_file(folder, number), content)
    facts = {
        "documents": len(block),
        "tokens": len(tokens),
        "source": source,
        "sha256": sha256_bytes(content),
    }
    write_json(_facts_file(folder, number), facts)
    return facts


def _dtype(tokenizer: Tokenizer) -> np.dtype:
    return np.dtype("<u2" if tokenizer.vocab_size <= 1 << 16 else "<u4")


def _tokens_file(folder: Path, number: int) -> Path:
    return folder / f"shard-{number:05}.bin"


def _facts_file(folder: Path, number: int) -> Path:
    return folder / f"shard-{number:05}.json"


def _good_shards(folder: Path) -> dict[int, dict[str, Any]]:
    """The facts of the shards that are there and match their checksums; others are named."""
    good = {}
    for path in sorted(folder.glob("shard-*.json")):
        facts, tokens = _read(path), path.with_suffix(".bin")
        if facts and tokens.is_file() and sha256_file(tokens) == facts.get("sha256"):
            good[int(path.stem.removeprefix("shard-"))] = facts
        else:
            _log.warning("%s in %s is damaged: it is written again", path.stem, folder)
    return good


def _complete(folder: Path, good: dict[int, dict[str, Any]], tokenizer: Tokenizer) -> bool:
    """Whether the index is there, of this tokenizer, and so is every shard it tells of."""
    index = _index(folder)
    if index is None or index.get("tokenizer") != tokenizer.fingerprint:
        return False
    return set(good) >= set(range(index["shards"]))


def _index(folder: Path) -> dict[str, Any] | None:
    """What the index says; None where it is missing, damaged, or not what this package writes."""
    index = _read(folder / INDEX)
    if index is None or index.get("format") != FORMAT or index.get("bytes_per_id") not in (2, 4):
        return None
    shards = index.get("shards")
    return index if isinstance(shards, int) and 0 < shards <= len(list(folder.iterdir())) else None


def _read(path: Path) -> dict[str, Any] | None:
    """A JSON object; None where the file is missing or damaged."""
    try:
        value = read_json(path)
    except (FileNotFoundError, ValueError):
        return None
    return value if isinstance(value, dict) else None
