"""The model card of an exported folder: what a hub reads from its head, and how the model is loaded."""

from __future__ import annotations

import json

from minillm.artifact import Artifact, model_card

__all__ = ["export_card"]

_FOLDER = 'folder = "."  # of this model card\n'

_LOAD = """from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder)
"""

_ANSWER = """messages = [{"role": "user", "content": "Who are you?"}]
inputs = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt", return_dict=True)
output = model.generate(**inputs)
print(tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True).strip())
"""

_CONTINUE = """inputs = tokenizer("<|endoftext|>One morning", return_tensors="pt")
print(tokenizer.decode(model.generate(**inputs)[0], skip_special_tokens=True))
"""

_SCORE = """import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForSequenceClassification.from_pretrained(folder)
messages = [{"role": "user", "content": "Who are you?"}, {"role": "assistant", "content": "A small assistant."}]
inputs = tokenizer.apply_chat_template(messages, return_tensors="pt", return_dict=True)
with torch.no_grad():
    print(model(**inputs).logits[0, 0])
"""

_ADAPT = """from peft import AutoPeftModelForCausalLM
from transformers import AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoPeftModelForCausalLM.from_pretrained(folder)
"""

_ADAPT_OWN_BASE = """from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(folder)
base = AutoModelForCausalLM.from_pretrained(f"{folder}/base")
model = PeftModel.from_pretrained(base, folder)
"""

_GRAPH = """import json
from pathlib import Path

import numpy as np
import onnxruntime
from transformers import AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(folder)
session = onnxruntime.InferenceSession(Path(folder) / "model.onnx")
config = json.loads((Path(folder) / "config.json").read_text(encoding="utf-8"))
shape = (1, config["num_key_value_heads"], 0, config["head_dim"])  # of the keys of no tokens
past = [item.name for item in session.get_inputs() if item.name.startswith("past_key_values")]
ids = np.array([tokenizer("<|endoftext|>One morning")["input_ids"]])
feed = {"input_ids": ids, "attention_mask": np.ones_like(ids)} | {name: np.zeros(shape, np.float32) for name in past}
logits, *present = session.run(None, feed)
print(tokenizer.decode(logits[0, -1].argmax()))  # the likeliest next token; present is the next past
"""

_CODE = {
    "chat": _FOLDER + _LOAD + _ANSWER,
    "text": _FOLDER + _LOAD + _CONTINUE,
    "score": _FOLDER + _SCORE,
    "peft": _FOLDER + _ADAPT + _ANSWER,
    "peft with its base": _FOLDER + _ADAPT_OWN_BASE + _ANSWER,
    "onnx": _FOLDER + _GRAPH,
}
_SCORE_NOTE = """
Only differences between scores of the same prompt mean something. minillm's own `RewardModel` subtracts the
constant `mean` that lies among the weights, and transformers does not; it tells that it leaves that name out."""


def export_card(artifact: Artifact, to: str, *, base: str | None = None, own_base: bool = False) -> str:
    """The README.md of an exported stage.

    Args:
        artifact: the stage.
        to: the format.
        base: for an adapter, the name or folder of its model.
        own_base: that model lies in the folder `base` beside the card.
    """
    kind = "peft with its base" if own_base else to
    if to == "hf":
        kind = "chat" if artifact.answers else "text" if artifact.writes else "score"
    head = {
        "library_name": {"hf": "transformers"}.get(to, to),
        "pipeline_tag": "text-classification" if kind == "score" else "text-generation",
        **({} if base is None else {"base_model": base}),
        "tags": ["minillm", artifact.stage],
    }
    yaml = "".join(f"{name}: {json.dumps(value)}\n" for name, value in head.items())  # JSON is YAML
    use = f"```python\n{_CODE[kind]}```{_SCORE_NOTE if kind == 'score' else ''}"
    summary = artifact.summary
    card = model_card(artifact.stage, summary["settings"], artifact.figures, use, summary.get("labels"))
    return f"---\n{yaml}---\n\n{card}"
