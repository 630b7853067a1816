"""The playground on this machine, `minillm chat --web`: the page's modules and the user's own models.

Only what stands in a table of paths is answered, so no path leads anywhere else. Only 127.0.0.1 is listened to, and a
request must name this machine as its host: a page of another site whose name is made to lead here is refused.
"""

from __future__ import annotations

import html
import json
import os
import shutil
import sys
import threading
import webbrowser
from collections.abc import Iterable, Mapping
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from minillm.artifact import TOKENIZER, WEIGHTS, Artifact, find_artifacts
from minillm.files import sha256_file
from minillm.manifest import MANIFEST, Manifest, PublishedFile, PublishedStage
from minillm.model.adapters import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from minillm.recipes import STAGES
from minillm.recipes.lora import ADAPTER

__all__ = ["LIVE", "Playground", "check_options", "related", "serve"]

_INSTALLED = Path(__file__).parent / "live"
LIVE = _INSTALLED if _INSTALLED.is_dir() else Path(__file__).parent.parent / "book" / "_static" / "live"
"""The page's modules: in an installed package beside this file, in a checkout with the book."""

_HOST = "127.0.0.1"
_FILES = (
    "config.json",
    TOKENIZER,
    WEIGHTS,
    f"{ADAPTER}/{ADAPTER_CONFIG}",
    f"{ADAPTER}/{ADAPTER_WEIGHTS}",
)  # of a stage, those that the page reads
_KINDS = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".safetensors": "application/octet-stream",
}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; worker-src 'self'; "
    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
