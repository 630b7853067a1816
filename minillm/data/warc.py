"""WARC files, in which crawlers keep what servers sent them: written, read, and turned into text.

A WARC file (ISO 28500) is a row of records. Each has some lines of headers and a body; in a `response` record the body
is the answer of a server, with its own headers and then the page. In `.warc.gz` each record is compressed by itself,
so that one of a billion can be read without the others.
"""

from __future__ import annotations

import gzip
import uuid
import zlib
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from minillm.data.web import Page

__all__ = [
    "WARC_SUFFIXES",
    "Response",
    "extract_text",
    "extraction_version",
    "is_warc",
    "read_warc",
    "warc_texts",
    "write_warc",
]

WARC_SUFFIXES = (".warc", ".warc.gz")
INSTALL = "python -m pip install warcio trafilatura lxml-html-clean"
_HTML = ("text/html", "application/xhtml+xml")
_FIRST_DAY = datetime(2031, 4, 1, tzinfo=UTC)  # of the crawl that `write_warc` pretends


class Response(NamedTuple):
    """What one record holds."""

    id: str  # of the record
    url: str  # of the page
    html: str  # the page


def is_warc(path: Path) -> bool:
    """Whether a file is a WARC file by its name."""
    return path.name.lower().endswith(WARC_SUFFIXES)


def write_warc(path: Path, pages: Iterable[Page]) -> None:
    """Write pages as a crawler would: a `warcinfo` record, then a `response` record for each; the same bytes each time.

    Raises:
        ValueError: `warcio` is not installed.
    """
    writers, headers = _warcio("warcio.warcwriter", path), _warcio("warcio.statusandheaders", path)
    with open(path, "wb") as file:
        writer = writers.WARCWriter(file, gzip=path.name.endswith(".gz"))
        info = {"software": "minillm", "format": "WARC File Format 1.0"}
        first = writer.create_warcinfo_record(path.name, info)
        for name, value in _fixed(0).items():
            first.rec_headers.replace_header(name, value)
        writer.write_record(first)
        for number, page in enumerate(pages, start=1):
            answer = headers.StatusAndHeaders(
                "200 OK", [("Content-Type", "text/html; charset=utf-8")], protocol="HTTP/1.1"
            )
            record = writer.create_warc_record(
                page.url,
                "response",
                payload=BytesIO(page.html.encode("utf-8")),
                http_headers=answer,
                warc_headers_dict=_fixed(number) | {"WARC-Identified-Payload-Type": "text/html"},
            )
            writer.write_record(record)


def read_warc(path: Path) -> Iterator[Response]:
    """The pages of a WARC file: the `response` records that hold HTML, in their order.

    Bytes that are no text are replaced by "\ufffd".

    Raises:
        ValueError: `warcio` is not installed, or the file is damaged or no WARC file.
    """
    iterators, errors = _warcio("warcio.archiveiterator", path), _warcio("warcio.exceptions", path)
    found = False
    with open(path, "rb") as file:
        try:
            _check_whole(path)
            for record in iterators.ArchiveIterator(file):
                found = True
                if (
                    record.format != "warc"
                ):  # what else may be in the file is read as a record of an older kind
                    raise errors.ArchiveLoadFailed("no line WARC/1.0 at its beginning")
                if record.rec_type == "response" and _is_html(record):
                    page = record.content_stream().read().decode("utf-8", "replace")
                    if getattr(record.raw_stream, "limit", 0):  # bytes that are promised and not there
                        raise errors.ArchiveLoadFailed("it ends inside a record")
                    headers = record.rec_headers
                    yield Response(
                        headers.get_header("WARC-Record-ID") or "",
                        headers.get_header("WARC-Target-URI") or "",
                        page,
                    )
        except (errors.ArchiveLoadFailed, EOFError, OSError, zlib.error) as error:
            reason = " ".join(str(error).split())[:100]
            raise ValueError(
                f"{path} is damaged or not a WARC file ({reason}); fetch it again, or name it otherwise"
            ) from error
    if not found:
        raise ValueError(f"{path} has no records; give a WARC file with pages")


def warc_texts(path: Path) -> Iterator[str]:
    """The main text of each page of a WARC file that has some.

    Raises:
        ValueError: `warcio` or `trafilatura` is not installed, or as `read_warc`.
    """
    return (text for page in read_warc(path) if (text := extract_text(page.html, path)))


def extract_text(html: str, path: Path | str = "a WARC file") -> str:
    """The main text of a page, by trafilatura, or "" where there is none; `path` is named if that is not installed."""
    try:
        import trafilatura
    except ImportError:
        raise ValueError(f"{path} needs the package `trafilatura`: {INSTALL}") from None
    return trafilatura.extract(html, favor_precision=True, include_comments=False) or ""


def extraction_version() -> str:
    """What decides the text of a page."""
    try:
        import trafilatura
    except ImportError:
        raise ValueError(f"WARC files need the package `trafilatura`: {INSTALL}") from None
    return f"trafilatura {trafilatura.__version__}"


def _check_whole(path: Path) -> None:
    """Read a compressed file to its end, as the library takes a file that was cut off for one that ends; or raise."""
    with open(path, "rb") as file:
        if file.read(2) != b"\x1f\x8b":
            return
    with gzip.open(path, "rb") as packed:
        while packed.read(1 << 20):
            pass


def _warcio(module: str, path: Path) -> Any:
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError:
        raise ValueError(f"{path} needs the package `warcio`: {INSTALL}") from None


def _fixed(number: int) -> dict[str, str]:
    """What else would be drawn at random or read from the clock, for a record."""
    date = _FIRST_DAY + timedelta(seconds=number)
    return {
        "WARC-Record-ID": f"<urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'minillm/{number}')}>",
        "WARC-Date": date.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def _is_html(record: Any) -> bool:
    kind = record.rec_headers.get_header("WARC-Identified-Payload-Type")
    if kind is None and record.http_headers is not None:
        kind = record.http_headers.get_header("Content-Type", "")
    return (kind or "").partition(";")[0].strip().lower() in _HTML
