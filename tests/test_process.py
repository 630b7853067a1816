"""The process: streams that are closed, full, without a reader or ASCII; marks; and signals that end a training."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

import minillm
from minillm.artifact import Artifact, write_artifact
from minillm.cli import app
from minillm.model.gpt import GPT, GPTConfig
from minillm.process import TERMINATIONS, Terminated, decoded, hears_default, termination_heard, typed_text
from minillm.text.tokenizer import Tokenizer

PYTHON = f"'{sys.executable}'"
PACKAGE = Path(minillm.__file__).parent
FULL_DEVICE = Path("/dev/full").exists()
FULL = pytest.mark.skipif(not FULL_DEVICE, reason="no device here is always full, as Linux' is")
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Artifact:
    """The artifact of a model that has learned nothing."""
    folder = tmp_path_factory.mktemp("base")
    tokenizer = Tokenizer([(b"h", b"e")])
    model = GPT(
        GPTConfig(tokenizer.vocab_size, context_length=32, n_layer=1, n_head=2, d_model=8, d_ff=16), 0
    )
    model.save_pretrained(folder)
    tokenizer.save(folder)
    return write_artifact(folder, "base", "0" * 12, {"data": "Nothing"}, {})


def shell(command: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """Run a line of shell in which MINILLM stands for the program and PYTHON for Python."""
    variables = {k: v for k, v in os.environ.items() if not k.startswith(("LC_", "PYTHONIO"))}
    variables |= {"PYTHONPATH": str(PACKAGE.parent), "OMP_NUM_THREADS": "1"} | environment
    line = command.replace("MINILLM", "PYTHON -m minillm").replace("PYTHON", PYTHON)
    done = subprocess.run(["bash", "-c", line], capture_output=True, env=variables, timeout=120)
    assert b"Traceback" not in done.stderr and b"Exception ignored" not in done.stderr, done.stderr.decode()
    return done


# Streams


@pytest.mark.posix
@pytest.mark.parametrize(
    "redirection, status, err",
    [
        (">&-", 0, ""),
        ("2>&-", 0, ""),
        ("<&- >&- 2>&-", 0, ""),
        pytest.param("2>/dev/full", 0, "", marks=FULL),
        pytest.param(
            ">/dev/full",
            2,
            "minillm: standard output cannot be written: No space left on device;",
            marks=FULL,
        ),
    ],
)
@pytest.mark.parametrize("command", ["example DIR", "--version"])
def test_streams_that_are_closed_or_full(tmp_path, command, redirection, status, err):
    done = shell(f"MINILLM {command.replace('DIR', str(tmp_path / 'new'))} {redirection}")
    assert done.returncode == status, done.stderr
    assert done.stderr.decode().startswith(err) and len(done.stderr.splitlines()) == bool(err)
    if "example" in command:
        assert (tmp_path / "new" / "conversations.jsonl").is_file()


@pytest.mark.posix
def test_what_is_printed_never_goes_into_a_file_that_takes_the_number_of_a_closed_stream(tmp_path):
    assert shell(f"MINILLM example {tmp_path}/new >&- 2>&-").returncode == 0
    assert shell(f"MINILLM example {tmp_path}/usual").returncode == 0
    for path in (tmp_path / "usual").rglob("*"):
        if path.is_file():
            twin = tmp_path / "new" / path.relative_to(tmp_path / "usual")
            assert twin.read_bytes() == path.read_bytes(), path


@pytest.mark.posix
def test_a_reader_that_leaves_ends_nothing(base):
    done = shell(f"set -o pipefail; MINILLM chat '{base.folder}' -p a --max-tokens 5 | true")
    assert done.returncode == 0 and done.stderr.startswith(b"base from")
    done = shell(f"MINILLM chat '{base.folder}' -p a --max-tokens 5 2> >(true)")
    assert done.returncode == 0 and done.stdout.startswith(b"a")


@pytest.mark.posix
def test_an_error_without_anybody_to_tell_keeps_its_status():
    for nowhere in ("2>&-", "2>/dev/full") if FULL_DEVICE else ("2>&-",):
        done = shell(f"MINILLM example /dev/null {nowhere}")
        assert (done.returncode, done.stdout, done.stderr) == (2, b"", b"")


# Two answers of one process, because torch takes a second to load: of a model to a prompt and to what is piped.
TWICE = """
import sys
from minillm.cli import main
_, model, prompt = sys.argv
for arguments in (["-p", prompt], []):
    sys.argv = ["minillm", "chat", model, "--max-tokens=1", *arguments]
    try:
        main()
    except SystemExit as stop:
        if stop.code or not arguments:
            raise
    print("then")
