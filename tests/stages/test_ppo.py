"""PPO: its steps against a second implementation in numpy, who learns and who does not, and stopping and going on."""

from __future__ import annotations

import math
import signal
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
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
from torch import nn

from minillm.model.heads import RewardModel
from minillm.stages import ppo_run
from minillm.stages.policy_losses import gae, whiten
from minillm.stages.ppo import PPOConfig, train_policy
from minillm.stages.ppo_run import PPORun, token_rewards
from minillm.stages.rollouts import Rollouts, action_log_probs
from minillm.text.chat import answer_text, render_chat
from minillm.train.checkpoint import Checkpoints
from minillm.train.interrupt import TrainingInterrupted
from minillm.train.options import RunOptions
from minillm.train.run import TrainingDivergedError
from minillm.train.runtime import make_generator

CONFIG = PPOConfig(
    iterations=4,
    prompts=10,
    epochs=2,
    minibatches=3,
    learning_rate=3e-3,
    critic_learning_rate=5e-3,
    max_new_tokens=7,
    rows=3,
    evaluate_every=3,
    checkpoint_every=2,
)


def make_reward(policy=None):
    model = RewardModel.from_body(policy or make_policy(), generator=3).eval()
    model.score.weight.data.normal_(generator=torch.Generator().manual_seed(2))
    return model


class LikesA(RewardModel):
    """The share of one letter in a conversation."""

    def forward(self, ids, mask=None):
        return ((ids == LIKED) & mask).sum(1) / mask.sum(1)


class LikesPrompts(RewardModel):
    """1 where the prompt has a letter that no answer decides about, so that a critic can foresee it."""

    def forward(self, ids, mask=None):
        return (ids[:, :8] == ord("e")).any(1).float()


def prompt(number):
    return [{"role": "user", "content": "bcdefgh"[: 1 + number % 5]}]


@pytest.fixture
def make_run(runtime):
    def make(reward_model=None, prompts=prompt, folder=None, seed=0, **changes):
        config = replace(CONFIG, **changes)
        options = RunOptions(folder=folder, seed=seed, runtime=runtime)
        return PPORun(config, make_policy(), reward_model or make_reward(), TOKENIZER, prompts, options)

    return make


def test_prompts_that_leave_no_room_are_told(make_run):
    """They were once looked for without end."""
    long = [{"role": "user", "content": "b" * 40}]
    with pytest.raises(
        ValueError, match="prompts only 0 leave room for an answer in the context of 32 tokens"
    ):
        make_run(prompts=lambda number: long).sample()
    some = make_run(prompts=lambda number: long if number % 3 else prompt(number)).sample()[0]
    assert len(some) == CONFIG.prompts, "where some fit, they are found"
    each = CONFIG.iterations * CONFIG.prompts  # as many rows of one's own come again and again
    row = make_run(prompts=lambda number: long if number % each == 1 else prompt(number % each)).sample()[0]
    assert len(row) == CONFIG.prompts, "of the others, not the same one again"


def test_a_critic_that_diverges_leaves_the_policy_as_it_was(make_run):
    run = make_run()
    experience = run.judge(run.sample()[0])
    before = weights(run.policy)
    returns = torch.where(experience.rollouts.action_mask, 1e30, 0.0)  # its square is infinite in float32
    with pytest.raises(TrainingDivergedError, match="not finite in iteration 1"):
        run.update(replace(experience, returns=returns), torch.arange(4))
    assert same(before, weights(run.policy))


@pytest.mark.parametrize(
    ("saved", "told"), [([], "nothing was saved yet"), ([2, 4], "the checkpoint of iteration 4 is kept")]
)
def test_a_run_that_diverges_tells_what_is_kept(make_run, tmp_path, saved, told):
    run = make_run(folder=tmp_path)
    for iteration in saved:
        run.checkpoints.save(iteration, {"a": torch.zeros(1)}, {})
    experience = run.judge(run.sample()[0])
    returns = torch.where(experience.rollouts.action_mask, 1e30, 0.0)
    with pytest.raises(TrainingDivergedError, match=f"; {told}; try lower learning rates"):
        run.update(replace(experience, returns=returns), torch.arange(4))


# -- one step, a second time --


class TableCritic(nn.Module):
    def __init__(self, table):
        super().__init__()
        self.table = nn.Parameter(torch.tensor(table, dtype=torch.float32))  # (vocab,)

    def token_scores(self, ids, mask=None):
        return self.table[ids]


class ListedScores(nn.Module):
    """A reward model that knows the score of each row by its first token."""

    def __init__(self, scores):
        super().__init__()
        self.register_buffer("scores", torch.tensor(scores, dtype=torch.float32))

    def forward(self, ids, mask=None):
        return self.scores[ids[:, 0]]


