"""Places: a folder stands for the user's data in it, and for nothing that a program left there."""

from __future__ import annotations

import unicodedata
import venv
from pathlib import Path

import pytest

from minillm.artifact import write_artifact
from minillm.data.places import find_files, is_there, named_files
from minillm.data.shards import write_shards
from minillm.model.adapters import save_adapter
from minillm.model.gpt import GPT, GPTConfig
from minillm.model.lora import LoRAConfig, apply_lora
from minillm.text.tokenizer import Tokenizer
from minillm.train.checkpoint import Checkpoints


def put(root: Path, *names: str, content: str = "x") -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content, encoding="utf-8")


def found(root: Path) -> list[str]:
    return [path.relative_to(root).as_posix() for path in named_files(str(root))]


def link(path: Path, target: Path) -> None:
    try:
        path.symlink_to(target, target_is_directory=True)
    except OSError as error:  # on Windows a right that an ordinary user lacks
        pytest.skip(f"symbolic links cannot be made here: {error}")


def model() -> GPT:
    return GPT(GPTConfig(300, context_length=8, n_layer=1, n_head=2, d_model=8, d_ff=12), 0)


@pytest.mark.parametrize(
    "name",
    [
        ".DS_Store",
        "._story.txt",
        "Thumbs.db",
        "desktop.ini",
        "~$story.md",
        "story.txt~",
        "#story.txt#",
        ".story.txt.swp",
        ".hidden.txt",
        ".git/notes.txt",
        "deep/.ipynb_checkpoints/story.md",
        "__pycache__/story.txt",
        "node_modules/pack/README.md",
        "__MACOSX/story.txt",
        "own.egg-info/SOURCES.txt",
        "own-1.0.dist-info/top_level.txt",
        "#recycle/story.txt",
        "lib/python3/site-packages/pack/LICENSE.txt",
    ],
)
def test_what_systems_and_editors_leave_is_no_data(tmp_path, name):
    put(tmp_path, "story.txt", "deep/runs/tale.md", name)
    assert found(tmp_path) == ["deep/runs/tale.md", "story.txt"]
    assert named_files(str(tmp_path / name)) == [tmp_path / name]  # who names it gets it


def test_a_virtual_environment_is_no_data(tmp_path):
    venv.create(tmp_path / "mine", with_pip=False)
    put(tmp_path, "story.txt", "mine/LICENSE.txt", "conda/conda-meta/history", "conda/share/README.md")
    assert found(tmp_path) == ["story.txt"]


def test_folders_behind_links_are_read_once(tmp_path):
    put(tmp_path / "disk", "tale.txt", "deep/fable.txt")
    put(tmp_path / "mine", "story.txt")
    link(tmp_path / "mine" / "books", tmp_path / "disk")
    link(tmp_path / "mine" / "copy", tmp_path / "disk" / "deep")
    link(tmp_path / "disk" / "deep" / "back", tmp_path / "mine")
    link(tmp_path / "mine" / "dead", tmp_path / "nowhere")
    assert found(tmp_path / "mine") == ["books/deep/fable.txt", "books/tale.txt", "story.txt"]


def test_stages_are_no_data_whole_or_in_training(tmp_path):
    put(tmp_path, "story.txt", "out/story.txt")
    for n, marks in enumerate(
        (["metrics.jsonl"], ["rollouts.jsonl"], ["checkpoints/step-00000001.json"], [])
    ):
        folder = tmp_path / "out" / "smoke" / f"sft-{n:012x}"
        put(folder, "README.md", *marks)
        put(folder.parent, f"{folder.name}.lock")
    whole = tmp_path / "elsewhere" / "renamed"
    Tokenizer([]).save(whole)
    write_artifact(whole, "preferences", "0" * 12, {"data": "none"}, {})
    put(whole, "comparisons.jsonl", "comparisons_held_out.jsonl", "full/metrics.jsonl")
    write_shards(["one", "two"], Tokenizer([]), tmp_path / "out" / "smoke" / "tokens-000000000000")
    write_shards(["one", "two"], Tokenizer([]), tmp_path / "ids")
    put(tmp_path, "ids/index.txt")
    Checkpoints(tmp_path / "checkpoints").save(1, {"a": next(model().parameters())}, {})
    put(tmp_path, "checkpoints/notes.txt")
    assert found(tmp_path) == ["out/story.txt", "story.txt"]
    pattern = str(whole / "comp*.jsonl")
    assert len(named_files(pattern)) == 2  # a pattern is what it says


