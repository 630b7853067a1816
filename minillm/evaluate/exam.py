"""A test with options to choose from: what a base model finds likeliest."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from minillm.data.web import Question
from minillm.model.gpt import GPT, next_token_loss
from minillm.text.tokenizer import Tokenizer

__all__ = ["exam_marks", "option_log_probs"]


@torch.no_grad()
def option_log_probs(model: GPT, tokenizer: Tokenizer, question: Question) -> list[float]:
    """The log-probability of each option after the question (nats, summed over the option's tokens)."""
    device = next(model.parameters()).device
    start = [tokenizer.end_of_text_id, *tokenizer.encode(question.prompt)]
    found = []
    for option in question.options:
        row = torch.tensor([[*start, *tokenizer.encode(f" {option}")]], device=device)
        nats = next_token_loss(model, row[:, :-1], row[:, 1:], reduction="none")[0]
        nats = nats.cpu().double()  # not on the device: MPS has no float64
        found.append(-nats[len(start) - 1 :].sum().item())
    return found


def exam_marks(model: GPT, tokenizer: Tokenizer, questions: Sequence[Question]) -> list[bool]:
    """Whether the likeliest option of each question is the right one.

    Args:
        model: a language model, in evaluation mode.
        tokenizer: its tokenizer.
        questions: with the same number of options each; who guesses is right once in that number.
    """
    marks = []
    for question in questions:
        scores = option_log_probs(model, tokenizer, question)
        marks.append(max(range(len(scores)), key=scores.__getitem__) == question.right)
    return marks
