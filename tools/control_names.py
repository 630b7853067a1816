"""Repairs what the theme of the website leaves unclear for readers who hear the page: names of controls, false lists.

A control is heard by its `aria-label`, and without one by the text in it. Where the two differ, who sees the text and
says it finds nothing.
"""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["name_controls", "write_names"]

REPAIRS = {
    # The button of the search shows its name; the icons of the colour mode have names of their own beside the button's.
    r'(<button class="btn search-button-field [^>]*?) aria-label="[^"]*"': r"\1",
    r'(<i class="theme-switch [^>]*?) +title="[^"]*"': r"\1",
    # A folded cell shows whether a click shows or hides it.
    r'<summary aria-label="Toggle hidden content">': "<summary>",
    # The button beside a link of the table of contents is an arrow only.
    r'(<a class="(?:current )?reference internal" href="[^"]*">([^<]*)</a><details[^>]*>)<summary>': (
        r'\1<summary aria-label="Pages below: \2">'
    ),
    # The parameters of a long signature are lines of it, not a list of definitions.
    r'<dl>(?=\s*<dd><em class="sig-param">)': '<dl role="presentation">',
    # On a phone the cover is wider than the window; the keyboard scrolls what has the focus.
    r'<div class="cover docutils">': '<div class="cover docutils" role="group" aria-label="Cover" tabindex="0">',
}


def name_controls(page: str) -> str:
    """A page whose controls are named by the text they show, or in words where they show an icon only.

    >>> name_controls('<summary aria-label="Toggle hidden content"><p>Show code cell source</p></summary>')
    '<summary><p>Show code cell source</p></summary>'
    """
    for found, instead in REPAIRS.items():
        page = re.sub(found, instead, page)
    return page


def write_names(site: Path) -> None:
    """Name the controls of every page of a built site."""
    for path in site.rglob("*.html"):
        written = path.read_text(encoding="utf-8")
        if (page := name_controls(written)) != written:
            path.write_text(page, encoding="utf-8")
