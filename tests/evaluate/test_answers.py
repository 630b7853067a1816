"""Answers and reports: what a model says is cut at its end token, judged and counted by family."""

from __future__ import annotations

import pytest
import torch

from minillm.data.judge import Judge
from minillm.data.tasks import FAMILIES, Task, Tasks, held_out_tasks
from minillm.evaluate import (
    Answer,
    Report,
    answer_prompts,
    answer_tasks,
    answers,
    evaluate_tasks,
    few_shot_accuracy,
)
from minillm.model.gpt import GPT, GPTConfig
from minillm.text.chat import render_chat, stop_ids
from minillm.text.tokenizer import Tokenizer


@pytest.fixture(scope="module")
def tokenizer():
    texts = [message["content"] for task in Tasks("train").tasks(400) for message in task.conversation]
    return Tokenizer.train(texts, 600)


@pytest.fixture(scope="module")
def model(tokenizer):
    shape = {"context_length": 192, "n_layer": 1, "n_head": 2, "n_kv_head": 1, "d_model": 24, "d_ff": 40}
    return GPT(GPTConfig(vocab_size=tokenizer.vocab_size, **shape), generator=0).eval()


PROMPTS = [
    [{"role": "user", "content": text}]
    for text in ("Hello!", "Who is the baker of the village?", "Why?", "Hm.")
]


def test_a_greedy_answer_is_the_argmax_token_by_token(model, tokenizer):
    """Longer and shorter prompts come back in their own places."""
    stop = set(stop_ids(tokenizer))
    for prompt, given in zip(PROMPTS, answer_prompts(model, tokenizer, PROMPTS, 12), strict=True):
        ids = render_chat(prompt, tokenizer, add_generation_prompt=True).ids
        expected: list[int] = []
        with torch.no_grad():
            while len(expected) < 12:
                token = int(model(torch.tensor([ids + expected]))[0, -1].argmax())
                if token in stop:
                    break
                expected.append(token)
        assert list(given.ids) == expected
        assert given.ended == (len(expected) < 12)


def test_a_long_prompt_does_not_cut_the_answers_beside_it(model, tokenizer):
    """The room of the longest prompt once was everybody's: half of a batch ended in the middle of a word."""
    long = [{"role": "user", "content": "Why? " * 80}]
    while len(render_chat(long, tokenizer, add_generation_prompt=True).ids) > model.config.context_length - 3:
        long = [{"role": "user", "content": long[0]["content"][5:]}]
    alone = answer_prompts(model, tokenizer, PROMPTS, 12)
    *beside, last = answer_prompts(model, tokenizer, [*PROMPTS, long], 12)
    assert beside == alone and max(len(answer.ids) for answer in alone) == 12
    room = model.config.context_length - len(render_chat(long, tokenizer, add_generation_prompt=True).ids)
    assert len(last.ids) <= room and last.ended == (len(last.ids) < room)


def test_sampled_answers_follow_the_seed(model, tokenizer):
    one, same, other = (answer_prompts(model, tokenizer, PROMPTS, 12, 1.0, seed=seed) for seed in (5, 5, 6))
    assert one == same
    assert one != other


def test_a_prompt_without_room_for_an_answer_is_refused(model, tokenizer):
    with pytest.raises(ValueError, match=r"a prompt has \d+ tokens, the context_length is 192; shorten it"):
        answer_prompts(model, tokenizer, [[{"role": "user", "content": "word " * 300}]])


def scripted(replies):
    def fake(model, tokenizer, prompts, **options):
        return [Answer(reply, tuple(tokenizer.encode(reply)), True) for reply in replies(prompts)]

    return fake


def test_a_report_counts_every_family_the_same(model, tokenizer, monkeypatch):
    tasks = [*held_out_tasks(6, ["greeting"]), *held_out_tasks(2, ["world"])]
    right = {task.question: task.answer for task in tasks if task.family == "world"}
    monkeypatch.setattr(
        answers,
        "answer_prompts",
        scripted(lambda prompts: [right.get(p[-1]["content"], "Milk is white.") for p in prompts]),
    )
    report = answer_tasks(model, tokenizer, tasks)
    assert report.accuracy == {"greeting": 0.0, "world": 1.0}
    assert report.task_accuracy == 0.5
    judge = Judge()
    scores = [judge(task, right.get(task.question, "Milk is white.")).gold for task in tasks]
    assert report.scores == scores and min(scores) == 0.0 < max(scores)
    assert report.gold_score == pytest.approx(sum(scores) / 8)
    figures = report.figures()
    assert figures["task_accuracy"] == 0.5 and figures["ended_share"] == 1.0
    assert set(figures["parts"]) == set(report.verdicts[0].parts)


def test_the_reference_answers_are_all_right():
    tasks = held_out_tasks(10)
    given = tuple(Answer(task.answer, (1,), True) for task in tasks)
    judge = Judge()
    report = Report(tuple(tasks), given, tuple(judge(task, task.answer) for task in tasks))
    assert report.task_accuracy == 1.0
    assert "bleu" not in report.figures(), "it is no measure of these answers"


def test_an_untrained_model_knows_nothing(model, tokenizer):
    report = evaluate_tasks(model, tokenizer, 2, max_new_tokens=20)
    assert set(report.accuracy) <= set(FAMILIES)
    assert report.task_accuracy < 0.1


def test_few_shot_prompts_are_examples_and_then_the_task(model, tokenizer, monkeypatch):
    seen: dict[int, list[str]] = {}
    known = {f"{task.question}\nAnswer:": task.answer for task in held_out_tasks(3, ["strangers"])}
    for shots in (0, 2):

        def complete(model, tokenizer, prompts, max_new_tokens, shots=shots):
            seen.setdefault(shots, []).extend(prompts)
            said = [next((known[end] for end in known if prompt.endswith(end)), "Hm.") for prompt in prompts]
            return [f" {text}\nQuestion: more" for text in said]

        monkeypatch.setattr(answers, "complete", complete)
        accuracy = few_shot_accuracy(model, tokenizer, shots, n=3)
        assert accuracy["strangers"] == 1.0, "only the first line is the answer"
        assert accuracy["world"] == 0.0
    assert all(prompt.count("Question:") == 1 for prompt in seen[0])
    assert max(prompt.count("Question:") for prompt in seen[2]) == 3
    assert all(prompt.endswith("Answer:") for prompt in seen[2])
    assert all(len(tokenizer.encode(prompt)) < 192 for prompt in seen[2])


def test_examples_come_from_the_training_split(tokenizer):
    examples = list(Tasks("train", ["world"]).tasks(10))
    task: Task = held_out_tasks(1, ["world"])[0]
    prompt = answers._as_text(task, examples, 3, tokenizer, 400)
    assert prompt.count("\nAnswer: ") == 3
    assert all(f"Question: {e.question}\nAnswer: {e.answer}" in prompt for e in examples[:3])
