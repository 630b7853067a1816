"""The list of published models, `manifest.json`: what stands in it, and what is refused before anything is fetched.

`{"format": 1, "preset", "made_with", "stages": [{"stage", "key", "parents", "figures", "files": [{"path", "bytes",
"sha256"}]}]}`. A path is `STAGE-KEY/FILE` or `STAGE-KEY/FOLDER/FILE`, below the manifest's own folder. Other fields may
be added; what is here is only read as it is written here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from minillm.files import check_name

__all__ = [
    "FORMAT",
    "MANIFEST",
    "Manifest",
    "PublishedFile",
    "PublishedStage",
    "is_artifact_file",
    "read_manifest",
]

FORMAT = 1
MANIFEST = "manifest.json"
LARGEST_MANIFEST = 2_000_000  # bytes
MOST_STAGES, MOST_FILES = 100, 100  # of a manifest, of a stage
LARGEST_WEIGHTS, LARGEST_OTHER = 4 * 2**30, 256 * 2**20  # bytes of a file
LARGEST_STAGE = 8 * 2**30  # bytes
SUMMARY = "summary.json"
_SUFFIXES = (".json", ".jsonl", ".safetensors", ".md", ".jinja")
_UNFINISHED = "checkpoints"  # a folder of what a training needs to go on
_KEY = re.compile(r"[0-9a-f]{12}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class PublishedFile:
    """A file of an artifact."""

    name: str  # below the artifact's folder
    bytes: int  # its size
    sha256: str  # its checksum, 64 hexadecimal digits


@dataclass(frozen=True)
class PublishedStage:
    """A trained stage that can be fetched."""

    stage: str  # its name
    key: str  # of what decides its weights
    parents: Mapping[str, str]  # the stages that it started from, with their keys
    figures: Mapping[str, Any]  # of its summary
    files: tuple[PublishedFile, ...]  # all that belong to it

    @property
    def folder(self) -> str:
        """The name of its folder, below the manifest's."""
        return f"{self.stage}-{self.key}"

    @property
    def bytes(self) -> int:
        """The size of all its files."""
        return sum(file.bytes for file in self.files)

    def as_json(self) -> dict[str, Any]:
        """As the manifest has it."""
        files = [
            {"path": f"{self.folder}/{file.name}", "bytes": file.bytes, "sha256": file.sha256}
            for file in self.files
        ]
        return {
            "stage": self.stage,
            "key": self.key,
            "parents": dict(self.parents),
            "figures": dict(self.figures),
            "files": files,
        }


@dataclass(frozen=True)
class Manifest:
    """What is published in one place."""

    preset: str  # whose settings the stages have
    made_with: Mapping[str, Any]  # versions of what published it
    stages: tuple[PublishedStage, ...]  # parents before children

    def find(self, stage: str, key: str) -> PublishedStage | None:
        """The stage of that key."""
        return next((one for one in self.stages if (one.stage, one.key) == (stage, key)), None)

    def as_json(self) -> dict[str, Any]:
        """As it is written."""
        return {
            "format": FORMAT,
            "preset": self.preset,
            "made_with": dict(self.made_with),
            "stages": [stage.as_json() for stage in self.stages],
        }


def is_artifact_file(name: str) -> bool:
    """Whether a name, below an artifact's folder, is one that a file of an artifact may have on every system.

    >>> is_artifact_file("adapter/adapter_config.json"), is_artifact_file("../summary.json"), is_artifact_file("a.py")
    (True, False, False)
    """
    parts = name.split("/")
    try:
        for part in parts:
            check_name("name", part)
    except ValueError:
        return False
    return len(parts) <= 2 and _UNFINISHED not in parts and parts[-1].endswith(_SUFFIXES)


def read_manifest(content: bytes, address: str) -> Manifest:
    """The manifest that stands in some bytes.

    Args:
        content: the file.
        address: where it comes from, for messages.

    Raises:
        ValueError: it is none, of another format, or names what an artifact cannot have; the message is one line.
    """
    try:
        value = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError):
        raise ValueError(f"{address} is no manifest of models: it is not JSON") from None
    try:
        return _manifest(value)
    except _WrongError as error:
        raise ValueError(f"{address} is refused: {error}") from None


class _WrongError(Exception):
    """What is wrong in a manifest."""


def _manifest(value: Any) -> Manifest:
    if not isinstance(value, dict):
        raise _WrongError("it is no JSON object")
    version = value.get("format")
    if isinstance(version, bool) or version != FORMAT:
        raise _WrongError(f"it is of format {version!r:.40}, this minillm reads {FORMAT}; update minillm")
    _name("preset", value.get("preset"))
    stages = tuple(map(_stage, _list("stages", value.get("stages"), MOST_STAGES)))
    if len({(one.stage, one.key) for one in stages}) < len(stages):
        raise _WrongError("it names a stage twice")
    return Manifest(value["preset"], _object("made_with", value.get("made_with", {})), stages)


def _stage(value: Any) -> PublishedStage:
    entry = _object("a stage", value)
    stage, key = entry.get("stage"), entry.get("key")
    _name("stage", stage)
    _pattern("key", key, _KEY)
    parents = _object("parents", entry.get("parents", {}))
    for parent in parents.values():
        _pattern("a parent's key", parent, _KEY)
    files = tuple(_file(one, f"{stage}-{key}/") for one in _list("files", entry.get("files"), MOST_FILES))
    names = [file.name.casefold() for file in files]
    if len(set(names)) < len(names):
        raise _WrongError(f"{stage} has a file twice")
    if SUMMARY not in names:
        raise _WrongError(f"{stage} has no {SUMMARY}")
    found = PublishedStage(str(stage), str(key), parents, _object("figures", entry.get("figures", {})), files)
    if found.bytes > LARGEST_STAGE:
        raise _WrongError(f"{stage} has {found.bytes:,} bytes; at most {LARGEST_STAGE:,} are fetched")
    return found


def _file(value: Any, folder: str) -> PublishedFile:
    entry = _object("a file", value)
    path, size, sha256 = (entry.get(name) for name in ("path", "bytes", "sha256"))
    if (
        not isinstance(path, str)
        or not path.startswith(folder)
        or not is_artifact_file(path.removeprefix(folder))
    ):
        raise _WrongError(f"the path {path!r:.100} is none of a file of an artifact in {folder}")
    limit = LARGEST_WEIGHTS if path.endswith(".safetensors") else LARGEST_OTHER
    if isinstance(size, bool) or not isinstance(size, int) or not 0 <= size <= limit:
        raise _WrongError(f"bytes of {path} is {str(size)[:40]!r}; allowed are 0 to {limit:,}")
    _pattern(f"sha256 of {path}", sha256, _SHA256)
    return PublishedFile(path.removeprefix(folder), size, str(sha256))


def _name(what: str, value: Any) -> None:
    try:
        check_name(what, value)
    except ValueError:
        raise _WrongError(f"{what} is {value!r:.100}, which is no plain name") from None


def _pattern(what: str, value: Any, pattern: re.Pattern[str]) -> None:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise _WrongError(f"{what} is {value!r:.100}; {pattern.pattern} is expected")


def _object(what: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _WrongError(f"{what} is {value!r:.40}; an object is expected")
    return value


def _list(what: str, value: Any, most: int) -> list[Any]:
    if not isinstance(value, list) or len(value) > most:
        raise _WrongError(f"{what} is no list of at most {most}")
    return value
