"""The displays for code and tokens."""

from __future__ import annotations

import inspect

from minillm import figures
from minillm.figures import text
from minillm.text.bpe import merge_pair


def test_token_boxes_escape_text_and_show_what_cannot_be_seen():
    boxes = figures.token_boxes({"a & b": [b" <b>", b"\n", b"\xe7\x8c", "<|end|>", 73700]})
    page = boxes._repr_html_()
    assert "a &amp; b" in page and "·&lt;b&gt;" in page and "&lt;|end|&gt;" in page and "73700" in page
    assert "<b>" not in page
    assert page.count("<span") == page.count("</span>") == 5
    assert page.count("<div") == page.count("</div>") == 3
    assert repr(boxes) == "a & b: ·<b>|↵|E7 8C|<|end|>|73700"


def test_special_tokens_and_ids_differ_in_colour_from_text():
    backgrounds = {
        figures.token_boxes({"row": [piece]})._repr_html_().split("background:")[1][:7]
        for piece in (b"end", "end", 9)
    }
    assert len(backgrounds) == 3


def test_show_source_is_the_source_of_the_package():
    shown = figures.show_source(merge_pair)
    assert repr(shown) == inspect.getsource(merge_pair).rstrip()
    assert shown._repr_markdown_() == f"````python\n{shown!r}\n````"
    method = figures.show_source(text.TokenBoxes.__init__)
    assert repr(method).startswith("def __init__")
