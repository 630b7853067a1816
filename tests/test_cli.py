"""The program: what it prints where, its exit status, and one line for each thing that can be wrong."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from minillm import __version__, lookup, terminal
from minillm.artifact import FIGURE_NAMES, find_artifacts, write_artifact
from minillm.cli import app
from minillm.course import Course
from minillm.data.batches import PackedDocuments
from minillm.data.families import FAMILIES
from minillm.presets import PRESETS
from minillm.recipes import STAGES, headline, stage_flops
from minillm.report import print_evaluation, print_table
from minillm.text.chat import save_chat_format
from minillm.text.tokenizer import Tokenizer

TINY = [
    f"--set=base.{name}"
    for name in (
        "rows=2",
        "fit.steps=3",
        "fit.checkpoint_every=1",
        "model.vocab_size=300",
        "model.context_length=32",
        "model.n_layer=1",
        "model.d_model=16",
        "model.d_ff=32",
    )
]
MACHINE = ["--preset=smoke", "--device=cpu", "--precision=fp32", "--compile=no"]
SETTINGS = [*MACHINE, "--stages=tokenizer,base", *TINY]
TEXT = "".join(f"{n} hens sat on {n % 7} eggs, and the fox went home.\n" for n in range(150))


def minillm(*arguments: object, input: str | bytes | None = None) -> SimpleNamespace:
    """Run the program in this process."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], input=input)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return SimpleNamespace(status=result.exit_code, out=result.stdout, err=result.stderr)


def refused(*arguments: object, input: str | bytes | None = None) -> str:
    """The one line with which the program refuses."""
    result = minillm(*arguments, input=input)
    lines = [line for line in result.err.splitlines() if line.startswith("minillm: ")]
    assert result.status == 2 and result.out == "" and len(lines) == 1, result
    assert "Traceback" not in result.err
    return lines[0]


