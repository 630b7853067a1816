"""A small web server on this machine that publishes models, well or badly."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class Site(http.server.ThreadingHTTPServer):
    """Serves a folder. `faults` has, by the end of a path, what is done instead of sending that file.

    Attributes:
        asked: (path, the header Range) of all requests.
    """

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder = folder
        self.faults: dict[str, Callable[[_Handler, bytes], Any]] = {}
        self.asked: list[tuple[str, str | None]] = []
        self.over = threading.Event()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Whoever hangs up is no news."""


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Site

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers["Range"]))
        file = self.server.folder / self.path.lstrip("/")
        content = file.read_bytes() if file.is_file() else b""
        for end, fault in self.server.faults.items():
            if self.path.endswith(end) and fault(self, content) is not GO_ON:
                return
        self.send(content) if file.is_file() else self.answer(404)

    def send(self, content: bytes) -> None:
        """The whole file, or the part that is asked for."""
        start = int((self.headers["Range"] or "bytes=0-")[6:-1])
        if start:
            self.answer(
                206, content[start:], Content_Range=f"bytes {start}-{len(content) - 1}/{len(content)}"
            )
        else:
            self.answer(200, content)

    def answer(self, code: int, content: bytes = b"", length: int | None = None, **headers: str) -> None:
        self.send_response(code)
        self.send_header("Content-Length", str(len(content) if length is None else length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Silence."""


GO_ON = object()


@contextmanager
def serving(folder: Path) -> Iterator[Site]:
    """The site of a folder, while the block runs."""
    with Site(folder) as site:
        thread = threading.Thread(target=site.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield site
        site.over.set()
        site.shutdown()
        thread.join()
