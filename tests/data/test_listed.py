"""What is held out: a fair part of the rows in any order, never all, never a copy of a row that is trained on."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minillm.data.conversations import FileConversations, open_conversations
from minillm.data.corpora import FileCorpus, open_corpus
from minillm.data.listed import held_out, numbered
from minillm.data.preferences import open_preferences


@settings(max_examples=300, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=2, max_size=80), st.floats(0.001, 0.999))
def test_no_key_is_on_both_sides_and_no_side_is_empty(values, share):
    flags = held_out(numbered(values), share).tolist()
    assert len(flags) == len(values) and 0 < sum(flags) < len(flags)
    if len(set(values)) > 1:
        chosen = {value for value, flag in zip(values, flags, strict=True) if flag}
        assert not chosen & {value for value, flag in zip(values, flags, strict=True) if not flag}
        assert len(chosen) <= max(1, round(len(set(values)) * max(share, 0.5)))


@pytest.mark.parametrize("n", [20, 100, 1000, 12_345])
@pytest.mark.parametrize("kinds", [2, 4, 10])
def test_a_sorted_file_gives_each_of_its_kinds_its_share(n, kinds):
    """Also where the kinds take turns with a period: a fixed step would meet one of them alone."""
    flags = held_out(np.arange(n), 0.1)
    in_blocks = np.arange(n) * kinds // n
    in_turns = np.arange(n) % kinds
    held = int(flags.sum())
    assert held == round(n * 0.1)
    for kind in range(kinds):
        assert abs(int(flags[in_blocks == kind].sum()) - held / kinds) <= 1
        # drawn one by one: within five standard deviations
        if held >= 100:
            spread = (held / kinds * (1 - 1 / kinds)) ** 0.5
            assert abs(int(flags[in_turns == kind].sum()) - held / kinds) < 5 * spread


def test_rows_that_stand_there_once_are_taken_first():
    """As many rows as are wanted, but of few kinds not most."""
    keys = np.array([0] * 90 + [1, 2, 3, 4])
    assert held_out(keys, 0.2).tolist().index(True) >= 90 and held_out(keys, 0.2).sum() == 2
    keys = np.array([0] * 20 + list(range(1, 81)))
    assert held_out(keys, 0.1).tolist().index(True) >= 20 and held_out(keys, 0.1).sum() == 10
    assert held_out(np.arange(200) // 4, 0.1).sum() == 20


def talk(topic: str, number: int) -> dict:
    words = f"{topic} {number}"
    return {"messages": [{"role": "user", "content": words}, {"role": "assistant", "content": "Yes."}]}


def pair(topic: str, number: int) -> dict:
    return {"prompt": f"{topic} {number}", "chosen": "yes", "rejected": "no"}


def text(topic: str, number: int) -> dict:
    return {"text": f"{topic} {number} " + "word " * 30}


def first_words(source, split: str) -> list[str]:
    if isinstance(source, FileCorpus):
        return [one.split()[0] for one in source.documents(split)]
    if hasattr(source, "conversations"):
        return [one[0]["content"].split()[0] for one in source.conversations(split)]
    return [one.prompt[0]["content"].split()[0] for one in source.comparisons(split, None, None)[0]]


@pytest.mark.parametrize(
    "opened, row", [(open_corpus, text), (open_conversations, talk), (open_preferences, pair)]
)
@pytest.mark.parametrize("files", [1, 4])
def test_every_kind_of_source_holds_out_all_topics(tmp_path, opened, row, files):
    """Four topics, one after another, in one file or in a file each."""
    topics = ["Boats", "Cooking", "Weather", "Zebras"]
    for topic in topics:
        name = f"{topic}.jsonl" if files > 1 else "all.jsonl"
        with open(tmp_path / name, "a", encoding="utf-8") as file:
            file.writelines(json.dumps(row(topic, n)) + "\n" for n in range(100))
    source = opened(tmp_path)
    validation, train = (first_words(source, split) for split in ("validation", "train"))
    share = round(len(validation) / 4)
    assert all(abs(validation.count(topic) - share) <= 1 for topic in topics) and share >= 5
    assert all(train.count(topic) + validation.count(topic) == 100 for topic in topics)
    assert opened(tmp_path).settings() == source.settings()


@pytest.mark.parametrize("opened, row", [(open_conversations, talk), (open_preferences, pair)])
def test_a_sorted_length_is_held_out_fairly(tmp_path, opened, row):
    rows = [row("word " * n, n) for n in range(1, 201)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows), encoding="utf-8")
    source = opened(tmp_path / "a.jsonl")
    lengths = [len(repr(one)) for one in source.split("validation")]
    everything = [len(repr(one)) for one in source.rows]
    assert abs(np.mean(lengths) - np.mean(everything)) < 0.1 * np.mean(everything)


@pytest.mark.parametrize(
    "opened, row", [(open_corpus, text), (open_conversations, talk), (open_preferences, pair)]
)
def test_a_copy_of_what_is_trained_on_is_not_held_out(tmp_path, opened, row):
    rows = [row("Boats", n % 25) for n in range(100)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows), encoding="utf-8")
    source = opened(tmp_path / "a.jsonl")
    if isinstance(source, FileCorpus):
        train, validation = (set(source.documents(split)) for split in ("train", "validation"))
    else:
        train, validation = ({repr(one) for one in source.split(split)} for split in ("train", "validation"))
    assert train and validation and not train & validation


def test_comparisons_of_one_prompt_are_in_one_split(tmp_path):
    rows = [{"prompt": f"Q{n // 4}", "chosen": f"right {n}", "rejected": "wrong"} for n in range(200)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows), encoding="utf-8")
    source = open_preferences(tmp_path / "a.jsonl")
    asked = [{one.prompt[0]["content"] for one in source.split(split)} for split in ("train", "validation")]
    assert len(asked[1]) == 5 and not asked[0] & asked[1]


def test_a_long_text_is_held_out_from_all_over(tmp_path):
    """A text whose lines are sorted: some of each letter, whole lines, and the rest in few pieces."""
    lines = [f"{letter} is the letter of line {n:05d}\n" for letter in "abcdefghij" for n in range(1000)]
    (tmp_path / "a.txt").write_text("".join(lines), encoding="utf-8")
    corpus = open_corpus(tmp_path / "a.txt")
    train, validation = (list(corpus.documents(split)) for split in ("train", "validation"))
    assert sorted("".join(train + validation).splitlines(True)) == sorted(lines)
    held = "".join(validation).splitlines()
    assert 0.04 < len(held) / len(lines) < 0.06
    assert len({line[0] for line in held}) >= 7 and len(train) <= 11


def test_the_folder_where_one_is_has_a_name():
    assert FileConversations(".").name == "."
