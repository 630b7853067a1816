"""GRPO: its formulas and its steps against second implementations in numpy, who learns, and stopping and going on."""

from __future__ import annotations

import math
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_policies import (
    END_ID,
    LIKED,
    TOKENIZER,
    CrashError,
    TablePolicy,
    crashing,
    lines,
    make_policy,
    norm_of,
    same,
    weights,
)

from minillm.data.task_types import Task
from minillm.stages import grpo as grpo_module
from minillm.stages.grpo import GRPOConfig, GRPORun, group_advantages, grpo_loss, mean_kl, train_by_check
from minillm.stages.rollouts import Rollouts, action_log_probs
from minillm.text.chat import answer_text, render_chat
from minillm.train.checkpoint import Checkpoints
from minillm.train.options import RunOptions
from minillm.train.runtime import make_generator

BATCH, TIME = 4, 7
MASK = torch.tensor(
    [
        [0, 1, 1, 1, 0, 0, 0],
        [0, 0, 0, 1, 1, 1, 1],
        [1, 0, 1, 0, 0, 1, 0],
        [0, 0, 0, 0, 0, 0, 0],
    ]
).bool()
CLIP = (0.15, 0.3)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# -- advantages of a group --


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 5), st.integers(2, 9), st.integers(0, 10**6), st.booleans())
def test_advantages_are_those_of_numpy(prompts, answers, seed, scale):
    rewards = np.random.default_rng(seed).normal(size=(prompts, answers)) * 3 + 7
    ours = group_advantages(torch.from_numpy(rewards), scale).numpy()
    assert ours.shape == rewards.shape
    for row, told in zip(rewards, ours, strict=True):
        expected = [(reward - np.mean(row)) / (np.std(row) + 1e-6 if scale else 1.0) for reward in row]
        np.testing.assert_allclose(told, expected, rtol=1e-9, atol=1e-12)
        assert abs(told.sum()) < 1e-9


def test_advantages_by_hand():
    """One right of four: mean 1/4, variance 3/16."""
    rewards = torch.tensor([[1.0, 0, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1]])
    root = math.sqrt(3)
    assert group_advantages(rewards)[0].tolist() == pytest.approx([root, *3 * [-1 / root]], rel=1e-5)
    assert group_advantages(rewards)[1].tolist() == pytest.approx([1, 1, -1, -1], rel=1e-5)
    assert group_advantages(rewards, scale=False)[0].tolist() == [0.75, -0.25, -0.25, -0.25]
    for scale in (True, False):
        assert not group_advantages(rewards, scale)[2:].any(), "nothing to learn where all are alike"


@pytest.mark.parametrize("scale", [True, False])
@pytest.mark.parametrize("reward", [0.1, 1 / 3, 1e-7, 12345.678, -0.7])
def test_equal_rewards_give_exactly_zero(reward, scale):
    """The mean of seven equal float32 need not be that number."""
    assert not group_advantages(torch.full((3, 7), reward), scale).any()


def test_whole_numbers_and_truth_values_are_rewards_too():
    expected = group_advantages(torch.tensor([[1.0, 0.0], [1.0, 1.0]]))
    for kind in (torch.int64, torch.bool):
        assert torch.equal(group_advantages(torch.tensor([[1, 0], [1, 1]], dtype=kind)), expected)


def test_nearly_equal_rewards_make_no_huge_advantages():
    rewards = torch.tensor([[0.0, 1e-9]], dtype=torch.float64)
    assert group_advantages(rewards).abs().max() < 1e-3


def test_a_scale_and_a_shift_of_the_rewards_change_nothing_when_scaled():
    rewards = normal(3, 5)
    assert torch.allclose(group_advantages(100 * rewards - 7), group_advantages(rewards), atol=1e-4)
    assert torch.allclose(group_advantages(rewards + 3, False), group_advantages(rewards, False), atol=1e-12)


@pytest.mark.parametrize("shape", [(4,), (4, 1), (2, 3, 4), ()])
def test_other_shapes_are_refused(shape):
    with pytest.raises(
        ValueError, match=r"the rewards have the shape .*; give \(prompts, answers\) with 2 answers or"
    ):
        group_advantages(torch.zeros(shape))


# -- the loss --