"""


@pytest.mark.parametrize(
    "environment",
    [
        pytest.param(ASCII, marks=pytest.mark.ascii_locale),
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "latin-1"},
    ],
)
def test_characters_that_the_encoding_lacks_are_escaped(base, environment):
    done = shell(f"printf 茶 | PYTHON -c '{TWICE}' '{base.folder}' 茶é", **environment)
    assert done.returncode == 0, done
    given, piped = done.stdout.split(b"then\n")
    assert given.startswith(b"\\u8336") and piped.startswith(b"\\u8336"), done
    done = shell("MINILLM example /dev/null/茶", **environment)
    assert done.returncode == 2 and done.stderr.startswith(b"minillm: cannot write /dev/null/\\u"), done


@pytest.mark.posix
def test_a_closed_input_is_an_empty_one(base):
    arguments = ["chat", str(base.folder), "--max-tokens=3", "--temperature=0"]
    done = shell(f"MINILLM {' '.join(arguments)} <&-", PYTHONPROFILEIMPORTTIME="1")
    assert done.returncode == 0 and done.stdout == CliRunner().invoke(app, arguments, input="").stdout_bytes
    loaded = {line.rpartition(b"|")[2].strip() for line in done.stderr.splitlines()}
    assert b"torch" in loaded and b"torch._dynamo" not in loaded, "torch's compiler takes a second to load"
    done = shell(f"MINILLM chat '{base.folder}' 0>/dev/null")
    assert done.returncode == 2 and b"minillm: standard input cannot be read" in done.stderr


# Text


@pytest.mark.parametrize(
    "content",
    [
        "Wer? 茶".encode(),
        b"\xef\xbb\xbf" + "Wer? 茶".encode(),
        "Wer? 茶".encode("utf-16"),
        b"\xfe\xff" + "Wer? 茶".encode("utf-16-be"),
        "Wer? 茶".encode("utf-32"),
    ],
)
def test_a_mark_is_no_text(content):
    assert decoded(content, "it") == "Wer? 茶"


def test_ends_of_lines_and_nothing_but_a_mark():
    assert decoded(b"a\r\nb\r\n", "it") == "a\nb\n" and decoded(b"a\rb", "it") == "a\rb"
    assert decoded(b"\xef\xbb\xbf", "it") == decoded(b"\xff\xfe", "it") == decoded(b"", "it") == ""
    assert decoded("a\ufeffb".encode(), "it") == "a\ufeffb", "within a text it is a character"


@pytest.mark.parametrize(
    "content, message",
    [
        (b"caf\xe9", r"it is not UTF-8 \(byte 3\)"),
        (b"\xff\xfea", r"it is not UTF-16 \(byte 2\)"),
        (b"a\0b", "it is no text: character 1 is a zero byte"),
        ("hi".encode("utf-16-le"), "zero byte"),
    ],
)
def test_what_is_no_text_is_refused(content, message):
    with pytest.raises(ValueError, match=message):
        decoded(content, "it")


def test_text_is_taken_as_it_was_typed():
    assert typed_text("茶", "it") == typed_text("\ufeff茶", "it") == "茶"
    with pytest.raises(ValueError, match=r"it is not UTF-8 \(byte 3\)"):
        typed_text("caf\udce9", "it")
    with pytest.raises(ValueError, match="it is not UTF-8"):
        typed_text("a\ud800", "it")


# Signals


def test_the_first_termination_is_an_exception_and_the_next_one_ends_the_process():
    before = {number: signal.getsignal(number) for number in TERMINATIONS}
    with termination_heard():
        assert hears_default(signal.SIGTERM)
        with pytest.raises(Terminated) as stop:
            signal.raise_signal(signal.SIGTERM)
        assert stop.value.signum == signal.SIGTERM
        assert {signal.getsignal(number) for number in TERMINATIONS} == {signal.SIG_DFL}
    assert {number: signal.getsignal(number) for number in before} == before


def test_a_signal_that_is_ignored_stays_ignored():
    number = TERMINATIONS[-1]  # SIGHUP, as under nohup; SIGTERM where there is none
    before = signal.signal(number, signal.SIG_IGN)
    try:
        with termination_heard():
            signal.raise_signal(number)
    finally:
        signal.signal(number, before)


@pytest.mark.posix
@pytest.mark.parametrize(
    "name, waits_for, status, message",
    [
        ("SIGTERM", "step-*.json", 143, "; saved in "),
        ("SIGHUP", "step-*.json", 129, "; saved in "),
        ("SIGINT", "tokenizer-*.lock", 130, "stopped; nothing of this stage was saved yet: run the same"),
        ("SIGTERM", "tokenizer-*.lock", 143, "stopped; nothing of this stage was saved yet: run the same"),
    ],
)
def test_a_run_that_is_told_to_end_saves_and_says_what_is_kept(
    start, tmp_path, name, waits_for, status, message
):
    text = tmp_path / "fable.txt"
    text.write_text(
        "".join(f"{n} hens sat on {n % 7} eggs, {n * n} foxes went home.\n" for n in range(30_000)),
        encoding="utf-8",
    )
    shape = {"vocab_size": 1000, "context_length": 32, "n_layer": 1, "d_model": 16, "d_ff": 32}
    settings = [f"base.model.{key}={value}" for key, value in shape.items()] + ["base.fit.steps=100000"]
    arguments = ["run", "--preset=smoke", "--stages=base", "--precision=fp32", "--compile=no"]
    arguments += [
        "--device=cpu",
        f"--corpus={text}",
        f"--out={tmp_path}",
        *(f"--set={one}" for one in settings),
    ]
    program = start(PACKAGE / "__main__.py", *arguments)
    limit = time.monotonic() + 300
    while not list(tmp_path.rglob(waits_for)):
        assert time.monotonic() < limit and program.process.is_alive(), program.err
        time.sleep(0.02)
    while "training in" not in program.err:  # told when the stage can say what is kept
        assert time.monotonic() < limit and program.process.is_alive(), program.err
        time.sleep(0.02)
    os.kill(program.process.pid, getattr(signal, name))
    assert program.wait() == status, program.err
    err = program.err
    assert err.replace("\r", "\n").splitlines()[-1].startswith("minillm: stopped") and message in err, err
    assert "Traceback" not in err


@pytest.mark.posix
def test_bars_are_silent_where_the_environment_says_so():
    code = "from minillm.progress import progress_bar\nwith progress_bar({}, total=3) as bar: bar.update()"
    for shown, environment, is_silent in (
        (True, {}, False),
        (True, {"TQDM_DISABLE": "1"}, True),
        (False, {}, True),
    ):
        done = shell(f"PYTHON -c '{code.format(shown)}'", **environment)
        assert done.returncode == 0 and (done.stderr == b"") is is_silent, done.stderr
    assert shell(f"PYTHON -c '{code.format(True)}' 2>&-").returncode == 0
