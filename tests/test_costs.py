"""Costs: counted by torch, counted on real models, and as the page about scale tells them."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from minillm.costs import MACHINES, n_parameters, token_flops
from minillm.model.gpt import GPT, GPTConfig
from minillm.presets import PRESETS
from minillm.recipes import stage_flops, stage_tokens

PAGE = Path(__file__).parents[1] / "book" / "scale.md"
SHAPES = [
    {},
    {"n_kv_head": 1, "qk_norm": False},
    {"tie_embeddings": False, "n_layer": 3, "d_ff": 48},
]


@pytest.mark.parametrize("changes", SHAPES)
def test_operations_are_those_that_torch_counts(changes):
    config = replace(GPTConfig(60, context_length=24, n_layer=2, n_head=2, d_model=32, d_ff=40), **changes)
    model, ids = GPT(config, 0), torch.zeros(3, 24, dtype=torch.long)
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        model(ids)
    assert counter.get_total_flops() == pytest.approx(72 * token_flops(config), rel=1e-6)
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        model(ids).sum().backward()
    assert counter.get_total_flops() == pytest.approx(3 * 72 * token_flops(config), rel=0.02)


@pytest.mark.parametrize("changes", SHAPES)
def test_parameters_are_those_of_the_model(changes):
    config = replace(GPTConfig(60, context_length=24, n_layer=2, n_head=2, d_model=32, d_ff=40), **changes)
    assert n_parameters(config) == GPT(config, 0).n_parameters


def test_every_stage_has_its_tokens_and_operations():
    for preset in PRESETS.values():
        tokens, flops = stage_tokens(preset), stage_flops(preset)
        assert tokens.keys() == flops.keys() == {"base", "sft", "grpo", "dpo", "reward", "ppo", "lora"}
        assert flops["base"] == pytest.approx(3 * tokens["base"] * token_flops(preset.base.model))
    assert MACHINES["H100"].hours(989e12 * 0.35 * 3600) == pytest.approx(1.0)
    assert MACHINES["H100"].hours(0.0, 67e12 * 0.35 * 3600) == pytest.approx(1.0)


def test_the_page_tells_these_costs():
    page = PAGE.read_text(encoding="utf-8")
    rows = {
        row[0].strip("` "): row[1:]
        for row in map(_cells, page.splitlines())
        if row and row[0].startswith("`")
    }
    for name in ("cpu", "colab", "gpu"):
        preset = PRESETS[name]
        flops = stage_flops(preset)
        later = sum(flops.values()) - flops["base"]
        fp32 = flops["ppo"] + flops["grpo"]
        hours = [_time(one.hours(sum(flops.values()) - fp32, fp32)) for one in MACHINES.values()]
        assert rows[name] == [
            f"{n_parameters(preset.base.model) / 1e6:.3g} M",
            f"{_large(stage_tokens(preset)['base'] / 1e6, 3)} M",
            _large(flops["base"] / 1e15),
            _large(later / 1e15),
            *(hours if name != "cpu" else ["–"] * len(hours)),
        ], name
    header = next(
        row for row in map(_cells, page.splitlines()) if row and row[0] == "preset" and len(row) > 6
    )
    assert header[-len(MACHINES) :] == [name.replace("x", "×") for name in MACHINES]


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")] if re.match(r"\|.*\|$", line) else []


def _time(hours: float) -> str:
    if hours * 60 < 1:
        return f"{hours * 3600:.0f} s"
    return f"{hours * 60:.2g} min" if hours < 1 else f"{hours:.2g} h"


def _large(number: float, digits: int = 2) -> str:
    """Rounded to so many digits, without a power of ten."""
    return f"{float(f'{number:.{digits}g}'):,g}"
