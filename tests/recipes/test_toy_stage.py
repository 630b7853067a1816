"""A stage in one file: from its own recipe to run, info, eval, costs, model card and cache, and no change elsewhere."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from minillm import checks
from minillm.artifact import Artifact
from minillm.cli import app
from minillm.course import Course
from minillm.evaluate import task_figures
from minillm.keys import setting
from minillm.presets import PRESETS, Preset
from minillm.recipes import STAGES, Figures, Job, Stage, Trained, left_out, stage_flops
from minillm.recipes.stage import Output

# -- the stage: everything that a new one has to say --


@dataclass(frozen=True)
class NoisyConfig:
    """Settings of the toy: the assistant with noise on its weights."""

    amount: float = 0.01  # standard deviation of the noise
    looks: int = setting(1, measures=True)  # how often its weights are measured
    saves: int = setting(1)  # decides nothing at all

    def __post_init__(self) -> None:
        checks.number("amount", self.amount, at_least=0)


def train(job: Job[NoisyConfig]) -> Trained:
    sft = job.parents["sft"]
    model = copy.deepcopy(sft.language_model)
    generator = torch.Generator().manual_seed(job.seed)
    with torch.no_grad():
        for weight in model.parameters():
            weight += job.config.amount * torch.randn(weight.shape, generator=generator)
    return Trained(tokenizer=sft.tokenizer, model=model, figures={"parameters": model.n_parameters})


def test(job: Job[NoisyConfig], trained: Trained) -> Figures:
    before, after = job.parents["sft"].language_model, trained.language_model
    moved = sum(float((a - b).norm()) for a, b in zip(after.parameters(), before.parameters(), strict=True))
    return {"moved": moved * job.config.looks, **task_figures(after, trained.tokenizer, job.test_tasks)}


def tokens(preset: Preset) -> int:
    return 1_000


NOISY = Stage(
    name="noisy",
    parents=("sft",),
    reads=("conversations",),
    config=NoisyConfig,
    output="answers",
    train=train,
    test=test,
    headline=lambda figures: f"moved by {figures['moved']:.1f}",
    labels={"moved": "distance from the assistant (sum of norms)"},
    tokens=tokens,
    tested_on_tasks=True,
)

# -- what the course makes of it --

test.__test__ = False  # type: ignore[attr-defined]  # the stage's, not pytest's


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(STAGES, "noisy", NOISY)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A folder of runs in which a small assistant is trained."""
    return tmp_path_factory.mktemp("runs")


SMALL = [
    "--set=corpus.n_documents=60",
    "--set=corpus.n_validation=10",
    "--set=conversations.n_train=60",
    "--set=conversations.n_validation=5",
    "--set=base.model.n_layer=1",
    "--set=base.fit.steps=3",
    "--set=base.fit.validate_every=3",
    "--set=sft.fit.steps=3",
    "--set=sft.corpus_documents=3",
    "--set=test_tasks=1",
]


def run(*arguments: str) -> Any:
    """The output of a command that must succeed."""
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == 0, result.stderr
    return result


def trained(runs: Any, *changes: str) -> dict[str, Any]:
    out = run("run", "--preset=smoke", "--stages=noisy", f"--out={runs}", "--json", *SMALL, *changes).stdout
    (entry,) = json.loads(out)["stages"]
    return dict(entry)


def test_run_trains_it_after_its_parents_and_finds_it_again(runs: Any) -> None:
    first, again = trained(runs), trained(runs)
    assert not first["cached"] and again["cached"] and first["path"] == again["path"]
    assert first["moved"] > 0 and "task_accuracy" in first
    assert trained(runs, "--set=noisy.amount=0.02")["path"] != first["path"]
    assert Course("smoke", seed=1).key("noisy") != Course("smoke").key("noisy")
    for same in ("--set=noisy.saves=5", "--set=noisy.looks=3"):
        assert trained(runs, same)["path"] == first["path"]


