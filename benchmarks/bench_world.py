"""The quality of the micro-world's language, in figures and in 20 documents to read.

python benchmarks/bench_world.py [documents]
"""

from __future__ import annotations

import re
import sys
import time
from collections import Counter

from common import machine, versions

from minillm.data.world import TEST_SEED, World
from minillm.files import write_json
from minillm.text.tokenizer import Tokenizer

WORDS = re.compile(r"[A-Za-z'-]+")
SENTENCES = re.compile(r"(?<=[.!?])\s|\n")
VOCAB_SIZE = 2048


def measure(n: int) -> dict[str, float]:
    """Figures of the first `n` training documents."""
    started = time.process_time()
    documents = list(World().documents(n))
    seconds = time.process_time() - started
    texts = [document.text for document in documents]
    sentences = Counter(sentence for text in texts for sentence in SENTENCES.split(text))
    tokenizer = Tokenizer.train(texts, VOCAB_SIZE)
    tokens = sum(len(ids) + 1 for ids in tokenizer.encode_batch(texts))
    nats = -sum(document.log_prob for document in documents)
    most_frequent, times = sentences.most_common(1)[0]
    return {
        "documents": n,
        "distinct documents": len(set(texts)),
        "word types": len({word.lower() for text in texts for word in WORDS.findall(text)}),
        "share of the most frequent sentence": times / sentences.total(),
        "most frequent sentence": most_frequent,
        f"tokens per document, vocabulary {VOCAB_SIZE}": tokens / n,
        "entropy, nats per document": nats / n,
        "entropy, nats per token": nats / tokens,
        "documents per core-second": n / seconds,
    }


if __name__ == "__main__":
    figures = measure(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
    for name, value in figures.items():
        print(f"{name:45} {value:.4f}" if isinstance(value, float) else f"{name:45} {value}")
    write_json(
        "benchmarks/results/world.json", {"machine": machine(), "versions": versions(), "figures": figures}
    )
    for document in World().documents(20, TEST_SEED):
        print(f"\n-- {document.kind}\n{document.text}")
