"""The figures of the chapter on tokens: what they draw."""

from __future__ import annotations

import pytest
from matplotlib.colors import to_hex

from minillm import figures

CURVES = {"village": [1.0, 2.0, 4.0], "Chinese": [1.0, 1.0, 1.0]}
BARS = {
    "GPT-2": {"English": 69, "Chinese": 213},
    "GPT-4": {"English": 70, "Chinese": 135},
    "Qwen": {"English": 71, "Chinese": 73},
}


def draw_all():
    yield figures.compression_curve(CURVES, [260, 512, 2048])
    yield figures.token_frequencies({"bytes": [5, 1, 9], "tokens": [2, 0, 2, 1]})
    yield figures.language_bars(BARS)


def test_figures_return_labelled_axes_on_a_white_ground():
    for axes in draw_all():
        assert axes.get_xlabel()
        assert axes.get_legend() is not None
        assert axes.figure.get_facecolor() == (1, 1, 1, 1)
        axes.figure.draw_without_rendering()


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


def test_language_bars_have_one_bar_for_each_vocabulary_and_language():
    axes = figures.language_bars(BARS)
    widths = [[bar.get_width() for bar in bars] for bars in axes.containers]
    assert widths == [[69, 70, 71], [213, 135, 73]]
    assert [label.get_text() for label in axes.get_yticklabels()] == list(BARS)
    edges = sorted((bar.get_y(), bar.get_y() + bar.get_height()) for bars in axes.containers for bar in bars)
    assert all(end <= start for (_, end), (start, _) in zip(edges, edges[1:], strict=False))


def test_a_language_has_one_colour_in_all_figures():
    """Whatever stands beside it, and in whatever order."""
    lines = figures.compression_curve({"code": [1, 2], "Chinese": [1, 1]}, [260, 512]).get_lines()
    bars = figures.language_bars(BARS).containers
    assert to_hex(lines[1].get_color()) == to_hex(bars[1][0].get_facecolor())
    assert to_hex(lines[0].get_color()) not in {to_hex(bar[0].get_facecolor()) for bar in bars}


def test_logarithmic_axes_are_announced():
    for axes in (
        figures.compression_curve(CURVES, [260, 512, 2048]),
        figures.token_frequencies({"tokens": [2, 5]}),
    ):
        for axis in (axes.xaxis, axes.yaxis):
            assert ("logarithmic" in axis.get_label_text()) == (axis.get_scale() == "log")
