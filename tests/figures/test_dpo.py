"""The figures of the chapter on DPO: what they draw, point by point."""

from __future__ import annotations

import numpy as np
import pytest

from minillm import figures


def texts(labels):
    return [label.get_text() for label in labels]


def run(chosen, rejected):
    return [
        {"step": 5 * (i + 1), "val_chosen_displacement": one, "val_rejected_displacement": other}
        for i, (one, other) in enumerate(zip(chosen, rejected, strict=True))
    ]


def test_displacement_curves_start_at_the_reference_and_have_a_band_of_the_seeds():
    axes = figures.displacement_curves([run([-1.0, -2.0], [-2.0, -6.0]), run([1.0, -4.0], [-3.0, -8.0])])
    chosen, rejected, zero = axes.lines
    assert chosen.get_xydata().tolist() == [[0, 0], [5, 0], [10, -3]]
    assert rejected.get_xydata().tolist() == [[0, 0], [5, -2.5], [10, -7]]
    assert zero.get_ydata()[0] == 0
    heights = axes.collections[0].get_paths()[0].vertices[:, 1]
    assert (heights.min(), heights.max()) == (-4, 1)
    alone = figures.displacement_curves([run([-1.0], [-2.0])])
    assert not alone.collections, "one run has no band"


def test_moved_answers_draw_every_answer_and_the_median_of_its_group():
    groups = {"best": [0.5, 3.0, -1.0], "worst": [-20.0, -4.0]}
    axes = figures.moved_answers(groups)
    assert texts(axes.get_yticklabels()) == ["best (3)", "worst (2)"]
    assert axes.get_ylim()[0] > axes.get_ylim()[1], "the first on top"
    for row, changes in enumerate(groups.values()):
        points, bar = axes.lines[2 * row : 2 * row + 2]
        assert points.get_xdata() == pytest.approx(changes)
        assert np.abs(np.array(points.get_ydata()) - row).max() < 0.4, "no point in another row"
        assert set(bar.get_xdata()) == {np.median(changes)}
    assert axes.get_xscale() == "symlog"


def test_method_points_draw_each_seed_and_the_mean_of_them():
    methods = {"one": [(10.0, 0.5, 0.9), (30.0, 0.7, 0.7)], "two": [(5.0, 0.1, 0.2)]}
    left, right = figures.method_points(methods, ["gold", "right"], "seconds")
    assert [left.get_title(), right.get_title()] == ["gold", "right"] and left.get_xlabel() == "seconds"
    seeds, mean, *_ = left.lines
    assert seeds.get_xydata().tolist() == [[10, 0.5], [30, 0.7]]
    assert mean.get_xydata().tolist() == pytest.approx(np.array([[20, 0.6]]))
    assert right.lines[1].get_xydata().tolist() == pytest.approx(np.array([[20, 0.8]]))
    assert texts(left.figure.legends[0].get_texts()) == ["one", "two"]
