"""One's own data through the program: one line for each mistake, before any training; and the page that tells of it."""

from __future__ import annotations

import json
import os
import re
import shlex
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from minillm.cli import app

PAGE = Path(__file__).resolve().parent.parent / "book" / "your_data.md"
TALK = {"messages": [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "Ada."}]}
PAIR = {"prompt": "Who?", "chosen": "Ada.", "rejected": "Look it up."}
TEXT = {"text": "The Merle carries salt."}
GOOD = {"--corpus": TEXT, "--sft": TALK, "--preferences": PAIR}
# Small enough that every stage takes a second or two.
QUICK = [
    f"--set={change}"
    for change in (
        "test_tasks=1",
        "base.fit.steps=2",
        "base.model.n_layer=1",
        "base.model.d_model=16",
        "base.model.d_ff=32",
        "sft.fit.steps=2",
        "reward.fit.steps=2",
        "ppo.iterations=1",
        "ppo.prompts=4",
        "ppo.max_new_tokens=4",
    )
] + ["--json", "--compile=no", "--threads=1"]


def minillm(*arguments: object) -> SimpleNamespace:
    """Run the program in this process."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return SimpleNamespace(status=result.exit_code, out=result.stdout, err=result.stderr)


def refused(*arguments: object) -> str:
    """The one line with which the program refuses, before any training."""
    result = minillm("run", "--preset=smoke", *arguments)
    assert result.status == 2 and result.out == "", result
    assert "training in" not in result.err and "Traceback" not in result.err
    (line,) = [line for line in result.err.splitlines() if line.startswith("minillm: ")]
    return line


def lines(*rows: object) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """An empty folder to work in, with the runs inside."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MINILLM_RUNS", "runs")
    return tmp_path


def says(speaker: object, content: object) -> dict[str, object]:
    return {"messages": [{"role": speaker, "content": content}, TALK["messages"][1]]}


EVERY = [  # mistakes that any .jsonl file can have: encoding, content, message; GOOD is a right line
    ("utf-8", "", ""),
    ("utf-8", "\n \n", ""),
    ("utf-16", "GOOD", "mine.jsonl is UTF-16, not UTF-8; save it as UTF-8"),
    ("utf-16-le", "GOOD", "mine.jsonl is a binary file (zero byte at offset 1)"),
    ("latin-1", 'GOOD\n{"a": "caf\xe9"}\n', ", line 2; convert text in another encoding"),
    ("latin-1", "\x1f\x8b\x08\0GOOD\n", "mine.jsonl is a binary file"),
    ("utf-8", "GOOD\n{'a': 1}\n", "mine.jsonl, line 2 is not JSON (Expecting property name"),
    ("utf-8", 'GOOD\n\nGOOD\n{"a": \n', "mine.jsonl, line 4 is not JSON"),
    ("utf-8", "GOOD\n[GOOD]\n", "mine.jsonl, line 2 is a list; each line must be a JSON object such as {"),
    ("utf-8", "null\nGOOD\n", "mine.jsonl, line 1 is a NoneType; each line must be"),
    ("utf-8", 'GOOD\n{"story": "a"}\n', "mine.jsonl, line 2 has no key '"),
    ("utf-8", "[" * 9999, "mine.jsonl, line 1 is not JSON"),
]


@pytest.mark.parametrize("option", GOOD)
@pytest.mark.parametrize("encoding, content, message", EVERY)
def test_what_no_file_may_hold(place, option, encoding, content, message):
    content = content.replace("GOOD", json.dumps(GOOD[option]))
    (place / "mine.jsonl").write_bytes(content.encode(encoding))
    empty = "holds no text; give a file" if option == "--corpus" else "is empty; write "
    line = refused(option, "mine.jsonl")
    assert (message or empty) in line and "mine.jsonl" in line


