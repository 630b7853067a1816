"""Corpora: every character in exactly one split, and one clear line for each kind of bad input."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minillm.data import readers
from minillm.data.corpora import FileCorpus, HubCorpus, MixedCorpus, WorldCorpus, open_corpus
from minillm.data.world import VALIDATION_SEED, World

WORDS = "the cat sat on the mat and sang\n"


def split_texts(corpus) -> tuple[list[str], list[str]]:
    return list(corpus.documents("train")), list(corpus.documents("validation"))


def test_world_splits_are_disjoint_and_repeatable():
    corpus = WorldCorpus(n_documents=200, n_validation=50)
    train, validation = split_texts(corpus)
    assert len(validation) == 50 and 150 < len(train) <= 200
    assert not set(train) & set(validation)
    assert split_texts(WorldCorpus(n_documents=200, n_validation=50)) == (train, validation)
    assert list(WorldCorpus(n_documents=10, n_validation=50, seed=7).documents("train")) != train[:10]


def test_world_entropy_is_the_surprise_of_its_validation_documents():
    log_probs = [document.log_prob for document in World().documents(20, VALIDATION_SEED)]
    assert WorldCorpus(5, 20).entropy_nats() == pytest.approx(-sum(log_probs))


def test_one_text_file_is_a_document_of_which_some_lines_are_held_out(tmp_path):
    lines = [f"{n:03d} {WORDS}" for n in range(100)]
    (tmp_path / "cats.txt").write_text("".join(lines), encoding="utf-8")
    corpus = open_corpus(tmp_path / "cats.txt")
    train, validation = split_texts(corpus)
    assert sorted("".join(train + validation).splitlines(True)) == lines  # no line is cut
    assert 0.04 <= len("".join(validation)) / len("".join(lines)) < 0.06
    assert len(train) <= 2 and len(validation) == 1
    assert corpus.name == "cats.txt" and "3,600 characters" in corpus.description


@settings(deadline=None, max_examples=60)
@given(
    texts=st.lists(st.text(alphabet="ab \n", min_size=1), min_size=1, max_size=12), share=st.floats(0.01, 0.9)
)
def test_each_character_is_in_one_split_and_each_split_has_some(texts, share, tmp_path_factory):
    texts = [f"xy{text}" for text in texts]
    path = tmp_path_factory.mktemp("corpus") / "a.jsonl"
    path.write_text("\n".join(json.dumps({"text": text}) for text in texts), encoding="utf-8")
    train, validation = split_texts(FileCorpus(str(path), (path,), validation_share=share))
    assert sorted("".join(train + validation)) == sorted("".join(texts))
    assert train and validation and all(train + validation)
    assert all(any(part in text for text in texts) for part in train + validation)


def test_many_documents_are_split_between_documents(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(
        "".join(json.dumps({"text": f"{n:03d} {WORDS}"}) + "\n" for n in range(200)), encoding="utf-8"
    )
    train, validation = split_texts(open_corpus(path))
    assert len(validation) == 10 and train == sorted(train) and validation == sorted(validation)
    assert sorted(train + validation) == [f"{n:03d} {WORDS}" for n in range(200)]
    assert [int(text[:3]) // 20 for text in validation] == list(range(10))  # one of each twenty


def test_folders_and_patterns_are_read_in_order_of_their_names(tmp_path):
    (tmp_path / "b.txt").write_text("second " * 30, encoding="utf-8")
    (tmp_path / "a.md").write_text("first " * 30, encoding="utf-8")
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "c.jsonl").write_text('{"text": "third"}\n\n', encoding="utf-8")
    (tmp_path / "notes.csv").write_text("not read", encoding="utf-8")
    corpus = open_corpus(tmp_path)
    assert [path.name for path in corpus.paths] == ["a.md", "b.txt", "c.jsonl"]
    words = " ".join(sum(split_texts(corpus), [])).split()
    assert sorted(words) == ["first"] * 30 + ["second"] * 30 + ["third"]
    assert len(open_corpus(f"{tmp_path}/*.txt").paths) == 1


@pytest.mark.parametrize("content", ["", " \n\t \n"])
def test_a_file_without_text_is_refused(tmp_path, content):
    (tmp_path / "a.txt").write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match="holds no text; give a file with at least"):
        split_texts(open_corpus(tmp_path / "a.txt"))


def test_a_file_of_another_kind_is_refused(tmp_path):
    (tmp_path / "a.docx").write_text("text", encoding="utf-8")
    with pytest.raises(ValueError, match="unknown format; allowed are .txt, .md, .jsonl, .parquet"):
        open_corpus(tmp_path / "a.docx")


def test_missing_files_and_empty_folders(tmp_path):
    with pytest.raises(ValueError, match="is not there; give a file, a folder"):
        open_corpus(tmp_path / "missing.txt")
    with pytest.raises(ValueError, match="has no files of the kinds"):
        open_corpus(tmp_path)
    with pytest.raises(ValueError, match="has no files of the kinds"):
        open_corpus(f"{tmp_path}/*.txt")


def test_settings_follow_the_content_not_the_place(tmp_path):
    for name, text in (("a.txt", WORDS), ("b.txt", WORDS), ("c.txt", WORDS + "!")):
        (tmp_path / name).write_text(text, encoding="utf-8")
    same, twin, other = (open_corpus(tmp_path / name).settings() for name in ("a.txt", "b.txt", "c.txt"))
    assert same == twin != other
    assert json.loads(json.dumps(same)) == same
    world = WorldCorpus(100, 10).settings()
    assert world != WorldCorpus(101, 10).settings() and json.loads(json.dumps(world)) == world


def test_the_same_bytes_as_another_kind_of_file_have_a_key_of_their_own(tmp_path):
    """They are read as other documents."""
    row = json.dumps({"text": WORDS})
    for name in ("a.txt", "a.jsonl"):
        (tmp_path / name).write_text(f"{row}\n", encoding="utf-8")
    text, rows = (open_corpus(tmp_path / name).settings() for name in ("a.txt", "a.jsonl"))
    assert text != rows and json.loads(json.dumps(rows)) == rows


def fake_hub(rows, monkeypatch):
    def load_dataset(name, config, split, streaming, revision):
        assert (split, streaming) == ("train", True)
        if isinstance(rows, Exception):
            raise rows
        return iter(rows)

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))


def test_hub_streams_validation_first_and_skips_empty_rows(monkeypatch):
    fake_hub([{"text": {2: "  ", 50: None}.get(n, str(n))} for n in range(100)], monkeypatch)
    corpus = open_corpus("owner/tales")
    assert corpus == HubCorpus("owner/tales")
    corpus = HubCorpus("owner/tales", n_documents=4, n_validation=3)
    assert split_texts(corpus) == (["4", "5", "6", "7"], ["0", "1", "3"])
    assert json.loads(json.dumps(corpus.settings())) == corpus.settings()


@pytest.mark.parametrize(
    "rows, message",
    [
        (ConnectionError("no route to host\nlong trace"), "ConnectionError: no route to host"),
        (FileNotFoundError("dataset does not exist"), "dataset does not exist"),
        ([{"story": "x"}], "no column 'text', only story"),
    ],
)
def test_hub_failures_are_one_line_that_names_the_offline_corpus(rows, message, monkeypatch):
    fake_hub(rows, monkeypatch)
    with pytest.raises(ValueError, match=message) as caught:
        split_texts(HubCorpus("owner/tales"))
    assert "built-in corpus needs no network" in str(caught.value) and "\n" not in str(caught.value)


def test_hub_without_datasets_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ValueError, match=r"python -m pip install datasets; the built-in corpus"):
        split_texts(HubCorpus("owner/tales"))


def test_a_mix_keeps_the_proportions_from_the_start(monkeypatch):
    fake_hub([{"text": f"hub {n}"} for n in range(1000)], monkeypatch)
    mix = MixedCorpus((HubCorpus("owner/tales", n_documents=300, n_validation=5), WorldCorpus(100, 5)))
    train, validation = split_texts(mix)
    assert len(validation) == 10 and 395 <= len(train) <= 400
    assert 28 <= sum(text.startswith("hub") for text in train[:40]) <= 32
    assert mix.name == "owner/tales + world" and mix.entropy_nats() is None
    with pytest.raises(ValueError, match="at least one part"):
        MixedCorpus(())


@pytest.mark.parametrize(
    "make",
    [
        lambda: WorldCorpus(0),
        lambda: WorldCorpus(5, 0),
        lambda: WorldCorpus(seed=1),
        lambda: WorldCorpus(seed=2),
    ],
)
def test_bad_world_settings(make):
    with pytest.raises(ValueError, match="at least 1|seed of the (validation|test) documents"):
        make()


def test_unknown_split_is_refused():
    with pytest.raises(ValueError, match="allowed are 'train' and 'validation'"):
        next(WorldCorpus(5, 5).documents("test"))


def test_a_text_that_is_read_in_pieces_has_a_key_of_its_own(tmp_path, monkeypatch):
    (tmp_path / "long.txt").write_text(WORDS * 40, encoding="utf-8")
    whole = open_corpus(tmp_path / "long.txt").settings()
    monkeypatch.setattr(readers, "_WHOLE_BYTES", 100)
    in_pieces = open_corpus(tmp_path / "long.txt")
    assert in_pieces.settings() != whole and in_pieces.settings()["pieces"] == readers.PIECE_BYTES


def test_a_split_at_end_of_text_marks_is_said_once(tmp_path, caplog):
    (tmp_path / "a.txt").write_text(
        "".join(f"Story {n}.\n<|endoftext|>\n" for n in range(40)), encoding="utf-8"
    )
    with caplog.at_level("INFO", "minillm"):
        corpus = open_corpus(tmp_path / "a.txt")
        corpus.check()
        train, validation = split_texts(corpus)
    assert sorted(train + validation) == sorted(f"Story {n}." for n in range(40))
    assert [r.message for r in caplog.records] == [
        f"corpus {tmp_path / 'a.txt'}: split into documents at 40 marks <|endoftext|>"
    ]


def test_bad_lines_are_left_out_on_request_and_counted(tmp_path, caplog):
    rows = [json.dumps({"text": f"{n} {WORDS}"}) for n in range(20)]
    (tmp_path / "a.jsonl").write_text(
        "\n".join([*rows[:10], "5", '{"text": "\\ud800"}', *rows[10:]]), encoding="utf-8"
    )
    with pytest.raises(ValueError, match="line 11 is a int"):
        open_corpus(tmp_path / "a.jsonl").check()
    corpus = FileCorpus("a", (tmp_path / "a.jsonl",), skip_bad=True)
    with caplog.at_level("WARNING", "minillm"):
        corpus.check()
        train, validation = split_texts(corpus)
    assert len(train) + len(validation) == 20
    assert [record.message.split("; ")[0] for record in caplog.records] == [
        "corpus a: 2 of 22 rows are left out, which cannot be used"
    ]
    assert corpus.settings() != FileCorpus("a", corpus.paths).settings()
    (tmp_path / "b.jsonl").write_text("5\n6\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"holds no text that can be used \(.*line 1 is a int"):
        FileCorpus("b", (tmp_path / "b.jsonl",), skip_bad=True).check()


def test_one_character_is_no_corpus(tmp_path):
    (tmp_path / "a.txt").write_text("x", encoding="utf-8")
    with pytest.raises(ValueError, match="holds one character; give a file"):
        open_corpus(tmp_path / "a.txt").check()


@pytest.mark.parametrize(
    "changes",
    [
        {"validation_share": "0.1"},
        {"validation_share": True},
        {"validation_share": float("nan")},
        {"max_validation": 0},
        {"max_validation": 1.5},
        {"text_key": 5},
        {"skip_bad": "yes"},
    ],
)
def test_wrong_settings_of_a_file_corpus(changes):
    (name,) = changes
    with pytest.raises((TypeError, ValueError), match=f"{name}.*(use a|use 1|write text|use True)"):
        FileCorpus("x", (), **changes)


def test_nothing_is_not_the_current_folder(tmp_path, monkeypatch):
    """As with a variable of the shell that is not set."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text(WORDS, encoding="utf-8")
    for name in ("", " "):
        with pytest.raises(ValueError, match="is not there; give a file"):
            open_corpus(name)
