"""Record what chapter 09 shows: five ways to a better assistant in one table, and DPO with other settings.

python tools/record_dpo.py [FOLDER OF RUNS] [SEED ...]

Trains the stages before it where they are missing, then one to three minutes a run on one core, and writes
minillm/recordings/dpo.json. What is recorded already is not repeated.

- cost: what each training costs, in tokens that pass through a network and in seconds of one core.
- methods: the assistant, the best of four of its answers, and the policies of PPO, DPO and GRPO, all on the same tasks.
- order: how the policies' own rewards and the reward model order held-out pairs, by family.
- the others: DPO, each with one change.
"""

from __future__ import annotations

import copy
import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any
from unittest.mock import patch

import torch
from recorder import Recorder
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook

from minillm.course import Course
from minillm.data.answers import answer_prompts
from minillm.data.comparisons import (
    HELD_OUT_COMPARISONS,
    TRAIN_COMPARISONS,
    Comparison,
    fitting_comparisons,
    load_comparisons,
)
from minillm.data.judge import noisy_ranking
from minillm.data.preferences import SampledPreferences
from minillm.data.tasks import FAMILIES, GRPO_SEED, PREFERENCE_SEED, Task, Tasks, held_out_tasks
from minillm.evaluate import (
    PolicyReport,
    Report,
    answer_rewards,
    answer_tasks,
    evaluate_policy,
    fitting_tasks,
    score_pairs,
    verifiable_families,
    verified_share,
    win_rate,
)
from minillm.model import decoding
from minillm.model.blocks import Block
from minillm.model.cache import KVCache
from minillm.model.gpt import GPT
from minillm.stages.dpo import (
    DPOConfig,
    comparison_log_probs,
    implicit_rewards,
    preference_figures,
    preferred_pairs,
    train_dpo,
)
from minillm.stages.grpo import GRPORun
from minillm.stages.ppo_run import PPORun
from minillm.stages.reward import score_comparisons, train_reward_model
from minillm.stages.sft import answer_losses
from minillm.train.options import RunOptions

SEEDS = (0, 1, 2)
N_TASKS = 50  # of each family: the examination of every model here
N = 4  # answers of which the reward model takes the best
NOISE = 0.3  # of a careless annotator; the preset's has 0.05
LONGER = 700  # steps that take about as long as the training of the reward model and PPO together
CHANGES: dict[str, dict[str, Any]] = {  # of the settings of DPO; "noise" is the annotator's
    "longer": {"steps": LONGER, "max_epochs": 3.0},
    "beta 0.03": {"beta": 0.03},
    "beta 0.3": {"beta": 0.3},
    "careless annotator": {"noise": NOISE},
    "careless annotator, smoothed": {"noise": NOISE, "label_smoothing": 0.25},
}
WHOLLY = ("longer",)  # examined as the stages are; of the others only sampled answers are looked at
Match = tuple[int, int, int]  # won, tied, lost


# -- what it costs --


@dataclass
class Count:
    """Tokens that passed through a network, once for each pass forward and twice for a pass back; seconds of a core."""

    passes: float = 0.0
    seconds: float = 0.0


@contextmanager
def counted() -> Iterator[Count]:
    """Count what is computed meanwhile; a pass back is taken to follow wherever gradients are kept."""
    count, started = Count(), time.process_time()

    def add(module: nn.Module, given: tuple[Tensor, ...]) -> None:
        if isinstance(module, Block):
            learns = torch.is_grad_enabled() and next(module.parameters()).requires_grad
            count.passes += given[0].shape[0] * given[0].shape[1] * (3 if learns else 1)

    step = decoding._JoinedDecoder.__call__  # answers are sampled by this, and not by the blocks

    def counted_step(decoder: decoding._JoinedDecoder, ids: Tensor, cache: KVCache) -> Tensor:
        count.passes += ids.numel() * len(decoder.blocks)
        return step(decoder, ids, cache)

    hook = register_module_forward_pre_hook(add)
    try:
        with patch.object(decoding._JoinedDecoder, "__call__", counted_step):
            yield count
    finally:
        hook.remove()
        count.seconds = time.process_time() - started


