"""The figures of the chapter on vectors: what they draw, point by point and label by label."""

from __future__ import annotations

import math

import numpy as np
import pytest
from matplotlib.patches import FancyBboxPatch

from minillm import figures

NAMES, KINDS = ["cat", "dog", "soup"], ["animal", "animal", "food"]
POINTS = np.array([[0.0, 1.0], [2.0, 3.0], [4.0, -1.0]])


def labels(ticks):
    return [tick.get_text() for tick in ticks]


def texts(axes):
    return [text.get_text() for text in axes.texts]


def test_toy_space_names_its_axes_and_words():
    axes = figures.toy_space({"cat": (0.9, 0.1, 0.2), "barn": (0, 0, 1)}, ["alive", "edible", "large"])
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_zlabel()) == ("alive", "edible", "large")
    assert [text.strip() for text in texts(axes)] == ["cat", "barn"]
    drop = axes.lines[0].get_data_3d()
    assert [list(line) for line in drop] == [[0.9, 0.9], [0.1, 0.1], [0, 0.2]]
    axes.figure.draw_without_rendering()


def test_word_map_draws_each_kind_in_each_panel_and_writes_the_marked_words():
    before, after = figures.word_map({"before": POINTS, "after": 2 * POINTS}, NAMES, KINDS, marked=["soup"])
    assert (before.get_title(), after.get_title()) == ("before", "after")
    animals, food = after.collections
    assert animals.get_offsets().tolist() == [[0, 2], [4, 6]] and food.get_offsets().tolist() == [[8, -2]]
    assert not np.array_equal(animals.get_facecolor(), food.get_facecolor())
    assert texts(before) == texts(after) == ["soup"]
    (legend,) = before.figure.legends
    assert labels(legend.get_texts()) == ["animal", "food"]
    before.figure.draw_without_rendering()


def test_word_map_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match=r"give \(n, 2\) coordinates"):
        figures.word_map({"now": POINTS[:2]}, NAMES, KINDS)
    with pytest.raises(ValueError, match=r"give \(n, 2\) coordinates"):
        figures.word_map({"now": POINTS}, NAMES, KINDS[:2])
    with pytest.raises(ValueError, match="8 kinds are more than the 7 colours"):
        figures.word_map({"now": np.zeros((8, 2))}, list("abcdefgh"), list("abcdefgh"))


def test_rotary_arrows_turn_against_the_clock_by_the_angle_of_their_place():
    angles = np.array([[0.0, math.pi / 2, math.pi], [0.0, 0.1, 0.2]])
    axes = figures.rotary_arrows(angles, ["fast", "slow"])
    tips = [arrow.xy for arrow in axes.texts]
    assert tips[0] == pytest.approx((0.38, 0)) and tips[2] == pytest.approx((2 - 0.38, 0))
    assert tips[1] == pytest.approx((1, -0.38)), "a quarter turn points up, and the axis points down"
    assert axes.get_ylim()[0] > axes.get_ylim()[1]
    assert tips[4] == pytest.approx((1 + 0.38 * math.cos(0.1), 1 - 0.38 * math.sin(0.1)))
    assert labels(axes.get_yticklabels()) == ["fast", "slow"]
    axes.figure.draw_without_rendering()


def test_attention_maps_draw_rows_that_look_and_columns_that_are_looked_at():
    weights = np.array([[1.0, 0.0, 0.0], [0.25, 0.75, 0.0], [0.5, 0.0, 0.5]])
    first, second = figures.attention_maps(
        {"one": weights, "two": weights.T}, ["Mei", " lost", "\n"], numbers=True
    )
    assert first.images[0].get_array().filled(0).tolist() == weights.tolist()
    assert second.images[0].get_array().filled(0).tolist() == weights.T.tolist()
    written = {(round(t.get_position()[1]), round(t.get_position()[0])): t.get_text() for t in first.texts}
    assert written == {(0, 0): "1.00", (1, 0): "0.25", (1, 1): "0.75", (2, 0): "0.50", (2, 2): "0.50"}
    assert labels(first.get_xticklabels()) == ["Mei", "lost", "↵"]
    assert (first.get_ylabel(), first.get_xlabel()) == ("looks", "looked at")
    first.figure.draw_without_rendering()


def test_attention_maps_leave_the_numbers_out_unless_asked():
    (axes,) = figures.attention_maps({"one": np.eye(20)}, ["x"] * 20)
    assert not axes.texts


def test_number_tables_write_numbers_and_leave_hidden_squares_grey():
    scores = np.array([[1.0, -np.inf], [0.254, 2.0]])
    first, second = figures.number_tables(
        {"scores": scores, "cards": np.zeros((2, 3))}, ["Mei", "kite"], {"scores": ["a", "b"], "cards": "xyz"}
    )
    assert texts(first) == ["1", "−∞", "0.25", "2"] and texts(second) == ["0"] * 6
    assert first.images[0].get_array().mask.tolist() == [[False, True], [False, False]]
    assert labels(first.get_yticklabels()) == ["Mei", "kite"] and labels(second.get_yticklabels()) == ["", ""]
    assert labels(second.get_xticklabels()) == ["x", "y", "z"] and second.get_title() == "cards"
    first.figure.draw_without_rendering()


