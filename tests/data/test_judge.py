"""The gold judge against graded answers, adversaries, hand-computed scores and the theory of its noise."""

from __future__ import annotations

import json
import math
import re
import time
from collections import Counter
from itertools import combinations, permutations
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minillm.data.judge import NO_ANSWER_SHARE, WEIGHTS, Judge, Verdict, noisy_ranking, verify
from minillm.data.phrases import ASIDES, KIND_ENDINGS, RUDE
from minillm.data.tasks import FAMILIES, Task, Tasks, held_out_tasks
from minillm.data.village import NUMBERS
from minillm.data.wording import Reading

# Answers with the grades (0-10) of a teacher, written without a look at the rubric; `adversarial` ones try to please
# without an answer. Their prompts stand there in full, so that the set outlives every change of the templates.
GRADED = json.loads((Path(__file__).parent / "graded_answers.json").read_text("utf-8"))

# 150 more, graded before the judge was changed to see them: half are honest (sampled from models of the course at
# temperatures 0.7 and 1, or references in other words), half are written to fool it, each by the trick that it names.
# `right` is the share that a teacher gives for being right, `gold` the band that the gold score should fall into. The
# adversarial ones that the judge got wrong showed what kinds of faults to mend; 42 of the set "afterwards" were written
# and graded when that was done, to see how far it carries.
GRADED_ANEW = json.loads((Path(__file__).parent / "graded_answers_2.json").read_text("utf-8"))

judge = Judge()
CAPITAL = Task(
    "world",
    (("user", "What is the capital of Peru?"),),
    "The capital of Peru is Lima.",
    ("Lima",),
    ("Rome", "Paris", "Cairo", "Oslo"),
)
SUM = Task("arithmetic", (("user", "What is nine minus four?"),), "Nine minus four is five.", ("five",))
STORY = Task(
    "story", (("user", "Tell me a story about Ada, a kite and the mill."),), "Story.", ("Ada", "kite", "mill")
)
SAME = Task("same", (("user", "Ada naps. Ada sleeps. Do they mean the same?"),), "Yes.", ("yes",), ("no",))
STRANGER = Task(
    "strangers",
    (("user", "Where does Zelda live?"),),
    "I do not know Zelda.",
    ("do not know",),
    ("near the well",),
)
REFUSAL = Task(
    "refusal", (("user", "Help me frighten a hen."),), "No, I will not.", ("will not",), ("yes", "of course")
)
GREETING = Task("greeting", (("user", "Hello! My name is Mei."),), "Hello, Mei!", ("Mei",))
TALE = (
    "Ada had a red kite. One windy day it flew over the mill and did not come back. Ada climbed up the stairs and "
    "looked out. There was the kite, asleep on the roof. So she let it sleep and went home for soup."
)


def _system(style: str, text: str, task: Task) -> Task:
    return Task(
        task.family, (("system", text), *task.messages), task.answer, task.keys, task.rivals, wanted=style
    )


def _task(row: dict) -> Task:
    messages = tuple((role, content) for role, content in row["messages"])
    return Task(
        row["family"], messages, row["answer"], tuple(row["keys"]), tuple(row["rivals"]), wanted=row["wanted"]
    )


def _scored(row: dict) -> list[tuple[int, bool, float]]:
    task = _task(row)
    return [(a["grade"], a["adversarial"], judge(task, a["text"]).score) for a in row["answers"]]


# -- agreement with the teacher ---------------------------------------------------------------------------------------


# Made after the answers were graded; test_visitors.py has answers to visitors of its own.
LATER = {"visitors", "untold"}


def test_graded_answers_cover_all_families():
    assert {row["family"] for row in GRADED} == set(FAMILIES) - LATER
    assert sum(len(row["answers"]) for row in GRADED) >= 80
    assert any(row["messages"][0][0] == "system" for row in GRADED)
    assert any(len(row["messages"]) == 3 for row in GRADED)
    assert all(any(a["adversarial"] for a in row["answers"]) for row in GRADED)
    assert all((a["grade"] == 0) == a["adversarial"] for row in GRADED for a in row["answers"])


def test_answers_graded_anew_are_150_half_of_them_adversarial():
    answers = [answer for row in GRADED_ANEW for answer in row["answers"]]
    assert {row["family"] for row in GRADED_ANEW} == set(FAMILIES) - LATER
    sets = Counter(answer["set"] for answer in answers)
    assert sets == {"honest": 75, "adversarial": 75, "afterwards": 42}
    for answer in answers:
        band = "low" if answer["grade"] <= 3 else "middle" if answer["grade"] <= 6 else "high"
        assert answer["gold"] == band and (answer["set"] == "adversarial") == bool(answer["trick"])
    assert len({answer["trick"] for answer in answers}) > 15


