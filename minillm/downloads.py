"""Files from an address: over https, from this machine or from a folder; resumed, tried again, checked before use.

Python's own `urllib` does it: pooch does not resume, fsspec brings an asynchronous client, huggingface_hub knows one
place only. Proxies are those that the environment or the system names. Nothing that a server writes is shown.
"""

from __future__ import annotations

import ipaddress
import os
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException, HTTPMessage, HTTPResponse
from http.client import responses as STATUS
from pathlib import Path
from typing import IO, Any, TypeVar
from urllib import request as web
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlsplit
from urllib.request import url2pathname

from minillm.files import remove, replace, sha256_file, told_plainly, user_path

__all__ = ["Place", "UnavailableError", "download", "find_place", "read_small"]

Result = TypeVar("Result")
ALLOWED = "https://..., http://localhost:..., file:///..., hf://owner/name, or a folder"
HUB = "https://huggingface.co"
PAUSES = (1.0, 2.0, 4.0)  # seconds before the second and later tries of a file
SILENCE = 20.0  # seconds without a byte after which a try has failed
GRACE, SLOWEST = 60.0, 50_000  # seconds for one file, and bytes/second: together the longest that it may take
LONGEST_WAIT = 30.0  # seconds that a server may ask for before another try
REDIRECTS = 5
CHUNK = 1 << 16  # bytes
PASSING = (408, 425, 429, 500, 502, 503, 504)  # answers that may be others in a moment
_HUB_NAME = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*(?:@[\w.-]+)?(?:/[\w./-]+)?")


class UnavailableError(ValueError):
    """What was to be fetched is not there, cannot be reached, or is refused; the message is one line."""


class _PassingError(Exception):
    """A fault that may pass: another try is worth it, after `wait` seconds at least, or with the whole file `anew`."""

    def __init__(self, reason: str, wait: float = 0.0, *, anew: bool = False) -> None:
        super().__init__(reason)
        self.wait, self.anew = wait, anew


@dataclass(frozen=True)
class Place:
    """Where files are read: a folder, or an address of the web.

    Attributes:
        address: as it is told to people.
        folder: where it is one of this machine.
        url: where it is none; without a slash at its end.
    """

    address: str
    folder: Path | None = None
    url: str = ""


def find_place(address: str | Path) -> Place:
    """The place that an address means.

    Args:
        address: https, http on this machine, `file://`, `hf://owner/name[@revision][/folder]` (a model repository of
            the Hugging Face Hub or of $HF_ENDPOINT), or a folder.

    Raises:
        ValueError: another kind of address, or one with a user, a password, a query or a fragment.

    >>> find_place("hf://owner/name@v1").url
    'https://huggingface.co/owner/name/resolve/v1'
    """
    if isinstance(address, Path) or "://" not in address:
        return Place(str(address), folder=user_path(address))
    told = address.removesuffix("/manifest.json").rstrip("/")
    scheme, _, rest = told.partition("://")
    if scheme == "hf":
        if not _HUB_NAME.fullmatch(rest) or ".." in rest:
            raise ValueError(
                f"models from {told!r:.200}: write it as hf://owner/name or hf://owner/name@revision"
            )
        owner, name, *inside = rest.split("/")
        name, _, revision = name.partition("@")
        hub = os.environ.get("HF_ENDPOINT") or HUB
        return Place(
            told,
            url=_checked("/".join([hub.rstrip("/"), owner, name, "resolve", revision or "main", *inside])),
        )
    if scheme == "file":
        host, _, path = rest.partition("/")
        if host not in ("", "localhost"):
            raise ValueError(f"models from {told!r:.200}: a file of another machine; write file:///folder")
        return Place(told, folder=Path(url2pathname(f"/{path}")))
    return Place(told, url=_checked(told))


