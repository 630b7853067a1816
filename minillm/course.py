"""The course as a graph of stages: what is trained, from what, with which settings, and where it lies.

A stage's key is a hash of what decides its weights: its own settings, its sources, its parents' keys. It names the
folder of the artifact, so a changed setting trains anew exactly what depends on it, and everything else is found.
The figures have a key of their own: where the examination changes, models are examined again, and not trained.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from minillm import checks
from minillm.artifact import SUMMARY, Artifact, examined_again, write_artifact
from minillm.data.source import Source
from minillm.downloads import UnavailableError
from minillm.fetch import Published, fetch_mode, size_told
from minillm.files import can_write, locked, user_path
from minillm.overrides import with_overrides
from minillm.presets import LARGEST_FIRST, PRESETS, SOURCES, Preset, choose_preset
from minillm.recipes import STAGES, Job, Stage, Trained, find_stage
from minillm.stage_keys import described, examination_key, settings_of, stage_key
from minillm.text.tokenizer import Tokenizer
from minillm.train.checkpoint import what_is_kept
from minillm.train.run import leftovers, remove_leftovers
from minillm.train.runtime import Runtime, choose_runtime, from_main

__all__ = ["STAGES", "Course", "Stage", "default_root"]

_log = logging.getLogger("minillm")


class Course:
    """Trains the stages of a preset when they are asked for, and finds them again.

    Args:
        preset: the name of a preset, "auto" (by hardware), or a `Preset`.
        root: folder of all artifacts; None: $MINILLM_RUNS, else `runs` in the source checkout, else `./runs`.
        runtime: where training runs; None chooses by the machine.
        progress: whether to show progress, on standard error.
        fetch: which missing stages are fetched instead of trained, as far as they are published with the same key:
            "none", "before" (those before the one that is asked for) or "all"; None: $MINILLM_FETCH, else none.
        models: where they are published; None: $MINILLM_MODELS, else where the course publishes its own.
        trains: with "before", the stages that are trained here, and all others fetched; None: the ones asked for.
        overrides: fields of the preset to change: `seed=1`, `corpus="my.txt"`, `conversations="my.jsonl"`,
            `preferences="my.jsonl"`, `domain="my.jsonl"`, or, a level deeper,
            `base={"rows": 8, "fit": {"steps": 100}}`. A source with settings of its own is
            `corpus={"source": "owner/name", "n_documents": 500}`.
    Raises:
        ValueError: an unknown preset or setting, or a value that is not allowed.

    >>> Course("smoke", base={"fit": {"steps": 5}}).preset.base.fit.steps
    5
    """

    def __init__(
        self,
        preset: str | Preset = "auto",
        root: str | Path | None = None,
        *,
        runtime: Runtime | None = None,
        progress: bool = True,
        fetch: str | None = None,
        models: str | Path | None = None,
        trains: str | Iterable[str] | None = None,
        **overrides: Any,
    ) -> None:
        self.root = default_root() if root is None else user_path(root)
        self.progress = progress
        self.fetches = fetch_mode(fetch)
        self.published = Published(models)
        self._given_up: set[str] = set()  # stages that were tried in vain to fetch
        self.trains = None if trains is None else {trains} if isinstance(trains, str) else set(trains)
        for name in self.trains or ():
            find_stage(name)
        if isinstance(preset, str):
            name = self._affordable(overrides) if preset == "auto" else preset
            if name not in PRESETS:
                raise ValueError(f"preset {preset!r} is unknown; choose one of {', '.join(PRESETS)}, auto")
            preset = PRESETS[name]
        checks.instance("preset", preset, Preset)
        self.preset = with_overrides(preset, overrides)
        if runtime is not None:
            self.runtime = runtime

    def _affordable(self, overrides: dict[str, Any]) -> str:
        """The preset for this machine, or, where stages are fetched, the largest whose earlier stages are there."""
        chosen = choose_preset()
        if self.fetches == "none" or chosen not in LARGEST_FIRST[:-1] or os.environ.get("MINILLM_PRESET"):
            return chosen
        before = self._earlier(STAGES if self.trains is None else self.trains)
        for name in LARGEST_FIRST[LARGEST_FIRST.index(chosen) :]:
            preset = with_overrides(PRESETS[name], overrides)
            keys = {stage: stage_key(preset, stage) for stage in before}
            if all(self._is_whole(name, *one) or self.published.find(*one) for one in keys.items()):
                if name != chosen and self.progress:
                    told = "preset %s: its earlier stages need no training; MINILLM_PRESET=%s is larger and trains them"
                    print(told % (name, chosen), file=sys.stderr)
                return name
        return chosen

    @cached_property
    def runtime(self) -> Runtime:
        """Where training runs, chosen when it is first needed."""
        return choose_runtime()

    def key(self, stage: str) -> str:
        """The key of what decides a stage's weights: 12 hexadecimal digits."""
        return stage_key(self.preset, stage)

    def examination_key(self, stage: str) -> str:
        """The key of what decides a stage's figures beside its weights: 12 hexadecimal digits."""
        return examination_key(self.preset, stage)

    def settings(self, stage: str) -> Any:
        """The settings of a stage in this preset; None for a stage that has none."""
        return settings_of(self.preset, stage)

    def folder(self, stage: str) -> Path:
        """Where the artifact of a stage lies, trained or not."""
        return self.root / self.preset.name / f"{stage}-{self.key(stage)}"

    def is_trained(self, stage: str) -> bool:
        """Whether the artifact of a stage is there and whole."""
        return self._is_whole(self.preset.name, stage, self.key(stage))

    def _is_whole(self, preset: str, stage: str, key: str) -> bool:
        return (self.root / preset / f"{stage}-{key}" / SUMMARY).is_file()

    def check(self, *stages: str) -> None:
        """Read the files and datasets of these stages and of those before them, as far as they are to be trained.

        So a mistake in the last stage's file is told at once, and not after the others have been trained.

        Raises:
            ValueError: text, a conversation or a comparison that cannot be used, the message names its place; or data
                that a stage cannot learn from.
        """
        for name in self._waiting(stages):
            STAGES[name].accepts({source: getattr(self.preset, source) for source in STAGES[name].reads})
        for source in self._sources(stages):
            source.check()

    def check_fits(self, *stages: str) -> None:
        """Find sources of these stages of which nothing fits the context, before a model is trained.

        It takes a tokenizer to count with: where there is none yet, it is trained.

        Raises:
            ValueError: nothing of a source fits; the message names it.
        """
        for name in stages:
            if not self._agreed(self.is_trained(name)) and (tokenizer := self._tokenizer_before(name)):
                for source in self._sources([name]):
                    source.check_fits(tokenizer, self.preset.context_length)

    def _tokenizer_before(self, stage: str) -> Tokenizer | None:
        """The tokenizer of the nearest trained stage before a stage; None where none is before it."""
        if not find_stage(stage).parents:
            return None
        parent = find_stage(stage).parents[0]
        if find_stage(parent).output == "tokenizer":
            return self._made(parent).tokenizer
        if self._agreed(self.is_trained(parent)):
            return Artifact(self.folder(parent)).tokenizer
        return self._tokenizer_before(parent)

    def _sources(self, stages: Iterable[str]) -> list[Source]:
        """What these stages and those before them read, as far as they are to be trained."""
        read = {source for name in self._waiting(stages) for source in STAGES[name].reads}
        return [getattr(self.preset, source) for source in SOURCES if source in read]

    def _waiting(self, stages: Iterable[str]) -> list[str]:
        """These stages and those before them, as far as they are to be trained."""
        wanted = self._with_parents(stages)
        return [name for name in STAGES if name in wanted and not self.is_trained(name)]

    def _with_parents(self, stages: Iterable[str]) -> set[str]:
        """These stages and, where they are not trained, those that they start from."""
        found = set(stages)
        for name in stages:
            if not self.is_trained(name):
                found |= self._with_parents(find_stage(name).parents)
        return found

    def stage(self, name: str) -> Artifact:
        """The artifact of a stage; trains it, and before it what it starts from, where that is missing.

        A training that was stopped goes on from its last checkpoint. Two programs that want the same artifact
        train it once: the second waits. Where the examination has changed, the model is examined again.

        Raises:
            ValueError: an unknown stage, or settings and text that do not fit together.
        """
        self.fetch(name)
        if not self._agreed(self.is_trained(name)):
            self.check(name)
            self.check_fits(name)
        return self._made(name)

    def fetch(self, *stages: str) -> None:
        """Fetch what is missing of these stages and of those before them, as far as it is published and wanted.

        What does not come whole is told in one line and left to be trained.

        Raises:
            ValueError: an unknown stage, or an address that is none.
            OSError: the disk is full or the folder cannot be written.
        """
        if self.fetches == "none":
            return
        asked = set(stages) - self._earlier(stages) if self.trains is None else self.trains
        for name in stages:
            self._bring(name, asked if self.fetches == "before" else set())

    def _bring(self, name: str, trained_here: set[str]) -> None:
        """Fetch a stage; where it is to be trained, those before it."""
        if self._agreed(self.is_trained(name)):
            return
        if name in trained_here or not self._agreed(self.runtime.is_main and self._fetched(name)):
            for parent in find_stage(name).parents:
                self._bring(parent, trained_here)

    def _fetched(self, name: str) -> bool:
        """Whether a missing stage could be fetched."""
        if name in self._given_up or not self.published.find(name, self.key(name)):
            return False
        try:
            self.bring(name)
        except UnavailableError as error:
            _log.warning("%s; %s is trained here", error, name)
            self._given_up.add(name)
            return False
        return True

    @property
    def options(self) -> str:
        """What makes `minillm run` mean this preset and this folder."""
        out = "" if self.root == default_root() else f' --out "{self.root}"'
        return f" --preset {self.preset.name}{out}"

    def bring(self, name: str) -> Artifact:
        """Fetch one stage, whatever `fetches` says, unless it is there.

        Raises:
            UnavailableError: it is not published with this key, or does not come whole.
            OSError: the disk is full or the folder cannot be written.
        """
        folder, found = self.folder(name), self.published.get(name, self.key(name), self.options)
        with self._alone(folder):
            if not self.is_trained(name):  # else another program has brought or trained it
                self.published.bring(found, folder, progress=self.progress)
                if self.progress:
                    told = f"{name}: fetched from {self.published.place.address} ({size_told(found.bytes)})"
                    print(f"{told}; MINILLM_FETCH=none trains it", file=sys.stderr)
            remove_leftovers(folder)  # while nobody else writes there
        return Artifact(folder)

    @staticmethod
    def _earlier(stages: Iterable[str]) -> set[str]:
        """All stages before these."""
        parents = {parent for name in stages for parent in find_stage(name).parents}
        return parents | Course._earlier(parents) if parents else parents

    def _made(self, name: str) -> Artifact:
        """The artifact of a stage whose sources have been checked."""
        folder = self.folder(name)
        if not self._agreed(self.is_trained(name)):
            parents = {parent: self._made(parent) for parent in find_stage(name).parents}
            with self._alone(folder):
                if not self._agreed(self.is_trained(name)):
                    self._train(self._job(name, parents), find_stage(name))
                self._agreed(True)  # no process goes on before the first has written the artifact
            return Artifact(folder)
        self._tidy(folder)
        if self._agreed(Artifact(folder).examination != self.examination_key(name)):
            self._examine_again(name)
            self._agreed(True)
        return Artifact(folder)

    def _job(self, name: str, parents: dict[str, Artifact]) -> Job[Any]:
        """All that a stage is given."""
        entry = find_stage(name)
        scratch = "-".join([entry.scratch or name, *(self.key(parent) for parent in entry.parents)])
        return Job(
            config=self.settings(name),
            parents=parents,
            sources={source: getattr(self.preset, source) for source in entry.reads},
            folder=self.folder(name),
            scratch=self.folder(name).with_name(scratch),
            seed=self.preset.seed,
            runtime=self.runtime,
            progress=self.progress,
            test_tasks=self.preset.test_tasks,
        )

    def _train(self, job: Job[Any], entry: Stage[Any]) -> None:
        """Train one stage and write its artifact, in the first process, whole."""
        started = time.perf_counter()
        if job.runtime.is_main and self.progress:
            print(f"{entry.name}: training in {job.folder}; {job.runtime.describe()}", file=sys.stderr)
        trained = entry.train(job)
        if not job.runtime.is_main or trained is None:
            return
        trained.save(job.folder, chat=entry.output == "answers")
        examined = entry.test(job, trained.on(job))
        seconds = max(time.perf_counter() - started, trained.figures.get("seconds", 0.0))
        write_artifact(
            job.folder,
            entry.name,
            self.key(entry.name),
            described(self.preset, entry.name),
            trained.figures | {"seconds": round(seconds, 2)},
            examined=examined,
            examination=self.examination_key(entry.name),
            labels=entry.labels,
        )
        remove_leftovers(job.folder)

    def _examine_again(self, name: str) -> None:
        """Measure the figures of a trained stage anew, in the first process, where all that it takes is there."""
        entry, folder = find_stage(name), self.folder(name)
        missing = [parent for parent in entry.parents if not self._agreed(self.is_trained(parent))]
        if missing:
            if self.runtime.is_main:
                _log.warning(
                    "%s: the figures are of an earlier examination; %s would have to be trained to examine it again",
                    name,
                    " and ".join(missing),
                )
            return
        job = self._job(name, {parent: self._made(parent) for parent in entry.parents})
        if not job.runtime.is_main:
            return
        if not can_write(folder):
            _log.warning("%s: the figures are of an earlier examination; %s cannot be written", name, folder)
            return
        with self._alone(folder):
            artifact = Artifact(folder)
            if artifact.examination == self.examination_key(name):  # another program has done it
                return
            if self.progress:
                print(f"{name}: examined again, as the examination has changed", file=sys.stderr)
            examined = entry.test(job, Trained.load(artifact).on(job))
            examined_again(artifact, examined, self.examination_key(name), entry.labels)

    @contextmanager
    def _alone(self, folder: Path) -> Iterator[None]:
        """Hold the artifact's lock in the first process of this run."""
        if not self.runtime.is_main:
            yield
            return
        folder.mkdir(parents=True, exist_ok=True)
        message = "another program is making %s: waiting until it has ended"
        with locked(folder, waiting=lambda: _log.warning(message, folder)):
            try:
                yield
            except KeyboardInterrupt as stop:  # in a part of the stage that has no checkpoints
                whole = (folder / SUMMARY).is_file()  # and only its examination was under way
                kept = (
                    "the stage is trained; run the same command again to examine it"
                    if whole
                    else what_is_kept(folder)
                )
                stop.args = stop.args or (f"stopped; {kept}",)
                raise

    def _tidy(self, folder: Path) -> None:
        """Delete what a program left that was killed when the artifact was whole; where that is allowed."""
        if self.runtime.is_main and leftovers(folder):
            with suppress(OSError), locked(folder, wait=False) as alone:
                if alone:
                    remove_leftovers(folder)

    def _agreed(self, value: bool) -> bool:
        """The first process's value, for all processes of a data-parallel run."""
        return bool(from_main(lambda: value, self.runtime))


def default_root() -> Path:
    """$MINILLM_RUNS if set, else `runs` in the source checkout that minillm runs from, else `./runs`."""
    if chosen := os.environ.get("MINILLM_RUNS"):
        return user_path(chosen)
    checkout = Path(__file__).resolve().parent.parent
    return checkout / "runs" if (checkout / "pyproject.toml").is_file() else Path("runs")
