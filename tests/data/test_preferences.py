"""Preferences: what is compared, what is left out and counted, and in which order."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minillm.data.answers import Answer
from minillm.data.comparisons import Comparison, write_comparisons
from minillm.data.judge import Judge, noisy_ranking
from minillm.data.preferences import (
    FilePreferences,
    SampledPreferences,
    clean,
    compare_answers,
    open_preferences,
)
from minillm.data.readers import read_comparisons
from minillm.data.tasks import PREFERENCE_SEED, PREFERENCE_TEST_SEED, Tasks
from minillm.model.gpt import GPT, GPTConfig
from minillm.text.tokenizer import Tokenizer

TASKS = list(Tasks("train").tasks(40))


def answer(text, ended=True):
    return Answer(text, tuple(text.encode()), ended)


def fresh_counts():
    return {"pairs": 0, "truncated": 0, "identical": 0}


given_answers = st.lists(
    st.builds(answer, st.sampled_from(["a", "b", "c"]), st.booleans()), min_size=2, max_size=6
)


@settings(max_examples=300, deadline=None)
@given(given_answers)
def test_counts_are_those_of_a_look_at_every_pair(answers):
    counts = {"pairs": 5, "truncated": 7, "identical": 9}
    kept = clean(answers, counts)
    expected = {"pairs": 5, "truncated": 7, "identical": 9}
    for one, other in itertools.combinations(answers, 2):
        expected["pairs"] += 1
        if not (one.ended and other.ended):
            expected["truncated"] += 1
        elif one.text == other.text:
            expected["identical"] += 1
    assert counts == expected
    whole = [number for number, one in enumerate(answers) if one.ended]
    firsts = [n for n in whole if answers[n].text not in [answers[m].text for m in whole if m < n]]
    assert kept == firsts, "of equal whole texts the first stays, in their order"


def real_answers(task):
    """To one task: good, cut off, foolish, the good one again, and a parrot."""
    good = task.conversation[-1]["content"]
    return [
        answer(good),
        answer(good, False),
        answer("no no"),
        answer(good),
        answer(task.prompt[-1]["content"]),
    ]


def test_without_noise_the_order_is_the_judges():
    comparisons, counts = compare_answers(TASKS, [real_answers(task) for task in TASKS], noise=0.0)
    assert len(comparisons) == len(TASKS)
    assert counts == {"pairs": 10 * len(TASKS), "truncated": 4 * len(TASKS), "identical": len(TASKS)}
    preferred = 0
    for task, one in zip(TASKS, comparisons, strict=True):
        good, _, foolish, _, parrot = (given_one.text for given_one in real_answers(task))
        assert one.answers == (good, foolish, parrot) and one.family == task.family
        assert list(one.prompt) == list(task.prompt)
        gold = [Judge()(task, text, ended=True).score for text in one.answers]
        assert list(one.gold) == gold and [verdict.score for verdict in one.verdicts] == gold
        for i, j in itertools.combinations(range(3), 2):
            if gold[i] != gold[j]:
                assert (one.ranks[i] < one.ranks[j]) == (gold[i] > gold[j])
                preferred += 1
    assert preferred > len(TASKS)


def test_ranks_of_those_left_keep_the_order_of_all():
    """The annotator ranks all five; leaving two of them out neither draws again nor turns anything round."""
    answers = [real_answers(task) for task in TASKS]
    left, _ = compare_answers(TASKS, answers, noise=0.3, seed=5)
    generator, judge = torch.Generator().manual_seed(5), Judge()
    for task, row, one in zip(TASKS, answers, left, strict=True):
        order = noisy_ranking([judge(task, a.text, ended=a.ended).score for a in row], generator, 0.3)
        assert one.ranks == tuple(order.index(number) for number in (0, 2, 4))


def test_noise_follows_the_seed_and_turns_few_clear_pairs():
    answers = [real_answers(task) for task in TASKS]
    one, same, other = (compare_answers(TASKS, answers, 0.2, seed)[0] for seed in (1, 1, 2))
    assert one == same and one != other
    right, expected = [], []
    for comparison in one:
        for i, j in itertools.permutations(range(3), 2):
            if (margin := comparison.gold[i] - comparison.gold[j]) > 0:
                right.append(comparison.ranks[i] < comparison.ranks[j])
                expected.append(1 / (1 + math.exp(-margin / 0.2)))
    # Pairs of one prompt are not independent; six standard deviations of independent ones are far enough.
    spread = math.sqrt(sum(p * (1 - p) for p in expected))
    assert abs(sum(right) - sum(expected)) < 6 * spread
    assert 0.5 < sum(right) / len(right) < 1


def test_prompts_with_fewer_than_two_answers_left_are_left_out():
    whole, cut = answer("Yes."), answer("Yes", False)
    answers = [[whole, whole], [whole, cut], [cut, cut], [whole, answer("No.")]]
    comparisons, counts = compare_answers(TASKS[:4], answers, noise=0.0)
    assert [list(one.prompt) for one in comparisons] == [list(TASKS[3].prompt)]
    assert counts == {"pairs": 4, "truncated": 2, "identical": 1}


def test_pairs_are_those_with_a_preference():
    one = Comparison(({"role": "user", "content": "?"},), tuple("abcd"), (0, 1, 1, 3))
    assert one.n_pairs == 5
    assert one.only([1, 2]).n_pairs == 0
    assert one.only([3, 0]) == replace(one, answers=("d", "a"), ranks=(3, 0))
    assert one.conversation(2) == [{"role": "user", "content": "?"}, {"role": "assistant", "content": "c"}]


def test_round_trip(tmp_path):
    comparisons, _ = compare_answers(TASKS, [real_answers(task) for task in TASKS], noise=0.2)
    comparisons.append(Comparison(({"role": "user", "content": "\u2028 é\n你"},), ("a\r\n", "\x85"), (1, 0)))
    path = tmp_path / "some.jsonl"
    write_comparisons(path, comparisons)
    assert [Comparison(**row) for row in read_comparisons(path)] == [
        replace(one, verdicts=()) for one in comparisons
    ]


# -- sources --


def test_some_of_a_files_rows_are_for_validation(tmp_path):
    path = tmp_path / "mine.jsonl"
    rows = [{"prompt": f"Question {n}", "chosen": f"right {n}", "rejected": "wrong"} for n in range(20)]
    rows[3]["chosen"] = "wrong"  # the same text twice
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    source = open_preferences(path)
    train, counts = source.comparisons("train", None, None)
    validation, held_out = source.comparisons("validation", None, None)
    asked = [int(one.prompt[0]["content"].split()[1]) for one in validation]
    assert asked[0] < 10 <= asked[1]
    assert len(train) == 17 and counts == {"pairs": 18, "truncated": 0, "identical": 1}
    assert held_out == {"pairs": 2, "truncated": 0, "identical": 0}
    assert source.description == "local preferences: mine.jsonl (20 comparisons)"
    settings_before = source.settings()
    path.write_text(path.read_text(encoding="utf-8").replace("right", "good"), encoding="utf-8")
    assert open_preferences(path).settings() != settings_before


def test_scores_of_somebody_else_are_not_the_judges(tmp_path):
    """In some rows only, they would stop the reward stage when it has been trained."""
    path = tmp_path / "mine.jsonl"
    row = {"prompt": "?", "answers": ["a", "b"], "ranks": [0, 1]}
    rows = [
        {**row, "prompt": str(n), **({"gold": [1.0, 1.0], "family": "x"} if n % 2 else {})} for n in range(20)
    ]
    path.write_text("".join(json.dumps(one) + "\n" for one in rows), encoding="utf-8")
    kept = open_preferences(path).comparisons("train", None, None)[0]
    assert {one.gold for one in kept} == {()} and {one.family for one in kept} == {""}


def test_answers_of_which_none_is_preferred_any_more_are_no_comparison(tmp_path):
    """Of equal texts the first stays, with its rank: a tie may be all that is left."""
    path = tmp_path / "mine.jsonl"
    row = {"prompt": "?", "answers": ["a", "a", "b"], "ranks": [1, 0, 1]}
    path.write_text((json.dumps(row) + "\n") * 4, encoding="utf-8")
    assert FilePreferences("mine", (path,)).comparisons("train", None, None)[0] == []


def test_one_comparison_is_too_few(tmp_path):
    path = tmp_path / "mine.jsonl"
    path.write_text(json.dumps({"prompt": "?", "chosen": "a", "rejected": "b"}), encoding="utf-8")
    with pytest.raises(ValueError, match="holds 1 comparisons; give at least 2, one to train on and one to"):
        open_preferences(path).comparisons("train", None, None)


def test_sources_that_are_not_there_name_the_form(tmp_path):
    with pytest.raises(
        ValueError, match=r'with a JSON object a line, like \{"prompt": .* or judge'
    ) as caught:
        open_preferences(tmp_path / "no.jsonl")
    assert "\n" not in str(caught.value)
    assert open_preferences("judge") == SampledPreferences()


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"n_train": 0}, "n_train is 0; use a whole number of at least 1"),
        ({"n_validation": 1.0}, "n_validation is 1.0"),
        ({"answers": 1}, "answers is 1; use a whole number of at least 2"),
        ({"max_new_tokens": True}, "max_new_tokens is True"),
        ({"temperature": 0}, "temperature is 0; use a finite number above 0"),
        ({"noise": -0.1}, "noise is -0.1; use a finite number of at least 0"),
    ],
)
def test_wrong_settings_are_refused(changes, message):
    with pytest.raises((ValueError, TypeError), match=message):
        SampledPreferences(**changes)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_share_leaves_something_for_both(share):
    with pytest.raises(ValueError, match="validation_share is .*; use a number above 0 and below 1"):
        FilePreferences("x", (), share)


def test_a_models_own_answers():
    """Four answers a prompt, prompts that fit, those of the test other than those of the training."""
    tokenizer = Tokenizer([])
    shape = {"context_length": 120, "n_layer": 1, "n_head": 2, "n_kv_head": 1, "d_model": 12, "d_ff": 20}
    model = GPT(GPTConfig(vocab_size=tokenizer.vocab_size, **shape), generator=0).eval()
    source = SampledPreferences(n_train=12, n_validation=7, answers=3, max_new_tokens=150)
    (train, counts), again = (source.comparisons("train", model, tokenizer) for _ in range(2))
    assert (train, counts) == again
    validation, test_counts = source.comparisons("validation", model, tokenizer)
    assert 0 < counts["pairs"] <= 12 * 3 and 0 < test_counts["pairs"] <= 7 * 3
    assert counts["pairs"] % 3 == 0
    # An untrained model ends an answer once in 130 tokens: most are cut off, and few comparisons are left.
    assert counts["truncated"] > counts["pairs"] / 2
    for part, split, n, seed in (
        (train, "train", 12, PREFERENCE_SEED),
        (validation, "test", 7, PREFERENCE_TEST_SEED),
    ):
        asked = [task.prompt for task in Tasks(split).tasks(n, seed)]
        assert part and all(list(one.prompt) in asked for one in part)
    changed = replace(source, seed=1)
    assert changed.settings() != source.settings()
    assert changed.comparisons("train", model, tokenizer) != (train, counts)
