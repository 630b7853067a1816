"""The course's examination: the held-out tasks and the judge that marks the answers."""

from __future__ import annotations

from functools import cache
from typing import Any

from minillm.data.families.visitors import held_out_visits
from minillm.data.judge import Judge
from minillm.data.tasks import held_out_tasks
from minillm.evaluate.answers import evaluate_tasks
from minillm.files import sha256_bytes
from minillm.model.gpt import GPT
from minillm.text.tokenizer import Tokenizer

__all__ = ["examination_fingerprint", "task_figures"]

_SAMPLED_TASKS = 10  # of each family, of which the fingerprint is made


def task_figures(model: GPT, tokenizer: Tokenizer, n: int) -> dict[str, Any]:
    """The figures of a model on n held-out tasks of each family; none where its context is too short for any."""
    report = evaluate_tasks(model, tokenizer, n)
    return report.figures() if report.tasks else {}


@cache
def examination_fingerprint(n: int) -> str:
    """A fingerprint of the examination with n tasks of each family: another one where tasks or marks change.

    The judge marks reference answers, wrong ones, and those of other tasks, of the first tasks of each family.
    """
    tasks = held_out_tasks(min(n, _SAMPLED_TASKS))
    judge = Judge()
    lines = [str(n), repr(held_out_visits())]
    for task, other in zip(tasks, [*tasks[1:], *tasks[:1]], strict=True):
        answers = (task.answer, task.question, other.answer, *task.keys[:1], *task.rivals[:1])
        verdicts = [judge(task, answer) for answer in answers]
        lines += [repr(task), *(f"{verdict!r} {verdict.gold:.12f}" for verdict in verdicts)]
    return sha256_bytes("\n".join(lines).encode())[:16]
