"""Published models: found by stage and key, brought whole and checked, and marked as fetched.

Files come into a folder of their own first. Only when each has its size and its checksum, and the whole is the artifact
that was promised, do they get their final names, the summary last: it marks an artifact as whole.
"""

from __future__ import annotations

import logging
import os
import shutil
from contextlib import suppress
from functools import cached_property
from pathlib import Path

from minillm import checks
from minillm.artifact import SUMMARY, WEIGHTS, Artifact
from minillm.downloads import Place, UnavailableError, download, find_place, read_small
from minillm.files import read_json, replace, told_plainly, write_json
from minillm.manifest import LARGEST_MANIFEST, MANIFEST, Manifest, PublishedStage, read_manifest
from minillm.progress import progress_bar

__all__ = ["FETCH_MODES", "MODELS", "Published", "fetch_mode", "size_told"]

# Where this course publishes its models. `make set-repository` writes it: it follows from the repository's address.
MODELS = "https://minillm.github.io/minillm-course/models"
FETCH_MODES = ("none", "before", "all")
STAGING = ".fetching"  # folder, beside the artifacts, of what is not whole yet
_log = logging.getLogger("minillm")


def fetch_mode(given: str | None = None) -> str:
    """Which stages are fetched where they are missing: none, those before the one asked for, or all.

    Args:
        given: one of `FETCH_MODES`; None: $MINILLM_FETCH, else none.

    Raises:
        ValueError: it is another word.
    """
    if given is None:
        name, given = "MINILLM_FETCH", os.environ.get("MINILLM_FETCH") or FETCH_MODES[0]
    else:
        name = "fetch"
    checks.one_of(name, given, FETCH_MODES)
    return given


def size_told(n_bytes: int) -> str:
    """A size as people read it.

    >>> size_told(3_660_000), size_told(900)
    ('3.7 MB', '0.9 kB')
    """
    return f"{n_bytes / 1e6:.1f} MB" if n_bytes >= 1e6 else f"{n_bytes / 1e3:.1f} kB"