class NumpyAdamW:
    """Kingma and Ba 2015, without weight decay (Loshchilov and Hutter 2019)."""

    def __init__(self, peak, beta1=0.9, beta2=0.95, eps=1e-8):
        self.peak, self.beta1, self.beta2, self.eps = peak, beta1, beta2, eps
        self.m = self.v = 0.0
        self.t = 0

    def step(self, weight, gradient, factor):
        self.t += 1
        self.m = self.beta1 * self.m + (1 - self.beta1) * gradient
        self.v = self.beta2 * self.v + (1 - self.beta2) * gradient**2
        m, v = self.m / (1 - self.beta1**self.t), self.v / (1 - self.beta2**self.t)
        weight -= factor * self.peak * m / (np.sqrt(v) + self.eps)


class NumpyPPO:
    """PPO for tables, in float64 and with loops, from the papers: rows are lists of tokens."""

    def __init__(self, config, table, values):
        self.config, self.table, self.reference, self.values = (
            config,
            table.copy(),
            table.copy(),
            values.copy(),
        )
        self.adam = NumpyAdamW(config.learning_rate), NumpyAdamW(config.critic_learning_rate)

    def log_probs(self, table, state, sharper=1.0):
        logits = table[:, state] / (self.config.temperature * sharper)
        return logits - np.log(np.exp(logits - logits.max()).sum()) - logits.max()

    def judge(self, rows, starts, ended, scores):
        """Of each row its actions: state, action, log-probability, value, advantage, return."""
        c, told = self.config, []
        for row, start, has_end, score in zip(rows, starts, ended, scores, strict=True):
            steps = [(row[t], row[t + 1]) for t in range(start - 1, len(row) - 1)]
            old = [self.log_probs(self.table, s)[a] for s, a in steps]
            rewards = [
                -c.kl_coef * (p - self.log_probs(self.reference, s, c.leash_temperature)[a])
                for p, (s, a) in zip(old, steps, strict=True)
            ]
            rewards[-1] += score if has_end else score - c.missing_end_penalty
            values = [self.values[s] for s, _ in steps] + [0.0]
            deltas = [rewards[t] + c.gamma * values[t + 1] - values[t] for t in range(len(steps))]
            advantages = [
                sum((c.gamma * c.lam) ** k * deltas[t + k] for k in range(len(steps) - t))
                for t in range(len(steps))
            ]
            returns = [advantage + value for advantage, value in zip(advantages, values, strict=False)]
            told.append(list(zip(steps, old, values, advantages, returns, strict=False)))
        every = np.array([action[3] for row in told for action in row])
        mean, spread = every.mean(), math.sqrt(every.var() + 1e-8)
        return [[(*a[:3], (a[3] - mean) / spread, a[4]) for a in row] for row in told]

    def update(self, told, factor):
        """One step on the rows of a minibatch."""
        c, actions = self.config, [action for row in told for action in row]
        policy_gradient, value_gradient = np.zeros_like(self.table), np.zeros_like(self.values)
        for (s, a), old, value_old, advantage, target in actions:
            log_probs = self.log_probs(self.table, s)
            ratio = math.exp(log_probs[a] - old)
            stuck = ratio > 1 + c.clip_eps if advantage > 0 else ratio < 1 - c.clip_eps
            if not stuck:
                one_hot = np.eye(len(log_probs))[a]
                slope = (one_hot - np.exp(log_probs)) / c.temperature
                policy_gradient[:, s] -= advantage * ratio * slope / len(actions)
            value = self.values[s]
            near = min(max(value, value_old - c.value_clip_eps), value_old + c.value_clip_eps)
            if (value - target) ** 2 >= (near - target) ** 2:
                value_gradient[s] += (value - target) / len(actions)
        pairs = ((self.table, policy_gradient), (self.values, value_gradient))
        for adam, (weight, gradient) in zip(self.adam, pairs, strict=True):
            norm = math.sqrt((gradient**2).sum())
            adam.step(weight, gradient * min(1.0, c.max_grad_norm / norm), factor)


