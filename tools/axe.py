"""Barriers for readers who hear a page or cannot tell its colours apart, as axe-core finds them in a browser."""

from __future__ import annotations

import json
from pathlib import Path

from browser import Browser

__all__ = ["AXE", "NO_AXE", "barriers"]

AXE = Path(__file__).resolve().parent.parent / "node_modules" / "axe-core" / "axe.min.js"
NO_AXE = "axe-core is not there, so accessibility is not tested; `npm install --no-save axe-core` brings it"
# Colours that are still changing are not judged.
SERIOUS = """Promise.allSettled(
    document.getAnimations().filter(change => change instanceof CSSTransition).map(change => change.finished))
    .then(() => axe.run(PART, { resultTypes: ['violations'] })).then(({ violations }) => violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .map(({ id, help, nodes }) =>
        `barrier ${id}: ${help}: ${nodes.map(node => node.html.slice(0, 120)).join(' | ')}`))"""


def barriers(browser: Browser, part: str = "html") -> list[str]:
    """What axe-core calls serious or critical in a part of the open page, as it stands now."""
    browser.evaluate(AXE.read_text(encoding="utf-8"))
    found: list[str] = browser.evaluate(SERIOUS.replace("PART", json.dumps(part)))
    return found
