"""Ranked answers that a tiny model learns to tell apart on the CPU, for the stages that learn from rankings."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from minillm.data.comparisons import Comparison
from minillm.model.gpt import GPTConfig
from minillm.text.tokenizer import Tokenizer
from minillm.train.config import FitConfig

__all__ = ["FIT", "SHAPE", "TOKENIZER", "comparison", "toy"]

TOKENIZER = Tokenizer([])  # of bytes
SHAPE = GPTConfig(
    TOKENIZER.vocab_size, context_length=40, n_layer=1, n_head=2, n_kv_head=1, d_model=20, d_ff=28
)
FIT = FitConfig(steps=8, optimizer="adamw", learning_rate=3e-3, checkpoint_every=3, validate_every=4)


def comparison(question: str, answers: Iterable[str], ranks: Iterable[int], **more: Any) -> Comparison:
    """Answers to a question, ranked."""
    return Comparison(({"role": "user", "content": question},), tuple(answers), tuple(ranks), **more)


def toy(n: int, seed: int = 0) -> list[Comparison]:
    """Answers with a "z" in them are preferred; two to four answers a prompt, of different length, some tied."""
    random = np.random.default_rng(seed)
    made = []
    for _ in range(n):
        count = int(random.integers(2, 5))
        plain = ["".join(random.choice(list("abcdefgh"), int(random.integers(1, 9)))) for _ in range(count)]
        good = [True, False, *(bool(random.integers(2)) for _ in range(count - 2))]
        answers = [
            text + "z" + text[:2] if better else text for text, better in zip(plain, good, strict=True)
        ]
        made.append(comparison(plain[0] + "?", answers, [0 if better else 1 for better in good]))
    return made
