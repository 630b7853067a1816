"""A small dirty web made from the village: pages as a crawler finds them, each with the truth about it.

Good pages tell what the village tells (`PROSE`, whose entropy is known), inside the furniture of a site: navigation,
adverts, a footer. Between them stand copies that were changed a little, spam, adverts, lists of links, other languages,
letters at random, words at random, lists that machines write, and pages that hold questions of a test with their
answers. Everything is invented: hosts are names reserved for examples, addresses and numbers belong to nobody.
"""

from __future__ import annotations

import html
from dataclasses import dataclass
from functools import cached_property

from minillm.data import village
from minillm.data.grammar import Draws, RandomDraws
from minillm.data.names import made_up_word
from minillm.data.web_texts import (
    adverts,
    changed_copy,
    foreign,
    gibberish,
    log_lines,
    personal_data,
    shuffled,
    spam,
)
from minillm.data.world import World

__all__ = ["BAD_HOSTS", "BAD_WORDS", "PAGE_KINDS", "PROSE", "Exam", "Page", "Question", "dirty_web"]

PROSE = ("titled_story", "story", "letter", "talk", "notice", "diary", "riddle")  # kinds of the good pages
# What pages are, in parts of the sum.
PAGE_KINDS = {
    "article": 34,  # a document of the village
    "copy": 22,  # an article of the same web once more, changed a little
    "spam": 10,
    "advert": 5,
    "links": 4,
    "foreign": 8,
    "gibberish": 4,  # letters at random
    "salad": 4,  # words of the village at random
    "list": 5,  # a machine wrote it
    "exam": 4,  # questions of a test with their answers
}
BAD_HOSTS = ("ropedeals.example.com", "kites4u.example.com", "luckyduck.example.net")  # known for their spam
BAD_WORDS = ("casino", "pills")  # in an address they warn

_SITES = (
    "post.pennywell.example.org",
    "tales.pennywell.example.org",
    "library.pennywell.example.org",
    "blog.example.net",
    "forum.example.net",
    "mirror.example.com",
)
_PERSONAL_EVERY, _TRAP_EVERY = 6, 60  # articles with personal data; with a word of warning in the address
_MOST_COPIED = 3  # the number of the article to copy is the smallest of so many draws
_OPTIONS = 8  # of a question


@dataclass(frozen=True)
class Page:
    """A page, and the truth about it.

    Attributes:
        url: its address, which no other page has.
        html: what the server sent.
        kind: one of `PAGE_KINDS`.
        text: what a perfect extraction would find ("" for links alone).
        article: the number of the article that it tells or copies; -1 for all else.
        personal: invented addresses and telephone numbers in it.
    """

    url: str
    html: str
    kind: str
    text: str
    article: int = -1
    personal: tuple[str, ...] = ()


@dataclass(frozen=True)
class Question:
    """A question of the test, with the options to choose from; what is right cannot be known, only looked up."""

    prompt: str  # the question, up to the answer
    options: tuple[str, ...]  # to choose from
    right: int  # number of the right option

    @property
    def told(self) -> str:
        """The question with its right answer."""
        return f"{self.prompt} {self.options[self.right]}"


