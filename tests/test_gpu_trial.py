"""The GPU trial: nothing that a part can do stops the others or loses what was found, and its figures are right."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import minillm
from minillm.model.config import GPTConfig
from minillm.model.gpt import GPT

ROOT = Path(minillm.__file__).resolve().parent.parent
BENCHMARKS = ROOT / "benchmarks"
if not (BENCHMARKS / "gpu_trial.py").is_file():
    pytest.skip("the benchmarks are not here", allow_module_level=True)
sys.path.insert(0, str(BENCHMARKS))

import gpu_trial  # noqa: E402
from trial import device, equality, local, plain, runner, speed  # noqa: E402
from trial import parts as trial_parts  # noqa: E402
from trial.parts import PARTS, Part, choose_parts, limit  # noqa: E402
from trial.report import Report  # noqa: E402

PARTS_OF_TESTS = {
    "machine": "def run(trial): trial.record(device='cpu', machine={'cpu': 'a test'})",
    "good": "def run(trial): trial.record(answer=42, device=trial.device, earlier=trial.earlier)",
    "broken": "def run(trial):\n    trial.record(half=0.5)\n    raise ValueError('no such thing')",
    "wrong": "def run(trial):\n    trial.check(2 + 2 == 5, 'arithmetic')\n    trial.record(further=float('nan'))",
    "crashing": "import os\ndef run(trial):\n    trial.record(half=0.5)\n    os._exit(3)",
    "slow": "import time\ndef run(trial):\n    trial.record(half=0.5)\n    time.sleep(60)",
    "absent": "from trial.session import Skipped\ndef run(trial): raise Skipped('not here')",
    "hanging": """
import subprocess, time
def run(trial):
    child = subprocess.Popen(["sleep", "60"])
    trial.record(child=child.pid)
    while True:
        try:
            time.sleep(60)
        except KeyboardInterrupt:
            pass
""",
}


@pytest.fixture
def parts(tmp_path, monkeypatch):
    """Makes parts of those names."""
    folder = tmp_path / "modules" / "parts_of_tests"
    folder.mkdir(parents=True)
    monkeypatch.setenv("PYTHONPATH", str(folder.parent))

    def make(*names: str) -> list[Part]:
        for name in names:
            (folder / f"{name}.py").write_text(PARTS_OF_TESTS[name], encoding="utf-8")
        return [Part(name, name[0], 10, "for a test", "parts_of_tests.") for name in names]

    return make


@pytest.fixture
def run(parts, tmp_path, monkeypatch):
    """Runs parts of those names; returns their records, as they stand in the file."""
    # A part's own clock begins when Python has started, which on a busy machine may take longer than the usual 3 s.
    monkeypatch.setattr(runner, "_GRACE", 30.0)

    def call(*names: str, seconds: float = 60.0) -> dict:
        out, chosen = tmp_path / "out.json", parts(*names)
        folder = tmp_path / f"run{len(list(tmp_path.iterdir()))}"
        report = Report(["numpy"], names, out)
        told = {"device": "auto", "quick": True, "text": None}
        assert runner.run_parts(chosen, told, seconds, folder, report) is False
        return json.loads(out.read_text(encoding="utf-8"))["parts"]

    return call


@pytest.fixture(autouse=True)
def known_parts(monkeypatch):
    """The report shows parts in the order of the program's; those of the tests are known too."""
    monkeypatch.setattr("trial.report.PARTS", [Part(name, "", 1, "") for name in PARTS_OF_TESTS])


# One part's fate


def test_a_part_that_fails_is_recorded_with_its_last_lines_and_the_next_one_runs(run):
    records = run("machine", "broken", "good")
    broken = records["broken"]
    assert broken["status"] == "failed"
    assert broken["reason"] == "ValueError: no such thing"
    assert broken["figures"] == {"half": 0.5}
    assert broken["output"][-1] == "ValueError: no such thing"
    assert any("in run" in line for line in broken["output"])  # the traceback
    good = records["good"]
    assert (good["status"], good["figures"]["answer"], good["figures"]["device"]) == ("done", 42, "cpu")
    assert good["figures"]["earlier"]["broken"] == {"half": 0.5}