def _checked(url: str) -> str:
    """An address that may be asked, with what needs it escaped."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port  # a port that is no number is a ValueError
    except ValueError:
        raise ValueError(f"models from {url!r:.200}: this is no address; use {ALLOWED}") from None
    if parts.scheme == "http" and host and not _is_here(host):
        raise ValueError(f"models from {url!r:.200}: http is not safe but on this machine; use https")
    if parts.scheme not in ("http", "https") or not host:
        raise ValueError(f"models from {url!r:.200}: use {ALLOWED}")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError(f"models from {parts.scheme}://{host}/...: give it without user, password, ? and #")
    return f"{parts.scheme}://{parts.netloc}{quote(parts.path, safe='/%~:@!$&()*+,;=')}"


def _is_here(host: str) -> bool:
    """Whether a host is this machine."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def read_small(place: Place, path: str, limit: int) -> bytes:
    """The bytes of a small file; tried twice.

    Raises:
        UnavailableError: it is not there, cannot be reached, or has more than `limit` bytes.
    """

    def once() -> bytes:
        content, until = b"", time.monotonic() + GRACE
        for _, piece in _pieces(place, path, 0, limit, until, exact=False):
            content += piece
        return content

    return _with_patience(once, PAUSES[:1] if place.url else (), f"{place.address}/{path}")


def download(
    place: Place,
    path: str,
    size: int,
    sha256: str,
    target: Path,
    arrived: Callable[[int], object] = lambda position: None,
) -> None:
    """Bring one file; what arrived of it earlier, in `target` with `.part` behind its name, is gone on with.

    Args:
        place: where it is.
        path: below the place.
        size: bytes that it must have.
        sha256: its checksum, 64 hexadecimal digits.
        target: gets the file, whole and checked, or nothing.
        arrived: called with the bytes that are there.

    Raises:
        UnavailableError: it is not there, cannot be reached, comes too slowly, or is not the file that was promised.
        OSError: the disk is full or the folder cannot be written.
    """
    if target.is_file() and target.stat().st_size == size and sha256_file(target) == sha256:
        arrived(size)
        return
    part, what = target.with_name(f"{target.name}.part"), f"{place.address}/{path}"
    until = time.monotonic() + GRACE + size / SLOWEST
    with told_plainly(part):
        target.parent.mkdir(parents=True, exist_ok=True)
    resumed = False

    def once() -> None:
        with told_plainly(part):
            go_on()

    def go_on() -> None:
        nonlocal resumed
        begun = part.stat().st_size if part.is_file() else 0
        begun = 0 if begun > size else begun
        resumed = resumed or begun > 0
        part.touch()
        with open(part, "r+b") as file:
            file.truncate(begun)
            if begun < size:
                _write(file, _pieces(place, path, begun, size, until), arrived)
            file.flush()
            os.fsync(file.fileno())

    while True:
        _with_patience(once, PAUSES if place.url else (), what, until)
        if sha256_file(part) == sha256:
            replace(part, target)
            return
        remove(part)
        if not resumed:  # else the pieces may be of two versions of the file
            raise UnavailableError(f"{what} is not the file of its manifest: the checksum is another")
        resumed = False


def _write(file: IO[bytes], pieces: Iterator[tuple[int, bytes]], arrived: Callable[[int], object]) -> None:
    try:
        for offset, piece in pieces:
            file.seek(offset)
            if offset == 0:
                file.truncate()
            file.write(piece)
            arrived(offset + len(piece))
    except _PassingError as fault:
        if fault.anew:
            file.truncate(0)
        raise


def _with_patience(
    do: Callable[[], Result], pauses: tuple[float, ...], what: str, until: float = float("inf")
) -> Result:
    """Do it, several times where the fault may pass."""
    for pause in (*pauses, None):
        try:
            return do()
        except _PassingError as fault:
            wait = None if pause is None else max(pause, fault.wait)
            if wait is None or time.monotonic() + wait > until:
                raise UnavailableError(f"{what}: {fault}") from None
            time.sleep(wait)
    raise AssertionError("the last try returns or raises")


def _pieces(
    place: Place, path: str, start: int, size: int, until: float, *, exact: bool = True
) -> Iterator[tuple[int, bytes]]:
    """(offset, bytes) of a file from `start` on, or from its beginning where the server cannot begin later.

    Args:
        size: bytes of the whole file; the most that are read.
        until: when it must have come, by `time.monotonic`.
        exact: whether fewer bytes are a fault.
    """
    what = f"{place.address}/{path}"
    with _told(what), _opened(place, path, start) as (stream, offset, length):
        if length is not None and (offset + length > size or (exact and offset + length < size)):
            raise UnavailableError(
                f"{what} has {offset + length:,} bytes, not {size:,}" + ("" if exact else " at most")
            )
        promised = size if length is None and exact else offset + (length or 0)
        while piece := stream.read1(CHUNK):
            if offset + len(piece) > size:
                raise UnavailableError(f"{what} has more than {size:,} bytes")
            yield offset, piece
            offset += len(piece)
            if time.monotonic() > until:
                raise UnavailableError(f"{what} comes too slowly; try again later")
        if offset < promised:
            raise _PassingError("the connection was cut")


