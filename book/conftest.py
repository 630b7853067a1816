"""For `python -m pytest book`; its options are in pytest.ini beside this file."""

from __future__ import annotations

import os


def pytest_configure() -> None:
    """Silence progress bars in the kernels, which inherit this: they hold times."""
    os.environ.setdefault("TQDM_DISABLE", "1")