def test_a_crash_keeps_what_was_found_before_it(run):
    crashed = run("machine", "crashing")["crashing"]
    assert (crashed["status"], crashed["reason"]) == ("failed", "ended with 3")
    assert crashed["figures"] == {"half": 0.5}


def test_a_check_that_does_not_hold_fails_the_part_at_its_end(run):
    wrong = run("machine", "wrong")["wrong"]
    assert (wrong["status"], wrong["reason"]) == ("failed", "arithmetic")
    assert wrong["figures"] == {"further": "nan"}  # which JSON could not write


def test_a_part_that_is_not_possible_here_is_skipped_with_the_reason(run):
    absent = run("machine", "absent")["absent"]
    assert (absent["status"], absent["reason"]) == ("skipped", "not here")


def test_a_part_stops_itself_when_its_time_is_over(run):
    slow = run("slow", seconds=8.0)["slow"]
    assert (slow["status"], slow["reason"]) == ("cut", "its 8 s were over")
    assert slow["figures"] == {"half": 0.5}
    assert slow["seconds"] < 34  # of 60, on however busy a machine


@pytest.mark.skipif(not Path("/proc/self/stat").is_file(), reason="asks Linux what runs")
def test_a_part_that_hangs_is_killed_with_all_that_it_started(run):
    hanging = run("hanging", seconds=8.0)["hanging"]
    assert (hanging["status"], hanging["reason"]) == ("failed", "killed at its limit of 8 s")
    assert any("in run" in line for line in hanging["output"])  # where it hung
    assert hanging["seconds"] < 34
    assert _ends(hanging["figures"]["child"])


def _ends(pid: int, seconds: float = 10.0) -> bool:
    """Whether a process that was killed is gone soon: a busy machine takes a moment for it."""
    end = time.monotonic() + seconds
    while _runs(pid) and time.monotonic() < end:
        time.sleep(0.05)
    return not _runs(pid)


def _runs(pid: int) -> bool:
    """Whether a process is there, and no mere entry that nobody has asked for."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(") ")[2]
    except FileNotFoundError:
        return False
    return not state.startswith("Z")


def test_parts_for_which_no_time_is_left_are_told(run):
    records = run("slow", "good", seconds=2.0)
    assert (records["good"]["status"], records["good"]["reason"]) == ("cut", "no time was left")


def test_the_records_of_other_parts_are_kept_from_the_same_machine_only(run, monkeypatch):
    run("machine", "good")
    assert run("machine", "broken").keys() == {"machine", "good", "broken"}
    monkeypatch.setitem(PARTS_OF_TESTS, "machine", PARTS_OF_TESTS["machine"].replace("a test", "another"))
    assert run("machine", "absent").keys() == {"machine", "absent"}


def test_a_trial_that_is_ended_keeps_what_was_found(parts, tmp_path):
    """SIGTERM to the program, as a scheduler sends it: the part's process ends with it."""
    (part,) = parts("slow")
    code = f"""
import sys
sys.path[:0] = [{str(ROOT)!r}, {str(BENCHMARKS)!r}]
from pathlib import Path
from trial import parts, report, runner
report.PARTS = chosen = [parts.Part("slow", "s", 10, "for a test", "{part.package}")]
told = {{"device": "auto", "quick": True, "text": None}}
out = Path({str(tmp_path / "out.json")!r})
print(runner.run_parts(chosen, told, 60, Path({str(tmp_path)!r}) / "run", report.Report([], ["slow"], out)))
"""
    program = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, encoding="utf-8")
    record = tmp_path / "run" / "slow.json"
    while not (record.is_file() and "half" in record.read_text(encoding="utf-8")):
        assert program.poll() is None
        time.sleep(0.05)
    program.terminate()
    assert program.communicate(timeout=30)[0].splitlines()[-1] == "True"  # ended
    slow = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))["parts"]["slow"]
    assert (slow["status"], slow["reason"]) == ("cut", "the trial was ended")
    assert slow["figures"] == {"half": 0.5}