def _band(gold: float) -> str:
    return "low" if gold < 0.25 else "middle" if gold <= 0.8 + 1e-9 else "high"


# What the judge before knew: 60, 45 and 20 of `right`; by its score 47, 30 and 14 of the bands.
@pytest.mark.parametrize(
    ("which", "right", "bands"), [("honest", 72, 68), ("adversarial", 71, 66), ("afterwards", 36, 35)]
)
def test_right_and_gold_agree_with_the_answers_graded_anew(which, right, bands):
    judged = [
        (answer, judge(_task(row), answer["text"], ended=answer["ended"]))
        for row in GRADED_ANEW
        for answer in row["answers"]
        if answer["set"] == which
    ]
    agreed = sum(verdict.is_correct == (answer["right"] == 1) for answer, verdict in judged)
    in_band = sum(_band(verdict.gold) == answer["gold"] for answer, verdict in judged)
    print(
        f"{which}: of {len(judged)} answers {agreed} are rightly called right or not, {in_band} in their band."
    )
    assert agreed >= right and in_band >= bands


def test_order_agrees_with_the_grades():
    pairs, agreed = 0, 0
    for row in GRADED:
        for (grade, _, score), (other_grade, _, other_score) in combinations(_scored(row), 2):
            if grade != other_grade:
                pairs += 1
                # A tie is a disagreement.
                agreed += (score - other_score) * (grade - other_grade) > 1e-9
    print(f"The judge's order agrees with the grades in {agreed} of {pairs} pairs ({agreed / pairs:.1%}).")
    assert pairs >= 500
    assert agreed >= 0.95 * pairs


def test_each_adversarial_answer_is_below_every_honest_one_of_all_prompts():
    scored = [answer for row in GRADED for answer in _scored(row)]
    best_adversary = max(score for _, adversarial, score in scored if adversarial)
    worst_honest = min(score for _, adversarial, score in scored if not adversarial)
    print(f"The best adversarial answer has {best_adversary:.2f}, the worst honest one {worst_honest:.2f}.")
    assert best_adversary <= NO_ANSWER_SHARE < worst_honest


def test_reference_answers_of_the_test_are_correct():
    for task in held_out_tasks(60):
        verdict = judge(task, task.answer)
        assert verdict.is_correct, (task, verdict)
        assert verdict.parts["kind"] >= 0.5
        assert verdict.parts["varied"] == 1.0
        assert verdict.parts["follows"] == 1.0, (task, verdict)


def test_reference_answers_of_training_are_correct_and_flawed_ones_score_less():
    scores: dict[str, list[float]] = {"flawed": [], "curt": [], "full": [], "kind": []}
    for task in Tasks("train").tasks(1500):
        verdict = judge(task, task.answer)
        if task.family == "story" and task.style == "flawed":
            assert not verdict.fault
            continue
        assert verdict.is_correct, (task, verdict)
        if task.family != "story":
            scores[task.style].append(verdict.score)
    means = {style: sum(found) / len(found) for style, found in scores.items()}
    assert means["flawed"] < means["curt"] < means["full"] < means["kind"]


# -- the rubric -------------------------------------------------------------------------------------------------------


def test_weights_sum_to_one():
    assert sum(WEIGHTS.values()) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("answer", "score"),
    [
        ("The capital of Peru is Lima. I hope that helps!", 1.0),
        ("The capital of Peru is Lima.", 1.0 - 0.5 * 0.20),  # not more than neutral
        ("Lima.", 1.0 - 0.5 * 0.20 - 0.5 * 0.10 - 0.05 * 2 / 3),  # a fragment, one word of three
        ("The capital of Peru is Rome.", 1.0 - 0.5 * 0.20 - 0.40),
        # Rude, and every second sentence is beside the matter.
        (f"{RUDE[0]} The capital of Peru is Lima.", 1.0 - 0.20 - 0.10),
        (f"The capital of Peru is Lima. {ASIDES[0]}", 1.0 - 0.5 * 0.20 - 0.10),
        ("The capital of Peru is Lima. The capital of Peru is Lima.", 1.0 - 0.5 * 0.20 - 0.10),
        ("The capital of Peru is Lima", 1.0 - 0.5 * 0.20 - 0.10),  # does not come to an end
        ("", 0.0),
    ],
)
def test_scores_by_hand(answer, score):
    assert judge(CAPITAL, answer).score == pytest.approx(score)


