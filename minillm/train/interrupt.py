"""Ctrl-C between two steps instead of in the middle of one."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["TrainingInterrupted", "stop_signal"]

_log = logging.getLogger("minillm")


class TrainingInterrupted(KeyboardInterrupt):
    """Ctrl-C: training stopped between two steps; the message says how to go on."""


@contextmanager
def stop_signal(active: bool) -> Iterator[threading.Event]:
    """An event that the first Ctrl-C sets; the second one stops at once.

    Args:
        active: False leaves Ctrl-C as it is, which is needed where several processes must stop together.
            Nothing is changed outside the main thread either, where Python delivers no signals.
    """
    stop = threading.Event()
    if not active or threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def on_interrupt(*_: object) -> None:
        if stop.is_set():
            raise TrainingInterrupted(
                "stopped at once; run the same command again to go on from the last checkpoint"
            )
        stop.set()
        _log.warning("stopping after this step; press Ctrl-C again to stop at once")

    before = signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)