@pytest.fixture(scope="module")
def text(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("text") / "fable.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def runs(tmp_path_factory, text) -> Path:
    """A folder of runs in which a base model is trained; tests must not change it."""
    root = tmp_path_factory.mktemp("runs")
    assert minillm("run", *SETTINGS, "--corpus", text, "--out", root).status == 0
    return root


@pytest.fixture
def base(runs, tmp_path) -> Path:
    """A copy of the artifact of the base model."""
    source = find_artifacts(runs)[0].folder
    folder = tmp_path / "base"
    folder.mkdir()
    for path in source.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


# What it prints


def test_json_is_exactly_one_object_on_stdout(runs, text):
    result = minillm("run", *SETTINGS, "--corpus", text, "--out", runs, "--json")
    assert result.status == 0
    stages = json.loads(result.out)["stages"]
    assert [entry["stage"] for entry in stages] == ["tokenizer", "base"]
    base = stages[1]
    assert base["cached"] is True and Path(base["path"]).is_dir()
    keys = {"seconds", "parameters", "tokens", "val_loss", "bits_per_byte", "steps"}
    assert keys <= base.keys()


def test_run_ends_with_a_table_and_samples(runs, text):
    result = minillm("run", *SETTINGS, "--corpus", text, "--out", runs)
    for word in ("stage", "parameters", "tokens", "time", "key figure", "where it lies"):
        assert word in result.out
    assert "nats/token" in result.out and "bits/byte" in result.out and "(earlier)" in result.out
    assert "0 hens" not in result.err and "hens sat on" in result.out  # a held-out text is continued


def test_stages_can_be_chosen(tmp_path, text):
    result = minillm(
        "run", *MACHINE, *TINY, "--stages=tokenizer", "--corpus", text, "--out", tmp_path, "--json"
    )
    assert [entry["stage"] for entry in json.loads(result.out)["stages"]] == ["tokenizer"]
    assert [artifact.stage for artifact in find_artifacts(tmp_path)] == ["tokenizer"]


@pytest.mark.parametrize("command", [[], ["run"], ["example"], ["chat"], ["publish"], ["fetch"], ["info"]])
def test_help_explains_every_flag(command):
    result = minillm(*command, "--help")
    assert result.status == 0
    lines = result.out.splitlines()
    for start, line in enumerate(lines):
        if line.startswith("  -"):
            words = line.split("  ")
            assert len([word for word in words if word.strip()]) >= 2 or lines[start + 1].startswith(
                "     "
            ), line


def test_help_names_the_stages_that_learn_from_ranked_answers():
    told = " ".join(minillm("run", "--help").out.split()).partition("--preferences SOURCE ")[2]
    learners = [name for name, stage in STAGES.items() if "preferences" in stage.parents]
    assert told.startswith(f"Ranked answers for the stages {' and '.join(learners)} instead")


def test_version():
    assert minillm("--version").out == f"minillm {__version__}\n"


def test_info_shows_the_machine_and_what_is_trained(runs):
    result = minillm("info", "--preset=smoke", "--out", runs)
    assert "runtime" in result.out and "device cpu" in result.out and "base" in result.out
    facts = json.loads(minillm("info", "--preset=smoke", "--out", runs, "--json").out)
    assert [entry["stage"] for entry in facts["stages"]] == ["base", "tokenizer"]
    assert facts["flops"] == sum(stage_flops(PRESETS["smoke"]).values())
    assert facts["missing"] == [
        "tokenizer",
        "base",
        "sft",
        "grpo",
        "preferences",
        "dpo",
        "reward",
        "ppo",
        "lora",
    ]  # those of the preset's own corpus


def test_info_lists_a_stage_that_lacks_a_figure(base, tmp_path):
    folder = tmp_path / "runs" / "smoke" / "base-0"
    folder.parent.mkdir(parents=True)
    base.rename(folder)
    write_artifact(folder, "base", "0" * 12, {"data": "Fables"}, {})
    result = minillm("info", "--preset=smoke", "--out", tmp_path / "runs")
    assert result.status == 0 and "figures of another version" in result.out
    assert headline("base", {"val_loss": None, "bits_per_byte": 1.5}) == "figures of another version"
    assert headline("base", {"val_loss": "a", "bits_per_byte": 1.5}) == "figures of another version"


@pytest.mark.parametrize("name", ["[draft] b", "x[/runs]", ":smile:"])
def test_a_path_is_printed_as_it_is(name, capsys):
    print_table([{"stage": "x", "path": f"/a/{name}/c"}])
    assert str(Path(name)) in capsys.readouterr().out


def test_import_is_light_and_the_module_is_the_program():
    loaded = "[m for m in ('torch', 'typer', 'numpy') if m in sys.modules]"
    code = f"import minillm, sys; print(minillm.__version__, {loaded})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=True)
    assert done.stdout == f"{__version__} []\n"
    program = [sys.executable, "-X", "importtime", "-m", "minillm"]
    done = subprocess.run([*program, "--version"], capture_output=True, encoding="utf-8", check=True)
    assert done.stdout == f"minillm {__version__}\n"
    done = subprocess.run([*program, "example", os.devnull], capture_output=True, encoding="utf-8")
    *imports, told = done.stderr.splitlines()
    assert told.startswith(f"minillm: {os.devnull} is there already")
    loaded = {line.rpartition("|")[2].strip() for line in imports}
    assert "minillm.data.example" in loaded and "torch" not in loaded, "a mistake is told at once"


def test_every_exported_name_is_there():
    import minillm as package

    for name in package.__all__:
        assert getattr(package, name).__name__ == name
    assert set(package.__all__) <= set(dir(package))
    with pytest.raises(AttributeError, match="no attribute 'GPU'"):
        _ = package.GPU


@pytest.mark.processes
def test_two_processes_give_the_result_of_one(runs, text, tmp_path):
    launch = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--local-addr=127.0.0.1",  # not the computer's name, which need not lead anywhere
        "--nproc-per-node=2",
        "-m",
        "minillm",
    ]
    arguments = ["run", *SETTINGS, "--corpus", str(text), "--out", str(tmp_path), "--json"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*launch, *arguments], capture_output=True, encoding="utf-8", env=environment, timeout=300
    )
    assert done.returncode == 0, done.stderr
    two, one = json.loads(done.stdout)["stages"][1], find_artifacts(runs)[0].figures
    assert two["tokens"] == one["tokens"]
    assert two["val_loss"] == pytest.approx(one["val_loss"], rel=1e-5)


def test_run_leaves_the_group_of_processes_after_the_last_stage(runs, text, monkeypatch):
    left = []
    monkeypatch.setattr("minillm.train.runtime.leave_processes", lambda: left.append(True))
    assert minillm("run", *SETTINGS, "--corpus", text, "--out", runs, "--json").status == 0
    assert left == [True]


