"""What a chapter's cell leaves in the page for a widget: one element with its options and a still that is true."""

from __future__ import annotations

import base64
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
from live_modules import LIVE

from minillm import figures
from minillm.figures.live import WIDGETS

HOSTILE = "\"><script>alert(1)</script>&amp;'"


class Page(HTMLParser):
    """The elements of a piece of HTML, with their attributes, and its text; everything is closed again."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(source)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in ("img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def page(widget: Any) -> Page:
    return Page(widget._repr_html_())


def test_options_reach_the_page_as_they_were_given() -> None:
    given = {"text": HOSTILE, "prompts": ["Ä 猫", HOSTILE], "loss_floor": 0.4375, "blend": True, "n": 0}
    tag, attributes = page(figures.live("next", "still", stage="base", nothing=None, **given)).elements[0]
    assert tag == "div" and attributes.pop("class") == "minillm-live"
    assert (attributes.pop("data-widget"), attributes.pop("data-stage")) == ("next", "base")
    assert attributes.pop("data-text") == HOSTILE
    assert {name: json.loads(value or "") for name, value in attributes.items()} == {
        "data-prompts": given["prompts"],
        "data-loss-floor": 0.4375,
        "data-blend": True,
        "data-n": 0,
    }


def test_a_still_of_several_parts() -> None:
    cells = figures.still_table(["token", "p"], [[HOSTILE, 0.5], ["猫", 0.25]])
    boxes = figures.token_boxes({"ours": [b"The", b" cat"]})
    widget = figures.live("tokens", [HOSTILE, cells, boxes])
    found = page(widget)
    assert [tag for tag, _ in found.elements if tag in ("script", "th", "td", "p")] == [
        "p",
        *["th"] * 2,
        *["td"] * 4,
    ]
    assert found.texts == [HOSTILE, "token", "p", HOSTILE, "0.5", "猫", "0.25", "ours", "The", "·cat"]
    assert repr(widget) == "\n".join([HOSTILE, repr(cells), repr(boxes)])


def test_a_plot_becomes_a_picture_with_words_and_is_closed() -> None:
    axes = figures.next_token_bars({"The": {" cat": 0.5, " dog": 0.25}})[0]
    found = page(figures.live("next", axes, alt=HOSTILE, stage="base"))
    tag, attributes = found.elements[1]
    source = attributes["src"] or ""
    assert (tag, attributes["alt"]) == ("img", HOSTILE)
    assert base64.b64decode(source.removeprefix("data:image/png;base64,")).startswith(b"\x89PNG\r\n")
    assert not plt.get_fignums(), "a notebook would show it once more"
    with pytest.raises(ValueError, match="a plot has no alt"):
        figures.live("next", plt.subplots()[1])


def test_what_no_page_can_hold_is_refused_in_one_line() -> None:
    wrong: list[tuple[dict[str, Any], type[Exception], str]] = [
        (
            {"widget": "toknes", "still": ""},
            ValueError,
            "no widget 'toknes'; choose one of attention, chat, lora",
        ),
        (
            {"widget": "next", "still": "", "floor": np.float32(1)},
            ValueError,
            "option floor is .* no JSON value",
        ),
        (
            {"widget": "next", "still": "", "floor": float("nan")},
            ValueError,
            "option floor is nan, which is no",
        ),
        ({"widget": "next", "still": "", "lossFloor": 1}, ValueError, "'lossFloor' has no name for the page"),
        ({"widget": "next", "still": 3}, TypeError, "a still is 3; give a text, axes"),
    ]
    for arguments, kind, told in wrong:
        with pytest.raises(kind, match=told) as error:
            figures.live(**arguments)
        assert "\n" not in str(error.value)


def test_a_table_is_also_markdown() -> None:
    assert (
        repr(figures.still_table(["a|b", "n"], [["two\nlines", 3]]))
        == "| a\\|b | n |\n| --- | --- |\n| two lines | 3 |"
    )
    with pytest.raises(ValueError, match="row 1 has 1 cells, the header 2"):
        figures.still_table(["a", "b"], [["one"]])


def test_the_page_knows_no_widget_that_python_does_not_and_has_a_file_for_each() -> None:
    known = set(re.findall(r"(\w+): \(\) => import", (LIVE / "page.js").read_text(encoding="utf-8")))
    assert known and known <= set(WIDGETS)
    assert {Path(path).name for path in LIVE.glob("widget_*.js")} == {f"widget_{name}.js" for name in known}
