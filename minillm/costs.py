"""What training costs: floating-point operations and hours on a machine, calculated before anything runs.

`minillm.recipes` says how many tokens each stage computes.
"""

from __future__ import annotations

from dataclasses import dataclass

from minillm.model.config import GPTConfig

__all__ = ["MACHINES", "Machine", "n_parameters", "token_flops"]


@dataclass(frozen=True)
class Machine:
    """A machine, and how much of it a run can be expected to use."""

    peak: float  # operations a second in the precision that is used, all GPUs together
    fp32_peak: float  # the same in fp32, which PPO and GRPO use
    used: float  # share of either which a run is expected to reach (model-FLOPs utilisation)

    def hours(self, flops: float, fp32_flops: float = 0.0) -> float:
        """Hours that so many operations take."""
        return (flops / self.peak + fp32_flops / self.fp32_peak) / self.used / 3600


# Peaks of dense matrix products as NVIDIA's data sheets give them (T4: fp16; A100 and H100 SXM: bf16; and fp32). The
# shares are assumptions: what well-kept code for small models reaches (nanoGPT's own figure for 124 M on an A100 is
# about 0.4); on eight GPUs a tenth goes to the gradients' way between them. A T4 has little memory bandwidth.
MACHINES = {
    "T4": Machine(65e12, 8.1e12, 0.2),
    "A100": Machine(312e12, 19.5e12, 0.4),
    "H100": Machine(989e12, 67e12, 0.35),
    "8 x H100": Machine(8 * 989e12, 8 * 67e12, 0.35 * 0.9),
}


def n_parameters(config: GPTConfig) -> int:
    """Weights of a model of this shape, the tied embedding counted once.

    >>> n_parameters(GPTConfig(vocab_size=50_257, n_layer=12, n_head=12, d_model=768, d_ff=2048)) // 10**6
    123
    """
    norms = config.n_layer * (2 * config.d_model + 2 * config.head_width * config.qk_norm) + config.d_model
    head = 0 if config.tie_embeddings else config.vocab_size * config.d_model
    return config.n_matrix_weights + norms + head


def token_flops(config: GPTConfig, context: int | None = None) -> float:
    """Operations of the forward pass for one token; training takes three times as many.

    Two for each weight that the token is multiplied with, and four for each channel and token in the context, in every
    block: scores and weighted sum of attention, which are counted for the whole context, as is usual.

    Args:
        config: the model's shape.
        context: tokens of a row; None: the whole context.

    Reference: Kaplan et al. 2020, section 2.1; Chowdhery et al. 2022 (PaLM), appendix B.
    """
    context = config.context_length if context is None else context
    attended = config.n_layer * config.n_head * config.head_width * context
    return 2.0 * config.n_matrix_weights + 4.0 * attended