def test_the_exit_status_says_whether_a_part_has_failed(parts, tmp_path, monkeypatch, capsys):
    for names, status in ((("machine", "good", "absent"), 0), (("machine", "broken", "good"), 1)):
        monkeypatch.setattr(trial_parts, "PARTS", parts(*names))
        out = tmp_path / f"{status}.json"
        assert gpu_trial.main(["--quick", "--out", str(out)]) == status
        assert set(json.loads(out.read_text(encoding="utf-8"))) == {"machine", "versions", "rows", "parts"}
    assert "broken      failed" in capsys.readouterr().out


# The command line


def test_the_program_runs_a_part_from_another_folder(tmp_path):
    """Generation, which is the cheapest with a comparison; nothing is written but the file that was asked for."""
    before = {path: path.stat().st_mtime_ns for path in (BENCHMARKS / "results").iterdir()}
    command = [sys.executable, str(BENCHMARKS / "gpu_trial.py"), "--device", "cpu", "--quick"]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    finished = subprocess.run(
        [*command, "--parts", "generation", "--out", "found.json"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        encoding="utf-8",
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    found = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))
    assert found["machine"]["cores"] >= 1
    generation = found["parts"]["generation"]
    assert generation["status"] == "done"
    assert generation["figures"]["greedy_fp32"]["rows"] == 4
    assert len(found["rows"]) == 4
    assert all(row["ratio"] > 0 and row["aim"] is None for row in found["rows"])
    assert before == {path: path.stat().st_mtime_ns for path in (BENCHMARKS / "results").iterdir()}


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--parts", "a,nothing"], "--parts nothing is unknown"),
        (["--text", "not-there.txt"], "--text not-there.txt is no file"),
    ],
)
def test_wrong_arguments_give_one_line(arguments, message, capsys):
    assert gpu_trial.main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_a_missing_package_is_named(monkeypatch, capsys):
    monkeypatch.setattr(gpu_trial, "NEEDED", ("json", "a_package_that_is_not_there"))
    assert gpu_trial.main(["--quick"]) == 2
    assert capsys.readouterr().err == (
        "error: missing a_package_that_is_not_there; pip install a_package_that_is_not_there\n"
    )


def test_parts_are_chosen_by_letter_or_name():
    assert [part.name for part in choose_parts("f,equality")] == ["machine", "equality", "generation"]
    assert [part.name for part in choose_parts("a")] == ["machine", "equality", "gpu_tests"]
    assert choose_parts(None) == list(PARTS)


def test_the_parts_share_eight_minutes_and_what_one_leaves_goes_to_the_next():
    assert sum(part.seconds for part in PARTS) == 480
    assert limit(PARTS[1:], 465) == pytest.approx(PARTS[1].seconds)
    assert limit(PARTS[1:], 930) == pytest.approx(2 * PARTS[1].seconds)
    assert limit(PARTS[-1:], 130.0) == 130.0  # the last has all that is left
    assert limit(PARTS, 9.0) == 9.0


# Figures


def test_utilisation_is_what_one_counts_by_hand():
    shape = GPTConfig(10, context_length=4, n_layer=1, n_head=2, d_model=8, d_ff=16)
    weights = 4 * 8 * 8 + 3 * 8 * 16 + 10 * 8  # attention, feed-forward, head
    forward = 2 * weights + 4 * 8 * 4  # scores and sums over four tokens of eight channels
    assert device.utilisation(shape, 1000.0, peak=2 * 3 * 1000.0 * forward) == 0.5
    assert device.utilisation(shape, 1000.0, peak=None) is None


def test_the_models_that_are_compared_cost_the_same():
    """By PyTorch's own count of the operations."""
    shape = replace(speed.big_shape(quick=True), qk_norm=False)
    ids = torch.zeros(2, shape.context_length, dtype=torch.long)
    counts = []
    for model in (GPT(shape), plain.PlainGPT(shape), speed.transformers_llama(shape)):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            model(ids)
        counts.append(counter.get_total_flops())
    assert counts[0] == counts[1] == counts[2] > 0


