"""The stage `lora`: a specialist, the assistant with an adapter, and full fine-tuning beside it as the yardstick."""

from __future__ import annotations

import copy
import time
from dataclasses import replace
from functools import partial

from minillm.data.conversations import TaskConversations
from minillm.evaluate import domain_comparison, domain_figures
from minillm.model.adapters import save_adapter
from minillm.model.gpt import GPT
from minillm.presets import Preset
from minillm.recipes.stage import Figures, Job, Stage, Trained
from minillm.stages.lora import DomainConfig, adapt
from minillm.stages.sft import answer_losses, change_of_losses

__all__ = ["ADAPTER", "FULL", "LORA"]

ADAPTER, FULL = "adapter", "full"  # folders in the artifact: the adapter alone, the yardstick


def train(job: Job[DomainConfig]) -> Trained:
    """Fine-tune all weights, then an adapter, on the same conversations."""
    started = time.perf_counter()
    sft = job.parents["sft"]
    models: dict[str, GPT] = {}
    figures: dict[str, Figures] = {}
    for name, folder in ((FULL, job.folder / FULL), (ADAPTER, job.folder)):
        models[name] = copy.deepcopy(sft.language_model)
        figures[name] = adapt(
            job.config,
            models[name],
            sft.tokenizer,
            job.domain,
            job.corpus,
            replace(job, folder=folder),
            full=name == FULL,
        )
    if job.runtime.is_main:
        save_adapter(models[ADAPTER], job.folder / ADAPTER)
    before = sum(found["seconds"] for found in figures.values())  # of a run that went on, too
    seconds = {"seconds": round(max(time.perf_counter() - started, before), 2)}
    return Trained(
        tokenizer=sft.tokenizer,
        model=models[ADAPTER],
        figures=figures[ADAPTER] | {"full_training": figures[FULL]} | seconds,
        others={FULL: models[FULL]},
    )


def test(job: Job[DomainConfig], trained: Trained) -> Figures:
    """What each of the two has learned and forgotten."""
    sft, tokenizer = job.parents["sft"], trained.tokenizer
    assistant = sft.language_model.to(job.runtime.device)
    losses = partial(answer_losses, tokenizer=tokenizer, conversations=job.domain, corpus=job.corpus)
    models = {ADAPTER: trained.language_model, FULL: trained.others[FULL]}
    before = losses(job.config.training, assistant)
    found: dict[str, Figures] = {
        name: dict(change_of_losses(before, losses(job.config.training, model)))
        for name, model in models.items()
    }
    if isinstance(job.domain, TaskConversations):
        n = job.test_tasks
        tested = partial(
            domain_figures, tokenizer=tokenizer, families=job.domain.families, n=max(1, n // 2), n_known=n
        )
        found = {name: figures | tested(models[name]) for name, figures in found.items()}
        known = tested(assistant, known=sft.figures)
        found[ADAPTER] |= {f"{name}_before": value for name, value in known.items()}
    return found[ADAPTER] | domain_comparison(found[ADAPTER], found[FULL]) | {FULL: found[FULL]}


def headline(figures: Figures) -> str:
    """What the adapter has gained and forgotten beside full fine-tuning."""
    shares = [figures["domain_gain_share"], figures["forgetting_ratio"]]
    gain, forgotten = ("nothing" if share is None else f"{share:.0%}" for share in shares)
    return f"{gain} of full fine-tuning's gain, {forgotten} of its forgetting"


def tokens(preset: Preset) -> int:
    """Rows of whole contexts, twice."""
    training = preset.lora.training
    return 2 * training.fit.steps * training.rows * preset.context_length


LORA = Stage(
    name="lora",
    parents=("sft",),
    reads=("domain", "corpus"),
    config=DomainConfig,
    output="answers",
    train=train,
    test=test,
    headline=headline,
    labels={
        "trained_parameters": "parameters that were trained",
        "trainable_share": "of all parameters (share)",
        "full_training": "full fine-tuning on the same conversations: its training",
        "domain_accuracy_before": "held-out tasks of the domain done, before (share)",
        "domain_accuracies_before": "the same by family (share)",
        "domain_accuracy": "held-out tasks of the domain done (share)",
        "domain_accuracies": "held-out tasks of the domain done, by family (share)",
        "task_accuracy_before": "held-out tasks of the course done, before (share)",
        "accuracy_before": "held-out tasks of the course done, before, by family (share)",
        "domain_gain_share": "gain on the domain, of that of full fine-tuning (share)",
        "forgetting_ratio": "rise of the loss on the base model's text, of that of full fine-tuning (share)",
        "task_forgetting_ratio": "fall of the tasks done, of that of full fine-tuning (share)",
        FULL: "full fine-tuning on the same conversations: what it learned and forgot",
    },
    tokens=tokens,
    tested_on_tasks=True,
    specialist=True,
    needs={
        "domain": "its help desk belongs to the built-in tasks; give --domain, further conversations of your own"
    },
)
