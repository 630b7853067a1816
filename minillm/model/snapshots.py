"""The weights of a model at some steps of its training, kept beside the finished model in half precision.

They are for looking at how a model grew up. A training never goes on from one: that is what checkpoints are for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
from torch import Tensor

from minillm.files import discard, write_atomic

__all__ = ["delete_snapshots", "snapshot_file", "snapshot_steps", "write_snapshot"]

FOLDER = "snapshots"
_NAME = re.compile(r"step-([0-9]{6,})\.safetensors")


def snapshot_file(step: int) -> str:
    """The name of a snapshot, below the folder of its model.

    >>> snapshot_file(50)
    'snapshots/step-000050.safetensors'
    """
    return f"{FOLDER}/step-{step:06d}.safetensors"


def snapshot_steps(folder: Path) -> list[int]:
    """The steps whose snapshots lie beside a model, in order."""
    names = (_NAME.fullmatch(path.name) for path in (folder / FOLDER).glob("*"))
    return sorted(int(name[1]) for name in names if name)


def write_snapshot(folder: Path, step: int, weights: Mapping[str, Tensor]) -> None:
    """Write the weights of a step under the names that they have in `model.safetensors`, atomically, as fp16."""
    tensors = {name: weight.detach().half().cpu().contiguous() for name, weight in weights.items()}
    write_atomic(folder / snapshot_file(step), safetensors.torch.save(tensors, metadata={"format": "pt"}))


def delete_snapshots(folder: Path) -> None:
    """Delete those of an earlier training, as far as that is possible."""
    for step in snapshot_steps(folder):
        discard(folder / snapshot_file(step))
