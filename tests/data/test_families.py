"""The families: each owns its tasks and their marking, a new one is one class and one line, and none has changed."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from minillm.data.families import DOMAINS, FAMILIES, USUAL, Family, every_family
from minillm.data.grammar import Scene
from minillm.data.judge import Judge, verify
from minillm.data.task_types import Draft, Task, TaskSplit
from minillm.data.tasks import Tasks, held_out_tasks
from minillm.data.wording import Reading
from minillm.evaluate import Answer, answers, evaluate_tasks, few_shot_accuracy
from minillm.model.gpt import GPT, GPTConfig
from minillm.text.tokenizer import Tokenizer

judge = Judge()


# -- a new family -----------------------------------------------------------------------------------------------------


class Spelling(Family):
    """Spell a thing; the letters count, in their order, and whoever writes anything else is not brief enough."""

    name, weight = "spelling", 400
    obeys = verifiable = True
    earlier = 7
    lengths = (1, 12)
    answer_room = 60

    def draft(self, scene: Scene, split: TaskSplit) -> Draft:
        prompt = scene.say(
            ("Spell {thing}.", "How is {thing} spelled?") if split == "train" else "Spell it: {thing}."
        )
        spelled = "-".join(str(scene["thing"]))
        return Draft(prompt, f"{spelled}.", f"It is {spelled}.", (spelled,))

    def without_steps(self, draft: Draft) -> Draft:
        return replace(draft, full=draft.keys[0].replace("-", "").capitalize() + ".")

    def correct(self, reading: Reading) -> float:
        return float(reading.task.keys[0] in reading.answer)

    def honest(self, reading: Reading) -> float:
        return 0.25 if "perhaps" in reading.answer else 1.0

    def contradicts_itself(self, reading: Reading) -> bool:
        return reading.answer.count("-") > 20


@pytest.fixture
def spelling(monkeypatch) -> Spelling:
    family = Spelling()
    monkeypatch.setitem(FAMILIES, family.name, family)
    return family


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    texts = [message["content"] for task in Tasks("train").tasks(300) for message in task.conversation]
    return Tokenizer.train(texts, 500)


@pytest.fixture(scope="module")
def model(tokenizer) -> GPT:
    shape = {"context_length": 160, "n_layer": 1, "n_head": 2, "n_kv_head": 1, "d_model": 20, "d_ff": 28}
    return GPT(GPTConfig(vocab_size=tokenizer.vocab_size, **shape), generator=0).eval()


def test_a_new_family_is_written_in_its_proportion_styles_and_places(spelling):
    tasks = list(Tasks("train").tasks(900, seed=8))
    mine = [task for task in tasks if task.family == "spelling"]
    others = sum(family.weight for family in FAMILIES.values()) - spelling.weight
    assert len(mine) / len(tasks) == pytest.approx(spelling.weight / (spelling.weight + others), abs=0.05)
    assert {task.style for task in mine} == {"full", "kind", "curt", "flawed"}
    assert {task.wanted for task in mine} == {"", "full", "kind", "curt"}, "it obeys the system"
    before = [content for task in tasks for _, content in task.messages[:-1]]
    assert any(content.startswith("Spell ") for content in before), "it comes up earlier in conversations"
    assert all(task.question.startswith("Spell it: ") for task in held_out_tasks(5, ["spelling"]))


def test_a_new_family_is_marked_by_its_own_rules(spelling):
    task = next(Tasks("test", ["spelling"]).tasks(1))
    assert judge(task, task.answer).is_correct and verify(task, task.answer)
    assert not verify(task, "I do not know.")
    assert judge(task, f"{task.answer} perhaps.").parts["honest"] == 0.25
    assert judge(task, f"It is {'-'.join('abcdefghijklmnopqrstuvwxyz')}.").fault == "contradiction"
    assert judge(task, task.answer + " I say." * 6).parts["length"] < 1.0
    bare = next(Tasks("test", ["spelling"], steps=False).tasks(1))
    assert bare.question == task.question and "-" not in bare.answer


def test_a_new_family_is_tested_and_shown_examples_of(spelling, model, tokenizer, monkeypatch):
    wanted = {task.question: task.answer for task in held_out_tasks(4, ["spelling"])}

    def reply(model, tokenizer, prompts, **options):
        texts = [wanted.get(prompt[-1]["content"], "Hm.") for prompt in prompts]
        return [Answer(text, tuple(tokenizer.encode(text)), True) for text in texts]

    monkeypatch.setattr(answers, "answer_prompts", reply)
    report = evaluate_tasks(model, tokenizer, 4)
    assert report.accuracy["spelling"] == 1.0 and report.accuracy["world"] == 0.0

    seen: list[str] = []

    def complete(model, tokenizer, prompts, most):
        seen.extend(prompt for prompt in prompts if "Question: Spell" in prompt)
        ends = {f"{question}\nAnswer:": answer for question, answer in wanted.items()}
        return [next((ends[end] for end in ends if prompt.endswith(end)), "Hm.") for prompt in prompts]

    monkeypatch.setattr(answers, "complete", complete)
    accuracy = few_shot_accuracy(model, tokenizer, shots=20, n=4)
    assert list(accuracy) == list(FAMILIES) and accuracy["world"] == 0.0
    assert accuracy["spelling"] == 1.0
    room = model.config.context_length - spelling.answer_room
    lengths = [len(tokenizer.encode(prompt)) for prompt in seen]
    assert room - 40 < max(lengths) <= room, "the examples leave the room that the family asks for"


def test_a_new_family_is_gone_after_its_test():
    assert "spelling" not in every_family()
    with pytest.raises(ValueError, match="choose at least one of village"):
        Tasks("train", ["spelling"])


def test_a_family_that_writes_nothing_says_so(monkeypatch):
    monkeypatch.setitem(FAMILIES, "mute", type("Mute", (Family,), {"name": "mute"})())
    with pytest.raises(
        NotImplementedError, match="the family 'mute' writes no tasks; give it a method `draft`"
    ):
        next(Tasks("train", ["mute"]).tasks(1))


# -- the families that there are --------------------------------------------------------------------------------------


def test_names_agree_and_are_used_once():
    assert all(name == family.name for name, family in every_family().items())
    assert len(every_family()) == len(FAMILIES) + sum(map(len, DOMAINS.values()))
    places = [family.earlier for family in every_family().values() if family.earlier]
    assert sorted(places) == list(range(1, len(places) + 1)), (
        "a tie would leave the order of openers to chance"
    )


def test_only_families_with_styles_obey_or_come_up_earlier():
    assert not [name for name, f in every_family().items() if (f.obeys or f.earlier) and not f.styled]


VERIFIABLE = ("village", "world", "reading", "sentiment", "same", "arithmetic")


@pytest.mark.parametrize("name", VERIFIABLE)
def test_verify_is_the_marking(name):
    tasks = held_out_tasks(12, [name])
    other = {task.keys: task.answer for task in tasks}
    told = {True: 0, False: 0}
    for task in tasks:
        for text in (task.answer, *other.values(), "", task.question, f"{task.answer} {task.answer}"):
            told[verify(task, text)] += 1
            assert verify(task, text) == judge(task, text).is_correct
        assert verify(task, task.answer)
    assert min(told.values()) >= len(tasks)


@pytest.mark.parametrize(
    "name", ["story", "strangers", "refusal", "greeting", "complaint", "village letter", "poem"]
)
def test_what_is_left_to_taste_cannot_be_verified(name):
    task = Task(name, (("user", "Hello!"),), "Hello!", ("hello",))
    with pytest.raises(ValueError, match=f"family='{name}' cannot be verified .* {', '.join(VERIFIABLE)}$"):
        verify(task, "Hello!")


def test_a_task_of_no_known_family_is_judged_in_the_usual_way():
    task = Task("poem", (("user", "What rhymes with hat?"),), "A cat.", ("cat",), ("dog",))
    assert USUAL.correct(USUAL.read(task, "A cat.")) == 1.0
    assert [judge(task, text).is_correct for text in ("A cat.", "It is a dog.")] == [True, False]


# Of the first tasks of every family and their verdicts: trained models and figures rest on them. Whoever changes tasks
# or marking on purpose writes down here what comes out then. (Letters are those of their families: test_letters.py.)
PRINTS = {
    "village": "a8703ac8e876",
    "world": "d8bd9858c1c3",
    "reading": "a1d6555f271b",
    "story": "e68a1d9bf2a2",
    "sentiment": "4444e74b34bc",
    "same": "88fe7e152142",
    "arithmetic": "67c040d82519",
    "strangers": "f205cd280aca",
    "refusal": "e18fb276cffa",
    "greeting": "93879b6b5952",
    "untold": "51e99c702119",
    "visitors": "59dfce464009",
    "complaint": "dc40088331f6",
    "order": "bfe9e2cc2c5e",
    "number": "bc04f56554e3",
    "hours": "4762684e29ab",
    "unknown": "477ced606520",
    "thanks": "3b4087b72a38",
}


@pytest.mark.parametrize("name", [name for name in every_family() if name not in DOMAINS["letters"]])
def test_tasks_and_verdicts_have_not_changed(name):
    tasks = [task for split in ("train", "test") for task in Tasks(split, [name]).tasks(30, seed=17)]
    texts = [
        (t, text)
        for t, o in zip(tasks, tasks[::-1], strict=True)
        for text in (t.answer, o.answer, t.question)
    ]
    said = [(task, text, judge(task, text)) for task, text in texts]
    assert hashlib.sha256(repr(said).encode()).hexdigest()[:12] == PRINTS.get(name)
