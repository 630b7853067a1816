"""Answers that a model samples: to be judged, ranked, or looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from minillm.model.gpt import GPT
from minillm.model.sampling import generate
from minillm.text.chat import Message, answer_text, render_chat, stop_ids
from minillm.text.tokenizer import Tokenizer

__all__ = ["Answer", "answer_prompts"]

BATCH = 128  # prompts answered at once


@dataclass(frozen=True)
class Answer:
    """What a model answered.

    Attributes:
        text: the answer, without its end token.
        ids: its token ids.
        ended: whether the model ended it; False where the context or the limit cut it off.
    """

    text: str
    ids: tuple[int, ...]
    ended: bool


def answer_prompts(
    model: GPT,
    tokenizer: Tokenizer,
    prompts: Sequence[Sequence[Message]],
    max_new_tokens: int | None = None,
    temperature: float = 0.0,
    *,
    seed: int = 0,
    top_p: float | None = None,
) -> list[Answer]:
    """Answer conversations that end with the user's message.

    Args:
        prompts: of each conversation the messages so far.
        max_new_tokens: tokens of an answer at most; None: what the context has room for.
        temperature: 0 takes the most probable token each time.
        seed: decides the draws.
        top_p: only the most probable tokens of this total probability are drawn from; None: all.
    Raises:
        ValueError: a prompt leaves no room for an answer.
    """
    encoded = [render_chat(messages, tokenizer, add_generation_prompt=True).ids for messages in prompts]
    context_length = model.config.context_length
    if encoded and (longest := max(map(len, encoded))) >= context_length:
        raise ValueError(
            f"a prompt has {longest} tokens, the context_length is {context_length}; shorten it so that an answer fits"
        )
    answers: dict[int, Answer] = {}
    generator = torch.Generator().manual_seed(seed)
    stop = stop_ids(tokenizer)
    by_length = sorted(range(len(encoded)), key=lambda number: len(encoded[number]))
    for first in range(0, len(by_length), BATCH):
        numbers = by_length[first : first + BATCH]
        rows = [encoded[number] for number in numbers]
        most = context_length - len(rows[0]) if max_new_tokens is None else max_new_tokens
        new = generate(model, rows, most, temperature, top_p=top_p, stop=stop, generator=generator)
        for number, row, ids in zip(numbers, rows, new, strict=True):
            room = context_length - len(row)  # of this row: a long neighbour must not cut a short answer
            ended = len(ids) < min(most, room)
            ids = ids[:room]
            answers[number] = Answer(answer_text(ids, tokenizer), tuple(ids), ended)
    return [answers[number] for number in range(len(encoded))]
