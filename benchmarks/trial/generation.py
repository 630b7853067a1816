"""Generation of the shape of preset gpu beside transformers: tokens/s at batch 1 and 64, greedy and sampled.

Both have the same random weights in the Llama layout, prompts of one length and no stop token, so both write the same
number of tokens. Their greedy tokens in fp32 are compared first.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from common import interleave, row

from minillm.model.gpt import GPT
from minillm.model.sampling import generate
from trial.device import runtime, stir, synchronise, timed
from trial.equality import TOLERANCE, gaps
from trial.session import Skipped, Trial
from trial.speed import big_shape, transformers_llama

__all__ = ["run"]

Prompts = list[list[int]]
_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def run(trial: Trial) -> None:
    """Compare tokens, then speed."""
    torch.set_float32_matmul_precision("highest")
    n_new, many = (6, 4) if trial.quick else (100, 64)
    model = GPT(replace(big_shape(trial.quick), qk_norm=False)).eval()
    stir(model)
    model.to(trial.device)
    prompts = _prompts(model, many)
    try:
        other = _transformers(model)
    except Skipped as reason:
        other = None
        trial.note(f"transformers is left out: {reason}")
    if other is not None:
        _same_tokens(trial, model, other, prompts, n_new)
    precision = runtime(trial).precision
    trial.record(precision=precision, new_tokens=n_new)
    model = copy.deepcopy(model).to(_DTYPES[precision])
    other = None if other is None else other.to(_DTYPES[precision])
    for batch in (1, many):
        for temperature in (0.0, 1.0):
            _speed(trial, model, other, prompts[:batch], n_new, temperature)


def _prompts(model: GPT, n: int) -> Prompts:
    shape = (n, min(32, model.config.context_length // 4))
    generator = torch.Generator().manual_seed(0)
    return torch.randint(model.config.vocab_size, shape, generator=generator).tolist()


def _transformers(model: GPT) -> Any:
    """Their Llama with our weights."""
    other = transformers_llama(model.config, use_cache=True)
    left_out = other.load_state_dict(model.state_dict(), strict=False)
    if left_out.unexpected_keys or set(left_out.missing_keys) - {"lm_head.weight"}:
        raise RuntimeError(f"their weights have other names: {left_out}")
    return other.eval().to(model.head_weight.device)


def _ours(model: GPT, prompts: Prompts, n_new: int, temperature: float) -> Prompts:
    return generate(model, prompts, n_new, temperature, generator=torch.Generator().manual_seed(0))


def _theirs(other: Any, prompts: Prompts, n_new: int, temperature: float) -> Prompts:
    ids = torch.tensor(prompts, device=other.device)
    sampled = (
        {"do_sample": True, "temperature": temperature, "top_k": 0} if temperature else {"do_sample": False}
    )
    mask = torch.ones_like(ids)
    new = other.generate(ids, attention_mask=mask, max_new_tokens=n_new, pad_token_id=0, **sampled)
    tokens: Prompts = new[:, ids.shape[1] :].tolist()
    return tokens


def _same_tokens(trial: Trial, model: GPT, other: Any, prompts: Prompts, n_new: int) -> None:
    """Greedy, in fp32: equal, or different first at a tie that a rounding decides."""
    tokens = [make(one, prompts, n_new, 0.0) for make, one in ((_ours, model), (_theirs, other))]
    apart = gaps(model, prompts, *tokens)
    trial.record(
        greedy_fp32={
            "rows": len(prompts),
            "rows_that_differ": len(apart),
            "largest_gap_at_first_difference": max(apart, default=0.0),
        }
    )
    trial.check(
        max(apart, default=0.0) < TOLERANCE, "greedy tokens equal those of transformers, but for ties"
    )


def _speed(trial: Trial, model: GPT, other: Any, prompts: Prompts, n_new: int, temperature: float) -> None:
    """Tokens a second of one batch size and temperature, in turns."""
    name = f"batch {len(prompts)}, {'sampled' if temperature else 'greedy'}"
    programs: dict[str, tuple[Callable[..., Prompts], Any]] = {"ours": (_ours, model)}
    if other is not None:
        programs["transformers"] = (_theirs, other)

    def calling(make: Callable[..., Prompts], one: Any) -> Callable[[], None]:
        def call() -> None:
            make(one, prompts, n_new, temperature)
            synchronise(trial.device)

        return call

    calls = {who: calling(*program) for who, program in programs.items()}
    for call in calls.values():  # warm-up
        call()
    once = sum(timed(call, trial.device) for call in calls.values())
    if once > trial.left():
        trial.note(f"{name} is not measured: there is no time left")
        return
    repeats = 1 if trial.quick else max(1, min(5, int(trial.left() / 5 / once)))
    seconds = interleave(calls, repeats)
    tokens = {who: round(len(prompts) * n_new / value, 1) for who, value in seconds.items()}
    trial.record(tokens_per_second=trial.figures.get("tokens_per_second", {}) | {name: tokens})
    if other is not None:
        unit = f"generated tokens/s, {name}, {trial.figures['precision']}"
        trial.add_row(row(f"{unit}: ours / transformers", tokens["ours"], tokens["transformers"]))
