"""fit goes on where it was cut off: by a crash, a kill, a full disk or Ctrl-C."""

from __future__ import annotations

import errno
import os
import signal
import textwrap

import pytest

from minillm.train import TrainingInterrupted, choose_runtime
from minillm.train.checkpoint import Checkpoints
from minillm.train.run import TrainingRun


class Crash(Exception):
    pass


class CrashingSource:
    def __init__(self, source, at):
        self.source, self.at = source, at

    def batch(self, step):
        if step == self.at:
            raise Crash
        return self.source.batch(step)


VALIDATED = {"validate_every": 7, "patience": 3}


def slowly_worse(model) -> float:
    """A validation loss that depends on the weights."""
    return float(model.lm_head.weight.detach().square().sum())


@pytest.mark.parametrize("crash_at", [6, 13, 22])
@pytest.mark.parametrize(("precision", "optimizer"), [("fp32", "muon"), ("bf16", "muon"), ("fp16", "adamw")])
def test_resume_is_bit_for_bit(run, words, tmp_path, precision, optimizer, crash_at):
    settings = {"steps": 25, "checkpoint_every": 5, "optimizer": optimizer, **VALIDATED}
    settings["run_time"] = choose_runtime("cpu", precision, threads=1, compile=False)

    def arguments(name):
        return {"arguments": {"directory": tmp_path / name, "validate": slowly_worse}}

    whole, expected = run(**settings, **arguments("whole"))
    with pytest.raises(Crash):
        run(source=CrashingSource(words.Source(), crash_at), **settings, **arguments("cut"))
    resumed, result = run(model=words.Model(dropout=0.2), **settings, **arguments("cut"))
    assert result.resumed_from == crash_at // 5 * 5
    assert words.same_weights(whole, resumed)
    assert words.metrics(tmp_path / "cut") == words.metrics(tmp_path / "whole")
    assert (result.val_loss, result.best_step, result.steps, result.tokens) == (
        expected.val_loss,
        expected.best_step,
        expected.steps,
        expected.tokens,
    )


KILL = getattr(signal, "SIGKILL", signal.SIGTERM)  # which nothing catches; on Windows os.kill ends by either
KILLED = """
    import os, sys
    from minillm.data.batches import PackedDocuments
    from minillm.model.gpt import GPT, GPTConfig
    from minillm.train import FitConfig, choose_runtime, fit

    class Killed(PackedDocuments):
        def batch(self, step, *ranks):
            if step == 8 and __name__ == "__main__":
                os.kill(os.getpid(), int(sys.argv[2]))
            return super().batch(step, *ranks)

    def train(directory):
        documents = [[(i * j) % 7 for j in range(1, 4 + i % 5)] for i in range(40)]
        source = Killed(documents, end_of_text_id=7, context_length=12, rows=4)
        model = GPT(GPTConfig(vocab_size=8, context_length=12, n_layer=1, n_head=2, d_model=16, d_ff=24))
        runtime = choose_runtime("cpu", "fp32", threads=1, compile=False)
        config = FitConfig(steps=15, checkpoint_every=3)
        return model, fit(model, source, config, directory=directory, runtime=runtime, progress=False)

    if __name__ == "__main__":
        train(sys.argv[1])
"""


def test_a_killed_process_resumes_bit_for_bit(words, tmp_path, start):
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(KILLED), encoding="utf-8")
    namespace: dict = {"__name__": "script"}
    exec(script.read_text(encoding="utf-8"), namespace)
    whole, _ = namespace["train"](tmp_path / "whole")
    killed = start(script, tmp_path / "cut", int(KILL))
    assert abs(killed.wait()) == KILL, killed.err  # told as a negative number on POSIX systems
    assert Checkpoints(tmp_path / "cut" / "checkpoints").steps() == [3, 6]
    resumed, result = namespace["train"](tmp_path / "cut")
    assert result.resumed_from == 6 and words.same_weights(whole, resumed)
    assert words.metrics(tmp_path / "cut") == words.metrics(tmp_path / "whole")


def test_a_truncated_checkpoint_costs_some_steps_and_nothing_else(run, words, tmp_path, caplog):
    arguments = {"arguments": {"directory": tmp_path / "cut"}}
    whole, _ = run(steps=12, checkpoint_every=4)
    with pytest.raises(Crash):
        run(steps=12, checkpoint_every=4, source=CrashingSource(words.Source(), 10), **arguments)
    newest = tmp_path / "cut" / "checkpoints" / "step-00000008.safetensors"
    newest.write_bytes(newest.read_bytes()[:-1])
    resumed, result = run(steps=12, checkpoint_every=4, **arguments)
    assert result.resumed_from == 4 and words.same_weights(whole, resumed)
    assert len(caplog.records) == 1 and "step-00000008" in caplog.text
    assert [line["step"] for line in words.metrics(tmp_path / "cut")] == list(range(1, 13))