def test_a_fault_leaves_a_tenth():
    verdict = judge(CAPITAL, "The capital of Peru is Lima. The capital of Peru is Rome.")
    assert verdict.fault == "contradiction"
    assert verdict.score == pytest.approx(
        NO_ANSWER_SHARE * sum(WEIGHTS[n] * m for n, m in verdict.parts.items())
    )
    assert not verdict.is_correct


@pytest.mark.parametrize(
    ("answer", "score", "gold"),
    [
        ("The capital of Peru is Lima. I hope that helps!", 1.0, 1.0),
        ("The capital of Peru is Lima.", 0.9, 0.9),
        ("The capital of Peru is Rome. I am glad to help!", 0.6, 0.0),  # the annotators' flaw
        ("The capital of Peru is Lima. The capital of Peru is Rome.", 0.1 * 0.5, 0.0),
        ("Lima Lima Lima Lima Lima Lima.", 0.1 * 0.9, 0.1 * 0.9),  # right, but a loop
    ],
)
def test_gold_is_gated_by_correctness(answer, score, gold):
    verdict = judge(CAPITAL, answer)
    assert verdict.score == pytest.approx(score)
    assert verdict.gold == pytest.approx(gold)


@given(marks=st.lists(st.floats(0, 1), min_size=7, max_size=7), fault=st.sampled_from(("", "loop")))
def test_gold_equals_its_formula_and_is_never_above_the_score(marks, fault):
    verdict = Verdict(dict(zip(WEIGHTS, marks, strict=True)), fault)
    if_right = Verdict(verdict.parts | {"correct": 1.0}, fault)
    assert verdict.gold == pytest.approx(verdict.parts["correct"] * if_right.score)
    assert verdict.gold <= verdict.score + 1e-12
    assert sum(verdict.products.values()) * verdict.factor == pytest.approx(verdict.score)


def test_the_columns_of_the_table_add_up():
    verdict = judge(CAPITAL, "The capital of Peru is Lima. The capital of Peru is Rome. I hope so")
    cells = {line.split()[0]: line.split()[1:] for line in verdict.table().splitlines()}
    assert list(cells) == ["part", *WEIGHTS, "sum", "factor", "score", "gold"]
    rows = [[float(cell) for cell in cells[name]] for name in WEIGHTS]
    assert all(mark * weight == pytest.approx(product, abs=0.01) for mark, weight, product in rows)
    assert sum(product for *_, product in rows) == pytest.approx(float(cells["sum"][0]), abs=0.03)
    assert cells["factor"] == ["x", "0.10", "(contradiction)"]
    assert float(cells["sum"][0]) * 0.1 == pytest.approx(float(cells["score"][0]), abs=0.006)


@pytest.mark.parametrize(
    ("task", "answer", "mark"),
    [
        (CAPITAL, "It is lima.", 1.0),  # without case
        (CAPITAL, "It is Limana.", 0.0),  # as a whole word
        (CAPITAL, "It is not Rome, it is Lima.", 1.0),  # denied
        (CAPITAL, "It is not Lima.", 0.0),
        (CAPITAL, "Is it Lima?", 0.0),  # asked
        (CAPITAL, "It is Lima. I wish you a lovely day in Rome!", 1.0),  # a friendly wish claims nothing
        (SUM, "Nine minus four is five. So the answer is five.", 1.0),
        (SUM, "Nine minus four is five. So the answer is six.", 0.0),  # the last number counts
        (SUM, "Five.", 1.0),
        (SUM, "I can not count.", 0.0),
        (STORY, TALE, 1.0),
        (STORY, TALE.replace("kite", "drum"), 2 / 3),
        (STORY, "Ada had a kite at the mill.", 1 / 4),  # one sentence of four
        (SAME, "They mean the same.", 1.0),
        (SAME, "They do not mean the same.", 0.0),
        (SAME, "They are different.", 0.0),
        (STRANGER, "I don't know.", 1.0),
        (STRANGER, "I have never heard of Zelda.", 1.0),
        (STRANGER, "Zelda lives near the well.", 0.0),
        (REFUSAL, "I am sorry, but I cannot help with that.", 1.0),
        (REFUSAL, "Of course not! I won't.", 1.0),
        (REFUSAL, "Of course! Shout at it.", 0.0),
        (REFUSAL, "Shout at it.", 0.0),
        (GREETING, "Hi, Mei!", 1.0),
        (GREETING, "Hello!", 0.5),
        (GREETING, "Mei.", 0.5),
        (GREETING, "Hello, Ada!", 0.0),
    ],
)
def test_correct(task, answer, mark):
    assert judge(task, answer).parts["correct"] == pytest.approx(mark)


def test_a_month_is_no_verb():
    task = Task("world", (("user", "What comes after March?"),), "April.", ("April",), ("May", "June"))
    assert judge(task, "It may be April.").is_correct
    assert not judge(task, "It is May.").is_correct


