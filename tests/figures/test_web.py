"""The figures of the chapter on web data: what they draw."""

from __future__ import annotations

import pytest

from minillm import figures


def texts(labels):
    return [label.get_text() for label in labels]


def test_kind_bars_stack_what_is_left():
    axes = figures.kind_bars({"all": {"good": 5, "bad": 3}, "after": {"good": 4}})
    good, bad = axes.containers
    assert [bar.get_width() for bar in good] == [5, 4] and [bar.get_width() for bar in bad] == [3, 0]
    assert [bar.get_x() for bar in bad] == [5, 4]
    assert axes.get_ylim()[0] > axes.get_ylim()[1], "the first step stands on top"
    assert texts(axes.get_legend().get_texts()) == ["good", "bad"]


def test_match_curve_is_the_formula():
    axes = figures.match_curve({"a": (14, 8), "b": (1, 2)}, {0.5: 0.25})
    first, second, dots = axes.lines
    at = list(first.get_xdata()).index(0.5)
    assert first.get_ydata()[at] == pytest.approx(100 * (1 - (1 - 1 / 256) ** 14))
    assert second.get_ydata()[at] == pytest.approx(25)
    assert list(dots.get_ydata()) == [25]


def test_step_losses_draw_a_line_for_each_seed():
    axes = figures.step_losses({"one": {"x": 2.0, "y": 1.0}, "two": {"x": 3.0, "y": 1.5}}, {"floor": 0.5})
    assert [list(line.get_ydata()) for line in axes.lines[:2]] == [[2.0, 1.0], [3.0, 1.5]]
    assert texts(axes.get_xticklabels()) == ["x", "y"]
    assert axes.lines[2].get_ydata()[0] == 0.5 and axes.get_ylim()[0] == 0


def test_share_pairs_draw_each_run_in_its_group():
    axes = figures.share_pairs({"before": {"a": [0.5, 1.0], "b": [0.0]}, "after": {"a": [0.25], "b": [0.1]}})
    heights = [list(line.get_ydata()) for line in axes.lines]
    assert heights == [[50, 100], [25], [0], [10]]
    assert [round(line.get_xdata()[0]) for line in axes.lines] == [0, 1, 0, 1]
    assert texts(axes.get_legend().get_texts()) == ["a", "b"]