def loss_by_loops(log_probs, old, reference, advantages, mask, clip_eps, kl_coef):
    terms = []
    for row in range(mask.shape[0]):
        for t in range(mask.shape[1]):
            if mask[row, t]:
                ratio = torch.exp(log_probs[row, t] - old[row, t])
                objective = ratio * advantages[row, t]
                if ratio > 1 + clip_eps[1]:
                    objective = min(objective, (1 + clip_eps[1]) * advantages[row, t])
                elif ratio < 1 - clip_eps[0]:
                    objective = min(objective, (1 - clip_eps[0]) * advantages[row, t])
                if reference is not None:
                    other = reference[row, t] - log_probs[row, t]
                    objective = objective - kl_coef * (torch.exp(other) - other - 1)
                terms.append(objective)
    return -sum(terms) / len(terms)


@pytest.mark.parametrize("leash", [True, False])
@pytest.mark.parametrize("seed", range(5))
def test_the_loss_and_its_gradient_are_those_of_the_plain_formula(seed, leash):
    old = normal(BATCH, TIME, seed=seed) - 2
    advantages = normal(BATCH, 1, seed=seed + 10) * MASK
    reference = old + 0.5 * normal(BATCH, TIME, seed=seed + 30) if leash else None
    log_probs = (old + 0.4 * normal(BATCH, TIME, seed=seed + 20)).requires_grad_()
    arguments = (log_probs, old, reference, advantages, MASK, CLIP, 0.7)
    ours, theirs = grpo_loss(*arguments), loss_by_loops(*arguments)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-12)
    gradients = [torch.autograd.grad(loss, log_probs)[0] for loss in (ours, theirs)]
    assert torch.allclose(*gradients, atol=1e-12) and gradients[0].any()
    ratio = (log_probs - old).exp()[MASK]
    assert (ratio > 1.3).any() and (ratio < 0.85).any(), "clipping is not tested"


@pytest.mark.parametrize(
    "ratio, advantage, objective, gradient",
    [  # down to 0.85, up to 1.3
        (1.25, 2.0, 2.5, 2.5),  # beyond 1 + 0.15, but upwards it may go further
        (1.5, 2.0, 2.6, 0.0),
        (0.8, -2.0, -1.7, 0.0),  # below 0.85: no more to gain
        (0.8, 2.0, 1.6, 1.6),  # the way back is open
        (1.5, -2.0, -3.0, -3.0),
    ],
)
def test_the_two_bounds_by_hand(ratio, advantage, objective, gradient):
    old = torch.tensor([[-1.25]], dtype=torch.float64)
    log_probs = (old + math.log(ratio)).requires_grad_()
    loss = grpo_loss(
        log_probs, old, None, torch.full_like(old, advantage), torch.ones(1, 1).bool(), CLIP, 9.0
    )
    loss.backward()
    assert -loss.item() == pytest.approx(objective) and -log_probs.grad.item() == pytest.approx(gradient)


@pytest.mark.parametrize("garbage", [math.nan, math.inf, -math.inf, 1e30])
def test_garbage_where_the_mask_is_false_changes_nothing(garbage):
    clean = [0.3 * normal(BATCH, TIME, seed=seed) for seed in range(4)]
    found = []
    for spoilt in (False, True):
        tensors = [torch.where(MASK, one, garbage) if spoilt else one.clone() for one in clean]
        tensors[0].requires_grad_()
        loss = grpo_loss(tensors[0], tensors[1], tensors[2], tensors[3], MASK, CLIP, 0.4)
        found.append((loss.detach(), torch.autograd.grad(loss, tensors[0])[0]))
    (loss, gradient), (other, other_gradient) = found
    assert torch.isfinite(loss) and torch.equal(loss, other) and torch.equal(gradient, other_gradient)
    assert not gradient[~MASK].any() and gradient[MASK].any()


def test_every_token_counts_the_same_however_long_its_answer():
    """Not every answer: the gradient of a token of the long one is that of a token of the short one."""
    mask = torch.tensor([[1, 0, 0, 0], [1, 1, 1, 1]]).bool()
    log_probs = torch.zeros(2, 4, dtype=torch.float64, requires_grad=True)
    advantages = torch.ones(2, 4, dtype=torch.float64)
    grpo_loss(log_probs, log_probs.detach(), None, advantages, mask, CLIP, 0.0).backward()
    assert log_probs.grad.tolist() == [[-0.2, 0, 0, 0], [-0.2] * 4]


