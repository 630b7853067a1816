"""What systems lack, said in one place as marks; and where processes of one computer meet."""

from __future__ import annotations

import os
import sys

import pytest

NOT_ON_WINDOWS = {  # mark -> why a test that has it is skipped there
    "posix": "needs a POSIX shell, its redirections and its signals, which Windows lacks",
    "processes": "needs torchrun and gloo, which PyTorch's builds for Windows lack (no libuv, no gloo device)",
    "long_names": "needs names of 255 characters, and on Windows a whole path has 260 at most",
}

if sys.platform == "darwin":  # the name of a Mac need not lead to an address
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo0")


def pytest_configure(config: pytest.Config) -> None:
    for name, reason in NOT_ON_WINDOWS.items():
        config.addinivalue_line("markers", f"{name}: {reason}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if sys.platform == "win32":
        for item in items:
            for name in NOT_ON_WINDOWS.keys() & {mark.name for mark in item.iter_markers()}:
                item.add_marker(pytest.mark.skip(reason=NOT_ON_WINDOWS[name]))