@pytest.mark.parametrize(
    "option, rows, message",
    [
        ("--corpus", [TEXT, {"text": 5}], "line 2: 'text' is a int; each line must be"),
        (
            "--corpus",
            [TEXT, {"text": "\ud83d"}],
            "line 2: 'text' cannot be encoded: text holds the lone surrogate",
        ),
        ("--corpus", [TEXT, {"text": ["\ud83d"]}], "line 2: 'text' is a list"),
        ("--corpus", [TEXT, {"\ud83d": "a"}], "line 2 has no key 'text', only \\ud83d"),
        ("--corpus", [TEXT, {"text": float("nan")}], "line 2: 'text' is a float"),
        ("--corpus", [{"text": " "}, {"text": None}], "holds no text"),
        ("--sft", [TALK], "holds 1 conversations; give at least 2"),
        ("--sft", [TALK, {"messages": "Hello"}], "line 2: messages is a str; pass a list like"),
        ("--sft", [TALK, {"messages": []}], "line 2: the conversation has no messages"),
        ("--sft", [TALK, {"messages": ["Hello"]}], "line 2: messages[0] is 'Hello'; write messages like"),
        (
            "--sft",
            [TALK, says("bot", "Hi")],
            "line 2: messages[0] has the role 'bot'; use one of system, user",
        ),
        ("--sft", [TALK, says(["user"], "Hi")], "line 2: messages[0] has the role ['user']"),
        (
            "--sft",
            [TALK, says("assistant", "Hi")],
            "line 2: messages[0] is the assistant's, expected is system",
        ),
        ("--sft", [TALK, says("user", 5)], "line 2: the content of messages[0] is a int; it must be a str"),
        ("--sft", [TALK, says("user", "\ud83d")], "line 2: the content of messages[0] cannot be encoded"),
        ("--sft", [TALK, says("\ud83d", "Hi")], "line 2: messages[0] has the role '\\ud83d'"),
        ("--sft", [TALK, {"messages": [["\ud83d"]]}], "line 2: messages[0] is ['\\ud83d']"),
        (
            "--sft",
            [TALK, {**TALK, "system": "\ud83d"}],
            "line 2: the content of messages[0] cannot be encoded",
        ),
        (
            "--sft",
            [TALK, {"instruction": "Add.", "output": "\ud83d"}],
            "line 2: the content of messages[1] cannot",
        ),
        ("--sft", [TALK, {"messages": TALK["messages"][:1]}], "line 2: there is no message of the assistant"),
        ("--sft", [TALK, {"prompt": "Hi", "completion": " "}], "line 2: a message of the assistant is empty"),
        ("--preferences", [PAIR], "holds 1 comparisons; give at least 2"),
        (
            "--preferences",
            [PAIR, {**PAIR, "chosen": 5}],
            "line 2: the answers are [5, 'Look it up.']; each must",
        ),
        (
            "--preferences",
            [PAIR, {"chosen": "a", "rejected": "b"}],
            "line 2: there is no key 'prompt'; write a li",
        ),
        ("--preferences", [PAIR, {"prompt": "?", "chosen": "a"}], "line 2: there is no key 'rejected'"),
        (
            "--preferences",
            [PAIR, {**PAIR, "rejected": "\ud83d"}],
            "line 2: the content of messages[1] cannot be",
        ),
        (
            "--preferences",
            [PAIR, {"prompt": "?", "answers": ["a", "b"], "ranks": [0, float("nan")]}],
            "line 2: the ranks are [0, nan]",
        ),
        (
            "--preferences",
            [PAIR, {**PAIR, "prompt": [TALK["messages"][1]]}],
            "line 2: messages[0] is the assist",
        ),
        (
            "--preferences",
            [{**PAIR, "chosen": "Look it up."}] * 30,
            "mine.jsonl: in each of the 27 comparisons",
        ),
        (
            "--preferences",
            [*[PAIR] * 9, {**PAIR, "rejected": "Ada."}],
            "in each of the 1 comparisons for validat",
        ),
    ],
)
def test_what_a_line_may_not_hold(place, option, rows, message):
    content = "".join(
        json.dumps(row) + "\n" for row in rows
    )  # with \u escapes, so that half a character can stand
    (place / "mine.jsonl").write_text(content, encoding="utf-8")
    line = refused(option, "mine.jsonl")
    assert message in line and "mine.jsonl" in line


