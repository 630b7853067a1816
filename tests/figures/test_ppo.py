"""The figures of the chapter on PPO: what they draw, line by line."""

from __future__ import annotations

import numpy as np
import pytest

from minillm import figures


def texts(labels):
    return [label.get_text() for label in labels]


def run(offset, steps=(1, 2, 3)):
    """Metrics of a short run: the reward at every step, the gold score at the first and last."""
    lines = [{"step": step, "reward": step + offset, "kl": step**2} for step in steps]
    for line in (lines[0], lines[-1]):
        line["held_out_gold_score"] = 0.5 + offset / 10
    return lines


def test_clip_curves_draw_the_clipped_objective():
    good, bad = figures.clip_curves(0.25)
    for axes, advantage in ((good, 1.0), (bad, -1.0)):
        plain, clipped, start = axes.lines
        for ratio, value in zip(*clipped.get_data(), strict=True):
            bounded = min(max(ratio, 0.75), 1.25)
            assert value == pytest.approx(min(ratio * advantage, bounded * advantage))
        np.testing.assert_allclose(plain.get_ydata(), advantage * plain.get_xdata())
        assert (start.get_xdata(), start.get_ydata()) == ([1], [advantage])
    ratio, objective = good.lines[1].get_data()
    assert objective[ratio > 1.25] == pytest.approx(1.25), "beyond the bound nothing is to be gained"
    assert np.diff(bad.lines[1].get_ydata()[ratio > 1.25]).max() < 0, (
        "but a bad token is pushed back from there"
    )


def test_training_panels_draw_means_and_bands():
    runs = {"leash": [run(0), run(2)], "none": [run(5)]}
    panels = figures.training_panels(runs, {"reward": "learned reward", "held_out_gold_score": "gold"})
    assert [axes.get_title() for axes in panels] == ["learned reward", "gold"]
    leash, alone = panels[0].lines
    assert leash.get_xydata().tolist() == [[1, 2], [2, 3], [3, 4]], "the mean of both seeds"
    assert alone.get_xydata().tolist() == [[1, 6], [2, 7], [3, 8]]
    (band,) = panels[0].collections
    heights = band.get_paths()[0].vertices[:, 1]
    assert (heights.min(), heights.max()) == (1, 5), "from the smallest to the largest of the seeds"
    assert panels[1].lines[0].get_xdata().tolist() == [1, 3], "only the steps that have it"
    assert texts(panels[0].figure.legends[0].get_texts()) == ["leash", "none"]


def test_training_panels_remove_empty_places():
    panels = figures.training_panels({"run": [run(0)]}, {"reward": "reward"}, columns=3)
    assert len(panels) == 1 and panels[0].figure.axes == panels
    assert not panels[0].figure.legends, "one group needs no legend"


def test_training_panels_refuse_an_unknown_quantity():
    with pytest.raises(ValueError, match="'speed'.*metrics"):
        figures.training_panels({"run": [run(0)]}, {"speed": "speed"})


def test_run_gallery_draws_each_broken_run_over_the_healthy_ones():
    broken = {"fast": run(7), "odd": run(9)}
    grid = figures.run_gallery([run(0), run(2)], broken, {"reward": "reward", "kl": "KL"})
    assert len(grid) == 2 and all(len(row) == 2 for row in grid)
    assert [row[0].get_ylabel() for row in grid] == ["fast", "odd"]
    assert [axes.get_title() for axes in grid[0]] == ["reward", "KL"]
    for row, offset in zip(grid, (7, 9), strict=True):
        healthy, own = row[0].lines
        assert healthy.get_ydata().tolist() == [2, 3, 4]
        assert own.get_ydata().tolist() == [1 + offset, 2 + offset, 3 + offset]
    assert grid[0][0].get_ylim() == grid[1][0].get_ylim(), "one scale in a column"
    assert texts(grid[0][0].figure.legends[0].get_texts()) == ["healthy, all seeds", "broken"]


def test_gold_against_kl_draws_paths_and_named_points():
    axes = figures.gold_against_kl(
        {"PPO": [(0.0, 0.7), (3.0, 0.9)], "best of n": [(0.0, 0.7), (1.5, 0.8)]}, {"β = 0.1": (2.0, 0.85)}
    )
    ppo, best, point = axes.lines
    assert ppo.get_xydata().tolist() == [[0, 0.7], [3, 0.9]]
    assert best.get_xydata().tolist() == [[0, 0.7], [1.5, 0.8]]
    assert point.get_xydata().tolist() == [[2.0, 0.85]]
    assert texts(axes.texts) == ["β = 0.1"]
    places = axes.transData.transform([(nats, 0.8) for nats in (0.0, 0.5, 1.0, 2.0, 4.0, 8.0)])[:, 0]
    steps = np.diff(places)
    assert steps[0] == pytest.approx(steps[1]), "even up to 1"
    assert steps[3:] == pytest.approx(steps[2]), "then the same for each doubling"
    assert texts(axes.get_legend().get_texts()) == ["PPO", "best of n"]
