"""Datasets of the Hub without the Hub: a stand-in for `datasets`, and `datasets` itself with a folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from minillm.data.conversations import (
    FileConversations,
    HubConversations,
    HubDomain,
    open_conversations,
    open_domain,
)
from minillm.data.corpora import HubCorpus, open_corpus
from minillm.data.hub import is_hub_name
from minillm.data.preferences import FilePreferences, HubPreferences, open_preferences


def talk(number) -> dict:
    return {"conversations": [{"from": "human", "value": f"Q{number}"}, {"from": "gpt", "value": "A"}]}


def pair(number) -> dict:
    return {"prompt": f"Q{number}", "chosen": "yes", "rejected": "no"}


@pytest.fixture
def hub(monkeypatch):
    """Put a stand-in in the place of `datasets`; what it was asked for."""
    asked = []

    def put(rows):
        def load_dataset(name, config, split, streaming, revision):
            asked.append((name, config, split, streaming, revision))
            if isinstance(rows, Exception):
                raise rows
            return iter(rows)

        monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
        return asked

    return put


def test_names_of_the_hub_and_names_of_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine" / "talks").mkdir(parents=True)
    assert [
        name for name in ("a/b", "a-b/c.d", "mine/talks", "a/b.jsonl", "a", "a/b/c", "") if is_hub_name(name)
    ] == [
        "a/b",
        "a-b/c.d",
    ]
    assert open_conversations("owner/talks") == HubConversations("owner/talks")
    assert open_preferences("owner/pairs") == HubPreferences("owner/pairs")
    (tmp_path / "mine" / "talks" / "a.jsonl").write_text("", encoding="utf-8")
    assert isinstance(open_conversations("mine/talks"), FileConversations)
    assert isinstance(open_preferences("mine/talks"), FilePreferences)


def test_conversations_are_the_first_rows_and_those_for_validation_lie_among_them(hub):
    calls = hub(map(talk, range(10**9)))
    source = HubConversations(
        "owner/talks", n_train=5, n_validation=2, config="en", dataset_split="train_sft"
    )
    train, validation = (list(source.conversations(split)) for split in ("train", "validation"))
    asked = [[int(messages[0]["content"][1:]) for messages in part] for part in (train, validation)]
    assert sorted(asked[0] + asked[1]) == list(range(7)) and len(asked[0]) == 5
    assert asked[0] == sorted(asked[0]) and asked[1][0] < 3 <= asked[1][1]
    assert source.prompt(5) == train[0][:1] and source.prompt(1) == train[1][:1]
    assert calls == [("owner/talks", "en", "train_sft", True, None)], "read once"
    assert source.description == "at most 7 conversations of owner/talks on the Hugging Face Hub"


@pytest.mark.parametrize("rows, held_out", [(2, 1), (30, 3), (5000, 400), (20_399, 400)])
def test_a_small_dataset_keeps_most_of_its_rows_for_training(hub, rows, held_out):
    hub(map(talk, range(rows)))
    source = HubConversations("owner/talks")
    assert (len(source.split("train")), len(source.split("validation"))) == (rows - held_out, held_out)


def test_preferences(hub):
    hub([*map(pair, range(10)), {"prompt": "Q", "chosen": "same", "rejected": "same"}])
    source = HubPreferences("owner/pairs", n_validation=3)
    source.check()
    train, counts = source.comparisons("train", None, None)
    assert len(train) == 9 and counts == {"pairs": 10, "truncated": 0, "identical": 1}
    assert source.description == "at most 4,003 comparisons of owner/pairs on the Hugging Face Hub"


@pytest.mark.parametrize("kind, row", [(HubConversations, talk), (HubPreferences, pair)])
def test_a_bad_row_is_named_with_its_dataset_and_number(hub, kind, row):
    hub([row(0), row(1), {"text": "Hello"}, row(2)])
    with pytest.raises(
        ValueError, match="owner/rows, row 3: there (are no messages|is no key 'chosen')"
    ) as caught:
        kind("owner/rows").check()
    assert f"--set {kind.setting}.skip_bad=true" in str(caught.value) and "\n" not in str(caught.value)


def test_bad_rows_are_skipped_on_request(hub, caplog):
    hub([talk(0), {"text": "Hello"}, talk(1), {"messages": []}, talk(2)])
    with caplog.at_level("WARNING", "minillm"):
        assert len(HubConversations("owner/talks", skip_bad=True).rows) == 3
    assert (
        "2 of 5 rows are left out, which cannot be used; the first: conversations owner/talks, row 2"
        in caplog.text
    )


@pytest.mark.parametrize(
    "kind, offline",
    [
        (HubConversations, "the built-in conversations need no network: --sft tasks"),
        (HubPreferences, "the built-in preferences need no network: --preferences judge"),
    ],
)
def test_no_network_and_no_package(hub, monkeypatch, kind, offline):
    hub(ConnectionError("no route to host\nlong trace"))
    with pytest.raises(ValueError) as caught:
        kind("owner/rows").check()
    assert (
        "owner/rows could not be read from the Hugging Face Hub (ConnectionError: no route to host)"
        in str(caught.value)
    )
    assert str(caught.value).endswith(offline) and "\n" not in str(caught.value)
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(
        ValueError, match=r"needs the package `datasets`: python -m pip install datasets; the b"
    ):
        kind("owner/rows").check()


@pytest.mark.parametrize("kind", [HubCorpus, HubConversations, HubPreferences, HubDomain])
def test_a_card_needs_no_network(hub, kind):
    """It is written after the training, which would be lost."""
    hub(ConnectionError("no network"))
    assert "owner/rows" in kind("owner/rows").description


def test_too_few_rows(hub):
    hub([talk(0)])
    with pytest.raises(
        ValueError, match="conversations owner/talks: there are 1 rows; at least 2 are needed"
    ):
        HubConversations("owner/talks").check()
    hub([{"text": "a"}, {"text": "b"}])
    with pytest.raises(
        ValueError, match=r"has 2 documents, and the first 1,000 are for validation; .*n_validation=N"
    ):
        list(HubCorpus("owner/tales").documents("train"))


def test_a_column_of_another_type(hub):
    hub([{"text": ["a"]}])
    with pytest.raises(
        ValueError, match="corpus owner/tales, row 1: 'text' is a list, not text; name another column"
    ):
        list(HubCorpus("owner/tales").documents("train"))


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"n_train": 0}, "n_train is 0; use a whole number of at least 1"),
        ({"n_validation": True}, "n_validation is True"),
        ({"skip_bad": "no"}, "skip_bad is 'no'; use True or False"),
    ],
)
def test_wrong_settings_are_refused(changes, message):
    with pytest.raises((TypeError, ValueError), match=message):
        HubConversations("owner/talks", **changes)


@pytest.mark.parametrize(
    "name",
    [
        "data/none.csv",
        "data/none.jsonl",
        "data/none.xyz",
        "data/none.jsonl.gz",
        "data/none.JSON",
        "data/none.parquet",
        "data/none.7z",
        "./none",
        "../none",
        "/data/none",
        "~/none",
        "~me/none",
        "data\\none",
        "data\\none/all",
        "C:/none",
        "data/none/all",
        "data/",
        "/none",
        "data/no ne",
    ],
)
def test_what_looks_like_a_path_is_not_looked_up(name, hub):
    hub(AssertionError("looked up"))
    assert not is_hub_name(name)
    for opened in (open_corpus, open_conversations, open_preferences, open_domain):
        with pytest.raises(ValueError, match="is not there|no .jsonl file is there"):
            opened(name)


@pytest.mark.parametrize(
    "name",
    ["teknium/OpenHermes-2.5", "owner/tales-v1.1", "owner/tales.v2", "owner/tales-1.5b", "a_b/c-d.e", "1/2"],
)
def test_versions_in_a_name_are_no_suffix(name):
    assert is_hub_name(name)


@pytest.mark.parametrize("kind", [HubCorpus, HubConversations, HubPreferences, HubDomain])
@pytest.mark.parametrize(
    "name, value", [("revision", float("inf")), ("revision", 5), ("config", 2024), ("revision", "")]
)
def test_a_number_where_a_text_belongs_is_refused(kind, name, value):
    """What `--set` reads stays text; in Python a number may stand there."""
    with pytest.raises((TypeError, ValueError), match=f"{name} is .*; use a text that is not empty, or None"):
        kind("owner/name", **{name: value})


class NoNetwork:
    """In the place of `huggingface_hub.HfApi`; how often it was asked."""

    asked = 0
    error: Exception = OSError("no route to host")

    def __init__(self, endpoint):
        assert endpoint == "https://hub.example"

    def dataset_info(self, name, revision, timeout):
        assert timeout <= 10
        type(self).asked += 1
        raise self.error


@pytest.mark.parametrize("error, times", [(OSError("no route to host"), 2), (None, 1)])
def test_without_a_network_the_hub_is_given_up_soon(monkeypatch, error, times):
    huggingface_hub = pytest.importorskip("huggingface_hub")
    from huggingface_hub.errors import OfflineModeIsEnabled

    def load_dataset(*_, **__):
        raise AssertionError("it would try for half a minute")

    config = SimpleNamespace(HF_ENDPOINT="https://hub.example")
    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset, config=config))
    monkeypatch.setattr(huggingface_hub, "HfApi", NoNetwork)
    monkeypatch.setattr(NoNetwork, "asked", 0)
    monkeypatch.setattr(NoNetwork, "error", error or OfflineModeIsEnabled("offline mode is enabled"))
    for source in (HubConversations("owner/name"), HubCorpus("owner/name")):
        NoNetwork.asked = 0
        with pytest.raises(
            ValueError, match="no file or folder here is called so.*and the network; the built-in"
        ):
            source.check()
        assert NoNetwork.asked == times


def test_the_hubs_own_answer_is_left_to_datasets(monkeypatch):
    """A mirror may lack the page that is asked for first."""
    huggingface_hub = pytest.importorskip("huggingface_hub")
    from huggingface_hub.errors import HfHubHTTPError

    class Answered(HfHubHTTPError):
        def __init__(self):
            Exception.__init__(self, "503")

    config = SimpleNamespace(HF_ENDPOINT="https://hub.example")
    loaded = SimpleNamespace(load_dataset=lambda *_, **__: iter([talk(1), talk(2)]), config=config)
    monkeypatch.setitem(sys.modules, "datasets", loaded)
    monkeypatch.setattr(huggingface_hub, "HfApi", NoNetwork)
    monkeypatch.setattr(NoNetwork, "error", Answered())
    assert len(HubConversations("owner/name").rows) == 2


def test_rows_of_a_corpus_that_cannot_be_used(hub, caplog):
    rows = [{"text": "one"}, {"text": 5}, {"text": "\ud800"}, {"story": "x"}, {"text": None}, {"text": "two"}]
    hub([{"text": "zero"}, *rows])
    source = HubCorpus("owner/tales", n_validation=1, n_documents=2)
    source.check()
    with pytest.raises(ValueError, match="row 3: 'text' is a int, not text"):
        list(source.documents("train"))
    hub([{"text": "\ud800"}])
    with pytest.raises(ValueError, match="row 1: 'text' cannot be encoded: .*--set corpus.skip_bad=true"):
        HubCorpus("owner/tales").check()
    hub([])
    with pytest.raises(ValueError, match="owner/tales holds no text"):
        HubCorpus("owner/tales").check()
    hub([{"text": "zero"}, *rows])
    skipping = HubCorpus("owner/tales", n_validation=1, n_documents=2, skip_bad=True)
    with caplog.at_level("WARNING", "minillm"):
        assert list(skipping.documents("train")) == ["one", "two"]
    assert "corpus owner/tales: 3 of 6 rows are left out" in caplog.text
    assert skipping.settings() != source.settings()


def test_what_a_corpus_is_validated_on_is_not_trained_on(hub):
    """Where a dataset repeats rows."""
    hub([{"text": text} for text in "ABA"])
    source = HubCorpus("owner/tales", n_documents=2, n_validation=1)
    assert [list(source.documents(split)) for split in ("validation", "train")] == [["A"], ["B"]]


def test_a_corpus_may_be_of_another_split(hub):
    calls = hub([{"text": "one"}, {"text": "two"}])
    source = HubCorpus("owner/tales", n_documents=1, n_validation=1, dataset_split="test")
    assert list(source.documents("train")) == ["two"] and calls[0][2] == "test"
    assert source.settings() != HubCorpus("owner/tales", n_documents=1, n_validation=1).settings()


def test_settings_decide_the_rows():
    changes = [
        {},
        {"n_train": 9},
        {"n_validation": 9},
        {"config": "x"},
        {"revision": "x"},
        {"dataset_split": "x"},
    ]
    settings = [json.dumps(HubConversations("owner/talks", **one).settings()) for one in changes]
    assert len(set(settings)) == len(settings)
    assert HubCorpus("owner/tales").settings() == {
        "hub": "owner/tales",
        "config": None,
        "revision": None,
        "documents": 100_000,
        "validation": 1_000,
        "key": "text",
        "apart": True,
    }, "stored artifacts are found by this"


def test_datasets_itself_reads_a_folder(tmp_path, monkeypatch):
    """A folder in the place of a name: what `datasets` gives has the shape that we read."""
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    for name, rows in (("talks", map(talk, range(20))), ("pairs", map(pair, range(20)))):
        (tmp_path / name).mkdir()
        datasets.Dataset.from_list(list(rows)).to_parquet(tmp_path / name / "train.parquet")
    talks = HubConversations(str(tmp_path / "talks"), n_train=6, n_validation=2)
    both = talks.split("train") + talks.split("validation")
    assert {messages[0]["content"] for messages in both} == {f"Q{n}" for n in range(8)}
    pairs = HubPreferences(str(tmp_path / "pairs"))
    assert len(pairs.split("train")) == 18 and pairs.split("train")[0].answers == ("yes", "no")


FEW_ROWS = """
import sys
from minillm.data.hub import stream_rows

rows = stream_rows(sys.argv[1], "texts", "")
assert next(rows)["text"] == "hat 0"
rows.close()
"""


def test_a_program_that_reads_a_few_rows_ends_well(tmp_path):
    """Arrow reads ahead; with threads of its own still at work the program would be aborted, its work done."""
    pytest.importorskip("datasets")
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    table = pyarrow.table({"text": [f"hat {number}" for number in range(400_000)]})
    parquet.write_table(table, tmp_path / "train.parquet", row_group_size=1000)
    environment = os.environ | {"HF_DATASETS_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", FEW_ROWS, str(tmp_path)],
        env=environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-800:]


def test_a_domains_mistakes_name_the_domains_settings(hub):
    hub([talk(1), {"conversations": []}])
    with pytest.raises(ValueError, match="row 2: .*--set domain.skip_bad=true"):
        open_domain("owner/talks").check()
    hub(ConnectionError("no network"))
    with pytest.raises(ValueError, match="the built-in help desk needs no network: --domain 'help desk'"):
        open_domain("owner/talks").check()
