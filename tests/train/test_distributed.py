"""Two processes that share the batches train the same weights as one."""

from __future__ import annotations

import textwrap

import pytest
import torch

from minillm.train.checkpoint import Checkpoints

SCRIPT = """
    import sys
    import torch
    from minillm.data.batches import PackedDocuments
    from minillm.model.gpt import GPT, GPTConfig
    from minillm.train import FitConfig, choose_runtime, fit
    from minillm.train.runtime import leave_processes

    def train(folder, optimizer):
        runtime = choose_runtime("cpu", "fp32", threads=1, compile=False)
        documents = [[(i * j) % 7 for j in range(1, 4 + i % 9)] for i in range(60)]
        source = PackedDocuments(documents, end_of_text_id=7, context_length=12, rows=5)
        shape = GPTConfig(vocab_size=8, context_length=12, n_layer=1, n_head=2, d_model=16, d_ff=24)
        model = GPT(shape, generator=runtime.rank)  # processes start apart: the first one's weights count
        config = FitConfig(steps=8, optimizer=optimizer, micro_batch_rows=2, validate_every=4)
        result = fit(
            model, source, config, directory=f"{folder}/{optimizer}", runtime=runtime, progress=False,
            validate=lambda model: 1.0 + runtime.rank,
        )
        torch.save(model.state_dict(), f"{folder}/{optimizer}-{runtime.rank}.pt")
        return [line["val_loss"] for line in result.history if "val_loss" in line]

    if __name__ == "__main__":
        for optimizer in ("adamw", "muon"):
            assert train(sys.argv[1], optimizer) == [1.0, 1.0]  # the first process's validation loss
        leave_processes()
"""


@pytest.fixture
def one_and_two(tmp_path, torchrun):
    """Folders of the same runs by one process and by two."""
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(SCRIPT), encoding="utf-8")
    for n, name in ((1, "one"), (2, "two")):
        (tmp_path / name).mkdir()
        torchrun(n, script, tmp_path / name)
    return tmp_path / "one", tmp_path / "two"


@pytest.mark.processes
def test_two_processes_equal_one(words, one_and_two):
    one, two = one_and_two
    for optimizer in ("adamw", "muon"):
        alone = torch.load(one / f"{optimizer}-0.pt", weights_only=True)
        first, second = (torch.load(two / f"{optimizer}-{rank}.pt", weights_only=True) for rank in range(2))
        for name, weight in alone.items():
            assert torch.equal(first[name], second[name]), name
            assert torch.allclose(first[name], weight, rtol=0, atol=1e-5), name
        for line, other in zip(words.metrics(two / optimizer), words.metrics(one / optimizer), strict=True):
            assert line == pytest.approx(other, abs=1e-5)
        assert Checkpoints(two / optimizer / "checkpoints").steps() == [8]
