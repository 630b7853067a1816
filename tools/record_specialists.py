"""Record two jobs by rate, an adapter's first step, intruder directions and replay, for chapter 08.

python tools/record_specialists.py [FOLDER OF RUNS] [SEED ...]

Trains the stages before it where they are missing, then about a quarter of a minute a run, and writes
minillm/recordings/specialists.json. What is recorded already is not repeated.

The jobs: letters (a style), and the habit that PPO has learned, taught by its own answers; beside them the help desk
(new words), with replay.
Learning rates are to be chosen by `minillm.evaluate.best_rate` on the figures under `choice`, of other tasks than
those under `test`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import torch
from recorder import Recorder

from minillm.course import Course
from minillm.data.batches import IGNORE_INDEX, whole_documents
from minillm.data.conversations import Conversations, TaskConversations
from minillm.data.habits import GivenConversations, answered, with_replay
from minillm.data.tasks import DOMAINS, Tasks, held_out_tasks
from minillm.data.world import TEST_SEED
from minillm.evaluate import answer_tasks, domain_figures, fitting_tasks
from minillm.model.gpt import GPT
from minillm.model.lora import LoRAConfig, apply_lora, merged_state_dict
from minillm.model.updates import first_lora_update, intruders, progress, shrink_intruders
from minillm.stages.sft import answer_losses, chat_documents, fine_tune
from minillm.text.chat import render_chat
from minillm.train.options import RunOptions

SEEDS = (0, 1, 2)
CHOICE_SEED, HABIT_SEED = 1001, 2001  # streams of tasks that nothing else uses
DESK, LETTERS, HABIT = "help desk", "letters", "habit"
STEPS = {DESK: 200, LETTERS: 200, HABIT: 60}
RATES: dict[str, tuple[float, ...]] = {  # of the style and the habit; `record_lora.py` has those of the desk
    "full": (0.0001, 0.0002, 0.0004, 0.001),
    "rank 1": (0.0005, 0.001, 0.002, 0.005),
    "rank 8": (0.0005, 0.001, 0.002),
}
REPLAY = 0.25  # share of chapter 05's conversations
SCALES = (1.0, 0.8, 0.6, 0.4, 0.2, 0.0)  # of the intruders
TASKS, KNOWN_TASKS = 20, 40  # of each family
PROMPTS, HELD_OUT = 600, 100  # that PPO's policy answers, to be learned from


@cache
def job(course: Course, name: str) -> Conversations:
    """The conversations of a job."""
    if name != HABIT:
        return TaskConversations(600, 100, tuple(DOMAINS[name]))
    policy = course.stage("ppo")
    sides = []
    for side, n in (("train", PROMPTS), ("test", HELD_OUT)):
        tasks = fitting_tasks(Tasks(side).tasks(n, HABIT_SEED), policy.language_model, policy.tokenizer)
        sides.append(answered(policy.model, policy.tokenizer, [task.prompt for task in tasks]))
    return GivenConversations(*sides)


def skill(course: Course, name: str, model: GPT, seed: int) -> dict[str, Any]:
    """What a model can do of its job, and of what it knew: `skill` is the gold score of the habit, else the tasks."""
    tokenizer = course.stage("sft").tokenizer
    if name != HABIT:
        found = domain_figures(model, tokenizer, DOMAINS[name], TASKS, KNOWN_TASKS, seed=seed)
        return {"skill": found["domain_accuracy"], "task_accuracy": found["task_accuracy"]}
    tasks = fitting_tasks(held_out_tasks(KNOWN_TASKS, seed=seed), model, tokenizer)
    report = answer_tasks(model, tokenizer, tasks)
    return {"skill": report.gold_score, "kind": report.parts["kind"], "task_accuracy": report.task_accuracy}


def examined(course: Course, name: str, model: GPT) -> dict[str, Any]:
    """Losses and skills, those to choose by and those of the test."""
    sources = course.stage("sft").tokenizer, job(course, name), course.preset.corpus
    return {
        **answer_losses(course.preset.lora.training, model, *sources),
        "choice": skill(course, name, model, CHOICE_SEED),
        "test": skill(course, name, model, TEST_SEED),
    }


def trained(course: Course, name: str, method: str, rate: float, replay: float = 0.0) -> GPT:
    """A specialist for a job: by full fine-tuning, or with an adapter of the preset's scale."""
    preset = course.preset
    model, rank = GPT.from_pretrained(course.stage("sft").folder), method.removeprefix("rank ")
    if method != "full":
        scale = preset.lora.adapter.scaling
        apply_lora(model, LoRAConfig(int(rank), scale * int(rank)), generator=preset.seed)
    training = replace(
        preset.lora.training, fit=replace(preset.lora.training.fit, learning_rate=rate, steps=STEPS[name])
    )
    conversations = job(course, name)
    if replay:
        conversations = with_replay(conversations, preset.conversations, replay)
    options = RunOptions(seed=preset.seed, runtime=course.runtime, progress=False)
    fine_tune(training, model, course.stage("sft").tokenizer, conversations, preset.corpus, options)
    return model.eval()


