"""Reading and writing files so that a reader never meets a half-written one.

A write goes to a temporary file in the same folder, is flushed to the disk, and then takes the final name in
one step. Whoever opens the final name finds either the old content or all of the new, also after a power cut.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import tempfile
import threading
from pathlib import Path
from typing import Any

__all__ = [
    "append_text",
    "read_json",
    "remove",
    "sha256_bytes",
    "sha256_file",
    "write_atomic",
    "write_json",
]

_CHUNK_BYTES = 1 << 20
_one_at_a_time = threading.Lock()


def write_atomic(path: str | Path, content: bytes | bytearray | memoryview | str) -> Path:
    """Write ``content`` to ``path`` as a whole or not at all; parent folders are made.

    Args:
        path: the final name; an older file of that name is replaced.
        content: bytes, or text that is stored as UTF-8.

    Returns:
        ``path`` as a ``Path``.

    Raises:
        OSError: the disk is full or the folder cannot be written, in one line that says what to do; the older
            file stays as it was.
    """
    path = Path(path)
    data = content.encode("utf-8") if isinstance(content, str) else content
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        temporary = Path(name)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())  # mkstemp makes private files; artifacts are ordinary ones
        os.replace(temporary, path)
        _flush_folder(path.parent)
    except BaseException as error:
        if temporary is not None:
            remove(temporary)
        if isinstance(error, OSError):
            raise _explained(error, path) from error
        raise
    return path


def append_text(path: str | Path, text: str) -> None:
    """Add UTF-8 text to the end of a file, flushed to the disk; raises like ``write_atomic``."""
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "a", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise _explained(error, path) from error


def write_json(path: str | Path, value: Any) -> Path:
    """Write ``value`` as indented JSON, atomically; NaN and infinity, which JSON lacks, are a ValueError."""
    return write_atomic(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: str | Path) -> Any:
    """Read a JSON file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is no valid JSON; the message names the file and the place.
    """
    path = Path(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
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
    """Return the SHA-256 of ``content`` as 64 hexadecimal digits.

    >>> sha256_bytes(b"abc")[:8]
    'ba7816bf'
    """
    return hashlib.sha256(content).hexdigest()


def remove(path: str | Path) -> None:
    """Delete a file; one that does not exist is no error."""
    Path(path).unlink(missing_ok=True)


def _explained(error: OSError, path: Path) -> OSError:
    """The same kind of error with a message that a reader can act on."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        reason = "no space left on the disk; free some space and run again"
    elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        reason = "the folder cannot be written; choose another one or change its permissions"
    else:
        reason = error.strerror or str(error)
    return OSError(error.errno, f"cannot write {path}: {reason}")


def _umask() -> int:
    """The process's file mode mask; reading it means setting it for a moment."""
    with _one_at_a_time:  # two threads that set and reset it could leave it changed
        mask = os.umask(0o022)
        os.umask(mask)
    return mask


def _flush_folder(folder: Path) -> None:
    """Flush a folder's list of names to the disk, so that a name survives a power cut (POSIX systems only)."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
