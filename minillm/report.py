"""What the program prints: a table of stages, samples of the base model, and how models do on the tasks."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from minillm.artifact import Artifact
from minillm.data.answers import answer_prompts
from minillm.data.batches import tokenize, whole_documents
from minillm.data.conversations import Conversations, TaskConversations, prompt_of
from minillm.data.corpora import Corpus
from minillm.data.world import VALIDATION_SEED, World
from minillm.evaluate import Report, evaluate_tasks, win_rate
from minillm.recipes import assistant_stage, headline
from minillm.terminal import TextSession, printable
from minillm.text.chat import render_chat
from minillm.train.document_loss import document_loss

_FIVE_WORDS = re.compile(r"(\s*\S+){0,5}")

__all__ = [
    "evaluation_entry",
    "print_answers",
    "print_evaluation",
    "print_samples",
    "print_table",
    "short_path",
    "stage_entry",
    "win_entries",
]

_SHOWN_FAMILIES, _SHOWN_QUESTIONS = ("village", "strangers", "arithmetic"), 3
_EVALUATED_DOCUMENTS = 500  # of the micro-world, on which the loss is measured


def stage_entry(artifact: Artifact) -> dict[str, Any]:
    """A stage's figures as `--json` gives them."""
    fetched = {} if artifact.fetched is None else {"fetched": artifact.fetched}
    return {"stage": artifact.stage, "path": str(artifact.folder), **artifact.figures, **fetched}


def print_table(entries: list[dict[str, Any]]) -> None:
    """Print what each stage came to and where it lies."""
    table = Table("stage")
    for name in ("parameters", "tokens", "time"):
        table.add_column(name, justify="right")
    table.add_column("key figure")
    table.add_column("where it lies", overflow="fold")
    for entry in entries:
        counts = [f"{entry[name]:,}" if name in entry else "-" for name in ("parameters", "tokens")]
        past = " (fetched)" if "fetched" in entry else " (earlier)" if entry.get("cached") else ""
        time = _duration(entry.get("seconds", 0.0)) + past
        told = headline(entry["stage"], entry)
        table.add_row(entry["stage"], *counts, time, told, short_path(entry["path"]))
    _console().print(table)


def _console() -> Console:
    """A console as wide as the terminal, or wide enough for the table where the output goes elsewhere.

    A path may hold what reads like markup, so all text is printed as it is.
    """
    return Console(width=None if sys.stdout.isatty() else 150, markup=False, emoji=False)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{seconds:.1f} s"


def short_path(path: str | Path) -> str:
    """The path from the current folder where it is below it."""
    path = Path(path)
    here = Path.cwd().resolve()  # on Windows it may be told in short names
    return str(path.resolve().relative_to(here)) if path.resolve().is_relative_to(here) else str(path)


def print_samples(artifact: Artifact, corpus: Corpus, seed: int = 0, n: int = 3, n_tokens: int = 80) -> None:
    """Print how a base model continues the first words of documents that it has not seen."""
    session = TextSession(artifact.language_model, artifact.tokenizer, seed=seed)
    console = _console()
    console.print("\nHow the base model continues the first words (in bold) of texts it has not seen:")
    for beginning in _beginnings(corpus, n):
        session.reset()
        continuation = printable("".join(session.write(beginning, n_tokens)))
        console.print("", Text.assemble((printable(beginning), "bold"), continuation), sep="\n")


