"""What a device without float64 can run, Apple's MPS for one: no number of twice the width may be made on it.

The device is played by tensors that say they are on "mps" and compute on the CPU. A float64 result on it raises what
PyTorch raises there, also while it is on its way to the CPU, where the conversion is the device's work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

from minillm.data.batches import whole_documents
from minillm.data.comparisons import Comparison
from minillm.evaluate import Answer, answer_log_probs, answer_rewards
from minillm.model.gpt import GPT, GPTConfig, next_token_loss
from minillm.model.heads import RewardModel
from minillm.model.inspect import attention_weights
from minillm.model.sampling import generate
from minillm.stages import policy_losses
from minillm.stages.pretrain import document_loss
from minillm.stages.reward import ranking_loss, score_comparisons
from minillm.text.tokenizer import Tokenizer

TOKENIZER = Tokenizer([])  # of bytes
SHAPE = GPTConfig(
    TOKENIZER.vocab_size, context_length=48, n_layer=2, n_head=2, n_kv_head=1, d_model=12, d_ff=20
)
PROMPTS = [[{"role": "user", "content": text}] for text in ("ab", "c", "defg")]
ANSWERS = [Answer("x", tuple(b"x"), True), Answer("yzz", tuple(b"yzz"), True), Answer("", (), True)]
DEVICE = torch.device("mps", 0)
MESSAGE = "Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64"


class Away(Tensor):
    """A tensor on the device; what it holds is on the CPU."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> Away:
        made = torch.Tensor._make_wrapper_subclass(
            cls, held.shape, strides=held.stride(), dtype=held.dtype, device="meta"
        )
        made.held = held
        return made

    @property
    def device(self) -> torch.device:
        return DEVICE

    def tolist(self) -> Any:
        return self.held.tolist()

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        return compute(function, args, kwargs or {})


class Operations(TorchDispatchMode):
    """Operations with the device as an argument."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        return compute(function, args, kwargs or {})


class Literals(TorchFunctionMode):
    """Numbers written into a tensor on the device, which PyTorch does without an operation."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if function is torch.tensor and kwargs.get("device") is not None:
            device = kwargs.pop("device")
            return torch.tensor(*args, **kwargs).to(device)
        return function(*args, **kwargs)


@contextmanager
def played_device() -> Iterator[None]:
    """While it lasts, tensors can be moved to the device and made on it."""
    with Operations(), Literals():
        yield


def compute(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Run an operation on the CPU; its results are where its inputs are, or where it was told to put them."""
    seen = []

    def home(value: Any) -> Any:
        if not isinstance(value, Away):
            return value
        seen.append(value)
        return value.held

    args, kwargs = tree_map(home, args), tree_map(home, kwargs)
    goes_away = bool(seen)
    if (device := kwargs.get("device")) is not None:
        goes_away = torch.device(device).type == "mps"
        kwargs["device"] = "cpu"
    results = function(*args, **kwargs)

    def away(value: Any) -> Any:
        if not isinstance(value, Tensor) or not (seen or goes_away):
            return value
        if value.dtype == torch.float64:
            raise TypeError(MESSAGE)
        return Away(value) if goes_away else value

    return tree_map(away, results)


def moved(model: nn.Module) -> nn.Module:
    """A model whose weights are on the device."""
    for module in model.modules():
        for name, weight in module._parameters.items():
            if weight is not None:
                module._parameters[name] = nn.Parameter(Away(weight.detach()), requires_grad=False)
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = Away(buffer)
    return model


@pytest.fixture(autouse=True)
def no_inference_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tensors with a class of their own cannot be made in it."""
    monkeypatch.setattr(torch, "inference_mode", torch.no_grad)


def make_gpt() -> GPT:
    model = GPT(SHAPE).eval()
    generator = torch.Generator().manual_seed(1)
    for weight in model.parameters():
        weight.data.normal_(0.0, 0.3, generator=generator)
    return model


def make_reward() -> RewardModel:
    return RewardModel.from_body(make_gpt(), generator=3).eval()


def ids_of_text() -> Tensor:
    return torch.randint(0, SHAPE.vocab_size, (3, 9), generator=torch.Generator().manual_seed(2))


def loss_of_documents(model: GPT) -> list[float]:
    end = TOKENIZER.end_of_text_id
    found = document_loss(model, whole_documents([[1, 2, 3], [4] * 60], end, 48, tokens_per_batch=60), end)
    return [found.nats, found.end_nats]


def scores_of_comparisons(model: RewardModel) -> list[list[float]]:
    chat = PROMPTS[0]
    return score_comparisons(model, TOKENIZER, [Comparison(tuple(chat), ("yes", "no, not at all"), (0, 1))])


CALLS = {
    "logits": (make_gpt, lambda model: model(ids_of_text().to(model.head_weight.device)).tolist()),
    "losses": (
        make_gpt,
        lambda model: next_token_loss(
            model, *[ids_of_text().to(model.head_weight.device)] * 2, reduction="none"
        ).tolist(),
    ),
    "attention": (
        make_gpt,
        lambda model: attention_weights(model, ids_of_text().to(model.head_weight.device)).tolist(),
    ),
    "greedy": (make_gpt, lambda model: generate(model, [[1, 2, 3], [4], [5] * 9], 7, temperature=0)),
    "sampled": (make_gpt, lambda model: generate(model, [[1, 2, 3], [4], [5] * 9], 7, top_k=9, top_p=0.9)),
    "log_probs": (make_gpt, lambda model: answer_log_probs(model, TOKENIZER, PROMPTS, ANSWERS)),
    "rewards": (make_reward, lambda model: answer_rewards(model, TOKENIZER, PROMPTS, ANSWERS)),
    "documents": (make_gpt, loss_of_documents),
    "comparisons": (make_reward, scores_of_comparisons),
}


@pytest.mark.parametrize("name", CALLS)
@torch.no_grad()
def test_a_model_on_the_device_gives_what_it_gives_on_the_cpu(name: str) -> None:
    make, call = CALLS[name]
    expected = call(make())
    model = moved(make())
    with played_device():
        found = call(model)
    # The norm has another formula off the CPU, so numbers may differ by a few roundings of float32.
    torch.testing.assert_close(torch.tensor(found), torch.tensor(expected), atol=2e-5, rtol=2e-5)


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
        with played_device():
            found = call(*(tensor.to(DEVICE) for tensor in (a, b, c, d, mask)))
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
def test_the_played_device_refuses_float64(make: Callable[[Tensor], Tensor]) -> None:
    with played_device(), pytest.raises(TypeError, match="doesn't support float64"):
        make(torch.zeros(2).to(DEVICE))
    with played_device():
        assert torch.zeros(2).to(DEVICE).cpu().double().dtype == torch.float64