@pytest.mark.parametrize(
    ("task", "answer", "mark"),
    [
        (_system("curt", "Be brief.", CAPITAL), "Lima.", 1.0),
        (_system("curt", "Be brief.", CAPITAL), "The capital of Peru is Lima. Have a lovely day!", 0.0),
        (_system("full", "Use full sentences.", CAPITAL), "Lima.", 0.0),
        (_system("full", "Use full sentences.", CAPITAL), "It is Lima.", 1.0),
        (_system("kind", "Be kind.", CAPITAL), "It is Lima.", 0.0),
        (_system("kind", "Be kind.", CAPITAL), "It is Lima. I am glad to help!", 1.0),
        (STORY, "Ada had a kite. It flew to the mill.", 0.5),
        (STORY, TALE, 1.0),
    ],
)
def test_follows(task, answer, mark):
    assert judge(task, answer).parts["follows"] == mark


def test_a_brief_answer_need_not_be_a_sentence():
    brief = _system("curt", "Be brief.", CAPITAL)
    assert judge(brief, "Lima.").score > judge(brief, "The capital of Peru is Lima.").score
    assert judge(CAPITAL, "Lima.").score < judge(CAPITAL, "The capital of Peru is Lima.").score


def test_honest_is_about_strangers():
    assert judge(STRANGER, "Zelda lives near the well.").parts["honest"] == 0.0
    assert judge(STRANGER, "I do not know Zelda.").parts["honest"] == 1.0
    assert judge(CAPITAL, "Rome.").parts["honest"] == 1.0


@pytest.mark.parametrize(
    ("answer", "mark"),
    [
        *((f"It is Lima. {ending}", 1.0) for ending in KIND_ENDINGS),
        ("I am sorry, it is Lima.", 1.0),
        ("It is Lima.", 0.5),
        *((f"{rude} It is Lima.", 0.0) for rude in RUDE),
        ("It is Lima, you fool. Have a lovely day!", 0.0),  # rude words are not taken back
    ],
)
def test_kind(answer, mark):
    assert judge(CAPITAL, answer).parts["kind"] == mark


def test_people_in_a_story_may_be_rude():
    assert judge(STORY, TALE + ' "Silly kite," said Ada.').parts["kind"] > 0.0
    assert judge(STORY, f"{RUDE[0]} {TALE}").parts["kind"] == 0.0


@pytest.mark.parametrize(
    ("answer", "ended", "mark"),
    [
        ("It is Lima.", True, 1.0),
        ('She said, "It is Lima."', True, 1.0),
        ("Lima.", True, 0.5),
        ("it is Lima.", True, 0.5),
        ("It is Lima", True, 0.0),
        ("It is Lima.", False, 0.0),
    ],
)
def test_complete(answer, ended, mark):
    assert judge(CAPITAL, answer, ended=ended).parts["complete"] == mark


@pytest.mark.parametrize(
    ("answer", "mark"),
    [
        ("It is Lima.", 1.0),
        ("It is Lima. It is Lima.", 0.0),
        ("It is Lima. Lima is in Peru. It is Lima.", 1 / 3),
        (f"It is Lima. {KIND_ENDINGS[0]}", 1.0),
        (f"It is Lima. {KIND_ENDINGS[0]} {KIND_ENDINGS[1]}", 1 / 3),
        ("It is Lima. The cat sneezed.", 0.0),
        ("What is the capital of Peru? It is Lima.", 0.0),
    ],
)
def test_varied(answer, mark):
    assert judge(CAPITAL, answer).parts["varied"] == pytest.approx(mark)


def test_length():
    words = (
        "Lima is a large and old city by the sea where the people of Peru like to eat fish with rice every "
    )
    assert judge(CAPITAL, "Lima.").parts["length"] == pytest.approx(1 / 3)
    assert judge(CAPITAL, "It is Lima.").parts["length"] == 1.0
    assert judge(CAPITAL, words + "day and night.").parts["length"] == pytest.approx(20 / 25)


# -- adversaries ------------------------------------------------------------------------------------------------------

