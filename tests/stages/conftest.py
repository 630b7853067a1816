"""What the tests of all stages share: the runtime."""

from __future__ import annotations

import pytest

from minillm.train.runtime import Runtime, choose_runtime


@pytest.fixture(scope="module")
def runtime() -> Runtime:
    """The CPU, in float32."""
    return choose_runtime(device="cpu", precision="fp32", compile=False)
