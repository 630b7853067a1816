"""Make the recording of what each step of cleaning is worth: the same small model, trained on what each step leaves.

python tools/record_web.py [FOLDER OF RUNS] [SEED ...]

Each seed has a web of its own, cleaned once; then a model for each step, some twenty seconds on one core each. And two
more: one on the articles alone, as only the truth can give them, and one on the pages that the rules of quality keep,
with the lines that these rules drop. All models read as many tokens, and have the tokenizer of the course. Writes
minillm/recordings/web.json. A model that is recorded already, with the same settings, is not repeated.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from recorder import Recorder

from minillm.course import Course
from minillm.data.batches import whole_documents
from minillm.data.corpus import Corpus
from minillm.data.source import Split
from minillm.data.warc import write_warc
from minillm.data.web import PROSE, Exam, Page, dirty_web
from minillm.data.web_steps import STEPS, clean_web, pages_after
from minillm.data.web_truth import judge_copies, judge_step
from minillm.data.world import VALIDATION_SEED, World
from minillm.evaluate.exam import exam_marks
from minillm.model.gpt import GPT, GPTConfig
from minillm.stages.pretrain import PretrainConfig, pretrain, validation_figures
from minillm.text.tokenizer import Tokenizer
from minillm.train.config import FitConfig
from minillm.train.document_loss import document_loss
from minillm.train.options import RunOptions

SEEDS = (0, 1, 2)
PAGES, HELD_OUT = 4_000, 300
BEFORE, IDEAL = "as crawled", "articles alone"
WHOLE = "quality with all lines"  # the pages that the rules of quality keep, with the lines that they drop
TEXTS = (BEFORE, *STEPS, IDEAL, WHOLE)
IN_DETAIL = ("repetition", "quality", WHOLE)  # whose models are examined on each kind of prose apart
TRAINING = PretrainConfig(
    GPTConfig(2048, context_length=160, n_layer=2, n_head=4, d_model=96, d_ff=256),
    FitConfig(steps=140, embedding_learning_rate=4e-2, momentum=0.75),
    rows=12,
    validation_tokens=1_000,
)


@dataclass(frozen=True)
class Texts(Corpus):
    """Given texts for training; for validation, prose of the village that stands on no page."""

    texts: tuple[str, ...]

    @property
    def name(self) -> str:
        return "texts"

    def documents(self, split: Split) -> Iterator[str]:
        yield from self.texts if split == "train" else (document.text for document in held_out())

    def entropy_nats(self) -> float:
        return -sum(document.log_prob for document in held_out())


def held_out() -> Iterator[Any]:
    """Clean documents that no web has."""
    return World(PROSE).documents(HELD_OUT, VALIDATION_SEED)


def steps_of_web(seed: int) -> tuple[dict[str, tuple[str, ...]], dict[str, dict[str, Any]]]:
    """The texts that each step leaves, and how well it has chosen."""
    pages = dirty_web(PAGES, seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_warc(folder / "web.warc.gz", pages)
        clean_web(folder / "web.warc.gz", folder / "out", Exam(seed).questions)
        left = {step: pages_after(folder / "out", step) for step in STEPS}
    texts = {BEFORE: tuple(page.html for page in pages)}
    texts |= {step: tuple(text for text in found.values() if text.strip()) for step, found in left.items()}
    texts[IDEAL] = tuple(page.text for page in pages if page.kind == "article")
    texts[WHOLE] = tuple(left["repetition"][url] for url in left["quality"])
    return texts, judged(pages, left)


def judged(pages: list[Page], left: dict[str, dict[str, str]]) -> dict[str, dict[str, Any]]:
    """How well each step has chosen."""
    before, found = {page.url for page in pages}, {}
    for step, meant in STEPS.items():
        after = set(left[step])
        if step == "copies":
            truth = judge_copies(pages, before, after)
        else:
            truth = judge_step(pages, before, after, meant)
        found[step] = asdict(truth) | {"precision": truth.precision, "recall": truth.recall}
        before = after
    return found


def losses_by_kind(model: GPT, tokenizer: Tokenizer) -> dict[str, float]:
    """The loss (nats/token) on the clean documents of each kind."""
    ids: dict[str, list[list[int]]] = {kind: [] for kind in PROSE}
    for document in held_out():
        ids[document.kind].append(tokenizer.encode(document.text))
    end, length = tokenizer.end_of_text_id, model.config.context_length
    return {
        kind: document_loss(model, whole_documents(some, end, length), end).per_token
        for kind, some in ids.items()
        if some
    }


def train(texts: tuple[str, ...], tokenizer: Tokenizer, seed: int, by_kind: bool) -> dict[str, Any]:
    """One model, its loss on clean text, and its marks in the test."""
    corpus = Texts(texts)
    model, figures = pretrain(TRAINING, tokenizer, corpus, RunOptions(seed=seed, progress=False))
    leaked, secret = (exam_marks(model, tokenizer, some) for some in (Exam(seed).leaked, Exam(seed).secret))
    found: dict[str, Any] = {
        "documents": len(texts),
        "characters": sum(map(len, texts)),
        "epochs": figures["epochs"],
        "seconds": figures["training_seconds"],
        "leaked_right": sum(leaked),
        "secret_right": sum(secret),
        "questions": len(leaked),
    }
    if by_kind:
        found["by_kind"] = losses_by_kind(model, tokenizer)
    return found | validation_figures(model, tokenizer, corpus)


def main() -> None:
    """Clean and train what is missing, write after every model."""
    root = sys.argv[1] if len(sys.argv) > 1 else None
    seeds = [int(seed) for seed in sys.argv[2:]] or SEEDS
    recorder = Recorder("web", [f"{text}, seed {seed}" for seed in SEEDS for text in TEXTS])
    course = Course("cpu", root)
    tokenizer = course.stage("tokenizer").tokenizer
    for seed in seeds:
        texts, truth = steps_of_web(seed)
        for name in TEXTS:
            decided_by = {
                "seed": seed,
                "pages": PAGES,
                "training": asdict(TRAINING),
                "tokenizer": course.key("tokenizer"),
                "truth": truth.get(name),
            }
            if name in IN_DETAIL:
                decided_by["in_detail"] = True
            make = partial(train, texts[name], tokenizer, seed, name in IN_DETAIL)
            recorder.record(f"{name}, seed {seed}", decided_by, make)


if __name__ == "__main__":
    main()
