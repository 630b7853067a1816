"""The living page: tokens a second in Node and in Chromium, and how long a reader waits after the first click.

    python benchmarks/bench_live.py [--site _build/html]

Speed: a model of the cpu preset's shape with random weights, in Node and in Chromium; the package beside it. All draw
at temperature 0.3 with top-p 0.95, as the chat does, after a prompt of 6 tokens, to the end of the context. Node and
the package are counted in core-seconds, so that other load on the machine does not matter; in Chromium in seconds.
The aim for the page is a figure of its own, 200 tokens a second.

Waiting: the built website, with the published models beside it, comes over a line of 4 MB/s without delay of its own.
Each widget of its pages is clicked in a browser that has nothing of it in its cache but the page itself; the time runs
until the first token is shown, and the bytes are counted that came since the click. The aim is 3 seconds.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from common import Row, row, save_results
from slow_site import Browser, SlowLine, find_program, slow_site

from minillm.model.gpt import GPT
from minillm.model.sampling import stream
from minillm.presets import PRESETS

AIM = 200  # tokens a second
PATIENCE = 3.0  # seconds from the click to the first token
SPEED = 4e6  # bytes a second
ROUNDS, VISITS = 7, 3
CONFIG = PRESETS["cpu"].base.model
PROMPT = [1, 2, 3, 4, 5, 6]
ROOT = Path(__file__).resolve().parent.parent
LIVE = ROOT / "book" / "_static" / "live"
RATE = """async (live, config, weights, clock) => {
  const { loadModel } = await import(`${live}/engine.js`);
  const { stream } = await import(`${live}/sampling.js`);
  const model = await loadModel(config, weights);
  const rates = [];
  for (let round = 0; round < ROUNDS; round++) {
    const begin = clock();
    const ids = [...stream(model, PROMPT, { maxNewTokens: 1e9, temperature: 0.3, topP: 0.95 })];
    rates.push(ids.length / (clock() - begin));
  }
  return rates.sort((a, b) => a - b)[Math.floor(rates.length / 2)];
}""".replace("PROMPT", json.dumps(PROMPT)).replace("ROUNDS", str(ROUNDS))
IN_NODE = f"""
import {{ readFileSync }} from "node:fs";
const [live, folder] = process.argv.slice(-2);
const weights = new Uint8Array(readFileSync(`${{folder}}/model.safetensors`)).buffer;
const clock = () => {{ const {{ user, system }} = process.cpuUsage(); return (user + system) / 1e6; }};
console.log(await ({RATE})(live, JSON.parse(readFileSync(`${{folder}}/config.json`)), weights, clock));
"""
IN_CHROMIUM = f"""(async () => {{
  const [config, weights] = await Promise.all(["config.json", "model.safetensors"].map((name) => fetch(`/${{name}}`)));
  return ({RATE})("/live", await config.json(), await weights.arrayBuffer(), () => performance.now() / 1000);
}})()"""
# What shows a widget's first token. It is asked by the button of an example, or by the one of its form.
FIRST_TOKEN = {
    "attention": ".tiles span",
    "chat": ".assistant .text",
    "lora": ".text",
    "next": ".bars button",
    "stages": ".answer .text",
    "tokens": ".tokens li",
    "vectors": "td.share",
}
BEGINS_WITH_FORM = ("attention", "next", "tokens", "vectors")
CLICK = """(async () => {
  const widget = [...document.querySelectorAll('.minillm-live')][PLACE];
  const begin = performance.now();
  widget.querySelector('BUTTON').click();
  const isThere = () => [...widget.querySelectorAll('SHOWN')].some((element) => element.textContent);
  while (!isThere()) await new Promise((done) => setTimeout(done, 2));
  return (performance.now() - begin) / 1000;
})()"""


def program_of(name: str, found: str | None) -> str:
    """A program that must be there."""
    if found is None:
        raise SystemExit(f"error: {name} is not installed")
    return found


def in_node(folder: Path) -> float:
    """Tokens a core-second, the median of some answers; the first ones find code that is not compiled yet."""
    node = program_of("Node", shutil.which("node"))
    command = [node, "--input-type=module", "-e", IN_NODE, LIVE.as_uri(), str(folder)]
    return float(subprocess.run(command, check=True, capture_output=True, encoding="utf-8").stdout)


def in_chromium(folder: Path, chromium: str) -> float:
    """Tokens a second, the same way."""
    shutil.copytree(LIVE, folder / "live")
    (folder / "page.html").write_text("<!doctype html><title>Speed</title>", encoding="utf-8")
    with slow_site(folder, chromium, float("inf")) as (browser, origin, _):
        browser.load(origin + "page.html", "light")
        return float(browser.evaluate(IN_CHROMIUM))


def in_python(model: GPT) -> float:
    """Tokens a core-second of the package."""
    rates = []
    for _ in range(ROUNDS):
        started = time.process_time()
        tokens = len(list(stream(model, PROMPT, CONFIG.context_length, temperature=0.3, top_p=0.95)))
        rates.append(tokens / (time.process_time() - started))
    return statistics.median(rates)


def speeds(chromium: str) -> list[Row]:
    """Tokens a second everywhere."""
    torch.set_num_threads(1)
    model = GPT(CONFIG).eval()
    with tempfile.TemporaryDirectory() as folder:
        saved = model.save_pretrained(folder)
        page, chrome = in_node(saved), in_chromium(saved, chromium)
    return [
        row("tokens/core-second, one answer: the page in Node / what is asked of it", page, AIM, aim=1.0),
        row("tokens/core-second, one answer: the page in Node / the package", page, in_python(model)),
        row("tokens/s, one answer: the page in Chromium / what is asked of it", chrome, AIM, aim=1.0),
    ]


def widgets_of(site: Path, program: str) -> list[tuple[str, int, str]]:
    """The widgets of all pages that ask for models: page, place on it, kind."""
    pages = sorted(path.relative_to(site).as_posix() for path in (site / "book").glob("*.html"))
    listed = "[...document.querySelectorAll('.minillm-live')].map((element) => element.dataset.widget)"
    with slow_site(site, program, float("inf")) as (browser, origin, _):
        found = []
        for page in pages:
            browser.load(origin + page, "light")
            kinds = enumerate(browser.evaluate(listed))
            found += [(page, place, kind) for place, kind in kinds if kind in FIRST_TOKEN]
    return found


def clicked(browser: Browser, line: SlowLine, url: str, place: int, kind: str) -> tuple[float, int]:
    """Seconds from the click to the first token, and the bytes that came meanwhile."""
    browser.call("Network.clearBrowserCache")
    browser.load(url, "light")
    button = "form button" if kind in BEGINS_WITH_FORM else ".prompts button"
    find = f"[...document.querySelectorAll('.minillm-live')][{place}].querySelector('{button}') !== null"
    while not browser.evaluate(find):
        time.sleep(0.05)
    before = line.sent
    click = CLICK.replace("PLACE", str(place)).replace("BUTTON", button)
    seconds = float(browser.evaluate(click.replace("SHOWN", FIRST_TOKEN[kind])))
    return seconds, line.sent - before


def waits(site: Path, program: str) -> Iterator[Row]:
    """How long a reader of the site waits, and for how much, at each widget."""
    for page, place, kind in widgets_of(site, program):
        with slow_site(site, program, SPEED) as (browser, origin, line):
            visits = [clicked(browser, line, origin + page, place, kind) for _ in range(VISITS)]
        seconds = statistics.median(seconds for seconds, _ in visits)
        megabytes = max(size for _, size in visits) / 1e6
        name = f"{Path(page).stem}, {kind}: seconds to the first token, {megabytes:.1f} MB at 4 MB/s / what is asked"
        yield row(name, seconds, PATIENCE, smaller_is_better=True, aim=1.0)


def main() -> None:
    """Measure all."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--site", type=Path, default=ROOT / "_build" / "html", help="the built website")
    site = parser.parse_args().site
    if not (site / "models" / "manifest.json").exists():
        parser.error(f"{site} is no website with models; `make course` makes one in _build/html")
    chromium = program_of("Chromium", find_program())
    save_results("live", [*speeds(chromium), *waits(site, chromium)], ("torch",))


if __name__ == "__main__":
    main()
