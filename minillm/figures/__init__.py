"""What the chapters show: figures in one style, sentences, tables, tokens as boxes, and the package's own source.

A plot returns its axes and neither saves nor shows anything; the notebook does that.
"""

from minillm.figures.batches import (
    batch_picture,
    epoch_panels,
    noise_curve,
    run_bands,
    schedule_curve,
    sweep_curve,
)
from minillm.figures.chat import chat_boxes
from minillm.figures.dpo import displacement_curves, method_points, moved_answers
from minillm.figures.evaluation import inflation_curve, mark_bars, needed_curves, rating_points
from minillm.figures.live import live
from minillm.figures.lora import rank_curves, share_curves
from minillm.figures.point_cloud import point_cloud
from minillm.figures.ppo import clip_curves, gold_against_kl, run_gallery, training_panels
from minillm.figures.pretraining import loss_curve, next_token_bars, repetition_curve, token_bars
from minillm.figures.reasoning import pass_curves, shift_points
from minillm.figures.reward import calibration_curve, pair_loss_curve, share_points
from minillm.figures.scaling import (
    floor_samples,
    parallel_drawing,
    scaling_curves,
    size_curves,
    step_stairs,
)
from minillm.figures.sft import accuracy_bars, trade_off
from minillm.figures.style import MARKERS, PALETTE, STYLE, new_axes, styled
from minillm.figures.text import say, show_source, show_table, still_table, token_boxes
from minillm.figures.tokens import compression_curve, language_bars, token_frequencies
from minillm.figures.vectors import (
    attention_maps,
    block_drawing,
    growth_curves,
    head_scores,
    layer_curves,
    number_tables,
    rotary_arrows,
    toy_space,
    word_map,
)
from minillm.figures.web import kind_bars, match_curve, share_pairs, step_losses

__all__ = [
    "MARKERS",
    "PALETTE",
    "STYLE",
    "accuracy_bars",
    "attention_maps",
    "batch_picture",
    "block_drawing",
    "calibration_curve",
    "chat_boxes",
    "clip_curves",
    "compression_curve",
    "displacement_curves",
    "epoch_panels",
    "floor_samples",
    "gold_against_kl",
    "growth_curves",
    "head_scores",
    "inflation_curve",
    "kind_bars",
    "language_bars",
    "layer_curves",
    "live",
    "loss_curve",
    "mark_bars",
    "match_curve",
    "method_points",
    "moved_answers",
    "needed_curves",
    "new_axes",
    "next_token_bars",
    "noise_curve",
    "number_tables",
    "pair_loss_curve",
    "parallel_drawing",
    "pass_curves",
    "point_cloud",
    "rank_curves",
    "rating_points",
    "repetition_curve",
    "rotary_arrows",
    "run_bands",
    "run_gallery",
    "say",
    "scaling_curves",
    "schedule_curve",
    "share_curves",
    "share_pairs",
    "share_points",
    "shift_points",
    "show_source",
    "show_table",
    "size_curves",
    "step_losses",
    "step_stairs",
    "still_table",
    "styled",
    "sweep_curve",
    "token_bars",
    "token_boxes",
    "token_frequencies",
    "toy_space",
    "trade_off",
    "training_panels",
    "word_map",
]
