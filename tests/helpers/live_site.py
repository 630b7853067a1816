"""A small site with published stages and a widget, and someone who visits it."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from axe import AXE, NO_AXE, barriers
from browser import Browser, find_program, open_site
from live_modules import LIVE
from site_check import event_problem

from minillm.figures import live

KEYS = {
    "Enter": 13,
    "Escape": 27,
    " ": 32,
    "End": 35,
    "Home": 36,
    "ArrowLeft": 37,
    "ArrowRight": 39,
    "ArrowDown": 40,
}
PATIENCE = 60  # seconds, for a busy machine
PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Test</title><link rel="icon" href="data:,">{body}
<script type="module" src="{root}_static/live/page.js"></script>"""
NAMELESS = """[...document.querySelectorAll('button, textarea, input, select, progress, [role]')].filter(element =>
    !(element.ariaLabel || element.textContent || element.labels?.length || element.role === 'status'))
    .map(element => element.outerHTML)"""


def page(widget: str, root: str = "", body: str = "", still: Any = "A still.", **options: Any) -> str:
    """A page with a widget, as a chapter's cell makes it; the site is at `root`, and `body` stands below the widget."""
    return PAGE.format(body=live(widget, still, **options)._repr_html_() + body, root=root)


def publish(
    folder: Path,
    stages: dict[str, Callable[[Path], Any]],
    parents: dict[str, list[str]] | None = None,
    **figures: Any,
) -> None:
    """Write stages and their manifest, as `minillm publish` does; a stage's key is its name."""
    entries = []
    for stage, write in stages.items():
        write(folder / stage)
        paths = sorted(path for path in (folder / stage).rglob("*") if path.is_file())
        files = [
            {
                "path": path.relative_to(folder).as_posix(),
                "bytes": path.stat().st_size,
                "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            }
            for path in paths
        ]
        before = {parent: parent for parent in (parents or {}).get(stage, [])}
        entries.append({"stage": stage, "key": stage, "parents": before, "figures": figures, "files": files})
    manifest = {"format": 1, "preset": "test", "stages": entries}
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


class Visitor:
    """Someone who uses a widget by keyboard."""

    def __init__(self, chromium: Browser, origin: str) -> None:
        self.chromium, self.origin = chromium, origin

    def open(self, page: str, look: str = "light") -> None:
        """Load a page and wait until its widget has started."""
        self.chromium.load(self.origin + page, look)
        self.wait(lambda: self.js("document.querySelector('.status') !== null"))

    def js(self, expression: str) -> Any:
        """The value of an expression in the page."""
        return self.chromium.evaluate(expression)

    def wait(self, true: Callable[[], Any]) -> None:
        """Wait until something has happened."""
        deadline = time.monotonic() + PATIENCE
        while not true():
            assert time.monotonic() < deadline, f"did not happen within {PATIENCE} s: {self.status()}"
            time.sleep(0.02)

    def key(self, key: str, times: int = 1) -> None:
        """Press a key and let it go."""
        text = {"Enter": {"text": "\r"}, " ": {"text": " "}}.get(key, {})
        what = {"key": key, "code": key, "windowsVirtualKeyCode": KEYS[key]}
        for _ in range(times):
            self.chromium.call("Input.dispatchKeyEvent", type="keyDown", **what, **text)
            self.chromium.call("Input.dispatchKeyEvent", type="keyUp", **what)

    def focus(self, selector: str) -> None:
        """Put the focus on an element, which must take it."""
        assert self.js(
            f"(e => {{ e.focus(); return e === document.activeElement; }})(document.querySelector({selector!r}))"
        )

    def type(self, text: str, selector: str = "textarea") -> None:
        """Write a text into a field in place of what stands there."""
        self.focus(selector)
        self.js("document.activeElement.select()")
        self.chromium.call("Input.insertText", text=text)

    def slide(self, selector: str, value: float) -> None:
        """Move a slider."""
        change = (
            "for (const name of ['input', 'change']) input.dispatchEvent(new Event(name, { bubbles: true }))"
        )
        self.js(f"(input => {{ input.value = {value}; {change}; }})(document.querySelector({selector!r}))")

    def texts(self, selector: str) -> list[str]:
        """The texts of some elements."""
        found: list[str] = self.js(
            f"[...document.querySelectorAll({selector!r})].map(element => element.textContent)"
        )
        return found

    def status(self) -> str:
        """The widget's line about what happens."""
        return str(self.js("document.querySelector('.status')?.textContent"))

    def barriers(self) -> list[str]:
        """What axe-core calls serious or critical in the widget, as it stands now."""
        if not AXE.exists():
            pytest.skip(NO_AXE)
        return barriers(self.chromium, ".minillm-live")

    def loaded(self) -> list[str]:
        """The names of the files of models that the page and its worker have asked for, in order."""
        return [url.rpartition("/")[2] for url in self.requests() if "/models/" in url]

    def requests(self) -> list[str]:
        """The addresses that the page and its worker have asked for, in order."""
        return [
            event["params"]["request"]["url"]
            for event in self.chromium.events
            if event["method"] == "Network.requestWillBeSent"
        ]

    def problems(self) -> set[str]:
        """What the browser complained about since the page was opened, and what is wrong with it as it stands now."""
        found = {problem for event in self.chromium.events if (problem := event_problem(event, self.origin))}
        if self.js("document.documentElement.scrollWidth > document.documentElement.clientWidth"):
            found.add("the page is wider than its window")
        return found | {f"no screen reader can name {control}" for control in self.js(NAMELESS)}


def build(site: Path, stages: dict[str, Callable[[Path], Any]] | None = None, **published: Any) -> None:
    """Make a site with the modules of the page and, if there are stages, models; a folder of it may be another site."""
    shutil.copytree(LIVE, site / "_static" / "live")
    if stages:
        publish(site / "models", stages, **published)


@contextmanager
def visited(site: Path, pages: dict[str, str]) -> Iterator[Visitor]:
    """Someone who visits pages, which are written into a site by their names."""
    program = find_program()
    if not program:
        pytest.skip("Chromium is not installed")
    for name, content in pages.items():
        (site / name).write_text(content, encoding="utf-8")
    with open_site(site, program) as (chromium, origin):
        yield Visitor(chromium, origin)
