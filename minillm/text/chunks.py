"""Cutting text into chunks, and counting them.

Byte pair encoding never joins bytes across a chunk's border, so the split pattern decides what a token can
be: a word with the space before it, up to three digits, a run of punctuation, white space. Training and
encoding must split in the same way; `SPLIT_PATTERN` is the one home of the rule.

Training splits with the `regex` package, encoding with the engine inside `tiktoken`. The two agree on every
character that both know, and `minillm.text.characters` has tiktoken decide on the rest.
"""

from __future__ import annotations

import multiprocessing
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import chain, islice

import regex

from minillm.progress import progress_bar
from minillm.text.characters import as_tiktoken_sees

__all__ = ["SPLIT_PATTERN", "check_text", "compile_pattern", "count_chunks", "split_text", "text_batches"]

# The rule of GPT-4 (cl100k_base), one alternative a line.
SPLIT_PATTERN = "|".join(
    [
        r"'(?i:[sdmt]|ll|ve|re)",  # the end of he's, I'd, I'm, don't, we'll, I've, they're
        r"[^\r\n\p{L}\p{N}]?\p{L}+",  # a word, with the space or the sign before it
        r"\p{N}{1,3}",  # up to three digits
        r" ?[^\s\p{L}\p{N}]+[\r\n]*",  # punctuation, with the space before it and the line ends after it
        r"\s*[\r\n]+",  # line ends, with the white space before them
        r"\s+(?!\S)",  # white space, but for the last one, which goes with the next word
        r"\s+",
    ]
)

_LONG_TEXT = 1 << 20  # characters; from here on matches are taken one by one, not as a list
_BATCH_CHARACTERS = 2_000_000


def compile_pattern(pattern: str) -> regex.Pattern[str]:
    """Compile a split pattern and refuse those that could lose text.

    Raises:
        ValueError: it is no valid regular expression, has capture groups, or matches the empty string.
    """
    try:
        compiled = regex.compile(pattern)
    except regex.error as error:
        raise ValueError(f"split pattern {pattern!r} is not a valid regular expression: {error}") from None
    if compiled.groups:
        raise ValueError(f"split pattern {pattern!r} has capture groups; write (?:...) in place of (...)")
    if "" in [*compiled.findall(""), *compiled.findall("a 1\n.")]:
        raise ValueError(f"split pattern {pattern!r} matches the empty string; every chunk needs a character")
    return compiled


def check_text(text: str) -> None:
    """Refuse what is not a Unicode string.

    Python strings can hold lone surrogates (half of a UTF-16 pair, U+D800 to U+DFFF). They stand for no
    character and have no UTF-8 form, so they have no tokens either; an error here beats text that is changed
    without a word.

    Raises:
        TypeError: `text` is no `str`.
        ValueError: it holds a lone surrogate.
    """
    if not isinstance(text, str):
        raise TypeError(f"text must be a str, got {type(text).__name__}; decode it or use encode_bytes")
    if text.isascii():
        return
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError(
            f"text holds the lone surrogate {text[error.start]!r} at position {error.start}, which is no "
            "Unicode character; clean it with text.encode('utf-8', 'replace').decode('utf-8')"
        ) from None


def split_text(text: str, pattern: str = SPLIT_PATTERN) -> list[str]:
    """Return the chunks of `text`, those of `Tokenizer.encode`; joined, they are the text again.

    >>> split_text("We'll count: 2026 birds")
    ['We', "'ll", ' count', ':', ' ', '202', '6', ' birds']

    Raises:
        ValueError: the pattern skips a part of the text, or is itself refused.
    """
    check_text(text)
    return list(_chunks(text, compile_pattern(pattern)))