def test_two_iterations_are_those_of_a_second_implementation(monkeypatch, runtime):
    """Whole iterations: judged, whitened, clipped, cut to a norm, four epochs of three minibatches, decayed rates."""
    random = np.random.default_rng(0)
    vocab, config = (
        7,
        PPOConfig(
            iterations=5,
            prompts=8,
            epochs=4,
            minibatches=3,
            learning_rate=0.05,
            critic_learning_rate=0.08,
            gamma=0.97,
            lam=0.9,
            kl_coef=0.3,
            max_grad_norm=0.1,
            temperature=0.8,
            leash_temperature=0.7,
            missing_end_penalty=0.7,
            value_clip_eps=0.15,
            rows=2,  # fewer than a minibatch has: gradients add up
        ),
    )
    table, values = random.normal(size=(vocab, vocab)), random.normal(size=vocab)
    lengths, starts = [4, 5, 5, 7, 8, 9, 9, 11], [2, 1, 3, 3, 2, 5, 1, 4]
    rows = [random.integers(0, vocab, size=length).tolist() for length in lengths]
    scores, ended = random.normal(size=vocab), [True, False, True, True, False, True, True, False]
    columns, width = torch.arange(max(lengths))[None], max(lengths)
    mask = columns < torch.tensor(lengths)[:, None]
    first = torch.tensor(starts)[:, None]
    rollouts = Rollouts(
        torch.tensor([row + [0] * (width - len(row)) for row in rows]),
        mask,
        (mask & (columns >= first))[:, 1:],
        torch.tensor(ended),
        torch.arange(len(rows)),
        first[:, 0],
    )
    critic = TableCritic(values)
    monkeypatch.setattr(ppo_run, "critic_of", lambda reward_model: critic)
    options = RunOptions(seed=5, runtime=runtime)
    run = PPORun(config, TablePolicy(table), ListedScores(scores), TOKENIZER, prompt, options)
    second = NumpyPPO(config, table, values)
    clipped = []
    for iteration in range(2):
        numbers = run.learn(run.judge(rollouts))
        clipped.append((numbers["clip_fraction"], numbers["policy_grad_norm"] > config.max_grad_norm))
        told = second.judge(rows, starts, ended, [scores[row[0]] for row in rows])
        generator = make_generator(5 * 1_000_003 + iteration)  # the order of the minibatches is not at issue
        for _ in range(config.epochs):
            for part in torch.randperm(len(rows), generator=generator).chunk(config.minibatches):
                second.update([told[row] for row in part.sort().values.tolist()], 1 - 0.9 * iteration / 5)
        run.iteration += 1
    assert all(fraction > 0.02 for fraction, _ in clipped) and any(cut for _, cut in clipped)
    assert np.abs(second.table - table).max() > 0.2 and np.abs(second.values - values).max() > 0.2
    # 24 steps in float32 against float64.
    np.testing.assert_allclose(run.policy.head_weight.detach().numpy(), second.table, atol=1e-5)
    np.testing.assert_allclose(run.critic.table.detach().numpy(), second.values, atol=1e-5)
    np.testing.assert_array_equal(run.reference.head_weight.detach().numpy(), table.astype(np.float32))


# -- rewards --


def test_token_rewards_by_hand():
    """The first answer has ended, the second not, the third has gaps and the fourth no action."""
    mask = torch.tensor([[0, 1, 1, 0, 0], [0, 0, 1, 1, 1], [1, 0, 1, 0, 0], [0, 0, 0, 0, 0]]).bool()
    log_probs = torch.where(mask, torch.tensor([-1.0, -2.0, -3.0, -4.0, -5.0]), 0.0)
    log_probs_ref = torch.where(mask, log_probs - torch.tensor([[0.5], [-1.0], [2.0], [9.0]]), math.nan)
    rewards = token_rewards(
        scores=torch.tensor([10.0, 20.0, 30.0, 40.0]),
        ended=torch.tensor([True, False, True, True]),
        log_probs=log_probs,
        log_probs_ref=log_probs_ref,
        action_mask=mask,
        kl_coef=0.1,
        missing_end_penalty=3.0,
    )
    expected = [
        [0, -0.05, 10 - 0.05, 0, 0],
        [0, 0, 0.1, 0.1, 20 - 3 + 0.1],
        [-0.2, 0, 30 - 0.2, 0, 0],
        [0, 0, 0, 0, 0],
    ]
    for row, wanted in zip(rewards.tolist(), expected, strict=True):
        assert row == pytest.approx(wanted, abs=1e-6)


@torch.no_grad()
def test_the_rewards_of_a_response_are_its_score_less_its_distance(make_run):
    run = make_run(kl_coef=0.7, missing_end_penalty=2.0, gamma=1.0, lam=1.0, whiten=False)
    for weight in run.policy.parameters():
        weight += 0.02 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(1))
    rollouts, _ = run.sample()
    told = run.judge(rollouts)
    distance = (told.log_probs - told.log_probs_ref).sum(1)
    assert distance.abs().min() > 1e-3 and not rollouts.ended.all() and rollouts.ended.any()
    expected = told.scores - 2.0 * ~rollouts.ended - 0.7 * distance
    first = rollouts.action_mask.int().argmax(1, keepdim=True)
    # With gamma and lam 1 the return of the first action is all that an answer brings.
    assert torch.allclose(told.returns.gather(1, first)[:, 0], expected, atol=1e-4)


