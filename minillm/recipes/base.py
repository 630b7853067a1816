"""The stage `base`: a language model, pretrained on the corpus."""

from __future__ import annotations

from minillm.data.corpora import Corpus, MixedCorpus, WorldCorpus
from minillm.evaluate import evaluate_base, task_figures
from minillm.presets import Preset
from minillm.recipes.stage import Figures, Job, Stage, Trained
from minillm.stages.pretrain import PretrainConfig, pretrain, validation_figures

__all__ = ["BASE"]


def train(job: Job[PretrainConfig]) -> Trained:
    """Pretrain from random weights."""
    tokenizer = job.parents["tokenizer"].tokenizer
    model, figures = pretrain(job.config, tokenizer, job.corpus, job, shards=job.scratch)
    return Trained(tokenizer=tokenizer, model=model, figures=figures)


def test(job: Job[PretrainConfig], trained: Trained) -> Figures:
    """The loss on held-out text; of the micro-world also what was copied, read and remembered."""
    model, tokenizer = trained.language_model, trained.tokenizer
    figures = validation_figures(model, tokenizer, job.corpus)
    worlds = _worlds(job.corpus)
    if worlds:
        figures |= evaluate_base(model, tokenizer, worlds[0].n_documents, worlds[0].seed)
        tasks = task_figures(model, tokenizer, job.test_tasks)
        figures |= {name: tasks[name] for name in ("task_accuracy",) if name in tasks}
    return figures


def _worlds(corpus: Corpus) -> list[WorldCorpus]:
    """The parts of a corpus that are the micro-world."""
    parts = corpus.parts if isinstance(corpus, MixedCorpus) else (corpus,)
    return [part for part in parts if isinstance(part, WorldCorpus)]


def headline(figures: Figures) -> str:
    """The validation loss, beside the floor where it is known."""
    if "entropy_floor" in figures:
        above = figures["val_loss"] / figures["entropy_floor"] - 1
        return f"{figures['val_loss']:.3f} nats/token (floor {figures['entropy_floor']:.3f}, {above:+.1%})"
    return f"{figures['val_loss']:.3f} nats/token, {figures['bits_per_byte']:.3f} bits/byte"


def tokens(preset: Preset) -> int:
    """Rows of whole contexts."""
    return preset.base.fit.steps * preset.base.rows * preset.context_length


BASE = Stage(
    name="base",
    parents=("tokenizer",),
    reads=("corpus",),
    config=PretrainConfig,
    output="text",
    train=train,
    test=test,
    headline=headline,
    labels={
        "documents": "training documents",
        "entropy_floor": "entropy floor of the text (nats/token)",
        "above_floor": "validation loss above the floor (share)",
        "bits_per_byte": "bits per byte, held out",
        "copied_elements": "things promised by titles that stories contain (share)",
        "copied_stories": "stories that keep all promises of their titles (share)",
        "reading_comprehension": "questions about fresh passages answered rightly (share)",
        "knowledge_people": "facts about the village remembered (share)",
        "knowledge_world": "facts about the wide world remembered (share)",
    },
    tokens=tokens,
    tested_on_tasks=True,
    scratch="tokens",
    version=3,
)