def first_steps(course: Course) -> dict[str, Any]:
    """Length and promise of Adam's first step at the desk, by rank, at alpha 32 and the preset's learning rate."""
    tokenizer, model = course.stage("sft").tokenizer, GPT.from_pretrained(course.stage("sft").folder)
    lessons = TaskConversations(32, 1, tuple(DOMAINS[DESK])).conversations("train")
    chats = [render_chat(lesson, tokenizer) for lesson in lessons]
    end, context = tokenizer.end_of_text_id, model.config.context_length
    documents = chat_documents(chats, end, context)
    batches = list(whole_documents(documents, end, context))
    n_targets = sum(batch.n_targets for batch in batches)
    for batch in batches:
        logits = model(batch.ids, document_ids=batch.document_ids).flatten(0, 1)
        loss = torch.nn.functional.cross_entropy(
            logits, batch.targets.flatten(), ignore_index=IGNORE_INDEX, reduction="sum"
        )
        (loss / n_targets).backward()
    slopes = {n: p.grad for n, p in model.named_parameters() if n.endswith("_proj.weight")}
    size = sum(float(g.square().sum()) for g in slopes.values()) ** 0.5
    rate, found = course.preset.lora.training.fit.learning_rate, {}
    for rank in (1, 2, 4, 8, 32, 128):
        die = torch.Generator().manual_seed(course.preset.seed)
        length_2, promised = 0.0, 0.0
        for slope in slopes.values():
            a = (2 * torch.rand(rank, slope.shape[1], generator=die) - 1) / slope.shape[1] ** 0.5
            update = first_lora_update(slope, a, 32 / rank, rate)
            length_2 += float(update.square().sum())
            promised += progress(update, slope)
        found[str(rank)] = {
            "norm": length_2**0.5,
            "useful_norm": -promised / size,  # the part along the steepest descent
            "cosine": -promised / size / length_2**0.5,
        }
    return found


def intruder_curve(course: Course) -> dict[str, Any]:
    """The stage's two specialists with their intruders shrunk."""
    vest, before = course.stage("lora"), course.stage("sft").model.state_dict()
    names = [name for name in before if name.endswith("_proj.weight")]
    found: dict[str, Any] = {}
    for label, folder in (("rank 8", vest.folder), ("full", vest.folder / "full")):
        after = GPT.from_pretrained(folder).state_dict()
        found[label] = {"intruders": sum(len(intruders(before[n], after[n])) for n in names), "scales": {}}
        for scale in SCALES:
            model = GPT.from_pretrained(folder).eval()
            changed = {n: shrink_intruders(before[n], after[n], scale) for n in names}
            model.load_state_dict(after | changed)
            found[label]["scales"][f"{scale:g}"] = examined(course, DESK, model)
    return found


def plans(course: Course) -> Iterator[tuple[str, Callable[[], dict[str, Any]]]]:
    """The runs of a seed by name."""
    for name in STEPS:
        yield f"{name}, before", lambda name=name: examined(course, name, course.stage("sft").model)  # type: ignore[misc]
        for method, rates in RATES.items() if name != DESK else ():
            for rate in rates:
                yield (
                    f"{name}, {method}, {rate:g}",
                    lambda name=name, method=method, rate=rate: examined(  # type: ignore[misc]
                        course, name, plain(course, trained(course, name, method, rate))
                    ),
                )
    yield "habit, ppo", lambda: examined(course, HABIT, course.stage("ppo").model)
    lora = course.preset.lora
    for method, rate in (("full", lora.full_learning_rate), ("rank 8", lora.training.fit.learning_rate)):
        yield (
            f"{DESK}, {method}, {rate:g}, replay {REPLAY:g}",
            lambda method=method, rate=rate: examined(  # type: ignore[misc]
                course, DESK, plain(course, trained(course, DESK, method, rate, REPLAY))
            ),
        )
    yield "first steps", lambda: first_steps(course)
    yield "intruders", lambda: intruder_curve(course)


def plain(course: Course, model: GPT) -> GPT:
    """A model without adapters that answers as this one."""
    merged = GPT(model.config)
    merged.load_state_dict(merged_state_dict(model))
    return merged.eval().to(course.runtime.device)


def main() -> None:
    """Make what is missing, write after every run."""
    root = sys.argv[1] if len(sys.argv) > 1 else None
    for seed in [int(seed) for seed in sys.argv[2:]] or SEEDS:
        course = Course("cpu", root, seed=seed)
        decided_by = {"keys": {stage: course.key(stage) for stage in ("sft", "ppo", "lora")}}
        made = dict(plans(course))
        recorder = Recorder("specialists", [f"{name}, seed {n}" for name in made for n in SEEDS])
        for name, make in made.items():
            recorder.record(f"{name}, seed {seed}", decided_by, make)


if __name__ == "__main__":
    main()