_STYLE = """
:root { color-scheme: light dark; }
body { max-width: 60rem; margin: 0 auto; padding: 1rem; font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
@media (prefers-color-scheme: dark) {
  :root {
    --pst-color-background: #121212; --pst-color-border: #555; --pst-color-primary: #6cbcd6;
    --pst-color-surface: #222; --pst-color-text-muted: #aaa;
  }
  body { background: #121212; color: #ddd; }
}
"""
_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>minillm: your models</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="style.css">
<h1>Your models</h1>
<p>They run in this page. What you write stays on this machine.</p>
{widgets}
<script type="module" src="_static/live/page.js"></script>
</html>
"""


def related(artifact: Artifact) -> list[Artifact]:
    """An artifact with the stages that it was made from and, of each other stage, the latest that fits to those.

    They lie beside it, in the folder of its preset. The order is that of the stages; one that is not of the course
    comes last.
    """
    stages = list(dict.fromkeys([*STAGES, artifact.stage]))
    home = artifact.folder.resolve().parent
    beside = [one for one in find_artifacts(home.parent) if one.folder.parent == home and _is_known(one)]
    chosen = {artifact.stage: artifact}
    for stage in reversed(stages):
        for parent, key in _parents(chosen[stage]).items() if stage in chosen else ():
            found = [one for one in beside if (one.stage, one.summary["key"]) == (parent, key)]
            chosen |= {parent: found[0]} if found else {}
    for stage in STAGES:
        keys = {name: one.summary["key"] for name, one in chosen.items()}
        fitting = (one for one in beside if one.stage == stage and _parents(one).items() <= keys.items())
        if stage not in chosen and (latest := next(fitting, None)):
            chosen[stage] = latest
    return [chosen[stage] for stage in stages if stage in chosen]


def _is_known(artifact: Artifact) -> bool:
    """Whether its summary can be read, and its stage is one of the course."""
    with suppress(ValueError):
        return artifact.stage in STAGES
    return False


def _parents(artifact: Artifact) -> dict[str, str]:
    parents = artifact.summary["settings"].get("parents")
    return dict(parents) if isinstance(parents, dict) else {}


class Playground(ThreadingHTTPServer):
    """Serves the page for some models.

    Args:
        artifact: the assistant to talk with; other stages of the same runs are shown beside it.
        port: to listen to; 0 takes a free one.

    Attributes:
        table: path -> type and content, or the file that holds it; all that is ever sent.
        hosts: the names under which this machine may be asked.

    Raises:
        ValueError: the model is no assistant, or the port cannot be listened to.
    """

    allow_reuse_address = os.name == "posix"  # elsewhere two programs could listen to one port

    def __init__(self, artifact: Artifact, port: int = 0) -> None:
        if not artifact.answers:
            raise ValueError(
                f"{artifact.stage} continues texts, and the page talks with assistants; name another stage, or leave "
                "out --web"
            )
        self.table = _table(artifact)
        try:
            super().__init__((_HOST, port), _Handler)
        except (OSError, OverflowError) as error:
            raise ValueError(
                f"port {port} cannot be used ({error}); choose another, or none for a free one"
            ) from None
        names = (_HOST, "localhost")
        self.hosts = {f"{name}:{self.server_port}" for name in names} | set(names if port == 80 else ())

    @property
    def address(self) -> str:
        """Of the page."""
        return f"http://{_HOST}:{self.server_port}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that hangs up is no news."""
        if not isinstance(sys.exception(), (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)


def _table(artifact: Artifact) -> dict[str, tuple[str, bytes | Path]]:
    models = [one for one in related(artifact) if one.has_model]
    table: dict[str, tuple[str, bytes | Path]] = {
        f"/_static/live/{path.name}": (_KINDS[path.suffix], path)
        for path in sorted(LIVE.iterdir())
        if path.suffix in (".js", ".css")
    }
    published = [(_published(one), one) for one in models]
    for stage, one in published:
        for file in stage.files:
            kind = _KINDS[Path(file.name).suffix]
            table[f"/models/{stage.folder}/{file.name}"] = (kind, one.folder / file.name)
    manifest = Manifest("own", {}, tuple(stage for stage, _ in published)).as_json()
    texts = {"": _page(artifact, models), "style.css": _STYLE, f"models/{MANIFEST}": json.dumps(manifest)}
    for name, text in texts.items():
        table[f"/{name}"] = (_KINDS[Path(name or "index.html").suffix], text.encode())
    return table


def _published(artifact: Artifact) -> PublishedStage:
    """What the page has to know of a stage; the weights have the checksum of when they were trained."""
    known = {WEIGHTS: artifact.summary["weights_sha256"]}
    paths = {name: artifact.folder / name for name in _FILES if (artifact.folder / name).is_file()}
    files = [
        PublishedFile(name, path.stat().st_size, known.get(name) or sha256_file(path))
        for name, path in paths.items()
    ]
    return PublishedStage(artifact.stage, artifact.summary["key"], _parents(artifact), {}, tuple(files))


def _size(*artifacts: Artifact) -> str:
    """How much the page loads of them."""
    paths = (one.folder / name for one in artifacts for name in _FILES)
    return f"{sum(path.stat().st_size for path in paths if path.is_file()) / 1e6:.1f} MB"


def _page(artifact: Artifact, models: Iterable[Artifact]) -> str:
    """The page: a conversation, and what the other stages allow."""
    general = [one for one in models if one.stage in STAGES and not STAGES[one.stage].specialist]
    names = json.dumps([one.stage for one in general if one.writes])
    widgets = [_widget("chat", f"Talk with {artifact.stage}", stage=artifact.stage, size=_size(artifact))]
    if len(general) > 1:
        widgets.append(_widget("stages", "The stages side by side", stages=names, size=_size(*general)))
    for one in models:
        if (one.folder / ADAPTER / ADAPTER_WEIGHTS).is_file():
            widgets.append(_widget("lora", f"The adapter of {one.stage}", stage=one.stage, size=_size(one)))
    return _PAGE.format(widgets="\n".join(widgets))


def _widget(name: str, title: str, **options: str) -> str:
    data = "".join(f' data-{key}="{html.escape(value)}"' for key, value in options.items())
    still = "This page needs JavaScript."
    return (
        f'<h2>{html.escape(title)}</h2>\n<div class="minillm-live" data-widget="{name}"{data}>{still}</div>'
    )


class _Handler(BaseHTTPRequestHandler):
    server: Playground
    server_version, sys_version = "minillm", ""
    timeout = 30  # seconds for a browser to say what it wants

    def do_GET(self) -> None:
        """Send what the table has."""
        named = self.headers.get_all("Host") or []
        if len(named) != 1 or named[0].lower() not in self.server.hosts:
            self._refuse(HTTPStatus.FORBIDDEN, f"open {self.server.address}")
            return
        kind, content = self.server.table.get(self.path.partition("?")[0], ("", b""))
        try:
            if not kind:
                raise FileNotFoundError
            if isinstance(content, bytes):
                self._start(HTTPStatus.OK, kind, len(content))
                self._send(content)
                return
            with content.open("rb") as file:
                self._start(HTTPStatus.OK, kind, os.fstat(file.fileno()).st_size)
                if self.command != "HEAD":
                    shutil.copyfileobj(file, self.wfile)
        except FileNotFoundError:
            self._refuse(HTTPStatus.NOT_FOUND, "there is nothing here")

    do_HEAD = do_GET

    def _method(self) -> None:
        self._refuse(HTTPStatus.METHOD_NOT_ALLOWED, "only GET and HEAD are answered")

    do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _method

    def _refuse(self, status: HTTPStatus, told: str) -> None:
        content = f"{status.phrase}: {told}\n".encode()
        self._start(status, "text/plain; charset=utf-8", len(content))
        self._send(content)

    def _start(self, status: HTTPStatus, kind: str, length: int) -> None:
        self.send_response(status)
        own = {"Content-Type": kind, "Content-Length": str(length), "Allow": "GET, HEAD"}
        for name, value in (own | _HEADERS).items():
            self.send_header(name, value)
        self.end_headers()

    def _send(self, content: bytes) -> None:
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Say nothing of each request."""


def check_options(web: bool, others: Mapping[str, Any]) -> None:
    """Refuse options that do not go together.

    Raises:
        ValueError: without the page, options of the page; with it, one of the others that is given.
    """
    if not web:
        raise ValueError("--port and --no-browser belong to --web; add it, or leave them out")
    if given := [name for name, value in others.items() if value is not None]:
        raise ValueError(f"--web takes no {given[0]}; write and choose in the page, and leave it out")


def serve(artifact: Artifact, port: int | None = None, *, browse: bool = True) -> None:
    """Serve the page until Ctrl-C.

    Args:
        artifact: the assistant to talk with.
        port: to listen to; None: a free one.
        browse: whether the browser is opened.

    Raises:
        ValueError: as :class:`Playground`.
    """
    with Playground(artifact, port or 0) as server:
        print(server.address, flush=True)
        print("Ctrl-C ends it.", file=sys.stderr)
        if browse and _has_window():
            threading.Thread(target=webbrowser.open, args=[server.address], daemon=True).start()
        with suppress(KeyboardInterrupt):
            server.serve_forever()


def _has_window() -> bool:
    """Whether a browser would get a window of its own: one in the terminal would be in the way."""
    graphical = os.name == "nt" or sys.platform == "darwin"
    return graphical or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")))
