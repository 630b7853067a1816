"""Open every page of the built website in headless Chromium and list what a reader would stumble over.

    python tools/site_check.py _build/html [--pictures FOLDER]

For each page, in light, dark and phone width: console errors, uncaught exceptions, failed requests, requests
to other hosts, pages wider than the window, formulas that MathJax could not set, pages without a content security
policy (what a policy refuses is a console error), and, where axe-core is installed, what it calls a serious or critical
barrier. --pictures keeps pictures.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from axe import AXE, NO_AXE, barriers
from browser import VIEWS, Browser, find_program, open_site

MAX_PICTURE = 8000  # pixels; a longer page is cut in its picture
# The rendered page: its true width, the window's, the number of formulas that failed, its height, and its policies.
MEASURE = """(async () => {
  if (window.MathJax && MathJax.startup) await MathJax.startup.promise;
  await document.fonts.ready;
  return [document.documentElement.scrollWidth, window.innerWidth,
          document.querySelectorAll('mjx-merror').length, document.documentElement.scrollHeight,
          document.querySelectorAll('meta[http-equiv=Content-Security-Policy]').length];
})()"""


def event_problem(event: dict[str, Any], origin: str) -> str | None:
    """What an event says about the page, if it is a complaint."""
    method, params = event["method"], event["params"]
    if method == "Runtime.exceptionThrown":
        details = params["exceptionDetails"]
        return "uncaught: " + details.get("exception", {}).get("description", details["text"]).split("\n")[0]
    if method == "Runtime.consoleAPICalled" and params["type"] in ("error", "assert"):
        return "console error: " + " ".join(str(a.get("value", a.get("description"))) for a in params["args"])
    if method == "Log.entryAdded" and params["entry"]["level"] == "error":
        return f"console error: {params['entry']['text']} {params['entry'].get('url', '')}"
    if method == "Network.requestWillBeSent":
        url = params["request"]["url"]
        if not url.startswith((origin, "data:", "blob:")):
            return f"asks another host: {url}"
    return None


def visit(browser: Browser, url: str, origin: str, view: str, picture: Path | None) -> set[str]:
    """Load a page in one view and return its problems."""
    browser.load(url, view)
    page_width, window_width, bad_formulas, page_height, policies = browser.evaluate(MEASURE)
    problems = {problem for event in browser.events if (problem := event_problem(event, origin))}
    if page_width > window_width:
        problems.add(f"is {page_width} pixels wide in a window of {window_width}")
    if bad_formulas:
        problems.add(f"has {bad_formulas} formulas that MathJax could not set")
    if not policies:
        problems.add("has no content security policy")
    if AXE.exists():
        problems.update(barriers(browser))
    if picture:
        browser.resize(view, min(page_height, MAX_PICTURE))
        picture.write_bytes(browser.picture())
    return {f"{view}: {problem}" for problem in problems}


def site_problems(site: Path, program: str, pictures: Path | None = None) -> tuple[int, list[str]]:
    """Visit every page in every view; returns (pages, problems)."""
    paths = (path.relative_to(site) for path in site.rglob("*.html"))
    # index.html only leads to the introduction.
    pages = sorted(p.as_posix() for p in paths if "_static" not in p.parts and p.name != "index.html")
    problems = []
    if pictures:
        pictures.mkdir(parents=True, exist_ok=True)
    with open_site(site, program) as (browser, origin):
        for view in VIEWS:
            for page in pages:
                picture = pictures / f"{Path(page).stem}-{view}.png" if pictures else None
                found = visit(browser, origin + page, origin, view, picture)
                problems += [f"{page}: {problem}" for problem in sorted(found)]
    return len(pages), problems


def main() -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("site", type=Path)
    parser.add_argument("--pictures", type=Path)
    options = parser.parse_args()
    program = find_program()
    if not program:
        print("notice: no Chromium found; the pages were not opened")
        return 0
    pages, problems = site_problems(options.site, program, options.pictures)
    print(*problems, sep="\n", end="\n" if problems else "")
    without = "" if AXE.exists() else f"; {NO_AXE}"
    print(f"site: {pages} pages opened in {len(VIEWS)} views, {len(problems)} problems{without}")
    return 1 if problems or not pages else 0


if __name__ == "__main__":
    sys.exit(main())