def test_a_finished_run_is_not_repeated(run, words, tmp_path):
    model, _ = run(steps=6, arguments={"directory": tmp_path})
    again, result = run(
        steps=6,
        model=words.Model(),
        source=CrashingSource(words.Source(), 0),
        arguments={"directory": tmp_path},
    )
    assert words.same_weights(model, again) and result.resumed_from == 6 and len(result.history) == 6


def test_other_settings_or_another_model_are_refused(run, words, tmp_path):
    run(steps=6, arguments={"directory": tmp_path})
    with pytest.raises(
        ValueError, match="holds a run with steps=6, now it is 7: use the same settings or another"
    ):
        run(steps=7, arguments={"directory": tmp_path})
    with pytest.raises(ValueError, match="checkpoint is of another model"):
        run(steps=6, model=words.Model(vocab=12), arguments={"directory": tmp_path})
    _, result = run(steps=6, checkpoint_every=2, arguments={"directory": tmp_path})  # decides nothing
    assert result.resumed_from == 6


class InterruptingSource(CrashingSource):
    def batch(self, step):
        if step == self.at:
            signal.raise_signal(signal.SIGINT)
        return self.source.batch(step)


def test_ctrl_c_in_the_last_step_is_not_forgotten(run, words, tmp_path):
    """Else a program that trains several stages would go on with the next one."""
    source = InterruptingSource(words.Source(), at=9)
    with pytest.raises(TrainingInterrupted, match="stopped after step 10 of 10; saved in "):
        run(steps=10, source=source, arguments={"directory": tmp_path})
    whole, _ = run(steps=10)
    again, result = run(steps=10, arguments={"directory": tmp_path})
    assert result.resumed_from == 10 and words.same_weights(whole, again)


def test_ctrl_c_between_two_looks_is_answered_when_it_is_saved(run, words, tmp_path, monkeypatch):
    """Regression: one that came after the decision to save was told as saved."""
    monkeypatch.setattr(TrainingRun, "save_if_due", saves_and(lambda step: step == 3 and press_ctrl_c()))
    with pytest.raises(TrainingInterrupted, match="stopped after step 4 of 10; saved in "):
        run(steps=10, checkpoint_every=100, arguments={"directory": tmp_path})
    monkeypatch.undo()
    _, result = run(steps=10, checkpoint_every=100, arguments={"directory": tmp_path})
    assert result.resumed_from == 4


def saves_and(then):
    """`save_if_due`, and what happens after it."""
    save = TrainingRun.save_if_due

    def both(run, now=False):
        save(run, now)
        then(run.step)

    return both


def press_ctrl_c():
    signal.raise_signal(signal.SIGINT)


def test_ctrl_c_saves_and_says_how_to_go_on(run, words, tmp_path):
    whole, _ = run(steps=10)
    source = InterruptingSource(words.Source(), at=4)
    with pytest.raises(TrainingInterrupted) as caught:
        run(steps=10, source=source, arguments={"directory": tmp_path})
    message = str(caught.value)
    assert (
        message.startswith("stopped after step 5 of 10; saved in ")
        and "run the same command again" in message
    )
    resumed, result = run(steps=10, arguments={"directory": tmp_path})
    assert result.resumed_from == 5 and words.same_weights(whole, resumed)
    with pytest.raises(TrainingInterrupted, match="nothing was saved, because no directory was given"):
        run(steps=10, source=source)


def test_a_full_disk_keeps_the_last_good_checkpoint(run, words, tmp_path, monkeypatch):
    real = os.fsync
    calls = []

    def fills_up(handle):
        calls.append(handle)
        if len(calls) > 7:  # one checkpoint takes five, with its lines in metrics.jsonl
            raise OSError(errno.ENOSPC, "No space left on device")
        real(handle)

    monkeypatch.setattr(os, "fsync", fills_up)
    with pytest.raises(OSError, match="no space left on the disk; free some space and run again"):
        run(steps=10, checkpoint_every=2, arguments={"directory": tmp_path})
    assert Checkpoints(tmp_path / "checkpoints").steps() == [2]
    assert not list(tmp_path.rglob("*.tmp"))
    monkeypatch.undo()
    whole, _ = run(steps=10, checkpoint_every=2)
    resumed, result = run(steps=10, checkpoint_every=2, arguments={"directory": tmp_path})
    assert result.resumed_from == 2 and words.same_weights(whole, resumed)
