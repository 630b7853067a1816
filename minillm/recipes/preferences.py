"""The stage `preferences`: several answers of the assistant to each prompt, ranked; or ranked answers from files.

They are written once, and read by all stages that learn from them. Those for the test are sampled and ranked in the
stage's own test, so that more of them change no model.
"""

from __future__ import annotations

import time

from minillm.data.comparisons import HELD_OUT_COMPARISONS, TRAIN_COMPARISONS, write_comparisons
from minillm.data.preferences import Counts
from minillm.recipes.stage import Figures, Job, Stage, Trained

__all__ = ["PREFERENCES"]


def train(job: Job[None]) -> Trained:
    """Sample and rank the answers to learn from, in the first process."""
    started = time.perf_counter()
    sft = job.parents["sft"]
    figures: Figures = {}
    if job.runtime.is_main:
        model = sft.language_model.to(job.runtime.device)
        comparisons, counts = job.preferences.comparisons("train", model, sft.tokenizer)
        write_comparisons(job.folder / TRAIN_COMPARISONS, comparisons)
        figures = {"comparisons": len(comparisons), **_shares(counts)}
        figures["seconds"] = round(time.perf_counter() - started, 2)
    return Trained(tokenizer=sft.tokenizer, figures=figures)


def _shares(counts: Counts) -> Figures:
    pairs = max(1, counts["pairs"])
    return {
        "compared_pairs": counts["pairs"],
        "identical_pairs": counts["identical"] / pairs,
        "truncated_pairs": counts["truncated"] / pairs,
    }


def test(job: Job[None], trained: Trained) -> Figures:
    """Sample and rank those that models are tested with."""
    model = job.parents["sft"].language_model.to(job.runtime.device)
    comparisons, _ = job.preferences.comparisons("validation", model, trained.tokenizer)
    write_comparisons(job.folder / HELD_OUT_COMPARISONS, comparisons)
    return {"held_out_comparisons": len(comparisons)}


def headline(figures: Figures) -> str:
    """How many there are."""
    return f"{figures['comparisons']:,} prompts with ranked answers, {figures['held_out_comparisons']:,} held out"


PREFERENCES: Stage[None] = Stage(
    name="preferences",
    parents=("sft",),
    reads=("preferences",),
    output="comparisons",
    train=train,
    test=test,
    headline=headline,
    labels={
        "comparisons": "prompts with ranked answers",
        "compared_pairs": "pairs of answers that were looked at",
        "identical_pairs": "pairs left out: the same text twice (share)",
        "truncated_pairs": "pairs left out: an answer without its end (share)",
        "held_out_comparisons": "prompts with ranked answers, held out",
    },
    needs={
        "preferences": "the judge knows the built-in tasks only; give --preferences, ranked answers to your own prompts"
    },
    seeded=False,
    version=3,
)
