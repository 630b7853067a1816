"""A model on the device computes what it computes on the CPU."""

from __future__ import annotations

import pytest
import torch
from small_stages import USES, make_gpt
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from minillm.model.gpt import GPT, GPTConfig, next_token_loss
from minillm.model.loss import linear_cross_entropy
from minillm.model.sampling import generate
from minillm.train.runtime import to_device

pytestmark = pytest.mark.gpu
ROUNDING = {"fp32": 1e-4, "bf16": 0.1, "fp16": 2e-2}  # root mean square of the error, of that of the numbers


def assert_near(found: torch.Tensor, expected: torch.Tensor, precision: str, name: str = "") -> None:
    error, size = (float(x.square().mean().sqrt()) for x in (found.float().cpu() - expected, expected))
    assert error < ROUNDING[precision] * size, f"{name}: {error} beside {size}"


def batch() -> dict[str, torch.Tensor]:
    """Rows of several documents, with padding at the end and targets that are not counted."""
    ids = torch.randint(0, 400, (3, 37), generator=torch.Generator().manual_seed(1))
    targets = ids.roll(-1, dims=1).masked_fill(torch.arange(37) % 5 == 0, -100)
    document_ids = (torch.arange(37) // 11).expand(3, 37).clone()
    document_ids[:, 33:] = -1
    return {"ids": ids, "targets": targets, "document_ids": document_ids}


@pytest.mark.parametrize("documents", [False, True])
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_logits(device, run_time, precision: str, documents: bool) -> None:
    runtime = run_time(precision)
    ids, document_ids = batch()["ids"], batch()["document_ids"] if documents else None
    with torch.no_grad():
        expected = make_gpt()(ids, document_ids=document_ids)
        with runtime.autocast():
            found = make_gpt().to(device)(ids.to(device), document_ids=to_device(document_ids, device))
    assert_near(found, expected, precision)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_gradients(device, run_time, precision: str) -> None:
    def gradients(model: GPT, place: torch.device, autocast) -> dict[str, torch.Tensor]:
        with autocast:
            loss = next_token_loss(model.to(place), **to_device(batch(), place), reduction="mean")
        loss.backward()
        return {name: weight.grad.cpu() for name, weight in model.named_parameters()}

    expected = gradients(make_gpt(), torch.device("cpu"), torch.enable_grad())
    found = gradients(make_gpt(), device, run_time(precision).autocast())
    for name, gradient in expected.items():
        assert_near(found[name], gradient, precision, name)


@pytest.mark.parametrize("reduction", ["sum", "mean", "none"])
def test_the_loss_in_slices(device, monkeypatch, reduction: str) -> None:
    monkeypatch.setattr("minillm.model.loss._SLICE_NUMBERS_ELSEWHERE", 5 * 400)
    monkeypatch.setattr("minillm.model.loss._SLICE_NUMBERS", {"cpu": 7 * 400})
    generator = torch.Generator().manual_seed(2)
    hidden, weight = torch.randn(23, 24, generator=generator), torch.randn(400, 24, generator=generator)
    targets = torch.randint(0, 400, (23,), generator=generator).masked_fill(torch.arange(23) == 4, -100)
    logits = hidden @ weight.T
    expected = torch.nn.functional.cross_entropy(logits, targets, reduction=reduction)
    found = linear_cross_entropy(hidden.to(device), weight.to(device), targets.to(device), reduction)
    torch.testing.assert_close(found.cpu(), expected, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("name", USES)
def test_uses(device, tmp_path, name: str) -> None:
    expected = USES[name](torch.device("cpu"), tmp_path / "cpu")
    found = USES[name](device, tmp_path / "device")
    for one, other in zip(tree_leaves(found), tree_leaves(expected), strict=True):
        if isinstance(one, (float, torch.Tensor)):
            torch.testing.assert_close(one, other, atol=1e-3, rtol=1e-3)
        else:
            assert one == other


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_generation_in_half_precision(device, run_time, precision: str) -> None:
    with run_time(precision).autocast():
        answers = generate(make_gpt().to(device), [[1, 2, 3], [4], [5] * 9], 40, temperature=0)
    assert [len(answer) for answer in answers] == [40, 40, 40]


class Doubles(TorchDispatchMode):
    """Notes what makes float64 numbers on a device; single ones cost nothing."""

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self.device, self.found = device, set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor) and leaf.dtype == torch.float64 and leaf.numel() > 1:
                self.found |= {str(function)} if leaf.device == self.device else set()
        return result


def test_no_float64_on_the_device(device) -> None:
    """There it is up to 64 times slower than float32."""
    if device.type == "cpu":
        pytest.skip("a CPU computes in it on purpose")
    model = make_gpt().to(device)
    with Doubles(device) as doubles:
        next_token_loss(model, **to_device(batch(), device)).backward()
        generate(model, [[1, 2, 3], [4]], 9, top_k=9, top_p=0.9)
    assert not doubles.found


def test_the_memory_of_a_large_vocabulary(device) -> None:
    if device.type != "cuda":
        pytest.skip("only CUDA tells how much memory was used")
    config = GPTConfig(50_000, context_length=1024, n_layer=1, n_head=2, d_model=64, d_ff=64)
    model = GPT(config).to(device)
    ids = torch.randint(0, 50_000, (16, 1024)).to(device)
    torch.cuda.reset_peak_memory_stats(device)
    next_token_loss(model, ids, ids).backward()
    logits = ids.numel() * config.vocab_size * 4  # bytes, all of them at once
    assert torch.cuda.max_memory_allocated(device) < logits / 2
