"""The figures of chapter 08 show the numbers that they are given."""

from __future__ import annotations

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import pytest

from minillm import figures


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def test_rank_curves_begin_at_rank_one():
    axes = figures.rank_curves({"real": [60.0, 90.0, 100.0], "random": [40.0, 75.0, 100.0]})
    line = axes.get_lines()[1]
    assert line.get_xdata().tolist() == [1, 2, 3] and line.get_ydata().tolist() == [40.0, 75.0, 100.0]
    assert line.get_label() == "random" and axes.get_xlim() == (1, 3)
    assert "rank" in axes.get_xlabel() and "%" in axes.get_ylabel()


def test_share_curves_mark_the_widths():
    axes = figures.share_curves({"rank 1": {64: 3.0, 128: 1.5}}, {"yours": 128})
    curve, mark = axes.get_lines()
    assert curve.get_xdata().tolist() == [64, 128] and curve.get_ydata().tolist() == [3.0, 1.5]
    assert set(mark.get_xdata()) == {128}
    assert axes.get_xscale() == axes.get_yscale() == "log"
    assert "width" in axes.get_xlabel() and "%" in axes.get_ylabel()
