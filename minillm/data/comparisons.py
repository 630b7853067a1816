"""Comparisons: ranked answers to one prompt, and the files that hold them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import combinations
from pathlib import Path
from typing import Any

from minillm.data.judge import Verdict
from minillm.files import write_atomic
from minillm.text.chat import Message, render_chat
from minillm.text.tokenizer import Tokenizer

__all__ = [
    "HELD_OUT_COMPARISONS",
    "TRAIN_COMPARISONS",
    "Comparison",
    "fitting_comparisons",
    "load_comparisons",
    "write_comparisons",
]

TRAIN_COMPARISONS, HELD_OUT_COMPARISONS = "comparisons.jsonl", "comparisons_held_out.jsonl"


@dataclass(frozen=True)
class Comparison:
    """Ranked answers to one prompt.

    Attributes:
        prompt: the conversation up to and with the user's message.
        answers: the texts.
        ranks: of each answer, 0 for the best; equal ranks express no preference.
        gold: the judge's `score` of each (0-1), the taste from which the ranks were drawn with noise, and not the
            `gold` of its verdict; empty where unknown.
        verdicts: the judge's verdicts; empty where unknown.
        family: of the task; "" where unknown.
    """

    prompt: tuple[Message, ...]
    answers: tuple[str, ...]
    ranks: tuple[int, ...]
    gold: tuple[float, ...] = ()
    verdicts: tuple[Verdict, ...] = field(default=(), repr=False)
    family: str = ""

    @property
    def n_pairs(self) -> int:
        """Pairs with a preference."""
        return sum(one != other for one, other in combinations(self.ranks, 2))

    def only(self, numbers: Sequence[int]) -> Comparison:
        """The comparison of some of the answers."""
        return replace(
            self,
            answers=tuple(self.answers[number] for number in numbers),
            ranks=tuple(self.ranks[number] for number in numbers),
            gold=tuple(self.gold[number] for number in numbers) if self.gold else (),
            verdicts=tuple(self.verdicts[number] for number in numbers) if self.verdicts else (),
        )

    def conversation(self, number: int) -> list[Message]:
        """The prompt with one of the answers."""
        return [*self.prompt, {"role": "assistant", "content": self.answers[number]}]


def fitting_comparisons(
    comparisons: Sequence[Comparison], tokenizer: Tokenizer, context_length: int
) -> list[Comparison]:
    """The comparisons of which every conversation fits the context (tokens).

    Raises:
        ValueError: there is none.
    """
    if not comparisons:
        raise ValueError(
            "there are no comparisons: no prompt has two different answers that came to an end; sample more or "
            "longer answers (n_train, max_new_tokens), from a model that has learned to end them"
        )
    kept = [
        one
        for one in comparisons
        if all(
            len(render_chat(one.conversation(number), tokenizer).ids) <= context_length
            for number in range(len(one.answers))
        )
    ]
    if not kept:
        raise ValueError(
            f"no comparison fits the context of {context_length} tokens; give shorter prompts and answers"
        )
    return kept


def write_comparisons(path: Path, comparisons: Sequence[Comparison]) -> None:
    """Write comparisons as JSON lines: the form of one's own preferences, and the judge's marks where it gave any."""
    rows = (
        {
            "prompt": list(comparison.prompt),
            "answers": list(comparison.answers),
            "ranks": list(comparison.ranks),
            **({"gold": list(comparison.gold), "family": comparison.family} if comparison.gold else {}),
            **({"verdicts": list(map(asdict, comparison.verdicts))} if comparison.verdicts else {}),
        }
        for comparison in comparisons
    )
    write_atomic(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def load_comparisons(path: Path) -> list[Comparison]:
    """The comparisons that `write_comparisons` wrote, verdicts included.

    Raises:
        ValueError: a line is no comparison.
        OSError: the file cannot be read.
    """
    try:
        with path.open(encoding="utf-8") as file:
            return [_comparison(json.loads(line)) for line in file]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(
            f"{path} is damaged ({error}); restore it, or delete its folder and train again"
        ) from error


def _comparison(row: dict[str, Any]) -> Comparison:
    verdicts = tuple(Verdict(**verdict) for verdict in row.get("verdicts", ()))
    lists = {name: tuple(row.get(name, ())) for name in ("prompt", "answers", "ranks", "gold")}
    return Comparison(**lists, verdicts=verdicts, family=row.get("family", ""))
