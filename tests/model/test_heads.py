"""Scalar heads: a score depends on the conversation alone, not on padding; transformers computes the same."""

from __future__ import annotations

import json

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from minillm.model.gpt import GPT
from minillm.model.heads import RewardModel, ScalarModel, last_real

LENGTHS = (9, 4, 17, 1, 12)
TOLERANCE = 1e-5  # float32 sums in another order, scores of size 1


@pytest.fixture
def make_reward(make_model):
    """Return a reward model with random weights everywhere, and a mean that is not 0."""

    def make(**changes):
        model = RewardModel.from_body(make_model(**changes), generator=5)
        model.score.weight.data.normal_(0, 0.5, generator=torch.Generator().manual_seed(6))
        model.mean.fill_(0.375)
        return model.eval()

    return make


def conversations(random_ids):
    return [random_ids(length, seed=length).tolist() for length in LENGTHS]


def padded(rows, side, filler):
    width = max(map(len, rows)) + 3
    ids, mask = torch.full((len(rows), width), filler), torch.zeros(len(rows), width).bool()
    for number, row in enumerate(rows):
        start = {"right": 0, "left": width - len(row), "both": (width - len(row)) // 2}[side]
        ids[number, start : start + len(row)] = torch.tensor(row)
        mask[number, start : start + len(row)] = True
    return ids, mask


@pytest.mark.parametrize("filler", [0, 7])
@pytest.mark.parametrize("side", ["right", "left", "both"])
@pytest.mark.parametrize("qk_norm", [True, False])
@torch.no_grad()
def test_padding_changes_no_score(make_reward, random_ids, side, filler, qk_norm):
    model, rows = make_reward(qk_norm=qk_norm), conversations(random_ids)
    alone = torch.cat([model(torch.tensor([row])) for row in rows])
    assert alone.std() > 0.1, "scores that are all the same prove nothing"
    batch = model(*padded(rows, side, filler))
    assert batch.shape == (len(rows),)
    assert torch.allclose(batch, alone, atol=TOLERANCE)


@torch.no_grad()
def test_the_score_is_the_head_at_the_last_real_token(make_reward, random_ids):
    model, rows = make_reward(), conversations(random_ids)
    ids, mask = padded(rows, "right", 0)
    for row, score in zip(rows, model(ids, mask), strict=True):
        hidden = model.model(torch.tensor([row]), None, None)[0, -1]
        assert score.item() == pytest.approx((hidden @ model.score.weight[0]).item() - 0.375, abs=TOLERANCE)


@torch.no_grad()
def test_token_scores_see_nothing_to_their_right(make_reward, random_ids):
    model, ids = make_reward(), random_ids(2, 13)
    changed = ids.clone()
    changed[:, 8:] = (ids[:, 8:] + 1) % 53
    one, other = model.token_scores(ids), model.token_scores(changed)
    assert one.shape == (2, 13)
    assert torch.equal(one[:, :8], other[:, :8]) and not torch.isclose(one[:, 8:], other[:, 8:]).any()


@torch.no_grad()
def test_token_scores_of_padded_rows_are_those_of_the_row_alone(make_reward, random_ids):
    model, rows = make_reward(), conversations(random_ids)
    for side in ("left", "right"):
        ids, mask = padded(rows, side, 3)
        scores = model.token_scores(ids, mask)
        for number, row in enumerate(rows):
            alone = model.token_scores(torch.tensor([row]))[0]
            assert torch.allclose(scores[number][mask[number]], alone, atol=TOLERANCE)


masks = st.lists(st.lists(st.booleans(), min_size=6, max_size=6).filter(any), min_size=1, max_size=4)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(masks)
def test_last_real_is_the_last_true(mask):
    assert last_real(torch.tensor(mask)).tolist() == [max(t for t in range(6) if row[t]) for row in mask]


def test_a_row_without_tokens_is_refused(make_reward):
    mask = torch.tensor([[True, True], [False, False]])
    with pytest.raises(ValueError, match="row 1 of the mask has no real token; give each row at least one"):
        make_reward()(torch.zeros(2, 2, dtype=torch.long), mask)


def test_wrong_ids_are_refused(make_reward):
    model = make_reward()
    with pytest.raises(ValueError, match="token id 53 is outside the vocabulary 0 to 52"):
        model(torch.tensor([[1, 53]]))
    with pytest.raises(ValueError, match="25 tokens are more than the model's context_length=24; use fewer"):
        model(torch.zeros(1, 25, dtype=torch.long))


def test_a_body_is_copied_and_not_shared(make_model, random_ids):
    policy = make_model()
    reward = RewardModel.from_body(policy, generator=5)
    critic = ScalarModel.from_body(reward)
    ids = random_ids(2, 11)
    for name, weight in policy.model.state_dict().items():
        assert torch.equal(weight, reward.model.state_dict()[name])
    with torch.no_grad():
        assert torch.equal(critic.token_scores(ids), reward.token_scores(ids)), "the head goes with its body"
        before = policy(ids)
        for weight in (*reward.parameters(), *critic.parameters()):
            weight.fill_(0.1)
        assert torch.equal(policy(ids), before)
    again = RewardModel.from_body(policy, generator=5)
    other = RewardModel.from_body(policy, generator=6)
    fresh = RewardModel.from_body(policy, generator=5)
    assert torch.equal(again.score.weight, fresh.score.weight)
    assert not torch.equal(again.score.weight, other.score.weight)


def test_making_one_leaves_the_global_random_numbers_alone(make_model):
    before = torch.get_rng_state()
    RewardModel(make_model().config)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_size_is_the_body_and_one_row(make_reward):
    model = make_reward()
    body = sum(weight.numel() for weight in model.model.parameters())
    assert model.n_parameters == body + model.config.d_model


# -- several answers behind one prompt --


def branched(random_ids, prompt_length, answer_lengths, width):
    """A row of ids with its branches and ends, and the conversations that it holds."""
    prompt = random_ids(prompt_length, seed=prompt_length).tolist()
    answers = [random_ids(length, seed=40 + length).tolist() for length in answer_lengths]
    ids, branches, ends = list(prompt), [0] * prompt_length, []
    for branch, answer in enumerate(answers, 1):
        ids += answer
        branches += [branch] * len(answer)
        ends.append(len(ids) - 1)
    padding = width - len(ids)
    return ids + [0] * padding, branches + [-1] * padding, ends, [prompt + answer for answer in answers]


@pytest.mark.parametrize("changes", [{}, {"qk_norm": False, "n_kv_head": 1}])
@torch.no_grad()
def test_answers_that_share_a_prompt_have_the_scores_that_each_has_alone(make_reward, random_ids, changes):
    """Though the row is longer than the context, which limits each conversation."""
    model = make_reward(**changes)
    context = model.config.context_length
    width = context + 9
    rows = [
        branched(random_ids, 7, (4, context - 7, 2), width),
        branched(random_ids, 3, (1, 5, 8), width),
    ]
    ids, branches, ends = (torch.tensor([row[i] for row in rows]) for i in range(3))
    scores = model.branch_scores(ids, branches, ends)
    alone = torch.stack([torch.stack([model(torch.tensor([c]))[0] for c in row[3]]) for row in rows])
    assert alone.std() > 0.1
    torch.testing.assert_close(scores, alone, atol=TOLERANCE, rtol=1e-5)


def test_the_gradient_of_answers_that_share_a_prompt_is_the_sum_of_the_separate_ones(make_reward, random_ids):
    model = make_reward()
    ids, branches, ends, whole = branched(random_ids, 6, (3, 5), 16)
    weights = torch.tensor([0.7, -1.9])
    parameters = list(model.parameters())
    shared = model.branch_scores(torch.tensor([ids]), torch.tensor([branches]), torch.tensor([ends]))
    ours = torch.autograd.grad((shared[0] * weights).sum(), parameters)
    alone = torch.stack([model(torch.tensor([conversation]))[0] for conversation in whole])
    theirs = torch.autograd.grad((alone * weights).sum(), parameters)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, atol=2e-5, rtol=1e-4)  # float32 sums in another order