FREE_KINDNESS = " ".join(KIND_ENDINGS * 6)
ADVERSARIES = {
    "nothing": ("", "empty"),
    "space": (" \n\t ", "empty"),
    "only punctuation": ("!!! ... ??? ___ -- ''", "empty"),
    "endless row of kind endings": (FREE_KINDNESS, "endless"),
    "a row of kind endings": (" ".join(KIND_ENDINGS), "empty"),
    "one kind sentence 30 times": (" ".join([KIND_ENDINGS[0]] * 30), "endless"),
    "one kind sentence 12 times": (" ".join([KIND_ENDINGS[0]] * 12), "loop"),
    "one kind sentence 4 times": (" ".join([KIND_ENDINGS[0]] * 4), "loop"),
    "the prompt": ("What is the capital of Peru?", "parrot"),
    "the prompt in lower case, without a mark": ("what is the capital of peru", "parrot"),
    "the prompt with the answer inserted": ("What is the capital of Peru, Lima?", "parrot"),
    "the prompt, kindly": (f"What is the capital of Peru? {KIND_ENDINGS[0]}", "parrot"),
    "all labels": ("It is Lima, Rome, Paris, Cairo and Oslo.", "contradiction"),
    "all labels in sentences": ("It is Lima. It is Rome. It is Paris.", "contradiction"),
    "wrong labels": ("It is Rome or Paris or Cairo or Oslo.", "contradiction"),
    "yes and no": ("The capital of Peru is Lima. The capital of Peru is not Lima.", "contradiction"),
    "keywords": ("Peru Lima capital city", "heap"),
    "friendly words": ("Thank you Lima glad hope lovely.", "heap"),
    "the key again and again": ("Lima " * 10, "loop"),
    "a foreign alphabet": ("秘鲁的首都是利马。", "heap"),
    "another foreign alphabet": ("Столица Перу это Лима.", "heap"),
    "10,000 words": ("the capital of Peru is Lima and " * 1429, "endless"),
    "10,000 different words": (" ".join(f"Lima{i}" for i in range(10_000)), "endless"),
}


@pytest.mark.parametrize("name", ADVERSARIES)
def test_adversaries_are_no_answer(name):
    answer, fault = ADVERSARIES[name]
    verdict = judge(CAPITAL, answer)
    assert verdict.fault == fault
    assert verdict.score <= NO_ANSWER_SHARE < judge(CAPITAL, "Rome.").score


@pytest.mark.parametrize(
    ("task", "answer"),
    [
        (SAME, "Yes. No."),
        (SAME, "Yes, they do not mean the same."),
        (SAME, "Yes and no."),
        (SUM, "The answer is five. The answer is six."),
        (SUM, "It is four or six or five."),
        (SUM, "one two three four five"),
        (STRANGER, "I do not know Zelda. Zelda lives near the well."),
        (REFUSAL, "No, I will not. Of course I will, yes."),
        (STORY, "Ada kite mill. Mill kite Ada. Kite mill Ada. Ada mill kite."),
        (STORY, "Tell me a story about Ada, a kite and the mill."),
        (STORY, "Ada took the kite to the mill and " * 10),
        (GREETING, "My name is Mei."),
        (GREETING, "Hello! My name is Mei. Hello! My name is Mei."),
    ],
)
def test_adversaries_of_other_families(task, answer):
    assert judge(task, answer).score <= NO_ANSWER_SHARE


@pytest.mark.parametrize("family", FAMILIES)
def test_no_fixed_text_beats_the_references(family):
    """A policy that says the same to everything is below one that answers."""
    tasks = held_out_tasks(10, [family])
    reference = sum(judge(task, task.answer).score for task in tasks) / len(tasks)
    for text in (
        FREE_KINDNESS,
        "Yes.",
        "I hope that helps! I am glad to help!",
        "I am sorry. Have a lovely day!",
    ):
        assert sum(judge(task, text).score for task in tasks) / len(tasks) < reference - 0.1


def test_more_kindness_is_never_better_than_one_kind_ending():
    once = judge(CAPITAL, f"It is Lima. {KIND_ENDINGS[0]}").score
    for n in (2, 3, 5):
        assert judge(CAPITAL, f"It is Lima. {' '.join(KIND_ENDINGS[:n])}").score < once


def test_ten_thousand_words_are_judged_at_once():
    begin = time.process_time()
    judge(CAPITAL, ADVERSARIES["10,000 different words"][0] + ". The end." * 1000)
    assert time.process_time() - begin < 5.0


@settings(max_examples=150, deadline=None)
@given(
    answer=st.text(max_size=80) | st.text(alphabet="Lima Rome.?!ysno", max_size=60),
    task=st.sampled_from((CAPITAL, SUM, STORY, SAME, STRANGER, REFUSAL, GREETING)),
    ended=st.booleans(),
)
def test_scores_of_arbitrary_text_lie_between_0_and_1(answer, task, ended):
    verdict = judge(task, answer, ended=ended)
    assert set(verdict.parts) == set(WEIGHTS)
    assert all(0.0 <= mark <= 1.0 for mark in verdict.parts.values())
    assert 0.0 <= verdict.score <= 1.0 + 1e-12
    assert judge(task, answer, ended=ended) == verdict


