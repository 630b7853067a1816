"""Exported folder -> GGUF, by llama.cpp's converter; for a checkout of llama.cpp, beside its convert_hf_to_gguf.py.

The converter recognises a tokenizer by what it makes of a test text, from a list of published models, in which yours is
not. What it wants to know is the rule that splits a text before the merges. minillm's is GPT-4's; llama.cpp calls it
`dbrx`.

    python to_gguf.py assistant --outfile assistant.gguf --outtype f32
"""

import convert_hf_to_gguf
from conversion.base import TextModel

TextModel.get_vocab_base_pre = lambda self, tokenizer: "dbrx"
convert_hf_to_gguf.main()
