"""A policy beside its reference: log-probabilities, KL against plain computations."""

from __future__ import annotations

import json
import math

import pytest
import torch

from minillm.data.judge import WEIGHTS, Verdict
from minillm.data.tasks import Tasks
from minillm.evaluate import (
    Answer,
    PolicyReport,
    answer_log_probs,
    answer_prompts,
    answer_rewards,
    evaluate_policy,
)
from minillm.model.gpt import GPT, GPTConfig
from minillm.model.heads import RewardModel
from minillm.text.chat import render_chat, stop_ids
from minillm.text.tokenizer import Tokenizer


@pytest.fixture(scope="module")
def tokenizer():
    texts = [message["content"] for task in Tasks("train").tasks(300) for message in task.conversation]
    return Tokenizer.train(texts, 400)


def gpt(tokenizer, seed, gain=None):
    shape = {"context_length": 256, "n_layer": 1, "n_head": 2, "n_kv_head": 1, "d_model": 24, "d_ff": 40}
    model = GPT(GPTConfig(vocab_size=tokenizer.vocab_size, **shape), generator=seed).eval()
    if gain is not None:
        torch.nn.init.constant_(model.model.norm.weight, gain)
    return model


TASKS = list(Tasks("test").tasks(7, 11))
PROMPTS = [task.prompt for task in TASKS]


def rendered(tokenizer, prompt, answer):
    end = stop_ids(tokenizer)[0]
    ids = render_chat(prompt, tokenizer, add_generation_prompt=True).ids
    return ids, [*ids, *answer.ids, *([end] if answer.ended else [])]


@torch.no_grad()
def test_log_probs_equal_one_token_after_another(tokenizer):
    model = gpt(tokenizer, 0, 0.5)
    answers = [*answer_prompts(model, tokenizer, PROMPTS[:-1], 9, 1.0, seed=3), Answer("", (), True)]
    for prompt, answer, found in zip(
        PROMPTS, answers, answer_log_probs(model, tokenizer, PROMPTS, answers), strict=True
    ):
        start, ids = rendered(tokenizer, prompt, answer)
        total = 0.0
        for t in range(len(start), len(ids)):
            total += model(torch.tensor([ids[:t]]))[0, -1].double().log_softmax(-1)[ids[t]].item()
        assert found == pytest.approx(total, abs=1e-4)  # float32 sums of up to ten terms


@torch.no_grad()
def test_rewards_equal_one_conversation_at_a_time(tokenizer):
    model = RewardModel.from_body(gpt(tokenizer, 1, 0.5)).eval()
    answers = answer_prompts(gpt(tokenizer, 0, 0.5), tokenizer, PROMPTS, 9, 1.0, seed=3)
    for prompt, answer, found in zip(
        PROMPTS, answers, answer_rewards(model, tokenizer, PROMPTS, answers), strict=True
    ):
        _, ids = rendered(tokenizer, prompt, answer)
        assert found == pytest.approx(model(torch.tensor([ids])).item(), abs=1e-5)


def test_a_policy_is_no_distance_away_from_itself(tokenizer):
    policy = gpt(tokenizer, 0)
    report = evaluate_policy(policy, policy, tokenizer, TASKS, max_new_tokens=8)
    assert report.kl == (0.0,) * len(TASKS)
    assert report.win_rate(report) == 0.5
    assert set(report.figures()) == {"gold_score", "correct", "parts", "kl_per_response", "mean_tokens"}


def test_figures_are_means_of_the_gated_scores():
    marks = [dict.fromkeys(WEIGHTS, 1.0), dict.fromkeys(WEIGHTS, 1.0) | {"correct": 0.0}]
    verdicts = (*map(Verdict, marks), Verdict(marks[0], "loop"))
    report = PolicyReport((Answer("", (1, 2), True),) * 3, verdicts, (1.0, 2.0, 6.0), (0.0, 1.0, 0.5))
    figures = report.figures()
    # All right: 1; friendly, but wrong: 0; no answer at all: a tenth of 1.
    assert figures["gold_score"] == pytest.approx((1.0 + 0.0 + 0.1) / 3)
    assert figures["correct"] == pytest.approx(1 / 3)
    assert figures["parts"]["correct"] == pytest.approx(2 / 3) and figures["parts"]["kind"] == 1.0
    assert (figures["reward"], figures["kl_per_response"], figures["mean_tokens"]) == (3.0, 0.5, 2.0)
    assert json.loads(json.dumps(figures)) == figures


def test_the_mean_of_many_samples_is_the_exact_kl(tokenizer):
    """Answers of one token: the KL of the next-token distributions, by enumeration."""
    policy, reference = gpt(tokenizer, 0, 0.4), gpt(tokenizer, 5, 0.4)
    ids = render_chat(PROMPTS[0], tokenizer, add_generation_prompt=True).ids
    with torch.no_grad():
        here, there = (m(torch.tensor([ids]))[0, -1].double().log_softmax(-1) for m in (policy, reference))
    exact = (here.exp() * (here - there)).sum().item()
    spread = (here.exp() * (here - there - exact).square()).sum().sqrt().item()
    n = 4_000
    report = evaluate_policy(policy, reference, tokenizer, [TASKS[0]] * n, seed=1, max_new_tokens=1)
    assert sum(report.kl) / n == pytest.approx(exact, abs=4 * spread / math.sqrt(n))
