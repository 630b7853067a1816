"""An exported assistant goes on in TRL, on the data files of this course: by SFT, DPO or GRPO, whole or with LoRA.

    minillm export sft assistant --to hf
    python benchmarks/handover_trl.py sft assistant better --data conversations.jsonl
    python benchmarks/handover_trl.py dpo assistant better --data preferences.jsonl --lora 8
    python benchmarks/handover_trl.py grpo assistant better --tasks 64

and on several processes, whose number the file names (or `--num_processes`):

    accelerate launch --config_file benchmarks/handover/fsdp.yaml benchmarks/handover_trl.py sft ...
    accelerate launch --config_file benchmarks/handover/deepspeed.yaml benchmarks/handover_trl.py sft ...

(FSDP wants GPUs; `handover/fsdp_on_cpu.py` says how to try it without.)

The folder that comes out is read by `minillm.GPT.from_pretrained` and `minillm.Tokenizer.load`; with LoRA it holds an
adapter, which `minillm.model.adapters.load_adapter` reads. `trainer_state.json` in it has the losses. The programs need
`python -m pip install trl peft`; minillm itself serves GRPO only, for its tasks and their check.

TRL's defaults are those for large models on GPUs. Set otherwise here: fp32 instead of bf16, nothing recomputed to save
memory, and a learning rate that stays, so that each number can be compared with ours.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from datasets import Dataset
from handover.data import comparisons, conversations
from peft import AutoPeftModelForCausalLM, LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import DPOConfig, DPOTrainer, GRPOConfig, GRPOTrainer, SFTConfig, SFTTrainer

ANSWERS = 8  # to each task in GRPO: a group


# -- the training --


def settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """What the configurations of all three trainers have in common."""
    return {
        "output_dir": str(arguments.out),
        "per_device_train_batch_size": arguments.rows // int(os.environ.get("WORLD_SIZE", "1")),
        "max_steps": arguments.steps,
        "learning_rate": arguments.learning_rate,
        "lr_scheduler_type": "constant",
        "bf16": False,
        "gradient_checkpointing": False,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "seed": arguments.seed,
        "use_cpu": arguments.cpu,
    }


def sft_trainer(model: Any, common: dict[str, Any], arguments: argparse.Namespace) -> SFTTrainer:
    """Next tokens, of the assistant's messages alone: the template marks them, as `render_chat` does in its mask."""
    data = conversations(arguments.data)
    own = {"assistant_only_loss": True} if "messages" in data.column_names else {"completion_only_loss": True}
    length = model.config.max_position_embeddings
    config = SFTConfig(**settings(arguments), max_length=length, **own)
    return SFTTrainer(model, args=config, train_dataset=data, **common)


def dpo_trainer(model: Any, common: dict[str, Any], arguments: argparse.Namespace) -> DPOTrainer:
    """The reference is the model as it is given, unless another one is named."""
    reference = None if arguments.reference is None else load(arguments.reference)
    config = DPOConfig(
        **settings(arguments), beta=arguments.beta, max_length=model.config.max_position_embeddings
    )
    return DPOTrainer(
        model, ref_model=reference, args=config, train_dataset=comparisons(arguments.data), **common
    )


def grpo_trainer(model: Any, common: dict[str, Any], arguments: argparse.Namespace) -> GRPOTrainer:
    """minillm's tasks and its check. `scale_rewards="none"` is our `scale=False`; TRL's spread is that of a sample,
    which is a little larger than ours."""
    from minillm.data.tasks import FAMILIES, GRPO_SEED, Tasks
    from minillm.evaluate import verifiable_families

    supply = Tasks("train", verifiable_families(FAMILIES))
    tasks = [supply.task(GRPO_SEED, number) for number in range(arguments.tasks)]
    rows = [{"prompt": task.prompt, "task": number} for number, task in enumerate(tasks)]
    config = GRPOConfig(
        **settings(arguments),
        num_generations=ANSWERS,
        max_completion_length=80,
        scale_rewards="none",
        beta=0.0,
    )
    return GRPOTrainer(
        model,
        reward_funcs=checked(tasks, common["processing_class"].eos_token_id, arguments.out),
        args=config,
        train_dataset=Dataset.from_list(rows),
        **common,
    )


