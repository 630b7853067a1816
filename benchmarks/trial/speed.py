"""Training speed of the shape of preset gpu: tokens/s, share of the device's peak, and memory, beside others.

All models are trained by the same step (`TrainStep`, as `fit` uses it) with a fused AdamW, on the same random tokens.
Theirs have no QK-norm and let the documents of a row see each other; ours is measured as the presets train it, with
both, and like for like without. They take turns.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from common import interleave, row
from torch import Tensor, nn
from torch.nn import functional as F

from minillm.costs import n_parameters
from minillm.data.batches import Batch
from minillm.model.config import GPTConfig
from minillm.model.gpt import GPT
from minillm.model.pretrained import config_to_json
from minillm.presets import PRESETS
from minillm.train.config import FitConfig
from minillm.train.runtime import Runtime, has_cpp_compiler
from minillm.train.step import Loss, TrainStep, language_model_loss
from trial.device import (
    free_memory,
    gigabytes,
    peak_flops,
    peak_memory,
    runtime,
    synchronise,
    timed,
    utilisation,
)
from trial.plain import PlainGPT
from trial.session import Skipped, Trial

__all__ = ["OURS", "Program", "big_shape", "fitting_rows", "our_program", "run", "transformers_llama"]

OURS = "ours, QK-norm and packed documents"
LIKE_FOR_LIKE = "ours, Llama shape"
TRANSFORMERS, PLAIN = "transformers", "plain GPT-2"
_STEPS = 3  # between two looks at the clock
_MEASURING = 8.0  # seconds that are kept for the compiled programs
_DOCUMENT_LENGTH = 300  # tokens
_BATCH_BYTES = 12  # a token and id of the vocabulary: logits in two formats and their gradients
_BLOCK_BYTES = 70  # a token, channel and block: what the backward pass needs


@dataclass
class Program:
    """A model with what trains it; `compiled` is the same with torch.compile."""

    step: TrainStep
    batch: Batch
    compiled: TrainStep | None = None
    compile_seconds: float | None = None

    @property
    def own_bytes(self) -> int:
        """Of weights and of the optimizer's state."""
        tensors: list[Tensor] = list(self.step.model.parameters())
        tensors += [
            v
            for o in self.step.optimizers
            for s in o.state.values()
            for v in s.values()
            if isinstance(v, Tensor)
        ]
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def big_shape(quick: bool) -> GPTConfig:
    """The shape of preset gpu; in a quick trial a small one of the same proportions."""
    shape = PRESETS["gpu"].base.model
    if not quick:
        return shape
    return replace(
        shape, vocab_size=331, context_length=64, n_layer=1, n_head=2, n_kv_head=2, d_model=48, d_ff=128
    )


def fitting_rows(config: GPTConfig, device: str, most: int) -> int:
    """Rows of whole contexts, a power of two, that fit into the device's free memory by a rough count."""
    if device != "cuda":
        return min(2, most)
    free, _ = torch.cuda.mem_get_info()
    models = 4 * 16 * n_parameters(config)  # weights, gradients and AdamW's two numbers, in fp32
    token = _BATCH_BYTES * config.vocab_size + _BLOCK_BYTES * config.n_layer * config.d_model
    rows = most
    while rows > 1 and models + rows * config.context_length * token > 0.85 * free:
        rows //= 2
    return rows