def test_figures_are_made_anew_without_training(runs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    first = trained(runs)

    def refuse(job: Job[NoisyConfig]) -> Trained:
        raise AssertionError("trained again")

    monkeypatch.setitem(STAGES, "noisy", replace(NOISY, train=refuse))
    looked = trained(runs, "--set=noisy.looks=3")
    assert looked["moved"] == pytest.approx(3 * first["moved"], rel=1e-6)
    assert looked["parameters"] == first["parameters"], "the figures of the training stay"
    assert trained(runs)["moved"] == pytest.approx(first["moved"], rel=1e-6)
    monkeypatch.setitem(
        STAGES, "noisy", replace(NOISY, train=refuse, test=lambda *_: {"new": 1}, test_version=2)
    )
    renewed = trained(runs)
    assert renewed["new"] == 1 and "moved" not in renewed, "figures that are no longer measured are gone"


def test_its_card_has_its_words(runs: Any) -> None:
    artifact = Artifact(runs / "smoke" / trained(runs)["path"])
    card = (artifact.folder / "README.md").read_text(encoding="utf-8")
    assert "# minillm noisy" in card and "distance from the assistant (sum of norms)" in card
    assert '"amount": 0.01' in card and "60 conversations about the tasks" in card
    assert artifact.answers and (artifact.folder / "chat_template.jinja").is_file()


def test_info_lists_it_with_its_headline_and_costs(runs: Any) -> None:
    told = json.loads(run("info", "--preset=smoke", f"--out={runs}", "--json").stdout)
    with_noise = sum(stage_flops(PRESETS["smoke"]).values())
    assert (
        told["flops"]
        == with_noise
        > sum(flops for name, flops in stage_flops(PRESETS["smoke"]).items() if name != "noisy")
    )
    assert "noisy" in told["missing"], "that of the preset itself is not trained"
    assert f"moved by {trained(runs)['moved']:.1f}" in run("info", "--preset=smoke", f"--out={runs}").stdout


def test_eval_chat_and_export_take_it(runs: Any, tmp_path: Any) -> None:
    folder = trained(runs)["path"]
    told = json.loads(run("eval", "noisy", f"--out={runs}", "-n", "1", "--json").stdout)
    assert [entry["stage"] for entry in told["stages"]] == ["noisy"]
    run("chat", "noisy", f"--out={runs}", "-p", "Hello!")
    run("export", str(folder), str(tmp_path / "export"))
    card = (tmp_path / "export" / "README.md").read_text(encoding="utf-8")
    assert "distance from the assistant (sum of norms)" in card


def test_wrong_settings_of_it_are_told_in_one_line(runs: Any) -> None:
    for change, told in (
        ("noisy.amount=-1", "amount is -1; use a finite number of at least 0"),
        ("noisy.amont=1", "noisy has no setting 'amont'; it has amount, looks, saves"),
    ):
        result = CliRunner().invoke(
            app, ["run", "--preset=smoke", "--stages=noisy", f"--out={runs}", f"--set={change}"]
        )
        assert result.exit_code == 2 and told in result.stderr and result.stderr.count("\n") == 1


def test_a_course_takes_its_settings_as_those_of_any_stage(runs: Any) -> None:
    course = Course("smoke", runs, noisy={"amount": 0.5})
    assert course.settings("noisy") == NoisyConfig(amount=0.5)
    assert Course("smoke", runs).settings("noisy") == NoisyConfig()
    assert Course("smoke", runs, noisy=NoisyConfig(0.25)).settings("noisy").amount == 0.25
    assert PRESETS["smoke"].more == {}
    with pytest.raises(TypeError, match="noisy is 3; use a NoisyConfig"):
        Course("smoke", runs, noisy=3)
    with pytest.raises(ValueError, match="smoke has no setting 'more'"):
        Course("smoke", runs, more={"noisy": {"amount": 0.5}})


def test_settings_of_the_tokenizer_count_too(runs: Any) -> None:
    course = Course("smoke", runs, tokenizer={"max_characters": 1_000}, base={"model": {"vocab_size": 512}})
    settings = course.settings("tokenizer")
    assert (settings.vocab_size, settings.max_characters) == (512, 1_000)
    assert course.key("base") != Course("smoke", runs, base={"model": {"vocab_size": 512}}).key("base")


def test_stages_that_need_the_same_source_are_left_out_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(STAGES, "noisy", replace(NOISY, needs={"preferences": "give some"}))
    names, told = left_out(set())["preferences"]
    assert names == ["preferences", "dpo", "reward", "ppo", "noisy"] and told.startswith("the judge knows")


@pytest.mark.parametrize("output", ["comparisons", "scores", "tokenizer"])
def test_what_does_not_write_is_not_offered_for_chat(
    output: Output, runs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(STAGES, "noisy", replace(NOISY, output=output))
    result = CliRunner().invoke(app, ["chat", "noisy", f"--out={runs}", "-p", "Hello!"])
    assert (
        result.exit_code == 2
        and "the stage noisy has no model that writes; choose one of base, sft, grpo, dpo, ppo, lora"
        in result.stderr
    )
