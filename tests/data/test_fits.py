"""What would not fit the model is told before it is trained; compared with what the stages then do."""

from __future__ import annotations

import json

import pytest

from minillm.data.comparisons import fitting_comparisons
from minillm.data.conversations import TaskConversations, open_conversations, open_domain, prompts_of
from minillm.data.corpora import WorldCorpus, open_corpus
from minillm.data.preferences import SampledPreferences, open_preferences
from minillm.data.tasks import Tasks
from minillm.stages.pretrain import tokenize
from minillm.stages.sft import chat_documents
from minillm.text.chat import render_chat
from minillm.text.tokenizer import Tokenizer

TOKENIZER = Tokenizer([])  # a token a byte


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def turns(*lengths: int) -> list[dict[str, str]]:
    roles = ("user", "assistant")
    return [{"role": roles[i % 2], "content": "x" * n} for i, n in enumerate(lengths)]


def refusal(source, context_length: int) -> str | None:
    try:
        source.check_fits(TOKENIZER, context_length)
    except ValueError as error:
        assert "\n" not in str(error) and "--set base.model.context_length=N" in str(error)
        return str(error)
    return None


@pytest.mark.parametrize("context_length", range(5, 40))
def test_conversations_are_refused_when_fine_tuning_would_refuse_them(tmp_path, context_length):
    talks = [{"messages": turns(n, 3)} for n in range(10, 30)]
    source = open_conversations(write(tmp_path / "a.jsonl", talks))
    expected = None
    for split in ("validation", "train"):
        chats = [render_chat(one, TOKENIZER) for one in source.split(split)]
        try:
            chat_documents(chats, TOKENIZER.end_of_text_id, context_length)
        except ValueError:
            expected = split
    told = refusal(source, context_length)
    if expected:
        assert f"for {expected} has an answer within the context of {context_length} tokens" in told
    elif told:  # the answer's first token is within the context, but not its end
        assert "no message of the user's leaves room for an answer" in told
        shortest = min(
            len(render_chat(one[:1], TOKENIZER, add_generation_prompt=True).ids)
            for one in source.split("train")
        )
        assert shortest >= context_length - 1


def test_an_earlier_turn_may_stand_in_for_the_last(tmp_path):
    long = [{"messages": turns(*[5] * 60)}] * 10 + [{"messages": turns(*[6] * 60)}] * 10
    source = open_conversations(write(tmp_path / "a.jsonl", long))
    assert refusal(source, 64) is None
    messages = source.split("train")[0]
    prompts = prompts_of(messages)
    assert [len(prompt) for prompt in prompts] == list(range(59, 0, -2))
    assert all(prompt == messages[: len(prompt)] and prompt[-1]["role"] == "user" for prompt in prompts)
    assert prompts[0] == source.prompt(0)
    system = [{"role": "system", "content": "?"}, *turns(1, 1, 1)]
    assert prompts_of(system) == [system, system[:2]]


def test_the_split_that_does_not_fit_is_named(tmp_path):
    path = tmp_path / "a.jsonl"
    source = open_conversations(write(path, [{"messages": turns(n, 3)} for n in range(1, 21)]))
    held_out = [row in source.split("validation") for row in source.rows]
    talks = [{"messages": turns(n + (50 if held else 0), 3)} for n, held in enumerate(held_out, 1)]
    told = refusal(open_conversations(write(path, talks)), 40)
    assert told.startswith("conversations a.jsonl: none of the 1 for validation has an answer")
    assert refusal(open_domain(path), 40) == told
    talks = [{"messages": turns(n + (0 if held else 50), 3)} for n, held in enumerate(held_out, 1)]
    assert "none of the 19 for train has" in refusal(open_conversations(write(path, talks)), 40)


@pytest.mark.parametrize("context_length", [5, 13, 17, 18, 19, 20, 25, 40])
def test_comparisons_are_refused_when_the_reward_model_would_refuse_them(tmp_path, context_length):
    pairs = [{"prompt": "x" * n, "chosen": "yes", "rejected": "no, never"} for n in range(1, 21)]
    source = open_preferences(write(tmp_path / "a.jsonl", pairs))
    expected = None
    for split in ("validation", "train"):
        try:
            fitting_comparisons(source.comparisons(split, None, None)[0], TOKENIZER, context_length)
        except ValueError:
            expected = split
    told = refusal(source, context_length)
    assert (told is None) == (expected is None)
    assert expected is None or f"comparisons for {expected} fits the context of {context_length}" in told


@pytest.mark.parametrize("context_length", [64, 107, 108, 109, 110, 190, 191, 1000])
def test_a_corpus_is_refused_when_pretraining_would_refuse_it(tmp_path, context_length):
    write(tmp_path / "a.jsonl", [{"text": f"{n} words"} for n in range(14)])
    corpus = open_corpus(tmp_path / "a.jsonl")
    predictions = sum(len(ids) + 1 for ids in tokenize(TOKENIZER, corpus.documents("train")))
    told = refusal(corpus, context_length)
    assert (told is None) == (predictions >= context_length)
    assert told is None or f"has {predictions} tokens for training, less than one context" in told


def test_no_more_is_encoded_than_is_needed(tmp_path):
    class Counting:
        encoded = 0

        def encode(self, text):
            self.encoded += len(text)
            return TOKENIZER.encode(text)

    (tmp_path / "a.txt").write_text("word " * 400_000, encoding="utf-8")
    counting = Counting()
    open_corpus(tmp_path / "a.txt").check_fits(counting, 128)
    assert counting.encoded < 5_000


@pytest.mark.parametrize("context_length", [1, 2, 4, 8, 40, 160, 400])
@pytest.mark.parametrize("make", [TaskConversations, SampledPreferences])
def test_what_is_built_in_can_be_too_long_as_well(make, context_length):
    source = make(n_train=20, n_validation=20)
    tasks = [task for split in ("train", "test") for task in Tasks(split).tasks(20)]
    shortest = min(len(render_chat(task.prompt, TOKENIZER, add_generation_prompt=True).ids) for task in tasks)
    told = refusal(source, context_length)
    if context_length < shortest // 2 or context_length > 2 * shortest:
        assert (told is None) == (context_length > shortest)
    if told:
        assert told.startswith(
            "conversations tasks: " if make is TaskConversations else "preferences judge: "
        )


def test_the_world_is_always_long_enough():
    WorldCorpus().check_fits(None, 1)
