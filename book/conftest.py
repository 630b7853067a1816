"""For `python -m pytest book`; its options are in pytest.ini beside this file."""

from __future__ import annotations

import os


def pytest_configure() -> None:
    """For the kernels, which inherit it: no progress bars, as they hold times; and what is missing is trained."""
    os.environ.setdefault("TQDM_DISABLE", "1")
    os.environ.setdefault("MINILLM_FETCH", "none")
