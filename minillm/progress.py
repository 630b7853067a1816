"""The progress bar that everything here shows: on standard error, silent when asked or under TQDM_DISABLE."""

from __future__ import annotations

from typing import Any

from tqdm import tqdm

__all__ = ["progress_bar"]


def progress_bar(*, shown: bool, **settings: Any) -> tqdm[Any]:
    """A bar of tqdm with these settings of its own.

    Where it is shown, tqdm's environment variables decide: a setting that is passed would overrule them.
    """
    return tqdm(**settings) if shown else tqdm(**settings, disable=True)