def count_chunks(
    texts: Iterable[str],
    pattern: str = SPLIT_PATTERN,
    *,
    workers: int = 1,
    batch_characters: int = _BATCH_CHARACTERS,
    progress: bool = False,
) -> dict[bytes, int]:
    """Count how often each chunk occurs; all that training needs to know about the text.

    The memory grows with the number of different chunks and with the longest single text, not with the length
    of the corpus: `texts` is read once and never held.

    Args:
        texts: the documents, any iterable; empty ones are skipped.
        pattern: the split pattern.
        workers: processes. More than one pays from about 50 MB of text; the result is the same. The processes
            are started by "spawn", so a script must call this from under `if __name__ == "__main__":`.
        batch_characters: how much text a process is given at a time; less than that is counted here.
        progress: whether to show a progress bar.

    Returns:
        the UTF-8 bytes of each chunk and its count, in the order of first occurrence.

    Raises:
        TypeError: `texts` is a single string, or one of the texts is no `str`.
        ValueError: a text has a lone surrogate, or the pattern skips a part of it.
    """
    if isinstance(texts, str | bytes):
        raise TypeError(f"texts must be an iterable of str, got one {type(texts).__name__}; pass [text]")
    if workers < 1:
        raise ValueError(f"workers={workers} is not a number of processes; use 1 or more")
    compile_pattern(pattern)
    batches = text_batches(texts, batch_characters)
    head = list(islice(batches, 2))
    total: Counter[str] = Counter()
    with progress_bar(progress, desc="counting", unit=" characters", unit_scale=True) as bar:
        if workers > 1 and len(head) == 2:
            counted = _count_in_processes(chain(head, batches), pattern, workers)
        else:
            counted = ((_characters(batch), _count(batch, pattern)) for batch in chain(head, batches))
        for characters, counts in counted:
            total.update(counts)
            bar.update(characters)
    return {chunk.encode("utf-8"): count for chunk, count in total.items()}


def text_batches(texts: Iterable[str], characters: int) -> Iterator[list[str]]:
    """Group texts; the text that brings a group to `characters`, however long, is its last one."""
    batch: list[str] = []
    size = 0
    for text in texts:
        check_text(text)
        batch.append(text)
        size += len(text)
        if size >= characters:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _count(texts: list[str], pattern: str) -> Counter[str]:
    compiled = compile_pattern(pattern)
    counter: Counter[str] = Counter()
    for text in texts:
        counter.update(_chunks(text, compiled))
    return counter


def _count_in_processes(
    batches: Iterator[list[str]], pattern: str, workers: int
) -> Iterator[tuple[int, Counter[str]]]:
    """Count batches in other processes, no more than two for each of them waiting at any time."""
    waiting: deque[tuple[int, Future[Counter[str]]]] = deque()

    def next_one() -> tuple[int, Counter[str]]:
        characters, future = waiting.popleft()
        return characters, future.result()

    try:
        with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
            for batch in batches:
                if len(waiting) == 2 * workers:
                    yield next_one()
                waiting.append((_characters(batch), pool.submit(_count, batch, pattern)))
            while waiting:
                yield next_one()
    except BrokenProcessPool as error:
        raise RuntimeError(
            f"the {workers} counting processes ended early; a script must start them from under "
            "if __name__ == '__main__': (or use workers=1)"
        ) from error


def _characters(texts: list[str]) -> int:
    return sum(map(len, texts))


def _chunks(text: str, compiled: regex.Pattern[str]) -> Iterable[str]:
    """The chunks of a checked text: as a list where it is short (faster), else one by one (smaller)."""
    chunks: Iterable[str]
    seen = as_tiktoken_sees(text)
    if seen is not text:
        chunks = (text[found.start() : found.end()] for found in compiled.finditer(seen))
    elif len(text) < _LONG_TEXT:
        chunks = compiled.findall(text)
    else:
        chunks = (found[0] for found in compiled.finditer(text))
    return chunks if compiled.pattern == SPLIT_PATTERN else _without_gaps(chunks, text, compiled.pattern)


def _without_gaps(chunks: Iterable[str], text: str, pattern: str) -> Iterator[str]:
    """Pass the chunks on; raise at the end where a pattern from outside has left out a part of the text."""
    covered = 0
    for chunk in chunks:
        covered += len(chunk)
        yield chunk
    if covered != len(text):
        raise ValueError(
            f"split pattern {pattern!r} skips {len(text) - covered} of {len(text)} characters of a text; "
            r"let it match everything, for instance by ending it with |[\s\S]"
        )