@torch.no_grad()
def test_an_answer_does_not_see_the_others(make_reward, random_ids):
    model = make_reward()
    ids, branches, ends, _ = branched(random_ids, 6, (3, 5, 4), 20)
    given = torch.tensor([ids]), torch.tensor([branches]), torch.tensor([ends])
    before = model.branch_scores(*given)
    given[0][0, 9:14] = random_ids(5, seed=99)
    after = model.branch_scores(*given)
    assert torch.equal(before[0, [0, 2]], after[0, [0, 2]]) and before[0, 1] != after[0, 1]


def test_branches_that_do_not_fit_are_refused(make_reward, random_ids):
    model = make_reward()
    ids = random_ids(1, 5).view(1, 5)
    with pytest.raises(ValueError, match=r"branches has shape \(1, 4\) and ids \(1, 5\); they must be equal"):
        model.hidden(ids, branches=torch.zeros(1, 4, dtype=torch.long))
    with pytest.raises(TypeError, match="branches is a list, not a tensor"):
        model.hidden(ids, branches=[[0] * 5])
    with pytest.raises(ValueError, match="branches cannot be used together with a cache or document_ids"):
        model.hidden(ids, branches=torch.zeros_like(ids), document_ids=torch.zeros_like(ids))


# -- on disk --