# What it refuses


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["run", "--preset=huge"], "preset 'huge' is unknown; choose one of smoke, cpu, colab, gpu, auto"),
        (["run", "--stages=base,rocket"], "stage 'rocket' is unknown; choose one of tokenizer, base, sft"),
        (["run", "--set=base.rows"], "write it like base.fit.steps=200"),
        (["run", "--set=base.rowz=3"], "has no setting 'rowz'; it has model, fit, rows"),
        (["run", "--set=base.rows=none"], "rows is 'none'"),
        (["run", "--set=base.rows=3", "--set=base.rows.x=1"], "contradicts an earlier --set"),
        (["run", "--set=base.fit=3"], "fit is 3; use a FitConfig"),
        (["run", "--set=corpus.n_documents=many"], "n_documents is 'many'; use a whole number of at least 1"),
        (["run", "--set=corpus=5"], "corpus '5' is not there; give a file, a folder"),
        (["run", "--set=preferences.noise=NaN"], "noise is 'NaN'; use a finite number"),
        (["run", "--set=base.max_epochs=1e999"], "max_epochs is '1e999'; use a finite number"),
        (["run", "--set=base.copy_friendly=no"], "copy_friendly is 'no'; use true or false"),
        (["run", "--device=abacus"], "device is 'abacus'"),
        (["run", "--precision=fp7"], "precision is 'fp7'; choose one of auto, fp32, bf16, fp16"),
        (["run", "--compile=maybe"], "--compile is 'maybe'; choose one of auto, yes, no"),
        (["run", "--seed=-1"], "seed is -1"),
        (["run", "--corpus=missing.txt"], "corpus 'missing.txt' is not there; give a file, a folder"),
        (
            ["chat", "rocket"],
            "'rocket' is neither a stage (tokenizer, base, sft, grpo, preferences, dpo, reward, ppo, lora) nor a",
        ),
        (["chat"], "no model has been trained"),
        (
            ["chat", "base", "--preset=smoke"],
            "base of preset smoke is not trained yet; run: minillm run --preset smoke",
        ),
        (["info", "--preset=huge"], "preset 'huge' is unknown"),
    ],
)
def test_wrong_arguments(arguments, message, tmp_path):
    assert message in refused(*arguments, "--out", tmp_path)


@pytest.mark.parametrize(
    "arguments", [["fly"], ["run", "--presets=cpu"], ["run", "--threads=0"], ["chat", "--top-p=2"]]
)
def test_wrong_usage(arguments):
    result = minillm(*arguments)
    assert result.status == 2 and "Traceback" not in result.err


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("a.txt", b"", "holds no text; give a file"),
        (
            "a.txt",
            b"\x7fELF\x02\x01\x01\0\0\0",
            "is a binary file (zero byte at offset 7); give text as .txt",
        ),
        ("a.txt", b"na\xefve\n" * 99, "is not UTF-8: byte 0xef at offset 2, line 1; convert"),
        ("a.txt", b"short", "has 2 tokens for training, less than one context of 32; give a longer text"),
        (
            "a.jsonl",
            b'{"text": "ok"}\n{"txt": "no"}\n',
            "line 2 has no key 'text', only txt; each line must be",
        ),
        ("a.jsonl", b"{text}\n", "line 1 is not JSON"),
        ("a.csv", b"text\n", "is of an unknown format; allowed are .txt, .md, .jsonl, .parquet"),
    ],
)
def test_bad_corpora(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    line = refused("run", *SETTINGS, "--corpus", tmp_path / name, "--out", tmp_path / "runs")
    assert message in line and name in line


def test_a_hub_corpus_without_network_names_the_offline_default(tmp_path, monkeypatch):
    def load_dataset(*_, **__):
        raise ConnectionError("name resolution failed")

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
    line = refused("run", *SETTINGS, "--corpus=owner/tales", "--out", tmp_path)
    assert "could not be read from the Hugging Face Hub (ConnectionError: name resolution failed)" in line
    assert line.endswith("the built-in corpus needs no network: --corpus world")


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path, text):
    line = refused(
        "run", *SETTINGS, "--set=base.fit.learning_rate=1e38", "--set=base.fit.embedding_learning_rate=1e38",
        "--corpus", text, "--out", tmp_path,
    )  # fmt: skip
    assert " at step " in line and "try lower learning rates" in line