def test_at_the_reference_the_leash_pulls_nowhere_and_beyond_it_back():
    here, mask = torch.zeros(1, 3, dtype=torch.float64, requires_grad=True), torch.ones(1, 3).bool()
    for shift, sign in ((0.0, 0), (-0.5, 1), (0.5, -1)):  # where the reference lies
        distance = mean_kl(here, here.detach() + shift, mask)
        (gradient,) = torch.autograd.grad(distance, here)
        assert distance.item() == pytest.approx(math.exp(shift) - shift - 1)
        assert all(np.sign(value) == sign for value in gradient[0].tolist())


# -- the steps, a second time --

CONFIG = GRPOConfig(
    iterations=4,
    prompts=5,
    answers=3,
    epochs=2,
    minibatches=2,
    learning_rate=3e-3,
    max_new_tokens=12,
    kl_coef=0.05,
    rows=4,
    evaluate_every=3,
    checkpoint_every=2,
)


def task(number):
    return Task("arithmetic", (("user", "bcdefgh"[: 1 + number % 5]),), "a", ("a",))


def is_even(asked, answer):
    """About every second answer is right, and which one depends on the task."""
    return sum(map(ord, answer + asked.question)) % 2 == 0


@pytest.fixture
def make_run(runtime):
    def make(check=is_even, tasks=task, folder=None, seed=0, look=None, **changes):
        options = RunOptions(folder=folder, seed=seed, runtime=runtime)
        return GRPORun(replace(CONFIG, **changes), make_policy(), TOKENIZER, tasks, options, check, look)

    return make


class NumpyGRPO:
    """GRPO for tables, in float64 and with loops, from the paper: rows are lists of tokens."""

    def __init__(self, config, table):
        self.config, self.table, self.reference = config, table.copy(), table.copy()
        self.m = self.v = 0.0
        self.t = 0

    def log_probs(self, table, state):
        logits = table[:, state] / self.config.temperature
        return logits - np.log(np.exp(logits - logits.max()).sum()) - logits.max()

    def judge(self, rows, starts, marks, groups):
        """Of each row its actions: state, action, log-probability when it was taken, advantage."""
        told = []
        for row, start, mark, group in zip(rows, starts, marks, groups, strict=True):
            others = [other for other, number in zip(marks, groups, strict=True) if number == group]
            advantage = mark - np.mean(others) if np.ptp(others) else 0.0
            if self.config.scale:
                advantage /= np.std(others) + 1e-6
            steps = [(row[t], row[t + 1]) for t in range(start - 1, len(row) - 1)]
            told.append([(s, a, self.log_probs(self.table, s)[a], advantage) for s, a in steps])
        return told

    def update(self, told, factor):
        """One step of AdamW on the rows of a minibatch."""
        c, actions = self.config, [action for row in told for action in row]
        gradient = np.zeros_like(self.table)
        for s, a, old, advantage in actions:
            log_probs = self.log_probs(self.table, s)
            ratio = math.exp(log_probs[a] - old)
            stuck = ratio > 1 + c.clip_high if advantage > 0 else ratio < 1 - c.clip_low
            slope = (np.eye(len(log_probs))[a] - np.exp(log_probs)) / c.temperature
            if not stuck:
                gradient[:, s] -= advantage * ratio * slope / len(actions)
            if c.kl_coef:
                likelier = math.exp(self.log_probs(self.reference, s)[a] - log_probs[a])
                gradient[:, s] += c.kl_coef * (1 - likelier) * slope / len(actions)
        gradient *= min(1.0, c.max_grad_norm / math.sqrt((gradient**2).sum()))
        self.t += 1
        self.m = 0.9 * self.m + 0.1 * gradient
        self.v = 0.95 * self.v + 0.05 * gradient**2
        m, v = self.m / (1 - 0.9**self.t), self.v / (1 - 0.95**self.t)
        self.table -= factor * c.learning_rate * m / (np.sqrt(v) + 1e-8)


