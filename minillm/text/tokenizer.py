"""The tokenizer: text to ids and back.

A token is a piece of text, or a part of a character: a sequence of bytes. Ids 0 to 255 are the single bytes
in byte order, then come the merged tokens in the order in which training made them, then the special tokens.
With all bytes in the vocabulary every text has a form, and no text is unknown.

Special tokens are control signs: where a document ends, who speaks. `encode` never makes one, whatever the
text says: `<|end|>` typed by a user becomes ordinary tokens. Only code that builds ids itself can place one.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable, Iterable
from functools import cached_property, partial
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import regex
import tiktoken

from minillm import checks
from minillm.files import read_json, write_json
from minillm.progress import progress_bar
from minillm.text.bpe import bpe_merges, encode_chunk
from minillm.text.chunks import SPLIT_PATTERN, check_text, compile_pattern, count_chunks, split_text
from minillm.text.hf_format import from_document, to_document
from minillm.text.vocabulary import merge_tables, special_ids

__all__ = ["END_OF_TEXT", "SPECIAL_TOKENS", "SPLIT_PATTERN", "Tokenizer"]

END_OF_TEXT = "<|endoftext|>"
SPECIAL_TOKENS = (END_OF_TEXT, "<|user|>", "<|assistant|>", "<|end|>")
FILE_NAME = "tokenizer.json"

# tiktoken's pattern engine gives up on about a million white-space characters in a row. Texts that have half of that in
# a row are cut here, and tiktoken encodes the chunks; to look for them costs next to nothing.
_ENDLESS_SPACE = 500_000
# Python's "surrogateescape" writes bytes that are not UTF-8 as these.
_INVALID_BYTES = regex.compile("([\udc80-\udcff]+)")


Ids = TypeVar("Ids", list[int], npt.NDArray[np.uint32])
Identity = tuple[tuple[tuple[bytes, bytes], ...], tuple[str, ...], str]  # merges, special tokens, pattern


class Tokenizer:
    """A byte-level BPE tokenizer; equal merges, special tokens and pattern make equal tokenizers.

    Args:
        merges: the pairs of tokens to join, in order of priority.
        special_tokens: the control tokens; they get the ids after the merged tokens.
        pattern: the split pattern (module `minillm.text.chunks`).

    Raises:
        TypeError, ValueError: a merge, a special token or the pattern cannot be used; the message says why.

    >>> tokenizer = Tokenizer([(b"t", b"h"), (b"th", b"e")])
    >>> tokenizer.encode("the hat"), tokenizer.decode([257])
    ([257, 32, 104, 97, 116], 'the')
    >>> tokenizer.special_tokens["<|endoftext|>"], tokenizer.vocab_size
    (258, 262)
    """

    def __init__(
        self,
        merges: Iterable[tuple[bytes, bytes]],
        special_tokens: Iterable[str] = SPECIAL_TOKENS,
        pattern: str = SPLIT_PATTERN,
    ) -> None:
        self._merges = tuple((left, right) for left, right in merges)
        self._ids, self._merge_ids = merge_tables(self._merges)
        self._special_tokens = special_ids(special_tokens, self._ids)
        self._pattern = pattern
        compile_pattern(pattern)
        self._tokens = [*self._ids, *(text.encode("utf-8") for text in self._special_tokens)]
        try:
            self._tiktoken = self._encoding(pattern)
        except ValueError as error:
            raise ValueError(f"tiktoken does not understand the split pattern {pattern!r}: {error}") from None

    def _encoding(self, pattern: str) -> tiktoken.Encoding:
        return tiktoken.Encoding(
            "minillm", pat_str=pattern, mergeable_ranks=self._ids, special_tokens=self._special_tokens
        )

    @cached_property
    def _one_chunk(self) -> tiktoken.Encoding:
        """An encoder that takes every text for one chunk."""
        return self._encoding(r"[\s\S]+")

    # Making one

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        vocab_size: int,
        pattern: str = SPLIT_PATTERN,
        special_tokens: Iterable[str] = SPECIAL_TOKENS,
        *,
        workers: int = 1,
        progress: bool = False,
    ) -> Tokenizer:
        """Learn a tokenizer from texts; `bpe_merges` has the method and the rule for ties.

        A text too short for so many merges gives a smaller vocabulary, and a warning.

        Args:
            texts: the documents, any iterable; read once, never held.
            vocab_size: ids in all: 256 bytes, the merges, the special tokens.
            pattern: the split pattern.
            special_tokens: the control tokens.
            workers: processes that count chunks (`count_chunks`); the result is the same for any number.
            progress: whether to show progress bars, on standard error.

        Raises:
            TypeError: `texts` is a single string or holds something else than strings, or `vocab_size` is no int.
            ValueError: `vocab_size` is too small for the bytes and special tokens, or there is no text.
        """
        checks.whole_number("vocab_size", vocab_size)
        smallest = cls((), special_tokens, pattern)  # finds wrong settings before the work
        n_merges = vocab_size - smallest.vocab_size
        if n_merges < 0:
            raise ValueError(
                f"vocab_size={vocab_size} is too small; use at least {smallest.vocab_size}: "
                f"256 bytes and {len(smallest.special_tokens)} special tokens"
            )
        chunk_counts = count_chunks(texts, pattern, workers=workers, progress=progress)
        if not chunk_counts:
            raise ValueError("there is no text to train on; pass at least one text that is not empty")
        merges = []
        with progress_bar(progress, total=n_merges, desc="merging", unit=" merges") as bar:
            for merge in islice(bpe_merges(chunk_counts), n_merges):
                merges.append(merge.pair)
                bar.update()
        if len(merges) < n_merges:
            warnings.warn(
                f"the text allows {len(merges)} of {n_merges} merges, so the vocabulary has "
                f"{smallest.vocab_size + len(merges)} tokens, not {vocab_size}; give it more text",
                stacklevel=2,
            )
        return cls(merges, smallest.special_tokens, pattern)

    @classmethod
    def from_merges(
        cls,
        merges: Iterable[tuple[bytes, bytes]],
        special_tokens: Iterable[str] = SPECIAL_TOKENS,
        pattern: str = SPLIT_PATTERN,
    ) -> Tokenizer:
        """Make a tokenizer from known merges, best first.

        The first merges of a trained tokenizer are what training gives for a smaller vocabulary.
        """
        return cls(merges, special_tokens, pattern)

    def save(self, directory: str | Path) -> Path:
        """Write `tokenizer.json` (Hugging Face's format) into a folder, atomically; return its path."""
        document = to_document(self._merges, self._special_tokens, self._pattern)
        return write_json(Path(directory) / FILE_NAME, document)

    @classmethod
    def load(cls, directory: str | Path) -> Tokenizer:
        """Read what `save` wrote; the path of the folder or of the file itself.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the file is damaged, of a newer format, or not written by minillm.
        """
        path = Path(directory)
        if path.is_dir() or path.suffix != ".json":
            path /= FILE_NAME
        if not path.is_file():
            raise FileNotFoundError(f"there is no tokenizer at {path}; train one and save it there")
        document = read_json(path)
        try:
            return cls(*from_document(document))
        except (TypeError, ValueError) as error:
            raise ValueError(f"cannot load the tokenizer {path}: {error}") from None

    # What it is

    @property
    def vocab_size(self) -> int:
        """Ids in all: bytes, merged tokens and special tokens."""
        return len(self._tokens)

    @property
    def n_merges(self) -> int:
        """Merged tokens."""
        return len(self._merges)

    @property
    def merges(self) -> list[tuple[bytes, bytes]]:
        """The joined pairs, best first."""
        return list(self._merges)

    @property
    def vocab(self) -> dict[int, bytes]:
        """The bytes of each id; for a special token, those of its name."""
        return dict(enumerate(self._tokens))

    @property
    def special_tokens(self) -> dict[str, int]:
        """The ids of the special tokens."""
        return dict(self._special_tokens)

    @property
    def pattern(self) -> str:
        """The split pattern."""
        return self._pattern

    @property
    def end_of_text_id(self) -> int:
        """The id that stands at the borders of documents.

        Raises:
            ValueError: the tokenizer was made without that special token.
        """
        if END_OF_TEXT not in self._special_tokens:
            raise ValueError(f"this tokenizer has no {END_OF_TEXT!r}; name it among its special_tokens")
        return self._special_tokens[END_OF_TEXT]

    @property
    def fingerprint(self) -> str:
        """SHA-256 (64 hexadecimal digits) of the merges, special tokens and pattern: equal for equal ids."""
        merges = [[left.hex(), right.hex()] for left, right in self._merges]
        content = json.dumps([self._pattern, merges, list(self._special_tokens)])
        return hashlib.sha256(content.encode("ascii")).hexdigest()

    def _identity(self) -> Identity:
        return self._merges, tuple(self._special_tokens), self._pattern

    def __eq__(self, other: object) -> bool:
        return self._identity() == other._identity() if isinstance(other, Tokenizer) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._identity())

    def __reduce__(self) -> tuple[type[Tokenizer], Identity]:
        return type(self), self._identity()

    def __repr__(self) -> str:
        return (
            f"Tokenizer(vocab_size={self.vocab_size}, n_merges={self.n_merges}, "
            f"special_tokens={len(self._special_tokens)}, fingerprint={self.fingerprint[:12]!r})"
        )

    # Text to ids

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text, never one of a special token. `decode` gives the text back.

        Raises:
            TypeError: `text` is no `str`.
            ValueError: it holds a lone surrogate (`check_text`).
        """
        return self._encoded(text, self._tiktoken.encode_ordinary)

    def encode_to_numpy(self, text: str) -> npt.NDArray[np.uint32]:
        """Return the ids of a text as uint32: as `encode`, but threads that call it run beside each other."""
        # With nothing disallowed, control tokens in the text are plain characters, as in encode_ordinary.
        encode = partial(self._tiktoken.encode_to_numpy, disallowed_special=())
        return np.asarray(self._encoded(text, encode), dtype=np.uint32)

    def _encoded(self, text: str, encode: Callable[[str], Ids]) -> Ids | list[int]:
        check_text(text)
        if _has_endless_space(text):
            return self._by_chunk(text, self._one_chunk.encode_ordinary)
        ids = encode(text)
        if self._pattern != SPLIT_PATTERN and len(self.decode_bytes(ids)) != len(text.encode("utf-8")):
            split_text(text, self._pattern)  # raises: the pattern skips a part of the text
        return ids

    def encode_batch(self, texts: Iterable[str]) -> list[list[int]]:
        """Return the ids of each text."""
        if isinstance(texts, str | bytes):
            raise TypeError(f"texts must be an iterable of str, got one {type(texts).__name__}; pass [text]")
        return [self.encode(text) for text in texts]

    def encode_plain(self, text: str) -> list[int]:
        """Return the ids of a text by the readable definition: the same as `encode`, but slower."""
        return self._by_chunk(text, lambda chunk: encode_chunk(chunk.encode("utf-8"), self._merge_ids))

    def _by_chunk(self, text: str, encode: Callable[[str], list[int]]) -> list[int]:
        known: dict[str, list[int]] = {}
        ids: list[int] = []
        for chunk in split_text(text, self._pattern):
            if chunk not in known:
                known[chunk] = encode(chunk)
            ids += known[chunk]
        return ids

    def encode_bytes(self, data: bytes) -> list[int]:
        """Return the ids of any bytes. `decode_bytes` gives them back.

        Valid UTF-8 becomes what `encode` makes of the text; each byte that is not part of valid UTF-8
        becomes the token of that byte.
        """
        if not isinstance(data, bytes | bytearray):
            raise TypeError(f"data must be bytes, got {type(data).__name__}; use encode for text")
        ids: list[int] = []
        for index, piece in enumerate(_INVALID_BYTES.split(data.decode("utf-8", "surrogateescape"))):
            invalid = index % 2 == 1
            ids += piece.encode("utf-8", "surrogateescape") if invalid else self.encode(piece)
        return ids

    # Ids to text

    def decode(self, ids: Iterable[int], errors: str = "replace") -> str:
        """Return the text of ids; a special token is written as its name.

        Args:
            ids: the ids.
            errors: what to do with bytes that are not UTF-8, as in `bytes.decode`: a sampled sequence may
                end in the middle of a character. "replace" writes U+FFFD.

        Raises:
            ValueError: an id is not in the vocabulary.
        """
        return self.decode_bytes(ids).decode("utf-8", errors)

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """Return the bytes of ids, joined."""
        return b"".join(self.token_bytes(ids))

    def token_bytes(self, ids: Iterable[int]) -> list[bytes]:
        """Return the bytes of each id.

        >>> Tokenizer([(b"t", b"h")]).token_bytes([256, 195, 169])
        [b'th', b'\\xc3', b'\\xa9']
        """
        tokens, n_tokens, pieces = self._tokens, len(self._tokens), []
        for token_id in ids:
            if not 0 <= token_id < n_tokens:
                raise ValueError(f"id {token_id} is not in the vocabulary; ids are 0 to {n_tokens - 1}")
            pieces.append(tokens[token_id])
        return pieces

    def bytes_per_token(self, texts: str | Iterable[str]) -> float:
        """Return how many UTF-8 bytes of text one token stands for, on average: the compression.

        Raises:
            ValueError: there is no text.
        """
        n_bytes = n_tokens = 0
        for text in [texts] if isinstance(texts, str) else texts:
            n_tokens += len(self.encode(text))
            n_bytes += len(text.encode("utf-8"))
        if n_tokens == 0:
            raise ValueError("there is no text to measure; pass at least one text that is not empty")
        return n_bytes / n_tokens


def _has_endless_space(text: str) -> bool:
    """Whether so much white space may stand in a row; if it does, an aligned half of it is all white space."""
    half = _ENDLESS_SPACE // 2
    return any(text[start : start + half].isspace() for start in range(0, len(text) - half + 1, half))
