"""The figures of the chapter on supervised fine-tuning: what they draw, bar by bar and point by point."""

from __future__ import annotations

import pytest

from minillm import figures


def texts(labels):
    return [label.get_text() for label in labels]


def test_accuracy_bars_draw_each_family_of_each_model():
    axes = figures.accuracy_bars(
        {"base": {"village": 0.25, "world": 0.5}, "tuned": {"village": 0.75, "same": 1.0}}, {"chance": 0.125}
    )
    assert texts(axes.get_yticklabels()) == ["village", "world", "same"]
    base, tuned = axes.containers
    assert [bar.get_width() for bar in base] == pytest.approx([25, 50])
    assert [bar.get_width() for bar in tuned] == pytest.approx([75, 100])
    rows = [round(bar.get_y() + bar.get_height() / 2) for container in axes.containers for bar in container]
    assert rows == [0, 1, 0, 2], "each bar lies in the row of its family"
    assert tuned[0].get_y() > base[0].get_y(), "the axis points down: the first model stands above"
    assert axes.get_ylim()[0] > axes.get_ylim()[1]
    assert axes.lines[0].get_xdata()[0] == 12.5
    assert texts(axes.get_legend().get_texts()) == ["chance", "base", "tuned"]


def test_accuracy_bars_do_not_overlap():
    models = {name: {"village": 0.5, "world": 0.5} for name in ("a", "b", "c")}
    axes = figures.accuracy_bars(models)
    edges = sorted((bar.get_y(), bar.get_y() + bar.get_height()) for bars in axes.containers for bar in bars)
    assert all(one[1] < other[0] for one, other in zip(edges, edges[1:], strict=False))


def test_trade_off_names_its_points():
    axes = figures.trade_off(
        {"rates": {"low": (0.75, 0.25), "high": (3.0, 0.5)}, "mixed": {"_crowded": (0.8, 0.6)}}, 0.6
    )
    rates, mixed, before = axes.lines
    assert list(zip(*rates.get_data(), strict=True)) == [(0.75, 25), (3.0, 50)]
    assert mixed.get_xydata()[0].tolist() == pytest.approx([0.8, 60])
    assert before.get_xdata()[0] == 0.6
    assert [text.get_text() for text in axes.texts] == ["low", "high"]
    assert axes.get_xscale() == "log" and axes.get_ylim() == (0, 100)
    low, high = axes.get_xlim()
    assert low < 0.6 and high > 3.0
    assert texts(axes.get_legend().get_texts()) == ["rates", "mixed", "the base model"]


def test_whiskers_are_wilson_intervals():
    """Eight of ten: 49.0 to 94.3 % by his formula, worked out by hand; none of ten: 0 to 27.8 %."""
    asked = {"few": {"village": 10, "world": 10}}
    axes = figures.accuracy_bars({"few": {"village": 0.8, "world": 0.0}}, counts=asked)
    (bars,) = axes.containers[1:] if len(axes.containers) > 1 else axes.containers
    segments = bars.errorbar.lines[2][0].get_segments()
    ends = [sorted(point[0] for point in segment) for segment in segments]
    assert ends[0] == pytest.approx([49.02, 94.33], abs=0.01)
    assert ends[1] == pytest.approx([0, 27.75], abs=0.01)


def test_one_model_needs_no_name():
    axes = figures.accuracy_bars({"": {"one": 0.5}}, what="facts right (%)")
    assert axes.get_legend() is None and axes.get_xlabel() == "facts right (%)"
