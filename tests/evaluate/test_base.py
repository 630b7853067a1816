"""The measures of a base model: right answers score 1, wrong ones 0, an untrained model about 0."""

from __future__ import annotations

import pytest

from minillm.data.knowledge import fixed_questions
from minillm.data.world import TEST_SEED, World
from minillm.evaluate import base as evaluate
from minillm.model.gpt import GPT, GPTConfig
from minillm.text.tokenizer import Tokenizer


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.train((document.text for document in World().documents(300)), 400)


@pytest.fixture(scope="module")
def model(tokenizer):
    shape = {"context_length": 192, "n_layer": 1, "n_head": 2, "n_kv_head": 1, "d_model": 32, "d_ff": 64}
    return GPT(GPTConfig(vocab_size=tokenizer.vocab_size, **shape), generator=0).eval()


def oracle(texts):
    """A stand-in for `complete` that knows how each text goes on."""

    def complete(model, tokenizer, prompts, max_new_tokens, temperature=0.0, **options):
        return [next(text[len(prompt) :] for text in texts if text.startswith(prompt)) for prompt in prompts]

    return complete


def test_an_untrained_model_scores_nothing(model, tokenizer):
    assert evaluate.copying(model, tokenizer, n=4).stories == 0
    assert evaluate.reading_comprehension(model, tokenizer, n=4) == 0


def test_the_true_stories_keep_every_promise(monkeypatch):
    stories = [document.text for document in evaluate.titles(40)]
    monkeypatch.setattr(evaluate, "complete", oracle(stories))
    config = type("Model", (), {"config": type("Config", (), {"context_length": 100})})
    score = evaluate.copying(config, None, n=40)
    assert (score.elements, score.stories, score.n) == (1, 1, 40)


def test_each_missing_promise_is_counted(monkeypatch):
    documents = evaluate.titles(40)
    thing = {document.text: document.promises[-1] for document in documents}
    stories = [
        text.partition("\n")[0] + "\n" + text.partition("\n")[2].replace(last, "?")
        for text, last in thing.items()
    ]
    monkeypatch.setattr(evaluate, "complete", oracle(stories))
    config = type("Model", (), {"config": type("Config", (), {"context_length": 100})})
    score = evaluate.copying(config, None, n=40)
    promises = sum(len(document.promises) for document in documents)
    assert score.stories == 0
    assert score.elements == pytest.approx(1 - 40 / promises)


def test_part_of_a_word_is_not_a_kept_promise(monkeypatch):
    monkeypatch.setattr(
        evaluate, "titles", lambda n, seen: [World(["titled_story"]).document(TEST_SEED, 0)] * n
    )
    promises = World(["titled_story"]).document(TEST_SEED, 0).promises
    glued = " ".join(promise + "x" for promise in promises)
    monkeypatch.setattr(evaluate, "complete", lambda *_, **__: [glued])
    config = type("Model", (), {"config": type("Config", (), {"context_length": 100})})
    assert evaluate.copying(config, None, n=1).elements == 0


def test_reading_and_knowledge_need_the_whole_answer(monkeypatch):
    class Letters:
        encode_batch = staticmethod(lambda texts: [list(text) for text in texts])

    readings = [document.text for document in World(["reading"]).documents(30, TEST_SEED)]
    monkeypatch.setattr(evaluate, "complete", oracle(readings))
    assert evaluate.reading_comprehension(None, Letters, n=30) == 1
    facts = [f"Question: {question}\nAnswer: {answer}" for question, answer in fixed_questions("people")]
    monkeypatch.setattr(evaluate, "complete", oracle(facts))
    assert evaluate.knowledge(None, Letters, "people") == 1
    monkeypatch.setattr(evaluate, "complete", oracle([fact[:-1] + " and so on." for fact in facts]))
    assert evaluate.knowledge(None, Letters, "people") == 0


def test_titles_leave_out_what_was_seen():
    seen = {document.promises for document in evaluate.titles(20)[:10]}
    assert not seen & {document.promises for document in evaluate.titles(20, seen)}


def test_complete_stops_at_the_end_of_the_context(model, tokenizer):
    prompts = ["A story about Ada", "Hm"] * 40
    texts = evaluate.complete(model, tokenizer, prompts, 500)
    assert len(texts) == 80
    for prompt, text in zip(prompts, texts, strict=True):
        assert len(tokenizer.encode(prompt)) + len(tokenizer.encode(text)) < model.config.context_length


def test_a_long_prompt_takes_no_room_from_a_short_one(model, tokenizer):
    long = "A story about Ada " * 100
    while len(tokenizer.encode(long)) > model.config.context_length - 3:
        long = long[:-1]
    alone = [evaluate.complete(model, tokenizer, [prompt], 40) for prompt in ("Hm", long)]
    assert evaluate.complete(model, tokenizer, ["Hm", long], 40) == [text for (text,) in alone]
    with pytest.raises(ValueError, match="leaves no room in the context of 192 tokens"):
        evaluate.complete(model, tokenizer, ["Hm", 2 * long], 40)
