"""What the assistant's surprise adds to a score: against loops over tokens, and what it lets an answer gain."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minillm.model.heads import RewardModel
from minillm.model.surprise import surprise_marks

MARK = 3
TOLERANCE = 1e-5  # float32 sums in another order, scores of size 1 to 10
WEIGHTS = (0.11, -0.07, 0.23)


@pytest.fixture
def make_asking(make_model):
    """Return a reward model that asks an assistant, with random weights everywhere."""

    def make(**changes):
        model = RewardModel.with_assistant(make_model(**changes), MARK, generator=5)
        for weight in model.model.parameters():  # the body differs from the assistant, as after training
            weight.data += 0.1 * torch.randn(
                weight.shape, generator=torch.Generator().manual_seed(weight.numel())
            )
        model.score.weight.data.normal_(0, 0.5, generator=torch.Generator().manual_seed(6))
        model.surprise_weight.data = torch.tensor(WEIGHTS)
        model.mean.fill_(0.375)
        return model.eval()

    return make


def conversation(random_ids, prompt, answer, seed=0):
    """A prompt that ends with the mark, which stands in it once before, and an answer without one."""
    ids = random_ids(prompt + answer, seed=100 * prompt + answer + seed)
    ids[ids == MARK] = MARK + 1
    ids[1] = ids[prompt - 1] = MARK
    return ids.tolist()


def score_by_hand(model, ids):
    """The head's number, and ten, two and a half and five times the weighted marks, token by token."""
    start = len(ids) - ids[::-1].index(MARK)
    nats = []
    for at in range(start, len(ids)):
        logits = model.assistant(torch.tensor([ids[:at]]))[0, -1].double().numpy()
        nats.append(logits[ids[at]] - np.log(np.exp(logits).sum()))
    nats.sort()
    marks = (sum(nats) / len(nats), nats[0], sum(nats[:3]) / len(nats[:3]))
    surprise = sum(
        weight * gain * mark for weight, gain, mark in zip(WEIGHTS, (10, 2.5, 5), marks, strict=True)
    )
    return model.token_scores(torch.tensor([ids]))[0, -1].item() + surprise - 0.375


lists_of_nats = st.lists(st.floats(-30, 0, width=32), min_size=1, max_size=7)


@settings(max_examples=50, deadline=None)
@given(st.lists(lists_of_nats, min_size=1, max_size=3), st.integers(0, 3))
def test_the_marks_of_answers_in_one_row_are_those_of_sorted_lists(answers, before):
    """With tokens of nobody before them, and one answer that has no token."""
    nats = torch.tensor([[-50.0] * before + [nat for answer in answers for nat in answer]])
    owner = torch.tensor([0] * before + [n for n, answer in enumerate(answers, 1) for _ in answer])
    membership = owner == torch.arange(1, len(answers) + 2)[:, None]
    marks = surprise_marks(nats, membership[None])
    assert marks.shape == (1, len(answers) + 1, 3)
    for number, answer in enumerate(answers):
        least = sorted(answer)[:3]
        expected = [sum(answer) / len(answer), least[0], sum(least) / len(least)]
        assert marks[0, number].tolist() == pytest.approx(expected, abs=1e-4)
    assert marks[0, -1].tolist() == [0.0, 0.0, 0.0]