def test_a_full_disk_is_told(tmp_path, text, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    line = refused("run", *SETTINGS, "--corpus", text, "--out", tmp_path)
    assert "cannot write" in line and "no space left on the disk; free some space and run again" in line


def test_runs_that_cannot_be_written_are_told(tmp_path, text):
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    line = refused("run", *SETTINGS, "--corpus", text, "--out", tmp_path / "file")
    assert str(tmp_path / "file") in line and "; check the path, its permissions and the disk" in line


def test_ctrl_c_saves_and_says_how_to_go_on(tmp_path, text, monkeypatch):
    real = PackedDocuments.batch

    def interrupted(self, step):
        if step == 1:
            signal.raise_signal(signal.SIGINT)
        return real(self, step)

    monkeypatch.setattr(PackedDocuments, "batch", interrupted)
    arguments = ["run", *SETTINGS, "--corpus", text, "--out", tmp_path, "--json"]
    result = minillm(*arguments)
    assert result.status == 130 and result.out == ""
    assert "minillm: stopped after step 2 of 3" in result.err and "run the same command again" in result.err
    monkeypatch.setattr(PackedDocuments, "batch", real)
    result = minillm(*arguments)
    assert result.status == 0 and json.loads(result.out)["stages"][1]["steps"] == 3


def test_unexpected_errors_keep_their_traceback(monkeypatch):
    def broken(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(lookup, "find_model", broken)
    with pytest.raises(ZeroDivisionError):
        minillm("chat")


# Chat


def test_chat_continues_a_prompt_once(runs, base):
    arguments = ["--max-tokens=5", "--temperature=0", "--prompt=7 hens"]
    latest = minillm("chat", "--out", runs, *arguments)
    assert latest.status == 0 and latest.out.startswith("7 hens")
    assert latest.err.startswith("base from")
    assert minillm("chat", base, *arguments).out == latest.out
    assert minillm("chat", "base", "--out", runs, *arguments).out == latest.out


def test_chat_continues_a_piped_text(runs):
    result = minillm("chat", "--out", runs, "--max-tokens=5", input="The fox")
    assert result.status == 0 and result.out.startswith("The fox")


def test_a_prompt_longer_than_the_context_is_seen_through_a_window(runs):
    result = minillm("chat", "--out", runs, "--max-tokens=50", "--prompt", "hens and foxes " * 50)
    assert result.status == 0 and result.out.startswith("hens and foxes " * 50)


def test_a_piped_text_that_is_not_utf8_is_refused(runs):
    result = minillm("chat", "--out", runs, input=b"caf\xe9")
    assert result.status == 2 and "the piped text is not UTF-8 (byte 3)" in result.err


def test_chat_refuses_what_is_not_whole(base):
    weights, summary = base / "model.safetensors", base / "summary.json"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:100])
    assert "is damaged or was changed" in refused("chat", base, "--prompt=a")
    weights.write_bytes(whole)
    content = json.loads(summary.read_text(encoding="utf-8"))
    summary.write_text(json.dumps(content | {"format": 9}), encoding="utf-8")
    assert "is of format 9, this minillm reads up to 1; update minillm" in refused("chat", base, "--prompt=a")
    summary.write_text(json.dumps(content), encoding="utf-8")
    Tokenizer.from_merges([(b"x", b"y")]).save(base)
    assert "is not the tokenizer that this artifact was trained with" in refused("chat", base, "--prompt=a")
    summary.unlink()
    assert "it is no artifact, or its training did not end" in refused("chat", base, "--prompt=a")


@pytest.fixture
def assistant(base) -> Path:
    """The artifact of a model that answers, after a fashion."""
    summary = base / "summary.json"
    summary.write_text(
        json.dumps(json.loads(summary.read_text(encoding="utf-8")) | {"stage": "sft"}), encoding="utf-8"
    )
    save_chat_format(base, Tokenizer.load(base))
    return base


def scripted(monkeypatch, text: str) -> list[str]:
    """Let each model write this text; the prompts that it is given."""
    prompts = []

    def stream(model, prompt, max_new_tokens, **_):
        prompts.append(bytes(token for token in prompt if token < 256).decode())
        yield from text.encode()

    monkeypatch.setattr(terminal, "stream", stream)
    return prompts


def test_chat_answers_a_prompt_once_with_nothing_but_the_answer_on_stdout(assistant, monkeypatch):
    prompts = scripted(monkeypatch, " Ada.")
    result = minillm("chat", assistant, "-p", "xyz?")
    assert (result.status, result.out) == (0, "Ada.\n")
    assert result.err.startswith("sft from ") and prompts == [" xyz?"]


def test_chat_answers_a_piped_message(assistant, monkeypatch):
    prompts = scripted(monkeypatch, " Ada.")
    result = minillm("chat", assistant, "--system=qq", input="xyz?\n")
    assert (result.status, result.out, prompts) == (0, "Ada.\n", [" qq xyz?"])


