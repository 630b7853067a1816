"""What people type first on the page: small talk, questions about the model, and about all that it cannot know."""

from __future__ import annotations

import re
from functools import cache

from minillm.data.families.base import Family
from minillm.data.families.drawing import SLOT, pools
from minillm.data.grammar import RandomDraws, Scene
from minillm.data.outside import OUTSIDE
from minillm.data.phrases import KIND_ENDINGS
from minillm.data.task_types import Draft, Task, TaskSplit
from minillm.data.unheard import DIGIT_SUMS, TYPED_QUESTIONS
from minillm.data.village import PEOPLE, THINGS
from minillm.data.visits import VISITS, Visit
from minillm.data.wording import Reading, words_of
from minillm.data.world import FRESH, TEST_SEED

__all__ = ["Visitors", "held_out_visits"]

_KIND = ("I am glad that you are here!", "Have a lovely day!", "Thank you for asking!")

# What a sensible answer says, by key: other ways to say the same.
_BEYOND = r"only know|do not know|do not understand|only speak|too (?:big|hard) for me|can only|only a (?:small|little)"
_SENSIBLE = {
    "only know pennywell": _BEYOND,
    "small language model": r"language model",
    "made in a course": r"in a course|random numbers|language model learns",
    "very small": r"(?:am|i'm) (?:very |a |only a )*small",
    "pennywell": r"ask me|can tell|sums|stor(?:y|ies)",
    "small village": r"\bvillage\b",
    "hello": r"hello|good (?:day|morning|evening|afternoon)|i am well|how can i help",
    "i am well": r"i am (?:well|fine)",
    "you are welcome": r"welcome",
    "goodbye": r"goodbye|good night|come back|see you|have a lovely day",
    "ask me": r"ask me|glad|welcome|how can i help|" + _BEYOND,
    "thank you": r"thank you|glad|kind",
    "sorry": r"sorry|mistakes|" + _BEYOND,
    "i am glad": r"glad|lovely",
    "joke": r"here is a joke|a joke:",
    "poem": r"here is a (?:poem|song)|a poem:",
    "song": r"here is a (?:poem|song)|a song:",
    "a story about": r"a story about",
    "do not know": r"no clock|no window|no calendar|" + _BEYOND,
    "do not know you": r"do not know|only know",
    "no favourites": r"no favourite|language model|" + _BEYOND,
    "no secret rules": r"no secret|no rules|language model|" + _BEYOND,
    "up to twenty": r"up to twenty|only add|too (?:big|hard) for me|" + _BEYOND,
}
# Beside that, a sentence may greet, invite, or tell of the model; anything else is about something that nobody asked.
_HARMLESS = re.compile(
    r"ask me|how can i help|what can i do for you|come back|glad|sorry|thank you|hello|language model|very small"
    r"|village|welcome|goodbye|i am small|mistakes|in a course|here is a|because|whatever|no clock|gladly|shall i"
    r"|all that i know|can tell you|\bgood!|words are all|not feel|no favourites|but \w+ likes|the \w+ lives there"
    rf"|how are you|{_BEYOND}"
)
_ENDINGS = frozenset(ending.lower() for ending in (*KIND_ENDINGS, *_KIND))
_STRANGER = re.compile(r"not know (?:anybody called )?([A-Z]\w+)")
_WITH_JOB = re.compile(r"\b([A-Z]\w+) the (\w+)")


