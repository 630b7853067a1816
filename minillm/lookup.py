"""Which trained model the user of the command line means."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from minillm.artifact import Artifact, find_artifacts
from minillm.course import Course, default_root
from minillm.recipes import STAGES, assistant_stage, find_stage, stages_that_write

__all__ = ["fetch_stages", "find_model", "stages_with_models"]


def find_model(model: str | None, preset: str | None, out: Path | None, *, writes: bool = True) -> Artifact:
    """The artifact that the user means: a folder, a preset's stage, or the latest of a stage or of all.

    Args:
        model: a stage or a folder; None: the latest that writes and is no specialist.
        preset: a preset's name; None: whatever is there.
        out: the folder of all runs; None: the usual one.
        writes: whether a reward model is refused.
    """
    if writes and model in STAGES and not STAGES[model].writes:
        raise ValueError(f"the stage {model} has no model that writes; choose one of {_writing()}")
    if model is not None and model not in STAGES:
        if not Path(model).is_dir():
            raise ValueError(
                f"{model!r} is neither a stage ({', '.join(STAGES)}) nor a folder; name one of them"
            )
        artifact = Artifact(Path(model))
        if writes and artifact.has_model and not artifact.writes:
            raise ValueError(
                f"the reward model in {model} scores and does not write; choose one of {_writing()}"
            )
        return artifact
    if preset is not None:
        course = Course(preset, out)
        trained = [name for name in stages_with_models(preset, out) if not _is_specialist(name)]
        stage = model or (trained or [assistant_stage()])[-1]
        if not course.is_trained(stage):
            raise ValueError(
                f"{stage} of preset {preset} is not trained yet; run: minillm run{course.options}"
            )
        return course.stage(stage)
    root = default_root() if out is None else out
    for artifact in find_artifacts(root):
        usual = artifact.writes and not _is_specialist(artifact.stage)
        wanted = usual if model is None else model == artifact.stage
        if wanted:
            return artifact
    to = "" if out is None else f' --out "{out}"'
    raise ValueError(f"no {model or 'model'} has been trained in {root} yet; run: minillm run{to}")


def stages_with_models(preset: str | None, out: Path | None) -> list[str]:
    """The stages that have a trained model to test, in their order."""
    if preset is not None:
        course = Course(preset, out)
        names = [name for name in stages_that_write() if course.is_trained(name)]
        return names or stages_that_write()[:1]  # which says what to run
    found = {artifact.stage for artifact in find_artifacts(out or default_root()) if artifact.writes}
    return [name for name in STAGES if name in found] or stages_that_write()[:1]


def fetch_stages(course: Course, names: Sequence[str]) -> dict[str, Artifact]:
    """Fetch the stages that the user names, or all that are published for the course's settings.

    Raises:
        UnavailableError: one of them is not published with its key, or does not come whole.
    """
    if not names:
        published = course.published.manifest
        names = [name for name in STAGES if published.find(name, course.key(name))]
        if not names:
            course.bring(next(iter(STAGES)))  # which says what is there
    for name in names:
        find_stage(name)
    return {
        name: Artifact(course.folder(name)) if course.is_trained(name) else course.bring(name)
        for name in names
    }


def _is_specialist(stage: str) -> bool:
    """Whether a stage's model has to be named."""
    return stage in STAGES and STAGES[stage].specialist


def _writing() -> str:
    return ", ".join(stages_that_write())
