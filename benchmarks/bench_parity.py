"""Quality beside transformers' Llama: bits per byte on held-out text after the same training.

    python benchmarks/bench_parity.py TEXT_FILE [--steps 150]

Both models have the same shape, the same first weights, the same batches in the same order and the same fused AdamW
with the same schedule, in float32; only the code of the model and of the loss differs. The last tenth of the text is
held out. Bits per byte = nats of all held-out tokens but the first / ln 2 / their UTF-8 bytes; that does not depend on
the tokenizer.
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from common import Row, row, save_results
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import LlamaConfig, LlamaForCausalLM

from minillm.model.gpt import GPT, IGNORE_INDEX, next_token_loss
from minillm.model.pretrained import config_to_json
from minillm.presets import PRESETS
from minillm.text.tokenizer import Tokenizer

CONFIG = replace(PRESETS["cpu"].base.model, qk_norm=False)
ROWS = 8
LEARNING_RATE = 3e-3
WARMUP_SHARE = 0.12
EVALUATED_BATCHES = 25
NOISE = 0.99  # a ratio of bits per byte that counts as equal: seeds alone differ by as much

Loss = Callable[[Tensor, Tensor], Tensor]


def ours(seed: int) -> tuple[nn.Module, Loss]:
    model = GPT(CONFIG, generator=seed)
    return model, lambda ids, targets: next_token_loss(model, ids, targets, reduction="mean")


def theirs(seed: int) -> tuple[nn.Module, Loss]:
    model = LlamaForCausalLM(LlamaConfig(**config_to_json(CONFIG), use_cache=False))
    model.load_state_dict(GPT(CONFIG, generator=seed).state_dict(), strict=False)  # lists no tied head

    def loss(ids: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(model(ids).logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORE_INDEX)

    return model, loss


def train(model: nn.Module, loss: Loss, ids: Tensor, steps: int, seed: int) -> None:
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.95), weight_decay=0.02, fused=True
    )
    warmup = max(1, round(WARMUP_SHARE * steps))
    generator = torch.Generator().manual_seed(seed)
    width = CONFIG.context_length + 1
    for step in range(steps):
        factor = min(1.0, (step + 1) / warmup, (steps - step) / (steps - warmup))
        optimizer.param_groups[0]["lr"] = LEARNING_RATE * factor
        starts = torch.randint(0, len(ids) - width, (ROWS,), generator=generator).tolist()
        batch = torch.stack([ids[start : start + width] for start in starts])
        optimizer.zero_grad(set_to_none=True)
        loss(batch[:, :-1], batch[:, 1:]).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()


@torch.no_grad()
def bits_per_byte(loss: Loss, ids: Tensor, n_bytes: int) -> float:
    """Bits for each byte of all tokens of ``ids`` but the first; the model starts anew after each context length."""
    inputs, targets = (part.view(-1, ROWS, CONFIG.context_length) for part in (ids[:-1], ids[1:]))
    nats = sum(loss(*batch).item() * batch[0].numel() for batch in zip(inputs, targets))
    return nats / math.log(2.0) / n_bytes


def compare(train_ids: Tensor, held_out: Tensor, n_bytes: int, steps: int, seeds: int) -> list[Row]:
    results: dict[str, list[float]] = {"ours": [], "theirs": []}
    for seed in range(seeds):
        for name, make in (("ours", ours), ("theirs", theirs)):
            model, loss = make(seed)
            train(model, loss, train_ids, steps, seed)
            results[name].append(bits_per_byte(loss, held_out, n_bytes))
            print(f"seed {seed} {name}: {results[name][-1]:.4f} bits per byte", flush=True)
    unit = f"bits per byte after {steps} steps of {ROWS * CONFIG.context_length} tokens"
    pairs = list(zip(results["ours"], results["theirs"]))
    rows = [
        row(f"{unit}, seed {seed}", *pair, smaller_is_better=True, aim=NOISE)
        for seed, pair in enumerate(pairs)
    ]
    means = [statistics.mean(values) for values in results.values()]
    rows.append(row(f"{unit}, mean", *means, smaller_is_better=True, aim=NOISE))
    spreads = [max(values) - min(values) for values in results.values()]
    rows.append(row(f"{unit}, largest - smallest of {seeds} seeds", *spreads, smaller_is_better=True))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("text_file", type=Path, help="a UTF-8 text file of some megabytes")
    parser.add_argument("--steps", type=int, default=150, help="optimizer steps of each run")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each model, 2 or more")
    parser.add_argument(
        "--threads", type=int, default=torch.get_num_threads(), help="threads of each program"
    )
    arguments = parser.parse_args()
    if arguments.seeds < 2:
        parser.error("--seeds must be 2 or more: one run shows no spread")
    torch.set_num_threads(arguments.threads)
    text = arguments.text_file.read_text(encoding="utf-8")
    cut = len(text) * 9 // 10
    tokenizer = Tokenizer.train([text[:cut]], CONFIG.vocab_size)
    train_ids = torch.tensor(tokenizer.encode(text[:cut]))
    held_out = tokenizer.encode(text[cut:])[: EVALUATED_BATCHES * ROWS * CONFIG.context_length + 1]
    n_bytes = len(tokenizer.decode_bytes(held_out[1:]))
    rows = compare(train_ids, torch.tensor(held_out), n_bytes, arguments.steps, arguments.seeds)
    save_results(f"parity_{arguments.text_file.stem.split('_')[0]}", rows, ["torch", "transformers"])


if __name__ == "__main__":
    main()
