"""What `minillm run` and `minillm info` print: a table of stages, and samples of the base model."""

from __future__ import annotations

import re
import sys
from itertools import islice
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from minillm.artifact import Artifact
from minillm.data.corpora import Corpus
from minillm.terminal import TextSession, printable

_FIVE_WORDS = re.compile(r"(\s*\S+){0,5}")

__all__ = ["print_samples", "print_table", "short_path", "stage_entry"]


def stage_entry(artifact: Artifact) -> dict[str, Any]:
    """A stage's figures as `--json` gives them."""
    return {"stage": artifact.stage, "path": str(artifact.folder), **artifact.figures}


def print_table(entries: list[dict[str, Any]]) -> None:
    """Print what each stage came to and where it lies."""
    table = Table("stage")
    for name in ("parameters", "tokens", "time"):
        table.add_column(name, justify="right")
    table.add_column("key figure")
    table.add_column("where it lies", overflow="fold")
    for entry in entries:
        counts = [f"{entry[name]:,}" if name in entry else "-" for name in ("parameters", "tokens")]
        time = _duration(entry["seconds"]) + (" (earlier)" if entry.get("cached") else "")
        table.add_row(entry["stage"], *counts, time, key_figure(entry), short_path(entry["path"]))
    _console().print(table)


def _console() -> Console:
    """A console as wide as the terminal, or wide enough for the table where the output goes elsewhere."""
    return Console(width=None if sys.stdout.isatty() else 150)


def key_figure(entry: dict[str, Any]) -> str:
    """The one thing to know about a stage's result."""
    if "entropy_floor" in entry:
        above = entry["val_loss"] / entry["entropy_floor"] - 1
        return f"{entry['val_loss']:.3f} nats/token (floor {entry['entropy_floor']:.3f}, {above:+.1%})"
    if "val_loss" in entry:
        return f"{entry['val_loss']:.3f} nats/token, {entry['bits_per_byte']:.3f} bits/byte"
    return f"{entry['vocab_size']:,} tokens, {entry['bytes_per_token']:.2f} bytes each"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{seconds:.1f} s"


def short_path(path: str | Path) -> str:
    """The path from the current folder where it is below it."""
    path = Path(path)
    here = Path.cwd()
    return str(path.resolve().relative_to(here)) if path.resolve().is_relative_to(here) else str(path)


def print_samples(artifact: Artifact, corpus: Corpus, seed: int = 0, n: int = 3, n_tokens: int = 80) -> None:
    """Print how a base model continues the first words of documents that it has not seen."""
    session = TextSession(artifact.model, artifact.tokenizer, seed=seed)
    console = _console()
    console.print("\nHow the base model continues the first words (in bold) of texts it has not seen:")
    for beginning in _beginnings(corpus, n):
        session.reset()
        continuation = printable("".join(session.write(beginning, n_tokens)))
        console.print("", Text.assemble((beginning, "bold"), continuation), sep="\n")


def _beginnings(corpus: Corpus, n: int) -> list[str]:
    """The first five words of held-out documents, or of lines of the first one where there are too few."""
    texts = list(islice(corpus.documents("validation"), n))
    first = texts[0]
    while len(texts) < n:
        texts.append(first[first.find("\n", len(first) * len(texts) // n) + 1 :])
    return [_FIVE_WORDS.match(text)[0].lstrip()[:100] for text in texts]
