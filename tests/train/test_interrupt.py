"""Ctrl-C is heard between steps."""

from __future__ import annotations

import signal
import threading

import pytest

from minillm.train.interrupt import TrainingInterrupted, stop_signal


def press_ctrl_c():
    signal.raise_signal(signal.SIGINT)


@pytest.fixture
def python_handles_ctrl_c():
    """Shells start background jobs with Ctrl-C ignored, and Python then installs no handler of its own."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_the_first_press_sets_the_event_and_the_second_stops(caplog):
    before = signal.getsignal(signal.SIGINT)
    with stop_signal(True) as stop:
        press_ctrl_c()
        assert stop.is_set() and "stopping after this step" in caplog.text
        with pytest.raises(TrainingInterrupted, match="run the same command again"):
            press_ctrl_c()
    assert signal.getsignal(signal.SIGINT) is before


def test_inactive_leaves_ctrl_c_alone(python_handles_ctrl_c):
    with stop_signal(False) as stop, pytest.raises(KeyboardInterrupt):
        press_ctrl_c()
    assert not stop.is_set()


def test_other_threads_have_no_signals():
    seen = []

    def work():
        with stop_signal(True) as stop:
            seen.append(stop.is_set())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [False]


def test_it_is_a_keyboard_interrupt():
    assert issubclass(TrainingInterrupted, KeyboardInterrupt) and not issubclass(
        TrainingInterrupted, Exception
    )
