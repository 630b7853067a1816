"""FSDP without a GPU, to try it: runs a program of accelerate's with its weights shared out among CPU processes.

    accelerate launch --config_file benchmarks/handover/fsdp.yaml benchmarks/handover/fsdp_on_cpu.py PROGRAM ...

Without this, accelerate 1.15 takes FSDP on CPUs for plain data parallelism, and says nothing. PyTorch itself can do it.
"""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path
from typing import Any

from accelerate.state import AcceleratorState, DistributedType, PartialState
from accelerate.utils import FullyShardedDataParallelPlugin

_plain_init = AcceleratorState.__init__


def _init(self: AcceleratorState, *arguments: Any, **named: Any) -> None:
    _plain_init(self, *arguments, **named)
    plugin = named.get("fsdp_plugin")
    if self.distributed_type == DistributedType.MULTI_CPU and plugin is not None:
        self.distributed_type = DistributedType.FSDP
        self.fsdp_plugin: FullyShardedDataParallelPlugin = plugin
        PartialState._shared_state["distributed_type"] = DistributedType.FSDP


if __name__ == "__main__":
    os.environ.setdefault(
        "ACCELERATE_USE_FSDP", "true"
    )  # which `accelerate launch` leaves out where use_cpu is set
    os.environ.setdefault("FSDP_VERSION", "2")
    os.environ.setdefault("FSDP_AUTO_WRAP_POLICY", "TRANSFORMER_BASED_WRAP")
    os.environ.setdefault("FSDP_RESHARD_AFTER_FORWARD", "true")
    os.environ.setdefault("FSDP_STATE_DICT_TYPE", "FULL_STATE_DICT")
    AcceleratorState.__init__ = _init  # type: ignore[method-assign]
    sys.argv = sys.argv[1:]
    sys.path.insert(0, str(Path(sys.argv[0]).parent))
    runpy.run_path(sys.argv[0], run_name="__main__")