def test_chat_samples_from_a_real_model_with_the_settings_given(assistant):
    arguments = ["chat", assistant, "--max-tokens=8", "--prompt=7 hens"]
    once, again = minillm(*arguments, "--temperature=2"), minillm(*arguments, "--temperature=2")
    other = minillm(*arguments, "--temperature=2", "--seed=1")
    assert once.status == 0 and once.out == again.out != other.out


def test_chat_refuses_what_an_assistant_cannot_answer(assistant, runs):
    assert "the message is empty; write what" in refused("chat", assistant, input="")
    line = refused("chat", assistant, "--prompt", "hens and foxes " * 50)
    assert "at most 32 fit; shorten it" in line
    line = refused("chat", "base", "--out", runs, "--system=Be kind.", "--prompt=a")
    assert "a base model takes no system message; leave it out, or choose sft" in line


def test_ctrl_c_ends_a_single_answer_without_advice_on_training(assistant, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(terminal, "stream", interrupted)
    result = minillm("chat", assistant, "--prompt=a")
    assert result.status == 130 and result.err.endswith("minillm: stopped\n")


# Fine-tuning and evaluation

QUICK = [
    *MACHINE,
    "--set=corpus.n_documents=60",
    "--set=corpus.n_validation=10",
    "--set=test_tasks=2",
    "--set=base.fit.steps=2",
    "--set=base.model.n_layer=1",
    "--set=base.model.vocab_size=420",
    "--set=base.model.d_model=16",
    "--set=base.model.d_ff=32",
    "--set=sft.fit.steps=3",
    "--set=sft.corpus_documents=4",
    "--set=grpo.iterations=2",
    "--set=grpo.prompts=2",
    "--set=grpo.answers=2",
    "--set=grpo.max_new_tokens=8",
    "--set=preferences.n_train=40",
    "--set=preferences.n_validation=20",
    "--set=preferences.max_new_tokens=120",  # a model that has hardly learned anything seldom ends an answer
    "--set=preferences.answers=12",
    "--set=reward.fit.steps=2",
    "--set=dpo.fit.steps=2",
    "--set=ppo.iterations=2",
    "--set=ppo.prompts=4",
    "--set=ppo.max_new_tokens=8",
]
ALL = ["tokenizer", "base", "sft", "grpo", "preferences", "dpo", "reward", "ppo", "lora"]


@pytest.fixture(scope="module")
def tuned(tmp_path_factory) -> Path:
    """A folder of runs in which all stages are trained, hardly; tests must not change it."""
    root = tmp_path_factory.mktemp("tuned")
    result = minillm("run", *QUICK, "--set=conversations.n_train=60", "--out", root, "--json")
    assert [entry["stage"] for entry in json.loads(result.out)["stages"]] == ALL
    return root


def test_run_tells_how_many_tasks_are_done(tuned):
    result = minillm("run", *QUICK, "--set=conversations.n_train=60", "--out", tuned, "--json")
    _, base, sft, grpo, preferences, dpo, reward, ppo, lora = json.loads(result.out)["stages"]
    assert preferences["comparisons"] > 0 and preferences["held_out_comparisons"] > 0
    assert {"trainable_share", "domain_gain_share", "forgetting_ratio"} <= lora.keys()
    assert 0 < lora["trainable_share"] < 1 and lora["full_training"]["trainable_share"] == 1
    assert 0 <= reward["pair_accuracy_gold"] <= 1 and 0 <= reward["pair_accuracy_noisy"] <= 1
    for policy in (dpo, ppo):
        assert {"win_rate_vs_sft", "kl_per_response", "gold_score", "task_accuracy"} <= policy.keys()
    assert 0 <= dpo["implicit_accuracy"] <= 1 and dpo["chosen_displacement"] != 0
    assert {
        "verified_share",
        "verified_share_sampled",
        "pass_at_1",
        "pass_at_8",
        "pass_at_8_chance",
    } <= grpo.keys()
    assert 0 < grpo["pass_at_1_chance"] < grpo["pass_at_8_chance"] < 1 and 0 <= sft["verified_share"] <= 1
    assert 0 <= base["task_accuracy"] <= 1 and 0 <= sft["task_accuracy"] <= 1
    assert {"accuracy", "gold_score", "val_loss", "corpus_loss", "forgetting", "ended_share"} <= sft.keys()
    table = minillm("run", *QUICK, "--set=conversations.n_train=60", "--out", tuned).out
    assert "of the tasks right" in table and "of held-out pairs" in table and "against sft" in table
    assert "sampled answers right" in table
    assert "% of full" in table or "nothing of full" in table, "what the adapter has gained"
    assert "How the assistant answers questions" in table


def test_every_figure_has_a_name_for_the_model_card(tuned):
    for artifact in find_artifacts(tuned):
        names = FIGURE_NAMES.keys() | STAGES[artifact.stage].labels.keys()
        assert artifact.figures.keys() <= names, artifact.stage


def test_a_preset_means_its_last_model(tuned):
    assert minillm("chat", "--preset=smoke", "--out", tuned, "-p", "Hi").status == 2, (
        "other settings: nothing is there"
    )
    err = minillm("chat", "--out", tuned, "-p", "Hi").err
    assert err.startswith("ppo from"), "the model trained last that can write and is no specialist"


def test_own_conversations(tuned, tmp_path):
    """The base model is found again; only the fine-tuning is new."""
    path = tmp_path / "mine.jsonl"
    turns = [{"role": "user", "content": "Who are you?"}, {"role": "assistant", "content": "A hen."}]
    path.write_text(f"{json.dumps({'messages': turns})}\n" * 8, encoding="utf-8")
    result = minillm("run", *QUICK, "--sft", path, "--out", tuned, "--json")
    assert "lora is left out" in result.err
    assert (
        "grpo is left out: no program knows which answers to your own conversations are right" in result.err
    )
    told = refused("run", *QUICK, "--sft", path, "--out", tuned, "--stages=grpo")
    assert (
        "leave the stage grpo out, or call minillm.stages.grpo.train_by_check with a check of your own"
        in told
    )
    told = refused("run", *QUICK, '--set=conversations.families=["story"]', "--out", tuned, "--stages=grpo")
    assert "of which no answer can be checked; take one of village, world, reading" in told
    assert "preferences, dpo, reward and ppo are left out" in result.err, (
        "what the judge thinks of other conversations is nothing"
    )
    _, base, sft = json.loads(result.out)["stages"]
    assert base["cached"] is True and sft["cached"] is False
    assert sft["conversations"] == 7
    shown = minillm("run", *QUICK, "--sft", path, "--out", tuned).out
    assert "Who are you?\nsft" in shown, "its own held-out question, and not one of the micro-world"
    assert "task_accuracy" not in sft, "the tasks of the micro-world say nothing of other conversations"
    card = (Path(sft["path"]) / "README.md").read_text(encoding="utf-8")
    assert "local conversations: mine.jsonl (8 conversations)" in card


def test_a_source_by_set_decides_which_stages_are_left_out(tmp_path, monkeypatch):
    checked = []

    def check(self, *names):
        checked.append(names)
        raise ValueError("far enough")

    monkeypatch.setattr(Course, "check", check)
    turns = [{"role": "user", "content": "Who are you?"}, {"role": "assistant", "content": "A hen."}]
    path = tmp_path / "mine.jsonl"
    path.write_text(f"{json.dumps({'messages': turns})}\n" * 8, encoding="utf-8")
    for options in (
        ["--sft", path, f"--set=domain={path}"],
        [f"--set=conversations={path}", "--domain", path],
        [f"--set=conversations.source={path}", f"--set=domain.source={path}", "--set=domain.skip_bad=true"],
    ):
        assert refused("run", *MACHINE, *options, "--out", tmp_path / "runs").endswith("far enough")
        assert checked.pop() == ("tokenizer", "base", "sft", "lora"), options
    for change in ("conversations=tasks", "conversations.n_train=60"):
        refused("run", *MACHINE, f"--set={change}", "--out", tmp_path / "runs")
        assert checked.pop() == tuple(ALL), change


def test_preferences_without_a_pair_are_told(tuned):
    options = ("--set=conversations.n_train=60", "--set=preferences.max_new_tokens=1", "--stages=reward")
    told = refused("run", *QUICK, *options, "--out", tuned)
    assert "no prompt has two different answers that came to an end" in told


def test_bad_conversations(tuned, tmp_path):
    path = tmp_path / "mine.jsonl"
    path.write_text('{"messages": []}\n', encoding="utf-8")
    assert "mine.jsonl, line 1" in refused("run", *QUICK, "--sft", path, "--out", tuned)
    assert "conversations 'no.jsonl': no .jsonl file is there" in refused("run", *QUICK, "--sft", "no.jsonl")


def test_eval_compares_models_on_the_same_tasks(tuned):
    result = minillm("eval", "base", "sft", "--out", tuned, "-n", 2, "--json")
    report = json.loads(result.out)
    assert [entry["stage"] for entry in report["stages"]] == ["base", "sft"]
    for entry in report["stages"]:
        assert {
            "task_accuracy",
            "accuracy",
            "gold_score",
            "parts",
            "world_loss",
            "sampled",
        } <= entry.keys()
        assert entry["sampled"]["temperature"] == 0.8
        assert entry["accuracy"].keys() == FAMILIES.keys()
    (win,) = report["win_rates"]
    assert (win["stage"], win["against"]) == ("sft", "base")
    assert win["low"] <= win["rate"] <= win["high"]
    assert 18 <= win["wins"] + win["ties"] + win["losses"] <= 2 * len(FAMILIES), (
        "prompts too long for the context are left out"
    )


def test_eval_prints_a_table(tuned):
    result = minillm("eval", "sft", "sft", "--out", tuned, "-n", 1)
    for word in ("held-out tasks", "village", "all, sampled", "judge's mean gold score", "wins 50.0%"):
        assert word in result.out, result.out
    assert result.out.count("sft against sft") == 1, result.out


def test_eval_shows_beside_each_other_what_policies_gain_and_lose(tuned):
    """The same numbers as in the JSON object, in the columns of their stages."""
    options = ("eval", "sft", "grpo", "dpo", "--out", tuned, "-n", 1)
    table, entries = minillm(*options).out, json.loads(minillm(*options, "--json").out)["stages"]
    rows = {
        "those that a program can check ": [f"{entry['verified_share']:.1%}" for entry in entries],
        "check, sampled": [f"{entry['sampled']['verified_share']:.1%}" for entry in entries],
        "mark for kindness": [f"{entry['parts']['kind']:.3f}" for entry in entries],
    }
    for name, values in rows.items():
        (line,) = [
            line
            for line in table.splitlines()
            if name in line and not ("sampled" in line) ^ ("sampled" in name)
        ]
        assert [cell.strip() for cell in line.strip("│ ").split("│")][1:] == values


def test_eval_says_so_where_no_task_that_fits_can_be_checked(capsys):
    """A context of few tokens may leave none of them."""
    examined = {"task_accuracy": 0.5, "parts": {"kind": 0.5}} | dict.fromkeys(
        ("gold_score", "ended_share", "repeated_share", "mean_tokens", "world_loss"), 1.0
    )
    print_evaluation([examined | {"stage": "sft", "accuracy": {"greeting": 0.5}, "sampled": examined}], [])
    lines = [line for line in capsys.readouterr().out.splitlines() if "a program can check" in line]
    assert len(lines) == 2 and all("%" not in line and "-" in line.rsplit("check", 1)[1] for line in lines)


def test_eval_takes_all_models_that_are_there(tuned):
    """The reward model writes nothing; PPO is compared with the base model and with the one it started from."""
    report = json.loads(minillm("eval", "--out", tuned, "-n", 1, "--json").out)
    assert [entry["stage"] for entry in report["stages"]] == ["base", "sft", "grpo", "dpo", "ppo", "lora"]
    pairs = [(win["stage"], win["against"]) for win in report["win_rates"]]
    tuned_on = ("grpo", "dpo", "ppo", "lora")
    assert pairs == [(s, "base") for s in ("sft", *tuned_on)] + [(s, "sft") for s in tuned_on]
    assert report["stages"][3]["win_rate_vs_sft"] == report["win_rates"][6]["rate"]


def test_a_reward_model_does_not_write(tuned):
    told = "the stage reward has no model that writes; choose one of base, sft, grpo, dpo, ppo, lora"
    assert told in refused("chat", "reward", "--out", tuned, "-p", "Hi")
    folder = next(a.folder for a in find_artifacts(tuned) if a.stage == "reward")
    assert "scores and does not write" in refused("chat", folder, "-p", "Hi")


def test_own_preferences(tuned, tmp_path):
    """The fine-tuned model is found again; only the reward model is new."""
    path = tmp_path / "mine.jsonl"
    row = {"prompt": "Who are you?", "chosen": "A hen.", "rejected": "Nobody."}
    path.write_text(f"{json.dumps(row)}\n" * 10, encoding="utf-8")
    options = ("--preferences", path, "--stages=sft,reward", "--set=conversations.n_train=60")
    sft, reward = json.loads(minillm("run", *QUICK[:-9], *options, "--out", tuned, "--json").out)["stages"]
    assert sft["cached"] is True and reward["comparisons"] == 9
    assert "pair_accuracy_noisy" in reward and "pair_accuracy_gold" not in reward
    path.write_text('{"prompt": "Who?", "chosen": "I."}\n', encoding="utf-8")
    assert "mine.jsonl, line 1" in refused("run", *QUICK[:-9], *options, "--out", tuned)


def test_eval_refuses_what_is_not_there(tmp_path):
    assert "no base has been trained in" in refused("eval", "--out", tmp_path)
    assert (
        "neither a stage (tokenizer, base, sft, grpo, preferences, dpo, reward, ppo, lora) nor a folder"
        in refused("eval", "nothing")
    )


# Exports


def test_an_exported_model_is_read_like_the_stage(runs, tmp_path):
    arguments = ("-p", "7 hens", "--max-tokens=5", "--temperature=0")
    assert minillm("export", "base", tmp_path / "hf", "--out", runs).status == 0
    read, own = minillm("chat", tmp_path / "hf", *arguments), minillm("chat", "--out", runs, *arguments)
    assert read.status == 0 and read.out == own.out and read.err.startswith("base from")


def test_an_export_for_other_programs_is_named(tmp_path):
    receipt = {"stage": "lora", "key": "0" * 12, "to": "peft", "files": []}
    (tmp_path / "minillm_export.json").write_text(json.dumps(receipt), encoding="utf-8")
    line = refused("chat", tmp_path, "-p", "a")
    assert "is an export for other programs (peft); name the stage itself, or export it with --to hf" in line
    (tmp_path / "minillm_export.json").write_text("[1]", encoding="utf-8")
    assert "is an export for other programs" in refused("eval", tmp_path)


# Published models


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> Path:
    """What `publish` makes of models with the preset's own settings: here, of a tokenizer that is not trained."""
    root = tmp_path_factory.mktemp("published")
    course = Course("smoke", root / "runs", progress=False)
    folder = course.folder("tokenizer")
    Tokenizer.train([TEXT], 300).save(folder)
    examination = course.examination_key("tokenizer")
    figures = {"vocab_size": 300, "bytes_per_token": 2.0, "seconds": 1.5}
    key = course.key("tokenizer")
    write_artifact(folder, "tokenizer", key, {"data": "Fables"}, figures, examination=examination)
    result = minillm("publish", root / "models", "--preset=smoke", "--out", root / "runs")
    assert result.status == 0 and "models: 1 stage, " in result.out
    return root / "models"


def test_publish_fetch_and_info(published, tmp_path):
    arguments = ("--preset=smoke", "--out", tmp_path)
    result = json.loads(minillm("fetch", *arguments, "--from", published, "--json").out)
    (entry,) = result["stages"]
    assert result["from"] == entry["fetched"]["from"] == str(published)
    assert (entry["stage"], entry["cached"]) == ("tokenizer", False)
    result = minillm("fetch", "tokenizer", *arguments, "--from", published)
    assert "(fetched)" in result.out and "fetched from" not in result.err, "it is there"
    facts = json.loads(minillm("info", *arguments, "--json").out)
    assert facts["fetch"] == "none" and facts["stages"][0]["fetched"]["bytes"] > 0
    assert "tokenizer" not in facts["missing"] and "(fetched)" in minillm("info", *arguments).out
    again = json.loads(minillm("publish", tmp_path / "again", *arguments, "--json").out)
    assert [one["stage"] for one in again["stages"]] == ["tokenizer"]


def test_run_fetches_where_it_is_told_to(published, tmp_path):
    arguments = ("run", *MACHINE, "--stages=tokenizer", "--out", tmp_path, "--from", published, "--json")
    (entry,) = json.loads(minillm(*arguments, "--fetch=all").out)["stages"]
    assert entry["fetched"]["from"] == str(published) and entry["cached"] is False
    assert "seconds" in entry


def test_what_cannot_be_fetched_or_published_is_one_line(published, tmp_path):
    arguments = ("--preset=smoke", "--out", tmp_path / "runs")
    fetch = ("fetch", *arguments, "--from")
    assert "has no base with the key" in refused(*fetch, published, "base")
    assert "stage 'poo' is unknown" in refused(*fetch, published, "poo")
    assert "manifest.json is not there" in refused(*fetch, tmp_path)
    assert "use https" in refused(*fetch, "http://example.org/models")
    assert "fetch is 'some'; choose one of none, before, all" in refused("run", "--fetch=some", *arguments)
    assert "no stage is trained with preset smoke" in refused("publish", tmp_path / "new", *arguments)
    result = minillm("publish", tmp_path / "new", *arguments, "--if-any")
    assert (result.status, result.out) == (0, "no stage of preset smoke is trained: nothing is published\n")
    assert not (tmp_path / "new").exists() and not (tmp_path / "runs").exists()
