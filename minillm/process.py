"""The process of the program: standard streams that can always be used, and the signals that end it.

A program that is started by a service, a pipe or an old terminal finds its standard streams closed, full, without a
reader, or in an encoding that lacks most characters. None of that may end a training or show a traceback.
"""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

__all__ = [
    "TERMINATIONS",
    "Terminated",
    "decoded",
    "hears_default",
    "prepare_streams",
    "termination_heard",
    "typed_text",
]

TERMINATIONS = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)
)
_MARKS = {  # the longer mark first: that of UTF-32 begins like that of UTF-16
    b"\xff\xfe\x00\x00": "utf-32",
    b"\x00\x00\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
    b"\xef\xbb\xbf": "utf-8-sig",
}


class Terminated(KeyboardInterrupt):
    """SIGTERM, SIGHUP or, on Windows, Ctrl-Break outside a training loop.

    Attributes:
        signum: the signal's number.
    """

    def __init__(self, signum: int) -> None:
        super().__init__()
        self.signum = signum


# Streams


def prepare_streams() -> None:
    """Replace the standard streams by ones that write any character and take a missing reader or disk calmly.

    Closed streams become empty input and unheard output. Characters that the encoding lacks are written as backslash
    escapes. Output without a reader is dropped, and output that cannot be written is an OSError that says so, told
    once. Messages, on standard error, never raise.
    """
    _fill_closed()
    if sys.stdin is None:
        sys.stdin = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    sys.stdout = _writer(sys.stdout, _Output)
    sys.stderr = _writer(sys.stderr, _Messages)


def _fill_closed() -> None:
    """Open nothing at the numbers 0, 1 and 2 that are free, or the next file would get what is printed."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(number, True)
    os.close(number)


def _writer(stream: Any, kind: type[_Output]) -> Any:
    """The stream in a tolerant form; one that is not a file's, as in a notebook, stays as it is."""
    if stream is None:
        return kind(
            io.FileIO(os.devnull, "w"), encoding="utf-8", errors="backslashreplace", write_through=True
        )
    if type(stream) is not io.TextIOWrapper:
        return stream
    return kind(
        stream.buffer,
        encoding=stream.encoding,
        errors="backslashreplace",
        line_buffering=stream.line_buffering or kind is _Messages,
        write_through=stream.write_through,
    )


class _Output(io.TextIOWrapper):
    """Standard output."""

    def write(self, text: str) -> int:
        self._tolerantly(lambda: super(_Output, self).write(text))
        return len(text)

    def flush(self) -> None:
        self._tolerantly(super().flush)

    def _tolerantly(self, do: Callable[[], object]) -> None:
        """Do it; where that fails, let all that follows go nowhere, and raise unless only the reader has left."""
        try:
            do()
        except OSError as error:
            self._drop_the_rest()
            self._tell(error)

    def _drop_the_rest(self) -> None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())
        os.close(nowhere)

    def _tell(self, error: OSError) -> None:
        # A pipe without a reader is EPIPE, and EINVAL on Windows.
        if error.errno != errno.EPIPE and not (os.name == "nt" and error.errno == errno.EINVAL):
            reason = (
                f"standard output cannot be written: {error.strerror}; free some space, or send it elsewhere"
            )
            raise OSError(error.errno, reason) from error


class _Messages(_Output):
    """Standard error."""

    def _tell(self, error: OSError) -> None:
        """There is nobody left to tell."""


def decoded(content: bytes, what: str) -> str:
    """Text that was piped or read: UTF-8, or what its byte order mark says; the mark is dropped, CRLF becomes LF.

    Args:
        content: the bytes.
        what: names them in messages.

    Raises:
        ValueError: bytes of no such text.

    >>> decoded(b"\\xef\\xbb\\xbfWho?\\r\\n", "it")
    'Who?\\n'
    """
    encoding = next((name for mark, name in _MARKS.items() if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        place, name = error.start, encoding.removesuffix("-sig").upper()
        raise ValueError(f"{what} is not {name} (byte {place}); convert it with iconv") from None
    if "\0" in text:
        place = text.index("\0")
        raise ValueError(f"{what} is no text: character {place} is a zero byte; give text as UTF-8")
    return text.replace("\r\n", "\n")


def typed_text(text: str, what: str) -> str:
    """Text of the command line or the keyboard as it was meant, whatever the locale is; a leading mark is dropped.

    Raises:
        ValueError: bytes that are not UTF-8.
    """
    try:
        return decoded(os.fsencode(text), what)
    except UnicodeEncodeError:  # a surrogate that stands for no byte
        raise ValueError(f"{what} is not UTF-8; write it in another way") from None


# Signals


@contextmanager
def termination_heard() -> Iterator[None]:
    """Turn the first of the signals `TERMINATIONS` into `Terminated`, so that files are closed and locks given back.

    A second one ends the process at once. A signal that is ignored, as SIGHUP under nohup, stays so. Nothing changes
    outside the main thread, nor where several processes train together, whom their launcher ends.
    """
    alone = os.environ.get("WORLD_SIZE", "1") == "1"
    heard = [number for number in TERMINATIONS if alone and hears_default(number)]
    before = {number: signal.signal(number, _terminate) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def hears_default(number: int) -> bool:
    """Whether a signal may be taken over: nobody else handles or ignores it, and this is the main thread."""
    main = threading.current_thread() is threading.main_thread()
    return main and signal.getsignal(number) in (signal.SIG_DFL, _terminate)


def _terminate(number: int, frame: FrameType | None) -> None:
    for each in TERMINATIONS:
        if signal.getsignal(each) is _terminate:
            signal.signal(each, signal.SIG_DFL)
    raise Terminated(number)
