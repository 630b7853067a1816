"""Training speed beside transformers' Llama and litgpt: tokens per second of one step.

    python benchmarks/bench_training.py [--threads 2] [--compile] [--core-seconds]

A step is forward, backward, clipping and a fused AdamW update, the same for all. The shape is the cpu preset's; theirs
have no QK-norm and let the documents of a row see each other, ours is measured with both and, for a like for like
comparison, without. Precision is bfloat16 through autocast and float32; the aim is set against the best of theirs.
litgpt is left out where it is not installed.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace

import torch
from common import Row, interleave, row, save_results
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import LlamaConfig, LlamaForCausalLM

from minillm.model.config import GPTConfig
from minillm.model.gpt import GPT, next_token_loss
from minillm.model.pretrained import config_to_json
from minillm.presets import PRESETS

try:
    from litgpt.model import GPT as LitGPT
    from litgpt.model import Config as LitConfig
except ImportError:
    LitGPT = LitConfig = None

AIM = 1.3
DOCUMENT_LENGTH = 70  # tokens; rows of several documents, as the packed corpus has
CONFIG = PRESETS["cpu"].base.model
ROWS = PRESETS["cpu"].base.rows

Loss = Callable[[], Tensor]


def data() -> tuple[Tensor, Tensor, Tensor]:
    """Random ids and targets, and the documents they are in, each (rows, context_length)."""
    ids = torch.randint(
        0, CONFIG.vocab_size, (ROWS, CONFIG.context_length + 1), generator=torch.Generator().manual_seed(0)
    )
    documents = (torch.arange(CONFIG.context_length) // DOCUMENT_LENGTH).repeat(ROWS, 1)
    return ids[:, :-1].contiguous(), ids[:, 1:].contiguous(), documents


def ours(config: GPTConfig, packed: bool, compiled: bool = False) -> tuple[nn.Module, Loss]:
    model = GPT(config)
    ids, targets, documents = data()
    loss = torch.compile(next_token_loss, dynamic=False) if compiled else next_token_loss
    return model, lambda: loss(model, ids, targets, documents if packed else None, "mean")


def theirs(
    make: Callable[[], tuple[nn.Module, Callable[[Tensor], Tensor]]], compiled: bool = False
) -> tuple[nn.Module, Loss]:
    model, logits = make()
    ids, targets, _ = data()

    def loss() -> Tensor:
        return F.cross_entropy(logits(ids).float().flatten(0, 1), targets.flatten())

    return model, torch.compile(loss, dynamic=False) if compiled else loss


def transformers_llama() -> tuple[nn.Module, Callable[[Tensor], Tensor]]:
    model = LlamaForCausalLM(LlamaConfig(**config_to_json(replace(CONFIG, qk_norm=False)), use_cache=False))
    return model, lambda ids: model(ids).logits


def litgpt() -> tuple[nn.Module, Callable[[Tensor], Tensor]]:
    model = LitGPT(
        LitConfig(
            n_layer=CONFIG.n_layer,
            n_head=CONFIG.n_head,
            n_query_groups=CONFIG.n_kv_head,
            n_embd=CONFIG.d_model,
            intermediate_size=CONFIG.d_ff,
            block_size=CONFIG.context_length,
            vocab_size=CONFIG.vocab_size,
            padded_vocab_size=CONFIG.vocab_size,
            rotary_percentage=1.0,
            parallel_residual=False,
            bias=False,
            norm_class_name="RMSNorm",
            mlp_class_name="LLaMAMLP",
        )
    )
    model.lm_head.weight = model.transformer.wte.weight
    return model, model


def training_step(model: nn.Module, loss: Loss, precision: str) -> Callable[[], None]:
    """One optimizer step, without arguments; run twice, which compiles and warms up."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            value = loss()
        value.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    step()
    step()
    return step


def steps(compiled: bool) -> dict[str, Callable[[], None]]:
    """All programs' steps, by a name that ends in the precision."""
    llama = replace(CONFIG, qk_norm=False)
    made: dict[str, Callable[[], None]] = {}
    for precision in ("fp32", "bf16"):
        made[f"Llama shape {precision}"] = training_step(*ours(llama, packed=False), precision)
        made[f"transformers {precision}"] = training_step(*theirs(transformers_llama), precision)
        if LitGPT is not None:
            made[f"litgpt {precision}"] = training_step(*theirs(litgpt), precision)
    made["QK-norm and packed documents bf16"] = training_step(*ours(CONFIG, packed=True), "bf16")
    if compiled:
        made["compiled, Llama shape bf16"] = training_step(*ours(llama, packed=False, compiled=True), "bf16")
        made["compiled, QK-norm and packed documents bf16"] = training_step(
            *ours(CONFIG, packed=True, compiled=True), "bf16"
        )
        made["transformers compiled bf16"] = training_step(*theirs(transformers_llama, compiled=True), "bf16")
    return made


def rows_of(speed: dict[str, float], unit: str) -> list[Row]:
    """Compare each of ours with the best of theirs that is run plainly, and like with like."""
    eager = {
        name: value
        for name, value in speed.items()
        if name.startswith(("transformers", "litgpt")) and "comp" not in name
    }
    best = max(eager, key=eager.__getitem__)
    made = [
        row(f"{unit}: {name} / {best}", value, eager[best], aim=AIM if name.endswith("bf16") else None)
        for name, value in speed.items()
        if not name.startswith(("transformers", "litgpt"))
    ]
    made += [
        row(
            f"{unit}: Llama shape {name.split()[-1]} / {name}",
            speed[f"Llama shape {name.split()[-1]}"],
            value,
        )
        for name, value in eager.items()
    ]
    compiled = {name: value for name, value in speed.items() if "compiled" in name}
    if compiled:
        name = "transformers compiled bf16"
        made.append(
            row(
                f"{unit}: compiled, Llama shape bf16 / {name}",
                compiled["compiled, Llama shape bf16"],
                compiled[name],
            )
        )
    return made


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=15, help="steps of each program; the median counts")
    parser.add_argument(
        "--threads", type=int, default=torch.get_num_threads(), help="threads of each program"
    )
    parser.add_argument(
        "--compile", action="store_true", help="measure torch.compile as well (takes minutes)"
    )
    parser.add_argument(
        "--core-seconds", action="store_true", help="count CPU time, where the machine is busy"
    )
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    clock = time.process_time if arguments.core_seconds else time.perf_counter
    seconds = interleave(steps(arguments.compile), arguments.repeats, clock)
    unit = f"tokens/{'core-' if arguments.core_seconds else ''}second, {arguments.threads} threads"
    tokens = ROWS * CONFIG.context_length
    rows = rows_of({name: tokens / value for name, value in seconds.items()}, unit)
    save_results("training_throughput", rows, ["torch", "transformers", "litgpt"])


if __name__ == "__main__":
    main()