@pytest.mark.parametrize("changes", [{}, {"kl_coef": 0.0, "scale": False}])
def test_two_iterations_are_those_of_a_second_implementation(monkeypatch, runtime, changes):
    """Whole iterations: groups compared, clipped, leashed or not, cut to a norm, epochs of minibatches."""
    random = np.random.default_rng(0)
    vocab = 7
    config = GRPOConfig(
        iterations=5,
        prompts=3,
        answers=3,
        epochs=4,
        minibatches=2,
        learning_rate=0.05,
        kl_coef=0.3,
        max_grad_norm=0.1,
        temperature=0.8,
        clip_low=0.1,
        clip_high=0.3,
        rows=2,  # fewer than a minibatch has: gradients add up
    )
    config = replace(config, **changes)
    table = random.normal(size=(vocab, vocab))
    lengths, starts = [4, 5, 5, 7, 8, 9, 9, 11, 12], [2, 1, 3, 3, 2, 5, 1, 4, 3]
    order = [4, 0, 8, 2, 6, 1, 3, 7, 5]  # the number of each row's answer: three to each of three tasks
    # Of each row. With 0 and 1 a gradient can cancel, and AdamW makes a whole step of what rounding leaves of it.
    right = [0.1, 0.0, 0.7, 1.3, 0.7, 0.4, 1.1, 0.7, 0.5]
    groups = [number // 3 for number in order]
    marks_of = [{r for r, g in zip(right, groups, strict=True) if g == group} for group in range(3)]
    assert list(map(len, marks_of)) == [3, 3, 1], "the last group has nothing to learn"
    rows = [random.integers(0, vocab, size=length).tolist() for length in lengths]
    columns, width = torch.arange(max(lengths))[None], max(lengths)
    mask = columns < torch.tensor(lengths)[:, None]
    first = torch.tensor(starts)[:, None]
    rollouts = Rollouts(
        torch.tensor([row + [0] * (width - len(row)) for row in rows]),
        mask,
        (mask & (columns >= first))[:, 1:],
        torch.ones(len(rows)).bool(),
        torch.tensor(order),
        first[:, 0],
    )
    marks = iter(right * 2)
    monkeypatch.setattr(grpo_module, "answer_text", lambda ids, tokenizer: "")
    options = RunOptions(seed=5, runtime=runtime)
    run = GRPORun(config, TablePolicy(table), TOKENIZER, task, options, lambda asked, answer: next(marks))
    second = NumpyGRPO(config, table)
    clipped = []
    for iteration in range(2):
        numbers = run.learn(run.judge(rollouts, [task(0)] * 3))
        clipped.append((numbers["clip_fraction"], numbers["policy_grad_norm"] > config.max_grad_norm))
        told = second.judge(rows, starts, right, groups)
        taught = [row for row in told if config.kl_coef or row[0][3] != 0]
        assert len(taught) == (9 if config.kl_coef else 6)
        generator = make_generator(5 * 1_000_003 + iteration)  # the order of the minibatches is not at issue
        for _ in range(config.epochs):
            for part in torch.randperm(len(taught), generator=generator).chunk(config.minibatches):
                second.update([taught[row] for row in part.sort().values.tolist()], 1 - 0.9 * iteration / 5)
        run.iteration += 1
    assert all(fraction > 0.02 for fraction, _ in clipped) and any(cut for _, cut in clipped)
    assert np.abs(second.table - table).max() > 0.2
    # 16 steps of up to 0.05 in float32 against float64: where a gradient is small, AdamW makes its rounding larger.
    np.testing.assert_allclose(run.policy.head_weight.detach().numpy(), second.table, atol=1e-4)
    np.testing.assert_array_equal(run.reference.head_weight.detach().numpy(), table.astype(np.float32))


# -- an iteration --


def test_answers_are_compared_with_those_to_the_same_task(make_run):
    run = make_run()
    rollouts, tasks = run.sample()
    assert len(rollouts) == 5 * 3 and len(tasks) == 5
    told = run.judge(rollouts, tasks)
    texts = [answer_text(ids, TOKENIZER) for ids in rollouts.answers()]
    asked = [TOKENIZER.decode(ids.tolist()) for ids in rollouts.ids]
    of_task = {}
    for row, number in enumerate(rollouts.order.tolist()):
        assert f"{tasks[number // 3].question}" in asked[row]
        mark = float(is_even(tasks[number // 3], texts[row])) * bool(rollouts.ended[row])
        assert told.scores[row] == mark
        of_task.setdefault(number // 3, []).append((row, mark))
    assert all(len(group) == 3 for group in of_task.values())
    for group in of_task.values():
        marks = np.array([mark for _, mark in group])
        for row, mark in group:
            expected = (mark - marks.mean()) / (marks.std() + 1e-6) if marks.std() else 0.0
            actions = told.advantages[row][rollouts.action_mask[row]]
            assert actions.tolist() == pytest.approx([expected] * len(actions), rel=1e-5)
            assert not told.advantages[row][~rollouts.action_mask[row]].any()
    assert 0 < told.scores.sum() < 15 and not rollouts.ended.all(), "nothing is tested"


def test_what_has_no_end_earns_nothing(make_run):
    run = make_run(check=lambda asked, answer: 1.0)
    rollouts, tasks = run.sample()
    assert run.judge(rollouts, tasks).scores.tolist() == rollouts.ended.float().tolist()


def test_without_a_leash_the_reference_is_not_asked(make_run, monkeypatch):
    run = make_run(kl_coef=0)
    monkeypatch.setattr(run.reference, "hidden", None)  # cannot be called
    assert "kl" not in run.iterate() and "kl" in make_run().iterate()
    leashed = make_run()
    monkeypatch.setattr(leashed.reference, "hidden", None)
    with pytest.raises(TypeError):
        leashed.iterate()


def test_where_all_answers_are_alike_nothing_is_learned(make_run):
    for mark in (0.0, 1.0):
        run = make_run(check=lambda asked, answer, mark=mark: mark, kl_coef=0, max_new_tokens=30)
        before = weights(run.policy)
        rollouts, tasks = run.sample()
        told = run.judge(replace(rollouts, ended=torch.ones(15).bool()), tasks)
        assert run.learn(told)["policy_grad_norm"] == 0
        assert same(weights(run.policy), before) and run.describe(told)["mixed_groups"] == 0


def test_without_a_leash_only_groups_that_differ_are_learned_from(make_run):
    run = make_run(kl_coef=0)
    rollouts, tasks = run.sample()
    told = run.judge(rollouts, tasks)
    mixed = {group for group, marks in enumerate(told.grouped.tolist()) if len(set(marks)) > 1}
    assert 0 < len(mixed) < 5
    rows = [row for row, number in enumerate(rollouts.order.tolist()) if number // 3 in mixed]
    assert run.rows_to_learn_from(told).tolist() == rows
    assert make_run().rows_to_learn_from(told).tolist() == list(range(15))


@pytest.mark.parametrize(
    "changes", [{}, {"rows": 100, "minibatches": 1}, {"temperature": 0.7}, {"kl_coef": 0}]
)
def test_the_ratio_is_1_on_the_first_minibatch_of_every_iteration(make_run, changes):
    run = make_run(learning_rate=3e-2, **changes)
    for _ in range(3):
        numbers = run.iterate()
        assert numbers["first_ratio_error"] <= 1e-5
        assert numbers["updates"] == 2 * run.config.minibatches
    assert numbers["step_kl"] > 1e-4, "the policy hardly moves, so nothing is tested"


def test_the_policy_learns_and_the_reference_does_not(make_run):
    run = make_run()
    before = weights(run.policy)
    assert same(before, weights(run.reference))
    run.iterate()
    assert same(before, weights(run.reference)) and set(run.optimizers) == {"policy"}
    assert all(not torch.equal(tensor, before[name]) for name, tensor in weights(run.policy).items())
    assert all(weight.grad is None for weight in run.reference.parameters())


def test_an_update_does_not_depend_on_how_many_rows_are_computed_at_once(make_run):
    found = []
    for rows in (1, 4, 100):
        run = make_run(rows=rows)
        told = run.judge(*run.sample())
        found.append((run.update(told, torch.tensor([0, 1, 4, 5, 7, 8, 9, 14])), weights(run.policy)))
    for numbers, model in found[1:]:
        for name, value in numbers.items():
            assert value == pytest.approx(found[0][0][name], rel=1e-3, abs=1e-6), name
        assert max((model[name] - found[0][1][name]).abs().mean() for name in model) < 1e-4


def test_what_is_right_becomes_likelier(runtime):
    config = replace(
        CONFIG, iterations=25, prompts=12, answers=4, minibatches=1, learning_rate=2e-2, kl_coef=0.0, rows=48
    )

    def starts_with_a(asked, answer):
        return answer.startswith("a")

    options = RunOptions(runtime=runtime, progress=False)
    policy, figures = train_by_check(config, make_policy(), TOKENIZER, task, options, check=starts_with_a)
    before, after = share_of_a(make_policy()), share_of_a(policy)
    assert after > 3 * before and after > 0.5 and figures["train_reward"] > 0.3, (before, after)


def share_of_a(policy):
    """The probability of the letter after a prompt, on average."""
    with torch.no_grad():
        rows = [render_chat(task(n).prompt, TOKENIZER, add_generation_prompt=True).ids for n in range(5)]
        return sum(policy(torch.tensor([row]))[0, -1].softmax(-1)[LIKED].item() for row in rows) / 5


def test_the_leash_holds(runtime):
    distances = []
    for kl_coef in (0.01, 30.0):
        config = replace(CONFIG, iterations=8, learning_rate=2e-2, kl_coef=kl_coef, rows=15)
        options = RunOptions(runtime=runtime, progress=False)
        distances.append(
            train_by_check(config, make_policy(), TOKENIZER, task, options, check=is_even)[1]["train_kl"]
        )
    assert distances[0] > 2 * abs(distances[1]), distances


def test_tasks_that_fill_the_context_are_passed_over(make_run):
    def some_are_long(number):
        asked = "long " * 9 if number in (1, 3) else f"n{number}"
        return Task("arithmetic", (("user", asked),), "a", ("a",))

    asked = [one.question for one in make_run(tasks=some_are_long).sample()[1]]
    assert len(set(asked)) == 5 and not any("long" in text for text in asked)


def test_every_part_is_described(make_run):
    def look(tasks, answers):
        return {"seen": len(tasks), "letters": float(sum(map(len, answers)))}

    run = make_run(look=look)
    with torch.no_grad():
        for weight in run.policy.parameters():
            weight += 0.02 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(1))
    rollouts, tasks = run.sample()
    told = run.judge(rollouts, tasks)
    numbers, mask = run.describe(told), rollouts.action_mask
    assert numbers["seen"] == 15 and numbers["letters"] > 0
    assert numbers["reward"] == pytest.approx(told.scores.mean().item())
    difference = (told.log_probs - told.log_probs_ref).double()
    assert numbers["kl"] == pytest.approx(difference.sum(1).mean().item(), abs=1e-5) and numbers["kl"] != 0
    spread = action_log_probs(run.policy, rollouts)[1][mask].mean().item()
    assert numbers["entropy"] == pytest.approx(spread, abs=1e-5)
    assert numbers["length"] == sum(map(len, rollouts.answers())) / 15
    assert numbers["ended_share"] == pytest.approx(sum(END_ID in ids for ids in rollouts.answers()) / 15)
    grouped = told.grouped.tolist()
    assert numbers["mixed_groups"] == pytest.approx(sum(len(set(marks)) > 1 for marks in grouped) / 5)
    run.log_rollouts(told, tasks)
    assert [line["prompt"] for line in run.rollout_log.lines] == [task(n).question for n in range(4)]
    first = rollouts.order.tolist().index(3)  # the first answer to the second task
    line = run.rollout_log.lines[1]
    assert line["answer"] == answer_text(rollouts.answers()[first], TOKENIZER)
    assert line["reward"] == told.scores[first].item() and line["kl"] == pytest.approx(
        difference[first].sum().item(), abs=1e-3
    )


# -- the stage --


def stage(folder, runtime, tasks=task, evaluate=None, seed=0, **changes):
    options = RunOptions(folder=folder, seed=seed, runtime=runtime, progress=False)
    policy, figures = train_by_check(
        replace(CONFIG, **changes), make_policy(), TOKENIZER, tasks, options, check=is_even, evaluate=evaluate
    )
    return figures, policy


def test_the_stage_writes_both_logs(tmp_path, runtime):
    figures, policy = stage(tmp_path, runtime, evaluate=norm_of)
    log = lines(tmp_path)
    assert [line["step"] for line in log] == [0, 1, 2, 3, 4]
    assert [line["step"] for line in log if "norm" in line] == [0, 3, 4]
    assert log[-1]["norm"] == norm_of(policy)["norm"]
    assert len(lines(tmp_path, "rollouts.jsonl")) == 4 * 4
    assert figures["iterations"] == 4 and figures["answers"] == 60
    assert figures["train_reward"] == log[-1]["reward"] and figures["first_ratio_error"] <= 1e-5


def test_what_is_seen_in_some_iterations_only_is_averaged_over_those(runtime):
    """Regression: a look that told nothing in one of the last iterations ended the run in a KeyError."""
    looks = iter([{"steps_share": 1.0}, {}] * 10)
    options = RunOptions(folder=None, runtime=runtime, progress=False)
    config = replace(CONFIG, iterations=20)
    _, figures = train_by_check(
        config, make_policy(), TOKENIZER, task, options, check=is_even, look=lambda *_: next(looks)
    )
    assert figures["train_steps_share"] == 1.0


@pytest.mark.parametrize("crash_at", [1, 2, 3])
@pytest.mark.parametrize("changes", [{}, {"kl_coef": 0.0, "scale": False}])
def test_a_run_that_was_cut_off_ends_with_the_same_weights_and_logs(tmp_path, runtime, crash_at, changes):
    whole, policy = stage(tmp_path / "whole", runtime, evaluate=norm_of, **changes)
    with pytest.raises(CrashError):
        stage(tmp_path / "cut", runtime, crashing(task, crash_at * CONFIG.prompts), norm_of, **changes)
    again, resumed = stage(tmp_path / "cut", runtime, evaluate=norm_of, **changes)
    assert same(weights(policy), weights(resumed))
    states = [Checkpoints(tmp_path / place / "checkpoints").load()[1] for place in ("whole", "cut")]
    assert same(*states) and any(name.startswith("policy.") for name in states[0])
    for name in ("metrics.jsonl", "rollouts.jsonl"):
        assert lines(tmp_path / "whole", name) == lines(tmp_path / "cut", name)
    assert {k: v for k, v in whole.items() if "seconds" not in k} == {
        k: v for k, v in again.items() if "seconds" not in k
    }


@pytest.mark.parametrize("changes", [{"kl_coef": 0.06}, {"seed": 1}, {"scale": False}, {"answers": 4}])
def test_other_settings_are_refused(tmp_path, runtime, changes):
    stage(tmp_path, runtime, iterations=1)
    stage(tmp_path, runtime, iterations=1, checkpoint_every=7)  # decides nothing
    with pytest.raises(ValueError, match="holds a run with other settings: use the same settings or an"):
        stage(tmp_path, runtime, iterations=1, **changes)


def test_the_seed_decides_and_the_global_random_numbers_do_not(runtime):
    torch.manual_seed(1)
    _, one = stage(None, runtime, iterations=2)
    torch.manual_seed(2)
    before = torch.get_rng_state()
    _, same_seed = stage(None, runtime, iterations=2)
    assert torch.equal(torch.get_rng_state(), before)
    _, other = stage(None, runtime, seed=1, iterations=2)
    assert same(weights(one), weights(same_seed)) and not same(weights(one), weights(other))


# -- settings --

WHOLE = "iterations prompts epochs minibatches rows max_new_tokens evaluate_every checkpoint_every".split()
ABOVE_0 = "learning_rate clip_high max_grad_norm temperature".split()
WRONG = [
    *((name, wrong, "a whole number of at least 1") for name in WHOLE for wrong in (0, 2.0, True)),
    *(("answers", wrong, "a whole number of at least 2") for wrong in (1, 8.0, None)),
    *(
        (name, wrong, "a finite number above 0")
        for name in ABOVE_0
        for wrong in (0, "1", None, math.nan, math.inf)
    ),
    ("max_step_kl", -0.1, "a finite number above 0, or None"),
    *(("clip_low", wrong, "a number above 0 and below 1") for wrong in (0, 1, -0.2)),
    *(("final_share", wrong, "a number from 0 to 1") for wrong in (-0.1, 1.1)),
    ("kl_coef", -1.0, "a finite number of at least 0"),
    ("scale", 1, "True or False"),
]


@pytest.mark.parametrize("name, value, allowed", WRONG)
def test_wrong_settings_are_refused(name, value, allowed):
    with pytest.raises((ValueError, TypeError)) as caught:
        GRPOConfig(**{name: value})
    assert f"{name} is {value!r}; use {allowed}" in str(caught.value)


def test_every_setting_is_checked():
    assert {name for name, *_ in WRONG} == {field.name for field in fields(GRPOConfig)}


def test_more_minibatches_than_answers_are_refused():
    with pytest.raises(
        ValueError, match="minibatches is 7, and there are 2 prompts x 3 answers; use at least an an"
    ):
        GRPOConfig(prompts=2, answers=3, minibatches=7)
