"""A widget in a chapter: in the dark theme, the light card of outputs does not lie under it."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest
from live_modules import LIVE
from live_site import Visitor, build, page, visited

CSS = "theme/pydata_sphinx_theme/static/styles/pydata-sphinx-theme.css"
LINKS = '<link rel="stylesheet" href="theme.css"><link rel="stylesheet" href="course.css"><title>'
CHAPTER = '<body class="bd-content"><div class="cell_output"><div class="output text_html">'
COLOURS = """[...document.querySelectorAll('body, .minillm-live, button, textarea, .status')].map(element => {
    const style = getComputedStyle(element);
    return [element.localName, style.color, style.backgroundColor]; })"""


@pytest.fixture(scope="module")
def visitor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visitor]:
    theme = importlib.util.find_spec("pydata_sphinx_theme")
    if theme is None or theme.origin is None:
        pytest.skip("the theme of the website is not installed")
    site = tmp_path_factory.mktemp("site")
    build(site)
    sheets = {
        "theme.css": Path(theme.origin).parent / CSS,
        "course.css": LIVE.parent / "course.css",
    }
    for name, path in sheets.items():
        (site / name).write_bytes(path.read_bytes())
    written = page("next", text="The cat").replace("<title>", LINKS).replace("<div", f"{CHAPTER}<div", 1)
    with visited(site, {"page.html": written}) as someone:
        yield someone


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_widget_has_the_colours_of_the_page(visitor: Visitor, theme: str) -> None:
    visitor.open("page.html")
    visitor.js(f"document.documentElement.dataset.theme = '{theme}'")
    (_, ink, ground), *parts = visitor.js(COLOURS)
    assert (sum(map(int, ground[4:-1].split(","))) < 3 * 128) == (theme == "dark")
    assert len(parts) > 3
    for name, colour, background in parts:
        assert colour == ink and background in (ground, "rgba(0, 0, 0, 0)"), name
    card = visitor.js("(({ backgroundColor, padding }) => [backgroundColor, padding])("
                      "getComputedStyle(document.querySelector('.text_html')))")  # fmt: skip
    assert card == ["rgba(0, 0, 0, 0)", "0px"]
