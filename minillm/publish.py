"""The trained stages of a preset as static files with a manifest, for `minillm fetch` and for the website."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from minillm import __version__
from minillm.artifact import SUMMARY, Artifact
from minillm.course import Course
from minillm.files import discard, read_json, sha256_bytes, write_atomic, write_json
from minillm.manifest import (
    MANIFEST,
    Manifest,
    PublishedFile,
    PublishedStage,
    is_artifact_file,
    read_manifest,
)
from minillm.recipes import STAGES, find_stage

__all__ = ["publish"]


def publish(course: Course, folder: str | Path, stages: Sequence[str] | None = None) -> Manifest:
    """Write trained stages and `manifest.json` into a folder; the same artifacts give the same bytes.

    A reader never finds a file that the manifest does not describe: the files are written first, the manifest next,
    and what an earlier one named is deleted last. A first publication begins with a manifest that names no stage, so
    that a stopped one can be repeated.

    Args:
        course: whose stages they are; nothing is trained.
        folder: new, empty, or of an earlier publication of the same preset, which is brought up to date.
        stages: their names; None: all that are trained.

    Returns:
        what has been published.

    Raises:
        ValueError: nothing is trained, an artifact is damaged, or the folder holds something else.
        OSError: the folder cannot be written.
    """
    folder, preset = Path(folder), course.preset.name
    before = _earlier(folder, preset)
    names = [name for name in STAGES if course.is_trained(name)] if stages is None else list(stages)
    missing = [name for name in names if not course.is_trained(find_stage(name).name)]
    if missing or not names:
        what = f"{', '.join(missing)}: not trained" if missing else "no stage is trained"
        raise ValueError(f"{what} with preset {preset} in {course.root}; run: minillm run{course.options}")
    made_with = {"minillm": __version__, "torch": version("torch")}
    if before is None:
        write_json(folder / MANIFEST, Manifest(preset, made_with, ()).as_json())
    manifest = Manifest(preset, made_with, tuple(_written(course, name, folder) for name in names))
    content = json.dumps(manifest.as_json(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    read_manifest(content.encode(), str(folder / MANIFEST))  # what no reader would take is not published
    write_atomic(folder / MANIFEST, content)
    for path in _paths(before) - _paths(manifest):
        discard(folder / path)
    _remove_empty(folder)
    return manifest


def _earlier(folder: Path, preset: str) -> Manifest | None:
    """The manifest of an earlier publication; ValueError where the folder holds anything else."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return None
    if not (folder / MANIFEST).is_file():
        raise ValueError(
            f"{folder} holds other files; give a folder that is new, empty or an earlier publication"
        )
    manifest = read_manifest((folder / MANIFEST).read_bytes(), str(folder / MANIFEST))
    if manifest.preset != preset:
        raise ValueError(
            f"{folder} holds the models of preset {manifest.preset}; give {preset} a folder of its own"
        )
    return manifest


def _written(course: Course, name: str, folder: Path) -> PublishedStage:
    """Write the files of a stage; one whose bytes are there already is left alone."""
    artifact = Artifact(course.folder(name))
    _ = artifact.model if artifact.has_model else artifact.tokenizer  # what is damaged is not published
    target, files = folder / artifact.folder.name, []
    found = {path.relative_to(artifact.folder).as_posix(): path for path in artifact.folder.rglob("*")}
    for file, path in sorted(found.items()):
        if path.is_file() and is_artifact_file(file):
            content = _summary(path) if file == SUMMARY else path.read_bytes()
            files.append(PublishedFile(file, len(content), sha256_bytes(content)))
            if not (target / file).is_file() or (target / file).read_bytes() != content:
                write_atomic(target / file, content)
    parents = {parent: course.key(parent) for parent in find_stage(name).parents}
    return PublishedStage(name, course.key(name), parents, artifact.figures, tuple(files))


def _summary(path: Path) -> bytes:
    """The summary as it was written when the stage was trained: fetching it changed nothing else."""
    content = path.read_bytes()
    summary = read_json(path)
    if "fetched" not in summary:
        return content
    del summary["fetched"]
    return (json.dumps(summary, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _paths(manifest: Manifest | None) -> set[str]:
    stages = manifest.stages if manifest else ()
    return {f"{stage.folder}/{file.name}" for stage in stages for file in stage.files}


def _remove_empty(folder: Path) -> None:
    """Remove folders without files, the deepest first."""
    for path in sorted(folder.glob("**/"), reverse=True):
        if path != folder and not any(path.iterdir()):
            path.rmdir()
