"""What the chapters show: figures in one style, tokens as coloured boxes, and the package's own source.

A plot returns its axes and neither saves nor shows anything; the notebook does that.
"""

from minillm.figures.pretraining import loss_curve, next_token_bars, repetition_curve, token_bars
from minillm.figures.style import MARKERS, PALETTE, STYLE, new_axes, styled
from minillm.figures.text import show_source, token_boxes
from minillm.figures.tokens import compression_bars, compression_curve, token_frequencies

__all__ = [
    "MARKERS",
    "PALETTE",
    "STYLE",
    "compression_bars",
    "compression_curve",
    "loss_curve",
    "new_axes",
    "next_token_bars",
    "repetition_curve",
    "show_source",
    "styled",
    "token_bars",
    "token_boxes",
    "token_frequencies",
]
