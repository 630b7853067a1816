"""minillm: train your own small language model, from the tokenizer up, and understand every part of it.

The names below are loaded when they are first used, so that `import minillm` is quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

__all__ = [
    "GPT",
    "Artifact",
    "Course",
    "FitConfig",
    "GPTConfig",
    "Judge",
    "KVCache",
    "Tokenizer",
    "World",
    "fit",
    "generate",
    "render_chat",
]

if TYPE_CHECKING:
    from minillm.artifact import Artifact
    from minillm.course import Course
    from minillm.data.judge import Judge
    from minillm.data.world import World
    from minillm.model.gpt import GPT, GPTConfig, KVCache
    from minillm.model.sampling import generate
    from minillm.text.chat import render_chat
    from minillm.text.tokenizer import Tokenizer
    from minillm.train.config import FitConfig
    from minillm.train.loop import fit

_HOMES = {
    "GPT": "minillm.model.gpt",
    "Artifact": "minillm.artifact",
    "Course": "minillm.course",
    "FitConfig": "minillm.train.config",
    "GPTConfig": "minillm.model.config",
    "Judge": "minillm.data.judge",
    "KVCache": "minillm.model.gpt",
    "Tokenizer": "minillm.text.tokenizer",
    "World": "minillm.data.world",
    "fit": "minillm.train.loop",
    "generate": "minillm.model.sampling",
    "render_chat": "minillm.text.chat",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