def test_a_sharper_leash_changes_rewards_and_not_what_is_told_of_the_distance(make_run):
    """With d = log p - log q, a leash of temperature 1/2 charges log p - log q^2 / sum q^2."""
    plain, sharp = (make_run(leash_temperature=t, lam=1.0, whiten=False) for t in (1.0, 0.5))
    with torch.no_grad():
        for run in (plain, sharp):
            for weight in run.policy.parameters():
                weight += 0.02 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(1))
    rollouts, _ = plain.sample()
    one, other = plain.judge(rollouts), sharp.judge(rollouts)
    assert torch.equal(one.log_probs_ref, other.log_probs_ref)
    with torch.no_grad():
        logits = plain.reference(rollouts.ids[:, :-1]).double()
    squares = (2 * logits.log_softmax(-1)).log_softmax(-1)
    sharper = squares.gather(-1, rollouts.ids[:, 1:, None])[..., 0]
    more = torch.where(rollouts.action_mask, one.log_probs_ref - sharper, 0.0).sum(1)
    first = rollouts.action_mask.int().argmax(1, keepdim=True)
    totals = [told.returns.gather(1, first)[:, 0] for told in (one, other)]
    torch.testing.assert_close(totals[1], (totals[0] - CONFIG.kl_coef * more).float(), atol=1e-4, rtol=1e-4)
    assert more.abs().max() > 0.1


def test_advantages_are_whitened_or_not(make_run):
    plain, white = (make_run(whiten=flag) for flag in (False, True))
    rollouts, _ = plain.sample()
    one, other = plain.judge(rollouts), white.judge(rollouts)
    assert torch.equal(other.advantages, whiten(one.advantages, rollouts.action_mask))
    rewards = token_rewards(
        one.scores, rollouts.ended, one.log_probs, one.log_probs_ref, rollouts.action_mask, 0.05, 1.0
    )
    advantages, returns = gae(rewards, one.values, rollouts.action_mask, 1.0, 0.95)
    assert torch.equal(one.advantages, advantages) and torch.equal(one.returns, returns)
    assert torch.equal(one.returns, other.returns), "the critic's targets are not whitened"


@pytest.mark.parametrize("penalty", [1.0, 0.0])
def test_a_missing_end_costs_what_is_set(make_run, penalty):
    run = make_run(whiten=False, kl_coef=0, missing_end_penalty=penalty)
    rollouts, _ = run.sample()
    assert not rollouts.ended.all()
    told = run.judge(rollouts)
    rewards = token_rewards(
        told.scores, rollouts.ended, told.log_probs, told.log_probs_ref, rollouts.action_mask, 0, penalty
    )
    assert torch.equal(told.advantages, gae(rewards, told.values, rollouts.action_mask, 1.0, 0.95)[0])


# -- who learns --


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"rows": 100, "minibatches": 1},
        {"temperature": 0.7},
    ],
)
def test_the_ratio_is_1_on_the_first_minibatch_of_every_iteration(make_run, changes):
    run = make_run(learning_rate=3e-2, **changes)
    for _ in range(3):
        numbers = run.iterate()
        # Log-probabilities of a few nats in float32, computed in batches of other sizes.
        assert numbers["first_ratio_error"] <= 1e-5
        assert numbers["updates"] == 2 * run.config.minibatches
    assert numbers["step_kl"] > 1e-4, "the policy hardly moves, so nothing is tested"


def test_policy_and_critic_learn_reference_and_reward_model_do_not(make_run):
    run = make_run()
    models = {name: getattr(run, name) for name in ("policy", "critic", "reference", "reward_model")}
    before = {name: weights(model) for name, model in models.items()}
    assert same(before["policy"], before["reference"])
    seen = set()
    step = run.optimizers["policy"].step

    def look(*arguments, **keywords):
        seen.update(n for n, m in models.items() if any(w.grad is not None for w in m.parameters()))
        return step(*arguments, **keywords)

    run.optimizers["policy"].step = look
    for _ in range(2):
        run.iterate()
    assert seen == {"policy", "critic"}
    for name, model in models.items():
        learns = name in ("policy", "critic")
        changed = [
            key for key, tensor in weights(model).items() if not torch.equal(tensor, before[name][key])
        ]
        assert bool(changed) == learns
        assert all(weight.requires_grad for weight in model.parameters()), (
            "the caller's models stay trainable"
        )
    changed_body = [
        key for key in weights(run.critic) if not torch.equal(weights(run.critic)[key], before["critic"][key])
    ]
    assert len(changed_body) == len(before["critic"]), "the whole critic learns"


