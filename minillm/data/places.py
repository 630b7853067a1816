"""Which files a user means by the name of a file, a folder or a pattern.

A folder stands for what somebody put there to be read. What systems and editors leave in it is no data, and neither is
what this package writes: stages, trained or in training, token ids, checkpoints, exports. They are known by what is in
them, as nobody can tell here which folder a user gave to `--out`. Who names a file or a pattern gets what was named.
"""

from __future__ import annotations

import glob
import json
import os
import re
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

__all__ = ["find_files", "is_folder", "is_there", "named_files"]

_STAGE = re.compile(r"[a-z][a-z0-9_]*-[0-9a-f]{12}")  # the name of a stage's folder, or of its token ids
_STAGE_MARKS = ("metrics.jsonl", "rollouts.jsonl", "tokenizer.json", "checkpoints", "index.json")
_MODEL_SETTINGS = ("config.json", "adapter_config.json", "tokenizer.json", "tokenizer_config.json")
_WEIGHTS = (".safetensors", ".onnx", ".gguf", ".bin", ".pt", ".pth")
_EXPORT_RECEIPT = "minillm_export.json"
_OTHERS_FOLDERS = {
    "__pycache__",
    "__macosx",
    "node_modules",
    "site-packages",
    "$recycle.bin",
    "system volume information",
    "lost+found",
    "@eadir",
    "#recycle",
}
_OTHERS_FILES = {"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"}
_ARRAY_SUFFIX = ".json"  # in a folder such a file is data only if it holds an array: others are settings


def is_there(source: str) -> bool:
    """Whether a file or a folder has the name that a user gave."""
    return bool(source.strip()) and _path(source).exists()


def is_folder(source: str) -> bool:
    """Whether a folder has the name that a user gave."""
    return bool(source.strip()) and _path(source).is_dir()


def named_files(source: str) -> list[Path]:
    """The files, of any kind, that a user means by the name of a file, a folder or a pattern; perhaps none.

    They are in the same order on every system.
    """
    if not source.strip():
        return []
    path = _path(source)
    if path.is_dir():
        return sorted(_data_files(path), key=_in_order)
    found = [path] if path.exists() else map(Path, glob.glob(str(path), recursive=True))
    return sorted((path for path in found if path.is_file()), key=_in_order)


def find_files(source: str, suffixes: Sequence[str], what: str, hint: str) -> tuple[Path, ...]:
    """The files of some kinds that a user means by the name of a file, a folder or a pattern.

    Args:
        source: as the user wrote it.
        suffixes: of the files that can be read.
        what: is looked for, for the message.
        hint: what to give instead, for the message.
    Raises:
        ValueError: there are no such files.
    """
    paths = tuple(path for path in named_files(source) if path.suffix.lower() in suffixes)
    if not paths:
        raise ValueError(
            f"{what} {source!r}: no {suffixes[0]} file is there; give a file, folder or pattern of files {hint}"
        )
    return paths


def _in_order(path: Path) -> tuple[list[str], Path]:
    """What files are sorted by: their names, with composed letters, in which a Mac may not list them."""
    return [unicodedata.normalize("NFC", part) for part in path.parts], path


def _path(source: str) -> Path:
    return Path(os.path.expanduser(source))  # leaves a ~name that is nobody's as it is


def _data_files(root: Path) -> Iterator[Path]:
    seen: set[str] = set()
    for place, folders, files in os.walk(root, followlinks=True):
        here = Path(place)
        if (real := os.path.realpath(place)) in seen:  # a link may lead back
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [name for name in sorted(folders) if not _is_passed_over(here / name)]
        for name in files:
            path = here / name
            if not _is_left_over(name) and path.is_file() and not _is_settings(path):
                yield path


def _is_left_over(name: str) -> bool:
    """Whether a file is what a system or an editor leaves: hidden, a lock, a backup, a list of pictures."""
    backup = name.endswith("~") or name.startswith("~$") or (name.startswith("#") and name.endswith("#"))
    return backup or name.startswith(".") or name.endswith(".lock") or name.lower() in _OTHERS_FILES


def _is_settings(path: Path) -> bool:
    """Whether a .json file does not hold an array."""
    if path.suffix.lower() != _ARRAY_SUFFIX:
        return False
    with open(path, "rb") as file:
        return not file.read(1024).removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"[")


def _is_passed_over(folder: Path) -> bool:
    """Whether a folder inside the one that was named holds no data of the user's."""
    name = folder.name
    if name.startswith(".") or name.lower() in _OTHERS_FOLDERS or name.endswith((".egg-info", ".dist-info")):
        return True
    try:
        inside = set(os.listdir(folder))
    except OSError:
        return True  # it cannot be read
    if not inside.isdisjoint(("pyvenv.cfg", "conda-meta", _EXPORT_RECEIPT)):
        return True
    return _is_stage(folder, inside) or _is_model(inside) or _is_scratch(name, inside)


def _is_stage(folder: Path, inside: set[str]) -> bool:
    """Whether a folder is that of a stage, trained or in training."""
    if "summary.json" in inside:
        summary = _json(folder / "summary.json")
        if isinstance(summary, dict) and {"format", "stage", "key"} <= set(summary):
            return True
    if not _STAGE.fullmatch(folder.name):
        return False
    return folder.with_name(f"{folder.name}.lock").exists() or not inside.isdisjoint(_STAGE_MARKS)


def _is_model(inside: set[str]) -> bool:
    """Whether a folder holds a model with its settings, ours or another's."""
    return not inside.isdisjoint(_MODEL_SETTINGS) and any(name.endswith(_WEIGHTS) for name in inside)


def _is_scratch(name: str, inside: set[str]) -> bool:
    """Whether a folder holds checkpoints or token ids."""
    steps = name == "checkpoints" and any(re.fullmatch(r"step-\d+\.safetensors", one) for one in inside)
    return steps or any(re.fullmatch(r"shard-\d+\.bin", one) for one in inside)


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
