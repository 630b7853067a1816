"""The figures of the chapter on scaling: what they draw, point by point."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.patches import FancyBboxPatch

from minillm import figures
from minillm.evaluate import ScalingLaw

LAW = ScalingLaw(0.5, 60.0, 0.45, 4_000.0, 0.7)
SERIES = {40_000: [(150_000, 2.5), (300_000, 1.9)], 1_200_000: [(150_000, 2.0), (300_000, 1.25)]}


def texts(labels):
    return [label.get_text() for label in labels]


def test_scaling_curves_have_points_lines_and_the_floor():
    axes = figures.scaling_curves(SERIES, LAW, 0.5, left_out=[1_200_000])
    seen, seen_law, unseen, unseen_law, floor = axes.lines
    assert seen.get_xydata().tolist() == [[150_000, 2.5], [300_000, 1.9]]
    assert unseen.get_markerfacecolor() == "white" != seen.get_markerfacecolor()
    for line, size in ((seen_law, 40_000), (unseen_law, 1_200_000)):
        for text, height in line.get_xydata()[[0, 17, -1]]:
            assert height == pytest.approx(LAW.loss(size, text))
    assert unseen_law.get_linestyle() == ":" and set(floor.get_ydata()) == {0.5}
    assert axes.get_xscale() == axes.get_yscale() == "log"
    legend = texts(axes.get_legend().get_texts())
    assert legend == ["40k parameters", "1.2M parameters, left out", "entropy floor"]
    assert texts(axes.get_xticklabels()) == ["150k", "300k"]


def test_scaling_curves_join_their_points_where_there_is_no_law():
    axes = figures.scaling_curves(SERIES)
    assert [line.get_linestyle() for line in axes.lines] == ["-", "-"]


def test_floor_samples_show_the_middle_and_the_interval():
    values = list(np.linspace(0.3, 0.7, 41))
    axes = figures.floor_samples({"all": values, "fewer": [0.1] * 5}, 0.51)
    dots, bar, median = axes.lines[:3]
    assert sorted(dots.get_xdata()) == pytest.approx(values)
    assert list(bar.get_xdata()) == pytest.approx([0.31, 0.69])
    assert median.get_xdata()[0] == pytest.approx(0.5)
    assert axes.lines[-1].get_xdata()[0] == 0.51
    assert texts(axes.get_yticklabels()) == ["all", "fewer"]


def test_size_curves_have_their_star_at_the_lowest_place():
    flops = [1e12, 2e13]
    axes = figures.size_curves(
        LAW, flops, measured=[(50_000, 3_000_000, 1.5), (2e6, 2e6, 0.9), (1e5, 1e7, 2.0)]
    )
    curves, stars = axes.lines[0:4:2], axes.lines[1:4:2]
    for curve, star, amount in zip(curves, stars, flops, strict=True):
        (size, lowest), *_ = star.get_xydata()
        assert size == pytest.approx(LAW.best_size(amount))
        assert lowest <= min(curve.get_ydata()) * (1 + 1e-9)
        tried, height = curve.get_xydata()[11]
        assert height == pytest.approx(LAW.loss(tried, amount / 6 / tried))
    assert [point.get_xdata()[0] for point in axes.lines[4:]] == [50_000, 2e6], "not the run between the two"
    assert [point.get_color() for point in axes.lines[4:]] == [stars[0].get_color(), stars[1].get_color()]
    assert texts(axes.get_legend().get_texts())[1] == r"$2 \times 10^{13}$ operations"


def test_step_stairs_are_sorted_by_the_true_weight():
    axes = figures.step_stairs([0.3, -0.2, 0.1], {"4 bits": [0.4, 0.0, 0.2]})
    exact, stairs = axes.lines
    assert list(exact.get_xdata()) == list(exact.get_ydata()) == [-0.2, 0.1, 0.3]
    assert list(stairs.get_ydata()) == [0.0, 0.2, 0.4]


@pytest.mark.parametrize("kind", ["data", "tensor", "pipeline"])
def test_drawings_lie_inside_their_axes_and_do_not_overlap(kind):
    axes = figures.parallel_drawing(kind)
    boxes = [patch.get_bbox() for patch in axes.patches if isinstance(patch, FancyBboxPatch)]
    assert len(boxes) >= 6
    for index, box in enumerate(boxes):
        assert 0 <= box.x0 < box.x1 <= 10 and 0 <= box.y0 < box.y1 <= 4.2
        assert not any(box.overlaps(other) for other in boxes[index + 1 :])


def test_a_pipeline_waits_as_long_as_its_formula_says():
    """Of 3 devices and 4 pieces each waits (3 - 1) / (4 + 3 - 1) of the time; no piece is in two places at once."""
    axes = figures.parallel_drawing("pipeline")
    boxes = [patch for patch in axes.patches if isinstance(patch, FancyBboxPatch)]
    numbers = [text.get_text() for text in axes.texts if text.get_text().isdecimal() or not text.get_text()]
    assert numbers.count("") / len(boxes) == pytest.approx(2 / 6)
    columns: dict[float, list[str]] = {}
    for box, number in zip(boxes, numbers, strict=True):
        if number:
            columns.setdefault(round(box.get_x(), 3), []).append(number)
    assert all(len(set(column)) == len(column) for column in columns.values())
    assert all(numbers.count(str(piece)) == 2 * 3 for piece in range(1, 5))


def test_an_unknown_drawing_is_told():
    with pytest.raises(ValueError, match="kind is 'expert'; choose one of data, tensor, pipeline"):
        figures.parallel_drawing("expert")