@pytest.mark.parametrize("option", GOOD)
def test_folders_without_a_file_and_names_of_nothing(place, option):
    (place / "folder").mkdir()
    (place / "folder" / "mine.csv").write_text("a,b\n", encoding="utf-8")
    assert "'folder'" in refused(option, "folder")
    for name in ("no.jsonl", "no*.jsonl", "folder/mine.csv"):
        assert name in refused(option, name).replace(os.sep, "/")


BAD = {"--corpus": {"text": 5}, "--sft": {"messages": []}, "--preferences": {**PAIR, "chosen": None}}


@pytest.mark.parametrize("option", GOOD)
def test_every_option_takes_an_array_and_a_table(place, option):
    """The last row is wrong, and is named."""
    (place / "mine.json").write_text(
        json.dumps([GOOD[option], GOOD[option], BAD[option]], indent=1), encoding="utf-8"
    )
    assert re.search(r"mine.json, line \d+: ", refused(option, "mine.json"))
    if option != "--corpus":  # a column has one type
        pyarrow = pytest.importorskip("pyarrow")
        parquet = pytest.importorskip("pyarrow.parquet")
        table = pyarrow.Table.from_pylist([GOOD[option], GOOD[option], BAD[option]])
        parquet.write_table(table, place / "mine.parquet")
        assert "mine.parquet, row 3: " in refused(option, "mine.parquet")


def test_keys_that_are_ignored_may_hold_anything(place):
    """Also such as stages use for their own files."""
    from minillm.course import Course

    odd = {"\ud800": "\udfff", "id": float("nan"), "family": ["\ud800"], "gold": "\ud800", "source": None}
    for name, row in {"corpus": TEXT, "conversations": TALK, "preferences": PAIR}.items():
        rows = "".join(json.dumps({**odd, **row, "id": n}) + "\n" for n in range(3))
        (place / f"{name}.jsonl").write_text(rows + json.dumps(odd | row) + "\n", encoding="utf-8")
        Course("smoke", **{name: f"{name}.jsonl"}).check("sft", "reward")


