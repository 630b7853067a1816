"""Every stage on a device other than the CPU, played (see `played_device`), and what the played device refuses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from played_device import Away, played_device
from small_stages import STAGES, USES, CutOffError, adapter_weights, make_gpt, tokenizer
from torch import Tensor
from torch.utils._pytree import tree_leaves

from minillm.data.batches import whole_documents
from minillm.model.gpt import GPT
from minillm.stages import policy_losses
from minillm.stages.pretrain import document_loss
from minillm.stages.reward import ranking_loss
from minillm.train.options import RunOptions
from minillm.train.runtime import ALONE, choose_runtime

KINDS = ("cuda", "mps")


def options(folder, runtime=ALONE) -> RunOptions:
    return RunOptions(folder=folder, runtime=replace(runtime, compile=False), progress=False)


def assert_equal(found: Any, expected: Any) -> None:
    """But for a few roundings of float32: the norm has another formula off the CPU."""
    for one, other in zip(tree_leaves(found), tree_leaves(expected), strict=True):
        if isinstance(one, (float, Tensor)):
            torch.testing.assert_close(one, other, atol=2e-5, rtol=2e-5)
        else:
            assert one == other


# A user would see them; but not what another test left, which a collection of garbage finds here.
@pytest.mark.filterwarnings(
    "error", "ignore::ResourceWarning", "default::pytest.PytestUnraisableExceptionWarning"
)
@pytest.mark.parametrize("name", STAGES)
@pytest.mark.parametrize(("kind", "precision"), [("cuda", "fp16"), ("mps", "fp32")])
def test_a_stage_comes_to_the_figures_of_the_cpu(tmp_path, name: str, kind: str, precision: str) -> None:
    expected = STAGES[name](options(tmp_path / "cpu", replace(ALONE, precision=precision)))
    with played_device(kind):
        runtime = choose_runtime()
        assert (runtime.device.type, runtime.precision) == (kind, precision)
        found = STAGES[name](options(tmp_path / kind, runtime))
    # The norm has another formula off the CPU, and fp16 keeps three digits.
    tolerance = 3e-2 if precision == "fp16" else 1e-3
    assert found == pytest.approx(expected, rel=tolerance, abs=tolerance)


@pytest.mark.parametrize("name", USES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_model_gives_what_it_gives_on_the_cpu(tmp_path, name: str, kind: str) -> None:
    expected = USES[name](torch.device("cpu"), tmp_path / "cpu")
    with played_device(kind) as device:
        found = USES[name](device, tmp_path / kind)
    assert_equal(found, expected)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_run_that_was_cut_off_goes_on_bit_for_bit(tmp_path, precision: str) -> None:
    with played_device("cuda"):
        runtime = choose_runtime(precision=precision, compile=False)
        expected = adapter_weights(runtime, tmp_path / "whole")
        with pytest.raises(CutOffError):
            adapter_weights(runtime, tmp_path / "cut", cut_at=5)
        found = adapter_weights(runtime, tmp_path / "cut")
    assert any(weight.any() for name, weight in found.items() if "lora_B" in name)
    torch.testing.assert_close(found, expected, atol=0, rtol=0)


def loss_of_documents(model: GPT) -> list[float]:
    end = tokenizer().end_of_text_id
    found = document_loss(model, whole_documents([[1, 2, 3], [4] * 60], end, 48, tokens_per_batch=60), end)
    return [found.nats, found.end_nats]


def test_the_loss_of_documents_on_the_device() -> None:
    expected = loss_of_documents(make_gpt())
    with played_device("mps") as device:
        assert_equal(loss_of_documents(make_gpt().to(device)), expected)


@torch.no_grad()
def test_the_losses_of_a_policy_on_the_device() -> None:
    generator = torch.Generator().manual_seed(4)
    a, b, c, d = (torch.randn(3, 5, generator=generator) for _ in range(4))
    mask = torch.arange(5) < torch.tensor([[5], [2], [4]])
    calls = {
        "gae": lambda a, b, c, d, mask: policy_losses.gae(a, b, mask, 0.99, 0.95)[0],
        "whiten": lambda a, b, c, d, mask: policy_losses.whiten(a, mask),
        "policy": lambda a, b, c, d, mask: policy_losses.policy_loss(a, b, c, mask, 0.2),
        "value": lambda a, b, c, d, mask: policy_losses.value_loss(a, b, c, mask, 0.2),
        "k3": lambda a, b, c, d, mask: policy_losses.kl_penalty(a, b, "k3"),
        "variance": lambda a, b, c, d, mask: policy_losses.explained_variance(a, b, mask),
        "ranking": lambda a, b, c, d, mask: ranking_loss(a, a.argsort(dim=1)),
    }
    for name, call in calls.items():
        expected = call(a, b, c, d, mask)
        with played_device("mps") as device:
            found = call(*(tensor.to(device) for tensor in (a, b, c, d, mask)))
        assert isinstance(found, Away), name
        torch.testing.assert_close(found.held, expected, msg=name)


@pytest.mark.parametrize(
    "make",
    [
        lambda x: x.double(),
        lambda x: x.to("cpu", torch.float64),
        lambda x: x.sum(dtype=torch.float64),
        lambda x: torch.zeros(3, device=x.device, dtype=torch.float64),
        lambda x: torch.tensor([1.0, 2.0], dtype=torch.float64).to(x.device),
    ],
    ids=["cast", "cast on the way", "sum", "made", "moved"],
)
def test_the_played_mps_refuses_float64(make: Callable[[Tensor], Tensor]) -> None:
    with played_device("mps") as device, pytest.raises(TypeError, match="doesn't support float64"):
        make(torch.zeros(2).to(device))
    with played_device("mps") as device:
        assert torch.zeros(2).to(device).cpu().double().dtype == torch.float64
    with played_device("cuda") as device:
        assert make(torch.zeros(2).to(device)).dtype == torch.float64


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda x: x + torch.ones(2), "on the same device"),
        (lambda x: torch.ones(2).add_(x), "on the same device"),
        (lambda x: torch.zeros(()).add_(x.sum()), "on the same device"),
        (lambda x: x @ torch.ones(2), "on the same device"),
        (lambda x: torch.ones(2)[x.long()], "on the same device"),
        (lambda x: torch.where(x > 0, x, torch.ones(2)), "on the same device"),
        (lambda x: torch._foreach_mul([x], torch.tensor(2.0)), "on the same device"),
        (lambda x: x.numpy(), "can't convert .* device type tensor to numpy"),
        (lambda x: np.asarray(x), "can't convert .* device type tensor to numpy"),
        (lambda x: x.normal_(generator=torch.Generator()), "device type for generator"),
        (lambda x: torch.rand(2, generator=torch.Generator(), device=x.device), "device type for generator"),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_the_played_device_refuses_what_a_gpu_refuses(
    kind: str, use: Callable[..., Any], message: str
) -> None:
    with played_device(kind) as device, pytest.raises((RuntimeError, TypeError), match=message):
        use(torch.zeros(2).to(device))


def test_the_played_device_does_what_a_gpu_does() -> None:
    with played_device("cuda") as device:
        x = torch.arange(4.0).to(device)
        assert x.is_cuda and x.device == device and x.to(device) is x
        assert isinstance(x * torch.tensor(2.0), Away) and (x * torch.tensor(2.0)).tolist() == [0, 2, 4, 6]
        assert x[torch.tensor([1, 3])].tolist() == x[[1, 3]].tolist() == [1, 3]
        assert type(x.cpu()) is Tensor and x.cpu().numpy().tolist() == [0, 1, 2, 3]
        x[[0]] = 7
        assert x.tolist() == [7, 1, 2, 3]
        with torch.autocast("cuda", dtype=torch.float16):
            assert (x[None] @ x[:, None]).dtype == torch.float16
        drawn = [torch.rand(3, device=device).tolist() for _ in range(2)]
        before = torch.cuda.get_rng_state(device)
        torch.cuda.manual_seed_all(1)
        other = torch.rand(3, device=device).tolist()
        torch.cuda.set_rng_state(before, device)
        assert len({*map(tuple, drawn), tuple(other), tuple(torch.rand(3, device=device).tolist())}) == 4
