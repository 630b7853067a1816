"""Cleaning on the engine: each step does what its rule says, by another calculation."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

import pytest
from datatrove.data import Document
from datatrove.pipeline.filters import GopherQualityFilter

from minillm.data import web_steps
from minillm.data.warc import write_warc
from minillm.data.web import BAD_HOSTS, BAD_WORDS, Exam, dirty_web
from minillm.data.web_steps import PACKAGES, STEPS, clean_web, is_english, pages_after, word_splitter
from minillm.data.web_truth import judge_copies, judge_step, still_told

WEB = dirty_web(300, seed=5)
TRUTH = {page.url: page for page in WEB}


@pytest.fixture(scope="module")
def left(tmp_path_factory):
    folder = tmp_path_factory.mktemp("web")
    write_warc(folder / "a.warc.gz", WEB)
    clean_web(folder / "a.warc.gz", folder / "out", Exam(5).questions)
    return {step: pages_after(folder / "out", step) for step in STEPS}


def test_each_step_leaves_a_part_of_what_was_there(left):
    before = set(TRUTH)
    for texts in left.values():
        assert set(texts) <= before
        before = set(texts)
    assert len(set(left["test questions"])) > 50


def test_the_list_of_addresses_removes_what_it_names_and_nothing_else(left):
    def named(url):
        words = re.split("[^a-z0-9]+", url)
        return url.split("/")[2] in BAD_HOSTS or bool(set(BAD_WORDS) & set(words))

    assert set(left["URL list"]) == {url for url in TRUTH if not named(url)}


def test_extraction_finds_the_text_without_the_furniture(left):
    assert left["extraction"] == {
        url: TRUTH[url].text for url in left["URL list"] if TRUTH[url].kind != "links"
    }


def test_no_other_language_is_left(left):
    kinds = {TRUTH[url].kind for url in left["language"]}
    assert "foreign" not in kinds and {"article", "copy", "exam", "salad"} <= kinds
    assert set(left["language"]) == {url for url, text in left["extraction"].items() if is_english(text)}


def test_quality_rules_take_what_is_no_prose(left):
    assert {TRUTH[url].kind for url in left["quality"]} <= {"article", "copy", "exam", "salad"}


def test_copies_are_those_that_an_exhaustive_comparison_finds(left):
    """All pairs by their true likeness: very alike ones are removed, unlike ones kept."""
    shingles = {}
    for url, text in left["quality"].items():
        words = re.sub(r"[^a-z ]", " ", re.sub(r"\d+", "0", text.lower()).replace("\n", " ")).split()
        shingles[url] = {tuple(words[i : i + 5]) for i in range(len(words) - 4)}
    urls = list(shingles)
    likeness = {
        (a, b): len(shingles[a] & shingles[b]) / len(shingles[a] | shingles[b])
        for i, a in enumerate(urls)
        for b in urls[:i]
    }
    stayed = set(left["copies"])
    assert not [pair for pair, j in likeness.items() if j > 0.95 and stayed.issuperset(pair)]
    for url in set(urls) - stayed:
        assert max(j for pair, j in likeness.items() if url in pair) > 0.3


def test_one_page_of_each_article_stays(left):
    before = {TRUTH[url].article for url in left["quality"]}
    assert {TRUTH[url].article for url in left["copies"]} == before


def test_addresses_of_people_are_replaced_and_their_numbers_are_not(left):
    before, after = (still_told(WEB, left[step]) for step in ("copies", "personal data"))
    assert before["addresses"][0] == before["addresses"][1] > 5
    assert after["addresses"] == (0, before["addresses"][1]) and after["numbers"] == before["numbers"]
    assert set(left["copies"]) == set(left["personal data"])


def test_pages_that_share_words_with_the_test_are_removed_and_no_others(left):
    gone = set(left["personal data"]) - set(left["test questions"])
    assert gone == {url for url in left["personal data"] if TRUTH[url].kind == "exam"} != set()


@pytest.mark.parametrize(
    "text, english",
    [
        ("She went to the mill and she lost her kite.", True),
        ("Die Müllerin sucht einen roten Drachen auf dem Markt.", False),
        ("xkcd qwrt plmk vbnm", False),
        ("", False),
        ("123 456", False),
    ],
)
def test_what_counts_as_english(text, english):
    assert is_english(text) == english


def test_the_splitter_covers_the_text():
    splitter = word_splitter()
    text = 'One came. "Two?" asked Pia.\nThree!'
    assert splitter.word_tokenize("a kite,  a\nmill") == ["a", "kite,", "a", "mill"]
    assert [text[a:b].strip() for a, b in splitter.span_tokenize(text)] == splitter.sent_tokenize(text)
    assert len(splitter.sent_tokenize("One came. Two went! Did three?")) == 3
    assert "".join(text[a:b] for a, b in splitter.span_tokenize(text)) == text


def test_the_rule_of_stop_words_is_that_of_the_paper():
    off = {
        name: None
        for name in GopherQualityFilter.__init__.__annotations__
        if name.startswith(("min_", "max_")) and name != "min_stop_words"
    }
    rule = GopherQualityFilter(**off, language=word_splitter())
    for page in WEB:
        if page.text:
            n = sum(word in page.text.split() for word in "the be to of and that have with".split())
            assert (rule.filter(Document(text=page.text, id="")) is True) == (n >= 2)


def test_judges_count_by_hand():
    pages = [page for page in WEB if page.kind in ("article", "spam", "links")][:40]
    spam = [page.url for page in pages if page.kind == "spam"]
    good = [page.url for page in pages if page.kind == "article"]
    before = {page.url for page in pages}
    one = judge_step(pages, before, before - {spam[0], good[0]}, ["spam"])
    assert one.precision == 0.5 and one.recall == 1 / len(spam) and one.left == len(pages) - 2
    nothing = judge_step(pages, before, before, ["foreign"])
    assert nothing.precision is None and nothing.recall is None


def test_the_judge_of_copies_wants_one_of_each():
    copy = next(page for page in WEB if page.kind == "copy")
    same = [page for page in WEB if page.article == copy.article]
    before = {page.url for page in same}
    assert judge_copies(same, before, {copy.url}).recall == 1.0
    none = judge_copies(same, before, set())
    assert none.recall == 1.0 and none.precision == (len(same) - 1) / len(same)


def test_the_list_of_packages_is_the_extra():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))
    extra = project["project"]["optional-dependencies"]["web"]
    assert [re.split("[>=<]", line)[0] for line in extra] == list(PACKAGES)


def test_a_missing_engine_is_told_in_one_line(monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "datatrove"]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ValueError, match="python -m pip install datatrove fasteners") as caught:
        web_steps.document_steps()
    assert "\n" not in str(caught.value)
