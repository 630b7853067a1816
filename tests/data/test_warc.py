"""WARC files: written as others read them, read as others write them, and one clear line where that fails."""

from __future__ import annotations

import gzip
import sys
from io import BytesIO

import pytest
from warcio.archiveiterator import ArchiveIterator
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from minillm.data.corpora import open_corpus
from minillm.data.file_corpus import FileCorpus
from minillm.data.readers import read_documents, suffix_of
from minillm.data.warc import extract_text, is_warc, read_warc, warc_texts, write_warc
from minillm.data.web import dirty_web

WEB = dirty_web(60, seed=1)


def others_file(path, records):
    """A WARC file written by the library alone: (type, address, content type, body)."""
    with open(path, "wb") as file:
        writer = WARCWriter(file, gzip=path.suffix == ".gz")
        for kind, url, content_type, body in records:
            headers = StatusAndHeaders("200 OK", [("Content-Type", content_type)], protocol="HTTP/1.1")
            http = headers if kind == "response" else None
            writer.write_record(
                writer.create_warc_record(url, kind, payload=BytesIO(body), http_headers=http)
            )


@pytest.mark.parametrize("name", ["a.warc", "a.warc.gz"])
def test_what_is_written_is_what_the_library_reads(tmp_path, name):
    write_warc(tmp_path / name, WEB)
    with open(tmp_path / name, "rb") as file:
        records = [
            (r.rec_type, r.rec_headers.get_header("WARC-Target-URI"), r.content_stream().read())
            for r in ArchiveIterator(file)
        ]
    assert records[0][0] == "warcinfo"
    assert [record[1:] for record in records[1:]] == [(page.url, page.html.encode()) for page in WEB]


def test_the_same_pages_give_the_same_bytes_and_each_record_is_compressed_alone(tmp_path):
    for name in ("one.warc.gz", "two.warc.gz"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
    one, two = tmp_path / "a" / "x.warc.gz", tmp_path / "b" / "x.warc.gz"
    for path in (one, two):
        path.parent.mkdir()
        write_warc(path, WEB)
    assert one.read_bytes() == two.read_bytes()
    assert one.read_bytes().count(b"\x1f\x8b\x08") >= len(WEB)


def test_reading_gives_the_pages_back(tmp_path):
    write_warc(tmp_path / "a.warc.gz", WEB)
    found = list(read_warc(tmp_path / "a.warc.gz"))
    assert [(page.url, page.html) for page in found] == [(page.url, page.html) for page in WEB]
    assert len({page.id for page in found}) == len(WEB)


def test_only_answers_that_are_pages_are_read(tmp_path):
    page = b"<html><body><p>caf\xe9</p></body></html>"
    others_file(
        tmp_path / "a.warc",
        [
            ("response", "http://example.org/picture", "image/png", b"\x89PNG"),
            ("request", "http://example.org/asked", "text/html", b"GET / HTTP/1.1\r\n\r\n"),
            ("response", "http://example.org/page", "Text/HTML; charset=latin-1", page),
        ],
    )
    (found,) = read_warc(tmp_path / "a.warc")
    assert found.url == "http://example.org/page" and "caf\ufffd" in found.html


def test_the_text_of_a_page_is_its_main_text():
    for page in WEB[:20]:
        assert extract_text(page.html) == page.text


def test_a_crawl_is_a_corpus(tmp_path):
    write_warc(tmp_path / "pages.warc.gz", WEB)
    texts = [page.text for page in WEB if page.text]
    assert list(read_documents(tmp_path / "pages.warc.gz", "text")) == texts
    corpus = open_corpus(tmp_path / "pages.warc.gz")
    assert isinstance(corpus, FileCorpus)
    both = [*corpus.documents("train"), *corpus.documents("validation")]
    assert sorted(both) == sorted(texts)
    assert corpus.settings()["extraction"].startswith("trafilatura ")
    assert list(open_corpus(tmp_path).documents("train")) == list(corpus.documents("train")), "a folder"


def test_settings_of_other_files_do_not_know_of_extraction(tmp_path):
    (tmp_path / "a.txt").write_text("a line\n" * 50, encoding="utf-8")
    assert "extraction" not in open_corpus(tmp_path / "a.txt").settings()


def test_kinds_of_file_are_told_by_their_ends(tmp_path):
    names = {"a.warc": ".warc", "A.WARC.GZ": ".warc.gz", "a.gz": ".gz", "a.txt": ".txt", "a.warc.txt": ".txt"}
    assert {name: suffix_of(tmp_path / name) for name in names} == names
    assert [is_warc(tmp_path / name) for name in names] == [True, True, False, False, False]
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"text"))
    with pytest.raises(ValueError, match=r"a.gz is of an unknown format; allowed are .*\.warc, \.warc\.gz"):
        open_corpus(tmp_path / "a.gz")


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("a.warc", b"just some text, no records\n" * 5, "a.warc is damaged or not a WARC file"),
        ("a.warc.gz", b"no gzip at all" * 9, "a.warc.gz is damaged or not a WARC file"),
        (
            "a.warc.gz",
            gzip.compress(b"", mtime=0)[:10] + b"\xff" * 30,
            "a.warc.gz is damaged or not a WARC file",
        ),
        ("a.warc", b"", "a.warc has no records"),
    ],
)
def test_what_is_no_warc_file_is_told_in_one_line(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        list(warc_texts(tmp_path / name))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["a.warc", "a.warc.gz"])
def test_a_file_that_was_cut_off_is_told(tmp_path, name):
    write_warc(tmp_path / name, WEB)
    whole = (tmp_path / name).read_bytes()
    for missing in (1, 7, 300, len(whole) // 2):
        if name == "a.warc" and missing != 300:
            continue  # nobody can tell whether a plain file ends after a record
        (tmp_path / name).write_bytes(whole[:-missing])
        with pytest.raises(ValueError, match=r"damaged or not a WARC file \("):
            list(warc_texts(tmp_path / name))


@pytest.mark.parametrize("package", ["warcio", "trafilatura"])
def test_a_missing_package_is_named_with_the_remedy(tmp_path, monkeypatch, package):
    write_warc(tmp_path / "a.warc.gz", WEB)
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(
        ValueError, match=f"a.warc.gz needs the package `{package}`: python -m pip install"
    ) as caught:
        list(warc_texts(tmp_path / "a.warc.gz"))
    assert "\n" not in str(caught.value)