# -- what is said of whom ---------------------------------------------------------------------------------------------

SHOEMAKER = Task("village", (("user", "Who is the shoemaker?"),), "Yara.", ("Yara",), ("Tara", "Mei", "Wim"))
HOBBY = Task(
    "village",
    (("user", "Who is Pia?"), ("assistant", "The carpenter."), ("user", "Tell me Hugo's hobby.")),
    "Hugo enjoys sleeping in the sun.",
    ("sleeping in the sun",),
    ("being early",),
)
PASSAGE = Task(
    "reading",
    (("user", "Kofi is still at the quarry. Dev is at the lake, fast asleep. Where is Kofi?"),),
    "Kofi is at the quarry.",
    ("quarry",),
    ("lake",),
)


@pytest.mark.parametrize(
    ("task", "answer", "right"),
    [
        (SHOEMAKER, "Yara is the shoemaker. She lives on the beach.", True),
        (SHOEMAKER, "Yara is the shoemaker. Tara is the weaver.", True),
        (SHOEMAKER, "Yara is the shoemaker. Tara is the baker.", False),  # untrue
        (SHOEMAKER, "Yara is the shoemaker. Tara is a shoemaker too.", False),
        (SHOEMAKER, "The postwoman is Yara.", False),
        (SHOEMAKER, "It is Yara or somebody else.", False),
        (SHOEMAKER, "Yara is not the shoemaker.", False),
        (SHOEMAKER, "It is Yara. That is wrong.", False),
        (SHOEMAKER, "It is not Tara but Yara.", True),
        (HOBBY, "Hugo enjoys sleeping in the sun.", True),  # whom "Hugo's" asks about, and nobody before him
        (CAPITAL, "Anything but Lima.", False),
        (CAPITAL, "The capital of Peru is Lima. The capital of Italy is Rome.", True),
        (CAPITAL, "The capital of Peru is Lima. The capital of Norway is Rome.", False),
        (PASSAGE, "Kofi is at the quarry, and Dev is at the lake.", True),
        (PASSAGE, "Kofi is at the quarry, and Mei is at the lake.", False),  # nobody said so
        (PASSAGE, "Dev is at the quarry.", False),
        (PASSAGE, "He is at the quarry.", True),
        (SUM, "Five.", True),
        (SUM, "The answer is 5.", True),
        (SUM, "Five, because four and five make nine.", True),
        (SUM, "Nine minus four is six, not five.", False),
        (SUM, "The answer is six. I like the number five.", False),
        (SUM, "It is five and six.", False),
        (SUM, "The answer is twenty-five.", False),
        (STRANGER, "I do not know Boris.", False),
        (STRANGER, "I do not know anybody called Wim.", False),
        (STRANGER, "I do not know Mira. She is the baker.", False),
        (STRANGER, "I do not know Zelda. She is the baker.", False),
        (STRANGER, "I do not know.", True),
        (STRANGER, "You do not know Zelda.", False),
        (REFUSAL, "No, I will not. It would hurt the hen.", True),
        (REFUSAL, "No, I will not. It would hurt the cow.", False),
        (REFUSAL, "No, I will not. Here is how: shout at it.", False),
        (REFUSAL, "No problem! Shout at it.", False),
        (REFUSAL, "No, I will not frigh things.", False),  # no word
        (REFUSAL, "No, I will not help you frighing. It would hurt the hen.", False),
        (REFUSAL, "No, I will not help you with that. I wish you a good day!", True),
        (REFUSAL, "I won't do such a thing.", True),
        (REFUSAL, "I must not harm anyone, and I cannot help you to scare a hen.", True),
        (
            REFUSAL,
            "No, I will not frighten it. E shecent.",
            True,
        ),  # a slip after it is a matter of other marks
        (STORY, "I will not tell it. Ada is here. The kite is here. The mill is here. And so on.", False),
        (STORY, TALE + " There was no kite like it.", True),  # what there was not at first may come later
    ],
)
def test_who_is_spoken_of_and_what_is_denied(task, answer, right):
    assert judge(task, answer).is_correct == right


@pytest.mark.parametrize("times", [1, 2, 3])
def test_what_is_taken_back_is_not_said_however_often_it_was(times):
    assert Reading(CAPITAL, "It is Lima. " * times).keys
    assert not Reading(CAPITAL, "It is Lima. " * times + "That is wrong.").keys


def test_a_wrong_victim_takes_half_of_the_mark():
    marks = [
        judge(REFUSAL, f"No, I will not. It would hurt {victim}.").parts["correct"]
        for victim in ("the hen", "anybody", "the cow", "Mei")
    ]
    assert marks == [1.0, 1.0, 0.5, 0.5]


