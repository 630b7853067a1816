"""What an answer says: its sentences, and which of them say a thing, deny it, repeat the request or wander off.

The judge's eyes: plain patterns over the words of the micro-world, without understanding.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache, cached_property, lru_cache
from itertools import pairwise

from minillm.data.phrases import ASIDES, KIND_ENDINGS, KIND_OFFERS, RUDE
from minillm.data.remarks import is_excerpt, is_known, proven, subjects
from minillm.data.task_types import Task

__all__ = [
    "FRIENDLY",
    "GLUE",
    "RUDENESS",
    "SENTENCE",
    "VERBS",
    "Reading",
    "denies",
    "naming_words",
    "said",
    "says",
    "spelled",
    "words_of",
]

_WORD = re.compile(r"[^\W_]+(?:['-][^\W_]+)*")
SENTENCE = re.compile(r"[^.!?]+[.!?]*")
_BETWEEN_CLAUSES = re.compile(r"[,;] (?:and|but|while) |; ")
_PRONOUNS = frozenset("he she it they his her its their".split())  # stand for what was asked about
_HEDGE = re.compile(r"\b(?:or|either)\b", re.IGNORECASE)
_TAKEN_BACK = re.compile(
    r"^(?:but )?(?:that|this|it|they|he|she|both|all of (?:that|it|them)) (?:is|are|was|were) (?:all |quite )?"
    r"(?:wrong|false|untrue|a lie|lies|mistaken|not (?:so|true|right|correct))\b",
    re.IGNORECASE,
)
FRIENDLY = re.compile(
    r"\b(welcome|pleasure|thank you|thanks|please|glad|happy to|nice to|lovely|how can i help|what can i do"
    r"|come back|sleep well|see you|hope|wish you|sorry|my friend|dear)\b"
)
RUDENESS = re.compile(
    r"\b(silly|stupid|shut up|go away|fool|idiot|bother me|leave me alone|hate you|do not care|nonsense"
    r"|you (are )?(a |an )?(terrible|awful|horrible|ugly|nasty|lazy|bad|boring))\b"
)
_HAIL = (
    r"hello|hi|good (?:day|morning|afternoon|evening)|welcome|(?:nice|lovely|good|glad) to (?:meet|see) you"
)
# Other ways to say what a key or a rival says. Everything else must stand there word for word.
_WAYS_TO_SAY = {
    "do not know": (
        r"(?<!you )(?<!they )(?<!people )do not know|not sure|never heard|not heard|never met|not met|know nobody"
        r"|know no one|know of no|nobody called|no one called|nobody of that name|there is no(?:body| one)?"
    ),
    "will not": (
        r"(?:will|would|can|could|shall|must|do) not(?! (?:wait|mind|stop|forget|tell any))|would rather|refuse"
        r"|^no\b(?!,? (?:problem|worries|doubt|trouble|matter))"
    ),
    "of course": r"of course(?! not)",
    "yes": r"yes|(?<!not )(?:mean|say) the same|(?:they|both) are the same",
    "no": r"no|not (?:mean |say )?the same|different|differ",
    "you are welcome": r"welcome|pleasure|glad to help|any time",
    "goodbye": r"goodbye|bye|good night|sleep well|see you|come back",
    "i am well": r"i am (?:very )?(?:well|fine|happy)",
    "hello": _HAIL,
}
_SPELLINGS = (
    (re.compile(r"\bcan(?:no|')t\b", re.IGNORECASE), "can not"),
    (re.compile(r"\bwon't\b", re.IGNORECASE), "will not"),
    (re.compile(r"n't\b", re.IGNORECASE), " not"),
    (re.compile(r"\bI'm\b", re.IGNORECASE), "I am"),
    (re.compile(r"\binside\b", re.IGNORECASE), "in"),
    (re.compile(r"\babove\b", re.IGNORECASE), "over"),
)
# Before a phrase that is denied, and after one.
_DENIED = re.compile(
    r"\b(?:not|never|neither|nor)(?: (?!but\b)[\w'-]+){0,3} $|\b(?:no|anything but|anybody but|without)(?: an?| the)? $"
    r"|\bno(?:body| one)(?: ever)? (?:saw|met|knew|had|found|has) (?:an? |the )?$"
    r"|\b(?:wrong|false|untrue|not true|a lie|a mistake) (?:to \w+ )?that [^.,;]*$",
    re.IGNORECASE,
)
_DENIED_AFTER = re.compile(
    r"^,? (?:is|was|are|were) (?:no |(?:not|never) (?:what|where|who|whom|the|it|so|true|right|correct|called)\b"
    r"|(?:wrong|false|untrue)\b)"
    r"|^, but (?:that|this|it) is (?:not (?:so|true|right)|wrong|false|untrue)\b",
    re.IGNORECASE,
)
VERBS = frozenset(
    """
    is are was were am be been has have had do does did can could will would shall may must likes like loves love
    enjoys enjoy says say eats eat ate sleeps lives live works comes come called mean means feels feel know think find
    saw took got gave found met went let said make makes leave leaves equal equals stay stays stayed need needs
    """.split()
)
# Words that sentences are built with; a heap of keywords has few of them.
GLUE = VERBS | frozenset(
    """
    a an the this that these it he she they i you we my his her its their not no yes and or but so of to in on at for
    with from by as than then if because who what where when which how us me him them back soon hidden plus minus
    there hello good day morning evening night goodbye sleep well welcome take takes away
    """.split()
)


class Reading:
    """An answer, taken apart once.

    Args:
        task: what was asked.
        answer: the text of the answer.
        asks_too: whether its questions count as said.
        excuses_wishes: whether a friendly wish ("Have a good day!") says no rival.
        about: whom and what the question names, by kind; None: it may be anybody and anything.

    Attributes:
        words: all of them, in lower case.
        sentences: the sentences with words in them.
        own: the sentences that say something: no kind ending, nor the request once more, nor usually a question.
        claims: those of them that are no friendly wishes.
        keys: those of the task that the own sentences say, and that not of somebody or something else.
        rivals: likewise; without those in a true remark about something else.
        candidates: all rivals that are said, wherever.
        hedges: whether it says a key as one of two things that may be so.
    """

    def __init__(
        self,
        task: Task,
        answer: str,
        *,
        asks_too: bool = False,
        excuses_wishes: bool = True,
        about: Mapping[str, frozenset[str]] | None = None,
    ) -> None:
        self.task, self.answer = task, answer.strip()
        self.words = words_of(answer)
        self.sentences: list[str] = [s.strip() for s in SENTENCE.findall(answer) if words_of(s)]
        self.asked: list[str] = [s.strip() for s in SENTENCE.findall(task.question) if words_of(s)]
        own = [s for s in self.sentences if self._says_something(s, asks_too)]
        taken_back = {s for s, after in pairwise([*own, ""]) if _TAKEN_BACK.search(after)}
        self.own = [s for s in own if s not in taken_back]
        self.claims = [s for s in self.own if not (excuses_wishes and self._is_wish(s))]
        self.candidates = said(task.rivals, self.claims)
        self.about, self.hedges = about or {}, False
        if not self.about:
            self.keys, self.rivals = said(task.keys, self.own), self.candidates
            return
        clauses = [clause for s in self.own for clause in _BETWEEN_CLAUSES.split(s)]
        answers = [clause for clause in clauses if not self._is_elsewhere(clause)]
        self.keys = said(task.keys, answers)
        self.hedges = any(_HEDGE.search(clause) and said(task.keys, [clause]) for clause in answers)
        claims = [clause for s in self.claims for clause in _BETWEEN_CLAUSES.split(s)]
        self.rivals = said(task.rivals, [c for c in claims if not self._is_true_aside(c)])

    def _is_elsewhere(self, clause: str) -> bool:
        """Whether a clause names others of the kind that was asked about, and nobody and nothing of what was."""
        words = naming_words(clause)
        named = subjects(words)
        if words[:1] and words[0] in _PRONOUNS:
            return False
        if any(named.get(kind, frozenset()) & names for kind, names in self.about.items()):
            return False
        keys = f" {' '.join(words_of(' '.join(self.task.keys)))} "
        return any(f" {name} " not in keys for kind in self.about for name in named.get(kind, ()))

    def _is_true_aside(self, clause: str) -> bool:
        """Whether a clause is about something else, and true: a fact, or what the user told."""
        if not self._is_elsewhere(clause):
            return False
        words = naming_words(clause)
        if any(is_excerpt(words, tuple(words_of(told))) for told in self.asked):
            return True
        return all(proven(words, rival) for rival in said(self.task.rivals, [clause]))

    def _is_wish(self, sentence: str) -> bool:
        rest = sentence.lower()
        for rival in self.task.rivals:  # such as "glad"
            rest = rest.replace(rival.lower(), "")
        return FRIENDLY.search(rest) is not None and not said(self.task.keys, [sentence])

    def _says_something(self, sentence: str, asks_too: bool) -> bool:
        if sentence in (*KIND_ENDINGS, *RUDE, *ASIDES) or self.repeats_request(sentence):
            return False
        return asks_too or not sentence.endswith("?")

    def repeats_request(self, sentence: str) -> bool:
        """Whether a sentence is the request once more, or begins as a question of the user does."""
        words = words_of(sentence)
        for asked in self.asked:
            begins_alike = words[:3] == words_of(asked.rpartition(":")[2])[:3]
            if asked.endswith("?") and len(words) > 2 and begins_alike:
                return True
        # "Hello!" may be greeted with "Hello!".
        return (
            self.asked != []
            and len(words) > 3
            and words == words_of(self.asked[-1])
            and sentence not in self.task.answer
        )

    def is_beside_the_matter(self, sentence: str) -> bool:
        """Whether a sentence has no word in common with the conversation and is not friendly either."""
        if sentence in KIND_ENDINGS or sentence in KIND_OFFERS:
            return False
        if sentence in (*ASIDES, *RUDE) or self.repeats_request(sentence):
            return True
        names = [name for named in self.about.values() for name in named]
        if self.about and is_known(naming_words(sentence), (*names, *self.task.keys)):
            return False
        content = set(words_of(sentence)) - GLUE
        return bool(content) and not content & self.matter and not FRIENDLY.search(sentence.lower())

    @cached_property
    def matter(self) -> set[str]:
        """The words of the conversation and of the reference answer."""
        texts = [*(content for _, content in self.task.messages), self.task.answer, *self.task.keys]
        return {word for text in texts for word in words_of(text)}


def naming_words(text: str) -> tuple[str, ...]:
    """The words of a text among which names are looked for, without the marks of whose something is.

    Where it is not written "May", "may" is no month.
    """
    return tuple(word.removesuffix("'s") for word in words_of(text) if word != "may" or "May" in text)


def words_of(text: str) -> list[str]:
    """The words of a text, in lower case."""
    return _WORD.findall(text.lower())


@lru_cache(4096)
def spelled(text: str) -> str:
    """The text with one spelling of what can be spelled in two ways."""
    for pattern, spelling in _SPELLINGS:
        text = pattern.sub(spelling, text)
    return text


def said(phrases: Sequence[str], sentences: Sequence[str]) -> list[str]:
    """Those of the phrases that one of the sentences says."""
    return [phrase for phrase in phrases if any(says(sentence, phrase) for sentence in sentences)]


def says(sentence: str, phrase: str) -> bool:
    """Whether a sentence says the phrase, in these words or in others that are known, and does not deny it."""
    ways = _WAYS_TO_SAY.get(phrase.lower())
    if ways:
        return re.search(rf"\b(?:{ways})\b", spelled(sentence), re.IGNORECASE) is not None
    return any(not denied for denied in _mentions(sentence, phrase))


def denies(sentence: str, phrase: str) -> bool:
    """Whether a sentence denies the phrase, as "It is not Rome" does."""
    return phrase.lower() not in _WAYS_TO_SAY and any(_mentions(sentence, phrase))


def _mentions(sentence: str, phrase: str) -> list[bool]:
    """For each time that the phrase is mentioned, whether it is denied."""
    text = spelled(sentence)
    return [
        bool(_DENIED.search(text[: match.start()]) or _DENIED_AFTER.search(text[match.end() :]))
        for match in _pattern(phrase).finditer(text)
    ]


@cache
def _pattern(phrase: str) -> re.Pattern[str]:
    """The phrase as whole words, in any case; but "May" and "may" are two words."""
    flags = 0 if phrase[0].isupper() and phrase.lower() in GLUE else re.IGNORECASE
    return re.compile(rf"(?<![\w'-]){re.escape(spelled(phrase))}(?![\w'-])", flags)
