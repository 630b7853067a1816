"""Numbers that were once computed and are kept: what the live oracles and we might both get wrong together.

The weights are a formula of their place, so that no random number generator is part of the numbers, which were computed
in float32 and rounded to six digits. Within 2e-5 is what another order of summing changes: transformers in float64 is
within 1e-5. In the texts the best token is better than the next by at least 1e-3 everywhere.
"""

from __future__ import annotations

import pytest
import torch

from minillm.model.gpt import GPT, GPTConfig, next_token_loss
from minillm.model.heads import RewardModel
from minillm.model.sampling import generate

SHAPES = {
    "qwen3": {"n_head": 4, "n_kv_head": 2, "d_model": 24, "d_ff": 40},
    "llama": {
        "n_head": 3,
        "n_kv_head": 3,
        "d_model": 18,
        "d_ff": 26,
        "qk_norm": False,
        "tie_embeddings": False,
    },
    "wide heads": {"n_head": 2, "n_kv_head": 1, "d_model": 16, "d_ff": 20, "head_dim": 12, "rope_theta": 1e6},
}
IDS = torch.tensor([[3, 11, 7, 0, 29, 11, 7, 1], [30, 2, 2, 19, 5, 8, 13, 21]])
TARGETS = torch.tensor([[11, 7, 0, 29, 11, 7, 1, -100], [2, 2, 19, 5, 8, 13, 21, 4]])
DOCUMENTS = torch.tensor([[0, 0, 0, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0, 0, 2, 2]])
WAVE = 1.8646
KEPT = {
    "qwen3": {
        "logits": [
            2.20654,
            -1.92227,
            -1.8083,
            2.2969,
            1.33245,
            -2.57294,
            -0.322763,
            0.553065,
            0.208183,
            -0.596194,
            -0.084669,
            0.613735,
        ],
        "logits of documents": [
            1.55369,
            -2.37135,
            -1.06241,
            2.59146,
            0.525536,
            -2.70033,
            -1.10643,
            0.854589,
            0.929381,
            -1.04713,
            -0.712445,
            1.19473,
        ],
        "losses": [4.72252, 2.72598, 2.85469, 5.78012, 4.18757, 5.45492, 2.46605, 3.22806],
        "sum and mean": [57.2676, 3.81784],
        "scores": [-0.689934, 0.163798],
        "gradients": [
            7.21018,
            0.592207,
            13.1357,
            1.16234,
            1.47011,
            0.330536,
            0.344669,
            0.522922,
            0.904599,
            0.0501243,
            1.76279,
            0.555461,
            0.0740817,
            0.0981333,
            0.300657,
            0.167614,
            0.000612734,
            0.000528787,
            0.607223,
            0.303287,
            1.19683,
            0.00857698,
            0.0732849,
            0.439934,
        ],
        "text": [[24, 24, 16, 8, 8, 24], [5, 13, 13, 13, 13, 13], [8, 8, 8, 0, 0, 8]],
    },
    "llama": {
        "logits": [
            3.48041,
            1.55842,
            -3.66007,
            -1.13648,
            3.79108,
            0.699445,
            3.11676,
            -1.93869,
            -2.89327,
            2.27223,
            2.63132,
            -2.57557,
        ],
        "logits of documents": [
            3.13716,
            2.01273,
            -3.36919,
            -1.62433,
            3.55645,
            1.21434,
            3.13575,
            -0.310507,
            -3.09995,
            0.667872,
            3.02296,
            -1.01636,
        ],
        "losses": [7.34677, 2.26656, 8.86257, 3.6147, 4.9906, 6.63853, 5.06489, 2.36004],
        "sum and mean": [71.3429, 4.75619],
        "scores": [2.0009, 3.11676],
        "gradients": [
            7.62534,
            1.05122,
            3.31556,
            5.46723,
            9.22083,
            3.52,
            5.31259,
            0.844187,
            1.14222,
            0.80365,
            0.0486863,
            0.022068,
            6.6802,
            6.79438,
            1.88678,
            0.662883,
            0.232418,
            0.467641,
            1.16797,
            0.556963,
            1.17863,
        ],
        "text": [[15, 19, 1, 29, 27, 24], [0, 23, 22, 11, 7, 10], [2, 16, 20, 17, 12, 23]],
    },
    "wide heads": {
        "logits": [
            0.180608,
            -0.26352,
            0.345171,
            -0.42517,
            0.503136,
            -0.578694,
            0.083876,
            -0.170085,
            0.25548,
            -0.339653,
            0.4222,
            -0.502728,
        ],
        "logits of documents": [
            0.114369,
            -0.208109,
            0.300854,
            -0.392159,
            0.481588,
            -0.568714,
            -0.0559307,
            -0.0146694,
            0.0851994,
            -0.155322,
            0.224701,
            -0.293005,
        ],
        "losses": [2.77061, 2.79747, 3.66118, 4.67828, 3.65818, 4.20041, 2.61333, 3.67719],
        "sum and mean": [54.9508, 3.66339],
        "scores": [1.32809, -0.989962],
        "gradients": [
            2.3981,
            0.0205652,
            0.0110608,
            0.626947,
            1.6913,
            0.00367883,
            0.00377214,
            0.496015,
            0.583239,
            0.312313,
            0.101217,
            0.479288,
            0.790798,
            0.395305,
            0.706374,
            0.201063,
            0.06616,
            0.063677,
            0.392642,
            0.264184,
            0.944105,
            0.451414,
            0.0655682,
            0.359983,
        ],
        "text": [[2, 2, 2, 2, 2, 2], [30, 30, 30, 30, 30, 30], [0, 0, 0, 27, 1, 1]],
    },
}


