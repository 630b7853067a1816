"""The stage `ppo`: what it tells of a policy beside the assistant that the policy started from."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from minillm.data.conversations import TaskConversations
from minillm.data.judge import WEIGHTS
from minillm.data.tasks import Tasks
from minillm.model.gpt import GPT, GPTConfig
from minillm.model.heads import RewardModel
from minillm.recipes import ppo as recipe
from minillm.recipes.stage import Trained
from minillm.stages.ppo import PPOConfig
from minillm.text.tokenizer import Tokenizer
from minillm.train.runtime import ALONE


@pytest.fixture(scope="module")
def tokenizer():
    texts = [message["content"] for task in Tasks("train").tasks(300) for message in task.conversation]
    return Tokenizer.train(texts, 400)


def gpt(tokenizer, seed):
    shape = {"context_length": 128, "n_layer": 1, "n_head": 2, "n_kv_head": 1, "d_model": 24, "d_ff": 40}
    return GPT(GPTConfig(vocab_size=tokenizer.vocab_size, **shape), generator=seed).eval()


@pytest.fixture
def job(tokenizer):
    """What the recipe asks of a job, with models that know nothing."""
    sft = SimpleNamespace(language_model=gpt(tokenizer, 0), tokenizer=tokenizer)
    reward = SimpleNamespace(reward_model=RewardModel.from_body(gpt(tokenizer, 1)).eval())
    return SimpleNamespace(
        config=PPOConfig(max_new_tokens=6),
        parents={"sft": sft, "reward": reward},
        conversations=TaskConversations(10, 10),
        test_tasks=2,
        runtime=ALONE,
    )


def test_the_watched_policy_is_compared_with_the_assistant(job, tokenizer):
    watch = recipe._watch(job)
    itself = watch(job.parents["sft"].language_model)
    assert itself["held_out_win_rate"] == 0.5 and itself["held_out_kl_per_response"] == 0
    assert itself["held_out_parts"].keys() == WEIGHTS.keys() and 0 <= itself["held_out_correct"] <= 1
    assert all({"prompt", "answer", "gold"} == shown.keys() for shown in itself["shown"])
    other = watch(gpt(tokenizer, 5))
    assert [s["prompt"] for s in other["shown"]] == [s["prompt"] for s in itself["shown"]]
    assert other["held_out_kl_per_response"] > 0
    assert other["held_out_reward"] != itself["held_out_reward"]


def test_the_figures_stand_beside_those_of_the_assistant(job, tokenizer):
    figures = recipe.test(job, Trained(tokenizer=tokenizer, model=job.parents["sft"].language_model))
    assert figures["win_rate_vs_sft"] == figures["win_rate_vs_sft_sampled"] == 0.5
    for ours, theirs in ((figures, figures["sft"]), (figures["sampled"], figures["sft"]["sampled"])):
        beside = {name: value for name, value in theirs.items() if name != "sampled"}
        assert {"gold_score", "parts", "mean_tokens"} <= beside.keys()
        assert beside == {name: ours[name] for name in beside}
    assert {"task_accuracy", "accuracy"} <= figures["sft"].keys()
    assert {"correct", "reward"} <= figures["sft"]["sampled"].keys()
    assert set(figures) - {"task_accuracy", "accuracy", "gold_score", "parts", "mean_tokens"} <= {
        "ended_share",
        "repeated_share",
        "distinct_bigrams",
        "verified_share",
        *recipe.PPO.labels,
    }