def test_models_and_exports_are_no_data(tmp_path):
    put(tmp_path, "story.txt", "exported/README.md", "adapter/README.md", "onnx/README.md", "onnx/model.onnx")
    model().save_pretrained(tmp_path / "exported")
    save_adapter(apply_lora(model(), LoRAConfig(2, 4.0)), tmp_path / "adapter")
    put(tmp_path, "onnx/config.json", "receipt/minillm_export.json", "receipt/README.md", content="{}")
    put(tmp_path, "trainer/checkpoint-5/README.md", "trainer/checkpoint-5/pytorch_model.bin")
    put(tmp_path, "trainer/checkpoint-5/config.json", content="{}")
    assert found(tmp_path) == ["story.txt"]


@pytest.mark.parametrize(
    "names",
    [
        ["summary.json", "story.txt"],  # of somebody else
        ["scan-202411270935/story.txt"],
        ["runs/one.txt", "artifacts/two.txt", "checkpoints/three.txt", "exports/four.md"],
        ["config.json", "notes.md"],
        ["texts (copy)/story.txt", "caf\u00e9/\u6545\u4e8b.txt", "a b.txt"],
    ],
)
def test_names_alone_hide_nothing_of_the_users(tmp_path, names):
    put(tmp_path / "in", *names, content='{"stage": "first"}')
    texts = sorted(f"in/{name}" for name in names if not name.endswith(".json"))
    assert sorted(found(tmp_path)) == texts


def test_a_json_file_in_a_folder_is_data_if_it_holds_an_array(tmp_path):
    put(tmp_path, "talks.json", content='\ufeff \n[{"a": 1}]')
    put(tmp_path, "dataset_info.json", content='{"a": [1]}')
    assert found(tmp_path) == ["talks.json"]
    assert named_files(str(tmp_path / "dataset_info.json"))


def test_an_empty_name_is_nothing_and_a_tilde_is_ones_home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    put(tmp_path, "story.txt")
    assert named_files("") == named_files(" ") == [] and not is_there("")
    assert [path.name for path in named_files("~/story.txt")] == ["story.txt"]
    assert [path.name for path in named_files("~/*.txt")] == ["story.txt"]
    assert named_files("~nobody-of-this-name/x.txt") == []
    with pytest.raises(ValueError, match="no .txt file is there"):
        find_files("", [".txt"], "corpus", "")


def test_files_are_in_the_same_order_on_every_system(tmp_path, monkeypatch):
    """The order of a corpus decides the keys of its stages. Windows compares paths without their case."""
    names = ["Ab/z.txt", "B.txt", "a/C.txt", "a/b.txt", "a.txt"]
    put(tmp_path, *names)
    assert found(tmp_path) == names
    monkeypatch.setattr(type(tmp_path), "__lt__", lambda one, other: str(one).lower() < str(other).lower())
    pattern = named_files(f"{tmp_path}/**/*.txt")
    assert found(tmp_path) == [path.relative_to(tmp_path).as_posix() for path in pattern] == names


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_the_order_is_that_of_composed_letters(tmp_path, form):
    """A Mac may list the letter é as two characters, of which the first is an e."""
    put(tmp_path, "f.txt", unicodedata.normalize(form, "é.txt"))
    assert [unicodedata.normalize("NFC", name) for name in found(tmp_path)] == ["f.txt", "é.txt"]