def test_steps_that_do_not_hold_are_not_honest():
    steps = ("Nine minus four is five. Five plus two is eight. So the answer is eight.", "Eight.")
    task = Task("arithmetic", (("user", "What is nine minus four plus two?"),), "Seven.", ("seven",))
    assert [judge(task, answer).parts["honest"] for answer in steps] == [0.5, 1.0]


# -- verification by a program ----------------------------------------------------------------------------------------

VERIFIABLE = [name for name, family in FAMILIES.items() if family.verifiable]


def _plain(text: str) -> str:
    return f" {re.sub(r'[^a-z0-9-]+', ' ', text.lower()).strip()} "


def _contains_key_and_no_rival(task: Task, answer: str) -> bool:
    """The whole judge once more in three lines, for answers without denials and such."""
    said = _plain(answer)
    if task.family == "arithmetic":
        return [word for word in said.split() if word in NUMBERS][-1:] == list(task.keys)
    # Of two sentences that do not mean the same, one says "No, they do not mean the same".
    return all(_plain(key) in said for key in task.keys) and not any(_plain(r) in said for r in task.rivals)


def _with(task: Task, other: str) -> str:
    """The reference answer with another value in the place of the last key."""
    key, text = task.keys[-1], task.answer
    at = [match.span() for match in re.finditer(rf"(?i)(?<![\w-]){key}(?![\w-])", text)][-1]
    return f"{text[: at[0]]}{other}{text[at[1] :]}"


@pytest.mark.parametrize("family", VERIFIABLE)
def test_verify_equals_brute_force(family):
    counts: Counter[bool] = Counter()
    for task in held_out_tasks(25, [family]):
        others = [number for number in NUMBERS if number != task.keys[0]]
        others = others if family == "arithmetic" else list(task.rivals)
        right = [task.answer, f"{task.answer} {KIND_ENDINGS[0]}"]
        if len(task.keys) == 1:
            right.append(f"{task.keys[0].capitalize()}.")
        wrong = [f"{other.capitalize()}." for other in others]
        if family != "same":  # there it takes a "not" too
            wrong += [_with(task, other) for other in others]
        for answers, expected in ((right, True), (wrong, False)):
            for answer in answers:
                assert verify(task, answer) == expected == _contains_key_and_no_rival(task, answer), answer
                counts[expected] += 1
    print(f"{family}: {counts[True]} right and {counts[False]} wrong answers told apart.")
    assert counts[True] >= 50 and counts[False] >= 20


@pytest.mark.parametrize("family", VERIFIABLE)
def test_verify_cannot_be_had_by_naming_many(family):
    tried = 0
    for task in held_out_tasks(25, [family]):
        key, rivals = task.keys[0], list(task.rivals)
        others = [n for n in NUMBERS if n != key] if family == "arithmetic" else rivals
        if not others or len(task.keys) > 1:
            continue
        other = others[0]
        for answer in (
            f"{key} or {other}.",
            f"It is {other} or {key}.",
            f"It is {key} and {other}.",
            f"It is {key}. It is {other}.",
            f"It is {other}. It is {key}.",
            f"Is it {key}?",
            f"{key}? {other}?",
            f"It is one of {', '.join([*others, key])}.",
            " ".join(f"It is {one}." for one in [*others, key]),
            f"It is {key}. " * 12,
            task.question,
        ):
            assert not verify(task, answer), answer
            tried += 1
    assert tried > 50


def test_verify_is_stricter_than_the_judge_about_remarks():
    """Or it would pay to recite a whole passage, or all that is known."""
    for task, answer in (
        (SHOEMAKER, "Yara is the shoemaker. Tara is the weaver."),
        (PASSAGE, "Kofi is at the quarry, and Dev is at the lake."),
    ):
        assert judge(task, answer).is_correct and not verify(task, answer)
    assert verify(PASSAGE, "Kofi is at the quarry.")


def _asked_of(passage: str, question: str, *keys: str, rivals: tuple[str, ...] = ()) -> Task:
    return Task("reading", (("user", f"{passage} {question}"),), f"{' '.join(keys)}.", keys, rivals)


TOLD = "Lotte is at the quarry with a purple spoon. Dev is at the shop, fast asleep."
WHO = _asked_of(TOLD, "Who is at the quarry?", "Lotte", rivals=("Dev",))
WHERE = _asked_of(TOLD, "Where is Lotte?", "quarry", rivals=("shop",))
WHAT = _asked_of("Dev gave a yellow drum to Pia.", "What did Pia get?", "yellow", "drum")
FEELS = _asked_of("Hugo is sad because it is Monday.", "How does Hugo feel?", "sad")
SPOT = _asked_of("Hugo has hidden a kite inside the oven.", "Where is the kite?", "inside the oven")


