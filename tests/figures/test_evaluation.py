"""The figures of the chapter on evaluation: what they draw, point by point."""

from __future__ import annotations

import pytest

from minillm import figures


def texts(labels):
    return [label.get_text() for label in labels]


def test_rating_points_draw_each_player_of_each_judge():
    axes = figures.rating_points(
        {
            "gold": {"sft": (990.0, 980.0, 1005.0), "ppo": (1010.0, 1000.0, 1030.0)},
            "taste": {"ppo": (1100, 1090, 1110)},
        }
    )
    assert texts(axes.get_yticklabels()) == ["sft", "ppo"]
    gold, taste = axes.containers
    assert gold.lines[0].get_xdata().tolist() == [990, 1010]
    ends = [segment[:, 0].tolist() for segment in gold.lines[2][0].get_segments()]
    assert ends == [[980, 1005], [1000, 1030]]
    assert [round(y) for y in taste.lines[0].get_ydata()] == [1]
    assert texts(axes.get_legend().get_texts()) == ["gold", "taste"]


def test_needed_curves_have_points_of_a_hundred():
    axes = figures.needed_curves({"own tasks": {0.01: 1000.0, 0.1: 10.0}}, {"here": 100.0})
    assert axes.lines[0].get_xdata() == pytest.approx([1, 10])
    assert axes.lines[0].get_ydata() == pytest.approx([1000, 10])
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert axes.lines[1].get_ydata()[0] == 100


def test_mark_bars_add_up_to_all():
    shares = {
        "sums": {"right": 0.5, "made up": 0.25, "no answer": 0.25},
        "today": {"right": 0.125, "no answer": 0.875},
    }
    without, tools = figures.mark_bars(
        {"without": shares, "with": {"sums": {"right": 1.0}, "today": {"right": 1.0}}}
    )
    right, made_up, nothing = without.containers
    assert [bar.get_width() for bar in right] == [50, 12.5]
    assert [bar.get_x() for bar in made_up] == [50, 12.5]
    assert [bar.get_x() + bar.get_width() for bar in nothing] == [100, 100]
    assert [bar.get_width() for bar in tools.containers[0]] == [100, 100]
    assert tools.get_title() == "with"


def test_inflation_curve_draws_the_variants():
    axes = figures.inflation_curve([(1, 1000.0), (10, 1025.0)], 1000.0)
    assert axes.lines[1].get_xdata().tolist() == [1, 10]
    assert axes.lines[1].get_ydata().tolist() == [1000, 1025]
    assert axes.lines[0].get_ydata()[0] == 1000