def run(trial: Trial) -> None:
    """Measure all programs eagerly, then compile one after another while there is time, and measure all again."""
    config, run_time = big_shape(trial.quick), runtime(trial)
    rows = fitting_rows(config, trial.device, most=PRESETS["gpu"].base.fit.micro_batch_rows or 32)
    name = torch.cuda.get_device_name() if trial.device == "cuda" else trial.device
    peak, source = peak_flops(name, run_time.precision)
    trial.record(
        shape={"parameters": n_parameters(config), "context_length": config.context_length, "rows": rows},
        precision=run_time.precision,
        peak_tflops=None if peak is None else peak / 1e12,
        peak_source=source,
        model_flops_utilisation="3 x operations of the forward pass x tokens/s / peak",
    )
    programs = dict(_programs(trial, config, rows, run_time))
    trial.check(OURS in programs and LIKE_FOR_LIKE in programs, "ours can be trained")
    measure(trial, programs, "eager", 0.12 * trial.left(), peak)
    if not (trial.quick or has_cpp_compiler()):
        trial.note("not compiled: no C++ compiler was found")
        return
    compile_all(trial, programs)
    measure(trial, programs, "compiled", min(2 * _MEASURING, 0.8 * trial.left()), peak)


def _programs(trial: Trial, config: GPTConfig, rows: int, run_time: Runtime) -> Iterator[tuple[str, Program]]:
    """All of them by name, warmed up."""
    llama = replace(config, qk_norm=False)
    makers: dict[str, Callable[[], tuple[nn.Module, Loss, bool]]] = {
        OURS: lambda: (GPT(config), language_model_loss, True),
        LIKE_FOR_LIKE: lambda: (GPT(llama), language_model_loss, False),
        TRANSFORMERS: lambda: (
            transformers_llama(llama),
            _their_loss(lambda model, ids: model(ids).logits),
            False,
        ),
        PLAIN: lambda: (PlainGPT(config), _their_loss(lambda model, ids: model(ids)), False),
    }
    for name, make in makers.items():
        try:
            model, loss, packed = make()
            program = _program(model, loss, _batch(config, rows, packed), run_time)
        except (Skipped, torch.OutOfMemoryError) as reason:
            trial.note(f"{name} is left out: {str(reason).splitlines()[0][:200]}")
            continue
        yield name, program


def our_program(config: GPTConfig, rows: int, run_time: Runtime) -> Program:
    """Ours as the presets train it."""
    return _program(GPT(config), language_model_loss, _batch(config, rows, packed=True), run_time)


