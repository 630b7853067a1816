"""Figures: what they draw, that they leave no traces in the settings, and the displays for code and tokens."""

from __future__ import annotations

import doctest
import inspect

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import pytest

from minillm import figures
from minillm.text.bpe import merge_pair

CURVES = {"village": [1.0, 2.0, 4.0], "Chinese": [1.0, 1.0, 1.0]}
BARS = {
    "village": {"ours": 4.0, "GPT-4": 3.5},
    "English": {"ours": 3.0, "GPT-4": 4.5},
    "code": {"ours": 1.5, "GPT-4": 4},
}


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def draw_all():
    yield figures.compression_curve(CURVES, [260, 512, 2048])
    yield figures.token_frequencies({"bytes": [5, 1, 9], "tokens": [2, 0, 2, 1]})
    yield figures.compression_bars(BARS)


def test_figures_return_labelled_axes_on_a_white_ground():
    for axes in draw_all():
        assert axes.get_xlabel()
        assert axes.get_legend() is not None
        assert axes.figure.get_facecolor() == (1, 1, 1, 1)
        axes.figure.draw_without_rendering()


def test_settings_are_put_back_and_interactivity_is_left_alone():
    before = dict(plt.rcParams)
    plt.ion()
    try:
        list(draw_all())
        assert plt.isinteractive()
        after = dict(plt.rcParams)
    finally:
        plt.ioff()
    assert {name: after[name] for name in figures.STYLE} == {name: before[name] for name in figures.STYLE}


def test_settings_are_put_back_when_drawing_fails():
    before = plt.rcParams["axes.grid"]
    with pytest.raises(ValueError, match="broken"):
        figures.styled(lambda: (_ for _ in ()).throw(ValueError("broken")))()
    assert plt.rcParams["axes.grid"] == before


def test_compression_curve_draws_the_values():
    axes = figures.compression_curve(CURVES, [260, 512, 2048])
    lines = {line.get_label(): line for line in axes.get_lines()}
    assert list(lines["village"].get_ydata()) == CURVES["village"]
    assert list(lines["Chinese"].get_xdata()) == [260, 512, 2048]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["260", "512", "2,048"]
    assert axes.get_ylim()[0] == 0


def test_token_frequencies_are_sorted_shares_without_zeros():
    axes = figures.token_frequencies({"tokens": [2, 0, 5, 1]})
    (line,) = axes.get_lines()
    assert list(line.get_xdata()) == [1, 2, 3]
    assert list(line.get_ydata()) == pytest.approx([62.5, 25.0, 12.5])


def test_compression_bars_have_one_bar_for_each_text_and_tokenizer():
    axes = figures.compression_bars(BARS)
    widths = [[bar.get_width() for bar in bars] for bars in axes.containers]
    assert widths == [[4.0, 3.0, 1.5], [3.5, 4.5, 4]]
    assert [label.get_text() for label in axes.get_yticklabels()] == list(BARS)
    edges = sorted((bar.get_y(), bar.get_y() + bar.get_height()) for bars in axes.containers for bar in bars)
    assert all(end <= start for (_, end), (start, _) in zip(edges, edges[1:], strict=False))


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
    method = figures.show_source(figures.TokenBoxes.__init__)
    assert repr(method).startswith("def __init__")


def test_examples_in_docstrings():
    assert doctest.testmod(figures).failed == 0
