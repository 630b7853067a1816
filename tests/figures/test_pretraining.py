"""The figures of the chapter on pretraining: what they draw, label by label and bar by bar."""

from __future__ import annotations

import math

import pytest

from minillm import figures

PANELS = {"(nothing)": {"A": 0.25, "\n": 0.125}, "sure": {" lake": 1.0, " mill": 0.0, " ": 0.0}}
METRICS = [
    {"step": 1, "loss": 8.0, "tokens": 100},
    {"step": 2, "loss": 4.0, "tokens": 200},
    {"step": 2, "val_loss": 3.0},
]


def labels(ticks):
    return [tick.get_text() for tick in ticks]


def test_next_token_bars_draws_a_panel_for_each_prefix():
    first, second = figures.next_token_bars(PANELS)
    assert (first.get_title(), second.get_title()) == ("(nothing)", "sure")
    assert labels(first.get_yticklabels()) == ["A", "↵"]
    assert labels(second.get_yticklabels()) == ["lake", "mill", "␣"]
    assert [bar.get_width() for bar in first.patches] == [0.25, 0.125]
    assert first.get_ylim() == second.get_ylim(), "one row is as high in every panel"
    assert first.get_ylim()[0] > first.get_ylim()[1], "the most probable token stands at the top"
    first.figure.draw_without_rendering()


def test_next_token_bars_draws_one_panel_as_well():
    assert len(figures.next_token_bars({"alone": {"x": 1.0}})) == 1


def test_token_bars_sets_rows_side_by_side():
    axes = figures.token_bars(
        ["The", " cat", "\n"], {"left": [1.0, 2.0, 0.0], "both": [0.5, 0.0, 3.0]}, "nats"
    )
    assert [bar.get_height() for bar in axes.patches] == [1.0, 2.0, 0.0, 0.5, 0.0, 3.0]
    centres = [bar.get_x() + bar.get_width() / 2 for bar in axes.patches]
    assert centres == pytest.approx([-0.2, 0.8, 1.8, 0.2, 1.2, 2.2])
    assert labels(axes.get_xticklabels()) == ["The", "cat", "↵"]
    assert axes.get_ylabel() == "nats"
    assert labels(axes.get_legend().get_texts()) == ["left", "both"]


def test_token_bars_needs_no_legend_for_one_row():
    assert figures.token_bars(["a"], {"only": [1.0]}, "nats").get_legend() is None


def test_loss_curve_draws_both_losses_the_floor_and_the_levels():
    axes = figures.loss_curve(METRICS, floor=0.5, levels={"ln V": 7.6})
    lines = {line.get_label(): line for line in axes.lines}
    assert list(lines["training"].get_ydata()) == [8.0, 4.0]
    assert list(lines["validation"].get_xdata()) == [2]
    assert lines["entropy floor"].get_ydata()[0] == 0.5
    assert any(line.get_ydata()[0] == 7.6 for line in axes.lines)
    assert [text.get_text() for text in axes.texts] == ["ln V"]
    assert axes.get_yscale() == "log" and axes.get_ylim()[0] < 0.5
    axes.figure.draw_without_rendering()


def test_loss_curve_does_without_floor_levels_and_validation():
    axes = figures.loss_curve(METRICS[:2])
    assert labels(axes.get_legend().get_texts()) == ["training"]


def test_repetition_curve_shows_never_and_often_on_one_axis():
    axes = figures.repetition_curve({0: 12.0, 1: 11.0, 64: 0.5}, "nats", {"a guess": 4 * math.log(20)})
    assert list(axes.lines[0].get_xdata()) == [0, 1, 64]
    assert labels(axes.get_xticklabels()) == ["0", "1", "64"]
    assert axes.get_ylim()[0] == 0
    assert [text.get_text() for text in axes.texts] == ["a guess"]
    axes.figure.draw_without_rendering()
