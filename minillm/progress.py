"""The progress bar that everything here shows: on standard error, silent when asked or under TQDM_DISABLE."""

from __future__ import annotations

import sys
from typing import Any

from tqdm import tqdm

__all__ = ["progress_bar"]


def progress_bar(shown: bool, **settings: Any) -> tqdm[Any]:
    """A tqdm bar on standard error, silent unless `shown`, and silent where TQDM_DISABLE is set or nobody listens.

    Args:
        shown: False for silence.
        settings: those of tqdm, but `disable`.
    """
    if not shown or sys.stderr is None or sys.stderr.closed:
        return tqdm(**settings, disable=True)
    return tqdm(**settings)  # an explicit disable=False would outdo the environment