def test_runs_in_the_folder_of_the_texts_are_no_data(place):
    """Found again, though the first run has written JSON lines and model cards there."""
    from minillm.data.example import write_example

    write_example(place / "harbour")
    for name in ("conversations", "preferences", "radio"):
        (place / "harbour" / f"{name}.jsonl").unlink()
    (place / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    (place / "harbour" / "._notes.txt").write_bytes(b"\0")
    arguments = ["--corpus=.", "--out=runs", "--preset=smoke", *QUICK, "--stages=tokenizer,base"]
    first, second = (minillm("run", *arguments) for _ in range(2))
    assert first.status == second.status == 0, second.err
    assert [stage["cached"] for stage in json.loads(second.out)["stages"]] == [True, True]


def test_bad_rows_are_left_out_of_every_source_on_request(place, caplog):
    from minillm.course import Course

    stages = {"corpus": "tokenizer", "conversations": "sft", "preferences": "reward", "domain": "lora"}
    options = {"corpus": "--corpus", "preferences": "--preferences"}
    for name, stage in stages.items():
        option = options.get(name, "--sft")
        (place / "mine.jsonl").write_bytes(lines(GOOD[option], 5, {**GOOD[option], "n": 2}))
        caplog.clear()
        with caplog.at_level("WARNING", "minillm"):
            Course("smoke", **{name: {"source": "mine.jsonl", "skip_bad": True}}).check(stage)
        assert "mine.jsonl: 1 of 3 rows are left out, which cannot be used; the first: " in caplog.text
        with pytest.raises(ValueError, match="line 2 is a int"):
            Course("smoke", **{name: "mine.jsonl"}).check(stage)
    assert "skip_bad is 'perhaps'; use true or false" in refused(
        "--sft=mine.jsonl", "--set=conversations.skip_bad=perhaps"
    )


@pytest.mark.parametrize("option", GOOD)
def test_a_byte_order_mark_and_windows_line_ends_are_no_mistake(place, option):
    """Only the last line is wrong."""
    rows = lines(GOOD[option]).replace(b"\n", b"\r\n") * 3
    (place / "mine.jsonl").write_bytes(b"\xef\xbb\xbf" + rows + b"5\r\n")
    assert "mine.jsonl, line 4 is a int" in refused(option, "mine.jsonl")


def test_a_mistake_is_found_though_only_a_later_stage_reads_the_file(place):
    """Also from Python, and not where the stage that reads it is not asked for."""
    from minillm.course import Course

    (place / "mine.jsonl").write_text("5\n", encoding="utf-8")
    course = Course("smoke", place / "runs", progress=False, preferences="mine.jsonl")
    with pytest.raises(ValueError, match="line 1 is a int"):
        course.stage("ppo")
    assert not (place / "runs").exists()
    course.check("sft")


LONG = "The Merle carries salt to Lunby. " * 60


@pytest.mark.parametrize(
    ("option", "row"),
    [
        ("--sft", {"messages": [{"role": "user", "content": LONG}, TALK["messages"][1]]}),
        ("--domain", {"messages": [{"role": "user", "content": LONG}, TALK["messages"][1]]}),
        ("--preferences", {"prompt": LONG, "chosen": "Ada.", "rejected": "Look it up."}),
    ],
)
def test_what_fits_no_model_is_told_before_the_first_model_is_trained(place, option, row):
    """Whichever stages are asked for, and also where an earlier model is there already."""
    (place / "mine.jsonl").write_bytes(lines(row) * 4)
    small = ["--set=corpus.n_documents=60", "--set=corpus.n_validation=10", "--set=base.model.vocab_size=300"]
    arguments = ["run", "--preset=smoke", *small, *QUICK]
    told = minillm(*arguments, option, "mine.jsonl")
    assert told.status == 2 and "the context of 160 tokens" in told.err
    assert "mine.jsonl" in told.err.splitlines()[-1]
    assert {path.parent.name.partition("-")[0] for path in place.glob("runs/smoke/*/summary.json")} == {
        "tokenizer"
    }
    assert minillm(*arguments, "--stages=base").status == 0
    told = minillm(*arguments, option, "mine.jsonl")
    assert told.status == 2 and "mine.jsonl" in told.err.splitlines()[-1]
    assert {path.name.partition("-")[0] for path in place.glob("runs/smoke/*") if path.is_dir()} <= {
        "tokenizer",
        "base",
        "tokens",
    }


def test_a_context_too_short_for_the_built_in_tasks_is_told_before_the_first_model(place):
    small = ["--set=corpus.n_documents=60", "--set=corpus.n_validation=10", "--set=base.model.vocab_size=300"]
    told = minillm("run", "--preset=smoke", *small, *QUICK, "--set=base.model.context_length=4")
    assert told.status == 2 and "conversations tasks: none of the 1,000 for train" in told.err
    assert "base: training" not in told.err


def test_a_source_can_have_settings_of_its_own(place, monkeypatch):
    """--set beside a name changes that source, and not the preset's."""
    (place / "mine.jsonl").write_bytes(lines({"story": "It was a calm day. " * 9}) * 40)
    result = minillm(
        "run", "--preset=smoke", *QUICK, "--stages=tokenizer", "--corpus=mine.jsonl",
        "--set=corpus.text_key=story",
    )  # fmt: skip
    assert result.status == 0, result.err
    line = refused("--corpus=mine.jsonl", "--set=corpus.n_documents=5")
    assert "corpus has no setting 'n_documents'; it has source, paths, validation_share" in line


# The page


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)


def commands() -> list[list[str]]:
    """The program's commands in the page's shell blocks, in order."""
    shell = "".join(blocks("bash")).replace("\\\n", " ")
    return [
        shlex.split(line, comments=True)[1:] for line in shell.splitlines() if line.startswith("minillm ")
    ]


def _names_a_dataset(arguments: list[str]) -> bool:
    return any(re.fullmatch(r"[\w-]+/[\w-]+", word) and not word.startswith("harbour/") for word in arguments)