def _beginnings(corpus: Corpus, n: int) -> list[str]:
    """The first five words of held-out documents, or of lines of the first one where there are too few."""
    texts = list(islice(corpus.documents("validation"), n))
    first = texts[0]
    while len(texts) < n:
        texts.append(first[first.find("\n", len(first) * len(texts) // n) + 1 :])
    return [_first_words(text) for text in texts]


def _first_words(text: str) -> str:
    found = _FIVE_WORDS.match(text)
    return found[0].lstrip()[:100] if found else ""


def print_answers(artifacts: Sequence[Artifact], conversations: Conversations | None = None) -> None:
    """Print how assistants answer a few held-out questions: of the micro-world, or of one's own conversations."""
    if conversations is None or isinstance(conversations, TaskConversations):
        questions, answers = _task_answers(artifacts)
    else:
        questions, answers = _own_answers(artifacts, conversations)
    if not questions:
        return
    width = max(len(artifact.stage) for artifact in artifacts)
    console = _console()
    console.print("\nHow the assistant answers questions (in bold) that it was not trained on:")
    for number, question in enumerate(questions):
        console.print("", Text(printable(question), "bold"), sep="\n")
        for artifact, texts in zip(artifacts, answers, strict=True):
            console.print(Text(f"{artifact.stage:{width}}  {printable(texts[number])}"))


def _task_answers(artifacts: Sequence[Artifact]) -> tuple[list[str], list[list[str]]]:
    """Questions of a few families of tasks, and each model's answers."""
    reports = [evaluate_tasks(artifact.language_model, artifact.tokenizer, 1) for artifact in artifacts]
    shown = [number for number, task in enumerate(reports[0].tasks) if task.family in _SHOWN_FAMILIES]
    questions = [reports[0].tasks[number].question for number in shown]
    return questions, [[report.answers[number].text for number in shown] for report in reports]


def _own_answers(
    artifacts: Sequence[Artifact], conversations: Conversations
) -> tuple[list[str], list[list[str]]]:
    """The last questions of the first held-out conversations that fit the context, and each model's answers."""
    model, tokenizer = artifacts[0].model, artifacts[0].tokenizer
    prompts = map(prompt_of, conversations.conversations("validation"))
    limit = model.config.context_length
    fitting = (p for p in prompts if len(render_chat(p, tokenizer, add_generation_prompt=True).ids) < limit)
    shown = list(islice(fitting, _SHOWN_QUESTIONS))
    answers = [answer_prompts(artifact.language_model, artifact.tokenizer, shown) for artifact in artifacts]
    return [prompt[-1]["content"] for prompt in shown], [[one.text for one in given] for given in answers]


def evaluation_entry(
    artifact: Artifact, n: int, temperature: float, seed: int = 0
) -> tuple[dict[str, Any], Report]:
    """How a model does on `n` held-out tasks of each family, as `--json` gives it, and its greedy report."""
    model, tokenizer = artifact.language_model, artifact.tokenizer
    greedy = evaluate_tasks(model, tokenizer, n)
    sampled = evaluate_tasks(model, tokenizer, n, temperature, seed=seed)
    entry = {"stage": artifact.stage, "path": str(artifact.folder), **greedy.figures()}
    entry["sampled"] = {"temperature": temperature, **sampled.figures()}
    entry["world_loss"] = _world_loss(artifact)
    return entry, greedy


def _world_loss(artifact: Artifact) -> float:
    """The loss on held-out documents of the micro-world (nats/token): how much of it is forgotten."""
    texts = [document.text for document in World().documents(_EVALUATED_DOCUMENTS, VALIDATION_SEED)]
    end = artifact.tokenizer.end_of_text_id
    batches = whole_documents(
        tokenize(artifact.tokenizer, texts), end, artifact.language_model.config.context_length
    )
    return document_loss(artifact.language_model, batches, end).per_token


def win_entries(entries: list[dict[str, Any]], reports: list[Report]) -> list[dict[str, Any]]:
    """Every model against the first, and those after the assistant, where it is not the first, against it too."""
    stages, assistant = [entry["stage"] for entry in entries], assistant_stage()
    wins = [win_entry(entries[i], reports[i], entries[0], reports[0]) for i in range(1, len(entries))]
    again = assistant in stages and stages[0] != assistant
    tuned = stages.index(assistant) if again else len(stages)
    later = range(tuned + 1, len(entries))
    return wins + [win_entry(entries[i], reports[i], entries[tuned], reports[tuned]) for i in later]


def win_entry(
    entry: dict[str, Any], report: Report, first: dict[str, Any], first_report: Report
) -> dict[str, Any]:
    """How often the judge prefers one model's greedy answers to another's."""
    if [task.messages for task in report.tasks] != [task.messages for task in first_report.tasks]:
        raise ValueError(
            f"{entry['path']} and {first['path']} have contexts of different length, so not the same tasks fit; "
            "evaluate them one by one"
        )
    result = asdict(win_rate(report.scores, first_report.scores))
    if first["stage"] == assistant_stage():
        entry[f"win_rate_vs_{assistant_stage()}"] = result["rate"]
    return {"stage": entry["stage"], "against": first["stage"], **result}


def _verified(examined: dict[str, Any]) -> str:
    """The share of right answers to tasks that a program can check, where any of these fitted the context."""
    return f"{examined['verified_share']:.1%}" if "verified_share" in examined else "-"


def print_evaluation(entries: list[dict[str, Any]], wins: list[dict[str, Any]]) -> None:
    """Print accuracies by family and the other measures, a column for each model."""
    table = Table("held-out tasks")
    for entry in entries:
        table.add_column(entry["stage"], justify="right")
    for family in entries[0]["accuracy"]:
        table.add_row(family, *(f"{entry['accuracy'][family]:.0%}" for entry in entries))
    table.add_section()
    rows: list[tuple[str, Callable[[dict[str, Any]], str]]] = [
        ("all, each family counting the same", lambda e: f"{e['task_accuracy']:.1%}"),
        ("all, sampled", lambda e: f"{e['sampled']['task_accuracy']:.1%}"),
        ("those that a program can check", _verified),
        ("those that a program can check, sampled", lambda e: _verified(e["sampled"])),
        ("judge's mean gold score (0 to 1)", lambda e: f"{e['gold_score']:.3f}"),
        ("judge's mean mark for kindness (0 to 1)", lambda e: f"{e['parts']['kind']:.3f}"),
        ("answers that come to an end", lambda e: f"{e['ended_share']:.1%}"),
        ("answers that repeat four words", lambda e: f"{e['repeated_share']:.1%}"),
        ("mean length (tokens)", lambda e: f"{e['mean_tokens']:.1f}"),
        ("loss on the micro-world (nats/token)", lambda e: f"{e['world_loss']:.4f}"),
    ]
    for name, value in rows:
        table.add_row(name, *map(value, entries))
    console = _console()
    console.print(table)
    for win in wins:
        console.print(
            f"{win['stage']} against {win['against']}: wins {win['rate']:.1%} (95 % interval {win['low']:.1%} to "
            f"{win['high']:.1%}; {win['wins']} won, {win['ties']} tied, {win['losses']} lost)"
        )
