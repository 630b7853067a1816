"""The stage `reward`: a reward model, a copy of the assistant that learns to score as the annotators rank."""

from __future__ import annotations

from minillm.data.comparisons import (
    HELD_OUT_COMPARISONS,
    TRAIN_COMPARISONS,
    Comparison,
    fitting_comparisons,
    load_comparisons,
)
from minillm.evaluate import reward_figures
from minillm.presets import Preset
from minillm.recipes.stage import Figures, Job, Stage, Trained
from minillm.stages.reward import (
    RewardConfig,
    mean_ranking_loss,
    score_comparisons,
    train_reward_model,
)

__all__ = ["REWARD"]


def train(job: Job[RewardConfig]) -> Trained:
    """Train on the comparisons that were sampled from the assistant."""
    sft = job.parents["sft"]
    train, held_out = (_comparisons(job, name) for name in (TRAIN_COMPARISONS, HELD_OUT_COMPARISONS))
    model, figures = train_reward_model(job.config, sft.language_model, sft.tokenizer, train, held_out, job)
    return Trained(tokenizer=sft.tokenizer, model=model, figures=figures)


def _comparisons(job: Job[RewardConfig], name: str) -> list[Comparison]:
    return load_comparisons(job.parents["preferences"].folder / name)


def test(job: Job[RewardConfig], trained: Trained) -> Figures:
    """Whether it orders held-out answers as the annotator and the judge do."""
    model, tokenizer = trained.reward_model, trained.tokenizer
    held_out = fitting_comparisons(
        _comparisons(job, HELD_OUT_COMPARISONS), tokenizer, model.config.context_length
    )
    scores = score_comparisons(model, tokenizer, held_out)
    return {"val_loss": mean_ranking_loss(scores, held_out), **reward_figures(held_out, scores)}


def headline(figures: Figures) -> str:
    """How often it agrees with the judge, or with the annotator where there is none."""
    if "pair_accuracy_gold" in figures:
        return f"{figures['pair_accuracy_gold']:.0%} of held-out pairs ordered as the judge does"
    return f"{figures['pair_accuracy_noisy']:.0%} of held-out pairs ordered as the annotator did"


def tokens(preset: Preset) -> int:
    """A prompt with all of its answers counted as if it filled the context."""
    return preset.reward.fit.steps * preset.reward.prompts * preset.context_length


def passes(preset: Preset) -> float:
    """Training, and the assistant's forward pass where it is asked."""
    return 4 if preset.reward.surprise else 3


REWARD = Stage(
    name="reward",
    parents=("sft", "preferences"),
    config=RewardConfig,
    output="scores",
    train=train,
    test=test,
    headline=headline,
    labels={
        "train_loss": "training loss (nats/pair)",
        "val_loss": "loss on held-out pairs (nats/pair)",
        "comparisons": "prompts with ranked answers",
        "pairs": "pairs of answers learned from",
        "too_long": "prompts left out: longer than the context",
        "held_out_comparisons": "prompts with ranked answers, held out",
        "held_out_pairs": "pairs of answers, held out",
        "pair_accuracy_gold": "held-out pairs ordered as the judge does (share)",
        "pair_accuracy_noisy": "held-out pairs ordered as the annotator did (share)",
        "pair_accuracy_by_family": "held-out pairs ordered as the judge does, by family (share)",
        "accuracy_by_flaw": "held-out pairs ordered as the judge does, by what they differ in (share)",
        "annotator_accuracy": "pairs that the annotator ordered as the judge does (share)",
        "correlation_with_judge": "correlation of scores with the judge's",
        "mean_margin": "mean score of the preferred answer above the other's",
    },
    tokens=tokens,
    passes=passes,
    version=2,
    test_version=2,
)
