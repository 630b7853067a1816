# ruff: noqa: C408  # as the configurations of its makers are written
"""XTuner 0.2: fine-tunes the exported assistant in the folder `assistant` on conversations.jsonl.

    xtuner train benchmarks/handover/xtuner_sft.py

Two things are minillm's own. XTuner's map functions drop no space and add none, so `with_spaces` writes the one that
stands before each message; and the template has our marks. `SUFFIX_AS_EOS` says that `<|end|>` ends an answer.
"""

from typing import Any

from datasets import load_dataset
from mmengine.config import ConfigDict
from mmengine.dataset import DefaultSampler
from mmengine.hooks import CheckpointHook, LoggerHook
from mmengine.optim import OptimWrapper
from torch.optim import AdamW
from transformers import AutoModelForCausalLM, AutoTokenizer
from xtuner.dataset import process_hf_dataset
from xtuner.dataset.collate_fns import default_collate_fn
from xtuner.dataset.map_fns import openai_map_fn, template_map_fn_factory
from xtuner.engine.runner import TrainLoop
from xtuner.model import SupervisedFinetune

folder, data_files, context_length = "assistant", ["conversations.jsonl"], 160


def with_spaces(example: dict[str, Any]) -> dict[str, Any]:
    """A row with `messages` as XTuner's turns; a space stands before what the assistant says."""
    turns = openai_map_fn(example)["conversation"]
    return {"conversation": [{**turn, "output": " " + turn["output"]} for turn in turns]}


prompt_template = ConfigDict(
    SYSTEM=" {system}<|end|>",
    INSTRUCTION="<|user|> {input}<|end|><|assistant|>",
    SUFFIX="<|end|>",
    SUFFIX_AS_EOS=True,
    SEP="",
    STOP_WORDS=["<|end|>"],
)
tokenizer = dict(
    type=AutoTokenizer.from_pretrained, pretrained_model_name_or_path=folder, padding_side="right"
)
model = dict(
    type=SupervisedFinetune,
    llm=dict(type=AutoModelForCausalLM.from_pretrained, pretrained_model_name_or_path=folder),
)
train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    sampler=dict(type=DefaultSampler, shuffle=True),
    collate_fn=dict(type=default_collate_fn),
    dataset=dict(
        type=process_hf_dataset,
        dataset=dict(type=load_dataset, path="json", data_files=data_files),
        tokenizer=tokenizer,
        max_length=context_length,
        dataset_map_fn=with_spaces,
        template_map_fn=dict(type=template_map_fn_factory, template=prompt_template),
        remove_unused_columns=True,
        pack_to_max_length=False,
    ),
)
optim_wrapper = dict(
    type=OptimWrapper,
    optimizer=dict(type=AdamW, lr=1e-4, weight_decay=0.0),
    clip_grad=dict(max_norm=1.0),
)
train_cfg = dict(type=TrainLoop, max_epochs=2)
default_hooks = dict(
    logger=dict(type=LoggerHook, interval=1, log_metric_by_epoch=False),
    checkpoint=dict(type=CheckpointHook, interval=1),
)
