"""The content security policy of the site: a browser runs what a page says, and refuses what came in later."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import browser
import pytest
from content_policy import policy_of, write_policies
from site_check import event_problem

# Of "alert(1)", by `openssl dgst -sha256 -binary | base64`.
ALERT = "'sha256-bhHHL3z2vDgxUt0W3dWQOrprscmda2Y5pLsLg4GF+pI='"
PAGE = """<!doctype html><html lang="en"><head>
<meta charset="utf-8" />
<link rel="icon" href="icon.svg"><style>p {{ color: red }}</style>
<script>window.ran = ["inline"];</script>
<script type="application/json">{{"a": 1}}</script>
</head><body><img alt="" src="{pixel}">
<button onclick="window.ran.push('handler')">Go</button><p style="color: blue">Text</p>
<script src="own.js"></script><script type="module">
  ran.push("é 猫 <b>");
</script>{late}</body></html>
"""
PIXEL = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///ywAAAAAAQABAAACAUwAOw=="
HOSTILE = {
    "inline script": "<script>ran.push('late')</script>",
    "handler": "<img src=x onerror=\"ran.push('late')\">",
    "address": "<a id=late href=\"javascript:ran.push('late')\">x</a><script src='click.js'></script>",
    "evaluated": "<script src='eval.js'></script>",
    "other host": "<script src='https://example.com/late.js'></script>",
    "base": "<base href='https://example.com/'><script src='own.js'></script>",
    "frame": "<iframe src='page.html'></iframe>",
    "object": "<object data='own.js'></object>",
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page that is as it was built, and others into which something got."""
    site = tmp_path_factory.mktemp("site")
    (site / "icon.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"/>', encoding="utf-8")
    (site / "own.js").write_text("ran.push('own');", encoding="utf-8")
    (site / "click.js").write_text("document.querySelector('#late').click();", encoding="utf-8")
    (site / "eval.js").write_text("eval(\"ran.push('late')\");", encoding="utf-8")
    (site / "page.html").write_text(PAGE.format(pixel=PIXEL, late=""), encoding="utf-8")
    (site / "index.html").write_text(
        '<meta http-equiv="Refresh" content="0; url=page.html" />\n', encoding="utf-8"
    )
    assert write_policies(site) == 1
    built = (site / "page.html").read_text(encoding="utf-8")
    for number, late in enumerate(HOSTILE.values()):
        (site / f"{number}.html").write_text(built.replace("</body>", f"{late}</body>"), encoding="utf-8")
    return site


@pytest.fixture(scope="module")
def opened(site: Path) -> Iterator[tuple[browser.Browser, str]]:
    program = browser.find_program()
    if not program:
        pytest.skip("Chromium is not installed")
    with browser.open_site(site, program) as found:
        yield found


def problems(chromium: browser.Browser, origin: str) -> set[str]:
    return {problem for event in chromium.events if (problem := event_problem(event, origin))}


def test_what_the_page_has_runs(opened: tuple[browser.Browser, str]) -> None:
    chromium, origin = opened
    chromium.load(origin + "page.html", "light")
    chromium.evaluate("document.querySelector('button').click()")
    assert chromium.evaluate("ran") == ["inline", "own", "é 猫 <b>", "handler"]
    assert chromium.evaluate("document.querySelector('img').naturalWidth") == 1, (
        "a still's picture is in the page"
    )
    assert chromium.evaluate("getComputedStyle(document.querySelector('p')).color") == "rgb(0, 0, 255)"
    assert problems(chromium, origin) == set()


@pytest.mark.parametrize("number", range(len(HOSTILE)), ids=list(HOSTILE))
def test_what_came_in_later_is_refused(opened: tuple[browser.Browser, str], number: int) -> None:
    """And the check of the site hears of it."""
    chromium, origin = opened
    chromium.load(origin + f"{number}.html", "light")
    assert "late" not in chromium.evaluate("ran")
    assert any("Content Security Policy" in problem for problem in problems(chromium, origin))


def test_the_policy_in_words() -> None:
    found = policy_of(
        '<script>alert(1)</script><p onclick="alert(1)"></p><script type="module" src="a.js"></script>'
    )
    assert f"script-src 'self' {ALERT} 'unsafe-hashes';" in found
    assert "default-src 'self';" in found and "worker-src 'self';" in found
    assert "http" not in found and "font-src" not in found
    assert "script-src 'self';" in policy_of('<script type="application/json">{}</script>')
    foreign = policy_of('<script src="https://cdn.example.com/a/mathjax.js"></script>')
    assert "script-src 'self' https://cdn.example.com;" in foreign
    assert "font-src 'self' https://cdn.example.com;" in foreign


def test_a_second_time_changes_nothing(tmp_path: Path) -> None:
    """And where a page was built anew, it gets the policy that it needs now."""
    page = tmp_path / "page.html"
    page.write_text(PAGE.format(pixel=PIXEL, late=""), encoding="utf-8")
    write_policies(tmp_path)
    first = page.read_text(encoding="utf-8")
    write_policies(tmp_path)
    assert page.read_text(encoding="utf-8") == first
    page.write_text(first.replace('"inline"', '"inside"'), encoding="utf-8")
    write_policies(tmp_path)
    changed = page.read_text(encoding="utf-8")
    assert changed.count("Content-Security-Policy") == 1
    assert changed == first.replace('"inline"', '"inside"').replace(policy_of(first), policy_of(changed))
    assert policy_of(changed) != policy_of(first)