def test_the_quick_shape_has_the_proportions_of_the_real_one():
    real, quick = speed.big_shape(False), speed.big_shape(True)
    assert real.d_ff / real.d_model == quick.d_ff / quick.d_model
    assert real.qk_norm == quick.qk_norm


@pytest.mark.parametrize(
    "name, precision, tflops",
    [
        ("NVIDIA H100 80GB HBM3", "bf16", 989.0),
        ("NVIDIA H100 PCIe", "bf16", 756.0),
        ("NVIDIA H200", "bf16", 989.0),
        ("Tesla T4", "fp16", 65.0),
        ("Tesla T4", "bf16", None),
        ("NVIDIA L4", "bf16", 121.0),
        ("NVIDIA L40S", "bf16", 362.0),
        ("a device of tomorrow", "bf16", None),
        ("NVIDIA A100-SXM4-40GB", "fp32", None),
    ],
)
def test_the_peak_of_a_device_is_that_of_its_data_sheet(name, precision, tflops):
    peak, why = device.peak_flops(name, precision)
    assert (None if peak is None else peak / 1e12) == tflops
    assert why


def test_a_difference_is_relative_to_the_largest_number_of_the_cpu():
    expected, got = torch.tensor([4.0, -8.0]), torch.tensor([4.0, -7.0])
    assert equality.difference(expected, got) == 1 / 8
    assert equality.difference(torch.zeros(2), torch.tensor([0.0, 3.0])) == 3.0
    assert not equality.difference(expected, torch.tensor([4.0, torch.nan])) < 1


def test_every_gradient_that_is_compared_has_something_in_it():
    for shape, *_ in equality._SHAPES.values():
        model = GPT(shape)
        device.stir(model)
        model(torch.arange(12)[None]).square().mean().backward()
        assert all(float(weight.grad.abs().max()) > 1e-6 for weight in model.parameters())


def test_tokens_that_differ_are_a_gap_unless_their_logits_tie():
    model = GPT(GPTConfig(7, context_length=8, n_layer=1, n_head=2, d_model=8))
    device.stir(model)
    prompts = [[1, 2], [3, 4]]
    logits = model(torch.tensor(prompts))[1, -1].detach()
    best, worst = int(logits.argmax()), int(logits.argmin())
    assert equality.gaps(model, prompts, [[5, 5], [best, 0]], [[5, 5], [best, 0]]) == []
    (gap,) = equality.gaps(model, prompts, [[5, 5], [best, 0]], [[5, 5], [worst, 0]])
    assert gap == pytest.approx(float((logits[best] - logits[worst]) / logits.abs().max()))


def test_local_text_is_as_long_as_asked_for_and_of_many_documents(tmp_path):
    corpus = local.local_corpus(None, tmp_path, 50_000)
    texts = list(corpus.documents("train")) + list(corpus.documents("validation"))
    assert 45_000 < sum(map(len, texts)) < 120_000
    assert len(texts) > 10
    library = sum(len(text) for text in texts if "def " in text or "import " in text)
    assert 0.25 < library / sum(map(len, texts)) < 0.75  # the rest is the micro-world's


def test_given_answers_are_ranked_with_the_tasks_own_answer_best():
    comparisons, _ = local.GivenAnswers(n_train=20, n_validation=5).comparisons("train", None, None)
    assert len(comparisons) == 20
    assert sum(one.ranks[0] == 0 for one in comparisons) >= 15  # the own answer is the first of each


def test_the_time_of_a_step_leaves_out_the_first_ones():
    lines = [{"step": n, "seconds": s} for n, s in enumerate((0.0, 9.0, 18.0, 27.0, 28.0, 29.0, 30.5), 1)]
    assert local.step_seconds(lines) == 1.0
    assert local.step_seconds(lines[:1]) is None
