"""Visitors: messages of training and test are apart, reference answers are sensible, and the marks are a person's."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from minillm.data import village
from minillm.data.families import FAMILIES
from minillm.data.families.drawing import sum_split
from minillm.data.families.visitors import held_out_visits
from minillm.data.grammar import RandomDraws
from minillm.data.judge import Judge
from minillm.data.names import REAL_NAMES, is_of_test, made_up_word, outside_name
from minillm.data.tasks import Task, Tasks
from minillm.data.typed import as_typed
from minillm.data.unheard import DIGIT_SUMS
from minillm.data.visits import VISITS

judge = Judge()


@pytest.fixture(scope="module")
def train() -> list[Task]:
    return list(Tasks("train", ["visitors"]).tasks(4000))


def _plain(message: str) -> str:
    """A message without what one may type or not: case, signs at its end, spaces."""
    return re.sub(r"[\W_]+$", "", message.lower().replace(" ?", "")) or message


# -- messages ---------------------------------------------------------------------------------------------------------


def test_there_are_hundreds_of_messages_of_many_kinds():
    held_out = [visit for visit in VISITS.values() if visit.is_held_out]
    assert len(VISITS) >= 30 and len(held_out) >= 10
    assert sum(len(visit.messages.train) for visit in VISITS.values()) >= 300
    messages = held_out_visits()
    assert len(messages) >= 300
    assert len({task.question for _, _, task in messages}) == len(messages)
    assert sum(unheard for _, unheard, _ in messages) >= 60


def test_no_wording_of_the_test_is_in_training(train):
    """Slots aside: what is drawn into them is different, too, and compared by the last line."""
    for kind, visit in VISITS.items():
        for other in VISITS.values():
            asked = {_plain(message) for message in other.messages.train}
            assert not {_plain(m) for m in visit.messages.test if len(_plain(m)) > 3} & asked, kind
    asked = {task.question.lower() for task in train}
    assert not [task.question for _, _, task in held_out_visits() if task.question.lower() in asked]


def _bare(message: str) -> str:
    """The words of a message in lower case, and the signs of a sum; "" where it has no word."""
    return " ".join(re.findall(r"\w+|[+*/-]", message.lower())) if re.search(r"\w", message) else ""


@pytest.fixture(scope="module")
def trained() -> set[str]:
    """What users say in training, bare: every message to visitors, and many of each family."""
    messages = [message for visit in VISITS.values() for message in visit.messages.train]
    for family in FAMILIES:
        for task in Tasks("train", [family]).tasks(2000):
            messages += [content for role, content in task.messages if role == "user"]
    return set(map(_bare, messages)) - {""}


def test_no_held_out_message_is_one_of_training_with_other_signs(trained):
    assert not [task.question for _, _, task in held_out_visits() if _bare(task.question) in trained]


def test_no_message_of_the_test_is_one_of_training_with_other_signs(trained):
    for family in FAMILIES:
        said = [c for t in Tasks("test", [family]).tasks(1000) for role, c in t.messages if role == "user"]
        assert not [message for message in said if _bare(message) in trained], family


def test_held_out_sums_are_of_the_test():
    for message, _ in DIGIT_SUMS:
        assert sum_split([int(number) for number in re.findall(r"\d+", message)]) == "test", message


def test_training_is_broad(train):
    found = Counter(task.keys[0] for task in train)
    assert found["only know Pennywell"] > 0.25 * len(train)
    assert len(found) >= 20
    questions = {task.question for task in train if task.keys[0] == "only know Pennywell"}
    assert len(questions) > 0.6 * found["only know Pennywell"]


# -- answers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("split", ["train", "test"])
def test_reference_answers_are_sensible(split):
    for task in Tasks(split, ["visitors", "untold", "strangers"]).tasks(1500):
        verdict = judge(task, task.answer)
        assert verdict.is_correct, (task, verdict)
        assert verdict.parts["kind"] > 0 or task.style == "flawed", task


def test_reference_answers_to_held_out_messages_are_right():
    for _, _, task in held_out_visits():
        assert judge(task, task.answer).is_correct, task


def _marked(question: str, answer: str) -> bool:
    task = next(task for _, _, task in held_out_visits() if task.question == question)
    verdict = judge(task, answer)
    return verdict.is_correct


@pytest.mark.parametrize(
    ("question", "answer", "right"),
    [
        ("are you a bot?", "I am a small language model of Pennywell.", True),
        ("are you a bot?", "The beekeeper is Elsie.", False),
        ("are you a bot?", "I do not know anybody called Anton.", False),
        ("how much is 12 times 3?", "", False),
        ("who is messi?", "I do not know anybody called Messi.", True),
        ("who is messi?", "I do not know anybody called Yusuf.", False),
        ("who is messi?", "Messi is the baker.", False),
        ("who is messi?", "I only know Pennywell and its people. Ask me about Ada the baker!", True),
        ("who is messi?", "I only know Pennywell and its people. Ask me about Ada the miller!", False),
        ("who is messi?", "I only know Pennywell and its people. Snow is white.", False),
        ("draw a cat", "No, I will not help you frighten anybody. It would hurt the cat.", False),
        (
            "tell us a joke",
            "Here is a joke: What does the parrot of Ines say? Whatever Ines has just said!",
            True,
        ),
        ("tell us a joke", "I do not know that. I only know Pennywell.", False),
        ("8+2", "Eight plus two is ten. So the answer is ten.", True),
        ("8+2", "Nine plus two is eleven.", False),
        ("who is yara", "Yara is the shoemaker.", True),
        ("who is yara", "I only know Pennywell and its people.", False),
    ],
)
def test_marks_are_those_of_a_person(question, answer, right):
    if question == "how much is 12 times 3?":  # no message of the test: marked as one of its kind
        task = Task("visitors", (("user", question),), "It is up to twenty.", ("up to twenty",))
        assert judge(task, answer).is_correct is right
        return
    assert _marked(question, answer) is right


# -- names and typing -------------------------------------------------------------------------------------------------


def test_names_of_strangers_are_many_and_of_nobody_in_the_village():
    draws = RandomDraws(9, 0)
    names = {split: {outside_name(draws, split) for _ in range(3000)} for split in ("train", "test")}
    assert len(names["train"]) > 1500 and not names["train"] & names["test"]
    people = {str(word) for person in village.PEOPLE for word in (person.name, person.pet_name)}
    assert not (names["train"] | names["test"]) & people
    assert set(REAL_NAMES.train) <= names["train"] and set(REAL_NAMES.test) <= names["test"]
    assert {is_of_test(made_up_word(draws, "test")) for _ in range(50)} == {True}
    assert {is_of_test(made_up_word(draws, "train")) for _ in range(50)} == {False}


def test_typing_keeps_what_the_answer_repeats_and_changes_little():
    text, answer = "Where is the capital of Peru?", "The capital of Peru is Lima."
    seen = {as_typed(RandomDraws(5, number), text, answer) for number in range(400)}
    assert text.upper() in seen and text.lower() in seen and text.rstrip("?") in seen
    for typed in seen:
        words = typed.lower().rstrip("?").split()
        assert words[3:] == ["capital", "of", "peru"], typed
        assert sum(a != b for a, b in zip(words, text.lower().split(), strict=False)) <= 2
    assert any(typed.startswith(("Wehre", "Whre", "Wheree", "Wherre", "Whhere")) for typed in seen)
    assert as_typed(RandomDraws(5, 1), "?", "") and as_typed(RandomDraws(5, 2), ".", "")
