"""LLaMA-Factory with minillm's chat format: registers it under the name `minillm`, then trains as a file says.

    python benchmarks/handover/llamafactory_train.py benchmarks/handover/llamafactory_sft.yaml

A template must be named. Left to itself, LLaMA-Factory guesses one from that of the tokenizer, and puts the mark that
begins a conversation before every message of the user.
"""

from llamafactory.data.formatter import EmptyFormatter, StringFormatter
from llamafactory.data.template import register_template


def register() -> None:
    """The format of `minillm.text.chat`; the loss is taken on the slot of the assistant, its end mark included."""
    register_template(
        name="minillm",
        format_prefix=EmptyFormatter(slots=["<|endoftext|>"]),
        format_system=StringFormatter(slots=[" {{content}}<|end|>"]),
        format_user=StringFormatter(slots=["<|user|> {{content}}<|end|><|assistant|>"]),
        format_assistant=StringFormatter(slots=[" {{content}}<|end|>"]),
        stop_words=["<|end|>"],
    )


if __name__ == "__main__":
    from llamafactory.train.tuner import run_exp

    register()
    run_exp()