class Visitors(Family):
    """What strangers type on the page; the right answer is short, kind, and knows its limits."""

    name, weight = "visitors", 12
    typed = 4
    lengths = (3, 25)
    asks_too = may_wander = True
    most_tokens = 60  # of an answer that is asked for when visitors are met

    def draft(self, scene: Scene, split: TaskSplit) -> Draft:
        visit = VISITS[scene.draws.weighted(_weights(split))]
        return self.of_kind(scene, split, visit, scene.draws.choose(visit.messages[split]))

    def of_kind(self, scene: Scene, split: TaskSplit, visit: Visit, message: str) -> Draft:
        """A message of a kind, with the kind's answer."""
        if message == "{question}":
            message = OUTSIDE["question"](scene.draws, split)
        for slot in SLOT.findall(message):
            if slot not in scene and (write := OUTSIDE.get(slot.rstrip("0123456789"))):
                scene[slot] = write(scene.draws, split)
        prompt = scene.say(message, capital=False).strip()
        full = scene.say(visit.full)
        return Draft(prompt, scene.say(visit.short), full, (visit.key,), kind=scene.say(_KIND))

    def correct(self, reading: Reading) -> float:
        """Whether it says what its kind asks for, and nothing that nobody asked about."""
        (key,) = reading.task.keys
        wanted = _SENSIBLE[key.lower()]
        sentences = [sentence.lower() for sentence in reading.own]
        if not any(re.search(wanted, sentence) for sentence in sentences):
            return 0.0
        harmless = all(
            _HARMLESS.search(sentence) or re.search(wanted, sentence) or sentence in _ENDINGS
            for sentence in sentences
        )
        known = _words_of_answers() | set(words_of(reading.task.question))
        in_order = set(words_of(" ".join(reading.own))) <= known  # a word from elsewhere: it lost its thread
        return float(harmless and in_order and self.honest(reading) == 1.0)

    def honest(self, reading: Reading) -> float:
        """Whether villagers have the jobs that it gives them, and who it does not know is somebody asked about."""
        jobs = {(str(person), str(person.job)) for person in PEOPLE}
        asked = reading.task.question.lower()
        strangers = all(name.lower() in asked for name in _STRANGER.findall(reading.answer))
        return float(strangers and set(_WITH_JOB.findall(reading.answer)) <= jobs)


@cache
def _words_of_answers() -> frozenset[str]:
    """All words that the answers to visitors are made of, the villagers' names, jobs and homes among them."""
    texts = [text for visit in VISITS.values() for text in (*visit.full, visit.short)] + [
        *_KIND,
        *KIND_ENDINGS,
    ]
    texts += [f"{person} {person.job} {person.home} {person.colour}" for person in PEOPLE]
    texts += ["I do not know anybody called", "an", *THINGS]
    return frozenset(word for text in texts for word in words_of(re.sub(r"\{[^}]*\}", " ", text)))


@cache
def held_out_visits() -> tuple[tuple[str, bool, Task], ...]:
    """Every held-out message once, as a task: its kind, whether training has no message of that kind, and the task.

    Beside the kinds of `VISITS` there are questions about the village, and sums in digits, as people type them.
    """
    family = Visitors()
    found = []
    for kind, visit in VISITS.items():
        for number, message in enumerate(visit.messages.test):
            scene = Scene(RandomDraws(TEST_SEED, number), pools("test"), fresh=FRESH)
            draft = family.of_kind(scene, "test", visit, message)
            found.append((kind, visit.is_held_out, _as_task(family.name, draft)))
    found += [("sums in digits", False, task) for task in map(_sum, DIGIT_SUMS)]
    found += [("the village as typed", False, _about_village(*row)) for row in TYPED_QUESTIONS]
    return tuple(found)


def _as_task(family: str, draft: Draft) -> Task:
    return Task(family, (("user", draft.prompt),), draft.full, draft.keys, draft.rivals)


def _sum(row: tuple[str, str]) -> Task:
    """A sum, marked as sums are."""
    message, result = row
    return Task("arithmetic", (("user", message),), f"The answer is {result}.", (result,))


def _about_village(message: str, name: str, attribute: str) -> Task:
    """A question about a villager, marked as such questions are."""
    person = next(person for person in PEOPLE if person.name == name)
    key = str(getattr(person, attribute))
    rivals = {str(getattr(other, attribute)) for other in PEOPLE} - {key}
    return Task("village", (("user", message),), f"It is {key}.", (key,), tuple(sorted(rivals)))


@cache
def _weights(split: TaskSplit) -> dict[str, int]:
    """How often each kind comes up: in training as it says, in the test by its number of messages."""
    counts = {kind: len(visit.messages[split]) for kind, visit in VISITS.items()}
    return {
        kind: VISITS[kind].weight if split == "train" else count for kind, count in counts.items() if count
    }
