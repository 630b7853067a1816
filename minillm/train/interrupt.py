"""Ctrl-C between two steps instead of in the middle of one; and likewise what else asks a program to end."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from minillm.process import TERMINATIONS, hears_default

__all__ = ["StopRequest", "TrainingInterrupted", "stop_signal"]

_log = logging.getLogger("minillm")


class TrainingInterrupted(KeyboardInterrupt):
    """Training stopped between two steps, or at once; the message says how to go on.

    Attributes:
        signum: the number of the signal that asked for it: Ctrl-C is SIGINT.
    """

    def __init__(self, message: str = "", signum: int = signal.SIGINT) -> None:
        super().__init__(message)
        self.signum = signum


class StopRequest:
    """Whether the user, or the system, wants the training to stop, and by which signal."""

    def __init__(self) -> None:
        self.signum: int | None = None

    def is_set(self) -> bool:
        """Whether a signal has come."""
        return self.signum is not None

    def interruption(self, message: str) -> TrainingInterrupted:
        """The exception to raise, with a message for the user."""
        return TrainingInterrupted(message, self.signum or signal.SIGINT)


@contextmanager
def stop_signal(active: bool, kept: Callable[[], str] | None = None) -> Iterator[StopRequest]:
    """A request that the first Ctrl-C, SIGTERM, SIGHUP or Ctrl-Break sets; the second one stops at once.

    Args:
        active: False leaves signals as they are, which is needed where several processes must stop together.
            Nothing is changed outside the main thread either, where Python delivers no signals. Another signal
            than Ctrl-C that is ignored, or that the surrounding program handles itself, is left alone.
        kept: says what is left of the training when it stops at once.
    """
    stop = StopRequest()
    if not active or threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def on_signal(number: int, _: object) -> None:
        if stop.is_set():
            left = kept() if kept else "run the same command again to go on from what was saved"
            raise TrainingInterrupted(f"stopped at once; {left}", number)
        stop.signum = number
        again = "press Ctrl-C again" if number == signal.SIGINT else "send the signal again"
        _log.warning("stopping after this step; %s to stop at once", again)

    heard = [signal.SIGINT, *(number for number in TERMINATIONS if hears_default(number))]
    before = {number: signal.signal(number, on_signal) for number in heard}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
