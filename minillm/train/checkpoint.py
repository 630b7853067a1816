"""The state of a training run on disk: safetensors and JSON, no pickle, so a stranger's file cannot run code.

A checkpoint is a pair of files, `step-00000200.safetensors` with all tensors and `step-00000200.json`
with the numbers and the checksums. The JSON file is written last: tensors without it are an unfinished
checkpoint and are not looked at. The two latest checkpoints are kept; when the newest is damaged, the one
before is used.
"""

from __future__ import annotations

import json
import logging
from contextlib import suppress
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from minillm.files import discard, read_json, remove, sha256_bytes, sha256_file, write_atomic, write_json

__all__ = [
    "Checkpoints",
    "load_model_tensors",
    "load_optimizer_tensors",
    "model_tensors",
    "optimizer_tensors",
    "what_is_kept",
]

FORMAT = 1
KEPT = 2

_log = logging.getLogger("minillm")


class Checkpoints:
    """The checkpoints of one run in one folder.

    Args:
        folder: where they lie; made at the first `save`.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def save(self, step: int, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
        """Write a checkpoint and delete all but the latest two; one that another program holds goes the next time.

        Args:
            step: optimizer steps done.
            tensors: by name, of any device.
            state: JSON values.

        Raises:
            OSError: no space, or no permission; older checkpoints stay.
        """
        path = self._path(step)
        remove(path.with_suffix(".json"))  # a twin of this step must not vouch for the tensors being written
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        tensor_bytes = safetensors.torch.save(tensors)
        write_atomic(path, tensor_bytes)
        checksum = sha256_bytes(tensor_bytes)
        content = {"format": FORMAT, "step": step, "tensors_sha256": checksum, "state": state}
        write_json(path.with_suffix(".json"), content | {"sha256": _digest(content)})
        for old in self.steps()[:-KEPT]:
            self._delete(old)
        self._delete_unfinished()

    def load(self) -> tuple[int, dict[str, Tensor], dict[str, Any]] | None:
        """Read the newest checkpoint that is whole: step, tensors, state; None where there is none.

        A damaged one is named in one warning line and deleted.

        Raises:
            ValueError: a checkpoint was written by a later version of this package.
        """
        for step in reversed(self.steps()):
            try:
                return step, *self._read(step)
            except _DamagedError as damage:
                name = self._path(step).stem
                _log.warning(
                    "checkpoint %s in %s is damaged (%s): using the one before", name, self.folder, damage
                )
                self._delete(step)
        return None

    def steps(self) -> list[int]:
        """The steps of the finished checkpoints, in order."""
        return sorted(int(path.stem.removeprefix("step-")) for path in self.folder.glob("step-*.json"))

    def delete(self) -> None:
        """Delete all checkpoints that no program holds, and the folder when nothing else is in it."""
        for path in (*self.folder.glob("step-*.json"), *self.folder.glob("step-*.safetensors")):
            discard(path)
        with suppress(OSError):  # something is in it, or a program is
            self.folder.rmdir()

    def _read(self, step: int) -> tuple[dict[str, Tensor], dict[str, Any]]:
        path = self._path(step)
        try:
            content = read_json(path.with_suffix(".json"))
            checksum = content.pop("sha256", None)
            tensors_checksum, written_format = content["tensors_sha256"], content["format"]
        except (ValueError, KeyError, TypeError, AttributeError, FileNotFoundError) as error:
            raise _DamagedError("its JSON file cannot be read") from error
        if checksum != _digest(content):
            raise _DamagedError("its JSON file does not match its checksum")
        if written_format > FORMAT:
            raise ValueError(
                f"{path.stem} in {self.folder} has format {written_format}, this package reads up to "
                f"{FORMAT}: update the package, or delete the folder to train again"
            )
        if not path.exists():
            raise _DamagedError("its tensors are missing")
        if sha256_file(path) != tensors_checksum:
            raise _DamagedError("its tensors do not match their checksum")
        try:
            # These are parts of the file, which Windows keeps while they are used.
            tensors = safetensors.torch.load_file(path)
            return {name: tensor.clone() for name, tensor in tensors.items()}, content["state"]
        except (safetensors.SafetensorError, KeyError) as error:  # somebody has made up the checksums
            raise _DamagedError("it was not written by this package") from error

    def _delete(self, step: int) -> None:
        discard(self._path(step).with_suffix(".json"))  # first, so that no pair is ever half there
        discard(self._path(step))

    def _delete_unfinished(self) -> None:
        """Delete what a killed process left: temporary files, and tensors without their JSON file."""
        for path in self.folder.glob(".step-*.tmp"):
            discard(path)
        for path in self.folder.glob("step-*.safetensors"):
            if not path.with_suffix(".json").exists():
                discard(path)

    def _path(self, step: int) -> Path:
        return self.folder / f"step-{step:08d}.safetensors"


def what_is_kept(folder: str | Path | None) -> str:
    """What is left of a training that stops now, for its user: the newest checkpoint in or below a folder, or nothing.

    Args:
        folder: of the stage or of its checkpoints; None: nothing is written.
    """
    if folder is None:
        return "nothing was saved, because no directory was given"
    found = [path for path in Path(folder).rglob("step-*.json") if path.with_suffix(".safetensors").is_file()]
    if not found:
        return "nothing of this stage was saved yet: run the same command again to begin it anew"
    latest = max(found, key=lambda path: path.stat().st_mtime_ns)
    step = int(latest.stem.removeprefix("step-"))
    return f"step {step} is saved in {latest.parent}: run the same command again to go on from there"


class _DamagedError(Exception):
    """A checkpoint's bytes are not those that were written."""


