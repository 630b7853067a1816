"""Where the modules of the page lie, and weights that a test of them can tell apart."""

from __future__ import annotations

from pathlib import Path

import torch

LIVE = Path(__file__).resolve().parent.parent.parent / "book" / "_static" / "live"


def spread(model: torch.nn.Module, seed: int) -> None:
    """Weights as a trained model may have: fresh ones are so small that attention is even and every gain is 1."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            noise = torch.randn(weight.shape, generator=generator)
            wide = weight.shape[-1] ** -0.5
            weight.copy_(1 + 0.3 * noise if name.endswith("norm.weight") else 1.5 * wide * noise)
