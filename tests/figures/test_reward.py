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


def test_margin_histogram_counts_each_pair_once():
    axes = figures.margin_histogram({"kind": [0.5, 1.5, -0.5], "correct": [2.0, -2.0]}, bins=8)
    kind, correct = axes.containers
    assert sum(bar.get_height() for bar in kind) == 3
    assert sum(bar.get_height() for bar in correct) == 2
    edges = [bar.get_x() for bar in kind]
    assert edges[0] == -2 and any(edge == pytest.approx(0) for edge in edges), "no bar lies across zero"
    assert texts(axes.get_legend().get_texts()) == ["kind", "correct"]


def test_margin_histogram_takes_a_kind_without_pairs():
    axes = figures.margin_histogram({"kind": [0.5], "none": []}, bins=2)
    assert [sum(bar.get_height() for bar in bars) for bars in axes.containers] == [1, 0]


def test_calibration_curve_draws_groups_with_their_errors():
    axes = figures.calibration_curve({"trained": [(0.55, 0.5, 100), (0.9, 0.8, 64)]})
    diagonal, points = axes.lines[0], axes.containers[0]
    assert diagonal.get_xydata().tolist() == [[50, 50], [100, 100]]
    assert points.lines[0].get_xydata().tolist() == pytest.approx(np.array([[55, 50], [90, 80]]))
    ends = points.lines[2][0].get_segments()
    assert [end[1][1] for end in ends] == pytest.approx([50 + 200 * 0.05, 80 + 200 * 0.05])
    assert set(texts(axes.get_legend().get_texts())) == {"kept its word", "trained"}


def test_score_scatter_draws_each_answer():
    axes = figures.score_scatter({"right": ([0.9, 1.0], [0.5, -0.25]), "wrong": ([0.4], [0.125])})
    right, wrong = axes.collections
    assert right.get_offsets().tolist() == [[0.9, 0.5], [1.0, -0.25]]
    assert wrong.get_offsets().tolist() == [[0.4, 0.125]]


def test_flaw_bars_of_no_kinds_are_empty():
    axes = figures.flaw_bars({"one": {}, "two": {}})
    assert texts(axes.get_yticklabels()) == []


def test_flaw_bars_draw_each_kind_of_each_model():
    axes = figures.flaw_bars(
        {
            "one": {"correct": (0.75, 100), "kind": (1.0, 25)},
            "two": {"correct": (0.5, 100), "kind": (0.25, 25)},
        }
    )
    assert texts(axes.get_yticklabels()) == ["correct (100)", "kind (25)"]
    bars = [container for container in axes.containers if hasattr(container, "patches")]
    assert [[bar.get_width() for bar in group] for group in bars] == [[75, 100], [50, 25]]
    assert bars[1][0].get_y() > bars[0][0].get_y() and axes.get_ylim()[0] > axes.get_ylim()[1]
    assert axes.lines[-1].get_xdata()[0] == 50
    errors = bars[0].errorbar.lines[2][0].get_segments()
    assert errors[0][1][0] - 75 == pytest.approx(200 * math.sqrt(0.75 * 0.25 / 100))