@contextmanager
def _opened(place: Place, path: str, start: int) -> Iterator[tuple[Any, int, int | None]]:
    """A stream, where in the file it begins, and how many bytes come, if that is said."""
    if place.folder is not None:
        file = place.folder / path
        if not file.is_file():
            raise UnavailableError(f"{file} is not there")
        with open(file, "rb") as stream:
            stream.seek(start)
            yield stream, start, max(file.stat().st_size - start, 0)
        return
    headers = {"User-Agent": "minillm", "Cache-Control": "no-cache"} | (
        {"Range": f"bytes={start}-"} if start else {}
    )
    url = f"{place.url}/{quote(path)}"
    with _opener(url).open(web.Request(url, headers=headers), timeout=SILENCE) as response:
        yield response, _offset(response, start), _length(response)


def _opener(url: str) -> web.OpenerDirector:
    """What asks an address: over http and https only, and this machine without a proxy."""
    here = _is_here(urlsplit(url).hostname or "")
    opener = web.OpenerDirector()
    for handler in (
        web.ProxyHandler({} if here else None),
        web.UnknownHandler(),
        web.HTTPHandler(),
        web.HTTPSHandler(),
        web.HTTPDefaultErrorHandler(),
        _Redirects(),
        web.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    return opener


class _Redirects(web.HTTPRedirectHandler):
    """Follows to where the first address might have led itself, and never from https to http."""

    max_redirections = REDIRECTS

    def redirect_request(
        self, req: web.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> web.Request | None:
        before, after = urlsplit(req.full_url), urlsplit(newurl)
        is_safe = after.scheme == "https" or (before.scheme == "http" and _is_here(after.hostname or ""))
        if not is_safe:
            raise UnavailableError(
                f"{before.scheme}://{before.netloc} sends on to {after.scheme}://, which is not safe"
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _offset(response: HTTPResponse, start: int) -> int:
    """Where in the file an answer begins."""
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise UnavailableError(
            f"{urlsplit(response.url).netloc} sends files compressed; it must send them as they are"
        )
    if response.status != 206:
        return 0
    found = re.match(r"bytes ([0-9]{1,15})-", response.headers.get("Content-Range", ""))
    if not found or int(found[1]) != start:
        raise _PassingError("the server sends another part than was asked for", anew=True)
    return start


def _length(response: HTTPResponse) -> int | None:
    """How many bytes an answer says that it has."""
    told = response.headers.get("Content-Length", "")
    return int(told) if re.fullmatch(r"[0-9]{1,15}", told) else None


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Turn faults of the network into ours, in our own words."""
    try:
        yield
    except (UnavailableError, _PassingError):
        raise
    except HTTPError as error:
        error.close()
        reason = f"the server answers {error.code} ({STATUS.get(error.code, 'unknown')})"
        if error.code == 416:
            raise _PassingError(reason, anew=True) from None
        if error.code in PASSING:
            asked = error.headers.get("Retry-After", "") if error.headers else ""
            wait = min(float(asked), LONGEST_WAIT) if re.fullmatch(r"[0-9]{1,6}", asked) else 0.0
            raise _PassingError(reason, wait) from None
        raise UnavailableError(f"{what}: {reason}") from None
    except (OSError, HTTPException) as error:
        fault = error.reason if isinstance(error, URLError) else error
        if isinstance(fault, ssl.SSLCertVerificationError):
            raise UnavailableError(f"{what}: the certificate of the server cannot be verified") from None
        raise _PassingError(_reason(fault)) from None
    except ValueError:  # an address or a header that no client takes
        raise UnavailableError(f"{what}: the server's answer is not understood") from None


def _reason(fault: object) -> str:
    """Why nothing comes, in a few words."""
    if isinstance(fault, socket.gaierror):
        return "no network, or no such host"
    if isinstance(fault, TimeoutError):
        return f"no answer within {SILENCE:.0f} seconds"
    if isinstance(fault, ConnectionRefusedError):
        return "nobody answers there"
    if isinstance(fault, OSError) and fault.strerror and not isinstance(fault, URLError):
        return fault.strerror
    return f"the connection failed ({type(fault).__name__})"
