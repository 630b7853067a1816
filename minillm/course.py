"""The course as a graph of stages: what is trained, from what, with which settings, and where it lies.

A stage's key is a hash of its own settings and of its parents' keys, and names its folder. So a changed
setting trains anew exactly what depends on it, and everything else is found where it is.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import fields, is_dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from minillm.artifact import SUMMARY, Artifact, write_artifact
from minillm.data.conversations import open_conversations, open_domain
from minillm.data.corpora import open_corpus
from minillm.data.preferences import open_preferences
from minillm.files import locked, remove, sha256_bytes, user_path
from minillm.graph import STAGES, Stage
from minillm.presets import PRESETS, Preset, choose_preset
from minillm.settings import meant
from minillm.train.checkpoint import Checkpoints, what_is_kept
from minillm.train.run import CHECKPOINT_FOLDER
from minillm.train.runtime import Runtime, choose_runtime, from_main

__all__ = ["STAGES", "Course", "Stage", "default_root"]

_log = logging.getLogger("minillm")
_OPENERS = {
    "corpus": open_corpus,
    "conversations": open_conversations,
    "preferences": open_preferences,
    "domain": open_domain,
}
_READS = {  # the sources of each stage; one that is not listed here reads all
    "tokenizer": ("corpus",),
    "base": ("corpus",),
    "sft": ("corpus", "conversations"),
    "reward": ("preferences",),
    "ppo": ("conversations",),
    "lora": ("domain", "corpus"),
}


class Course:
    """Trains the stages of a preset when they are asked for, and finds them again.

    Args:
        preset: the name of a preset, "auto" (by hardware), or a `Preset`.
        root: folder of all artifacts; None: $MINILLM_RUNS, else `runs` in the source checkout, else `./runs`.
        runtime: where training runs; None chooses by the machine.
        progress: whether to show progress, on standard error.
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
        **overrides: Any,
    ) -> None:
        if isinstance(preset, str):
            name = choose_preset() if preset == "auto" else preset
            if name not in PRESETS:
                raise ValueError(f"preset {preset!r} is unknown; choose one of {', '.join(PRESETS)}, auto")
            preset = PRESETS[name]
        overrides = {name: _opened(name, value) for name, value in overrides.items()}
        self.preset = _changed(preset, overrides, preset.name)
        self.root = default_root() if root is None else user_path(root)
        self.progress = progress
        if runtime is not None:
            self.runtime = runtime

    @cached_property
    def runtime(self) -> Runtime:
        """Where training runs, chosen when it is first needed."""
        return choose_runtime()

    def key(self, stage: str) -> str:
        """The key of a stage's settings and parents: 12 hexadecimal digits."""
        entry = _entry(stage)
        content = {
            "stage": stage,
            "version": entry.version,
            "settings": entry.settings(self.preset),
            "parents": [self.key(parent) for parent in entry.parents],
        }
        return sha256_bytes(json.dumps(content, sort_keys=True).encode())[:12]

    def folder(self, stage: str) -> Path:
        """Where the artifact of a stage lies, trained or not."""
        return self.root / self.preset.name / f"{stage}-{self.key(stage)}"

    def is_trained(self, stage: str) -> bool:
        """Whether the artifact of a stage is there and whole."""
        return (self.folder(stage) / SUMMARY).is_file()

    def check(self, *stages: str) -> None:
        """Read the files and datasets of these stages and of those before them, as far as they are to be trained.

        So a mistake in the last stage's file is told at once, and not after the others have been trained.

        Raises:
            ValueError: text, a conversation or a comparison that cannot be used; the message names its place.
        """
        waiting = [name for name in self._with_parents(stages) if not self.is_trained(name)]
        sources = {source for name in waiting for source in _READS.get(name, _OPENERS)}
        for source in _OPENERS:
            if source in sources:
                getattr(self.preset, source).check()

    def _with_parents(self, stages: Iterable[str]) -> set[str]:
        """These stages and, where they are not trained, those that they start from."""
        found = set(stages)
        for name in stages:
            if not self.is_trained(name):
                found |= self._with_parents(_entry(name).parents)
        return found

    def stage(self, name: str) -> Artifact:
        """The artifact of a stage; trains it, and before it what it starts from, where that is missing.

        A training that was stopped goes on from its last checkpoint. Two programs that want the same artifact
        train it once: the second waits.

        Raises:
            ValueError: an unknown stage, or settings and text that do not fit together.
        """
        folder = self.folder(name)
        if self._agreed(self.is_trained(name)):
            self._tidy(folder)
            return Artifact(folder)
        self.check(name)
        parents = {parent: self.stage(parent) for parent in _entry(name).parents}
        with self._alone(folder):
            if not self._agreed(self.is_trained(name)):
                self._train(name, parents, folder)
            self._agreed(True)  # no process goes on before the first has written the artifact
        return Artifact(folder)

    def _train(self, name: str, parents: dict[str, Artifact], folder: Path) -> None:
        """Train one stage and write its artifact, in the first process, whole."""
        entry = _entry(name)
        if self.runtime.is_main and self.progress:
            print(f"{name}: training in {folder}; {self.runtime.describe()}", file=sys.stderr)
        figures = entry.train(self, parents, folder)
        if not self.runtime.is_main:
            return
        settings = {
            "data": entry.data(self.preset),
            "preset": self.preset.name,
            "parents": {parent: self.key(parent) for parent in entry.parents},
            **entry.settings(self.preset),
        }
        write_artifact(folder, name, self.key(name), settings, figures)
        _remove_leftovers(folder)

    @contextmanager
    def _alone(self, folder: Path) -> Iterator[None]:
        """Hold the artifact's lock in the first process of this run."""
        if not self.runtime.is_main:
            yield
            return
        folder.mkdir(parents=True, exist_ok=True)
        message = "another program is training %s: waiting until it has ended"
        with locked(folder, waiting=lambda: _log.warning(message, folder)):
            try:
                yield
            except KeyboardInterrupt as stop:  # in a part of the stage that has no checkpoints
                stop.args = stop.args or (f"stopped; {what_is_kept(folder)}",)
                raise

    def _tidy(self, folder: Path) -> None:
        """Delete what a program left that was killed when the artifact was whole; where that is allowed."""
        if self.runtime.is_main and _leftovers(folder):
            with suppress(OSError), locked(folder, wait=False) as alone:
                if alone:
                    _remove_leftovers(folder)

    def _agreed(self, value: bool) -> bool:
        """The first process's value, for all processes of a data-parallel run."""
        return from_main(lambda: value, self.runtime)


