"""Batched sampling beside the bare matrix products it cannot do without, and beside transformers' ``generate``.

    python benchmarks/bench_sampling.py [--threads 2] [--core-seconds]

The model has the cpu preset's shape and random weights, so that every token is about equally likely and a stop list of
``STOP`` ids ends answers after ``vocab_size / STOP`` tokens on average, some only after several times as many, as the
answers of the trained model do. The prompts have the lengths of prompts of the training tasks.

The bare products are those of the prompts' own tokens, without padding, and of the rows that still run in each step:
projections, MLP, scores, weighted values and head, with nothing between them. The aim is to take at most twice their
time, that is a ratio of 0.5.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable

import torch
from common import Row, interleave, row, save_results
from torch import Tensor
from transformers import AutoModelForCausalLM

from minillm.model.gpt import GPT
from minillm.model.sampling import generate
from minillm.presets import PRESETS

AIM = 0.5
BATCH = 64
STOP = 100  # ids that end an answer
MAX_NEW_TOKENS = 100
CONFIG = PRESETS["cpu"].base.model
# Tokens at every sixteenth quantile of the prompts of the training tasks.
PROMPT_LENGTHS = (10, 12, 14, 15, 15, 16, 17, 18, 22, 24, 27, 29, 34, 37, 41, 49, 66, 119)


def prompts() -> list[list[int]]:
    """Random ids of those lengths, in random order."""
    generator = torch.Generator().manual_seed(0)
    position = torch.rand(BATCH, generator=generator) * (len(PROMPT_LENGTHS) - 1)
    table = torch.tensor(PROMPT_LENGTHS)
    below = position.long()
    lengths = table[below] + (position - below) * (table[below + 1] - table[below])
    ids = torch.randint(STOP, CONFIG.vocab_size, (BATCH, max(PROMPT_LENGTHS)), generator=generator)
    return [row[: int(length)].tolist() for row, length in zip(ids, lengths)]


def products(lengths: list[int], answers: list[int]) -> Callable[[], None]:
    """The products for prompts of ``lengths`` tokens and answers of so many, as one function."""
    width, heads, kv_heads = CONFIG.head_width, CONFIG.n_head, CONFIG.n_kv_head
    d_model, kv = CONFIG.d_model, kv_heads * width
    shapes = [(d_model, d_model), (d_model, kv), (d_model, kv), (d_model, d_model)]
    shapes += [(d_model, CONFIG.d_ff), (d_model, CONFIG.d_ff), (CONFIG.d_ff, d_model)]
    weights = [[torch.randn(shape) for shape in shapes] for _ in range(CONFIG.n_layer)]
    head = torch.randn(d_model, CONFIG.vocab_size)
    narrow, wide = torch.randn(sum(lengths), d_model), torch.randn(sum(lengths), CONFIG.d_ff)
    reads = [answer if answer < MAX_NEW_TOKENS else answer - 1 for answer in answers]
    pairs = [attention_operands(heads, length, length) for length in lengths]
    steps = []
    for step in range(1, max(reads) + 1):
        columns = [length + step for length, read in zip(lengths, reads) if read >= step]
        steps.append(
            (len(columns), attention_operands(len(columns) * heads, 1, round(sum(columns) / len(columns))))
        )

    @torch.inference_mode()
    def run() -> None:
        for layer in weights:
            project(layer, narrow, wide)
            for operands in pairs:
                attend(*operands)
        narrow[: len(lengths)] @ head
        for rows, operands in steps:
            for layer in weights:
                project(layer, narrow[:rows], wide[:rows])
                attend(*operands)
            narrow[:rows] @ head

    return run


def attention_operands(batch: int, queries: int, columns: int) -> tuple[Tensor, Tensor, Tensor]:
    """A query, keys and values of one layer, and weights in place of the softmax."""
    width = CONFIG.head_width
    return (
        torch.randn(batch, queries, width),
        torch.randn(batch, columns, width),
        torch.randn(batch, queries, columns),
    )


def attend(query: Tensor, keys: Tensor, weights: Tensor) -> None:
    query @ keys.mT
    weights @ keys


def project(layer: list[Tensor], narrow: Tensor, wide: Tensor) -> None:
    for weight in layer:
        (narrow if len(weight) == CONFIG.d_model else wide) @ weight


def transformers_generate(model: GPT, ids: list[list[int]]) -> Callable[[], int]:
    """The same by transformers, left-padded; returns the number of tokens drawn, without the stop tokens."""
    with tempfile.TemporaryDirectory() as folder:
        other = AutoModelForCausalLM.from_pretrained(model.save_pretrained(folder))
    longest = max(map(len, ids))
    padded = torch.tensor([[0] * (longest - len(prompt)) + prompt for prompt in ids])
    mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in ids])

    def run() -> int:
        torch.manual_seed(0)
        out = other.generate(
            padded,
            attention_mask=mask,
            max_new_tokens=MAX_NEW_TOKENS,
            do_sample=True,
            top_k=0,
            eos_token_id=list(range(STOP)),
            pad_token_id=0,
        )
        return int((out[:, longest:] >= STOP).sum())

    return run


def measure(repeats: int, clock: Callable[[], float], unit: str) -> list[Row]:
    model, ids = GPT(CONFIG).eval(), prompts()

    def ours() -> list[list[int]]:
        return generate(
            model, ids, MAX_NEW_TOKENS, stop=range(STOP), generator=torch.Generator().manual_seed(0)
        )

    answers = [len(answer) for answer in ours()]
    bare = products([len(prompt) for prompt in ids], answers)
    theirs = transformers_generate(model, ids)
    their_tokens = theirs()
    bare()
    seconds = interleave({"ours": ours, "bare": bare, "theirs": theirs}, repeats, clock)
    print(f"{sum(answers)} tokens in {BATCH} answers, the longest of {max(answers)}")
    speeds = sum(answers) / seconds["ours"], their_tokens / seconds["theirs"]
    return [
        row(
            f"{unit}s, {BATCH} rows: generate / bare matrix products",
            seconds["ours"],
            seconds["bare"],
            smaller_is_better=True,
            aim=AIM,
        ),
        row(f"tokens/{unit}, {BATCH} rows: generate / transformers", *speeds),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=15, help="runs of each program; the median counts")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="threads of each program")
    parser.add_argument(
        "--core-seconds", action="store_true", help="count CPU time, where the machine is busy"
    )
    arguments = parser.parse_args()
    clock = time.process_time if arguments.core_seconds else time.perf_counter
    rows = []
    for threads in arguments.threads:
        torch.set_num_threads(threads)
        unit = "core-second" if arguments.core_seconds else "second"
        rows += [
            {**entry, "name": f"{threads} threads, {entry['name']}"}
            for entry in measure(arguments.repeats, clock, unit)
        ]
    save_results("sampling", rows, ["torch", "transformers"])


if __name__ == "__main__":
    main()
