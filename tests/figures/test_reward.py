"""The figures of the chapter on the reward model: what they draw, point by point."""

from __future__ import annotations

import math

import numpy as np
import pytest

from minillm import figures


def texts(labels):
    return [label.get_text() for label in labels]


def test_pair_loss_curve_draws_loss_and_its_slope():
    axes = figures.pair_loss_curve({"right": 2.0, "wrong": -1.0}, reach=4.0)
    loss, pull, *marks = axes.lines
    m, nats = loss.get_data()
    assert (m[0], m[-1]) == (-4, 4)
    assert nats == pytest.approx([math.log(1 + math.exp(-value)) for value in m])
    slope = -np.gradient(nats, m)
    assert pull.get_ydata()[5:-5] == pytest.approx(slope[5:-5], abs=1e-3), "the pull is the slope of the loss"
    assert marks[0].get_xydata().tolist() == pytest.approx(np.array([[2.0, math.log(1 + math.exp(-2))]]))
    assert texts(axes.texts) == ["right", "wrong"]
    assert axes.get_ylim()[0] == 0


def test_calibration_curve_draws_groups_with_their_errors():
    axes = figures.calibration_curve({"trained": [(0.55, 0.5, 100), (0.9, 0.8, 64)]})
    diagonal, points = axes.lines[0], axes.containers[0]
    assert diagonal.get_xydata().tolist() == [[50, 50], [100, 100]]
    assert points.lines[0].get_xydata().tolist() == pytest.approx(np.array([[55, 50], [90, 80]]))
    ends = points.lines[2][0].get_segments()
    assert [end[1][1] for end in ends] == pytest.approx([50 + 200 * 0.05, 80 + 200 * 0.05])
    assert set(texts(axes.get_legend().get_texts())) == {"as promised", "trained"}


def test_share_points_draw_each_share_with_its_interval():
    axes = figures.share_points(
        {
            "one": {
                "story": (0.75, 0.5, 1.0, 40),
                "none": (0.0, 0.0, 0.0, 0),
                "world": (0.25, 0.125, 0.5, 8),
            },
            "two": {"story": (0.5, 0.25, 0.75, 40), "none": (0.0, 0.0, 0.0, 0), "world": (1.0, 1.0, 1.0, 8)},
        },
        "right (%)",
    )
    assert texts(axes.get_yticklabels()) == ["story (40)", "world (8)"], "a kind without pairs has no row"
    one, two, coin = axes.lines
    assert one.get_xdata().tolist() == [75, 25] and two.get_xdata().tolist() == [50, 100]
    assert (one.get_ydata() < two.get_ydata()).all() and axes.get_ylim()[0] > axes.get_ylim()[1], (
        "in their order"
    )
    assert coin.get_xdata()[0] == 50
    intervals = axes.collections[0].get_segments()
    assert [(line[0][0], line[1][0]) for line in intervals] == [(50, 100), (12.5, 50)]
    assert [line[0][1] for line in intervals] == one.get_ydata().tolist(), "each on the height of its point"
    assert axes.get_xlabel() == "right (%)"
