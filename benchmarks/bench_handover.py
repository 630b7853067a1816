"""An assistant moves to other engines: is the loss there ours, and does it come back?

    python -m pip install trl peft accelerate               (and llama-cpp-python)
    python benchmarks/bench_handover.py [--preset cpu] [--llama-cpp CHECKOUT]

Each training makes three steps by `handover_trl.py`, on all of some rows at once: alone, and on two processes with
plain data parallelism and with FSDP. The losses are those before the first step and before the third, the gradient's
length is that of the first. Then minillm reads the folder and answers, greedily, as transformers does with the same
folder. llama.cpp, where its Python package is installed and a checkout is named, reads the exported assistant itself.

One thing is set as transformers has it: the vector of the padding token, which begins every conversation, gets no
gradient where it is read. Without that the first losses are the same, and the later ones differ in the fifth digit.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import torch
from common import Row, save_results
from handover.gguf import GGUFModel, to_gguf
from handover.ours import Step, dpo_steps, grpo_step, read_answers, sft_steps

from minillm import GPT, Tokenizer, generate, render_chat
from minillm.data.example import write_example
from minillm.data.tasks import Tasks
from minillm.export import export_artifact
from minillm.lookup import find_model
from minillm.model.adapters import load_adapter
from minillm.text.chat import Message, answer_text, stop_ids

HERE = Path(__file__).parent
PACKAGES = ["torch", "transformers", "trl", "peft", "accelerate", "llama-cpp-python"]
TOLERANCE = 1e-5  # share of the larger figure; sums in another order differ by about a millionth
STEPS, ROWS, LEARNING_RATE, BETA, GROUP = 3, 8, 1e-4, 0.1, 8
ANSWERS, MAX_TOKENS = 40, 60  # that are compared word by word, and how long they may get
ACCELERATE = ["-m", "accelerate.commands.launch", "--config_file", str(HERE / "handover" / "fsdp.yaml")]
LAUNCHERS = {  # what comes before the program, and how many processes that makes
    "1 process": ([], 1),
    "2 processes, data parallel": (["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"], 2),
    "2 processes, FSDP": ([*ACCELERATE, str(HERE / "handover" / "fsdp_on_cpu.py")], 2),
}


def same(name: str, ours: float, theirs: float) -> Row:
    """A row of results whose figures should be equal; `ratio` is theirs / ours."""
    met = abs(theirs - ours) <= TOLERANCE * max(abs(ours), abs(theirs))
    ratio = theirs / ours if ours else float(theirs == ours)
    return {"name": name, "ours": ours, "theirs": theirs, "ratio": round(ratio, 7), "aim": 1.0, "met": met}


def as_there(folder: str, tokenizer: Tokenizer) -> GPT:
    """A model that treats the vector of the padding token as transformers does."""
    model = GPT.from_pretrained(folder)
    model.model.embed_tokens.padding_idx = tokenizer.end_of_text_id
    return model


def adapted(folder: str, tokenizer: Tokenizer) -> GPT:
    """An exported specialist whose adapter alone learns."""
    model = load_adapter(as_there(f"{folder}/base", tokenizer), folder)
    for name, weight in model.named_parameters():
        weight.requires_grad_("lora_" in name)
    return model


# -- the other engine --


def run_trl(
    launcher: tuple[Sequence[str], int], method: str, model: str, out: str, *options: object
) -> list[Step]:
    """The steps of a run of `handover_trl.py`, as it tells them."""
    program = [str(HERE / "handover_trl.py"), method, model, out, "--cpu", "--steps", str(STEPS)]
    rest = ["--rows", str(ROWS), "--learning-rate", str(LEARNING_RATE), *map(str, options)]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}
    done = subprocess.run(
        [sys.executable, *launcher[0], *program, *rest],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    )
    if done.returncode:
        raise RuntimeError(f"{method} on {model} failed:\n{done.stdout[-3000:]}")
    held = [line for line in done.stdout.splitlines() if "this process holds" in line]
    if len(held) != launcher[1]:
        raise RuntimeError(f"{len(held)} processes learned, not {launcher[1]}:\n{done.stdout[-3000:]}")
    print(f"{method} of {model}:", *held, sep="\n    ", flush=True)
    history = json.loads((Path(out) / "trainer_state.json").read_text(encoding="utf-8"))["log_history"]
    return [Step(line["loss"], line["grad_norm"]) for line in history if "loss" in line]


def compare(name: str, ours: Sequence[Step], theirs: Sequence[Step]) -> list[Row]:
    """The loss and the gradient of the first step, and the loss of the last."""
    rows = [
        same(f"{name}: loss of step 1", ours[0].loss, theirs[0].loss),
        same(f"{name}: gradient of step 1", ours[0].grad_norm, theirs[0].grad_norm),
    ]
    if len(ours) > 1:
        rows.append(same(f"{name}: loss of step {len(ours)}", ours[-1].loss, theirs[-1].loss))
    return rows


def trainings(tokenizer: Tokenizer) -> Iterator[Row]:
    """SFT and DPO with each launcher, an adapter with two, GRPO alone."""
    talks, pairs = Path("talks.jsonl"), Path("pairs.jsonl")
    sft = sft_steps(as_there("sft", tokenizer), tokenizer, talks, STEPS, LEARNING_RATE)
    dpo = dpo_steps(
        as_there("dpo", tokenizer), GPT.from_pretrained("sft"), tokenizer, pairs, BETA, STEPS, LEARNING_RATE
    )
    lora = sft_steps(adapted("specialist", tokenizer), tokenizer, talks, STEPS, LEARNING_RATE)
    for number, (name, launcher) in enumerate(LAUNCHERS.items()):
        there = run_trl(launcher, "sft", "sft", f"sft-{number}", "--data", talks)
        yield from compare(f"SFT, {name}", sft, there)
        there = run_trl(launcher, "dpo", "dpo", f"dpo-{number}", "--data", pairs, "--reference", "sft")
        yield from compare(f"DPO, {name}", dpo, there)
        if "FSDP" not in name:
            there = run_trl(launcher, "sft", "specialist", f"lora-{number}", "--data", talks)
            yield from compare(f"SFT of a LoRA adapter, {name}", lora, there)
            out, options = f"grpo-{number}", ("--tasks", 4, "--rows", 4 * GROUP, "--steps", 1)
            there = run_trl(launcher, "grpo", "sft", out, *options)
            ours = grpo_step(as_there("sft", tokenizer), tokenizer, read_answers(Path(out)), GROUP)
            yield from compare(f"GRPO, {name}", [ours], there)


# -- the way back --


def ids_of(prompt: Sequence[Message], tokenizer: Tokenizer) -> list[int]:
    return render_chat(prompt, tokenizer, add_generation_prompt=True).ids


def our_answers(model: GPT, tokenizer: Tokenizer, prompts: Sequence[Sequence[Message]]) -> list[str]:
    rows = [ids_of(messages, tokenizer) for messages in prompts]
    answers = generate(model, rows, MAX_TOKENS, temperature=0.0, stop=stop_ids(tokenizer))
    return [answer_text(ids, tokenizer).strip() for ids in answers]


def transformers_answers(folder: str) -> Callable[[Sequence[Message]], str]:
    from handover_trl import load
    from transformers import AutoTokenizer

    model, tokenizer = load(Path(folder)).eval(), AutoTokenizer.from_pretrained(folder)

    def answer(messages: Sequence[Message]) -> str:
        inputs = tokenizer.apply_chat_template(
            [dict(message) for message in messages],
            add_generation_prompt=True,
            return_tensors="pt",
            return_dict=True,
        )
        output = model.generate(**inputs, max_new_tokens=MAX_TOKENS, do_sample=False)
        text: str = tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        return text.strip()

    return answer


def answered(name: str, ours: Sequence[str], theirs: Sequence[str]) -> Row:
    """How many answers are the same text."""
    return same(
        f"{name}: greedy answers that are the same",
        len(ours),
        sum(a == b for a, b in zip(ours, theirs, strict=True)),
    )


def ways_back(tokenizer: Tokenizer, prompts: Sequence[Sequence[Message]]) -> Iterator[Row]:
    """What was trained there answers here."""
    folders = {"SFT": "sft-0", "SFT, FSDP": "sft-2", "DPO": "dpo-0", "GRPO": "grpo-0"}
    models = {name: (folder, GPT.from_pretrained(folder)) for name, folder in folders.items()}
    base = GPT.from_pretrained("specialist/base")
    models["SFT of a LoRA adapter"] = "lora-0", load_adapter(base, "lora-0")
    for name, (folder, model) in models.items():
        there = transformers_answers(folder)
        ours = our_answers(model, Tokenizer.load(folder), prompts)
        yield answered(f"back from {name}", ours, [there(messages) for messages in prompts])


def gguf(tokenizer: Tokenizer, prompts: Sequence[Sequence[Message]], checkout: Path) -> Iterator[Row]:
    """The same folder in llama.cpp."""
    model = GGUFModel(to_gguf(Path("sft"), Path("sft.gguf"), checkout), GPT.from_pretrained("sft").config)
    ours = our_answers(GPT.from_pretrained("sft"), tokenizer, prompts)
    yield answered(
        "llama.cpp, GGUF in f32", ours, [model.answer(messages, MAX_TOKENS) for messages in prompts]
    )


def prepare(preset: str, runs: Path | None) -> tuple[Tokenizer, list[list[Message]]]:
    """The exported stages and the data, in the working folder; the tokenizer, and prompts that no stage learned."""
    for stage, to, folder in (("sft", "hf", "sft"), ("dpo", "hf", "dpo"), ("lora", "peft", "specialist")):
        export_artifact(find_model(stage, preset, runs), to, folder)
    write_example("harbour")
    for name, source in (("talks", "conversations"), ("pairs", "preferences")):
        with open(f"harbour/{source}.jsonl", encoding="utf-8") as lines:
            Path(f"{name}.jsonl").write_text("".join(islice(lines, ROWS)), encoding="utf-8")
    tokenizer = Tokenizer.load("sft")
    limit = (
        GPT.from_pretrained("sft").config.context_length - MAX_TOKENS
    )  # beyond the context transformers goes on
    prompts = [Tasks("test").task(2, number).prompt for number in range(2 * ANSWERS)]
    fitting = [prompt for prompt in prompts if len(ids_of(prompt, tokenizer)) <= limit]
    return tokenizer, fitting[:ANSWERS]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--preset", default="cpu", help="whose trained stages move")
    parser.add_argument("--runs", type=Path, help="the folder of all runs; default: as for minillm")
    parser.add_argument("--llama-cpp", type=Path, help="a checkout of llama.cpp, whose converter is used")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    runs = None if arguments.runs is None else arguments.runs.resolve()
    checkout = None if arguments.llama_cpp is None else arguments.llama_cpp.resolve()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        tokenizer, prompts = prepare(arguments.preset, runs)
        rows += trainings(tokenizer)
        rows += ways_back(tokenizer, prompts)
        if checkout is not None and importlib.util.find_spec("llama_cpp"):
            rows += gguf(tokenizer, prompts, checkout)
        os.chdir(HERE)
    save_results("handover", rows, PACKAGES)


if __name__ == "__main__":
    main()
