"""Answers of a model to tasks, judged: the same prompts for every stage, greedy or sampled."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from minillm.data.answers import Answer, answer_prompts
from minillm.data.judge import WEIGHTS, Judge, Verdict
from minillm.data.tasks import FAMILIES, TASKS_PER_FAMILY, Task, Tasks, held_out_tasks
from minillm.evaluate.base import complete
from minillm.evaluate.compare import text_statistics
from minillm.evaluate.verified import verified_share
from minillm.model.gpt import GPT
from minillm.text.chat import render_chat
from minillm.text.tokenizer import Tokenizer

__all__ = ["Report", "answer_tasks", "evaluate_tasks", "few_shot_accuracy", "fitting_tasks", "mean_parts"]

_CANDIDATES = 20  # training tasks looked through for each example: about half of them have the plain style


@dataclass(frozen=True)
class Report:
    """A model's answers to tasks with the judge's verdicts.

    Attributes:
        tasks: what was asked.
        answers: what the model said.
        verdicts: what the judge says of it.
    """

    tasks: tuple[Task, ...]
    answers: tuple[Answer, ...]
    verdicts: tuple[Verdict, ...]

    @cached_property
    def accuracy(self) -> dict[str, float]:
        """Share of tasks done (0-1), by family."""
        return {
            family: _mean(
                v.is_correct for t, v in zip(self.tasks, self.verdicts, strict=True) if t.family == family
            )
            for family in dict.fromkeys(task.family for task in self.tasks)
        }

    @property
    def task_accuracy(self) -> float:
        """The mean of the families' accuracies (0-1): every family counts the same."""
        return _mean(self.accuracy.values())

    @property
    def scores(self) -> list[float]:
        """The judge's gold score of each answer (0-1), in which an answer that is wrong is worth nothing."""
        return [verdict.gold for verdict in self.verdicts]

    @property
    def gold_score(self) -> float:
        """The judge's mean gold score (0-1)."""
        return _mean(self.scores)

    @property
    def parts(self) -> dict[str, float]:
        """The mean mark of each part of the judge's rubric (0-1)."""
        return mean_parts(self.verdicts)

    def figures(self) -> dict[str, Any]:
        """The key figures, as JSON values."""
        statistics, verified = text_statistics(self.answers), verified_share(self.tasks, self.answers)
        return {
            "task_accuracy": self.task_accuracy,
            "accuracy": self.accuracy,
            **({} if verified is None else {"verified_share": verified}),
            "gold_score": self.gold_score,
            "parts": self.parts,
            "mean_tokens": statistics.mean_tokens,
            "ended_share": statistics.ended_share,
            "repeated_share": statistics.repeated_share,
            "distinct_bigrams": statistics.distinct_bigrams,
        }


def mean_parts(verdicts: Sequence[Verdict]) -> dict[str, float]:
    """The mean mark of each part of the judge's rubric (0-1)."""
    return {name: _mean(verdict.parts[name] for verdict in verdicts) for name in WEIGHTS}


def _mean(values: Iterable[float]) -> float:
    values = list(values)
    return sum(values) / len(values) if values else 0.0


def answer_tasks(
    model: GPT, tokenizer: Tokenizer, tasks: Sequence[Task], temperature: float = 0.0, **options: Any
) -> Report:
    """Let a model answer tasks, and the judge mark the answers; `options` are those of `answer_prompts`."""
    answers = answer_prompts(
        model, tokenizer, [task.prompt for task in tasks], temperature=temperature, **options
    )
    judge = Judge()
    verdicts = [judge(task, a.text, ended=a.ended) for task, a in zip(tasks, answers, strict=True)]
    return Report(tuple(tasks), tuple(answers), tuple(verdicts))


def evaluate_tasks(
    model: GPT, tokenizer: Tokenizer, n: int = TASKS_PER_FAMILY, temperature: float = 0.0, **options: Any
) -> Report:
    """A model's report on the course's held-out tasks, `n` of each family, those that fit its context."""
    tasks = fitting_tasks(held_out_tasks(n), model, tokenizer)
    return answer_tasks(model, tokenizer, tasks, temperature, **options)


def fitting_tasks(tasks: Iterable[Task], model: GPT, tokenizer: Tokenizer) -> list[Task]:
    """The tasks whose prompts leave room for an answer in a model's context."""
    limit = model.config.context_length
    return [
        task
        for task in tasks
        if len(render_chat(task.prompt, tokenizer, add_generation_prompt=True).ids) < limit
    ]


def few_shot_accuracy(
    model: GPT, tokenizer: Tokenizer, shots: int, n: int = TASKS_PER_FAMILY
) -> dict[str, float]:
    """How a base model does when the tasks are written as plain text, after solved examples of the same family.

    A prompt is `Question: ...` and `Answer:` for each example and then for the task; what the model writes up to the
    end of the line is its answer. Fewer examples are given where the context is full.

    Args:
        shots: examples before each task, from the training split.
        n: tasks of each family.
    Returns:
        share of tasks done (0-1), by family.
    """
    judge = Judge()
    accuracy = {}
    for name, family in FAMILIES.items():
        tasks = held_out_tasks(n, [name])
        candidates = Tasks("train", [name]).tasks(_CANDIDATES * (shots + 1))
        examples = [task for task in candidates if task.style == "full"]
        room = model.config.context_length - family.answer_room
        prompts = [_as_text(task, examples, shots, tokenizer, room) for task in tasks]
        texts = complete(model, tokenizer, prompts, model.config.context_length)
        texts = [text.strip().partition("\n")[0] for text in texts]
        accuracy[name] = _mean(judge(t, text).is_correct for t, text in zip(tasks, texts, strict=True))
    return accuracy


def _as_text(task: Task, examples: Sequence[Task], shots: int, tokenizer: Tokenizer, room: int) -> str:
    """The task as plain text after as many examples as are asked for and fit into `room` tokens."""
    asked = " ".join(message["content"] for message in task.prompt)
    lines = [f"Question: {asked}\nAnswer:"]
    for example in examples[:shots]:
        longer = [f"Question: {example.question}\nAnswer: {example.answer}", *lines]
        if len(tokenizer.encode("\n".join(longer))) > room:
            break
        lines = longer
    return "\n".join(lines)
