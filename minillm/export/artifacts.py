"""A trained stage as a folder for other programs, with its model card.

The files are made in a temporary folder, inside the folder where it is there already and beside it where not, and moved
one by one when all of them are there. A receipt names them, so that a later export can replace them, and nothing else.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from minillm.artifact import CARD, RECEIPT, Artifact
from minillm.export.cards import export_card
from minillm.export.formats import export_hf, export_onnx, write_tokenizer
from minillm.files import discard, read_json, replace, write_atomic, write_json
from minillm.model.adapters import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from minillm.model.gpt import GPT

__all__ = ["FORMATS", "export_artifact"]

FORMATS = ("hf", "peft", "onnx")
BASE = "base"  # folder in an exported adapter: the model that it belongs to


def export_artifact(
    artifact: Artifact, to: str, directory: str | Path, *, base: str | None = None, force: bool = False
) -> list[Path]:
    """Write a trained stage for other programs, with a model card.

    Args:
        artifact: the stage.
        to: "hf", "peft" or "onnx".
        directory: a new or empty folder, or one that an earlier export wrote, whose files are replaced.
        base: for "peft": name or folder of the model that the adapter belongs to. None: that model is exported too,
            into the folder `base` inside.
        force: also write into a folder with other files, which stay unless they have the name of one that is written.

    Returns:
        the files, in the order of their names.

    Raises:
        ValueError: an unknown format, a stage that cannot be exported in it, or a folder that is in use.
    """
    directory = Path(directory)
    _check(artifact, to, base)
    older = _older_files(artifact, directory, force)
    place = directory.resolve()
    home = place if place.is_dir() else place.parent  # a parent may be read-only, or on another disk
    home.mkdir(parents=True, exist_ok=True)
    own_base = to == "peft" and base is None
    with tempfile.TemporaryDirectory(dir=home, prefix=f".{directory.name}.") as made:
        _write(artifact, to, Path(made), (directory / BASE).as_posix() if own_base else base, own_base)
        if own_base:
            _write(_adapted(artifact), "hf", Path(made) / BASE)
        names = _move(Path(made), directory)
    for name in sorted(older - set(names)):
        discard(directory / name)
    receipt = {"stage": artifact.stage, "key": artifact.summary["key"], "to": to, "files": names}
    write_json(directory / RECEIPT, receipt)
    return [directory / name for name in names]


def _check(artifact: Artifact, to: str, base: str | None) -> None:
    """Refuse what cannot be exported before anything is written."""
    if to not in FORMATS:
        raise ValueError(f"the format {to!r} is unknown; choose one of {', '.join(FORMATS)}")
    if base is not None and to != "peft":
        raise ValueError(f"only an adapter, in the format peft, names a base; leave it out for {to}")
    _ = artifact.model  # raises where there is none, or it is damaged
    if to != "hf" and not artifact.writes:
        raise ValueError(f"the reward model scores and does not write, so it has no form in {to}; choose hf")
    if to == "peft":
        _adapter(artifact)
        if base is None and not _adapted(artifact).folder.is_dir():
            raise ValueError(
                f"the model of the adapter, {_adapted(artifact).folder}, is not there; name one as base"
            )


def _write(
    artifact: Artifact, to: str, directory: Path, base: str | None = None, own_base: bool = False
) -> None:
    chat = artifact.answers or not artifact.writes  # a reward model reads conversations
    model = artifact.model
    if to == "hf":
        export_hf(model, directory, artifact.tokenizer, chat=chat)
    elif to == "onnx":
        assert isinstance(model, GPT)  # what only scores was refused before
        export_onnx(model, directory, artifact.tokenizer, chat=chat)
    else:
        source = _adapter(artifact)
        write_atomic(directory / ADAPTER_WEIGHTS, (source / ADAPTER_WEIGHTS).read_bytes())
        config = read_json(source / ADAPTER_CONFIG)
        write_json(directory / ADAPTER_CONFIG, config | {"base_model_name_or_path": base})
        write_tokenizer(model, directory, artifact.tokenizer, chat=chat)
    write_atomic(directory / CARD, export_card(artifact, to, base=base, own_base=own_base))


def _adapter(artifact: Artifact) -> Path:
    """The folder of a stage's adapter."""
    for config in sorted(artifact.folder.glob(f"*/{ADAPTER_CONFIG}")):
        if (config.parent / ADAPTER_WEIGHTS).is_file():
            return config.parent
    raise ValueError(f"{artifact.stage} in {artifact.folder} has no adapter; choose the stage lora, or hf")


def _adapted(artifact: Artifact) -> Artifact:
    """The model that an adapter belongs to: its stage's parent, which lies beside it."""
    [(stage, key)] = artifact.summary["settings"]["parents"].items()
    return Artifact(artifact.folder.parent / f"{stage}-{key}")


def _older_files(artifact: Artifact, directory: Path, force: bool) -> set[str]:
    """The files of an earlier export into a folder, which must not be in use for something else."""
    if directory.exists() and not directory.is_dir():
        raise ValueError(f"{directory} is a file; name a folder")
    if directory.exists() and directory.samefile(artifact.folder):
        raise ValueError(f"{directory} is the folder of the trained stage itself; name another one")
    receipt = directory / RECEIPT
    if not receipt.is_file():
        if directory.exists() and any(directory.iterdir()) and not force:
            raise ValueError(f"{directory} holds other files; name a new folder, or add --force")
        return set()
    content = read_json(receipt)
    names = content.get("files") if isinstance(content, dict) else None
    if not isinstance(names, list) or not all(_lies_inside(directory, name) for name in names):
        raise ValueError(f"{receipt} is no receipt of an export; delete it, or name a new folder")
    return set(names)


def _lies_inside(directory: Path, name: object) -> bool:
    return isinstance(name, str) and directory.resolve() in (directory / name).resolve().parents


def _move(source: Path, target: Path) -> list[str]:
    """Move all files below one folder to the same places below another; their names."""
    names = sorted(path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file())
    for name in names:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        replace(source / name, target / name)
    return names