def _leftovers(folder: Path) -> list[Path]:
    """Checkpoints and unfinished files, which a whole artifact does not need."""
    return [*folder.rglob(f"{CHECKPOINT_FOLDER}/step-*"), *folder.rglob(".*.tmp")]


def _remove_leftovers(folder: Path) -> None:
    for unfinished in list(folder.rglob(".*.tmp")):
        remove(unfinished)
    for checkpoints in list(folder.rglob(CHECKPOINT_FOLDER)):
        Checkpoints(checkpoints).delete()


def default_root() -> Path:
    """$MINILLM_RUNS if set, else `runs` in the source checkout that minillm runs from, else `./runs`."""
    if chosen := os.environ.get("MINILLM_RUNS"):
        return user_path(chosen)
    checkout = Path(__file__).resolve().parent.parent
    return checkout / "runs" if (checkout / "pyproject.toml").is_file() else Path("runs")


def _entry(stage: str) -> Stage:
    if stage not in STAGES:
        raise ValueError(f"stage {stage!r} is unknown; choose one of {', '.join(STAGES)}")
    return STAGES[stage]


def _opened(name: str, value: Any) -> Any:
    """A setting's value; where it names a source, that source, with its own settings changed."""
    if name not in _OPENERS:
        return value
    if isinstance(value, (str, Path)):
        return _OPENERS[name](value)
    if isinstance(value, Mapping) and "source" in value:
        changes = {key: inner for key, inner in value.items() if key != "source"}
        return _changed(_OPENERS[name](value["source"]), changes, name)
    return value


def _changed(config: Any, changes: Mapping[str, Any], where: str) -> Any:
    """A copy of a frozen dataclass with some fields changed, deeper ones by nested mappings."""
    known = [field.name for field in fields(config)]
    values = {}
    for name, value in changes.items():
        if name not in known:
            raise ValueError(f"{where} has no setting {name!r}; it has {', '.join(known)}")
        inner = getattr(config, name)
        deeper = isinstance(value, Mapping) and is_dataclass(inner)
        values[name] = _changed(inner, value, f"{where}.{name}") if deeper else meant(value, config, name)
    return replace(config, **values)
