"""What the commands of the program share: options given once, messages on standard error, errors in one line."""

from __future__ import annotations

import functools
import logging
import os
import signal
import sys
import warnings
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any, NoReturn, TextIO

import typer
from typer.core import TyperCommand, TyperOption

from minillm.files import user_path
from minillm.process import termination_heard, typed_text

__all__ = ["FromOption", "JsonOption", "OutOption", "PresetOption", "command", "fail", "option"]

_PLACES = ("out", "folder")  # parameters that name a folder to write into
_NAMES = ("model", "models", "corpus", "conversations", "preferences", "domain")  # those that may name a path
_TEXTS = {"prompt": "the prompt", "system": "the system message"}  # those that are text for the model

_MODELS = """Where models are published: https, file://, hf://owner/name or a folder [default: $MINILLM_MODELS, else
where the course publishes its own]."""


def option(metavar: str, help: str, *names: str, min: float | None = None, max: float | None = None) -> Any:
    """An option of a command, with what `--help` says of it."""
    return typer.Option(*names, help=help, metavar=metavar, min=min, max=max)


PresetOption = Annotated[str, option("NAME", "Settings for a machine: smoke, cpu, colab, gpu or auto.")]
OutOption = Annotated[
    Path | None, option("DIR", "Folder of all runs [default: $MINILLM_RUNS, else ./runs or the checkout's].")
]
FromOption = Annotated[
    str | None,
    option("ADDRESS", _MODELS, "--from"),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]


def command(
    app: typer.Typer, *, trains: bool = False
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register a command whose expected errors are told in one line.

    Args:
        app: gets the command, under the function's name.
        trains: whether a signal that ends the program must let it save first.
    """

    def register(function: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(function)
        def wrapped(**arguments: Any) -> None:
            _speak_on_stderr()
            try:
                with termination_heard() if trains else nullcontext():
                    function(**{name: _as_meant(name, value) for name, value in arguments.items()})
                sys.stdout.flush()
            except KeyboardInterrupt as stop:
                fail(str(stop) or "stopped", 128 + getattr(stop, "signum", signal.SIGINT))
            except Exception as error:
                if os.environ.get("MINILLM_TRACEBACK") or not _is_expected(error):
                    raise
                fail(_told(error), 2)

        return app.command(cls=_OneOfEach)(wrapped)

    return register


def _as_meant(name: str, value: Any) -> Any:
    """An argument with the home folder written out, or its text as it was typed."""
    if value is None:
        return None
    if name in _PLACES:
        return user_path(value)
    if name in _TEXTS:
        return typed_text(value, _TEXTS[name])
    if name in _NAMES and isinstance(value, list):
        return [_as_meant(name, one) for one in value]
    return str(user_path(value)) if name in _NAMES and value.startswith("~") else value


class _OneOfEach(TyperCommand):
    """A command that refuses an option given twice, of which the parser would silently take the last."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        _, _, order = self.make_parser(ctx).parse_args(args=list(args))
        single = [one for one in order if isinstance(one, TyperOption) and not (one.multiple or one.is_flag)]
        for option, times in Counter(single).items():
            if times > 1:
                several = (
                    "" if option.name not in _NAMES else "; for several files name their folder or a pattern"
                )
                fail(f"{max(option.opts, key=len)} is given {times} times; give it once{several}", 2)
        return super().parse_args(ctx, args)


def _speak_on_stderr() -> None:
    """Show the package's messages and warnings as plain lines, and not those of other libraries."""
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")  # its warnings of each retry
    log = logging.getLogger("minillm")
    log.handlers = [logging.StreamHandler(sys.stderr)]
    first = os.environ.get("RANK", "0") == "0"  # torchrun: the other processes would say the same
    log.setLevel(logging.INFO if first else logging.ERROR)
    package = str(Path(__file__).parent)

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if filename.startswith(package):
            log.warning("%s", message)

    warnings.showwarning = show


def _is_expected(error: Exception) -> bool:
    """Whether an error tells the user of a wrong input or a fault of the machine, and not of a bug."""
    if isinstance(error, (ValueError, TypeError, OSError)):
        return True
    # Only here: it loads torch, and most mistakes need none.
    from minillm.train.loop import TrainingDivergedError

    return isinstance(error, TrainingDivergedError)


def _told(error: Exception) -> str:
    """An error's message; the operating system's own ones with the file's name first."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}; check the path, its permissions and the disk"
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)


def fail(message: str, status: int) -> NoReturn:
    """Tell a message in one line and end the program with this exit status."""
    print(f"minillm: {' '.join(message.split())}", file=sys.stderr)
    raise typer.Exit(status)
