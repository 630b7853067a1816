"""Settings from the command line: what their text means, which names and seeds are allowed, and options given once."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from minillm import checks
from minillm.checks import LARGEST_SEED
from minillm.cli import app
from minillm.course import Course, default_root
from minillm.data.hub import HubRows
from minillm.data.preferences import SampledPreferences
from minillm.files import user_path
from minillm.presets import PRESETS
from minillm.settings import Written, meant, overrides, with_source


def refused(*arguments: str) -> str:
    """The one line with which the program refuses."""
    result = CliRunner().invoke(app, list(arguments))
    lines = result.stderr.splitlines()
    assert result.exit_code == 2 and len(lines) == 1 and lines[0].startswith("minillm: "), result.stderr
    return lines[0]


@pytest.mark.parametrize("text", ["123e456", "1e5", "007", "true", "12345", "[1]", '"a"', "NaN", "-0"])
def test_text_stays_text_where_text_is_meant(text):
    rows = HubRows("owner/tales")
    assert meant(Written(text), rows, "revision") == text
    course = Course("colab", **overrides(["domain.source=owner/tales", f"domain.revision={text}"]))
    assert course.preset.domain.revision == text and type(course.preset.domain.revision) is str


def test_other_settings_are_json_and_null_is_none():
    rows = HubRows("owner/tales")
    assert meant(Written("null"), rows, "revision") is None and meant(None, rows, "revision") is None
    assert meant(Written("7"), rows, "n_train") == 7 and meant(Written("true"), rows, "skip_bad") is True
    fit, none = PRESETS["smoke"].base.fit, Written("None")
    assert meant(none, fit, "validate_every") is None and meant(none, fit, "steps") == "None"
    assert meant(none, rows, "revision") == "None", "it may be a name"
    families = meant(Written('["world", "reading"]'), PRESETS["smoke"].conversations, "families")
    assert families == ("world", "reading")
    assert meant(math.inf, rows, "n_train") == math.inf, "values of Python are left alone"
    assert Course("smoke", name="1e5").preset.name == "1e5"


def test_the_last_of_two_values_counts_and_is_told(caplog):
    assert overrides(["a.b=1", "a.b=1"]) == {"a": {"b": "1"}} and not caplog.text
    assert (
        overrides(["a.b=1", "a.b=2"]) == {"a": {"b": "2"}} and "the last value counts, not 1" in caplog.text
    )


def test_a_source_is_named_once():
    nested = overrides(["corpus.n_documents=5"])
    with_source(nested, "corpus", "world")
    assert nested == {"corpus": {"n_documents": "5", "source": "world"}}
    for change in ("corpus=a.txt", "corpus.source=a.txt"):
        with pytest.raises(ValueError, match="corpus has a source of its own and one by --set"):
            with_source(overrides([change]), "corpus", "b.txt")


@pytest.mark.parametrize(
    "options, message",
    [
        (
            ("run", "--corpus=a.txt", "--corpus=b.txt"),
            "--corpus is given 2 times; give it once; for several files",
        ),
        (("run", "--sft", "a", "--sft", "b", "--sft=c"), "--sft is given 3 times"),
        (("run", "--seed=1", "--seed=1"), "--seed is given 2 times; give it once"),
        (("run", "--out=a", "--out=b"), "--out is given 2 times"),
        (("chat", "-p", "a", "--prompt=b"), "--prompt is given 2 times"),
        (("eval", "-n", "1", "--tasks", "2"), "--tasks is given 2 times"),
        (("export", "a", "b", "--to=hf", "--to=onnx"), "--to is given 2 times"),
    ],
)
def test_options_are_given_once(options, message):
    assert message in refused(*options)


# Seeds


@pytest.mark.parametrize("seed", [0, 1, LARGEST_SEED])
def test_every_allowed_seed_can_be_used(seed):
    checks.seed("seed", seed)
    for derived in (seed, 2 * seed + 1, seed * 1_000_003 + 10**6):
        torch.Generator().manual_seed(derived)
        np.random.default_rng([derived, 3])


@pytest.mark.parametrize("seed", [-1, LARGEST_SEED + 1, 10**30, 10**3000])
def test_other_seeds_are_refused_everywhere_before_anything_is_trained(seed, tmp_path):
    makers = (
        lambda: replace(PRESETS["smoke"], seed=seed),
        lambda: replace(PRESETS["smoke"].base.fit, seed=seed),
        lambda: replace(PRESETS["smoke"].corpus, seed=seed),
        lambda: replace(PRESETS["smoke"].conversations, seed=seed),
        lambda: SampledPreferences(seed=seed),
    )
    for make in makers:
        with pytest.raises(ValueError, match=f"seed is .*; use a whole number from 0 to {LARGEST_SEED}"):
            make()
    for command in (["run"], ["eval"]):
        line = refused(*command, f"--seed={seed}", f"--out={tmp_path}")
        assert f"from 0 to {LARGEST_SEED}" in line and len(line) < 200
    assert not list(tmp_path.iterdir())


# Places


@pytest.mark.parametrize(
    "name",
    ["../zz", "", ".", "..", "a/b", "a\\b", "/a", "a b", "con", "NUL.txt", "a.", ".a", "x" * 101, "茶"],
)
def test_a_presets_name_is_that_of_a_folder(name, tmp_path):
    with pytest.raises(ValueError, match="name is "):
        replace(PRESETS["smoke"], name=name)
    assert "name is " in refused("run", f"--set=name={name}", f"--out={tmp_path}")


@pytest.mark.parametrize("name", ["cpu", "cpu-2", "my_run.v3", "7", "console"])
def test_ordinary_names_are_allowed(name):
    assert replace(PRESETS["smoke"], name=name).name == name


def test_the_home_folder_is_written_out(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert user_path("~/x") == tmp_path / "x" and str(user_path("a~b")) == "a~b"
    monkeypatch.setenv("MINILLM_RUNS", "~/runs")
    assert default_root() == tmp_path / "runs" and Course("smoke", "~/y").root == tmp_path / "y"
    result = CliRunner().invoke(app, ["example", "~/mine"])
    assert result.exit_code == 0 and (tmp_path / "mine" / "conversations.jsonl").is_file()
    assert f"no base has been trained in {tmp_path / 'z'}" in refused("eval", "--out=~/z")
    assert f"{str(tmp_path / 'gone')!r} is neither a stage" in refused("chat", "~/gone", "-p", "a")
    assert "begins with the home of a user who is not here" in refused("eval", "--out=~nobody-of-that-name/x")
    assert "begins with the home of a user" in refused("run", "--corpus=~nobody-of-that-name/x.txt")