def checked(tasks: list[Any], end_id: int, out: Path) -> Callable[..., list[float]]:
    """The reward: 1 for an answer that ended and is right. Each answer is also written down, to be read."""
    from minillm.data.judge import verify

    log = out / f"answers.{os.environ.get('RANK', '0')}.jsonl"

    def reward(
        prompts: list[Any], completions: list[Any], completion_ids: list[list[int]], **columns: Any
    ) -> list[float]:
        texts = [completion[-1]["content"].strip() for completion in completions]
        ended = [ids[-1] == end_id for ids in completion_ids]
        scores = [
            float(verify(tasks[number], text) and end)
            for number, text, end in zip(columns["task"], texts, ended, strict=True)
        ]
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a", encoding="utf-8") as file:
            for prompt, ids, score in zip(prompts, completion_ids, scores, strict=True):
                file.write(json.dumps({"prompt": prompt, "ids": ids, "reward": score}) + "\n")
        return scores

    return reward


# -- the program --


def load(folder: Path, *, adapter: bool = False) -> Any:
    """A model in an exported folder. An adapter comes with the model that it names, and can be trained further."""
    if (folder / "adapter_config.json").is_file():
        return AutoPeftModelForCausalLM.from_pretrained(folder, is_trainable=adapter)
    return AutoModelForCausalLM.from_pretrained(folder)


def lora(rank: int) -> LoraConfig:
    """As `minillm.model.lora.LoRAConfig`: on all linear layers of a block, what they add times 32 / rank."""
    return LoraConfig(r=rank, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")


def weights_held(model: Any) -> tuple[int, int]:
    """How many weights lie in this process, and how many the model has: FSDP and ZeRO-3 share them out."""
    held = whole = 0
    for weight in model.parameters():
        if hasattr(weight, "ds_tensor"):  # DeepSpeed's
            held, whole = held + weight.ds_tensor.numel(), whole + weight.ds_numel
        else:
            local = weight.to_local() if hasattr(weight, "to_local") else weight  # FSDP's
            held, whole = held + local.numel(), whole + weight.numel()
    return held, whole


def arguments_of(words: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("method", choices=TRAINERS)
    parser.add_argument("model", type=Path, help="a folder of `minillm export --to hf` or `--to peft`")
    parser.add_argument("out", type=Path, help="gets the model, its tokenizer and trainer_state.json")
    parser.add_argument("--data", type=Path, help="a .jsonl file: conversations for sft, comparisons for dpo")
    parser.add_argument("--tasks", type=int, default=64, help="for grpo: how many tasks are asked")
    parser.add_argument("--reference", type=Path, help="for dpo: another model to stay near to")
    parser.add_argument("--beta", type=float, default=0.1, help="for dpo: reward of a nat")
    parser.add_argument("--lora", type=int, metavar="RANK", help="train an adapter instead of all weights")
    parser.add_argument("--steps", type=int, default=100, help="of the optimizer")
    parser.add_argument("--rows", type=int, default=16, help="examples in a step, of all processes together")
    parser.add_argument("--learning-rate", type=float, default=1e-4, help="AdamW's, all the time")
    parser.add_argument(
        "--seed", type=int, default=0, help="decides the order, and the answers that are drawn"
    )
    parser.add_argument("--cpu", action="store_true", help="leave a GPU alone")
    arguments = parser.parse_args(words)
    if arguments.method != "grpo" and arguments.data is None:
        parser.error(f"{arguments.method} needs --data FILE")
    return arguments


TRAINERS = {"sft": sft_trainer, "dpo": dpo_trainer, "grpo": grpo_trainer}


def main() -> None:
    arguments = arguments_of()
    model, tokenizer = (
        load(arguments.model, adapter=True),
        AutoTokenizer.from_pretrained(arguments.model),
    )
    common: dict[str, Any] = {"processing_class": tokenizer}
    if arguments.lora is not None:
        common["peft_config"] = lora(arguments.lora)
    trainer = TRAINERS[arguments.method](model, common, arguments)
    trainer.train()
    print("this process holds {:,} of {:,} weights".format(*weights_held(trainer.model_wrapped)))
    trainer.save_model(str(arguments.out))  # the tokenizer too
    trainer.save_state()
    trainer.accelerator.end_training()  # several processes part in order


if __name__ == "__main__":
    main()
