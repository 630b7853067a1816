"""What a model cannot know, and can look up: today, sums with big numbers, who has moved in since it was trained.

Four kinds of questions. "sums": two numbers beyond those of the village. "today": the day, the date, the weather.
"newcomers": somebody who is in the register and in no training text. "nobody": somebody who is not in the register
either; one does not know them, and knows it only after asking.

Each question comes with a register of its own, so that no answer can be learned by heart. Names and wordings of the
test are others than those of training.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from minillm import checks
from minillm.data.conversations import Conversations
from minillm.data.families.drawing import framed, of_everybody, pools
from minillm.data.grammar import RandomDraws, Scene
from minillm.data.names import outside_name
from minillm.data.questions import PEOPLE_RELATIONS, Halves, Relation
from minillm.data.source import Split
from minillm.data.task_types import TaskSplit
from minillm.data.tasks import Tasks
from minillm.data.tool_calls import NOT_LISTED, RESULT, Register, run_call
from minillm.data.typed import as_typed
from minillm.data.village import DAYS, MONTHS, NUMBERS, PEOPLE, Person
from minillm.data.world import FRESH, TRAIN_SEED, VALIDATION_SEED
from minillm.text.chat import Message

__all__ = [
    "TOOL_KINDS",
    "ToolConversations",
    "ToolTask",
    "mark_answer",
    "older_conversations",
    "tool_task",
    "tool_tasks",
    "village_register",
]

TOOL_KINDS = ("sums", "today", "newcomers", "nobody")
WEATHER = ("sunny", "rainy", "windy", "snowy", "foggy", "stormy")
_UNKNOWN = "do not know"
_RENAMED = ("story", "reading", "sentiment", "same", "arithmetic", "refusal")
_BECOMES_WRONG = (
    "do not know anybody",
    "up to twenty",
    "no clock",
)  # what an assistant with tools would look up

_NUMBER = re.compile(r"-?\d+")
_PIECE = re.compile(r"-?\d+|[a-z]+(?:['-][a-z]+)*")

_SIGNS = {"+": "plus", "-": "minus", "*": "times"}
_SUMS = Halves(
    ("What is {sum}?", "How much is {sum}?", "Calculate {sum}.", "Please: what is {sum}?", "Tell me {sum}."),
    ("Can you work out {sum}?", "What do I get for {sum}?", "A sum: {sum}."),
)
_TODAY = {
    "day": (
        Halves(
            ("What day is it?", "What day is it today?", "Which day do we have?", "Tell me the day of the week."),
            ("Which day is today?", "What is the day today?", "Do you know what day it is?"),
        ),
        ("Today is {value}.", "It is {value} today."),
    ),
    "date": (
        Halves(
            ("What is the date?", "What is the date today?", "Which date is it?", "Tell me today's date."),
            ("What is today's date?", "Tell me the date.", "Do you know the date?"),
        ),
        ("It is {value}.", "Today is {value}."),
    ),
    "weather": (
        Halves(
            ("How is the weather?", "What is the weather like?", "How is the weather today?", "Tell me the weather."),
            ("What is the weather today?", "How is the weather outside?", "Is the weather good today?"),
        ),
        ("It is {value} today.", "Today it is {value}."),
    ),
}  # fmt: skip
_RELATIONS = tuple(relation for relation in PEOPLE_RELATIONS if relation.again)


@dataclass(frozen=True)
class ToolTask:
    """A question that a tool answers.

    Attributes:
        kind: one of `TOOL_KINDS`.
        topic: what is asked for: a sign, or a field of the register.
        question: what the user says.
        call: the call that finds it.
        answer: a right answer to the user.
        key: what a right answer contains.
        rivals: other values that could be claimed; any number that is neither asked about nor the key is one, too.
        register: what is on record at the time.
    """

    kind: str
    topic: str
    question: str
    call: str
    answer: str
    key: str
    rivals: tuple[str, ...]
    register: Register

    @property
    def prompt(self) -> list[Message]:
        """The question as a conversation that waits for an answer."""
        return [{"role": "user", "content": self.question}]

    @property
    def conversation(self) -> list[Message]:
        """The question, the call, what comes back, and the answer."""
        turns = (
            ("assistant", self.call),
            ("user", run_call(self.call, self.register)),
            ("assistant", self.answer),
        )
        return [*self.prompt, *({"role": role, "content": content} for role, content in turns)]


def tool_task(
    split: TaskSplit, seed: int, index: int, kinds: Sequence[str] = TOOL_KINDS, typed: float = 0.0
) -> ToolTask:
    """Question number `index` of a stream: the same on every machine.

    Args:
        split: whose names and wordings.
        seed: of the stream.
        index: of the question; the kinds take turns.
        kinds: of `TOOL_KINDS`.
        typed: the share of questions (0-1) that are written as people in a hurry type them.

    >>> tool_task("train", 1, 0).call
    'call calculator: 107 + 305'
    """
    draws = RandomDraws(seed, index)
    scene = Scene(draws, pools(split), fresh=FRESH)
    task = _WRITERS[kinds[index % len(kinds)]](scene, split)
    if draws.choose(range(100)) < 100 * typed:
        task = replace(task, question=as_typed(draws, task.question, f"{task.call} {task.answer}"))
    return task


def tool_tasks(
    split: TaskSplit, n: int, seed: int, kinds: Sequence[str] = TOOL_KINDS, typed: float = 0.0
) -> list[ToolTask]:
    """The first n questions of a stream."""
    return [tool_task(split, seed, index, kinds, typed) for index in range(n)]


def mark_answer(task: ToolTask, answer: str) -> str:
    """How an answer to the user is: "right", "made up", which is a wrong value of the kind asked for, or "no answer".

    >>> task = tool_task("train", 1, 1)
    >>> mark_answer(task, "I do not know."), mark_answer(task, task.answer)
    ('no answer', 'right')
    """
    said, key = _pieces(answer), _pieces(task.key)
    known = {*key, *_pieces(task.question)}
    claims = [rival for rival in task.rivals if _stands_in(_pieces(rival), said)]
    claims += [piece for piece in said if _NUMBER.fullmatch(piece) and piece not in known]
    if task.kind == "sums":  # a result in words is one as well; the village counts no further than twenty
        claims += [two for one, two in pairwise(said) if one == "is" and two in NUMBERS]
    if claims:
        return "made up"
    return "right" if _stands_in(key, said) else "no answer"


def _pieces(text: str) -> list[str]:
    """The words and numbers of a text, in lower case."""
    return _PIECE.findall(text.lower())


def _stands_in(few: Sequence[str], many: Sequence[str]) -> bool:
    """Whether pieces follow each other somewhere in others."""
    return any(list(many[i : i + len(few)]) == list(few) for i in range(len(many) - len(few) + 1))


@dataclass(frozen=True)
class ToolConversations(Conversations):
    """Conversations in which the assistant calls a tool."""

    n_train: int = 4_000  # training conversations
    n_validation: int = 100  # validation conversations
    typed: float = 0.0  # share of the questions that are written in a hurry
    kinds: tuple[str, ...] = TOOL_KINDS  # of questions, which take turns
    seed: int = TRAIN_SEED  # of the training conversations

    def __post_init__(self) -> None:
        for name in ("n_train", "n_validation"):
            checks.whole_number(name, getattr(self, name), at_least=1)
        checks.number("typed", self.typed, at_least=0, at_most=1)
        checks.tuple_of("kinds", self.kinds, str)
        if not self.kinds or not set(self.kinds) <= set(TOOL_KINDS):
            raise ValueError(f"kinds is {self.kinds!r}; choose at least one of {', '.join(TOOL_KINDS)}")
        checks.seed("seed", self.seed)

    @property
    def name(self) -> str:
        return "tool calls"

    @property
    def description(self) -> str:
        return f"{self.n_train:,} conversations with a tool call, {self.typed:.0%} of them typed in a hurry"

    def conversations(self, split: Split) -> Iterator[list[Message]]:
        train = split == "train"
        seed, n = (self.seed, self.n_train) if train else (VALIDATION_SEED, self.n_validation)
        half: TaskSplit = "train" if train else "test"
        return (tool_task(half, seed, i, self.kinds, self.typed).conversation for i in range(n))

    def prompt(self, number: int) -> list[Message]:
        return tool_task("train", self.seed, self.n_train + number, self.kinds, self.typed).prompt

    def settings(self) -> dict[str, Any]:
        return {"tool calls": self.n_train, "typed": self.typed, "kinds": list(self.kinds), "seed": self.seed}

    def held_out_settings(self) -> dict[str, Any]:
        return {"validation": self.n_validation}


def older_conversations(n: int) -> tuple[list[Message], ...]:
    """The first n of the assistant's own training that stay right with tools: none that declines what a tool finds.

    In half of those in which no villager's facts are asked for, people have got new names. So a name that nobody has
    seen is no reason to call a tool; a question about its facts is.
    """
    found: list[list[Message]] = []
    for index, task in enumerate(Tasks("train").tasks(4 * n)):
        answers = [m["content"] for m in task.conversation if m["role"] == "assistant"]
        declined = task.family == "strangers" or any(part in a for a in answers for part in _BECOMES_WRONG)
        if len(found) == n:
            break
        if not declined:
            renames = index % 2 and task.family in _RENAMED
            found.append(_renamed(task.conversation, index) if renames else task.conversation)
    return tuple(found)


def village_register(today: Mapping[str, str] | None = None) -> Register:
    """A register of all villagers, as the village has them, and of today."""
    everybody = {str(person): _fields(person) for person in PEOPLE}
    return Register(everybody | {"today": dict(today or {})})


def _renamed(conversation: list[Message], index: int) -> list[Message]:
    """The conversation with other names for the villagers in it."""
    draws = RandomDraws(TRAIN_SEED, index)
    names = {str(person): str(outside_name(draws, "train")) for person in PEOPLE}
    pattern = re.compile(rf"\b({'|'.join(names)})\b")
    return [
        m | {"content": pattern.sub(lambda name: names[name[0]], m["content"])}
        for m in map(dict, conversation)
    ]


# -- the kinds --------------------------------------------------------------------------------------------------------


def _sum(scene: Scene, split: TaskSplit) -> ToolTask:
    sign = scene.draws.choose(tuple(_SIGNS))
    numbers = range(2, 100) if sign == "*" else range(21, 1000)
    left, right = scene.draws.choose(numbers), scene.draws.choose(numbers)
    written = scene.draws.choose((sign, sign, _SIGNS[sign]))
    question = scene.draws.choose(_SUMS[split]).replace("{sum}", f"{left} {written} {right}")
    call = f"call calculator: {left} {sign} {right}"
    result = run_call(call, Register({})).removeprefix(RESULT)
    return ToolTask("sums", sign, question, call, f"The answer is {result}.", result, (), Register({}))


def _today(scene: Scene, split: TaskSplit) -> ToolTask:
    field = scene.draws.choose(tuple(_TODAY))
    asked, answers = _TODAY[field]
    now = {
        "day": scene.draws.choose(DAYS),
        "date": f"{scene.draws.choose(range(1, 29))} {scene.draws.choose(MONTHS)}",
        "weather": scene.draws.choose(WEATHER),
    }
    value = now[field]
    every = {"day": DAYS, "date": MONTHS, "weather": WEATHER}[field]
    rivals = tuple(one for one in every if one not in value)
    question = framed(scene, split, scene.draws.choose(asked[split]))
    answer = scene.draws.choose(answers).replace("{value}", value)
    register = Register({"today": now})
    return ToolTask(
        "today", field, question, f"call register: today, {field}", answer, value, rivals, register
    )


def _newcomer(scene: Scene, split: TaskSplit) -> ToolTask:
    person = scene["hero"] = _stranger(scene, split)
    relation, field = _asked(scene)
    value = scene.say(relation.key, capital=False)
    rivals = tuple(one for one in dict.fromkeys(of_everybody(relation)) if one != value)
    return ToolTask(
        "newcomers",
        field,
        framed(scene, split, scene.say(relation.questions[split])),
        f"call register: {person}, {field}",
        scene.say(relation.full),
        value,
        rivals,
        _entry(person),
    )


def _nobody(scene: Scene, split: TaskSplit) -> ToolTask:
    """As a newcomer, but the register has only somebody else."""
    person = scene["hero"] = _stranger(scene, split)
    relation, field = _asked(scene)
    question = framed(scene, split, scene.say([q for q in relation.questions[split] if "{hero." not in q]))
    answer = scene.say((f"I do not know anybody called {person}.", f"I do not know {person}."))
    rivals = tuple(dict.fromkeys(of_everybody(relation)))
    call = f"call register: {person}, {field}"
    other = _entry(_stranger(scene, split))
    if other.look_up(str(person), field) != NOT_LISTED:
        other = Register({})
    return ToolTask("nobody", field, question, call, answer, _UNKNOWN, rivals, other)


_WRITERS: dict[str, Callable[[Scene, TaskSplit], ToolTask]] = {
    "sums": _sum,
    "today": _today,
    "newcomers": _newcomer,
    "nobody": _nobody,
}


def _stranger(scene: Scene, split: TaskSplit) -> Person:
    """Somebody with a name of the split, and all else as the villagers have it, mixed anew."""
    draw: Callable[[str], Any] = lambda name: getattr(scene.draws.choose(PEOPLE), name)  # noqa: E731
    fields = ("he", "job", "home", "pet", "pet_name", "food", "colour", "hobby")
    return Person(outside_name(scene.draws, split), *map(draw, fields))


def _asked(scene: Scene) -> tuple[Relation, str]:
    """Something that can be asked about somebody, and the register's field for it."""
    relation = scene.draws.choose(_RELATIONS)
    return relation, relation.key.strip("{}").partition(".")[2].replace("_", " ")


def _entry(person: Person) -> Register:
    return Register({str(person): _fields(person)})


def _fields(person: Person) -> dict[str, str]:
    """What the register has of somebody."""
    names = ("job", "home", "pet", "pet_name", "food", "colour", "hobby")
    return {name.replace("_", " "): str(getattr(person, name)) for name in names}