def cost(course: Course) -> dict[str, Any]:
    """Token passes and seconds of each training, calculated from two short parts of it."""
    preset = course.preset
    options = RunOptions(seed=preset.seed, runtime=course.runtime, progress=False)
    sft, reward = course.stage("sft"), course.stage("reward")
    model, tokenizer = sft.language_model, sft.tokenizer
    trained, held_out = comparisons(course, TRAIN_COMPARISONS), comparisons(course, HELD_OUT_COMPARISONS)[:8]
    tasks, preferences = Tasks("train", verifiable_families(FAMILIES)), preset.preferences
    assert isinstance(preferences, SampledPreferences)

    def sample(n: int) -> None:
        prompts = [task.prompt for task in Tasks("train").tasks(n, PREFERENCE_SEED) for _ in range(N)]
        answer_prompts(model, tokenizer, prompts, preferences.max_new_tokens, 1.0)

    def rewards(n: int) -> None:
        short = replace(preset.reward, fit=replace(preset.reward.fit, steps=n))
        train_reward_model(short, model, tokenizer, trained, held_out, options)

    def dpo(n: int) -> None:
        fit = replace(preset.dpo.fit, steps=n, validate_every=n)
        train_dpo(replace(preset.dpo, fit=fit), model, tokenizer, trained, held_out, options)

    def iterate(run: PPORun | GRPORun, n: int) -> None:
        for _ in range(n):
            run.iterate()

    prompt = preset.conversations.prompt
    ppo = PPORun(preset.ppo, model, reward.reward_model, tokenizer, prompt, options)
    grpo = GRPORun(preset.grpo, model, tokenizer, lambda number: tasks.task(GRPO_SEED, number), options)
    parts: dict[str, tuple[Callable[[int], None], int, int]] = {  # what is done; so often here, and in all
        "comparisons": (sample, 100, preferences.n_train),
        "reward": (rewards, 16, preset.reward.fit.steps),
        "ppo": (partial(iterate, ppo), 1, preset.ppo.iterations),
        "dpo": (dpo, 16, preset.dpo.fit.steps),
        "grpo": (partial(iterate, grpo), 1, preset.grpo.iterations),
    }
    found = {}
    for name, (do, few, n) in parts.items():
        passes, seconds = extrapolated(do, few, n)
        found[name] = {"passes": passes / model.config.n_layer, "seconds": seconds}
    # Of a step three passes; the reference has read its tokens once, in the first epoch.
    epoch = math.ceil(len(trained) / preset.dpo.prompts)
    longer = (3 * LONGER + min(LONGER, epoch)) / (4 * preset.dpo.fit.steps)
    return found | {"longer": {name: value * longer for name, value in found["dpo"].items()}}


def extrapolated(do: Callable[[int], None], few: int, n: int) -> tuple[float, float]:
    """Passes and seconds of doing something n times, from a few and twice as many: what is done once counts once."""
    counts = []
    for times in (few, 2 * few):
        with counted() as count:
            do(times)
        counts.append((count.passes, count.seconds))
    (passes, seconds), (more_passes, more_seconds) = counts
    return (
        passes + (more_passes - passes) / few * (n - few),
        seconds + (more_seconds - seconds) / few * (n - few),
    )


# -- the examination --


@cache
def exam(course: Course) -> list[Task]:
    """The tasks of the examination."""
    sft = course.stage("sft")
    return fitting_tasks(held_out_tasks(N_TASKS), sft.language_model, sft.tokenizer)


@cache
def answers(course: Course, stage: str) -> tuple[Report, PolicyReport]:
    """The answers of a stage's model, the most likely ones and sampled ones."""
    return answered(course, course.stage(stage).language_model)


def answered(course: Course, model: GPT) -> tuple[Report, PolicyReport]:
    """A policy's answers, the most likely ones and sampled ones."""
    return answer_tasks(model, course.stage("sft").tokenizer, exam(course)), sampled_answers(course, model)


def sampled_answers(course: Course, model: GPT) -> PolicyReport:
    """A policy's sampled answers, and how far they are from the assistant's."""
    sft = course.stage("sft")
    return evaluate_policy(model, sft.language_model, sft.tokenizer, exam(course))


def match(scores: list[float], others: list[float]) -> Match:
    found = win_rate(scores, others)
    return found.wins, found.ties, found.losses


def examined(course: Course, model: GPT, both: tuple[Report, PolicyReport]) -> dict[str, Any]:
    """A policy's answers beside the assistant's and PPO's; and what it has forgotten."""
    greedy, preset = both[0], course.preset
    found = {"greedy": greedy.figures(), "sampled": examined_sampled(course, both[1])}
    for rival in ("sft", "ppo"):
        found["greedy"][f"against_{rival}"] = match(greedy.scores, answers(course, rival)[0].scores)
    tokenizer = course.stage("sft").tokenizer
    return found | answer_losses(preset.sft, model, tokenizer, preset.conversations, preset.corpus)


