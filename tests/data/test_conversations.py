"""Sources of conversations: the built-in tasks, and files with one conversation a line."""

from __future__ import annotations

import json

import pytest

from minillm.data.conversations import FileConversations, TaskConversations, open_conversations, open_domain
from minillm.data.tasks import DOMAINS, Tasks, to_dataset
from minillm.presets import PRESETS

GOOD = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi 你好"}]


def write(path, *lines):
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return path


def row(messages=GOOD, **more):
    return json.dumps({"messages": messages, **more})


def test_built_in_conversations_are_the_tasks():
    source = TaskConversations(n_train=20, n_validation=5, families=("world",))
    train = list(source.conversations("train"))
    assert train == [task.conversation for task in Tasks("train", ["world"]).tasks(20)]
    assert len(list(source.conversations("validation"))) == 5
    asked = {messages[-2]["content"] for messages in train}
    assert not asked & {messages[-2]["content"] for messages in source.conversations("validation")}


def test_settings_tell_sources_apart():
    sources = [
        TaskConversations(20),
        TaskConversations(21),
        TaskConversations(20, families=("world",)),
        TaskConversations(20, steps=False),
        TaskConversations(20, seed=5),
    ]
    settings = [json.dumps(source.settings(), sort_keys=True) for source in sources]
    assert len(set(settings)) == len(sources)
    assert TaskConversations(20).settings() == TaskConversations(20).settings()


def test_some_of_a_files_rows_are_for_validation(tmp_path):
    path = write(
        tmp_path / "mine.jsonl", *(row([*GOOD, {"role": "user", "content": str(i)}]) for i in range(40)), ""
    )
    source = open_conversations(path)
    train, validation = (list(source.conversations(split)) for split in ("train", "validation"))
    assert [len(train), len(validation)] == [38, 2]
    held_out = [int(messages[-1]["content"]) for messages in validation]
    assert held_out[0] < 20 <= held_out[1]
    assert [int(messages[-1]["content"]) for messages in train] == [n for n in range(40) if n not in held_out]
    assert train[0][:2] == GOOD
    assert source.description == "local conversations: mine.jsonl (40 conversations)"


def test_folders_and_patterns(tmp_path):
    for name in ("b.jsonl", "a.jsonl", "c.txt"):
        write(tmp_path / name, row(name=name), row())
    for source in (tmp_path, tmp_path / "*.jsonl"):
        assert [path.name for path in open_conversations(source).paths] == ["a.jsonl", "b.jsonl"]
    assert isinstance(open_conversations("tasks"), TaskConversations)


def test_a_domain_is_built_in_or_further_conversations(tmp_path):
    assert open_domain("letters").families == tuple(DOMAINS["letters"])
    assert open_domain("help desk") == PRESETS["cpu"].domain
    path = write(tmp_path / "mine.jsonl", row(), row())
    assert open_domain(path) == open_conversations(path)
    with pytest.raises(ValueError, match="or one of the built-in domains, help desk and letters"):
        open_domain("nothing.jsonl")


def test_a_datasets_file_is_read_back(tmp_path):
    """What `datasets` writes as JSON lines is what we read."""
    pytest.importorskip("datasets")
    tasks = list(Tasks("train").tasks(12))
    to_dataset(tasks).to_json(tmp_path / "tasks.jsonl", force_ascii=False)
    source = open_conversations(tmp_path / "tasks.jsonl")
    assert source.rows == [task.conversation for task in tasks]


@pytest.mark.parametrize(
    "line, message",
    [
        ("{", "line 2 is not JSON"),
        ("[1]", "line 2 is a list; each line must be a JSON object such as"),
        ('{"text": "Hello"}', "line 2 has no key 'messages', 'conversations' or 'completion', only text"),
        (row([]), "line 2: .*no messages"),
        (row([{"role": "bot", "content": "x"}]), "line 2: .*'bot'.*use one of system, user, assistant"),
        (row([GOOD[0], GOOD[0]]), "line 2: .*expected"),
        (row([GOOD[0]]), "line 2: there is no message of the assistant"),
        (row([{"role": "user", "content": 3}, GOOD[1]]), "line 2: .*int"),
        (
            row([GOOD[0], {"role": "assistant", "content": " "}]),
            "line 2: a message of the assistant is empty",
        ),
        (row(None), "line 2: there are no messages, only messages; write a line"),
        ('{"messages": ' + "9" * 5000 + "}", "line 2 is not JSON .*digits"),
        ("[" * 100_000, "line 2 is not JSON .*recursion"),
    ],
)
def test_mistakes_in_a_file_are_named_with_their_line(tmp_path, line, message):
    path = write(tmp_path / "mine.jsonl", row(), line)
    with pytest.raises(ValueError, match=message) as caught:
        list(open_conversations(path).conversations("train"))
    assert "mine.jsonl" in str(caught.value) and "\n" not in str(caught.value)


def test_what_cannot_be_opened_is_told(tmp_path):
    with pytest.raises(
        ValueError, match="conversations 'nothing.jsonl': no .jsonl file is there; give a file"
    ):
        open_conversations("nothing.jsonl")
    with pytest.raises(ValueError, match="no .jsonl file is there"):
        open_conversations(write(tmp_path / "mine.csv", "a,b"))
    one = open_conversations(write(tmp_path / "one.jsonl", row()))
    with pytest.raises(ValueError, match="holds 1 conversations; give at least 2"):
        list(one.conversations("train"))


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"n_train": 0}, "n_train is 0; use a whole number of at least 1"),
        ({"n_validation": 1.5}, "n_validation is 1.5"),
        ({"families": ("poems",)}, "choose at least one of village"),
    ],
)
def test_wrong_settings_are_refused(changes, message):
    with pytest.raises((ValueError, TypeError), match=message):
        TaskConversations(**changes)


def test_families_may_be_a_list_as_json_gives_it():
    given, wanted = (TaskConversations(50, 5, kind(["greeting"])) for kind in (list, tuple))
    assert given == wanted
    assert given.settings() == wanted.settings()


def test_a_wrong_share_is_refused():
    with pytest.raises(ValueError, match="validation_share is 1.0; use a number above 0 and below 1"):
        FileConversations("x", (), validation_share=1.0)
