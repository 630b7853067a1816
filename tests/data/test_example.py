"""The example of one's own data: it is readable, always the same, and overwrites nothing."""

from __future__ import annotations

import pytest

from minillm.data.conversations import open_conversations, open_domain
from minillm.data.corpora import open_corpus
from minillm.data.example import example_files, write_example
from minillm.data.preferences import open_preferences


def test_the_files_are_always_the_same():
    assert example_files() == example_files(0) != example_files(1)
    assert not any("{" in text for name, text in example_files().items() if name.endswith(".txt"))
    assert not any(" a orange" in text for text in example_files().values())


def test_what_is_written_is_read_without_a_mistake(tmp_path):
    written = write_example(tmp_path / "new" / "harbour")
    corpus, conversations, preferences, radio = written
    assert written[corpus].startswith("40 texts, 3,")
    for source in (open_corpus(corpus), open_conversations(conversations), open_preferences(preferences)):
        source.check()
    assert len(open_conversations(conversations).rows) == 164
    assert len(open_domain(radio).rows) == 40
    train, counts = open_preferences(preferences).comparisons("train", None, None)
    assert len(train) == 90 and counts["identical"] == 0


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "empty").mkdir()
    write_example(tmp_path / "empty")
    for folder in (tmp_path / "empty", tmp_path / "empty" / "conversations.jsonl"):
        with pytest.raises(
            ValueError, match="is there already, and nothing is overwritten; name a folder that is"
        ):
            write_example(folder)
