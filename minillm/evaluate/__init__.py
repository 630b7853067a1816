"""What a model can do: a base model with the micro-world, an assistant with tasks, one model against another."""

from minillm.evaluate.answers import (
    Answer,
    Report,
    answer_prompts,
    answer_tasks,
    evaluate_tasks,
    few_shot_accuracy,
)
from minillm.evaluate.base import (
    CopyScore,
    complete,
    copying,
    evaluate_base,
    knowledge,
    reading_comprehension,
    titles,
)
from minillm.evaluate.compare import TextStatistics, WinRate, bleu, text_statistics, win_rate

__all__ = [
    "Answer",
    "CopyScore",
    "Report",
    "TextStatistics",
    "WinRate",
    "answer_prompts",
    "answer_tasks",
    "bleu",
    "complete",
    "copying",
    "evaluate_base",
    "evaluate_tasks",
    "few_shot_accuracy",
    "knowledge",
    "reading_comprehension",
    "text_statistics",
    "titles",
    "win_rate",
]