def _program(model: nn.Module, loss: Loss, batch: Batch, run_time: Runtime) -> Program:
    model.to(run_time.device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    step = TrainStep(model, loss, [optimizer], FitConfig(steps=1), run_time)
    program = Program(step, replace(batch, **_moved(batch, run_time.device)))
    for _ in range(2):
        step(program.batch)
    return program


def _moved(batch: Batch, device: torch.device) -> dict[str, Any]:
    fields = {"ids": batch.ids, "targets": batch.targets, "document_ids": batch.document_ids}
    return {name: None if tensor is None else tensor.to(device) for name, tensor in fields.items()}


def _batch(config: GPTConfig, rows: int, packed: bool) -> Batch:
    """Random tokens; `packed`: several documents share a row."""
    shape = (rows, config.context_length + 1)
    ids = torch.randint(config.vocab_size, shape, generator=torch.Generator().manual_seed(0))
    documents = (torch.arange(config.context_length) // _DOCUMENT_LENGTH).repeat(rows, 1) if packed else None
    return Batch(ids[:, :-1].contiguous(), ids[:, 1:].contiguous(), documents)


def _their_loss(logits: Callable[[Any, Tensor], Tensor]) -> Loss:
    """The usual loss on all logits at once."""

    def loss(model: Any, batch: Any) -> tuple[Tensor, int]:
        scores = logits(model, batch.ids).flatten(0, 1).float()
        return F.cross_entropy(scores, batch.targets.flatten(), reduction="sum"), batch.targets.numel()

    return loss


def transformers_llama(config: GPTConfig, use_cache: bool = False) -> Any:
    """Their model of our shape, with PyTorch's fused attention as ours.

    Raises:
        Skipped: it cannot be had here.
    """
    try:
        from transformers import LlamaConfig, LlamaForCausalLM
    except Exception as error:  # missing, or not fitting to another package
        raise Skipped(f"transformers cannot be imported ({error})") from error
    model = LlamaForCausalLM(LlamaConfig(**config_to_json(config), use_cache=use_cache))
    if (attention := model.config._attn_implementation) != "sdpa":
        raise Skipped(f"transformers chose the attention {attention!r}, not sdpa")
    return model


def compile_all(trial: Trial, programs: dict[str, Program]) -> None:
    """Compile one after another, as long as the next would probably be done in time; quickly: only one."""
    slowest = 0.0
    for name, program in programs.items():
        if trial.quick and slowest:
            return
        if 1.2 * slowest + _MEASURING > trial.left():
            trial.note(f"{name} is not compiled: there is no time left")
            continue
        step = program.step
        backend = "aot_eager" if trial.quick else "inductor"  # which traces, and leaves out the long work
        loss = torch.compile(step.loss, dynamic=False, backend=backend)
        compiled = TrainStep(step.model, loss, step.optimizers, FitConfig(steps=1), step.runtime)
        started = time.perf_counter()
        try:
            compiled(program.batch)
        except Exception as error:  # whatever the compiler stumbled over
            reason = (str(error) or type(error).__name__).strip().splitlines()[0][:200]
            trial.note(f"{name} cannot be compiled: {reason}")
            step.model.zero_grad(set_to_none=True)
            continue
        synchronise(trial.device)
        program.compile_seconds = round(time.perf_counter() - started, 1)
        slowest = max(slowest, program.compile_seconds)
        program.compiled = compiled
        compiled(program.batch)
        trial.record(
            compile_seconds=trial.figures.get("compile_seconds", {}) | {name: program.compile_seconds}
        )


def measure(trial: Trial, programs: dict[str, Program], how: str, seconds: float, peak: float | None) -> None:
    """Steps in turn, for about so many seconds; memory once each."""
    steps = {
        name: step
        for name, program in programs.items()
        if (step := program.step if how == "eager" else program.compiled) is not None
    }
    if not steps:
        return
    memory = {name: _peak_bytes(trial.device, steps[name], programs[name]) for name in steps}

    def several(name: str) -> Callable[[], None]:
        def call() -> None:
            for _ in range(1 if trial.quick else _STEPS):
                steps[name](programs[name].batch)
            synchronise(trial.device)

        return call

    calls = {name: several(name) for name in steps}
    once = sum(timed(call, trial.device) for call in calls.values())
    repeats = 1 if trial.quick else max(2, min(10, int(seconds / once)))
    spent = interleave(calls, repeats)
    for name, value in spent.items():
        shape = trial.figures["shape"]
        tokens = shape["rows"] * shape["context_length"] * (1 if trial.quick else _STEPS) / value
        config = big_shape(trial.quick)
        found = {
            "tokens_per_second": round(tokens),
            "utilisation": utilisation(config, tokens, peak),
            "peak_memory_gb": gigabytes(memory[name]),
        }
        trial.record(**{how: trial.figures.get(how, {}) | {name: found}})
    _compare(trial, how)


def _peak_bytes(device: str, step: TrainStep, program: Program) -> float | None:
    """What a step needs: its own weights and states, and what it allocates on top of all that is held."""
    if device != "cuda":
        return None
    free_memory(device)
    held = torch.cuda.memory_allocated()
    step(program.batch)
    synchronise(device)
    peak = peak_memory(device)
    return None if peak is None else peak - held + program.own_bytes


def _compare(trial: Trial, how: str) -> None:
    """Ours beside each of theirs."""
    found = {name: figures["tokens_per_second"] for name, figures in trial.figures[how].items()}
    unit = f"tokens/s, {how} {trial.figures['precision']}, {trial.figures['shape']['parameters'] / 1e6:.3g} M"
    for ours in (LIKE_FOR_LIKE, OURS):
        for theirs in (TRANSFORMERS, PLAIN):
            if ours in found and theirs in found:
                trial.add_row(row(f"{unit}: {ours} / {theirs}", found[ours], found[theirs]))
