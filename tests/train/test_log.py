"""metrics.jsonl and the progress bar."""

from __future__ import annotations

import json
import math

from minillm.train.log import MetricsLog, Progress


def lines_of(path):
    return [json.loads(text) for text in path.read_text(encoding="utf-8").splitlines()]


def test_lines_are_written_by_flush_only_and_once(tmp_path):
    log = MetricsLog(tmp_path / "metrics.jsonl")
    log.add({"step": 1, "loss": 2.5})
    assert not log.path.exists()
    log.flush()
    log.add({"step": 2, "loss": 2.25})
    log.flush()
    log.flush()
    assert lines_of(log.path) == [{"step": 1, "loss": 2.5}, {"step": 2, "loss": 2.25}] == log.lines


def test_rewind_cuts_later_and_damaged_lines(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text(
        '{"step": 1, "loss": 3.0}\n{"step": 1, "val_loss": 2.9}\n{"step": 2, "loss": 2.0}\n{"st',
        encoding="utf-8",
    )
    log = MetricsLog(path)
    log.rewind(1)
    log.add({"step": 2, "loss": 2.5})
    log.flush()
    assert lines_of(path) == [
        {"step": 1, "loss": 3.0},
        {"step": 1, "val_loss": 2.9},
        {"step": 2, "loss": 2.5},
    ]
    log.rewind(7)
    assert len(log.lines) == 3
    path.write_text('{"step": 1, "loss": 3.0}\n{"step": 2, "lo', encoding="utf-8")
    log.rewind(7)
    assert lines_of(path) == [{"step": 1, "loss": 3.0}]


def test_numbers_that_json_lacks_become_null(tmp_path):
    log = MetricsLog(tmp_path / "metrics.jsonl")
    log.add({"step": 1, "loss": math.nan, "grad_norm": math.inf, "tokens": 5})
    log.flush()
    assert lines_of(log.path) == [{"step": 1, "loss": None, "grad_norm": None, "tokens": 5}]


def test_without_a_path_lines_stay_in_memory():
    log = MetricsLog(None)
    log.rewind(0)
    log.add({"step": 1, "loss": 1.0})
    log.flush()
    assert log.lines == [{"step": 1, "loss": 1.0}]


def test_recent_loss_is_the_mean_of_the_last_twentieth():
    log = MetricsLog(None)
    assert math.isnan(log.recent_loss())
    for step in range(1, 41):
        log.add({"step": step, "loss": float(step)})
    log.add({"step": 40, "val_loss": 100.0})
    assert log.recent_loss() == 39.5


def test_the_bar_shows_loss_speed_and_time_left(capsys):
    with Progress(steps=4, done=1, shown=True) as bar:
        for loss in (3.0, 2.0):
            bar.step(loss, tokens=500)
    shown = capsys.readouterr().err.split("\r")[-1]
    assert "3/4" in shown and "loss 2.900" in shown and "tokens/s" in shown and "<" in shown


def test_a_hidden_bar_is_silent(capsys):
    with Progress(steps=2, done=0, shown=False) as bar:
        bar.step(3.0, tokens=500)
    assert capsys.readouterr().err == ""
