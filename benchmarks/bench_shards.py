"""Tokenizing a large file into shards: speed, peak memory, and whether the number of workers changes anything.

    python benchmarks/bench_shards.py TEXT_FILE [--gigabytes 1] [--workers 1 2]

The text is repeated until the file has the size, and read as `--corpus` reads it. Each run is a process of its own, so
that its peak is its own; the tokenizer has 2,048 tokens and is trained on the beginning of the text.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from common import machine, versions

from minillm.files import sha256_file, write_json
from minillm.text.tokenizer import Tokenizer

RESULTS = Path(__file__).parent / "results" / "shards.json"
RUN = """
import json, resource, sys, time
from minillm.data.corpora import open_corpus
from minillm.data.shards import open_shards, write_shards
from minillm.text.tokenizer import Tokenizer

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # MB, on Linux

tokenizer, source, folder, workers = Tokenizer.load(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
before = peak()
corpus = open_corpus(source)
corpus.check()
started, core = time.perf_counter(), time.process_time()
write_shards(corpus.documents("train"), tokenizer, folder, workers=workers)
seconds, core_seconds = time.perf_counter() - started, time.process_time() - core
written = peak()
documents = open_shards(folder, tokenizer.end_of_text_id)
print(json.dumps({"imports_mb": before, "peak_mb": written, "peak_open_mb": peak(), "seconds": seconds,
                  "core_seconds": core_seconds, "tokens": len(documents.flat), "documents": len(documents)}))
"""


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("text", type=Path)
    parser.add_argument("--gigabytes", type=float, default=1.0)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    options = parser.parse_args()
    text = options.text.read_bytes()
    rows, digests = [], set()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        Tokenizer.train([text.decode()[:2_000_000]], 2048).save(folder)
        size = 0
        with open(folder / "large.txt", "wb") as file:
            while size < options.gigabytes * 1e9:
                size += file.write(text)
        for workers in options.workers:
            out = folder / f"by-{workers}"
            run = [sys.executable, "-c", RUN, str(folder), str(folder / "large.txt"), str(out), str(workers)]
            found = json.loads(subprocess.run(run, check=True, capture_output=True, encoding="utf-8").stdout)
            found = {key: round(value, 1) for key, value in found.items()}
            found |= {"workers": workers, "mb_per_second": round(size / 1e6 / found["seconds"], 2)}
            found |= {"mb_per_core_second": round(size / 1e6 / found["core_seconds"], 2)}
            digests.add(tuple(sorted((path.name, sha256_file(path)) for path in out.iterdir())))
            rows.append(found)
            print(found, flush=True)
    print(f"{size / 1e6:.0f} MB; identical files: {'yes' if len(digests) == 1 else 'NO'}")
    write_json(
        RESULTS,
        {
            "machine": machine(),
            "versions": versions("minillm-course", "tiktoken", "numpy"),
            "megabytes": round(size / 1e6),
            "identical_files": len(digests) == 1,
            "rows": rows,
        },
    )
    sys.exit(len(digests) != 1)


if __name__ == "__main__":
    main()
