"""An exported folder in llama.cpp: converted, loaded and asked."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from minillm.model.config import GPTConfig
from minillm.text.chat import Message

__all__ = ["GGUFModel", "to_gguf"]


def to_gguf(folder: Path, file: Path, checkout: Path) -> Path:
    """Convert an exported folder with the converter of a checkout of llama.cpp.

    Raises:
        RuntimeError: the converter failed; what it said.
    """
    with tempfile.TemporaryDirectory() as place:  # the checkout stays as it is
        for name in ("convert_hf_to_gguf.py", "conversion", "gguf-py"):
            (Path(place) / name).symlink_to(checkout / name)
        program = shutil.copy(Path(__file__).with_name("to_gguf.py"), place)
        done = subprocess.run(
            [sys.executable, program, str(folder), "--outfile", str(file), "--outtype", "f32"],
            env=os.environ | {"PYTHONPATH": str(Path(place) / "gguf-py")},
            capture_output=True,
            encoding="utf-8",
        )
    if done.returncode:
        raise RuntimeError(f"llama.cpp's converter failed:\n{done.stderr[-2000:]}")
    return file


class GGUFModel:
    """A file in the format GGUF, run by llama-cpp-python on one thread."""

    def __init__(self, file: Path, config: GPTConfig) -> None:
        from llama_cpp import Llama

        self.model = Llama(str(file), n_ctx=config.context_length, n_threads=1, verbose=False)

    def answer(self, messages: Sequence[Message], max_tokens: int) -> str:
        """The likeliest answer, by the chat template that stands in the file."""
        said = self.model.create_chat_completion(
            [dict(message) for message in messages],
            temperature=0.0,
            max_tokens=max_tokens,
            repeat_penalty=1.0,
        )
        text: str = said["choices"][0]["message"]["content"]
        return text.strip()
