"""The stage `grpo`: what it tells where only some families were practised."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from minillm.data.conversations import TaskConversations
from minillm.data.tasks import Tasks, held_out_tasks
from minillm.evaluate import answer_tasks, verified_share
from minillm.model.gpt import GPT, GPTConfig
from minillm.recipes import grpo as recipe
from minillm.recipes.stage import Trained
from minillm.stages.grpo import GRPOConfig
from minillm.text.tokenizer import Tokenizer
from minillm.train.runtime import ALONE


def test_the_greedy_share_is_of_the_families_that_were_practised(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the sampled one beside it."""
    texts = [message["content"] for task in Tasks("train").tasks(300) for message in task.conversation]
    tokenizer = Tokenizer.train(texts, 400)
    shape = {"context_length": 128, "n_layer": 1, "n_head": 2, "n_kv_head": 1, "d_model": 24, "d_ff": 40}
    model = GPT(GPTConfig(vocab_size=tokenizer.vocab_size, **shape), generator=0).eval()
    monkeypatch.setattr("minillm.evaluate.verified.verify", lambda task, answer: task.family == "sentiment")
    for families, share in ((("sentiment",), 1.0), (("world",), 0.0)):
        source = TaskConversations(10, 10, families)
        job = SimpleNamespace(
            config=GRPOConfig(max_new_tokens=4),
            parents={"sft": SimpleNamespace(language_model=model, tokenizer=tokenizer)},
            sources={"conversations": source},
            test_tasks=2,
            runtime=ALONE,
        )
        figures = recipe.test(job, Trained(tokenizer=tokenizer, model=model))  # type: ignore[arg-type]
        assert figures["verified_share"] == share == figures["verified_share_sampled"]
    tasks = held_out_tasks(2, ["sentiment", "world"])
    assert 0 < verified_share(tasks, answer_tasks(model, tokenizer, tasks, 0.0).answers) < 1  # type: ignore[operator]
