"""What tests of several folders share: marks for what systems lack, the CPU, and processes that start quickly."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

NOT_ON_WINDOWS = {  # mark -> why a test that has it is skipped there
    "posix": "needs a POSIX shell, its redirections and its signals, which Windows lacks",
    "processes": "needs torchrun and gloo, which PyTorch's builds for Windows lack (no libuv, no gloo device)",
    "long_names": "needs names of 255 characters, and on Windows a whole path has 260 at most",
}

ASCII_LOCALE = (
    "ascii_locale",
    "a Python before 3.13 does not start where the encoding is ASCII and the folder of an editable install is not",
)

with suppress(ImportError):  # who tries a GPU with the tests of `gpu` need not have it
    from hypothesis import settings

    # The same examples in every run, and no time limit on an example: on a busy machine any of them may take long.
    settings.register_profile("course", deadline=None, derandomize=True)
    settings.load_profile("course")
    # Else the numbers and texts in the modules that are imported so far are among the examples: others in each run.
    with suppress(ImportError, AttributeError):
        from hypothesis.internal.conjecture import providers

        providers._get_local_constants = lambda: providers._local_constants  # of no module

os.environ.pop("TQDM_DISABLE", None)  # as a developer may have set it; the bars are tested, too
if sys.platform == "darwin":  # the name of a Mac need not lead to an address
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo0")

# Where a process can be forked, those that the tests start find these modules loaded: torch and its compiler, which
# every optimizer loads, take seconds.
LOADED = ["torch._dynamo", "minillm.cli", "minillm.course"]

# The process starts with this, which must not name anything of the tests: it could not import them.
BEGINNING = """
import os, runpy, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # the shell of the tests may ignore Ctrl-C
os.dup2(os.open(errors, os.O_WRONLY | os.O_CREAT, 0o600), 2)
os.environ.update(environment)
sys.argv = arguments
runpy.run_path(arguments[0], run_name="__main__")
"""


@pytest.fixture(scope="session", autouse=True)
def on_the_cpu() -> Iterator[None]:
    """On a Mac too: numbers are compared, and the machines of a CI have MPS without memory for it."""
    with pytest.MonkeyPatch.context() as patch:
        if sys.platform == "darwin":
            import torch

            patch.setattr(torch.backends.mps, "is_available", lambda: False)
        yield


def pytest_configure(config: pytest.Config) -> None:
    os.environ.pop("MINILLM_FETCH", None)  # what tests train is trained
    if hasattr(signal, "SIGHUP"):  # ignored under nohup, and so in all programs that the tests start
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # likewise in the background of a shell
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for name, reason in [*NOT_ON_WINDOWS.items(), ASCII_LOCALE]:
        config.addinivalue_line("markers", f"{name}: {reason}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if sys.version_info < (3, 13) and not __file__.isascii():
        for item in items:
            if item.get_closest_marker(ASCII_LOCALE[0]):
                item.add_marker(pytest.mark.skip(reason=ASCII_LOCALE[1]))
    if sys.platform == "win32":
        for item in items:
            for name in NOT_ON_WINDOWS.keys() & {mark.name for mark in item.iter_markers()}:
                item.add_marker(pytest.mark.skip(reason=NOT_ON_WINDOWS[name]))


class Program:
    """A Python file that runs in a process of its own.

    Attributes:
        process: the process.
    """

    def __init__(self, process: Any, errors: Path) -> None:
        self.process, self._errors = process, errors
        process.start()

    def wait(self, seconds: float = 120) -> int:
        """The exit status; minus the number of the signal that ended it."""
        self.process.join(seconds)
        status = self.process.exitcode
        if status is None:
            raise TimeoutError(f"still running after {seconds} seconds:\n{self.err}")
        return int(status)

    def end(self) -> None:
        """End it if it still runs."""
        if self.process.is_alive():
            self.process.kill()

    @property
    def err(self) -> str:
        """What it has written to standard error."""
        return self._errors.read_text(encoding="utf-8") if self._errors.exists() else ""


@pytest.fixture(scope="session")
def processes() -> Any:
    """How processes are started: on Linux forked from one that has loaded what takes long."""
    if sys.platform != "linux":  # macOS's own libraries do not bear a fork
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(LOADED)
    return context


@pytest.fixture
def no_collection() -> Iterator[None]:
    """While seconds are counted, Python does not look through all that pytest has made."""
    gc.disable()
    yield
    gc.enable()


@pytest.fixture
def start(processes: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Program]]:
    """Start a Python file with arguments and with variables of the environment."""
    started = []

    def start_one(file: Path, *arguments: object, **environment: str) -> Program:
        errors = tmp_path_factory.mktemp("process") / "errors.txt"
        names = {
            "errors": str(errors),
            "environment": {"OMP_NUM_THREADS": "1", **environment},
            "arguments": [str(file), *map(str, arguments)],
        }
        started.append(Program(processes.Process(target=exec, args=(BEGINNING, names)), errors))
        return started[-1]

    yield start_one
    for program in started:
        program.end()


@pytest.fixture
def torchrun(start: Callable[..., Program]) -> Callable[..., None]:
    """Run a Python file in so many processes that know of each other, as torchrun would start them."""

    def run(n: int, file: Path, *arguments: object) -> None:
        from torch.distributed import TCPStore

        # It is kept here, as torchrun keeps it: a port that is only looked for may be another program's when the first
        # process takes it.
        store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
        group = {
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(store.port),
            "TORCHELASTIC_USE_AGENT_STORE": "True",
            "WORLD_SIZE": str(n),
        }
        programs = [start(file, *arguments, **group, RANK=str(i), LOCAL_RANK=str(i)) for i in range(n)]
        for program in programs:
            assert program.wait(300) == 0, program.err[-4000:]

    return run
