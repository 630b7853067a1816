"""Rules of Windows, on Linux: what any program has open or mapped into memory is neither replaced nor deleted.

More of them: a folder cannot be opened as a file; text that is written gets CRLF at the ends of its lines, and is in
the code page of a Chinese system where no encoding is named; there is no SIGHUP, but SIGBREAK; and no readline.

As a program, `windows_rules.py SCRIPT ARGUMENT...` or `windows_rules.py -m MODULE ARGUMENT...` runs another program
under these rules. They hold for what Python does, in the processes of this session.
"""

from __future__ import annotations

import builtins
import errno
import io
import os
import runpy
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

CODE_PAGE = "cp936"
_open, _os_open = io.open, os.open
_replace, _unlink, _rmdir = os.replace, os.unlink, os.rmdir


def holders(path: str | os.PathLike[str]) -> list[str]:
    """The processes of this session that have a file or folder open ("12 open") or mapped ("12 mapped")."""
    real, found = os.path.realpath(path), []
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        try:
            if os.getsid(int(pid)) != os.getsid(0):
                continue
            numbers = os.listdir(f"/proc/{pid}/fd")
            if any(_link(f"/proc/{pid}/fd/{number}") == real for number in numbers):
                found.append(f"{pid} open")
            with _open(f"/proc/{pid}/maps", encoding="utf-8", errors="surrogateescape") as file:
                if f" {real}\n" in file.read():
                    found.append(f"{pid} mapped")
        except OSError:  # it has ended, or is another user's
            continue
    return found


def _link(path: str) -> str | None:
    try:
        return os.readlink(path)
    except OSError:  # closed since
        return None


def _refuse(path: Any, dir_fd: int | None = None) -> None:
    if dir_fd is not None:
        path = os.path.join(os.readlink(f"/proc/self/fd/{dir_fd}"), path)
    if os.path.lexists(path) and (held := holders(path)):
        raise PermissionError(errno.EACCES, f"held by process {', '.join(held)}", str(path))


def replace(source: Any, target: Any, **places: Any) -> None:
    _refuse(source)
    _refuse(target)
    _replace(source, target, **places)


def rename(source: Any, target: Any, **places: Any) -> None:
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, "there is such a file", str(target))
    replace(source, target, **places)


def unlink(path: Any, *, dir_fd: int | None = None) -> None:
    _refuse(path, dir_fd)
    _unlink(path, dir_fd=dir_fd)


def rmdir(path: Any, *, dir_fd: int | None = None) -> None:
    _refuse(path, dir_fd)
    _rmdir(path, dir_fd=dir_fd)


def os_open(path: Any, *arguments: Any, **more: Any) -> int:
    if os.path.isdir(path):
        raise PermissionError(errno.EACCES, "a folder cannot be opened", str(path))
    return _os_open(path, *arguments, **more)


def open_file(file: Any, mode: str = "r", buffering: int = -1, encoding: Any = None, errors: Any = None,
              newline: Any = None, closefd: bool = True, opener: Any = None) -> Any:  # fmt: skip
    """`open` with the ends of lines, and with the encoding, of Windows."""
    named = isinstance(file, (str, os.PathLike))
    if named and "w" in mode and any(held.endswith("mapped") for held in holders(file)):
        raise OSError(errno.EINVAL, "what is mapped cannot be emptied", str(file))
    if "b" not in mode:
        writes = set(mode) & set("wax+")
        newline = "\r\n" if writes and newline is None else newline
        encoding = CODE_PAGE if encoding in (None, "locale") else encoding
    return _open(file, mode, buffering, encoding, errors, newline, closefd, opener)


def install() -> Callable[[], None]:
    """Let the rules hold; what ends that."""
    from minillm import files

    rules = [
        *(
            (os, name, function)
            for name, function in (("replace", replace), ("rename", rename), ("rmdir", rmdir))
        ),
        *((os, name, unlink) for name in ("unlink", "remove")),
        (os, "open", os_open),
        (io, "open", open_file),
        (builtins, "open", open_file),
        (shutil, "_use_fd_functions", False),  # folders are deleted by name there
        (files, "_WINDOWS", True),
    ]
    patches = [mock.patch.object(place, name, value) for place, name, value in rules]
    patches.append(mock.patch.dict(sys.modules, {"readline": None}))
    for patch in patches:
        patch.start()
    return lambda: [patch.stop() for patch in reversed(patches)] and None


def main(arguments: list[str]) -> None:
    """Run a program under the rules."""
    signal.SIGBREAK = signal.SIGUSR1  # type: ignore[attr-defined]
    del signal.SIGHUP
    install()
    if arguments[0] == "-m":
        sys.argv = arguments[1:]
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = arguments
        runpy.run_path(str(Path(arguments[0])), run_name="__main__")


if __name__ == "__main__":
    main(sys.argv[1:])
