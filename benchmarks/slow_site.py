"""A folder as a website behind a line of a given speed, and a browser that visits it; the bytes are counted."""

from __future__ import annotations

import functools
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tools"))

from browser import Browser, QuietHandler, find_program

__all__ = ["Browser", "SlowLine", "find_program", "slow_site"]

PART = 16 * 1024  # bytes that are sent without a pause


class SlowLine:
    """One line for all connections: whoever sends waits until what was sent before is through.

    Attributes:
        sent: the bytes of files so far.
    """

    def __init__(self, bytes_per_second: float) -> None:
        self.bytes_per_second = bytes_per_second
        self.sent = 0
        self._free = time.monotonic()  # when the line has passed on what it was given
        self._lock = threading.Lock()

    def carry(self, size: int) -> None:
        """Return when so many bytes have passed."""
        with self._lock:
            self._free = max(self._free, time.monotonic()) + size / self.bytes_per_second
            self.sent += size
            until = self._free
        time.sleep(max(0.0, until - time.monotonic()))


class _Handler(QuietHandler):
    def __init__(self, *arguments: Any, line: SlowLine, **options: Any) -> None:
        self.line = line
        super().__init__(*arguments, **options)

    def copyfile(self, source: Any, outputfile: Any) -> None:
        with suppress(ConnectionError):  # the page was left
            while part := source.read(PART):
                self.line.carry(len(part))
                outputfile.write(part)


@contextmanager
def slow_site(site: Path, program: str, bytes_per_second: float) -> Iterator[tuple[Browser, str, SlowLine]]:
    """A browser, the address of the site, and the line between them."""
    line = SlowLine(bytes_per_second)
    handler = functools.partial(_Handler, directory=str(site), line=line)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = Browser(program, profile)
        try:
            yield browser, f"http://127.0.0.1:{server.server_port}/", line
        finally:
            browser.close()
            server.shutdown()