def test_no_memory_is_shared(make_run):
    run = make_run()
    places = [
        {weight.data_ptr() for weight in getattr(run, name).parameters()}
        for name in ("policy", "critic", "reference", "reward_model")
    ]
    assert len(set.union(*places)) == sum(map(len, places))


def test_without_advantage_the_policy_stays_and_the_critic_learns(make_run):
    run = make_run()
    rollouts, _ = run.sample()
    told = run.judge(rollouts)
    policy, critic = weights(run.policy), weights(run.critic)
    numbers = run.update(replace(told, advantages=torch.zeros_like(told.advantages)), torch.arange(10))
    assert numbers["policy_grad_norm"] == 0 and numbers["critic_grad_norm"] > 0
    assert same(weights(run.policy), policy) and not same(weights(run.critic), critic)


def test_the_critic_starts_no_worse_than_none_and_learns(make_run):
    """It once started with the reward model's head, which says nothing before an answer's end: -1 and less."""
    known = LikesPrompts.from_body(make_policy(), generator=3)
    still = {"learning_rate": 1e-9, "kl_coef": 0.0, "missing_end_penalty": 0.0}
    run = make_run(known, **still, critic_learning_rate=2e-2, value_clip_eps=None, iterations=16)
    assert not run.critic.score.weight.any() and run.reward_model.score.weight.any()
    assert all(
        torch.equal(ours, theirs)
        for ours, theirs in zip(
            run.critic.model.parameters(), run.reward_model.model.parameters(), strict=True
        )
    )
    explained = [run.iterate()["explained_variance"] for _ in range(16)]
    assert explained[0] == 0
    assert np.mean(explained[-4:]) > 0.5, explained


def test_the_critic_warms_up_alone(make_run):
    run = make_run(critic_warmup=2)
    start, before = weights(run.policy), weights(run.critic)
    for iteration in range(3):
        run.iterate()
        assert same(weights(run.policy), start) == (iteration < 2)
    assert not same(weights(run.critic), before)


def test_an_update_does_not_depend_on_how_many_rows_are_computed_at_once(make_run):
    """Pieces have different numbers of actions, and each action counts the same."""
    results = []
    for rows in (1, 3, 100):
        run = make_run(rows=rows)
        told = run.judge(run.sample()[0])
        for _ in range(2):
            numbers = run.update(told, torch.tensor([0, 1, 4, 5, 7, 8, 9]))
        results.append((numbers, weights(run.policy), weights(run.critic)))
    for numbers, *models in results[1:]:
        for name, value in numbers.items():
            # ratio_error and step_kl are differences of nearly equal numbers.
            assert value == pytest.approx(results[0][0][name], rel=1e-3, abs=1e-6), name
        for model, first in zip(models, results[0][1:], strict=True):
            for name, weight in model.items():
                # Adam turns a gradient of rounding errors into a step; none is larger than the learning rates' sum.
                assert torch.allclose(weight, first[name], atol=1e-2)
                assert (weight - first[name]).abs().mean() < 1e-5


def test_a_step_that_goes_too_far_ends_the_updates(make_run):
    assert make_run(max_step_kl=1e-9).iterate()["updates"] == 2, "the first step is from where it was sampled"
    assert make_run(max_step_kl=100.0).iterate()["updates"] == 6


def test_the_coefficient_is_steered_towards_the_target(make_run):
    run = make_run(kl_target=4.0, kl_coef=0.1)
    run.steer(4.0)
    assert run.kl_coef == 0.1
    for kl, factor in ((4.4, 1.01), (3.6, 0.99), (400.0, 1.02), (-400.0, 0.98), (0.0, 0.98)):
        run.kl_coef = 0.1
        run.steer(kl)
        assert run.kl_coef == pytest.approx(0.1 * factor)
    fixed = make_run(kl_coef=0.1)
    fixed.steer(400.0)
    assert fixed.kl_coef == 0.1


def test_learning_rates_fall_on_a_line(make_run):
    run = make_run(iterations=4, final_share=0.2)
    seen = []
    for _ in range(4):
        run.iterate()
        seen.append([run.optimizers[name].param_groups[0]["lr"] for name in ("policy", "critic")])
    factors = [1.0, 0.8, 0.6, 0.4]
    assert [pair[0] for pair in seen] == pytest.approx([3e-3 * factor for factor in factors])
    assert [pair[1] for pair in seen] == pytest.approx([5e-3 * factor for factor in factors])