def weighted(model: torch.nn.Module) -> torch.nn.Module:
    """Waves through all weights, each of another length; gains around 1."""
    for number, (name, weight) in enumerate(model.named_parameters()):
        wave = torch.sin(torch.arange(weight.numel(), dtype=torch.float64) * (WAVE + 0.13 * number) + number)
        gain = name.endswith("norm.weight")
        weight.data.copy_((1 + 0.2 * wave if gain else 0.35 * wave).view(weight.shape))
    return model.eval()


def make(name: str) -> GPT:
    return weighted(GPT(GPTConfig(31, context_length=16, n_layer=2, **SHAPES[name])))


@torch.no_grad()
def numbers(name: str, dtype: torch.dtype = torch.float32) -> dict[str, list[float]]:
    model = make(name).to(dtype)
    scorer = weighted(RewardModel(model.config)).to(dtype)
    logits = model(IDS)
    return {
        "logits": logits[:, -1, ::6].flatten().tolist(),
        "logits of documents": model(IDS, document_ids=DOCUMENTS)[:, -1, ::6].flatten().tolist(),
        "losses": next_token_loss(model, IDS, TARGETS, reduction="none")[1].tolist(),
        "sum and mean": [
            next_token_loss(model, IDS, TARGETS, DOCUMENTS, reduction=kind).item() for kind in ("sum", "mean")
        ],
        "scores": scorer(IDS, IDS != 1).tolist(),
    }


@pytest.mark.parametrize("name", SHAPES)
def test_numbers_are_those_of_before(name: str) -> None:
    for kind, found in numbers(name).items():
        torch.testing.assert_close(
            torch.tensor(found),
            torch.tensor(KEPT[name][kind]),
            atol=2e-5,
            rtol=2e-5,
            msg=kind,
        )


@pytest.mark.parametrize("name", SHAPES)
def test_gradients_are_those_of_before(name: str) -> None:
    model = make(name)
    next_token_loss(model, IDS, TARGETS, DOCUMENTS, reduction="mean").backward()
    found = [weight.grad.norm().item() for weight in model.parameters()]
    torch.testing.assert_close(
        torch.tensor(found), torch.tensor(KEPT[name]["gradients"]), atol=2e-5, rtol=1e-4
    )


@pytest.mark.parametrize("name", SHAPES)
def test_text_is_that_of_before(name: str) -> None:
    prompts = [[3, 11, 7], [30], [2, 2, 19, 5, 8]]
    assert generate(make(name), prompts, 6, temperature=0) == KEPT[name]["text"]
