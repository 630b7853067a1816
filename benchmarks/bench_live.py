"""The engine of the page in Node beside the package: tokens a second of one answer, on one core.

    python benchmarks/bench_live.py

The model has the cpu preset's shape and random weights; both draw at temperature 0.3 with top-p 0.95, as the chat does,
after a prompt of 6 tokens, to the end of the context. Both are counted in core-seconds, so that other load on the
machine does not matter. The aim for the page is a figure of its own, 200 tokens a second: the first row.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import torch
from common import row, save_results

from minillm.model.gpt import GPT
from minillm.model.sampling import stream
from minillm.presets import PRESETS

AIM = 200  # tokens a second
ROUNDS = 7
CONFIG = PRESETS["cpu"].base.model
PROMPT = [1, 2, 3, 4, 5, 6]
LIVE = Path(__file__).resolve().parent.parent / "book" / "_static" / "live"
SCRIPT = """
import { readFileSync } from "node:fs";
const [live, folder, rounds] = process.argv.slice(-3);
const { loadModel } = await import(`${live}/engine.js`);
const { stream } = await import(`${live}/sampling.js`);
const weights = new Uint8Array(readFileSync(`${folder}/model.safetensors`)).buffer;
const model = await loadModel(JSON.parse(readFileSync(`${folder}/config.json`)), weights);
const rates = [];
for (let round = 0; round < Number(rounds); round++) {
  const { user, system } = process.cpuUsage();
  const ids = [...stream(model, PROMPT, { maxNewTokens: 1e9, temperature: 0.3, topP: 0.95 })];
  const spent = process.cpuUsage({ user, system });
  rates.push(ids.length / ((spent.user + spent.system) / 1e6));
}
console.log(JSON.stringify(rates.sort((a, b) => a - b)[Math.floor(rates.length / 2)]));
"""


def in_node(folder: Path) -> float:
    """Tokens a core-second, the median of some answers; the first ones find code that is not compiled yet."""
    program = shutil.which("node")
    if program is None:
        raise SystemExit("error: Node is not installed")
    script = SCRIPT.replace("PROMPT", json.dumps(PROMPT))
    command = [program, "--input-type=module", "-e", script, LIVE.as_uri(), str(folder), str(ROUNDS)]
    return float(
        json.loads(subprocess.run(command, check=True, capture_output=True, encoding="utf-8").stdout)
    )


def in_python(model: GPT) -> float:
    """The same for the package."""
    rates = []
    for _ in range(ROUNDS):
        started = time.process_time()
        tokens = len(list(stream(model, PROMPT, CONFIG.context_length, temperature=0.3, top_p=0.95)))
        rates.append(tokens / (time.process_time() - started))
    return sorted(rates)[ROUNDS // 2]


def main() -> None:
    """Measure both."""
    torch.set_num_threads(1)
    model = GPT(CONFIG).eval()
    with tempfile.TemporaryDirectory() as folder:
        page = in_node(model.save_pretrained(folder))
    rows = [
        row("tokens/core-second, one answer: the page in Node / what is asked of it", page, AIM, aim=1.0),
        row("tokens/core-second, one answer: the page in Node / the package", page, in_python(model)),
    ]
    save_results("live", rows, ("torch",))


if __name__ == "__main__":
    main()
