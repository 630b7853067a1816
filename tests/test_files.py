"""Files: whole or not at all, and errors that say what to do."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat

import pytest

from minillm import files


def test_write_atomic_makes_folders_and_returns_the_path(tmp_path):
    path = files.write_atomic(tmp_path / "a" / "b" / "text.txt", "zwölf 十二")
    assert path.read_bytes() == "zwölf 十二".encode()
    assert files.write_atomic(path, b"\x00\xff").read_bytes() == b"\x00\xff"
    assert [p.name for p in path.parent.iterdir()] == ["text.txt"]


def test_written_files_have_ordinary_permissions(tmp_path):
    reference = tmp_path / "reference"
    reference.write_text("x", encoding="utf-8")
    written = files.write_atomic(tmp_path / "written", "x")
    assert stat.S_IMODE(written.stat().st_mode) == stat.S_IMODE(reference.stat().st_mode)


def test_json_round_trip(tmp_path):
    value = {"step": 3, "name": "Müller", "list": [1.5, None, True]}
    path = files.write_json(tmp_path / "value.json", value)
    assert files.read_json(path) == value
    assert "Müller" in path.read_text(encoding="utf-8")


def test_json_refuses_nan_and_keeps_the_old_file(tmp_path):
    path = files.write_json(tmp_path / "value.json", 1)
    with pytest.raises(ValueError, match="JSON"):
        files.write_json(path, float("nan"))
    assert files.read_json(path) == 1


@pytest.mark.parametrize("content", [b'{"a": ', b"\xff\xfe", b""])
def test_damaged_json_is_named(tmp_path, content):
    path = tmp_path / "bad.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="bad.json is not valid JSON"):
        files.read_json(path)


def test_sha256_equals_hashlib(tmp_path):
    content = os.urandom((1 << 20) + 17)  # more than one chunk
    path = files.write_atomic(tmp_path / "random", content)
    assert files.sha256_file(path) == hashlib.sha256(content).hexdigest() == files.sha256_bytes(content)


def test_full_disk_keeps_the_old_file_and_says_so_in_one_line(tmp_path, monkeypatch):
    path = files.write_atomic(tmp_path / "kept.txt", "old")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(
        OSError, match="cannot write .*kept.txt: no space left on the disk; free some"
    ) as caught:
        files.write_atomic(path, "new")
    assert caught.value.errno == errno.ENOSPC and "\n" not in str(caught.value)
    assert path.read_text(encoding="utf-8") == "old" and [p.name for p in tmp_path.iterdir()] == ["kept.txt"]
    with pytest.raises(OSError, match="no space left"):
        files.append_text(tmp_path / "log.txt", "line\n")


def test_an_unwritable_place_is_named(tmp_path):
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(OSError, match=re.escape(f"cannot write {tmp_path / 'file' / 'inside'}: ")):
        files.write_atomic(tmp_path / "file" / "inside", "y")


def test_an_interrupted_write_leaves_nothing(tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        files.write_atomic(tmp_path / "x.bin", b"half")
    assert list(tmp_path.iterdir()) == []


def test_append_text_adds(tmp_path):
    path = tmp_path / "folder" / "log.jsonl"
    files.append_text(path, "a\n")
    files.append_text(path, "b\n")
    assert path.read_bytes() == b"a\nb\n"


def test_remove_is_content_with_nothing(tmp_path):
    path = files.write_atomic(tmp_path / "x", "x")
    files.remove(path)
    files.remove(path)
    assert not path.exists()


@pytest.mark.long_names
def test_names_as_long_as_the_file_system_allows(tmp_path):
    for name in ("a" * 255, "茶" * 85):
        assert files.write_atomic(tmp_path / name, "x").read_text(encoding="utf-8") == "x"


def test_a_lone_surrogate_is_written_as_an_escape_that_json_reads_back(tmp_path):
    path = files.write_json(tmp_path / "value.json", {"corpus": "caf\udce9.txt"})
    assert files.read_json(path) == {"corpus": "caf\udce9.txt"}
    files.append_text(tmp_path / "log.txt", "\udce9\n")
    assert (tmp_path / "log.txt").read_bytes() == b"\\udce9\n"


def test_a_lock_is_held_by_one(tmp_path):
    waited = []
    with files.locked(tmp_path / "stage") as first, files.locked(tmp_path / "stage", wait=False) as second:
        assert first is True and second is False and not waited
    with files.locked(tmp_path / "stage", wait=False, waiting=lambda: waited.append(True)) as third:
        assert third is True and not waited


@pytest.mark.parametrize(
    "error", [NotImplementedError("no flock"), OSError(errno.ENOLCK, "No locks available")]
)
def test_without_locks_the_work_is_done_and_that_is_told(tmp_path, monkeypatch, caplog, error):
    def acquire(*_, **__):
        raise error

    monkeypatch.setattr(files.FileLock, "acquire", acquire)
    with files.locked(tmp_path / "stage") as held:
        assert held is True
    assert "this file system has no locks; let only one program train here at a time" in caplog.text


def test_a_lock_file_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with (
        pytest.raises(OSError, match=r"cannot write .*stage\.lock"),
        files.locked(tmp_path / "file" / "stage"),
    ):
        pass