def flat(text: str) -> str:
    return " ".join(text.split())


def test_every_command_of_the_page_does_what_it_says(place, monkeypatch):
    """In order, with fewer steps; those with a dataset's name are only read, as there is no network."""
    monkeypatch.setenv("TQDM_DISABLE", "1")
    page, ran = flat(PAGE.read_text(encoding="utf-8")), set()
    for name, *arguments in commands():
        if _names_a_dataset(arguments):
            continue
        quick = {"run": QUICK, "chat": ["--max-tokens=4"]}.get(name, [])
        added = [option for option in quick if option.partition("=")[0] not in {*arguments} - {"--set"}]
        result = minillm(name, *arguments, *added)
        assert result.status == 0, (name, arguments, result.err)
        ran.add(name)
        if name == "example":
            assert flat(result.out).replace(os.sep, "/") in page
        left_out = [line for line in result.err.splitlines() if "left out:" in line]
        assert all(flat(line) in page for line in left_out)
    assert ran == {"example", "run", "chat", "info"}


def test_commands_with_datasets_of_the_hub_are_understood(monkeypatch, place):
    from minillm.course import Course

    kinds = set()

    def check(course, *names):
        preset = course.preset
        kinds.update(type(one).__name__ for one in (preset.corpus, preset.conversations, preset.preferences))
        raise ValueError("far enough")

    monkeypatch.setattr(Course, "check", check)
    for name, *arguments in commands():
        if _names_a_dataset(arguments):
            assert minillm(name, *arguments).err.endswith("minillm: far enough\n"), arguments
    assert {"HubCorpus", "HubConversations", "HubPreferences"} <= kinds


MISTAKES = {  # file -> (option, content)
    "keys.jsonl": ("--sft", b'{"text": "Hello"}\n'),
    "roles.jsonl": ("--sft", lines({"messages": [{"role": "bot", "content": "Hello"}]})),
    "order.jsonl": ("--sft", lines({"messages": [TALK["messages"][1], TALK["messages"][0]]})),
    "comma.jsonl": ("--sft", lines(TALK) + b'{"messages": [],}\n'),
    "list.jsonl": ("--sft", lines([TALK])),
    "none.jsonl": ("--sft", b""),
    "pair.jsonl": ("--preferences", lines({"prompt": "Hello", "chosen": "Hi!"})),
    "same.jsonl": ("--preferences", lines({"prompt": "Hello", "chosen": "Hi!", "rejected": "Hi!"}) * 20),
    "latin.txt": ("--corpus", "Das Meer war glatt.\nDie Möwe schlief.\n".encode("latin-1")),
    "wide.txt": ("--corpus", "Das Meer war glatt.".encode("utf-16")),
    "report.docx": ("--corpus", b"PK\x03\x04"),
    "void.txt": ("--corpus", b"\n"),
}


def test_the_messages_of_the_page_are_those_of_the_program(place):
    told = [flat(refused("--corpus", "nowhere.txt"))]
    for name, (option, content) in MISTAKES.items():
        (place / name).write_bytes(content)
        told.append(flat(refused(option, name)))
    shown = [flat(text) for block in blocks("text") for text in re.split(r"\n\s*\n", block)]
    shown = [text for text in shown if text.startswith("minillm: ") and "could not be read" not in text]
    assert sorted(shown) == sorted(told)


def test_every_form_in_the_pages_table_is_read(place):
    rows = re.findall(r"^\| `--(\w+)`.*? \|.*?\| `(\{.*\})` \|$", PAGE.read_text(encoding="utf-8"), re.M)
    assert {option for option, _ in rows} == {name.strip("-") for name in GOOD} and len(rows) >= 8
    from minillm.course import Course

    for option, example in rows:
        (place / "mine.jsonl").write_text(f"{example}\n{example}\n", encoding="utf-8")
        stage = {"corpus": "tokenizer", "sft": "sft", "preferences": "reward"}[option]
        Course("smoke", **{{"sft": "conversations"}.get(option, option): "mine.jsonl"}).check(stage)