def test_number_tables_refuse_names_that_do_not_fit():
    with pytest.raises(ValueError, match=r"'scores' has the shape \(2, 2\), the names are for \(2, 3\)"):
        figures.number_tables({"scores": np.eye(2)}, ["a", "b"], {"scores": "xyz"})


def test_head_scores_write_every_number_into_its_square():
    scores = np.array([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]])
    first, second = figures.head_scores({"before": scores, "mention": scores / 2}, "mean weight")
    written = {(round(t.get_position()[1]), round(t.get_position()[0])): t.get_text() for t in first.texts}
    assert written == {(row, column): f"{scores[row, column]:.2f}" for row in range(2) for column in range(3)}
    assert texts(second)[-1] == "0.30"
    assert first.images[0].get_clim() == second.images[0].get_clim() == (0.0, 0.6), "one scale for all"
    assert (first.get_xlabel(), first.get_ylabel()) == ("head", "layer")
    assert first.figure.get_suptitle() == "mean weight"
    first.figure.draw_without_rendering()


def test_head_scores_of_many_heads_have_no_numbers():
    (axes,) = figures.head_scores({"many": np.eye(12)}, "mean weight")
    assert not axes.texts
    axes.figure.draw_without_rendering()


def test_head_scores_write_no_negative_zero():
    (axes,) = figures.head_scores({"loss": np.array([[-0.001, 0.2]])}, "lost")
    assert texts(axes) == ["0.00", "0.20"]


def test_layer_curves_start_at_the_embedding():
    axes = figures.layer_curves({"same": [1.0, 0.9, 0.8], "other": [1.0, 0.1, 0.0]}, "cosine")
    assert [list(line.get_xdata()) for line in axes.lines] == [[0, 1, 2]] * 2
    assert list(axes.lines[1].get_ydata()) == [1.0, 0.1, 0.0]
    assert labels(axes.get_legend().get_texts()) == ["same", "other"]
    assert axes.get_ylabel() == "cosine"


def test_growth_curves_give_the_slope_of_the_last_piece():
    lengths = [64, 128, 256]
    curves = {"linear": [9.0, 2.0, 4.0], "square": [1.0, 1.0, 4.0]}
    first, second = figures.growth_curves(
        {"length": (lengths, curves), "width": (lengths, curves)}, "seconds"
    )
    assert labels(first.get_legend().get_texts()) == ["linear: slope 1.0", "square: slope 2.0"]
    assert first.get_xscale() == first.get_yscale() == "log"
    assert (first.get_xlabel(), first.get_ylabel(), second.get_xlabel()) == ("length", "seconds", "width")
    assert labels(first.get_xticklabels()) == ["64", "128", "256"]
    first.figure.draw_without_rendering()


def test_block_drawing_writes_the_shapes_of_the_configuration():
    axes = figures.block_drawing(d_model=24, n_head=4, n_kv_head=2, d_ff=40, vocab_size=1053, n_layer=3)
    written = "\n".join(texts(axes))
    for part in (
        "1,053 × 24",
        "4 heads × 6",
        "2 heads × 6 each",
        "(batch, head, time, 6)",
        "24 × 40 each",
        "40 × 24",
        "(batch, time, 40), twice",
        "(batch, time, 1,053)",
        "one block, 3 times",
    ):
        assert part in written, part
    assert texts(axes).count("+") == 2, "each half of a block is added to the stream"
    axes.figure.draw_without_rendering()


def test_block_drawing_names_the_norm_of_queries_and_keys_where_the_model_has_it():
    shape = {"d_model": 24, "n_head": 4, "n_kv_head": 2, "d_ff": 40, "vocab_size": 1053, "n_layer": 3}
    plain, normed = (figures.block_drawing(**shape, qk_norm=on) for on in (False, True))
    assert "turn q and k;" in "\n".join(texts(plain)) and "normalise" not in "\n".join(texts(plain))
    assert "normalise and turn q and k;" in "\n".join(texts(normed))


def test_block_drawing_keeps_its_texts_inside_their_boxes():
    axes = figures.block_drawing(
        d_model=16_384, n_head=128, n_kv_head=8, d_ff=53_248, vocab_size=128_256, n_layer=126
    )
    axes.figure.draw_without_rendering()
    boxes = [patch.get_window_extent() for patch in axes.patches if isinstance(patch, FancyBboxPatch)]
    for text in axes.texts:
        extent = text.get_window_extent()
        middle = (extent.x0 + extent.x1) / 2, (extent.y0 + extent.y1) / 2
        around = [box for box in boxes if box.contains(*middle)]
        smallest = min(around, key=lambda box: box.width * box.height, default=axes.bbox)
        assert extent.x0 >= smallest.x0 - 1 and extent.x1 <= smallest.x1 + 1, text.get_text()
