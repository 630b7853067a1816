"""Reading and writing files so that a reader never meets a half-written one.

A write goes to a temporary file in the same folder, is flushed to the disk, and then takes the final name in
one step. Whoever opens the final name finds either the old content or all of the new, also after a power cut.
Text is stored as UTF-8; a lone surrogate, as in a file's name that is not UTF-8, is written as an escape.

Windows neither replaces nor deletes a file that any program has open, such as a virus scanner for a moment. So all
that is done to files here is tried for some seconds there, and what is of no more use is deleted another time.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import re
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from filelock import BaseFileLock, FileLock, Timeout

__all__ = [
    "append_text",
    "can_write",
    "check_name",
    "discard",
    "locked",
    "read_json",
    "remove",
    "replace",
    "sha256_bytes",
    "sha256_file",
    "told_plainly",
    "user_path",
    "write_atomic",
    "write_json",
]

Result = TypeVar("Result")
_WINDOWS = os.name == "nt"
_PAUSES = [0.01 * 2**n for n in range(8)]  # seconds between the tries of `_patiently`, 2.6 in all
_CHUNK_BYTES = 1 << 20
_NAME_CHARACTERS = 40  # of a file in the name of its temporary one: with 4 bytes each it still fits 255
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_DEVICE = re.compile(r"(?i:con|prn|aux|nul|com[0-9]|lpt[0-9])")
_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL)
_log = logging.getLogger("minillm")


def write_atomic(path: str | Path, content: bytes | bytearray | memoryview | str) -> Path:
    """Write `content` to `path` as a whole or not at all; parent folders are made.

    Args:
        path: the final name; an older file of that name is replaced.
        content: bytes, or text that is stored as UTF-8.

    Returns:
        `path` as a `Path`.

    Raises:
        OSError: the disk is full or the folder cannot be written, in one line that says what to do; the older
            file stays as it was.
    """
    path = Path(path)
    data = content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = _temporary(path)
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        replace(temporary, path)
        _flush_folder(path.parent)
    except BaseException as error:
        if temporary is not None:
            discard(temporary)
        if isinstance(error, OSError):
            raise _explained(error, path) from error
        raise
    return path


def append_text(path: str | Path, text: str) -> None:
    """Add UTF-8 text to the end of a file, flushed to the disk; raises like `write_atomic`."""
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _patiently(
            lambda: open(path, "a", encoding="utf-8", errors="backslashreplace", newline="\n")
        ) as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise _explained(error, path) from error


def write_json(path: str | Path, value: Any) -> Path:
    """Write `value` as indented JSON, atomically; NaN and infinity, which JSON lacks, are a ValueError."""
    return write_atomic(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: str | Path) -> Any:
    """Read a JSON file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is no valid JSON; the message names the file and the place.
    """
    path = Path(path)
    try:
        return json.loads(_patiently(lambda: path.read_text(encoding="utf-8")))
    except (
        ValueError,
        RecursionError,
    ) as error:  # bad JSON, bytes that are no text, a huge number, deep nesting
        raise ValueError(
            f"{path} is not valid JSON ({error}); it may be damaged: delete it or restore it"
        ) from error


def sha256_file(path: str | Path) -> str:
    """Return the SHA-256 of a file's bytes as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def sha256_bytes(content: bytes) -> str:
    """Return the SHA-256 of `content` as 64 hexadecimal digits.

    >>> sha256_bytes(b"abc")[:8]
    'ba7816bf'
    """
    return hashlib.sha256(content).hexdigest()


def remove(path: str | Path) -> None:
    """Delete a file; one that does not exist is no error."""
    _patiently(lambda: Path(path).unlink(missing_ok=True))


def discard(path: str | Path) -> None:
    """Delete a file that is of no more use, where that is possible; who finds it later may try again."""
    with suppress(OSError):
        remove(path)


def replace(source: str | Path, target: str | Path) -> None:
    """Give a file another name in the same file system, in place of the file that has it.

    Raises:
        OSError: the file or its older twin is open in another program, or the folder cannot be written.
    """
    _patiently(lambda: os.replace(source, target))