def examined_sampled(course: Course, sampled: PolicyReport) -> dict[str, Any]:
    """A policy's sampled answers beside the assistant's and PPO's."""
    return {
        **sampled.figures(),
        "verified_share": verified_share(exam(course), sampled.answers),
        **{
            f"against_{rival}": match(sampled.scores, answers(course, rival)[1].scores)
            for rival in ("sft", "ppo")
        },
    }


def best_of(course: Course) -> dict[str, Any]:
    """The best of four sampled answers, by the reward model; other draws than those of the assistant's own."""
    sft, shopper, tasks = course.stage("sft"), course.stage("reward").reward_model, exam(course)
    repeated = [task for task in tasks for _ in range(N)]
    report = answer_tasks(sft.language_model, sft.tokenizer, repeated, temperature=1.0, seed=1)
    rewards = answer_rewards(shopper, sft.tokenizer, [task.prompt for task in repeated], report.answers)
    best = torch.tensor(rewards).view(-1, N).argmax(dim=1).tolist()
    chosen = [N * number + place for number, place in enumerate(best)]
    picked = Report(
        tuple(tasks), tuple(report.answers[i] for i in chosen), tuple(report.verdicts[i] for i in chosen)
    )
    figures = picked.figures() | {
        "correct": sum(verdict.is_correct for verdict in picked.verdicts) / len(tasks),
        "against_sft": match(picked.scores, answers(course, "sft")[1].scores),
        "against_ppo": match(picked.scores, answers(course, "ppo")[1].scores),
    }
    return {"sampled": figures}


def methods(course: Course) -> dict[str, Any]:
    """All ways on the same tasks."""
    found = {
        stage: examined(course, course.stage(stage).language_model, answers(course, stage))
        for stage in ("sft", "ppo", "dpo", "grpo")
    }
    return found | {"best of 4": best_of(course)}


# -- the order of held-out pairs --


@cache
def comparisons(course: Course, name: str) -> list[Comparison]:
    """The comparisons of a split that fit the context."""
    sft = course.stage("sft")
    found = load_comparisons(course.stage("preferences").folder / name)
    return fitting_comparisons(found, sft.tokenizer, course.preset.context_length)


def order(course: Course) -> dict[str, Any]:
    """How many of the held-out pairs each scorer orders as the judge does, by family; and the pairs' lengths."""
    held_out, sft = comparisons(course, HELD_OUT_COMPARISONS), course.stage("sft")
    reference, policy = (
        comparison_log_probs(course.stage(name).language_model, sft.tokenizer, held_out)
        for name in ("sft", "dpo")
    )
    scorers = {
        "reward model": score_comparisons(course.stage("reward").reward_model, sft.tokenizer, held_out),
        "implicit reward": implicit_rewards(policy, reference, course.preset.dpo.beta),
        "the assistant's own surprise": reference,
        "the policy's own surprise": policy,
    }
    found: dict[str, Any] = {"families": {}}
    for name, scores in scorers.items():
        pairs = score_pairs(held_out, scores)
        found[name] = {
            "all": pairs.accuracy_gold,
            **{f: s for f, (s, _) in pairs.accuracy_by_family().items()},
        }
        found["families"] = {f: n for f, (_, n) in pairs.accuracy_by_family().items()}
    changes = [
        [one - other for one, other in zip(*rows, strict=True)]
        for rows in zip(policy, reference, strict=True)
    ]
    return found | {
        "moved": moved(held_out, changes),
        "lengths": lengths(course),
        "metrics": [line for line in course.stage("dpo").metrics if "val_loss" in line],
    }


def moved(held_out: list[Comparison], changes: list[list[float]]) -> dict[str, dict[str, float]]:
    """How DPO has moved held-out answers, by what they are: mean (nats), share that rose, answers."""
    groups: dict[str, list[float]] = {}
    for one, row in zip(held_out, changes, strict=True):
        for verdict, change in zip(one.verdicts, row, strict=True):
            kind = "friendly" if verdict.parts["kind"] == 1 else "plain"
            groups.setdefault(f"{'right' if verdict.is_correct else 'wrong'}, {kind}", []).append(change)
    return {
        name: {"mean": sum(v) / len(v), "rose": sum(x > 0 for x in v) / len(v), "answers": len(v)}
        for name, v in sorted(groups.items())
    }


