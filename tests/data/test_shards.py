"""Shards: the same tokens as in memory, from any number of workers, whole after any accident, in little memory."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minillm.data import shards
from minillm.data.batches import PackedDocuments, TokenDocuments
from minillm.data.shards import Concatenated, open_shards, write_shards
from minillm.data.world import World
from minillm.files import sha256_file
from minillm.text.tokenizer import Tokenizer

TEXTS = [document.text for document in World().documents(300, 5)]
TOKENIZER = Tokenizer.train(TEXTS[:50], 300)
EOT = TOKENIZER.end_of_text_id


def never():
    raise AssertionError("the texts were read")
    yield


def files_of(folder):
    return {path.name: sha256_file(path) for path in folder.iterdir()}


@given(st.lists(st.lists(st.integers(0, 9), max_size=5), min_size=1, max_size=5), st.data())
def test_a_concatenation_is_sliced_like_one_array(parts, data):
    whole = np.array([number for part in parts for number in part], dtype=np.int64)
    start = data.draw(st.integers(0, len(whole)))
    stop = data.draw(st.integers(start, len(whole)))
    both = Concatenated([np.array(part, dtype=np.int64) for part in parts])
    assert len(both) == len(whole)
    assert both[start:stop].tolist() == whole[start:stop].tolist()


@pytest.mark.parametrize("characters", [1, 700, 10_000, 10**9])
def test_shards_hold_what_memory_would(tmp_path, characters):
    write_shards(iter(TEXTS), TOKENIZER, tmp_path / "tokens", block_characters=characters, workers=2)
    here, there = TokenDocuments(map(TOKENIZER.encode, TEXTS), EOT), open_shards(tmp_path / "tokens", EOT)
    assert there.flat[0 : len(there.flat)].tolist() == here.flat.tolist()
    assert there.offsets.tolist() == here.offsets.tolist()
    assert (len(there), there.n_predictions) == (len(here), here.n_predictions)
    assert there.flat.dtype == np.uint16
    for step in range(3):
        one, other = (PackedDocuments(documents, EOT, 64, 8).batch(step) for documents in (here, there))
        assert one.ids.equal(other.ids) and one.targets.equal(other.targets)
        assert (
            one.document_ids is None
            and other.document_ids is None
            or one.document_ids.equal(other.document_ids)
        )


def test_any_number_of_workers_writes_the_same_files(tmp_path):
    for workers in (1, 2, 5):
        write_shards(iter(TEXTS), TOKENIZER, tmp_path / str(workers), workers=workers, block_characters=3_000)
    assert len(files_of(tmp_path / "1")) > 9
    assert files_of(tmp_path / "1") == files_of(tmp_path / "2") == files_of(tmp_path / "5")


def test_what_is_there_is_not_read_again(tmp_path):
    write_shards(iter(TEXTS), TOKENIZER, tmp_path / "tokens", block_characters=3_000)

    write_shards(never(), TOKENIZER, tmp_path / "tokens", block_characters=3_000)


@pytest.mark.parametrize("n", [1, 29, 150, 299])
def test_a_run_that_was_cut_off_goes_on_with_the_first_missing_block(tmp_path, monkeypatch, n):
    def broken():
        yield from TEXTS[:n]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_shards(broken(), TOKENIZER, tmp_path / "tokens", workers=1, block_characters=3_000)
    with pytest.raises(ValueError, match="not complete; run the same command again"):
        open_shards(tmp_path / "tokens", EOT)
    kept = {name: digest for name, digest in files_of(tmp_path / "tokens").items() if name.endswith("json")}
    encoded, original = [], Tokenizer.encode_to_numpy
    monkeypatch.setattr(
        Tokenizer, "encode_to_numpy", lambda self, text: encoded.append(text) or original(self, text)
    )
    write_shards(iter(TEXTS), TOKENIZER, tmp_path / "tokens", block_characters=3_000)
    n_encoded = len(encoded)
    write_shards(iter(TEXTS), TOKENIZER, tmp_path / "whole", block_characters=3_000)
    whole = files_of(tmp_path / "whole")
    assert files_of(tmp_path / "tokens") == whole and kept.items() <= whole.items()
    facts = [json.loads((tmp_path / "whole" / name).read_text(encoding="utf-8")) for name in kept]
    assert n_encoded == len(TEXTS) - sum(
        one["documents"] for one in facts
    )  # what was kept was not tokenized again


@pytest.mark.parametrize(
    "damage", ["flipped bit", "cut", "gone", "no facts", "bad facts", "no index", "bad index"]
)
def test_a_damaged_shard_is_named_and_written_again(tmp_path, caplog, damage):
    folder = tmp_path / "tokens"
    write_shards(iter(TEXTS), TOKENIZER, folder, block_characters=3_000)
    before = files_of(folder)
    tokens, facts, index = (folder / name for name in ("shard-00002.bin", "shard-00002.json", "index.json"))
    content = bytearray(tokens.read_bytes())
    if damage == "flipped bit":
        content[-7] ^= 4
        tokens.write_bytes(content)
    elif damage == "cut":
        tokens.write_bytes(content[:-9])
    else:
        {
            "gone": tokens.unlink,
            "no facts": facts.unlink,
            "bad facts": lambda: facts.write_text('{"documents": 3', encoding="utf-8"),
            "no index": index.unlink,
            "bad index": lambda: index.write_text("[1]", encoding="utf-8"),
        }[damage]()
    write_shards(iter(TEXTS), TOKENIZER, folder, block_characters=3_000)
    assert files_of(folder) == before
    named = damage not in ("no facts", "no index", "bad index")
    assert [record.getMessage() for record in caplog.records] == (
        [f"shard-00002 in {folder} is damaged: it is written again"] if named else []
    )


def test_a_shard_that_was_written_again_is_read_anew(tmp_path):
    folder = tmp_path / "tokens"
    write_shards(iter(TEXTS), TOKENIZER, folder, block_characters=3_000)
    path = folder / "shard-00002.bin"
    whole = open_shards(folder, EOT).flat
    expected = whole[0 : len(whole)].tolist()
    content = bytearray(path.read_bytes())
    content[4:6] = content[0:2]
    path.write_bytes(content)
    damaged = open_shards(folder, EOT).flat
    assert damaged[0 : len(damaged)].tolist() != expected
    write_shards(iter(TEXTS), TOKENIZER, folder, block_characters=3_000)
    again = open_shards(folder, EOT).flat
    assert again[0 : len(again)].tolist() == expected


def test_no_documents_are_one_clear_line(tmp_path):
    with pytest.raises(
        ValueError, match="there are no documents to train on; give a corpus with at least one"
    ):
        write_shards([], TOKENIZER, tmp_path / "tokens")


def test_many_ids_take_four_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(Tokenizer, "vocab_size", 70_000)
    write_shards(["abc"], TOKENIZER, tmp_path / "tokens")
    assert open_shards(tmp_path / "tokens", EOT).flat.dtype == np.uint32


@pytest.mark.parametrize("change", ["a text", "the tokenizer"])
def test_shards_of_another_text_or_tokenizer_are_written_again(tmp_path, change):
    """Also where the number of documents in a block is the same."""
    texts, tokenizer = list(TEXTS), TOKENIZER
    write_shards(texts, tokenizer, tmp_path / "tokens", block_characters=3_000)
    if change == "a text":
        texts[40] = texts[40][::-1]
        (tmp_path / "tokens" / "index.json").unlink()  # a run that was cut off
    else:
        tokenizer = Tokenizer.train(TEXTS[50:100], 300)
    write_shards(texts, tokenizer, tmp_path / "tokens", block_characters=3_000)
    write_shards(texts, tokenizer, tmp_path / "whole", block_characters=3_000)
    assert files_of(tmp_path / "tokens") == files_of(tmp_path / "whole")


def test_shards_too_many_and_what_a_killed_process_left_are_no_harm(tmp_path):
    write_shards(iter(TEXTS), TOKENIZER, tmp_path / "tokens", block_characters=3_000)
    (tmp_path / "tokens" / ".shard-00001.bin.x.tmp").write_bytes(b"half")
    write_shards(iter(TEXTS), TOKENIZER, tmp_path / "tokens", block_characters=9_000)  # found as it is
    (tmp_path / "tokens" / "index.json").unlink()
    write_shards(iter(TEXTS), TOKENIZER, tmp_path / "tokens", block_characters=9_000)
    documents = open_shards(tmp_path / "tokens", EOT)
    assert len(documents) == len(TEXTS) and not list((tmp_path / "tokens").glob(".*"))
    assert (
        documents.flat[0 : len(documents.flat)].tolist()
        == TokenDocuments(map(TOKENIZER.encode, TEXTS), EOT).flat.tolist()
    )
    write_shards(
        never(), TOKENIZER, tmp_path / "tokens", block_characters=9_000
    )  # in spite of older shards behind


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read as Linux tells it")
def test_the_blocks_in_memory_are_few(tmp_path):
    """32 MB of text in blocks of 1 MB: the peak rises by far less than the text, measured in a process of its own."""
    script = textwrap.dedent(
        r"""
        import re, sys
        from minillm.data import shards
        from minillm.text.tokenizer import Tokenizer

        def peak():  # MB, of this program alone; what getrusage tells may be its parent's
            return int(re.search(r"VmHWM:\s+(\d+)", open("/proc/self/status").read())[1]) // 1024

        tokenizer = Tokenizer.train(["the cat sat on the mat and sang"], 280)
        text = "the cat sat on the mat and sang " * 512
        tokenizer.encode(text)
        before = peak()
        texts = (f"{n} {text}" for n in range(2048))
        texts = list(texts) if sys.argv[2] == "all at once" else texts
        shards.write_shards(texts, tokenizer, sys.argv[1], block_characters=1 << 20, workers=2)
        print(peak() - before)
        """
    )

    def megabytes(how: str) -> int:
        run = [sys.executable, "-c", script, str(tmp_path / how), how]
        return int(subprocess.run(run, capture_output=True, encoding="utf-8", check=True).stdout)

    assert megabytes("in blocks") < 20 and megabytes("all at once") > 30
    assert len(list((tmp_path / "in blocks").glob("*.bin"))) > 25
    assert shards.open_shards(tmp_path / "in blocks", 276).n_predictions > 5_000_000
