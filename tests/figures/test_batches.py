"""The figures of the chapter on epochs and batches: what they draw, line by line and band by band."""

from __future__ import annotations

import math

import numpy as np
import pytest

from minillm import figures


def labels(ticks):
    return [tick.get_text() for tick in ticks]


def named(axes):
    return {line.get_label(): line for line in axes.lines}


def band(collection):
    """Lower and upper edge of a band by horizontal position."""
    edges = {}
    for x, y in collection.get_paths()[0].vertices:
        edges.setdefault(x, set()).add(y)
    return {x: (min(ys), max(ys)) for x, ys in edges.items()}


def run(losses, validations):
    """Metrics of a run with these training losses, and these validations after every second step."""
    lines = [{"step": step, "loss": loss} for step, loss in enumerate(losses, start=1)]
    return lines + [{"step": 2 * i, "val_loss": value} for i, value in enumerate(validations, start=1)]


SEEDS = [run([8.0, 4.0, 2.0, 1.0], [4.0, 5.0]), run([6.0, 4.0, 2.0, 2.0], [2.0, 4.0])]


def test_batch_picture_tells_documents_and_padding_apart():
    axes = figures.batch_picture([[0, 0, 0, 1, 1], [0, 1, 2, -1, -1]])
    mesh = axes.collections[0]
    assert mesh.get_array().reshape(2, 5).tolist() == [[1, 1, 1, 2, 2], [1, 2, 1, 0, 0]]
    borders = [tuple(line.get_xdata()) for line in axes.lines if line.get_xdata()[0] == line.get_xdata()[1]]
    assert borders == [(3, 3), (1, 1), (2, 2), (3, 3)]
    assert axes.get_ylim() == (2, 0), "the first row stands at the top"
    assert axes.get_xlim() == (0, 5)
    assert labels(axes.get_legend().get_texts()) == ["a document", "the next one", "padding"]
    axes.figure.draw_without_rendering()


def test_noise_curve_draws_the_law_from_the_first_point_and_the_signal():
    noise = {"before": {1: 3.0, 4: 1.5}, "after": {1: 8.0, 4: 4.2}}
    axes = figures.noise_curve(noise, {"before": 0.75}, "length (unit)", up_to=64)
    lines = named(axes)
    assert list(lines["noise before"].get_ydata()) == [3.0, 1.5]
    assert list(lines["noise after"].get_ydata()) == [8.0, 4.2]
    laws = [line for line in axes.lines if line.get_linestyle() == ":"]
    assert [list(law.get_xdata()) for law in laws] == [[1, 64], [1, 64]]
    assert laws[0].get_ydata() == pytest.approx([3.0, 3 / 8]) and laws[1].get_ydata() == pytest.approx([8, 1])
    assert set(lines["signal before"].get_ydata()) == {0.75} and "signal after" not in lines
    assert lines["signal before"].get_color() == lines["noise before"].get_color()
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert labels(axes.get_xticklabels()) == ["1", "4", "16", "64"]
    assert labels(axes.get_yticklabels()) == ["0.5", "1", "2", "5"], "plain numbers, inside the picture"
    assert axes.get_xlabel().endswith(", log scale") and axes.get_ylabel() == "length (unit), log scale"
    axes.figure.draw_without_rendering()


def test_sweep_curve_draws_mean_and_range():
    axes = figures.sweep_curve(
        {"all": {0.1: [1.0, 3.0], 1.0: [2.0, 2.5]}},
        "rate",
        "loss",
        floor=0.5,
        log_y=True,
        levels={"ln V": 7.0},
    )
    assert [text.get_text() for text in axes.texts] == ["ln V"]
    assert list(named(axes)["all"].get_ydata()) == [2.0, 2.25]
    assert band(axes.collections[0]) == {0.1: (1.0, 3.0), 1.0: (2.0, 2.5)}
    assert named(axes)["entropy floor"].get_ydata()[0] == 0.5
    assert labels(axes.get_xticklabels()) == ["0.1", "1"]
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("rate, log scale", "loss, log scale")
    axes.figure.draw_without_rendering()


def test_sweep_curve_draws_the_median_where_it_is_asked_to():
    results = {1: [1.0, 2.0, 9.0]}
    assert list(figures.sweep_curve({"a": results}, "x", "y", median=True).lines[0].get_ydata()) == [2.0]
    assert list(figures.sweep_curve({"a": results}, "x", "y").lines[0].get_ydata()) == [4.0]


