"""Controls of the theme have proper names once a page is built; what a page says by itself stays."""

from __future__ import annotations

from pathlib import Path

import pytest
from axe import AXE, NO_AXE, barriers
from browser import find_program, open_site
from control_names import name_controls, write_names

# As the theme writes them; the script does what the one of its icons does.
PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8" /><title>A page</title>
<style>.cover { width: 90px; overflow-x: auto }</style>
<link rel="icon" href="data:,"></head><body><main><h1>A page</h1>
<button class="btn search-button-field search-button__button" title="Search" aria-label="Search">
 <span class="search-button__default-text">Search</span><kbd>Ctrl</kbd>+<kbd>K</kbd></button>
<button class="btn theme-switch-button" aria-label="Color mode" data-bs-title="Color mode">
  <i class="theme-switch fa-solid fa-sun fa-lg" data-mode="light" title="Light"></i></button>
<ul><li><a class="reference internal" href="api.html">The package</a><details><summary><span role="presentation">
<i class="fa-solid"></i></span></summary><ul><li>inside</li></ul></details></li></ul>
<ul><li><a class="current reference internal" href="#">Vectors</a><details open="open"><summary><span>
<i class="fa-solid"></i></span></summary><ul><li>below</li></ul></details></li></ul>
<details class="admonition hide above-input">
<summary aria-label="Toggle hidden content">
<p>Show code cell source</p></summary><p>Code</p></details>
<div class="cover docutils">
<img alt="" src="data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg'/%3E" width="640" height="9"></div>
<dl class="py method"><dt>draft(

<dl>
<dd><em class="sig-param">scene</em>, </dd>
</dl>

)</dt><dd><p>Write a task.</p></dd></dl>
</main><script>for (const icon of document.querySelectorAll("i[title]")) icon.append(icon.title);</script>
</body></html>
"""


def test_what_is_unclear_is_repaired_once(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(PAGE, encoding="utf-8")
    write_names(tmp_path)
    built = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert built == name_controls(PAGE) == name_controls(built) != PAGE
    assert '<summary aria-label="Pages below: The package">' in built
    assert built.count("aria-label") == 4 and "Pages below: Vectors" in built and "Color mode" in built
    assert built.count("<dl") == PAGE.count("<dl") and '<dl class="py method">' in built


def test_a_page_of_ones_own_stays() -> None:
    page = '<dl>\n<dt>a</dt><dd>b</dd></dl><summary>More</summary><i class="x" title="Light"></i>'
    assert name_controls(page) == page


def test_no_barrier_is_left(tmp_path: Path) -> None:
    """In a page as the theme writes it there are some."""
    program = find_program()
    if not program:
        pytest.skip("Chromium is not installed")
    if not AXE.exists():
        pytest.skip(NO_AXE)
    for name, content in (("before.html", PAGE), ("after.html", name_controls(PAGE))):
        (tmp_path / name).write_text(content, encoding="utf-8")
    with open_site(tmp_path, program) as (chromium, origin):
        kinds = {}
        for name in ("before.html", "after.html"):
            chromium.load(origin + name, "light")
            kinds[name] = {found.split(":")[0] for found in barriers(chromium)}
    assert kinds["before.html"] == {
        f"barrier {kind}"
        for kind in (
            "definition-list",
            "label-content-name-mismatch",
            "scrollable-region-focusable",
            "summary-name",
        )
    }
    assert kinds["after.html"] == set()
