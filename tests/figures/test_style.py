"""The style of the figures, and that it leaves no traces in the settings."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pytest

from minillm import figures


def test_settings_are_put_back_and_interactivity_is_left_alone():
    before = dict(plt.rcParams)
    plt.ion()
    try:
        figures.compression_curve({"a": [1.0, 2.0]}, [260, 512])
        assert plt.isinteractive()
        after = dict(plt.rcParams)
    finally:
        plt.ioff()
    assert {name: after[name] for name in figures.STYLE} == {name: before[name] for name in figures.STYLE}


def test_settings_are_put_back_when_drawing_fails():
    before = plt.rcParams["axes.grid"]
    with pytest.raises(ValueError, match="broken"):
        figures.styled(lambda: (_ for _ in ()).throw(ValueError("broken")))()
    assert plt.rcParams["axes.grid"] == before
