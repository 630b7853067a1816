"""The small dirty web: every page is what the truth says about it."""

from __future__ import annotations

import re
from collections import Counter
from urllib.parse import urlsplit

import pytest

from minillm.data import village
from minillm.data.web import BAD_HOSTS, BAD_WORDS, PAGE_KINDS, PROSE, Exam, dirty_web
from minillm.data.world import World

WEB = dirty_web(600, seed=3)


def of_kind(kind):
    return [page for page in WEB if page.kind == kind]


def test_the_shares_of_the_kinds_are_those_that_are_told():
    counts = Counter(page.kind for page in WEB)
    assert counts == {kind: 6 * part for kind, part in PAGE_KINDS.items()}
    assert len({page.url for page in WEB}) == len(WEB)


def test_a_web_is_the_same_each_time_and_another_for_another_seed():
    assert dirty_web(600, seed=3) == WEB
    assert {page.text for page in dirty_web(600, seed=4)}.isdisjoint(page.text for page in of_kind("article"))


def test_a_web_that_is_too_small_is_refused():
    with pytest.raises(ValueError, match="n=49: a web has at least 50 pages"):
        dirty_web(49)
    assert len(dirty_web(51)) == 51


def test_articles_are_documents_of_the_world_and_nothing_more():
    world = World(PROSE)
    articles = of_kind("article")
    assert [page.article for page in articles] == list(range(len(articles)))
    for page in articles:
        text, told = world.document(1_003, page.article).text, page.text
        if page.personal:
            told, _, last = told.rpartition("\n")
            assert last == f"Write to {page.personal[0]} or call {page.personal[1]}."
        assert told == text


def test_copies_are_close_to_their_article_and_not_all_the_same():
    world = World(PROSE)
    same = 0
    for page in of_kind("copy"):
        text = world.document(1_003, page.article).text
        own = page.text.rpartition("\n")[0] if page.personal else page.text
        same += own == text
        ours, theirs = Counter(own.split()), Counter(text.split())
        assert sum((ours & theirs).values()) >= 0.6 * sum(theirs.values())
    assert 0.1 < same / len(of_kind("copy")) < 0.6


def test_some_articles_are_copied_often():
    assert max(Counter(page.article for page in of_kind("copy")).values()) >= 3


def test_personal_data_is_invented_and_stands_in_the_page():
    pages = [page for page in WEB if page.personal]
    assert 20 < len(pages) < 100 and {page.kind for page in pages} == {"article", "copy"}
    for page in pages:
        assert all(said in page.html for said in page.personal)
        assert page.personal[0].endswith("@mail.example.org")


def test_all_addresses_are_names_reserved_for_examples():
    for page in WEB:
        host = urlsplit(page.url).netloc
        assert re.search(r"\bexample\.(com|org|net)$", host)
        if host in BAD_HOSTS:
            assert page.kind == "spam"
    assert any(word in page.url for page in of_kind("article") for word in BAD_WORDS), "a trap"


def test_each_page_has_its_text_inside_the_furniture_of_a_site():
    for page in WEB:
        assert page.html.count("<nav>") == 1 and "All rights reserved" in page.html
        assert bool(page.text) == (page.kind != "links")
        for word in page.text.split()[:5]:
            assert word.replace("&", "&amp;").replace(">", "&gt;") in page.html


def test_other_kinds_are_what_they_are_called():
    for page in of_kind("gibberish"):
        assert re.fullmatch(r"[a-z ]+\.", page.text)
    for page in of_kind("list"):
        assert all(line.startswith("2031-04-") and " GET /" in line for line in page.text.split("\n"))
    words = {word for number in range(204) for word in World(PROSE).document(1_003, number).text.split()}
    for page in of_kind("salad"):
        assert set(page.text.split()) <= words
    languages = Counter(bool(re.search("[\u4e00-\u9fff]", page.text)) for page in of_kind("foreign"))
    assert languages[True] and languages[False]


def test_only_the_leaked_half_of_the_test_stands_in_the_web():
    exam = Exam(3)
    text = "\n".join(page.text for page in WEB)
    assert len(exam.questions) == 40
    assert sum(question.told in text for question in exam.leaked) >= 15
    assert not any(question.prompt in text for question in exam.secret)
    for page in of_kind("exam"):
        assert sum(question.told in page.text for question in exam.leaked) == 2


def test_the_questions_cannot_be_answered_without_the_leak():
    for question in Exam(3).questions:
        assert len(set(question.options)) == 8
        assert all(option[4:-1] in village.THINGS for option in question.options)
        name = question.prompt.split()[3]
        assert name not in {str(person) for person in village.PEOPLE}
    rights = Counter(question.right for seed in range(10) for question in Exam(seed).questions)
    assert len(rights) == 8 and max(rights.values()) < 100, "no place of the right option is the usual one"