def _digest(content: dict[str, Any]) -> str:
    return sha256_bytes(json.dumps(content, sort_keys=True).encode())


def model_tensors(model: nn.Module, prefix: str = "model.") -> dict[str, Tensor]:
    """The model's weights and saved buffers by prefixed name, one that is shared (tied) only once."""
    tensors, seen = {}, set()
    for name, tensor in model.state_dict(keep_vars=True).items():
        if id(tensor) not in seen:
            seen.add(id(tensor))
            tensors[prefix + name] = tensor.detach()
    return tensors


def load_model_tensors(model: nn.Module, tensors: dict[str, Tensor], prefix: str = "model.") -> None:
    """Copy tensors of `model_tensors` back into the model.

    Raises:
        ValueError: a weight is missing or has another shape: the checkpoint is of another model.
    """
    for name, own in model_tensors(model, prefix).items():
        if name not in tensors or tensors[name].shape != own.shape:
            found = tuple(tensors[name].shape) if name in tensors else "nothing"
            raise ValueError(
                f"the checkpoint is of another model: it has {found} for {name.removeprefix(prefix)}, "
                f"this model {tuple(own.shape)}; use another directory or delete the checkpoint folder"
            )
        own.copy_(tensors[name])


def optimizer_tensors(optimizers: list[torch.optim.Optimizer]) -> dict[str, Tensor]:
    """All state of the optimizers as tensors named `optimizer.<optimizer>.<parameter>.<what>`."""
    return {
        f"optimizer.{number}.{index}.{what}": torch.as_tensor(value)
        for number, optimizer in enumerate(optimizers)
        for index, values in optimizer.state_dict()["state"].items()
        for what, value in values.items()
    }


def load_optimizer_tensors(optimizers: list[torch.optim.Optimizer], tensors: dict[str, Tensor]) -> None:
    """Give the optimizers the state of `optimizer_tensors`; their settings stay their own."""
    for number, optimizer in enumerate(optimizers):
        prefix = f"optimizer.{number}."
        state: dict[int, dict[str, Tensor]] = {}
        for name in (name for name in tensors if name.startswith(prefix)):
            index, what = name.removeprefix(prefix).split(".")
            state.setdefault(int(index), {})[what] = tensors[name]
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