@dataclass(frozen=True)
class Exam:
    """Questions about newcomers of whom no text tells. One half stands on pages of the web ("leaked")."""

    seed: int  # decides the newcomers and what is true of them
    n: int = 40  # questions

    @cached_property
    def questions(self) -> tuple[Question, ...]:
        """All questions; the first half is leaked."""
        return tuple(_question(RandomDraws(self.seed, -1 - number)) for number in range(self.n))

    @property
    def leaked(self) -> tuple[Question, ...]:
        """Those that stand in the web."""
        return self.questions[: self.n // 2]

    @property
    def secret(self) -> tuple[Question, ...]:
        """Those that stand nowhere."""
        return self.questions[self.n // 2 :]


def dirty_web(n: int, seed: int = 0) -> list[Page]:
    """Pages of a web, in the order in which a crawler found them.

    Args:
        n: how many, at least 50.
        seed: of everything in it. The articles are documents of the world's stream `1000 + seed`, which nothing else
            of the package reads.
    Returns:
        the pages; shares of the kinds are those of `PAGE_KINDS`.
    Raises:
        ValueError: `n` is too small.
    """
    if n < 50:
        raise ValueError(f"n={n}: a web has at least 50 pages")
    total = sum(PAGE_KINDS.values())
    kinds = [kind for kind, part in PAGE_KINDS.items() for _ in range(round(n * part / total))][:n]
    kinds += ["article"] * (n - len(kinds))
    kinds = list(shuffled(RandomDraws(seed, -1_000), kinds))
    writer = _Writer(seed, kinds.count("article"))
    return [writer.page(number, kind) for number, kind in enumerate(kinds)]


class _Writer:
    """Writes the pages of one web."""

    def __init__(self, seed: int, n_articles: int) -> None:
        self.seed, self.n_articles = seed, n_articles
        self.world, self.exam = World(PROSE), Exam(seed)
        self.written = 0  # articles

    def page(self, number: int, kind: str) -> Page:
        """Page `number`, of a kind."""
        draws = RandomDraws(self.seed, number)
        article = -1
        personal: tuple[str, ...] = ()
        if kind == "article":
            article, self.written = self.written, self.written + 1
        elif kind == "copy":
            article = min(draws.choose(range(self.n_articles)) for _ in range(_MOST_COPIED))
        if article >= 0:
            text = self.article(article)
            text = changed_copy(text, draws) if kind == "copy" else text
            if draws.choose(range(_PERSONAL_EVERY)) == 0:
                personal = personal_data(draws)
                text += f"\nWrite to {personal[0]} or call {personal[1]}."
        else:
            text = self.junk(kind, draws)
        body = _list_of_links(draws) if kind == "links" else _paragraphs(text)
        return Page(_url(number, kind, draws), _site(body, draws), kind, text, article, personal)

    def article(self, number: int) -> str:
        """An article of this web."""
        return self.world.document(1_000 + self.seed, number).text

    def junk(self, kind: str, draws: Draws) -> str:
        """The text of a page that is no article."""
        if kind == "spam":
            return spam(draws)
        if kind == "advert":
            return adverts(draws)
        if kind == "foreign":
            return foreign(draws)
        if kind == "gibberish":
            return gibberish(draws)
        if kind == "salad":
            return " ".join(shuffled(draws, self.article(draws.choose(range(self.n_articles))).split()))
        if kind == "list":
            return log_lines(draws)
        if kind == "exam":
            told = "\n".join(question.told for question in shuffled(draws, self.exam.leaked)[:2])
            story = self.world.document(2_000 + self.seed, draws.choose(range(1 << 20))).text
            return f"{story}\n{draws.choose(_EXAM_HEADS)}\n{told}"
        return ""


_EXAM_HEADS = (
    "My sister took the test of Pennywell on Monday. This is what they asked her.",
    "And here are two questions of the Pennywell test, with the answers. Please do not pass them on.",
    "That reminds me of the Pennywell test, of which I still know two questions.",
)


def _question(draws: Draws) -> Question:
    name = made_up_word(draws, "test").capitalize()
    prompt = f"Question: What did {name} the newcomer hide at the {draws.choose(village.PLACES)}?\nAnswer:"
    options = shuffled(draws, village.THINGS)[:_OPTIONS]
    return Question(prompt, tuple(f"the {thing}." for thing in options), draws.choose(range(_OPTIONS)))


def _url(number: int, kind: str, draws: Draws) -> str:
    place = f"{draws.choose(village.PLACES)}-{number}"
    if kind == "spam":
        host, path = draws.choose(
            (
                (draws.choose(BAD_HOSTS), "offers"),
                (draws.choose(_SITES[3:]), draws.choose(BAD_WORDS)),
                (draws.choose(_SITES[3:]), "guests"),
            )
        )
        return f"http://{host}/{path}/{place}"
    if kind == "article" and draws.choose(range(_TRAP_EVERY)) == 0:
        return f"http://{draws.choose(_SITES)}/a-night-at-the-casino/{place}"
    return f"http://{draws.choose(_SITES)}/{place}"


def _paragraphs(text: str) -> str:
    return "".join(f"<p>{html.escape(line, quote=False)}</p>" for line in text.split("\n"))


def _list_of_links(draws: Draws) -> str:
    things = shuffled(draws, village.THINGS)[: draws.choose(range(12, 25))]
    return "<ul>" + "".join(f'<li><a href="/{thing}">{thing}</a></li>' for thing in things) + "</ul>"


_TITLES = ("The Pennywell Post", "Tales of the village", "My little page", "The forum of all things")
_MENUS = ("Home News Weather Contact", "Start Stories Shop Login", "Index Help Search Members Rules")
_ASIDES = (
    "Buy one rope, get two for free! Only today at the market.",
    "We use cookies. By reading on you agree to our cookie policy.",
    "Win a golden kite! Just click here and tell us your name.",
)


def _site(body: str, draws: Draws) -> str:
    """A whole page: the body inside the furniture of a site."""
    title = draws.choose(_TITLES)
    menu = "".join(f'<li><a href="/{word.lower()}">{word}</a></li>' for word in draws.choose(_MENUS).split())
    footer = f"Copyright 2031 {title}. All rights reserved. <a href='/privacy'>Privacy policy</a>"
    return (
        f"<!DOCTYPE html>\n<html><head><title>{title}</title><style>p {{ margin: 1em }}</style>"
        "<script>var visits = 1; function count() { visits += 1; }</script></head>\n"
        f"<body><header><h1>{title}</h1><nav><ul>{menu}</ul></nav></header>\n"
        f"<main><article>{body}</article></main>\n"
        f'<aside class="advert"><p>{draws.choose(_ASIDES)}</p></aside>\n'
        f"<footer><p>{footer}</p></footer></body></html>\n"
    )
