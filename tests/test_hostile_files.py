"""Files from strangers: nothing of theirs is run, nothing beside them is read, and what is wrong is one clear line.

The valid files that are spoiled here are those of small real artifacts. What a reader of files may do is return
something or raise ValueError, TypeError or OSError with one line; any other error is a bug.
"""

from __future__ import annotations

import json
import os
import pickle
import random
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minillm import cli
from minillm.artifact import Artifact, find_artifacts
from minillm.data.readers import read_comparisons, read_conversations, read_documents
from minillm.data.shards import open_shards, write_shards
from minillm.files import sha256_file
from minillm.manifest import Manifest, PublishedFile, PublishedStage, read_manifest
from minillm.model.adapters import load_adapter, save_adapter
from minillm.model.gpt import GPT, GPTConfig
from minillm.model.lora import LoRAConfig, apply_lora
from minillm.text.tokenizer import Tokenizer
from minillm.train.checkpoint import Checkpoints

TOKENIZER = Tokenizer.train(["the cat sat on the mat and sang to the cat"] * 3, 280)
SHAPE = GPTConfig(TOKENIZER.vocab_size, context_length=16, n_layer=2, n_head=2, d_model=8, d_ff=16)
EXPECTED = (ValueError, TypeError, OSError)


class Bomb:
    """Unpickled, it would leave a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


def small_model(adapter: bool = False) -> GPT:
    model = GPT(SHAPE, 0).eval()
    return apply_lora(model, LoRAConfig(2, 4.0)) if adapter else model


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """An artifact with an adapter, shards, checkpoints and rows of each kind."""
    folder = tmp_path_factory.mktemp("runs") / "smoke" / "sft-0123456789ab"
    small_model().save_pretrained(folder)
    TOKENIZER.save(folder)
    summary = {
        "format": 1,
        "stage": "sft",
        "key": "0123456789ab",
        "settings": {},
        "tokenizer_fingerprint": TOKENIZER.fingerprint,
        "weights_sha256": sha256_file(folder / "model.safetensors"),
    }
    (folder / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    (folder / "metrics.jsonl").write_text('{"step": 1, "loss": 2.0}\n', encoding="utf-8")
    save_adapter(small_model(adapter=True), folder / "adapter")
    write_shards(["the cat", "a mat"], TOKENIZER, folder / "tokens")
    Checkpoints(folder / "checkpoints").save(3, {"model.w": torch.zeros(2)}, {"tokens": 1})
    talk = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    (folder / "talks.jsonl").write_text(json.dumps({"messages": talk}) + "\n", encoding="utf-8")
    (folder / "pairs.jsonl").write_text(
        json.dumps({"prompt": "Hi", "chosen": "a", "rejected": "b"}) + "\n", encoding="utf-8"
    )
    (folder / "texts.jsonl").write_text(json.dumps({"text": "the cat"}) + "\n", encoding="utf-8")
    file = PublishedFile("summary.json", 7, "0" * 64)
    manifest = Manifest("smoke", {}, (PublishedStage("sft", folder.name[4:], {}, {"loss": 1.0}, (file,)),))
    (folder / "manifest.json").write_text(json.dumps(manifest.as_json()), encoding="utf-8")
    return folder


READERS: dict[str, tuple[str, Callable[[Path], Any]]] = {  # name -> the file that is spoiled, how it is read
    "model": ("model.safetensors", GPT.from_pretrained),
    "config": ("config.json", GPT.from_pretrained),
    "tokenizer": ("tokenizer.json", Tokenizer.load),
    "summary": ("summary.json", lambda folder: (Artifact(folder).stage, Artifact(folder).model)),
    "metrics": ("metrics.jsonl", lambda folder: Artifact(folder).metrics),
    "adapter": ("adapter/adapter_model.safetensors", lambda f: load_adapter(small_model(), f / "adapter")),
    "adapter config": ("adapter/adapter_config.json", lambda f: load_adapter(small_model(), f / "adapter")),
    "shard": ("tokens/shard-00000.bin", lambda f: open_shards(f / "tokens", TOKENIZER.end_of_text_id)),
    "index of shards": ("tokens/index.json", lambda f: open_shards(f / "tokens", TOKENIZER.end_of_text_id)),
    "facts of a shard": (
        "tokens/shard-00000.json",
        lambda f: write_shards(["the cat", "a mat"], TOKENIZER, f / "tokens"),
    ),
    "checkpoint": ("checkpoints/step-00000003.safetensors", lambda f: Checkpoints(f / "checkpoints").load()),
    "checkpoint's numbers": (
        "checkpoints/step-00000003.json",
        lambda f: Checkpoints(f / "checkpoints").load(),
    ),
    "conversations": ("talks.jsonl", lambda folder: list(read_conversations(folder / "talks.jsonl"))),
    "comparisons": ("pairs.jsonl", lambda folder: list(read_comparisons(folder / "pairs.jsonl"))),
    "manifest": ("manifest.json", lambda f: read_manifest((f / "manifest.json").read_bytes(), "it")),
    "documents": ("texts.jsonl", lambda folder: list(read_documents(folder / "texts.jsonl", "text"))),
}
TENSORS = [name for name, (file, _) in READERS.items() if file.endswith("safetensors")]
OBJECTS = [name for name, (file, _) in READERS.items() if file.endswith((".json", ".jsonl"))]


def refused_or_read(read: Callable[[Path], Any], folder: Path) -> str | None:
    """The line with which a reader refuses; None if it reads something."""
    try:
        read(folder)
    except EXPECTED as error:
        assert "\n" not in str(error).strip() and str(error)
        return str(error)
    return None


@pytest.fixture
def spoiled(whole, tmp_path):
    """A copy of the artifact, and a function that puts other content into the file of a reader."""

    def put(name: str, content: bytes) -> tuple[Callable[[Path], Any], Path]:
        folder = tmp_path / whole.parent.name / whole.name
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(whole, folder)
        file, read = READERS[name]
        (folder / file).write_bytes(content)
        return read, folder

    return put


@pytest.mark.parametrize("name", READERS)
def test_a_pickle_in_its_place_is_not_run(spoiled, tmp_path, name):
    mark = tmp_path / "the pickle was run"
    for content in (pickle.dumps(Bomb(mark)), torch_file(Bomb(mark), tmp_path), npy_of_objects(Bomb(mark))):
        read, folder = spoiled(name, content)
        told = refused_or_read(read, folder)
        # Made again, or passed over; a shard has no form: what is in it is noise, which its checksum tells.
        repaired = name in ("facts of a shard", "shard", "checkpoint", "checkpoint's numbers")
        assert told or repaired, name
        assert not mark.exists()


def torch_file(value: Any, folder: Path) -> bytes:
    torch.save(value, folder / "x.pt")
    return (folder / "x.pt").read_bytes()


def npy_of_objects(value: Any) -> bytes:
    import io

    buffer = io.BytesIO()
    np.save(buffer, np.array([value], dtype=object), allow_pickle=True)
    return buffer.getvalue()


@pytest.mark.parametrize("name", TENSORS)
@pytest.mark.parametrize("length", [2**63, 2**40, 10**8 + 1, 0])
def test_a_huge_header_is_refused_at_once(spoiled, name, length):
    read, folder = spoiled(name, struct.pack("<Q", length) + b'{"a": 1}')
    assert refused_or_read(read, folder) or name == "checkpoint"


@pytest.mark.parametrize(
    "key", ["vocab_size", "max_position_embeddings", "num_hidden_layers", "intermediate_size"]
)
def test_absurd_sizes_are_refused_before_anything_is_allocated(spoiled, whole, key):
    content = json.loads((whole / "config.json").read_text(encoding="utf-8")) | {key: 10**13}
    read, folder = spoiled("config", json.dumps(content).encode())
    assert refused_or_read(read, folder)


def test_names_cannot_leave_the_folder(spoiled, whole, tmp_path):
    """No name in a file is a path that is followed: of a model's files, of a stage, of an adapter's base."""
    outside = tmp_path / "outside.safetensors"
    shutil.copy(whole / "model.safetensors", outside)
    read, folder = spoiled("model", b"")
    (folder / "model.safetensors").unlink()
    places = dict.fromkeys(safetensors.torch.load_file(outside), f"../../{outside.name}")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}), encoding="utf-8")
    assert "only .safetensors files beside it are read" in refused_or_read(read, folder)
    summary = json.loads((whole / "summary.json").read_text(encoding="utf-8")) | {
        "stage": "../../evil",
        "key": "../../evil",
    }
    read, folder = spoiled("summary", json.dumps(summary).encode())
    before = sorted(tmp_path.rglob("*"))
    refused_or_read(read, folder)
    find_artifacts(tmp_path)
    config = json.loads((whole / "adapter" / "adapter_config.json").read_text(encoding="utf-8"))
    read, folder = spoiled(
        "adapter config", json.dumps(config | {"base_model_name_or_path": "/etc/passwd"}).encode()
    )
    read(folder)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_zipped_artifact_is_refused_in_one_line(whole, tmp_path, monkeypatch, capsys):
    archive = tmp_path / "artifact.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("../../escaped.txt", "x")
        file.write(whole / "summary.json", "summary.json")
    monkeypatch.setattr("sys.argv", ["minillm", "chat", str(archive), "--prompt", "Hi"])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 2
    assert "is neither a stage" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [archive]


def test_control_tokens_in_data_are_text(tmp_path):
    """In a corpus, in shards and in conversations: what looks like a control token never becomes one."""
    text = "<|endoftext|>a<|end|><|user|>b<|assistant|>"
    special = set(TOKENIZER.special_tokens.values())
    assert not special & set(TOKENIZER.encode(text))
    write_shards([text, text], TOKENIZER, tmp_path / "tokens")
    documents = open_shards(tmp_path / "tokens", TOKENIZER.end_of_text_id)
    assert len(documents) == 2
    ids = documents.flat[0 : len(documents.flat)].tolist()
    assert [i for i in ids if i in special] == [TOKENIZER.end_of_text_id] * 3


# Fuzz

_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("../../x"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
# Always the same examples, so that a run that passed passes again; FUZZ_EXAMPLES=2000 looks at so many new ones.
fuzzed = settings(
    deadline=None,
    max_examples=int(os.environ.get("FUZZ_EXAMPLES", "60")),
    derandomize="FUZZ_EXAMPLES" not in os.environ,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.mark.parametrize("name", READERS)
@fuzzed
@given(seed=st.integers(0, 2**32))
def test_spoiled_bytes_are_read_or_refused(spoiled, whole, name, seed):
    """Bits flipped, pieces cut out, doubled, or replaced by noise."""
    die = random.Random(seed)
    content = bytearray((whole / READERS[name][0]).read_bytes())
    for _ in range(die.randint(1, 4)):
        at = die.randrange(len(content) + 1)
        piece = content[at : at + die.choice((1, 2, 8, 100))]
        if (kind := die.randrange(5)) == 0 and piece:
            content[at] ^= 1 << die.randrange(8)
        elif kind == 1:
            del content[at : at + len(piece)]
        elif kind == 2:
            content[at:at] = piece
        elif kind == 3:
            content[at : at + len(piece)] = die.randbytes(len(piece))
        else:
            del content[at:]
    refused_or_read(*spoiled(name, bytes(content)))


@pytest.mark.parametrize("name", OBJECTS)
@fuzzed
@given(data=st.data())
def test_other_values_are_read_or_refused(spoiled, whole, name, data):
    """Somewhere in the JSON another value: of another type, deep, huge, or gone."""
    value = json.loads(
        (whole / READERS[name][0]).read_text(encoding="utf-8").splitlines()[0]
        if name in LINES
        else (whole / READERS[name][0]).read_text(encoding="utf-8")
    )
    place, holder = value, None
    for _ in range(data.draw(st.integers(0, 3))):
        if isinstance(place, (dict, list)) and place:
            keys = sorted(place) if isinstance(place, dict) else range(len(place))
            holder, key = place, data.draw(st.sampled_from(list(keys)))
            place = place[key]
    new = data.draw(_json)
    if holder is None:
        value = new
    elif isinstance(holder, dict) and data.draw(st.booleans()):
        del holder[key]
    else:
        holder[key] = new
    refused_or_read(*spoiled(name, json.dumps(value).encode()))


LINES = ("metrics", "conversations", "comparisons", "documents")


@fuzzed
@given(st.binary(max_size=60))
def test_any_bytes_go_through_the_tokenizer_and_back(data):
    assert TOKENIZER.decode_bytes(TOKENIZER.encode_bytes(data)) == data


@fuzzed
@given(st.text(max_size=60))
def test_any_text_is_encoded_or_refused(text):
    try:
        ids = TOKENIZER.encode(text)
    except ValueError as error:
        assert "surrogate" in str(error) and any("\ud800" <= c <= "\udfff" for c in text)
        return
    assert TOKENIZER.decode(ids) == text
    assert not set(ids) & set(TOKENIZER.special_tokens.values())