class Published:
    """The models that are published at an address. Nothing is read before it is asked for.

    Args:
        address: https, http on this machine, `file://`, `hf://owner/name` or a folder; None: $MINILLM_MODELS, else
            where the course publishes its own.
    """

    def __init__(self, address: str | Path | None = None) -> None:
        self.address = address or os.environ.get("MINILLM_MODELS") or MODELS
        self._fault: str | None = None

    @cached_property
    def place(self) -> Place:
        """Where they are (ValueError: the address is none)."""
        return find_place(self.address)

    @cached_property
    def manifest(self) -> Manifest:
        """What is there.

        Raises:
            UnavailableError: it cannot be read, or is refused.
        """
        content = read_small(self.place, MANIFEST, LARGEST_MANIFEST)
        try:
            return read_manifest(content, f"{self.place.address}/{MANIFEST}")
        except ValueError as error:
            raise UnavailableError(str(error)) from None

    def find(self, stage: str, key: str) -> PublishedStage | None:
        """The published stage of a key, or None; also where nothing can be read, which is told once."""
        if self._fault is None:
            try:
                return self.manifest.find(stage, key)
            except UnavailableError as error:
                self._fault = str(error)
                _log.warning(
                    "no model is fetched: %s; what is missing is trained here (MINILLM_FETCH=none asks nobody)",
                    error,
                )
        return None

    def get(self, stage: str, key: str, options: str = "") -> PublishedStage:
        """The published stage of a key.

        Args:
            stage: its name.
            key: the key of its settings and parents.
            options: of the command that trains it, for the message where it is not there.

        Raises:
            UnavailableError: nothing can be read, or it is not there.
        """
        found = self.manifest.find(stage, key)
        if found is None:
            others = ", ".join(one.key for one in self.manifest.stages if one.stage == stage) or "none"
            raise UnavailableError(
                f"{self.place.address} has no {stage} with the key {key} (it has {others}): these settings or this "
                f"version of minillm are others; train it: minillm run --stages {stage}{options}"
            )
        return found

    def bring(self, stage: PublishedStage, folder: Path, *, progress: bool = True) -> Artifact:
        """Fetch a stage into the folder of its artifact; the caller holds the folder's lock.

        Args:
            stage: of the manifest.
            folder: of the artifact, which is not whole yet.
            progress: whether to show a bar.

        Raises:
            UnavailableError: a file does not come, or is not what was promised. What came stays, to go on with.
            OSError: the disk is full or the folder cannot be written.
        """
        staging = folder.parent / STAGING / stage.folder
        _check_space(staging, stage)
        try:
            self._download(stage, staging, progress)
            self._check(stage, staging)
        except KeyboardInterrupt as stop:
            stop.args = stop.args or (f"stopped; what has come of {stage.stage} is kept: run again to go on",)
            raise
        _move(stage, staging, folder, self.place.address)
        return Artifact(folder)

    def _download(self, stage: PublishedStage, staging: Path, progress: bool) -> None:
        bar = progress_bar(
            progress,
            total=stage.bytes,
            unit="B",
            unit_scale=True,
            desc=f"{stage.stage}: fetching",
            leave=False,
        )
        with bar:
            done = 0
            for file in stage.files:

                def arrived(position: int, before: int = done) -> None:
                    bar.update(before + position - bar.n)

                path = f"{stage.folder}/{file.name}"
                download(self.place, path, file.bytes, file.sha256, staging / file.name, arrived)
                done += file.bytes

    def _check(self, stage: PublishedStage, staging: Path) -> None:
        """Delete and refuse what is not the artifact that was promised."""
        try:
            _check_whole(stage, staging)
        except Exception as error:  # of the readers: a value of a type that none of them expects, too
            shutil.rmtree(staging, ignore_errors=True)
            reason = " ".join(str(error).split())
            raise UnavailableError(
                f"{stage.stage} from {self.place.address} is refused: {reason:.300}"
            ) from None


def _check_space(staging: Path, stage: PublishedStage) -> None:
    """Refuse before the first byte what the disk has no room for."""
    with told_plainly(staging):
        staging.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(staging).free
        here = sum(path.stat().st_size for path in staging.rglob("*") if path.is_file())
    missing = stage.bytes - here
    if free < missing:
        raise OSError(
            f"cannot write {staging}: what is missing of {stage.stage} takes {size_told(missing)}, "
            f"{size_told(free)} are free; free some space and run again"
        )


def _check_whole(stage: PublishedStage, staging: Path) -> None:
    """Refuse files that are not the artifact of this stage and key, or that cannot be loaded."""
    artifact = Artifact(staging)
    told = (artifact.stage, artifact.summary["key"])
    if told != (stage.stage, stage.key):
        raise ValueError(
            f"its {SUMMARY} is of {told[0]!r:.40} with the key {told[1]!r:.40}, not of {stage.folder}"
        )
    sums = {file.name: file.sha256 for file in stage.files}
    if artifact.summary["weights_sha256"] != sums.get(WEIGHTS):
        raise ValueError(f"its {SUMMARY} and its manifest name other weights")
    _ = artifact.model if artifact.has_model else artifact.tokenizer


def _move(stage: PublishedStage, staging: Path, folder: Path, address: str) -> None:
    """Give the files their final names, the marked summary last."""
    summary = read_json(staging / SUMMARY) | {"fetched": {"from": address, "bytes": stage.bytes}}
    with told_plainly(folder):
        for file in stage.files:
            if file.name != SUMMARY:
                (folder / file.name).parent.mkdir(parents=True, exist_ok=True)
                replace(staging / file.name, folder / file.name)
    write_json(folder / SUMMARY, summary)
    shutil.rmtree(staging, ignore_errors=True)
    with suppress(OSError):
        staging.parent.rmdir()
