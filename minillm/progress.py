"""The progress bars, all of one kind."""

from __future__ import annotations

import sys
from typing import Any

from tqdm import tqdm  # type: ignore[import-untyped]

__all__ = ["progress_bar"]


def progress_bar(shown: bool, **settings: Any) -> Any:
    """A tqdm bar on standard error, silent unless `shown`, and silent where TQDM_DISABLE is set or nobody listens.

    Args:
        shown: False for silence.
        settings: those of tqdm, but `disable`.
    """
    if not shown or sys.stderr is None or sys.stderr.closed:
        return tqdm(**settings, disable=True)
    return tqdm(**settings)  # an explicit disable=False would outdo the environment
