"""Training on the device: each stage and number format, cut off and gone on with, compiled, with batches made ahead."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from small_stages import STAGES, CutOffError, adapter_weights, make_gpt

from minillm.course import Course
from minillm.data.batches import Batch
from minillm.data.tasks import Tasks
from minillm.evaluate import answer_tasks
from minillm.recipes import STAGES as STAGE_NAMES
from minillm.train.compiling import compiled_loss
from minillm.train.config import FitConfig
from minillm.train.loop import fit
from minillm.train.optim import build_optimizers
from minillm.train.options import RunOptions
from minillm.train.prefetch import Prefetched
from minillm.train.runtime import ALONE, Runtime
from minillm.train.step import TrainStep, language_model_loss

pytestmark = pytest.mark.gpu


class Rows:
    """Texts that go on by a rule, two in a row."""

    def batch(self, step: int) -> Batch:
        first = torch.randint(0, 50, (6, 1), generator=torch.Generator().manual_seed(step))
        ids = (first + 7 * torch.arange(33)) % 50
        return Batch(ids[:, :-1], ids[:, 1:], (torch.arange(32) // 16).expand(6, 32).clone())


@pytest.mark.parametrize("name", STAGES)
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_stage_comes_to_the_figures_of_the_cpu(tmp_path, run_time, name: str, precision: str) -> None:
    runtime = run_time(precision)

    def figures(folder: str, runtime: Runtime) -> dict[str, float]:
        return STAGES[name](RunOptions(folder=tmp_path / folder, runtime=runtime, progress=False))

    expected = figures("cpu", replace(ALONE, precision=precision, compile=False))
    tolerance = 5e-3 if precision == "fp32" else 0.1
    assert figures("device", runtime) == pytest.approx(expected, rel=tolerance, abs=tolerance)


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_model_learns(run_time, precision: str, optimizer: str) -> None:
    config = FitConfig(steps=25, optimizer=optimizer, learning_rate=2e-2, micro_batch_rows=4)
    result = fit(make_gpt(), Rows(), config, runtime=run_time(precision), progress=False)
    assert result.train_loss < 0.7 * result.history[0]["loss"]


def test_a_gradient_that_overflows_changes_no_weight(run_time) -> None:
    runtime = run_time("fp16")
    model = make_gpt().to(runtime.device).train()
    config = FitConfig(steps=1)
    step = TrainStep(model, language_model_loss, build_optimizers(model, config, "fp16"), config, runtime)
    step(Rows().batch(0))
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    scale = 2.0**60
    step.scaler.update(scale)
    numbers = step(Rows().batch(1))
    assert numbers["grad_norm"] == float("inf") or numbers["grad_norm"] != numbers["grad_norm"]
    assert step.scaler.get_scale() == scale / 2
    torch.testing.assert_close(model.state_dict(), before, atol=0, rtol=0)
    step.scaler.update(2.0**10)
    assert step(Rows().batch(1))["grad_norm"] < 1e4
    assert not torch.equal(model.state_dict()["model.norm.weight"], before["model.norm.weight"])


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_run_that_was_cut_off_goes_on(tmp_path, run_time, precision: str) -> None:
    """On a CPU bit for bit. A GPU's kernels may add in another order; another draw of dropout would change far more."""
    runtime = run_time(precision)
    expected = adapter_weights(runtime, tmp_path / "whole")
    with pytest.raises(CutOffError):
        adapter_weights(runtime, tmp_path / "cut", cut_at=5)
    found = adapter_weights(runtime, tmp_path / "cut")
    other = adapter_weights(runtime, tmp_path / "other", seed=1)
    tolerance = 0.0 if runtime.device.type == "cpu" else 2e-4
    torch.testing.assert_close(found, expected, atol=tolerance, rtol=0)
    assert max(float((other[name] - weight).abs().max()) for name, weight in expected.items()) > 1e-3


def test_batches_come_from_memory_that_the_device_can_copy_from(device) -> None:
    ahead = Prefetched(Rows(), pin=device.type == "cuda")
    try:
        for step in (0, 1, 2, 0):
            batch, expected = ahead.batch(step), Rows().batch(step)
            assert batch.ids.is_pinned() == (device.type == "cuda")
            assert torch.equal(batch.ids.to(device, non_blocking=True).cpu(), expected.ids)
    finally:
        ahead.close()


def test_batches_made_ahead_change_nothing(run_time, monkeypatch) -> None:
    losses, on_cuda = [], run_time().device.type == "cuda"
    for overlaps in (False, True):
        monkeypatch.setattr("minillm.train.loop._overlaps", lambda runtime, it=overlaps: it)
        monkeypatch.setattr("minillm.train.loop.Prefetched", lambda source, pin: Prefetched(source, on_cuda))
        result = fit(make_gpt(), Rows(), FitConfig(steps=5), runtime=run_time(), progress=False)
        losses.append([line["loss"] for line in result.history])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_compiled_code_computes_the_same(run_time, caplog) -> None:
    if run_time().device.type == "cpu":
        pytest.skip("tests/train/test_compiling_cpu.py compiles for the CPU")
    for precision in ("fp32", "fp16"):
        runtime = run_time(precision, compile=True)
        found = []
        for compile in (False, True):
            model = make_gpt().to(runtime.device).train()
            step = TrainStep(
                model, language_model_loss, [], FitConfig(steps=1), replace(runtime, compile=compile)
            )
            (piece,) = step.pieces(Rows().batch(0))
            with runtime.autocast():
                nats, _ = compiled_loss(step, Rows().batch(0), 1)(model, piece)
            nats.backward()
            found.append([float(nats), *(float(weight.grad.norm()) for weight in model.parameters())])
        assert not [record for record in caplog.records if record.name == "minillm"], "the compiler failed"
        assert found[1] == pytest.approx(found[0], rel=1e-4 if precision == "fp32" else 2e-2)


def test_the_course_from_end_to_end(tmp_path, run_time) -> None:
    """Every stage of the smoke preset, with its examination."""
    if run_time().device.type == "cpu":
        pytest.skip("tests/test_course.py does it on the CPU")
    course = Course("smoke", tmp_path, progress=False)
    assert course.runtime.device.type == run_time().device.type
    for name in STAGE_NAMES:
        artifact = course.stage(name)
        assert artifact.figures
    assert course.stage("ppo").figures["first_ratio_error"] < 1e-3
    answers = answer_tasks(
        course.stage("sft").language_model, artifact.tokenizer, list(Tasks("test").tasks(3))
    )
    assert len(answers.answers) == 3