def test_what_earns_more_becomes_likelier(runtime):
    """A reward that anyone can count: how much of the conversation is the letter a."""
    config = replace(
        CONFIG,
        iterations=25,
        prompts=24,
        minibatches=2,
        rows=24,
        learning_rate=2e-2,
        kl_coef=0.0,
        final_share=1.0,
    )
    policy = make_policy()
    judge = LikesA.from_body(policy, generator=0)
    policy, _ = train_policy(
        config,
        policy,
        judge,
        TOKENIZER,
        prompt,
        RunOptions(runtime=runtime, progress=False),
        evaluate=lambda model: {"share": share_of_a(model)},
    )
    before, after = share_of_a(make_policy()), share_of_a(policy)
    assert after > 3 * before and after > 0.5, (before, after)


def share_of_a(policy):
    """The probability of the letter after a prompt, on average."""
    with torch.no_grad():
        rows = [render_chat(prompt(n), TOKENIZER, add_generation_prompt=True).ids for n in range(5)]
        return sum(policy(torch.tensor([row]))[0, -1].softmax(-1)[LIKED].item() for row in rows) / 5


def test_the_leash_holds(runtime):
    """The same run with a dear distance ends nearer to where it began."""
    distances = []
    for kl_coef in (0.0, 1.0):
        config = replace(CONFIG, iterations=10, learning_rate=3e-2, kl_coef=kl_coef, rows=10)
        policy = make_policy()
        judge = LikesA.from_body(policy, generator=0)
        options = RunOptions(runtime=runtime, progress=False)
        _, figures = train_policy(config, policy, judge, TOKENIZER, prompt, options)
        distances.append(figures["train_kl"])
    assert distances[0] > 2 * abs(distances[1])


# -- sampling and the log --


def test_prompts_that_fill_the_context_are_passed_over(make_run):
    def some_are_long(number):
        return [{"role": "user", "content": "long " * 9 if number in (2, 5) else f"n{number}"}]

    run = make_run(prompts=some_are_long)
    _, prompts = run.sample()
    asked = [messages[-1]["content"] for messages in prompts]
    assert len(asked) == len(set(asked)) == 10 and not any("long" in text for text in asked)
    run.iteration = 1
    later = [messages[-1]["content"] for messages in run.sample()[1]]
    assert not set(asked) & set(later)


def test_every_part_is_described(make_run):
    run = make_run()
    with torch.no_grad():
        for weight in run.policy.parameters():
            weight += 0.02 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(1))
    rollouts, prompts = run.sample()
    told = run.judge(rollouts)
    numbers, mask = run.describe(told), rollouts.action_mask
    difference = (told.log_probs - told.log_probs_ref).double()
    assert numbers["reward"] == pytest.approx(told.scores.mean().item())
    assert numbers["kl"] == pytest.approx(difference.sum(1).mean().item(), abs=1e-5)
    k3 = torch.where(mask, (-difference).exp() - 1 + difference, 0.0).sum(1).mean().item()
    assert numbers["kl_k3"] == pytest.approx(k3, abs=1e-5)
    spread = action_log_probs(run.policy, rollouts)[1][mask].mean().item()
    assert numbers["entropy"] == pytest.approx(spread, abs=1e-5)
    assert numbers["length"] == sum(map(len, rollouts.answers())) / 10
    ended = sum(END_ID in answer for answer in rollouts.answers())
    assert numbers["ended_share"] == pytest.approx(ended / 10)
    v, r = told.values[mask].numpy(), told.returns[mask].numpy()
    assert numbers["explained_variance"] == pytest.approx(1 - (r - v).var() / r.var(), abs=1e-4)
    run.log_rollouts(told, prompts)
    for line, number in zip(run.rollout_log.lines, range(4), strict=True):
        row = rollouts.order.tolist().index(number)
        assert line["prompt"] == prompt(number)[-1]["content"]
        assert line["answer"] == answer_text(rollouts.answers()[row], TOKENIZER)
        assert line["reward"] == pytest.approx(told.scores[row].item(), abs=1e-4)
        assert line["ended"] == bool(rollouts.ended[row])


# -- the stage --


def stage(folder, runtime, prompts=prompt, evaluate=None, seed=0, **changes):
    config = replace(CONFIG, **changes)
    options = RunOptions(folder=folder, seed=seed, runtime=runtime, progress=False)
    policy, figures = train_policy(
        config, make_policy(), make_reward(), TOKENIZER, prompts, options, evaluate=evaluate
    )
    return figures, policy


def final_state(folder):
    """Every tensor of the last checkpoint: policy, critic and both optimizers."""
    return Checkpoints(folder / "checkpoints").load()[1]


