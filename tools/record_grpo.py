"""Make the recordings of rewards that a program checks: steps that appear, nothing to reinforce, a checker too lax.

python tools/record_grpo.py [FOLDER OF RUNS] [SEED ...]

Trains the assistant where it is missing, then one to two minutes a run on one core, and writes
minillm/recordings/grpo.json. A run that is recorded already, with the same settings, is not repeated.

Each seed has an assistant of its own.

- steps appear: the assistant is first taught to answer sums of two steps mostly without steps ("taught"); then GRPO on
  sums of two steps.
- without scale: the same, the advantages not divided by the spread of their group (Dr. GRPO).
- nothing to reinforce: from the assistant, GRPO on sums of three and four steps, which it never saw.
- too lax: the same, with a checker that finds an answer right if the result stands anywhere in it.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import cache, partial
from typing import Any

from recorder import Recorder

from minillm.course import Course
from minillm.data.answers import answer_prompts
from minillm.data.judge import verify
from minillm.data.step_sums import (
    StepSumConversations,
    StepSums,
    says_result,
    shows_steps,
    stated_result,
    steps_share,
    works_out,
)
from minillm.data.task_types import Task
from minillm.data.tasks import GRPO_SEED, GRPO_TEST_SEED
from minillm.evaluate import evaluate_tasks, guess_chance, majority_at_k, pass_at_k
from minillm.model.gpt import GPT
from minillm.stages.grpo import GRPOConfig, GRPORun
from minillm.stages.iterations import carry_out
from minillm.stages.sft import SFTConfig, answer_losses, fine_tune
from minillm.text.tokenizer import Tokenizer
from minillm.train.config import FitConfig
from minillm.train.options import RunOptions

SEEDS = (0, 1, 2)
TEACHING = SFTConfig(
    FitConfig(150, "adamw", learning_rate=5e-4, warmup_share=0.1), rows=4, pretraining_share=0.0
)
BARE_SUMS = StepSumConversations(n_train=5_000, n_steps=2, steps_share=0.15)
STEPS = GRPOConfig(
    iterations=40,
    prompts=16,
    answers=8,
    learning_rate=3e-4,
    kl_coef=0.0,
    max_new_tokens=50,
    evaluate_every=5,
)
LONG = replace(STEPS, max_new_tokens=80, evaluate_every=10)
# name: settings, steps of the sums, whether the model is taught first, checker
RUNS: dict[str, tuple[GRPOConfig, tuple[int, ...], bool, Callable[[Task, str], float]]] = {
    "steps appear": (STEPS, (2,), True, verify),
    "without scale": (replace(STEPS, scale=False), (2,), True, verify),
    "nothing to reinforce": (LONG, (3, 4), False, verify),
    "too lax": (LONG, (3, 4), False, says_result),
}
WATCHED, EXAMINED = 60, 40  # sums watched in training; sums of each length examined before and after
SAMPLES, FEW = 64, 8  # answers to each sum that is examined: of the lengths trained on, and of one step less
KNOWN_TASKS = 40  # of each family of the course, to see what else is lost
SHOWN = 3  # answers that are kept
COUNTS = (1, 2, 4, 8, 16, 32, 64)  # of answers to choose from, or that vote


def answered(model: GPT, tokenizer: Tokenizer, tasks: list[Task], temperature: float) -> dict[str, Any]:
    """Shares of the answers to some sums: right, right by the lax checker, with steps; and their length (tokens)."""
    answers = answer_prompts(model, tokenizer, [task.prompt for task in tasks], 80, temperature)
    pairs = [(task, answer.text) for task, answer in zip(tasks, answers, strict=True)]
    return {
        "right": sum(verify(*pair) for pair in pairs) / len(pairs),
        "right_by_lax_checker": sum(says_result(*pair) for pair in pairs) / len(pairs),
        "steps_share": sum(shows_steps(text) for _, text in pairs) / len(pairs),
        "tokens": sum(len(answer.ids) for answer in answers) / len(answers),
        "shown": [[task.question, text] for task, text in pairs[:SHOWN]],
    }


def examined(model: GPT, tokenizer: Tokenizer, n_steps: int, samples: int) -> dict[str, Any]:
    """Held-out sums of so many steps: greedy, sampled; pass@k beside chance, and the majority of k."""
    tasks = list(StepSums("test", n_steps).tasks(EXAMINED, GRPO_TEST_SEED))
    repeated = [task for task in tasks for _ in range(samples)]
    answers = answer_prompts(model, tokenizer, [task.prompt for task in repeated], 80, temperature=1.0)
    pairs = [(task, answer.text) for task, answer in zip(repeated, answers, strict=True)]
    marks = [verify(*pair) for pair in pairs]
    worked_out = [right and works_out(*pair) for right, pair in zip(marks, pairs, strict=True)]
    results = [stated_result(*pair) for pair in pairs]
    each = [slice(first, first + samples) for first in range(0, len(pairs), samples)]
    found: dict[str, Any] = {"greedy": answered(model, tokenizer, tasks, 0.0)}
    found["sampled_steps_share"] = sum(shows_steps(text) for _, text in pairs) / len(pairs)
    found["sampled_tokens"] = sum(len(answer.ids) for answer in answers) / len(answers)
    found["worked_out"] = sum(worked_out) / len(pairs)
    for k in (k for k in COUNTS if k <= samples):
        passed = [pass_at_k(samples, sum(marks[one]), k) for one in each]
        voted = [majority_at_k(results[one], task.keys[0], k) for one, task in zip(each, tasks, strict=True)]
        found[f"pass_at_{k}"] = sum(passed) / len(passed)
        found[f"majority_at_{k}"] = sum(voted) / len(voted)
        found[f"chance_{k}"] = guess_chance(tasks, k)
    return found


def examination(
    course: Course, model: GPT, lengths: tuple[int, ...], trained: tuple[int, ...]
) -> dict[str, Any]:
    """Sums of some lengths (most answers to those trained on), and what is known of everything else."""
    preset, tokenizer = course.preset, course.stage("sft").tokenizer
    known = evaluate_tasks(model, tokenizer, KNOWN_TASKS)
    sums = {f"{n} steps": examined(model, tokenizer, n, SAMPLES if n in trained else FEW) for n in lengths}
    losses = answer_losses(preset.sft, model, tokenizer, preset.conversations, preset.corpus)
    return sums | {
        "task_accuracy": known.task_accuracy,
        "accuracy": known.accuracy,
        "corpus_loss": losses["corpus_loss"],
    }


def alternating(n_steps: tuple[int, ...]) -> Callable[[int], Task]:
    """Sums for training, by turns of so many steps."""
    sums = [StepSums("train", n) for n in n_steps]
    return lambda number: sums[number % len(sums)].task(GRPO_SEED, number)


def run(course: Course, name: str) -> dict[str, Any]:
    """One run: trained, watched, examined before and after."""
    config, n_steps, taught, check = RUNS[name]
    tokenizer = course.stage("sft").tokenizer
    start = copy.deepcopy(taught_assistant(course) if taught else course.stage("sft").language_model)
    around = (min(n_steps) - 1, *n_steps)  # sums a step shorter are examined too
    watched = [
        task for n in n_steps for task in StepSums("test", n).tasks(WATCHED // len(n_steps), GRPO_TEST_SEED)
    ]

    def watch(policy: GPT) -> dict[str, Any]:
        greedy, sampled = (answered(policy, tokenizer, watched, temperature) for temperature in (0.0, 1.0))
        return {"held_out_greedy": greedy, "held_out_sampled": sampled}

    def look(tasks: Any, answers: Any) -> dict[str, float]:
        strict = sum(verify(task, answer) for task, answer in zip(tasks, answers, strict=True)) / len(tasks)
        return steps_share(tasks, answers) | {"right_by_strict_checker": strict}

    options = RunOptions(seed=course.preset.seed, runtime=course.runtime, progress=False)
    training = GRPORun(config, start, tokenizer, alternating(n_steps), options, check, look)
    policy, figures = carry_out(training, watch, lambda numbers: f"right {numbers['reward']:.0%}")
    return {
        "before": before(course, taught, around, n_steps),
        "after": examination(course, policy, around, n_steps),
        "figures": figures,
        "metrics": training.log.lines,
    }


@cache
def taught_assistant(course: Course) -> GPT:
    """A copy of the assistant of a seed that has been taught to answer sums mostly without steps."""
    sft = course.stage("sft")
    taught = copy.deepcopy(sft.language_model)
    options = RunOptions(seed=course.preset.seed, runtime=course.runtime, progress=False)
    fine_tune(TEACHING, taught, sft.tokenizer, BARE_SUMS, course.preset.corpus, options)
    return taught.eval()


@cache
def before(
    course: Course, taught: bool, lengths: tuple[int, ...], trained: tuple[int, ...]
) -> dict[str, Any]:
    """What a run starts from, examined once."""
    model = taught_assistant(course) if taught else course.stage("sft").language_model
    return examination(course, model, lengths, trained)


def main() -> None:
    """Train what is missing, write after every run."""
    root = sys.argv[1] if len(sys.argv) > 1 else None
    seeds = [int(seed) for seed in sys.argv[2:]] or SEEDS
    recorder = Recorder("grpo", [f"{name}, seed {seed}" for name in RUNS for seed in SEEDS])
    for seed in seeds:
        course = Course("cpu", root, seed=seed)
        for name, (config, n_steps, taught, check) in RUNS.items():
            changes = {
                "seed": seed,
                "grpo": asdict(config),
                "n_steps": n_steps,
                "taught": asdict(TEACHING) | asdict(BARE_SUMS) if taught else None,
                "check": check.__name__,
                "examined": [EXAMINED, SAMPLES, FEW, *COUNTS],
            }
            decided_by = {"changes": changes, "sft": course.key("sft")}
            recorder.record(f"{name}, seed {seed}", decided_by, partial(run, course, name))


if __name__ == "__main__":
    main()
