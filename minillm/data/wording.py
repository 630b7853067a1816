"""What an answer says: its sentences, and which of them say a thing, deny it, repeat the request or wander off.

The judge's eyes: plain patterns over the words of the micro-world, without understanding.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache, cached_property, lru_cache

from minillm.data.phrases import ASIDES, KIND_ENDINGS, KIND_OFFERS, RUDE
from minillm.data.task_types import Task

__all__ = [
    "FRIENDLY",
    "GLUE",
    "RUDENESS",
    "VERBS",
    "Reading",
    "denies",
    "said",
    "says",
    "words_of",
]

_WORD = re.compile(r"[^\W_]+(?:['-][^\W_]+)*")
_SENTENCE = re.compile(r"[^.!?]+[.!?]*")
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
    "do not know": r"do not know|not sure|never heard|never met|nobody called|no one called|nobody of that name",
    "will not": r"(?:will|would|can|could|shall|must|do) not|refuse|^no\b",
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
_DENIED = re.compile(r"\b(?:not|never)(?: [\w'-]+){0,3} $", re.IGNORECASE)
VERBS = frozenset(
    """
    is are was were am be been has have had do does did can could will would shall may must likes like loves love
    enjoys enjoy says say eats eat ate sleeps lives live works comes come called mean means feels feel know think find
    saw took got gave found met went let said
    """.split()
)
# Words that sentences are built with; a heap of keywords has few of them.
GLUE = VERBS | frozenset(
    """
    a an the this that these it he she they i you we my his her its their not no yes and or but so of to in on at for
    with from by as than then if because who what where when which how us me him them back soon hidden plus minus
    there hello good day morning evening night goodbye sleep well welcome
    """.split()
)


class Reading:
    """An answer, taken apart once.

    Args:
        task: what was asked.
        answer: the text of the answer.
        asks_too: whether its questions count as said.
        excuses_wishes: whether a friendly wish ("Have a good day!") says no rival.

    Attributes:
        words: all of them, in lower case.
        sentences: the sentences with words in them.
        own: the sentences that say something: no kind ending, nor the request once more, nor usually a question.
        keys: those of the task that the own sentences say.
        rivals: likewise.
    """

    def __init__(
        self, task: Task, answer: str, *, asks_too: bool = False, excuses_wishes: bool = True
    ) -> None:
        self.task, self.answer = task, answer.strip()
        self.words = words_of(answer)
        self.sentences: list[str] = [s.strip() for s in _SENTENCE.findall(answer) if words_of(s)]
        self.asked: list[str] = [s.strip() for s in _SENTENCE.findall(task.question) if words_of(s)]
        self.own = [s for s in self.sentences if self._says_something(s, asks_too)]
        self.keys = said(task.keys, self.own)
        claims = [s for s in self.own if not (excuses_wishes and self._is_wish(s))]
        self.rivals = said(task.rivals, claims)

    def _is_wish(self, sentence: str) -> bool:
        return FRIENDLY.search(sentence.lower()) is not None and not said(self.task.keys, [sentence])

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
        return len(words) > 3 and words == words_of(self.asked[-1]) and sentence not in self.task.answer

    def is_beside_the_matter(self, sentence: str) -> bool:
        """Whether a sentence has no word in common with the conversation and is not friendly either."""
        if sentence in KIND_ENDINGS or sentence in KIND_OFFERS:
            return False
        if sentence in (*ASIDES, *RUDE) or self.repeats_request(sentence):
            return True
        content = set(words_of(sentence)) - GLUE
        return bool(content) and not content & self.matter and not FRIENDLY.search(sentence.lower())

    @cached_property
    def matter(self) -> set[str]:
        """The words of the conversation and of the reference answer."""
        texts = [*(content for _, content in self.task.messages), self.task.answer, *self.task.keys]
        return {word for text in texts for word in words_of(text)}


def words_of(text: str) -> list[str]:
    """The words of a text, in lower case."""
    return _WORD.findall(text.lower())


@lru_cache(4096)
def _spelled(text: str) -> str:
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
        return re.search(rf"\b(?:{ways})\b", _spelled(sentence), re.IGNORECASE) is not None
    return any(not denied for denied in _mentions(sentence, phrase))


def denies(sentence: str, phrase: str) -> bool:
    """Whether a sentence denies the phrase, as "It is not Rome" does."""
    return phrase.lower() not in _WAYS_TO_SAY and any(_mentions(sentence, phrase))


def _mentions(sentence: str, phrase: str) -> list[bool]:
    """For each time that the phrase is mentioned, whether it is denied."""
    text = _spelled(sentence)
    return [_DENIED.search(text[: match.start()]) is not None for match in _pattern(phrase).finditer(text)]


@cache
def _pattern(phrase: str) -> re.Pattern[str]:
    """The phrase as whole words, in any case; but "May" and "may" are two words."""
    flags = 0 if phrase[0].isupper() and phrase.lower() in GLUE else re.IGNORECASE
    return re.compile(rf"(?<![\w'-]){re.escape(_spelled(phrase))}(?![\w'-])", flags)