def test_round_trip(make_reward, tmp_path):
    model = make_reward(rope_theta=77.5, norm_eps=1e-4, tie_embeddings=False)
    loaded = RewardModel.from_pretrained(model.save_pretrained(tmp_path))
    assert loaded.config == model.config and loaded.mean.item() == 0.375
    ours, theirs = model.state_dict(), loaded.state_dict()
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["config.json", "model.safetensors"]


@pytest.mark.parametrize("qk_norm, name", [(True, "Qwen3"), (False, "Llama")])
@pytest.mark.parametrize("tie_embeddings", [True, False])
@torch.no_grad()
def test_transformers_loads_the_folder(make_reward, random_ids, tmp_path, qk_norm, name, tie_embeddings):
    """Its classifier with one label has our scores, but for the mean, which it does not know."""
    transformers = pytest.importorskip("transformers")
    model = make_reward(qk_norm=qk_norm, tie_embeddings=tie_embeddings, rope_theta=77.5, norm_eps=1e-4)
    model.save_pretrained(tmp_path)
    content = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    assert content["architectures"] == [f"{name}ForSequenceClassification"]
    other, report = transformers.AutoModelForSequenceClassification.from_pretrained(
        tmp_path, output_loading_info=True
    )
    assert type(other).__name__ == f"{name}ForSequenceClassification"
    assert not report["missing_keys"] and set(report["unexpected_keys"]) == {"mean"}
    for row in conversations(random_ids):
        ids = torch.tensor([row])
        logits = other(ids).logits
        assert logits.shape == (1, 1)
        torch.testing.assert_close(model(ids), logits[:, 0] - 0.375, atol=TOLERANCE, rtol=1e-5)


def test_a_folder_of_a_reward_model_is_no_language_model(make_reward, tmp_path):
    make_reward().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="holds a reward model, which scores and does not write") as caught:
        GPT.from_pretrained(tmp_path)
    assert "\n" not in str(caught.value) and str(tmp_path) in str(caught.value)


def test_a_folder_of_a_language_model_is_no_reward_model(make_model, tmp_path):
    make_model().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="holds a language model; wanted is a reward model") as caught:
        RewardModel.from_pretrained(tmp_path)
    assert "\n" not in str(caught.value)


def test_only_parameters_learn(make_reward, random_ids):
    """The mean is a choice, not a weight."""
    model = make_reward()
    assert "mean" not in dict(model.named_parameters())
    F.softplus(model(random_ids(2, 9))).sum().backward()
    assert all(weight.grad is not None and weight.grad.any() for weight in model.parameters())
