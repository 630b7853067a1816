"""The stage `tokenizer`: a vocabulary, learned from the corpus."""

from __future__ import annotations

from minillm.recipes.stage import Figures, Job, Stage, Trained
from minillm.stages.tokenizer import TokenizerConfig, compression, train_tokenizer

__all__ = ["TOKENIZER"]


def train(job: Job[TokenizerConfig]) -> Trained | None:
    """Learn the merges, in the first process."""
    if not job.runtime.is_main:
        return None
    tokenizer, figures = train_tokenizer(job.config, job.corpus, progress=job.progress)
    return Trained(tokenizer=tokenizer, figures=figures)


def test(job: Job[TokenizerConfig], trained: Trained) -> Figures:
    """How short it makes text that it was not trained on."""
    return compression(trained.tokenizer, job.corpus)


def headline(figures: Figures) -> str:
    """Size and compression."""
    return f"{figures['vocab_size']:,} tokens, {figures['bytes_per_token']:.2f} bytes each"


TOKENIZER = Stage(
    name="tokenizer",
    reads=("corpus",),
    config=TokenizerConfig,
    output="tokenizer",
    train=train,
    test=test,
    headline=headline,
    labels={
        "vocab_size": "vocabulary (tokens)",
        "n_merges": "merges",
        "bytes_per_token": "bytes per token, held out",
    },
    seeded=False,
)
