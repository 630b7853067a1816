"""The stage `sft`: an assistant, fine-tuned on conversations."""

from __future__ import annotations

import copy

from minillm.data.conversations import TaskConversations
from minillm.evaluate import meet_visitors, task_figures
from minillm.presets import Preset
from minillm.recipes.stage import Figures, Job, Stage, Trained
from minillm.stages.sft import SFTConfig, answer_losses, change_of_losses, fine_tune

__all__ = ["SFT"]


def train(job: Job[SFTConfig]) -> Trained:
    """Fine-tune a copy of the base model."""
    base = job.parents["base"]
    model = copy.deepcopy(base.language_model)
    figures = fine_tune(
        job.config, model, base.tokenizer, job.conversations, job.corpus, job, new_control_tokens=True
    )
    return Trained(tokenizer=base.tokenizer, model=model, figures=figures)


def test(job: Job[SFTConfig], trained: Trained) -> Figures:
    """The losses before and after, and how it does on the course's tasks."""
    base = job.parents["base"].language_model.to(job.runtime.device)
    before, after = (
        answer_losses(job.config, model, trained.tokenizer, job.conversations, job.corpus)
        for model in (base, trained.language_model)
    )
    figures: Figures = dict(change_of_losses(before, after))
    if isinstance(job.conversations, TaskConversations):
        figures |= task_figures(trained.language_model, trained.tokenizer, job.test_tasks)
        figures |= meet_visitors(trained.language_model, trained.tokenizer).figures()
    return figures


def headline(figures: Figures) -> str:
    """The tasks done, where it was tested on them, and the loss."""
    loss = f"{figures['val_loss']:.3f} nats/token of answers"
    return (
        f"{figures['task_accuracy']:.0%} of the tasks right, {loss}" if "task_accuracy" in figures else loss
    )


def tokens(preset: Preset) -> int:
    """Rows of whole contexts."""
    return preset.sft.fit.steps * preset.sft.rows * preset.context_length


SFT = Stage(
    name="sft",
    parents=("base",),
    reads=("conversations", "corpus"),
    config=SFTConfig,
    output="answers",
    train=train,
    test=test,
    headline=headline,
    tokens=tokens,
    tested_on_tasks=True,
    labels={
        "visitors_wordings": "sensible answers to visitors, wordings held out (share)",
        "visitors_kinds": "sensible answers to visitors, kinds held out (share)",
    },
    version=3,
    test_version=2,
)
