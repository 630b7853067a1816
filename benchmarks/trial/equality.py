"""CPU and device agree: logits, gradients and greedy tokens in fp32; then `learning`.

A difference is relative to the largest number of the CPU's own tensor: max |device - CPU| / max |CPU|. Products in fp32
are computed in fp32, not in TF32.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from minillm.model.config import GPTConfig
from minillm.model.gpt import GPT, next_token_loss
from minillm.model.sampling import generate
from minillm.presets import PRESETS
from trial.device import stir
from trial.learning import learn, resume
from trial.session import Trial

__all__ = ["TOLERANCE", "compare", "gaps", "run"]

TOLERANCE = 1e-4
_SMALL = GPTConfig(
    331, context_length=48, n_layer=2, n_head=4, n_kv_head=2, d_model=48, d_ff=80, qk_norm=False
)
_SHAPES: dict[str, tuple[GPTConfig, int, bool]] = {  # shape, rows, whether several documents share a row
    "grouped queries": (_SMALL, 3, False),
    "QK-norm": (replace(_SMALL, n_kv_head=4, qk_norm=True), 3, False),
    "documents": (replace(_SMALL, qk_norm=True), 3, True),
    "own head, wide heads": (replace(_SMALL, qk_norm=True, tie_embeddings=False, head_dim=20), 3, True),
}
_LARGE = {f"preset {name}": (PRESETS[name].base.model, 1, True) for name in ("cpu", "colab", "gpu")}


def run(trial: Trial) -> None:
    """All of it."""
    torch.set_float32_matmul_precision("highest")
    shapes = _SHAPES if trial.quick else _SHAPES | _LARGE
    found = {name: compare(trial.device, *shape) for name, shape in shapes.items()}
    trial.record(fp32=found)
    for name, differences in found.items():
        for what in ("logits", "loss", "gradient"):
            met = differences[what] < TOLERANCE  # NaN is not
            trial.check(met, f"{name}: {what} differ by {differences[what]:.1e}, less than {TOLERANCE:.0e}")
    decode(trial)
    learn(trial)
    resume(trial)


def compare(device: str, config: GPTConfig, rows: int, documents: bool) -> dict[str, Any]:
    """The same weights and tokens on the CPU and on the device: largest differences of logits and of any gradient."""
    here = GPT(config)
    stir(here)
    there = copy.deepcopy(here).to(device)
    length = config.context_length
    ids = torch.randint(config.vocab_size, (rows, length + 1), generator=torch.Generator().manual_seed(0))
    numbers = (torch.arange(length) // (length // 3 + 1)).repeat(rows, 1) if documents else None
    logits, losses = [], []
    for model, to in ((here, "cpu"), (there, device)):
        inputs, targets = ids[:, :-1].to(to), ids[:, 1:].to(to)
        document_ids = None if numbers is None else numbers.to(to)
        with torch.no_grad():
            logits.append(model(inputs, document_ids=document_ids))
        losses.append(next_token_loss(model, inputs, targets, document_ids, "mean"))
        losses[-1].backward()  # type: ignore[no-untyped-call]
    gradients = {
        name: difference(weight.grad, other.grad)
        for (name, weight), other in zip(here.named_parameters(), there.parameters(), strict=True)
        if weight.grad is not None and other.grad is not None
    }
    worst = max(gradients, key=lambda name: (math.isnan(gradients[name]), gradients[name]))
    return {
        "logits": difference(*logits),
        "loss": difference(*losses),
        "gradient": gradients[worst],
        "worst_gradient": worst,
        "gradients": len(gradients),
    }


def difference(expected: Tensor, got: Tensor) -> float:
    """max |got - expected| / max |expected|; the numerator alone where all that is expected is 0."""
    worst = float((got.detach().cpu() - expected.detach()).abs().max())
    largest = float(expected.detach().abs().max())
    return worst / largest if largest else worst


def decode(trial: Trial) -> None:
    """Greedy decoding with a KV cache, prompts of several lengths side by side, gives the same tokens."""
    config = replace(_SMALL, context_length=64)
    model = GPT(config).eval()
    stir(model)
    generator = torch.Generator().manual_seed(1)
    prompts = [torch.randint(331, (n,), generator=generator).tolist() for n in (3, 9, 17, 20)]
    there = copy.deepcopy(model).to(trial.device)
    tokens = [generate(one, prompts, 30, temperature=0.0) for one in (model, there)]
    apart = gaps(model, prompts, *tokens)
    trial.record(
        decoding={"rows": len(prompts), "rows_that_differ": len(apart), "largest_gap": max(apart, default=0)}
    )
    trial.check(max(apart, default=0) < TOLERANCE, "greedy tokens are the same, or differ first at a tie")


def gaps(
    model: GPT,
    prompts: Sequence[Sequence[int]],
    some: Sequence[Sequence[int]],
    others: Sequence[Sequence[int]],
) -> list[float]:
    """For each row whose tokens differ, how far apart the logits of the first two are, in shares of the largest.

    Args:
        model: gives the logits.
        prompts: what was continued.
        some: the tokens after each prompt.
        others: the same, computed in another way. About 0 means a tie, which a rounding decides.
    """
    found = []
    device = model.head_weight.device
    for prompt, one, other in zip(prompts, some, others, strict=True):
        place = next((i for i, pair in enumerate(zip(one, other, strict=True)) if pair[0] != pair[1]), None)
        if place is None:
            continue
        read = torch.tensor([[*prompt, *one[:place]]], device=device)
        with torch.no_grad():
            logits = model(read)[0, -1].float()
        found.append(float((logits[one[place]] - logits[other[place]]).abs() / logits.abs().max()))
    return found
