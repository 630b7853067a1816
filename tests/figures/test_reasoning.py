"""The figures of the chapter on reasoning: what they draw, line by line."""

from __future__ import annotations

import numpy as np
import pytest

from minillm import figures


def test_pass_curves_draw_means_bands_and_guesses():
    before, after = [{1: 0.2, 4: 0.6}, {1: 0.4, 4: 0.8}], [{1: 0.9, 4: 1.0}]
    panels = {
        "sums": {"before": before, "after": after, "blind guesses": [{1: 0.1, 4: 0.3}]},
        "facts": {"after": after},
    }
    sums, facts = figures.pass_curves(panels)
    assert [axes.get_title() for axes in (sums, facts)] == ["sums", "facts"]
    mean, single, guess = sums.lines
    np.testing.assert_allclose(mean.get_xydata(), [[1, 30], [4, 70]])
    np.testing.assert_allclose(single.get_xydata(), [[1, 90], [4, 100]])
    assert guess.get_linestyle() == ":" and single.get_linestyle() == mean.get_linestyle() == "-"
    (band,) = sums.collections
    heights = band.get_paths()[0].vertices[:, 1]
    assert (heights.min(), heights.max()) == pytest.approx((20, 80))
    assert sums.get_xscale() == "log" and "logarithmic" in sums.get_xlabel()
    assert facts.lines[0].get_color() == single.get_color() != mean.get_color(), "one colour for a name"
    legend = [text.get_text() for text in sums.figure.legends[0].get_texts()]
    assert legend == ["before", "after", "blind guesses"], "each name once"


@pytest.mark.parametrize("n, rows, columns", [(1, 1, 1), (2, 1, 2), (4, 2, 3), (6, 2, 3)])
def test_pass_curves_have_a_panel_for_each_kind(n, rows, columns):
    panels = {f"kind {i}": {"before": [{1: 0.5, 2: 0.5}]} for i in range(n)}
    drawn = figures.pass_curves(panels)
    grid = drawn[0].get_subplotspec().get_gridspec()
    assert (len(drawn), grid.nrows, grid.ncols) == (n, rows, columns)
    assert drawn[0].figure.axes == drawn
    assert all(axes.get_xlabel() for axes in drawn[-columns:])


def test_shift_points_draw_groups_with_their_intervals():
    axes = figures.shift_points({"policy": [(0.1, 0.2, 0.05), (0.5, 0.9, 0.1)], "control": [(0.1, 0.1, 0.0)]})
    diagonal = axes.lines[0]
    policy, control = (container.lines[0] for container in axes.containers)
    assert diagonal.get_xydata().tolist() == [[0, 0], [100, 100]]
    np.testing.assert_allclose(policy.get_xydata(), [[10, 20], [50, 90]])
    np.testing.assert_allclose(control.get_xydata(), [[10, 10]])
    (bars,) = axes.containers[0].lines[2]
    np.testing.assert_allclose([segment[:, 1] for segment in bars.get_segments()], [[15, 25], [80, 100]])
    legend = {text.get_text() for text in axes.get_legend().get_texts()}
    assert legend == {"no change", "policy", "control"}
