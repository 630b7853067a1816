"""A test with options: what is likeliest to the model counts."""

from __future__ import annotations

import pytest
import torch
from played_device import played_device

from minillm.data.web import Exam, Question
from minillm.evaluate.exam import exam_marks, option_log_probs
from minillm.model.gpt import GPT, GPTConfig
from minillm.text.tokenizer import Tokenizer

TOKENIZER = Tokenizer.train(["What did they hide? Answer: the kite. the saw."] * 3, 300)


def model():
    config = GPTConfig(TOKENIZER.vocab_size, context_length=200, n_layer=1, n_head=2, d_model=12, d_ff=20)
    return GPT(config, torch.Generator().manual_seed(0)).eval()


def test_the_log_probability_of_an_option_is_that_of_its_tokens_one_by_one():
    gpt, question = model(), Question("What? Answer:", ("the kite.", "the saw."), 1)
    for option, found in zip(question.options, option_log_probs(gpt, TOKENIZER, question), strict=True):
        ids = [TOKENIZER.end_of_text_id, *TOKENIZER.encode(question.prompt)]
        total = 0.0
        for token in TOKENIZER.encode(f" {option}"):
            with torch.no_grad():
                total += gpt(torch.tensor([ids])).log_softmax(dim=-1)[0, -1, token].item()
            ids.append(token)
        assert found == pytest.approx(total, abs=1e-4)


def test_the_log_probabilities_on_a_device_without_float64():
    gpt, question = model(), Question("What? Answer:", ("the kite.", "the saw."), 1)
    expected = option_log_probs(gpt, TOKENIZER, question)
    with played_device("mps") as device:
        found = option_log_probs(gpt.to(device), TOKENIZER, question)
    assert found == pytest.approx(expected, abs=1e-4)  # the norm has another formula off the CPU


def test_a_mark_is_given_if_the_right_option_is_the_likeliest():
    gpt, questions = model(), Exam(0).questions[:12]
    best = [max(range(8), key=option_log_probs(gpt, TOKENIZER, one).__getitem__) for one in questions]
    assert exam_marks(gpt, TOKENIZER, questions) == [
        place == one.right for place, one in zip(best, questions, strict=True)
    ]
    told = [Question(one.prompt, one.options, place) for one, place in zip(questions, best, strict=True)]
    assert all(exam_marks(gpt, TOKENIZER, told))