def test_colours_keep_their_meaning():
    """The validation loss and the floor look alike wherever they are drawn; nothing else has the floor's colour."""
    [panel] = figures.epoch_panels({"one": SEEDS}, floor=0.5)
    validation, floor = (named(panel)[name].get_color() for name in ("validation", "entropy floor"))
    sweep = figures.sweep_curve({"a": {1: [2.0]}, "b": {1: [3.0]}}, "x", "y", floor=0.5)
    assert named(sweep)["a"].get_color() == validation and named(sweep)["entropy floor"].get_color() == floor
    assert named(sweep)["b"].get_color() not in (validation, floor)
    names = ["a", "b", "c", "d"]
    runs = named(figures.run_bands(dict.fromkeys(names, SEEDS)))
    shares = named(figures.schedule_curve(dict.fromkeys(names, [1.0, 0.5])))
    assert [runs[name].get_color() for name in names] == [shares[name].get_color() for name in names]
    assert floor not in {runs[name].get_color() for name in names}


def test_sweep_curve_of_one_quantity_starts_at_zero_and_needs_no_legend():
    axes = figures.sweep_curve({"": {1: [10.0], 1000: [70.0]}}, "rows", "tokens per second")
    assert axes.get_ylim()[0] == 0 and axes.get_legend() is None
    assert labels(axes.get_xticklabels()) == ["1", "1,000"]


def test_run_bands_draws_each_setting_over_its_seeds():
    axes = figures.run_bands({"a": SEEDS, "b": SEEDS[:1]}, floor=0.25)
    assert list(named(axes)["a"].get_xdata()) == [2, 4]
    assert list(named(axes)["a"].get_ydata()) == [3.0, 4.5]
    assert list(named(axes)["b"].get_ydata()) == [4.0, 5.0]
    assert band(axes.collections[0]) == {2: (2.0, 4.0), 4: (4.0, 5.0)}
    assert axes.get_yscale() == "log" and axes.get_ylim()[0] < 0.25
    assert axes.get_ylabel() == "loss (nats per token), log scale"
    axes.figure.draw_without_rendering()


def test_run_bands_draws_the_training_loss_as_well():
    axes = figures.run_bands({"a": SEEDS}, key="loss")
    assert list(named(axes)["a"].get_ydata()) == [7.0, 4.0, 2.0, 1.5]
    assert labels(axes.get_legend().get_texts()) == ["a"]


def test_run_bands_has_a_linear_axis_for_close_losses():
    axes = figures.run_bands({"a": [run([], [3.0, 2.5, 2.25])]})
    assert axes.get_yscale() == "linear" and axes.get_ylabel() == "loss (nats per token)"


def test_run_bands_leaves_out_what_one_seed_lacks():
    diverged = [{"step": 1, "loss": 2.0}, {"step": 2, "loss": None}]
    axes = figures.run_bands({"a": [diverged, SEEDS[0]]}, key="loss")
    assert list(named(axes)["a"].get_xdata()) == [1]


def test_epoch_panels_compares_training_and_validation_and_marks_the_best():
    first, second = figures.epoch_panels({"much": SEEDS, "little": [run([0.25] * 4, [1.0, 2.0])]}, floor=0.5)
    assert (first.get_title(), second.get_title()) == ("much", "little")
    lines = named(first)
    assert list(lines["training"].get_xdata()) == [2, 4]
    assert list(lines["training"].get_ydata()) == pytest.approx([(6 + 5) / 2, (1.5 + 2) / 2])
    assert list(lines["validation"].get_ydata()) == [3.0, 4.5]
    mark = lines["best validation"]
    assert (np.ravel(mark.get_xdata())[0], np.ravel(mark.get_ydata())[0]) == (2, 3.0)
    assert lines["entropy floor"].get_ydata()[0] == 0.5
    assert first.get_ylim() == second.get_ylim() and first.get_ylim()[0] < 0.25, (
        "the lowest panel is seen whole"
    )
    first.figure.draw_without_rendering()


def test_schedule_curve_counts_steps_from_one():
    axes = figures.schedule_curve({"fall": [1.0, 0.5, 0.0], "flat": [1.0, 1.0, 1.0]})
    assert list(named(axes)["fall"].get_xdata()) == [1, 2, 3]
    assert list(named(axes)["fall"].get_ydata()) == [1.0, 0.5, 0.0]
    assert axes.get_ylim()[0] == 0 and math.isclose(axes.get_ylim()[1], 1.05)


def test_a_sweep_marks_the_settings_of_all_curves():
    axes = figures.sweep_curve({"one": {1: [2.0], 4: [3.0]}, "other": {2: [1.0], 8: [2.5]}}, "x", "y")
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "2", "4", "8"]
