"""A headless Chromium over a pipe (DevTools protocol), and the built website served to it."""

from __future__ import annotations

import base64
import functools
import json
import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

PROGRAMS = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "chrome",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
)

VIEWS = {  # name -> width and height of the window in pixels, colour scheme
    "light": (1280, 900, "light"),
    "dark": (1280, 900, "dark"),
    "phone": (390, 844, "light"),
}
LOAD_TIMEOUT = 60.0  # seconds for one page
SETTLE = 0.5  # seconds for the layout to come to rest before a picture
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--hide-scrollbars",
    "--allow-pre-commit-input",  # else a key that is pressed before the first paint is dropped, and nobody is told
)


def find_program() -> str | None:
    """The path of an installed Chromium, if there is one that can be driven: Windows passes no pipes to it."""
    return next(filter(None, map(shutil.which, PROGRAMS)), None) if os.name == "posix" else None


class Browser:
    """A headless Chromium, driven through its DevTools pipe: `call` a method, read `events` of page and workers."""

    def __init__(self, program: str, profile: str) -> None:
        to_browser, self._write = os.pipe()
        self._read, from_browser = os.pipe()
        shell = f'exec "$@" 3<&{to_browser} 4>&{from_browser}'
        self._process = subprocess.Popen(
            [
                "bash",
                "-c",
                shell,
                "bash",
                program,
                *FLAGS,
                f"--user-data-dir={profile}",
                "--remote-debugging-pipe",
            ],
            pass_fds=(to_browser, from_browser),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser)
        os.close(from_browser)
        self._buffer = b""
        self._count = 0
        self._session: str | None = None
        self._events: list[dict[str, Any]] = []
        os.set_blocking(self._read, False)
        try:
            self._attach()
        except BaseException:
            self.close()
            raise

    def _attach(self) -> None:
        """Open a page, and listen to it and to its workers."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.call("Target.setAutoAttach", autoAttach=True, waitForDebuggerOnStart=True, flatten=True)

    @property
    def events(self) -> list[dict[str, Any]]:
        """What the page and its workers have told since the last `load`, up to this moment."""
        for _ in self._arrived():
            pass
        return self._events

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method and wait for its result; events that arrive meanwhile are kept."""
        number = self._send(method, self._session, **params)
        for answer in self._messages():
            if answer.get("id") == number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return answer["result"]
        raise TimeoutError(f"{method}: no answer from the browser within {LOAD_TIMEOUT:.0f} s")

    def _send(self, method: str, session: str | None, **params: Any) -> int:
        """Send a message without waiting; the number of its answer."""
        self._count += 1
        message: dict[str, Any] = {"id": self._count, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        return self._count

    def _watch(self, session: str) -> None:
        """Let a worker, which waits for this, begin, and report what it asks for; its complaints come from the page."""
        for method in ("Network.enable", "Runtime.runIfWaitingForDebugger"):
            self._send(method, session)

    def wait(self, method: str) -> None:
        """Wait for an event."""
        if any(event["method"] == method for event in self._events):
            return
        if not any(message.get("method") == method for message in self._messages()):
            raise TimeoutError(f"{method} did not come within {LOAD_TIMEOUT:.0f} s")

    def _messages(self) -> Iterator[dict[str, Any]]:
        """All messages, until the patience ends."""
        deadline = time.monotonic() + LOAD_TIMEOUT
        while time.monotonic() < deadline:
            yield from self._arrived()
            time.sleep(0.01)

    def _arrived(self) -> Iterator[dict[str, Any]]:
        """The messages that are there already."""
        while True:
            while b"\0" in self._buffer:
                raw, _, self._buffer = self._buffer.partition(b"\0")
                message = json.loads(raw)
                if "method" in message:
                    self._events.append(message)
                if message.get("method") == "Target.attachedToTarget":
                    self._watch(message["params"]["sessionId"])
                yield message
            try:
                chunk = os.read(self._read, 1 << 20)
            except BlockingIOError:
                return
            if not chunk:
                raise RuntimeError("the browser ended")
            self._buffer += chunk

    def load(self, url: str, view: str) -> None:
        """Load a page in a view of `VIEWS`; `events` then holds what happened meanwhile."""
        width, height, scheme = VIEWS[view]
        self.resize(view, height)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self._events.clear()
        self.call("Page.navigate", url=url)
        self.wait("Page.loadEventFired")

    def resize(self, view: str, height: int) -> None:
        """Give the window the width of a view and this height."""
        size = {"width": VIEWS[view][0], "height": height, "deviceScaleFactor": 1, "mobile": view == "phone"}
        self.call("Emulation.setDeviceMetricsOverride", **size)

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page; promises are awaited."""
        result = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        return result["result"].get("value")

    def picture(self) -> bytes:
        """The window as PNG."""
        time.sleep(SETTLE)
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])

    def close(self) -> None:
        """End the browser."""
        self._process.terminate()
        try:
            self._process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for pipe in (self._write, self._read):
            os.close(pipe)


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves files and prints nothing."""

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def open_site(site: Path, program: str) -> Iterator[tuple[Browser, str]]:
    """Serve a folder on this machine and start a browser: yields the browser and the address of the folder."""
    handler = functools.partial(QuietHandler, directory=str(site))
    with (
        ThreadingHTTPServer(("127.0.0.1", 0), handler) as server,
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile,
    ):
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            with closing(Browser(program, profile)) as browser:
                yield browser, f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
