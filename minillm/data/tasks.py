"""Instruction tasks: prompts with reference answers over the micro-world, and what makes an answer right.

Train and test share neither templates nor people, things, places, animals, countries or sums, so that an answer to a
test task cannot have been learned by heart in fine-tuning. Answers come in several styles: full, kind, curt, and some
flawed ones (rude, repeated, or with something missing), so that there is something to choose from when preferences are
learned.

A task is a pure function of its split, a seed and an index, as the documents of the world are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from minillm.data import phrases
from minillm.data.families import DOMAINS, FAMILIES, Family, every_family, pools
from minillm.data.grammar import RandomDraws, Scene
from minillm.data.task_types import Draft, Task, TaskSplit
from minillm.data.typed import as_typed
from minillm.data.world import FRESH, TEST_SEED, TRAIN_SEED

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = [
    "DOMAINS",
    "FAMILIES",
    "STYLES",
    "TASKS_PER_FAMILY",
    "Task",
    "Tasks",
    "held_out_tasks",
    "to_dataset",
]

# Streams of prompts that nothing else uses: for preferences, for PPO and for GRPO; each with one to test on.
PREFERENCE_SEED, PREFERENCE_TEST_SEED, PPO_SEED, PPO_TEST_SEED = 3, 4, 5, 6
GRPO_SEED, GRPO_TEST_SEED = 7, 8

TASKS_PER_FAMILY = 100  # that the models of every stage are tested on
STYLES = {"full": 50, "kind": 25, "curt": 15, "flawed": 10}  # parts of the sum in the training data
_SYSTEM_IN = 5  # one conversation in so many has a system message
_EARLIER = {"0": 82, "1": 10, "2": 5, "3": 3}  # exchanges before the task, in parts of the sum


class Tasks:
    """An endless supply of tasks of one split.

    Args:
        split: "train" or "test".
        families: write only these families, in the same proportions to one another; by default all of `FAMILIES`.
            Those of a domain (`DOMAINS["help desk"]`) have to be named.
        steps: whether sums (or what else a family works out) show their steps; False gives the bare result.

    Raises:
        ValueError: an unknown split or family.

    >>> Tasks("test", ["world"]).task(seed=2, index=0).question == Tasks("test", ["world"]).task(2, 0).question
    True
    """

    def __init__(
        self, split: TaskSplit, families: Iterable[str] | None = None, *, steps: bool = True
    ) -> None:
        if split not in ("train", "test"):
            raise ValueError(f'split={split!r}: choose "train" or "test"')
        chosen = tuple(FAMILIES) if families is None else tuple(families)
        known = every_family()
        if not chosen or not known.keys() >= set(chosen):
            raise ValueError(f"families={list(chosen)!r}: choose at least one of {', '.join(known)}")
        self.split, self.steps = split, steps
        self.weights = {name: known[name].weight for name in chosen}

    @property
    def seed(self) -> int:
        """The seed of the split."""
        return TRAIN_SEED if self.split == "train" else TEST_SEED

    def task(self, seed: int, index: int) -> Task:
        """Return task number `index` of the stream `seed`: the same on every machine."""
        draws = RandomDraws(seed, index)
        family = every_family()[draws.weighted(self.weights)]
        draft = self._draft(family, draws)
        asked = (*draft.history, ("user", draft.prompt))
        if not family.styled:
            return Task(family.name, asked, draft.full, draft.keys, draft.rivals)
        has_system = family.obeys and draws.choose(range(_SYSTEM_IN)) == 0
        wanted = draws.choose(tuple(phrases.SYSTEM)) if has_system else ""
        style = draws.weighted(STYLES)
        if wanted or self.split == "test":
            style = wanted or "full"
        before: list[tuple[str, str]] = []
        if wanted:
            before.append(("system", draws.choose(phrases.SYSTEM[wanted][self.split])))
        if not draft.history and not family.stands_alone:
            for _ in range(int(draws.weighted(_EARLIER))):
                before += self._exchange(draws, wanted)
        answer = _styled(draft, style, draws)
        return Task(family.name, (*before, *asked), answer, draft.keys, draft.rivals, style, wanted)

    def _exchange(self, draws: RandomDraws, wanted: str) -> list[tuple[str, str]]:
        """Another task and its answer, for the earlier part of a conversation."""
        openers = sorted((f for f in FAMILIES.values() if f.earlier), key=lambda f: f.earlier)
        draft = self._draft(draws.choose(openers), draws)
        answer = _styled(draft, wanted or draws.choose(("full", "kind")), draws)
        return [*draft.history, ("user", draft.prompt), ("assistant", answer)]

    def _draft(self, family: Family, draws: RandomDraws) -> Draft:
        draft = family.draft(Scene(draws, pools(self.split), fresh=FRESH), self.split)
        if family.typed and draws.choose(range(family.typed)) == 0:
            draft = replace(draft, prompt=as_typed(draws, draft.prompt, draft.full))
        return draft if self.steps else family.without_steps(draft)

    def tasks(self, n: int, seed: int | None = None, start: int = 0) -> Iterator[Task]:
        """Yield tasks `start` ... `start + n - 1` of a stream, by default that of the split."""
        seed = self.seed if seed is None else seed
        return (self.task(seed, index) for index in range(start, start + n))


def held_out_tasks(n: int, families: Iterable[str] | None = None, seed: int = TEST_SEED) -> list[Task]:
    """The tasks that every model of the course is tested on: `n` different prompts of each family."""
    found: list[Task] = []
    for family in FAMILIES if families is None else families:
        tasks, index = Tasks("test", [family]), 0
        seen: set[tuple[tuple[str, str], ...]] = set()
        while len(seen) < n and index < 50 * n:  # a family of few prompts has no more
            task = tasks.task(seed, index)
            index += 1
            if task.messages not in seen:
                seen.add(task.messages)
                found.append(task)
    return found


def to_dataset(tasks: Iterable[Task]) -> Dataset:
    """The conversations as a `datasets.Dataset` with the columns `messages` and `family`.

    Raises:
        ImportError: the package `datasets` is missing.
    """
    from datasets import Dataset

    tasks = list(tasks)
    return Dataset.from_dict(
        {"messages": [task.conversation for task in tasks], "family": [task.family for task in tasks]}
    )


# -- styles -----------------------------------------------------------------------------------------------------------


def _styled(draft: Draft, style: str, draws: RandomDraws) -> str:
    """The answer of a draft in one of the styles."""
    if style == "curt":
        return draft.short
    if style == "kind":
        return f"{draft.full} {draft.kind or draws.choose(phrases.KIND_ENDINGS)}"
    if style == "flawed":
        return draft.flawed or draws.choose(_FLAWS)(draft, draws)
    return draft.full


def _rude(draft: Draft, draws: RandomDraws) -> str:
    return f"{draws.choose(phrases.RUDE)} {draft.full}"


def _repeated(draft: Draft, draws: RandomDraws) -> str:
    return f"{draft.full} {draft.full}"


def _wandering(draft: Draft, draws: RandomDraws) -> str:
    return f"{draft.full} {draws.choose(phrases.ASIDES)}"


_FLAWS = (_rude, _repeated, _wandering)
