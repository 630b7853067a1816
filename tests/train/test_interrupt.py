"""Ctrl-C is heard between steps."""

from __future__ import annotations

import signal
import threading
import time

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


CELL = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # the shell of the tests may ignore Ctrl-C
from minillm import Course
from minillm.train import choose_runtime
runtime = choose_runtime("cpu")
Course("smoke", {root!r}, runtime=runtime, progress=False, base={{"fit": {{"steps": 5000}}}}).stage("base")
"""


def test_the_stop_button_of_a_notebook_saves_and_says_how_to_go_on(tmp_path, child_environment):
    manager = pytest.importorskip("jupyter_client.manager", reason="needs a Jupyter kernel")
    kernel, client = manager.start_new_kernel(startup_timeout=300, env=child_environment)
    try:
        client.kernel_info()  # start_new_kernel asks a slow kernel several times and reads one answer
        request = client.execute(CELL.format(root=str(tmp_path)))
        limit = time.monotonic() + 300
        while not list(tmp_path.rglob("step-*.json")):
            assert time.monotonic() < limit
            time.sleep(0.1)
        kernel.interrupt_kernel()
        message = client.get_shell_msg(timeout=120)
        while message["parent_header"]["msg_id"] != request:
            message = client.get_shell_msg(timeout=120)
    finally:
        client.stop_channels()
        kernel.shutdown_kernel(now=True)
    reply = message["content"]
    assert reply["ename"] == "TrainingInterrupted"
    assert "saved in" in reply["evalue"] and "again to go on from there" in reply["evalue"]
    step = int(reply["evalue"].split("after step ")[1].split()[0])
    assert list(tmp_path.rglob(f"step-{step:08d}.json"))
