"""What a base model can do with the micro-world: copy from its context, answer from a passage, recall what it read.

Every measure is an exact match of a greedy continuation, and scores about 0 on an untrained model.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from minillm.data.knowledge import fixed_questions
from minillm.data.world import TEST_SEED, TRAIN_SEED, Document, World
from minillm.model.gpt import GPT
from minillm.model.sampling import generate
from minillm.text.tokenizer import Tokenizer

__all__ = [
    "CopyScore",
    "complete",
    "copying",
    "evaluate_base",
    "knowledge",
    "reading_comprehension",
    "titles",
]

BATCH = 64  # prompts continued at once


@dataclass(frozen=True)
class CopyScore:
    """How far stories keep the promises of their titles.

    Attributes:
        elements: share of promised people, things and places that the story contains (0-1).
        stories: share of stories that contain all of theirs (0-1).
        n: number of stories.
    """

    elements: float
    stories: float
    n: int


class _NoRoomError(ValueError):
    """The model's context is too short for the prompts."""


def complete(
    model: GPT,
    tokenizer: Tokenizer,
    prompts: Sequence[str],
    max_new_tokens: int,
    temperature: float = 0.0,
    **options: Any,
) -> list[str]:
    """Continue each prompt as the beginning of a document, up to the end token.

    Args:
        max_new_tokens: tokens to add at most; fewer where the context ends.
        temperature: 0 takes the most probable token each time.
        options: further arguments of :func:`~minillm.model.sampling.generate`.
    """
    end, limit = tokenizer.end_of_text_id, model.config.context_length
    encoded = [[end, *ids] for ids in tokenizer.encode_batch(list(prompts))]
    texts: list[str] = []
    for first in range(0, len(encoded), BATCH):
        batch = encoded[first : first + BATCH]
        if max(map(len, batch)) >= limit:
            raise _NoRoomError(f"a prompt leaves no room in the context of {limit} tokens")
        new = generate(model, batch, max_new_tokens, temperature=temperature, stop=end, **options)
        texts.extend(tokenizer.decode(ids[: limit - len(row)]) for row, ids in zip(batch, new, strict=True))
    return texts


def titles(n: int, seen: Collection[tuple[str, ...]] = (), seed: int = TEST_SEED) -> list[Document]:
    """The first `n` titled stories of a stream whose combination of promises is not among those `seen`."""
    world = World(kinds=["titled_story"])
    found: list[Document] = []
    start = 0
    while len(found) < n:
        chunk = world.documents(n, seed, start)
        found += [document for document in chunk if document.promises not in seen]
        start += n
    return found[:n]


def copying(
    model: GPT,
    tokenizer: Tokenizer,
    n: int = 128,
    seen: Collection[tuple[str, ...]] = (),
    temperature: float = 0.0,
    **options: Any,
) -> CopyScore:
    """Write stories to given titles and count the promises kept.

    Args:
        seen: combinations of promises that training documents had; they are not asked for.
    """
    documents = titles(n, seen)
    prompts = [document.text.partition("\n")[0] + "\n" for document in documents]
    stories = complete(model, tokenizer, prompts, model.config.context_length, temperature, **options)
    kept = [
        [re.search(rf"\b{re.escape(promise)}\b", story) is not None for promise in document.promises]
        for document, story in zip(documents, stories, strict=True)
    ]
    flat = [hit for story in kept for hit in story]
    return CopyScore(sum(flat) / len(flat), sum(map(all, kept)) / n, n)


def reading_comprehension(model: GPT, tokenizer: Tokenizer, n: int = 200) -> float:
    """Share (0-1) of questions about fresh passages whose greedy answer is exactly right."""
    prompts, answers = [], []
    for document in World(kinds=["reading"]).documents(n, TEST_SEED):
        before, mark, rest = document.text.partition("Answer:")
        prompts.append(before + mark)
        answers.append(rest.partition("\n")[0])
    return _share_right(model, tokenizer, prompts, answers)


def knowledge(model: GPT, tokenizer: Tokenizer, topic: str) -> float:
    """Share (0-1) of fixed facts that the model recalls when asked in the form of the corpus.

    Args:
        topic: "people" (of the village) or "world" (animals, capitals, opposites, colours, calendar).
    """
    pairs = fixed_questions(topic)
    prompts = [f"Question: {question}\nAnswer:" for question, _ in pairs]
    return _share_right(model, tokenizer, prompts, [" " + answer for _, answer in pairs])


def _share_right(model: GPT, tokenizer: Tokenizer, prompts: Sequence[str], answers: Iterable[str]) -> float:
    answers = list(answers)
    longest = max(map(len, tokenizer.encode_batch(answers))) + 2
    given = complete(model, tokenizer, prompts, longest)
    return sum(g.partition("\n")[0] == a for g, a in zip(given, answers, strict=True)) / len(answers)


def evaluate_base(
    model: GPT, tokenizer: Tokenizer, train_documents: int, seed: int = TRAIN_SEED
) -> dict[str, float]:
    """The figures of a base model trained on documents 0 ... `train_documents` - 1 of a stream of the world.

    Returns:
        shares from 0 to 1: promised elements copied and stories that kept all promises, reading comprehension,
        knowledge of the village and of the wide world; those that have room in the model's context.
    """
    titled = World().documents(
        train_documents, seed, only={"titled_story"}
    )  # no other kind promises anything
    seen = {document.promises for document in titled if document.promises}
    figures: dict[str, float] = {}
    with suppress(_NoRoomError):
        greedy = copying(model, tokenizer, seen=seen)
        figures |= {"copied_elements": greedy.elements, "copied_stories": greedy.stories}
    with suppress(_NoRoomError):
        figures["reading_comprehension"] = reading_comprehension(model, tokenizer)
    for topic in ("people", "world"):
        with suppress(_NoRoomError):
            figures[f"knowledge_{topic}"] = knowledge(model, tokenizer, topic)
    return figures