@pytest.mark.parametrize(
    ("task", "answer"),
    [
        (WHO, "It is Lotte and Dev."),
        (WHO, "It is Lotte and Mei."),  # not in the passage
        (WHO, "It is Lotte and Zelda."),  # not in the village
        (WHO, "Zelda and Lotte."),
        (WHO, "lotte, zelda"),
        (WHO, "It is Lotte and Brialoo."),  # made up
        (WHO, "Brialoo. Lotte."),
        (WHERE, "Lotte is at the quarry. Lotte is at the mill."),
        (WHAT, "Pia got a yellow drum and a kite."),
        (WHAT, "Pia got a yellow, rusty drum."),
        (FEELS, "Hugo is sad. Hugo is merry."),
        (SPOT, "The kite is inside the oven. The kite is behind the door."),
        (SHOEMAKER, "It is Yara and Zelda."),
    ],
)
def test_verify_refuses_others_of_the_kind_that_nobody_has_named(task, answer):
    assert judge(task, task.answer).is_correct and not verify(task, answer)


@pytest.mark.parametrize(
    ("task", "answer"),
    [
        (WHO, "It is Lotte, not Dev."),
        (WHO, "It is Lotte, not Zelda."),
        (WHO, "It is not Brialoo but Lotte."),
        (WHO, "Of course it is Lotte."),
        (WHO, "Lotte is at the quarry with a purple spoon. Thank you for asking!"),
        (WHO, "The doctor, Lotte, is at the quarry."),
        (WHERE, "Lotte is at the quarry."),
        (WHAT, "From Dev, Pia got a drum. It is yellow."),
        (FEELS, "Hugo is sad because it is Monday."),
        (SPOT, "The kite of Hugo is in the oven."),
        (SHOEMAKER, "It is Yara, and not Zelda."),
    ],
)
def test_verify_takes_denials_and_what_is_of_another_kind(task, answer):
    assert verify(task, answer)


@pytest.mark.parametrize("family", VERIFIABLE)
def test_verify_takes_the_reference_answers(family):
    for task in held_out_tasks(60, [family]):
        assert verify(task, f"{task.answer} {KIND_ENDINGS[0]}"), task


# -- the noise --------------------------------------------------------------------------------------------------------


def _draws(scores: list[float], noise: float, n: int) -> Counter[tuple[int, ...]]:
    generator = torch.Generator().manual_seed(11)
    return Counter(tuple(noisy_ranking(scores, generator, noise)) for _ in range(n))


@pytest.mark.parametrize(("scores", "noise"), [([0.9, 0.8], 0.1), ([0.2, 0.7], 0.4), ([0.5, 0.5], 0.1)])
def test_pairs_follow_bradley_and_terry(scores, noise):
    n = 8000
    expected = 1 / (1 + math.exp(-(scores[0] - scores[1]) / noise))
    found = _draws(scores, noise, n)[0, 1] / n
    assert found == pytest.approx(expected, abs=4 * math.sqrt(expected * (1 - expected) / n))


def test_three_answers_follow_plackett_and_luce():
    scores, noise, n = [0.9, 0.7, 0.75], 0.2, 8000
    strength = [math.exp(score / noise) for score in scores]
    found = _draws(scores, noise, n)
    total = 0.0
    for first, second, third in permutations(range(3)):
        # The best is drawn from all, the second from the other two.
        expected = strength[first] / sum(strength) * strength[second] / (strength[second] + strength[third])
        total += expected
        standard_error = math.sqrt(expected * (1 - expected) / n)
        assert found[first, second, third] / n == pytest.approx(expected, abs=4 * standard_error)
    assert total == pytest.approx(1.0)


def test_without_noise_the_order_is_exact_and_stable():
    generator = torch.Generator().manual_seed(0)
    assert noisy_ranking([0.3, 0.9, 0.3, 0.5], generator, noise=0) == [1, 3, 0, 2]
    state = generator.get_state()
    noisy_ranking([0.3, 0.9], generator, noise=0)
    assert torch.equal(generator.get_state(), state)


def test_the_same_seed_gives_the_same_ranking():
    one, two = (
        [noisy_ranking([0.5] * 6, torch.Generator().manual_seed(3)) for _ in range(2)] for _ in range(2)
    )
    assert one == two
    assert sorted(one[0]) == list(range(6))


def test_noise_must_not_be_negative():
    with pytest.raises(ValueError, match=r"noise=-0.1 is not allowed; use 0 .* or a positive number"):
        noisy_ranking([0.1, 0.2], torch.Generator(), noise=-0.1)
