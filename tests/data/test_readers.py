"""Readers: the documents of a file, and the place of each mistake in it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from minillm.data.readers import read_documents


def read(path: Path) -> list[str]:
    return list(read_documents(path, "text"))


def test_one_document_per_text_file_line_or_row(tmp_path):
    (tmp_path / "a.md").write_text("one\n\ntwo")
    (tmp_path / "b.jsonl").write_text('{"text": "one", "n": 1}\n\n{"text": " "}\n{"text": "zw\u00f6lf"}')
    assert read(tmp_path / "a.md") == ["one\n\ntwo"]
    assert read(tmp_path / "b.jsonl") == ["one", "zw\u00f6lf"]


@pytest.mark.parametrize("content", [b"", b" \n\t \n"])
def test_blank_files_hold_no_document(tmp_path, content):
    (tmp_path / "a.txt").write_bytes(content)
    assert read(tmp_path / "a.txt") == []


def test_byte_order_mark_and_windows_line_ends_do_not_reach_the_text(tmp_path):
    (tmp_path / "a.txt").write_bytes("\ufeffone\r\ntwo\r\n".encode())
    assert read(tmp_path / "a.txt") == ["one\ntwo\n"]


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
    with pytest.raises(ValueError, match=r"minillm-course\[hub\]"):
        read(tmp_path / "a.parquet")


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("a.txt", b"caf\xe9\n", "not UTF-8: byte 0xe9 at offset 3, line 1"),
        ("a.txt", b"one\ntwo\ncaf\xe9\n", "not UTF-8: byte 0xe9 at offset 11, line 3"),
        ("a.txt", b"\x89PNG\r\n\x1a\n\0\0\0", "binary file"),
        ("a.txt", "text".encode("utf-16"), "UTF-16"),
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