def test_the_stage_writes_both_logs(tmp_path, runtime):
    figures, policy = stage(tmp_path, runtime, evaluate=norm_of)
    assert {path.name for path in tmp_path.iterdir()} == {"metrics.jsonl", "rollouts.jsonl", "checkpoints"}
    log = lines(tmp_path)
    assert [line["step"] for line in log] == [0, 1, 2, 3, 4]
    assert [line["step"] for line in log if "norm" in line] == [0, 3, 4]
    assert log[0] == {"step": 0} | norm_of(make_policy()) and log[-1]["norm"] == norm_of(policy)["norm"]
    assert len(lines(tmp_path, "rollouts.jsonl")) == 4 * 4
    assert figures["iterations"] == 4 and figures["answers"] == 40
    assert figures["train_reward"] == log[-1]["reward"] and figures["first_ratio_error"] <= 1e-5


@pytest.mark.parametrize("crash_at", [1, 2, 3])
@pytest.mark.parametrize("changes", [{}, {"kl_target": 0.5, "critic_warmup": 3}])
def test_a_run_that_was_cut_off_ends_with_the_same_weights_and_logs(tmp_path, runtime, crash_at, changes):
    whole, policy = stage(tmp_path / "whole", runtime, evaluate=norm_of, **changes)
    with pytest.raises(CrashError):
        stage(tmp_path / "cut", runtime, crashing(prompt, crash_at * CONFIG.prompts), norm_of, **changes)
    again, resumed = stage(tmp_path / "cut", runtime, evaluate=norm_of, **changes)
    assert same(weights(policy), weights(resumed))
    assert same(final_state(tmp_path / "whole"), final_state(tmp_path / "cut"))
    assert any(name.startswith("critic.") for name in final_state(tmp_path / "cut"))
    for name in ("metrics.jsonl", "rollouts.jsonl"):
        assert lines(tmp_path / "whole", name) == lines(tmp_path / "cut", name)
    assert {k: v for k, v in whole.items() if "seconds" not in k} == {
        k: v for k, v in again.items() if "seconds" not in k
    }


def test_lines_beyond_the_last_checkpoint_are_written_once(tmp_path, runtime, monkeypatch):
    """The disk is full when the logs have been written and the checkpoint has not."""
    _, policy = stage(tmp_path / "whole", runtime)
    save = Checkpoints.save

    def fills_up(self, step, *arguments):
        if step == 4:
            raise CrashError
        return save(self, step, *arguments)

    monkeypatch.setattr(Checkpoints, "save", fills_up)
    with pytest.raises(CrashError):
        stage(tmp_path / "cut", runtime)
    monkeypatch.undo()
    assert len(lines(tmp_path / "cut")) == 4
    _, resumed = stage(tmp_path / "cut", runtime)
    assert same(weights(policy), weights(resumed))
    for name in ("metrics.jsonl", "rollouts.jsonl"):
        assert lines(tmp_path / "whole", name) == lines(tmp_path / "cut", name)


def test_ctrl_c_saves_and_says_how_to_go_on(tmp_path, runtime):
    def interrupting(number):
        if number == CONFIG.prompts:
            signal.raise_signal(signal.SIGINT)
        return prompt(number)

    with pytest.raises(
        TrainingInterrupted, match="stopped after iteration 2 of 4; run the same command again"
    ):
        stage(tmp_path / "cut", runtime, interrupting, checkpoint_every=50)
    _, resumed = stage(tmp_path / "cut", runtime, checkpoint_every=50)
    _, policy = stage(tmp_path / "whole", runtime)
    assert same(weights(policy), weights(resumed))


def test_ctrl_c_in_the_last_iteration_is_not_forgotten(tmp_path, runtime):
    def interrupting(number):
        if number == 3 * CONFIG.prompts:
            signal.raise_signal(signal.SIGINT)
        return prompt(number)

    with pytest.raises(TrainingInterrupted, match="stopped after iteration 4 of 4"):
        stage(tmp_path, runtime, interrupting)
    _, policy = stage(tmp_path, runtime, crashing(prompt, 0))  # all is saved
    assert same(weights(policy), weights(stage(None, runtime)[1]))


def test_a_finished_run_is_not_repeated(tmp_path, runtime):
    figures, policy = stage(tmp_path, runtime)
    again, loaded = stage(tmp_path, runtime, crashing(prompt, 0))
    assert same(weights(policy), weights(loaded))
    assert again["train_reward"] == figures["train_reward"] and again["tokens"] == figures["tokens"]