@torch.no_grad()
@pytest.mark.parametrize("changes", [{}, {"tie_embeddings": False, "n_kv_head": 1}])
def test_a_score_is_the_heads_number_and_the_weighted_marks(make_asking, random_ids, changes):
    model = make_asking(**changes)
    for prompt, answer in ((4, 1), (5, 2), (9, 7)):
        ids = conversation(random_ids, prompt, answer)
        assert model(torch.tensor([ids])).item() == pytest.approx(score_by_hand(model, ids), abs=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_does_not_matter(make_asking, random_ids, side):
    model = make_asking()
    rows = [conversation(random_ids, prompt, answer) for prompt, answer in ((4, 1), (9, 7), (3, 5))]
    width = max(map(len, rows)) + 2
    padding = [[MARK] * (width - len(row)) for row in rows]  # a mark in the padding is none
    filled = [row + pad if side == "right" else pad + row for row, pad in zip(rows, padding, strict=True)]
    real = [[True] * len(row) + [False] * (width - len(row)) for row in rows]
    mask = [flags if side == "right" else flags[::-1] for flags in real]
    scores = model(torch.tensor(filled), torch.tensor(mask))
    alone = torch.cat([model(torch.tensor([row])) for row in rows])
    torch.testing.assert_close(scores, alone, atol=TOLERANCE, rtol=1e-5)


def in_one_row(random_ids, prompt, lengths):
    whole = [conversation(random_ids, prompt, 8) for _ in lengths]
    trunk = whole[0][:prompt]
    answers = [conversation(random_ids, prompt, length, seed=length)[prompt:] for length in lengths]
    ids, branches, ends = list(trunk), [0] * prompt, []
    for branch, answer in enumerate(answers, 1):
        ids, branches = ids + answer, branches + [branch] * len(answer)
        ends.append(len(ids) - 1)
    tensors = [torch.tensor([part]) for part in (ids + [0] * 3, branches + [-1] * 3, ends)]
    return tensors, [trunk + answer for answer in answers]


def test_answers_that_share_a_prompt_have_score_and_gradient_of_each_alone(make_asking, random_ids):
    model = make_asking()
    row, whole = in_one_row(random_ids, 5, (1, 6, 3))
    shared = model.branch_scores(*row)[0]
    alone = torch.cat([model(torch.tensor([ids])) for ids in whole])
    assert alone.std() > 0.1
    torch.testing.assert_close(shared, alone, atol=TOLERANCE, rtol=1e-5)
    weights = torch.tensor([0.7, -1.9, 0.4])
    learning = [weight for weight in model.parameters() if weight.requires_grad]
    for one, other in zip(
        torch.autograd.grad((shared * weights).sum(), learning),
        torch.autograd.grad((alone * weights).sum(), learning),
        strict=True,
    ):
        torch.testing.assert_close(one, other, atol=5e-5, rtol=1e-4)


def test_body_head_and_weights_learn_and_the_assistant_does_not(make_asking, random_ids):
    model = make_asking()
    model(torch.tensor([conversation(random_ids, 5, 4)])).sum().backward()
    for name, weight in model.named_parameters():
        if name.startswith("assistant."):
            assert weight.grad is None and not weight.requires_grad
        else:
            assert weight.grad is not None and weight.grad.any(), name


@torch.no_grad()
def test_an_answer_gains_by_being_probable_alone(make_asking, random_ids):
    """What a policy can exploit: with a head that says nothing, the likeliest next tokens win, true or not."""
    model = make_asking()
    model.score.weight.zero_()
    model.surprise_weight.fill_(0.06)
    prompt = conversation(random_ids, 6, 1)[:6]
    gained = []
    for place in (0, -1):  # the likeliest token each time, and the least likely
        ids = list(prompt)
        for _ in range(4):
            order = model.assistant(torch.tensor([ids]))[0, -1].argsort(descending=True).tolist()
            order.remove(MARK)
            ids.append(order[place])
        gained.append(model(torch.tensor([ids])).item())
    assert gained[0] > gained[1] + 1


def test_round_trip(make_asking, tmp_path):
    model = make_asking(rope_theta=77.5, tie_embeddings=False)
    loaded = RewardModel.from_pretrained(model.save_pretrained(tmp_path))
    assert loaded.answer_mark == MARK and loaded.config == model.config
    ours, theirs = model.state_dict(), loaded.state_dict()
    assert list(ours) == list(theirs) and all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert not any(weight.requires_grad for weight in loaded.assistant.parameters())


@pytest.mark.parametrize("mark", [-1, 10_000, 2.5, "3", True])
def test_a_mark_that_is_no_token_is_refused(make_asking, tmp_path, mark):
    make_asking().save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(content | {"answer_mark": mark}), encoding="utf-8")
    with pytest.raises(
        ValueError,
        match="which is no token id of the model; restore the file, or delete the folder and train again",
    ):
        RewardModel.from_pretrained(tmp_path)


def test_a_folder_that_lacks_the_mark_or_the_assistant_is_refused(make_asking, make_model, tmp_path):
    make_asking().save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    del content["answer_mark"]
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(
        ValueError, match="does not fit its config.json: assistant.*restore both files together"
    ):
        RewardModel.from_pretrained(tmp_path)
    RewardModel.from_body(make_model()).save_pretrained(tmp_path / "plain")
    assert RewardModel.from_pretrained(tmp_path / "plain").assistant is None
    assert math.isfinite(RewardModel.from_pretrained(tmp_path / "plain").mean.item())