def lengths(course: Course) -> dict[str, float]:
    """Tokens of the preferred and of the other answers in training, and the share of pairs in which the longer wins."""
    tokenizer, pairs = course.stage("sft").tokenizer, []
    for one in comparisons(course, TRAIN_COMPARISONS):
        tokens = [len(tokenizer.encode(text)) for text in one.answers]
        _, chosen, rejected = preferred_pairs(torch.tensor([one.ranks]))
        pairs += [(tokens[i], tokens[j]) for i, j in zip(chosen.tolist(), rejected.tolist(), strict=True)]
    unequal = [(one, other) for one, other in pairs if one != other]
    return {
        "chosen": sum(one for one, _ in pairs) / len(pairs),
        "rejected": sum(other for _, other in pairs) / len(pairs),
        "longer_preferred": sum(one > other for one, other in unequal) / len(unequal),
    }


# -- DPO with one change --


def careless(course: Course, noise: float) -> tuple[list[Comparison], float]:
    """The training comparisons ranked anew with other noise; and the share of pairs that are against the judge."""
    generator, found = torch.Generator().manual_seed(course.preset.seed), []
    for one in comparisons(course, TRAIN_COMPARISONS):
        ranking = noisy_ranking(one.gold, generator, noise)
        found.append(replace(one, ranks=tuple(ranking.index(i) for i in range(len(ranking)))))
    agrees = score_pairs(found, [one.gold for one in found]).annotator_accuracy
    return found, 1 - agrees


def variant(course: Course, name: str) -> dict[str, Any]:
    """DPO with some changes, examined on held-out pairs and tasks."""
    changes = dict(CHANGES[name])
    sft, preset = course.stage("sft"), course.preset
    train, held_out = (comparisons(course, name) for name in (TRAIN_COMPARISONS, HELD_OUT_COMPARISONS))
    found: dict[str, Any] = {}
    if noise := changes.pop("noise", None):
        train, found["wrong_pairs"] = careless(course, noise)
    steps = changes.pop("steps", preset.dpo.fit.steps)
    fit = replace(preset.dpo.fit, steps=steps, validate_every=steps)
    config: DPOConfig = replace(preset.dpo, fit=fit, **changes)
    options = RunOptions(seed=preset.seed, runtime=course.runtime, progress=False)
    reference = copy.deepcopy(sft.language_model)
    policy, figures = train_dpo(config, reference, sft.tokenizer, train, held_out, options)
    log_probs, log_probs_ref = (
        comparison_log_probs(model, sft.tokenizer, held_out) for model in (policy, reference)
    )
    pairs = score_pairs(held_out, implicit_rewards(log_probs, log_probs_ref, config.beta))
    return {
        **found,
        "figures": figures,
        "held_out": preference_figures(held_out, log_probs, log_probs_ref, config.beta),
        "implicit_accuracy": pairs.accuracy_gold,
        **(
            examined(course, policy, answered(course, policy))
            if name in WHOLLY
            else {"sampled": examined_sampled(course, sampled_answers(course, policy))}
        ),
    }


def main() -> None:
    """Train what is missing, write after every run."""
    root = sys.argv[1] if len(sys.argv) > 1 else None
    seeds = [int(seed) for seed in sys.argv[2:]] or list(SEEDS)
    parts: dict[str, Callable[[Course], dict[str, Any]]] = {"methods": methods, "order": order}
    parts |= {name: partial(variant, name=name) for name in CHANGES}
    recorder = Recorder("dpo", ["cost", *(f"{name}, seed {seed}" for name in parts for seed in SEEDS)])
    courses = {seed: Course("cpu", root, seed=seed) for seed in seeds}
    for name, make in {"cost": cost, **parts}.items():
        for seed, course in courses.items():
            if name == "cost" and seed:
                continue
            key = name if name == "cost" else f"{name}, seed {seed}"
            keys = {stage: course.key(stage) for stage in ("sft", "reward", "ppo", "dpo", "grpo")}
            decided_by = {"seed": seed, "changes": CHANGES.get(name, {}), "keys": keys}
            recorder.record(key, decided_by, partial(make, course))


if __name__ == "__main__":
    main()
