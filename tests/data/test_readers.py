"""Readers: the documents and comparisons of a file, and the place of each mistake in it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from minillm.data import readers
from minillm.data.readers import (
    ROW_SUFFIXES,
    Reading,
    find_files,
    read_comparisons,
    read_conversations,
    read_documents,
)


def read(path: Path) -> list[str]:
    return list(read_documents(path, "text"))


def test_one_document_per_text_file_line_or_row(tmp_path):
    (tmp_path / "a.md").write_text("one\n\ntwo", encoding="utf-8")
    (tmp_path / "b.jsonl").write_text(
        '{"text": "one", "n": 1}\n\n{"text": " "}\n{"text": "zw\u00f6lf"}', encoding="utf-8"
    )
    assert read(tmp_path / "a.md") == ["one\n\ntwo"]
    assert read(tmp_path / "b.jsonl") == ["one", "zw\u00f6lf"]


@pytest.mark.parametrize("content", [b"", b" \n\t \n"])
def test_blank_files_hold_no_document(tmp_path, content):
    (tmp_path / "a.txt").write_bytes(content)
    assert read(tmp_path / "a.txt") == []


def test_byte_order_mark_and_windows_line_ends_do_not_reach_the_text(tmp_path):
    (tmp_path / "a.txt").write_bytes("\ufeffone\r\ntwo\r\n".encode())
    assert read(tmp_path / "a.txt") == ["one\ntwo\n"]


@settings(deadline=None, max_examples=200)
@given(text=st.text(alphabet="ab \n\u00e9\u4e2d\U0001f600"), piece=st.integers(5, 40))
@example(text="aa\n aaaaaaa\u4e2da\u4e2d\u4e2d", piece=5)
def test_the_pieces_of_a_long_text_file_are_its_text(tmp_path_factory, text, piece):
    path = tmp_path_factory.mktemp("long") / "a.txt"
    path.write_text(text, newline="", encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(readers, "_WHOLE_BYTES", 20)
        patch.setattr(readers, "PIECE_BYTES", piece)
        pieces = list(readers._read_text(path))
    assert "".join(pieces) == text
    # What is left after a line end is shorter than what was read, and may begin with a space: after that one, what is
    # left is at most what was left and what was read; and to this comes what is read last.
    assert len(pieces) == 1 or all(len(one.encode()) < 3 * piece for one in pieces)
    for one in pieces[:-1]:  # no word is cut where there is a place beside it
        assert one.endswith(("\n", " ")) or not set(one) & {"\n", " "}


def test_a_mistake_in_a_long_text_file_has_the_same_place_as_in_a_short_one(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    path.write_bytes(b"a line\n" * 50 + b"caf\xe9\n" + b"a line\n" * 50)
    with pytest.raises(ValueError, match="byte 0xe9 at offset 353, line 51") as whole:
        read(path)
    monkeypatch.setattr(readers, "_WHOLE_BYTES", 20)
    monkeypatch.setattr(readers, "PIECE_BYTES", 30)
    with pytest.raises(ValueError) as in_pieces:
        read(path)
    assert str(in_pieces.value) == str(whole.value)


def test_parquet(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    table = pyarrow.table({"text": ["first words", None, " \n", "last words"], "n": [1, 2, 3, 4]})
    parquet.write_table(table, tmp_path / "a.parquet")
    assert read(tmp_path / "a.parquet") == ["first words", "last words"]
    parquet.write_table(pyarrow.table({"story": ["x"]}), tmp_path / "b.parquet")
    with pytest.raises(ValueError, match="no column 'text', only story"):
        read(tmp_path / "b.parquet")
    parquet.write_table(pyarrow.table({"text": [5]}), tmp_path / "n.parquet")
    with pytest.raises(ValueError, match="column 'text' holds int64, not text"):
        read(tmp_path / "n.parquet")
    (tmp_path / "c.parquet").write_bytes(b"not parquet at all")
    with pytest.raises(ValueError, match="damaged or not a parquet file"):
        read(tmp_path / "c.parquet")


def test_parquet_without_pyarrow_names_the_extra(tmp_path, monkeypatch):
    (tmp_path / "a.parquet").write_bytes(b"x")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ValueError, match="python -m pip install pyarrow"):
        read(tmp_path / "a.parquet")


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("a.txt", b"caf\xe9\n", "not UTF-8: byte 0xe9 at offset 3, line 1"),
        ("a.txt", b"one\ntwo\ncaf\xe9\n", "not UTF-8: byte 0xe9 at offset 11, line 3"),
        ("a.txt", b"\x89PNG\r\n\x1a\n\0\0\0", "binary file"),
        ("a.txt", "text".encode("utf-16"), "is UTF-16, not"),
        ("a.txt", "text".encode("utf-32"), "is UTF-32, not UTF-8; save it as UTF-8: iconv -f UTF-32"),
        ("a.jsonl", b"\0\0\xfe\xff" + "text".encode("utf-32-be"), "is UTF-32, not"),
        ("a.jsonl", b'[{"text": "a"}]', "line 1 is a list.*; name a file that is one JSON array .json"),
        ("a.jsonl", b'{"text": "ok"}\n{"body": "no"}\n', "line 2 has no key 'text', only body"),
        ("a.jsonl", b'{"text": "ok"}\n\n{"text": \n', "line 3 is not JSON"),
        ("a.jsonl", b'["text"]\n', "line 1 is a list"),
        ("a.jsonl", b'{"text": 5}\n', "line 1: 'text' is a int"),
        ("a.jsonl", b'{"text": "ok"}\n{"text": "caf\xe9"}', "byte 0xe9 at offset 28, line 2"),
    ],
)
def test_bad_files_name_the_place_and_the_remedy(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        read(tmp_path / name)
    assert "\n" not in str(caught.value)


# -- files by name --


def test_files_by_name_folder_and_pattern(tmp_path):
    for name in ("b.jsonl", "a.JSONL", "c.txt", "deep/d.jsonl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("", encoding="utf-8")

    def names(source):
        return [path.name for path in find_files(str(source), ROW_SUFFIXES, "preferences", "with rows")]

    assert names(tmp_path / "b.jsonl") == ["b.jsonl"]
    assert names(tmp_path) == ["a.JSONL", "b.jsonl", "d.jsonl"]
    assert names(tmp_path / "b*.jsonl") == ["b.jsonl"]  # on Windows *.jsonl means a.JSONL too
    for missing in ("c.txt", "no.jsonl", "x*"):
        with pytest.raises(ValueError, match=r"^preferences '.*': no \.jsonl file is there; .* with rows$"):
            names(tmp_path / missing)


# -- comparisons --

ASK = {"role": "user", "content": "Who?"}
GOOD, BAD = {"role": "assistant", "content": "Ada."}, {"role": "assistant", "content": "你"}
SYSTEM = {"role": "system", "content": "Be brief."}
EARLIER = [ASK, GOOD, {"role": "user", "content": "And then?"}]


def comparisons(tmp_path, *rows):
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return list(read_comparisons(path))


@pytest.mark.parametrize(
    "row, prompt",
    [
        ({"prompt": "Who?", "chosen": "Ada.", "rejected": "你"}, [ASK]),
        ({"prompt": [SYSTEM, ASK], "chosen": "Ada.", "rejected": "你"}, [SYSTEM, ASK]),
        ({"prompt": EARLIER, "chosen": "Ada.", "rejected": "你"}, EARLIER),
        ({"chosen": [ASK, GOOD], "rejected": [ASK, BAD]}, [ASK]),
        ({"chosen": [*EARLIER, GOOD], "rejected": [*EARLIER, BAD]}, EARLIER),
        ({"prompt": "Who?", "chosen": [GOOD], "rejected": [BAD]}, [ASK]),
        ({"prompt": [SYSTEM, ASK], "chosen": [GOOD], "rejected": [BAD]}, [SYSTEM, ASK]),
        ({"prompt": "Who?", "chosen": [ASK, GOOD], "rejected": [ASK, BAD]}, [ASK]),
        ({"prompt": EARLIER, "chosen": [*EARLIER, GOOD], "rejected": [*EARLIER, BAD]}, EARLIER),
        ({"prompt": [SYSTEM], "chosen": [ASK, GOOD], "rejected": [ASK, BAD]}, [SYSTEM, ASK]),
        ({"prompt": "Who?", "answers": ["Ada.", "你"], "ranks": [0, 1]}, [ASK]),
    ],
)
def test_every_usual_form_of_a_pair(tmp_path, row, prompt):
    """The prompt apart, in front of both answers, or (as in UltraFeedback) both."""
    (read_one,) = comparisons(tmp_path, row | {"score_chosen": 4.5, "source": "me"})
    assert list(read_one["prompt"]) == prompt
    assert read_one["answers"] == ("Ada.", "你") and read_one["ranks"] == (0, 1)
    assert read_one["gold"] == () and read_one["family"] == ""


def test_other_keys_of_messages_are_left_out(tmp_path):
    ask, good, bad = ({**message, "weight": number} for number, message in enumerate((ASK, GOOD, BAD)))
    row = {"prompt": [ask], "chosen": [{**ask, "weight": 5}, good], "rejected": [ask, bad]}
    assert comparisons(tmp_path, row)[0]["prompt"] == (ASK,)


def test_ranked_answers_with_ties_and_gold(tmp_path):
    row = {"prompt": "Who?", "answers": ["a", "b", "c"], "ranks": [1, 0, 1], "gold": [0.5, 1, 0.25]}
    (read_one,) = comparisons(tmp_path, row | {"family": "world"})
    assert read_one["ranks"] == (1, 0, 1) and read_one["gold"] == (0.5, 1, 0.25)
    assert read_one["family"] == "world"
    assert comparisons(tmp_path, row | {"gold": [1.0]})[0]["gold"] == ()
    assert comparisons(tmp_path, row | {"gold": None})[0]["gold"] == ()


RANKED = {"prompt": "Who?", "answers": ["a", "b"], "ranks": [0, 1]}
PAIR = {"prompt": "Who?", "chosen": "a", "rejected": "b"}


@pytest.mark.parametrize(
    "row, message",
    [
        ({"prompt": "Who?", "chosen": "a"}, "there is no key 'rejected'"),
        ({"prompt": "Who?", "rejected": "a"}, "has no key 'chosen' or 'answers', only prompt, rejected"),
        ({"chosen": "a", "rejected": "b"}, "there is no key 'prompt'; write a line such as"),
        ({**PAIR, "prompt": 5}, "messages is a int"),
        ({**PAIR, "prompt": []}, "the conversation has no messages"),
        (
            {**PAIR, "prompt": [ASK, GOOD]},
            "ends with a message of the assistant; it must end with the user's",
        ),
        ({**PAIR, "chosen": 5}, r"the answers are \[5, 'b'\]; each must be a text"),
        ({**PAIR, "chosen": [GOOD]}, "each must be a text"),
        ({**PAIR, "chosen": "\ud800"}, r"messages\[1\] cannot be encoded"),
        ({"prompt": 5, "chosen": [GOOD], "rejected": [BAD]}, "messages is a int"),
        ({"prompt": "Who?", "chosen": [], "rejected": []}, "it must end with the assistant's"),
        ({"chosen": [], "rejected": []}, "the conversation has no messages"),
        ({"chosen": [GOOD], "rejected": [BAD]}, r"messages\[0\] is the assistant's"),
        ({"chosen": [ASK], "rejected": [ASK]}, "ends with a message of the user; it must end with the assis"),
        ({"chosen": [ASK, GOOD], "rejected": [{**ASK, "content": "?"}, BAD]}, "give both the same prompt"),
        ({"chosen": [ASK, GOOD], "rejected": [*EARLIER, BAD]}, "give both the same prompt"),
        ({"prompt": "Why?", "chosen": [ASK, GOOD], "rejected": [ASK, BAD]}, r"messages\[1\] is the user's"),
        ({"chosen": [ASK, "a"], "rejected": [ASK, BAD]}, r"messages\[1\] is 'a'"),
        ({**RANKED, "answers": "ab"}, "the answers are 'ab'; each must be a text"),
        ({**RANKED, "ranks": [0]}, r"the ranks are \[0\]; give a whole number for each answer"),
        ({**RANKED, "ranks": [0, 1.5]}, "the ranks are"),
        ({**RANKED, "ranks": [False, True]}, "the ranks are"),
        ({**RANKED, "ranks": [-1, 0]}, r"the ranks are \[-1, 0\]"),
        ({**RANKED, "ranks": None}, "the ranks are None"),
        ({**RANKED, "ranks": [1, 1]}, "no answer is ranked above another; give at least two different ranks"),
        ({"answers": ["a", "b"], "ranks": [0, 1]}, "messages is a NoneType"),
    ],
)
def test_what_is_no_comparison_is_named_with_its_line(tmp_path, row, message):
    with pytest.raises(ValueError, match=message) as caught:
        comparisons(tmp_path, PAIR, row)
    assert f"{tmp_path / 'pairs.jsonl'}, line 2" in str(caught.value) and "\n" not in str(caught.value)


# -- other kinds of files --

TALK = {"messages": [ASK, GOOD]}
KINDS = {
    "texts": ({"text": "words \u2713"}, lambda path: read(path), "words \u2713"),
    "talks": (TALK, lambda path: list(read_conversations(path)), [ASK, GOOD]),
    "pairs": (PAIR, lambda path: [row["answers"] for row in read_comparisons(path)], ("a", "b")),
}


def as_bytes(form: str, row: dict) -> bytes:
    one = json.dumps(row, ensure_ascii=False)
    return {
        "lf.jsonl": f"{one}\n{one}\n\n{one}",
        "cr.jsonl": f"{one}\r{one}\r\r{one}\r",
        "crlf.jsonl": f"{one}\r\n{one}\r\n\r\n{one}",
        "mark.jsonl": f"\ufeff{one}\n{one}\n{one}",
        "lines.json": f"{one}\n{one}\n{one}\n",
        "array.json": f"\ufeff [{one},{one}\n,\r\n {one} ]\n",
        "indented.JSON": json.dumps([row] * 3, indent=2),
    }[form].encode()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "form", ["lf.jsonl", "cr.jsonl", "crlf.jsonl", "mark.jsonl", "lines.json", "array.json", "indented.JSON"]
)
def test_every_reader_reads_every_form_of_json(tmp_path, kind, form):
    row, read_all, expected = KINDS[kind]
    (tmp_path / form).write_bytes(as_bytes(form, row))
    assert read_all(tmp_path / form) == [expected] * 3


def arrow_types(pyarrow):
    plain, large, view = pyarrow.string(), pyarrow.large_string(), pyarrow.string_view()
    return [plain, large, view, pyarrow.dictionary(pyarrow.int32(), plain)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("number", range(4))
def test_every_reader_reads_every_kind_of_text_in_a_table(tmp_path, kind, number):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    text = arrow_types(pyarrow)[number]
    row, read_all, expected = KINDS[kind]
    messages = pyarrow.list_(pyarrow.struct([("role", text), ("content", text), ("name", pyarrow.null())]))
    n = 1 if kind == "talks" else 3  # pyarrow cannot write more lists of views
    types = {key: messages if isinstance(value, list) else text for key, value in row.items()}
    columns = {key: pyarrow.array([value] * n, types[key]) for key, value in row.items()}
    columns["other"] = pyarrow.array([1, 2, 3][:n])
    parquet.write_table(pyarrow.table(columns), tmp_path / "a.parquet")
    assert read_all(tmp_path / "a.parquet") == [expected] * n


def test_a_category_of_pandas_is_text(tmp_path):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    frame = pandas.DataFrame({"text": pandas.Categorical(["one", "two", None, "one"])})
    frame.to_parquet(tmp_path / "a.parquet")
    assert read(tmp_path / "a.parquet") == ["one", "two", "one"]


def test_rows_of_a_table_that_cannot_be_used_are_named(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")

    def refusal(read_all, **columns):
        parquet.write_table(pyarrow.table(columns), tmp_path / "a.parquet")
        with pytest.raises(ValueError) as caught:
            list(read_all(tmp_path / "a.parquet"))
        assert "\n" not in str(caught.value)
        return str(caught.value)

    asked = {"prompt": ["Who?", "Who?"], "chosen": ["a", None], "rejected": ["b", "c"]}
    assert "a.parquet, row 2: the answers are [None, 'c']" in refusal(read_comparisons, **asked)
    talks = [[ASK, GOOD], [ASK]]
    assert "a.parquet, row 2: there is no message of the assistant" in refusal(
        read_conversations, messages=talks
    )
    assert "has no column 'messages', 'conversations', 'completion' or 'output', only text" in refusal(
        read_conversations, text=["a"]
    )
    bad = pyarrow.array([b"fine", b"caf\xe9"], pyarrow.binary())
    broken = pyarrow.Array.from_buffers(
        pyarrow.string(), 2, bad.buffers()
    )  # bytes that are no text, unchecked
    assert "a.parquet, row 2: its text is not UTF-8" in refusal(
        lambda path: read_documents(path, "text"), text=broken
    )


def test_a_null_is_no_text_in_every_kind_of_file(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = [{"text": "one"}, {"text": None}, {"text": " "}, {"text": "two"}]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (tmp_path / "a.json").write_text(json.dumps(rows), encoding="utf-8")
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "a.parquet")
    parquet.write_table(pyarrow.table({"text": pyarrow.nulls(3)}), tmp_path / "none.parquet")
    assert all(read(tmp_path / f"a.{kind}") == ["one", "two"] for kind in ("jsonl", "json", "parquet"))
    assert read(tmp_path / "none.parquet") == []


@pytest.mark.parametrize(
    "content, message",
    [
        ('[{"text": "a"},\n{"text": 5}]', "line 2: 'text' is a int"),
        (
            '[\n\n{"text": "a"},\n\n\n  {"body": 5}]',
            "line 6 has no key 'text', only body; each element must be",
        ),
        ('[{"text": "a"},\n["text"]]', "line 2 is a list"),
        ('[{"text": "a"},\n{"text": b}]', "line 2 is not JSON .Expecting value, column 10"),
        ('[{"text": "a"}\n{"text": "b"}]', r"line 2 is not JSON .Expecting ',' or '\]', column 1"),
        ('[{"text": "a"},\n]', "line 2 is not JSON"),
        ('[{"text": "a"}', "line 1 is not JSON"),
        ('[{"text": "a"}]\nx', "line 2 is not JSON .Extra data"),
        ("[" * 100_000, "line 1 is not JSON .*recursion"),
        ('{\n"text": "a"}', "line 1 is not JSON .*; or write one array of them"),
        (
            '[{"text": "a"},\n{"text": "\\ud800"}]',
            r"line 2: 'text' cannot be encoded: text holds the lone surr",
        ),
    ],
)
def test_mistakes_in_an_array_have_a_line(tmp_path, content, message):
    (tmp_path / "a.json").write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=message) as caught:
        read(tmp_path / "a.json")
    assert "a.json" in str(caught.value) and "\n" not in str(caught.value)


def test_an_empty_array_and_an_array_of_lines(tmp_path):
    (tmp_path / "a.json").write_text(" [ ] ", encoding="utf-8")
    assert read(tmp_path / "a.json") == []
    (tmp_path / "a.jsonl").write_text('[\n{"text": "a"}\n]\n', encoding="utf-8")
    with pytest.raises(ValueError, match="line 1 is not JSON .*; name a file that is one JSON array .json"):
        read(tmp_path / "a.jsonl")


@pytest.mark.parametrize(
    "content, encoding",
    [
        (b"He said \x93yes\x94.\n", "WINDOWS-1252"),
        (b"caf\xe9, he said \x93yes\x94\n", "WINDOWS-1252"),
        (b"5 \x80", "WINDOWS-1252"),
        (b"caf\xe9\n", "ISO-8859-1"),
        ("\u201cok\u201d ".encode() + b"caf\xe9\n", "ISO-8859-1"),  # these bytes belong to UTF-8
    ],
)
def test_the_encoding_that_is_advised_gives_the_text_back(tmp_path, content, encoding):
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(ValueError, match=f"iconv -f {encoding} -t UTF-8"):
        read(tmp_path / "a.txt")


def test_lines_of_an_old_mac(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"one\rtwo\r")
    (tmp_path / "b.txt").write_bytes(b"one\rtwo\n")
    assert read(tmp_path / "a.txt") == ["one\ntwo\n"] and read(tmp_path / "b.txt") == ["one\rtwo\n"]


def test_an_end_of_text_mark_ends_a_document_of_a_text_file(tmp_path, monkeypatch):
    stories = ["One day.\nIt rained.", "Two days.", "x" * 40, "Four."]
    for name, between in (("lines", "\n<|endoftext|>\n"), ("marks", "<|endoftext|>")):
        (tmp_path / f"{name}.txt").write_text(between.join(stories) + between, encoding="utf-8")
        reading = Reading()
        assert list(read_documents(tmp_path / f"{name}.txt", "text", reading)) == stories
        assert reading.n_marks == 4
    (tmp_path / "about.md").write_text("The mark <|endoftext|> ends a text.", encoding="utf-8")
    assert read(tmp_path / "about.md") == ["The mark <|endoftext|> ends a text."]
    monkeypatch.setattr(readers, "_WHOLE_BYTES", 20)
    monkeypatch.setattr(readers, "PIECE_BYTES", 60)
    assert read(tmp_path / "lines.txt") == stories  # pieces end with a story


# -- rows that are left out --


@pytest.mark.parametrize("kind", KINDS)
def test_bad_rows_are_left_out_on_request_and_counted(tmp_path, kind):
    row, read_all, expected = KINDS[kind]
    one = json.dumps(row).encode()
    bad = [b"5", b"{", b'{"other": 1}', b'{"text": 5, "messages": 5, "chosen": 5}', b'{"a": "caf\xe9"}']
    bad.append(
        json.dumps(row)
        .replace('"words \\u2713"', '"\\ud800"')
        .replace("Ada.", "\\udfff")
        .replace('"a"', '"\\ud9ff"')
        .encode()
    )
    (tmp_path / "a.jsonl").write_bytes(b"\n".join([one, *bad, one]))
    with pytest.raises(ValueError, match="line 2 is a int"):
        read_all(tmp_path / "a.jsonl")
    reading = Reading(skip_bad=True)
    reader = {"texts": lambda path, reading: read_documents(path, "text", reading)} | {
        "talks": read_conversations,
        "pairs": read_comparisons,
    }
    assert len(list(reader[kind](tmp_path / "a.jsonl", reading))) == 2
    assert reading.n_bad == len(bad) and "line 2 is a int" in reading.first_bad
    assert "6 of 8 rows are left out" in reading.told("rows", "a.jsonl", 2)


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)


@settings(deadline=None, max_examples=400)
@given(
    rows=st.lists(st.dictionaries(st.text(max_size=3), _values, max_size=2), max_size=3),
    indent=st.sampled_from([None, 0, 2]),
    cut=st.integers(0, 60),
    put=st.sampled_from(["", ",", "]", "[", "{", "x", " ", "\n", '"']),
)
def test_an_array_is_what_the_json_module_says(rows, indent, cut, put, tmp_path_factory):
    """Whole, or with something in it deleted or put in: the same elements, or refused by both."""
    text = json.dumps(rows, indent=indent)
    text = text[: cut + 1] + put + text[cut + 1 + (not put) :]
    path = tmp_path_factory.mktemp("array") / "a.json"
    path.write_text(text, newline="", encoding="utf-8")
    try:
        expected = json.loads(text)
    except ValueError:
        with pytest.raises(ValueError, match="is not JSON"):
            list(readers._array(path, "expected"))
    else:
        assert [row for _, row in readers._array(path, "expected")] == expected