@pytest.mark.parametrize("changes", [{"kl_coef": 0.06}, {"seed": 1}, {"max_step_kl": 1.0}])
def test_other_settings_are_refused(tmp_path, runtime, changes):
    stage(tmp_path, runtime, iterations=1)
    stage(tmp_path, runtime, iterations=1, checkpoint_every=7)  # decides nothing
    with pytest.raises(
        ValueError, match="holds a run with other settings: use the same settings or an"
    ) as caught:
        stage(tmp_path, runtime, iterations=1, **changes)
    assert "\n" not in str(caught.value) and str(tmp_path) in str(caught.value)


def test_evaluation_reaches_nothing_but_the_log(tmp_path, runtime):
    def wild(policy):
        torch.manual_seed(7)
        torch.rand(3)
        return {"gold": 1e9, "answers_judged": 3}

    _, one = stage(tmp_path / "one", runtime, evaluate=wild, iterations=2, evaluate_every=1)
    _, other = stage(
        tmp_path / "other", runtime, evaluate=lambda policy: {"gold": -5.0}, iterations=2, evaluate_every=1
    )
    _, without = stage(tmp_path / "without", runtime, iterations=2, evaluate_every=1)
    assert same(weights(one), weights(other)) and same(weights(one), weights(without))
    assert lines(tmp_path / "one")[0] == {"step": 0, "gold": 1e9, "answers_judged": 3}


def test_the_seed_decides_and_the_global_random_numbers_do_not(tmp_path, runtime):
    torch.manual_seed(1)
    _, one = stage(None, runtime, iterations=2)
    torch.manual_seed(2)
    before = torch.get_rng_state()
    _, same_seed = stage(None, runtime, iterations=2)
    assert torch.equal(torch.get_rng_state(), before)
    _, other = stage(None, runtime, seed=1, iterations=2)
    assert same(weights(one), weights(same_seed)) and not same(weights(one), weights(other))


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path, runtime):
    class Broken(RewardModel):
        def forward(self, ids, mask=None):
            return super().forward(ids, mask) * math.nan

    policy = make_policy()
    with pytest.raises(TrainingDivergedError, match="not finite in iteration 1; .* try lower") as caught:
        options = RunOptions(folder=tmp_path, runtime=runtime, progress=False)
        train_policy(CONFIG, policy, Broken.from_body(policy), TOKENIZER, prompt, options)
    assert "\n" not in str(caught.value)
    assert same(weights(policy), weights(make_policy())), "a step was made with it"


# -- settings --

WHOLE = "iterations prompts epochs minibatches rows max_new_tokens evaluate_every checkpoint_every".split()
ABOVE_0 = "learning_rate critic_learning_rate max_grad_norm temperature leash_temperature".split()
OPTIONAL = "clip_eps value_clip_eps kl_target max_step_kl".split()
SHARES = "gamma lam final_share".split()
WRONG = [
    *((name, 0, "a whole number of at least 1") for name in WHOLE),
    *((name, 2.0, "a whole number of at least 1") for name in WHOLE),
    *((name, True, "a whole number of at least 1") for name in WHOLE),
    ("critic_warmup", -1, "a whole number of at least 0"),
    *((name, 0, "a finite number above 0") for name in ABOVE_0),
    *((name, "1", "a finite number above 0") for name in ABOVE_0),
    *((name, None, "a finite number above 0") for name in ABOVE_0),
    *((name, math.nan, "a finite number above 0") for name in ABOVE_0),
    *((name, math.inf, "a finite number above 0") for name in ABOVE_0),
    *((name, -0.1, "a finite number above 0, or None") for name in OPTIONAL),
    *((name, -0.1, "a number from 0 to 1") for name in SHARES),
    *((name, 1.1, "a number from 0 to 1") for name in SHARES),
    *((name, -1.0, "a finite number of at least 0") for name in ("kl_coef", "missing_end_penalty")),
    *((name, 1, "True or False") for name in ("whiten",)),
]


@pytest.mark.parametrize("name, value, allowed", WRONG)
def test_wrong_settings_are_refused(name, value, allowed):
    with pytest.raises((ValueError, TypeError)) as caught:
        PPOConfig(**{name: value})
    assert f"{name} is {value!r}; use {allowed}" in str(caught.value)


def test_every_setting_is_checked():
    assert {name for name, *_ in WRONG} == {field.name for field in fields(PPOConfig)}


def test_more_minibatches_than_answers_are_refused():
    with pytest.raises(ValueError, match="minibatches is 4 and prompts 3; use at least a prompt a minibatch"):
        PPOConfig(prompts=3, minibatches=4)
    assert (
        PPOConfig(clip_eps=None, value_clip_eps=None, kl_target=3, max_step_kl=None, kl_coef=0).kl_target == 3
    )
