"""Recorded runs: experiments that take longer than a chapter may, kept with the settings that made them.

A recording is a JSON file beside this module. The programs `tools/record*.py` make them from real runs, with
`make recordings`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from minillm.files import read_json

__all__ = ["recording"]

_FOLDER = Path(__file__).parent


def recording(name: str) -> dict[str, Any]:
    """A recording by its name.

    Returns:
        `machine` and `versions` it was made with, the `command` that makes it, and `runs`: for each run by name its
        `figures`; of "ppo" also its `flag` for `minillm run --preset cpu --stages ppo` and its `metrics`, line by line;
        of "lora" the `changes` of the preset's settings; of "grpo" its `changes`, its `metrics`, and what sums came to
        `before` and `after`, by their number of steps; of "sft" the sums `asked` and `right`, by their number of steps,
        and for each seed the assistant's tasks done; of "specialists" losses and skills of a job; of
        "evaluation" (chapter 12), part by part and for each seed, scores, counts and a log. Of "small_runs"
        (chapter 04) each run has its losses, of "annotators" (chapter 06) shares (0-1); `made_from` has the keys of
        the stages that decide it. Of "tokenizers" (chapter 01) each table of tokens has its `source` and `sha256`,
        the number of `tokens` of some texts and the `pieces` of others, in hexadecimal digits. Of "verified" (chapter
        10) each seed has, family by family, how many of 32 answers and of 32 others to each task are right, of the
        assistant ("sft") and after the stage "grpo", and for both `corpus_loss` and `accuracy`. Of "dpo" (chapter 09)
        there are `cost` (passes of tokens, seconds of a core), `methods` (five ways to answer the same tasks), `order`
        (held-out pairs) and DPO with one change.
        Of "web" (chapter 11) each run has the loss of a model after a step of cleaning, its marks in a test, and the
        step's `truth`; of "evaluation" (chapter 12) there are the stages' answers and marks, and what tools change; of
        "scaling" (chapter 13) each run has its size, tokens and loss.
    Raises:
        ValueError: there is none of that name.
    """
    path = _FOLDER / f"{name}.json"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in _FOLDER.glob("*.json")))
        raise ValueError(f"there is no recording {name!r}; choose one of {known}")
    found: dict[str, Any] = read_json(path)
    return found