def can_write(folder: str | Path) -> bool:
    """Whether files can be made in a folder: tried out, as Windows does not tell."""
    probe = _temporary(Path(folder) / "probe")
    try:
        open(probe, "xb").close()
    except OSError:
        return False
    discard(probe)
    return True


def check_name(what: str, value: object) -> None:
    """Refuse what cannot be the name of a folder on every system.

    Raises:
        ValueError: it is no such name.

    >>> check_name("name", "cpu-2")
    """
    allowed = "use up to 100 of the characters A-Z a-z 0-9 . _ -, the first and the last a letter or a digit"
    if not isinstance(value, str) or not _NAME.fullmatch(value) or len(value) > 100:
        raise ValueError(f"{what} is {value!r}; {allowed}")
    if _DEVICE.fullmatch(value.partition(".")[0]):
        raise ValueError(f"{what} is {value!r}, which names a device on Windows; choose another name")


def user_path(path: str | Path) -> Path:
    """A path as the user means it: `~` at its beginning is the user's home folder.

    Raises:
        ValueError: there is no such user.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise ValueError(
            f"{str(path)!r} begins with the home of a user who is not here; write it out"
        ) from None


@contextmanager
def locked(
    path: str | Path, *, wait: bool = True, waiting: Callable[[], object] | None = None
) -> Iterator[bool]:
    """Hold the lock of a file or folder, in a file of the same name that ends in `.lock`.

    Where the file system has no locks, as some network drives, the work is done without one.

    Args:
        path: what is locked; its parent folder is there.
        wait: False: do not wait for another program.
        waiting: called once before waiting for another program.

    Yields:
        whether nobody else holds the lock; False only without `wait`.

    Raises:
        OSError: the lock file cannot be made.
    """
    lock = FileLock(f"{path}.lock")
    try:
        held = _acquired(lock, wait, waiting)
    except (NotImplementedError, OSError) as error:
        if not isinstance(error, NotImplementedError) and error.errno not in _NO_LOCKS:
            raise _explained(error, Path(lock.lock_file)) from error
        _log.warning("%s: this file system has no locks; let only one program train here at a time", path)
        held = True
    try:
        yield held
    finally:
        lock.release()


def _acquired(lock: BaseFileLock, wait: bool, waiting: Callable[[], object] | None) -> bool:
    """Take a lock; whether that was possible."""
    try:
        lock.acquire(timeout=0)
    except Timeout:
        if not wait:
            return False
        if waiting is not None:
            waiting()
        lock.acquire()
    return True


@contextmanager
def told_plainly(path: str | Path) -> Iterator[None]:
    """Turn an OSError of writing `path` into one whose message a reader can act on."""
    try:
        yield
    except OSError as error:
        raise _explained(error, Path(path)) from error


def _explained(error: OSError, path: Path) -> OSError:
    """The same kind of error with a message that a reader can act on."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        reason = "no space left on the disk; free some space and run again"
    elif _WINDOWS and isinstance(error, PermissionError) and path.is_file():
        reason = "another program has the file open, or it is read-only; close that program and run again"
    elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        reason = "the folder cannot be written; choose another one or change its permissions"
    else:
        reason = error.strerror or str(error)
    return OSError(error.errno, f"cannot write {path}: {reason}")


def _patiently(do: Callable[[], Result]) -> Result:
    """Do it; on Windows several times, where a program holds the file."""
    for pause in _PAUSES if _WINDOWS else ():
        try:
            return do()
        except PermissionError:
            time.sleep(pause)
    return do()


def _temporary(path: Path) -> Path:
    """A name that no file has, for the unfinished content of a file."""
    return path.with_name(f".{path.name[:_NAME_CHARACTERS]}.{secrets.token_hex(4)}.tmp")


def _flush_folder(folder: Path) -> None:
    """Flush a folder's list of names to the disk, so that a name survives a power cut; Windows has no such thing."""
    if _WINDOWS:
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network drives flush no folders
            raise
    finally:
        os.close(handle)
