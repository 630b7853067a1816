"""Draw the README's picture of the website: the introduction, a figure in the dark theme, a phone.

python tools/site_picture.py _build/html book/_static/site.png
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

from browser import find_program, open_site
from PIL import Image

# Page, view, and the element that is brought to the middle of the window (empty: the top of the page).
TILES = (
    ("book/intro.html", "light", ""),
    ("book/01_token.html", "dark", "#fig-01-gpt4 img"),
    ("book/01_token.html", "phone", ""),
)
# Resolves when formulas, fonts and pictures have their final sizes.
READY = """(async () => {
  if (window.MathJax && MathJax.startup) await MathJax.startup.promise;
  await Promise.all([...document.images].map(image => image.decode().catch(() => null)));
  await document.fonts.ready;
})()"""
HEIGHT = 620  # pixels of the picture
GAP = 12  # pixels between tiles
COLORS = 256  # of the palette, to keep the file small


def tiles(site: Path, program: str) -> list[Image.Image]:
    """Screenshots of the tiles, scaled to one height."""
    shots = []
    with open_site(site, program) as (browser, origin):
        for page, view, selector in TILES:
            browser.load(origin + page, view)
            browser.evaluate(READY)
            if selector:
                options = "{block: 'center', behavior: 'instant'}"
                browser.evaluate(f"document.querySelector('{selector}').scrollIntoView({options})")
            shot = Image.open(io.BytesIO(browser.picture())).convert("RGB")
            size = (round(shot.width * HEIGHT / shot.height), HEIGHT)
            shots.append(shot.resize(size, Image.Resampling.LANCZOS))
    return shots


def main(site: Path, target: Path) -> int:
    """Write the picture; returns the exit status."""
    program = find_program()
    if not program:
        print("error: no Chromium found", file=sys.stderr)
        return 2
    shots = tiles(site, program)
    width = sum(shot.width for shot in shots) + GAP * (len(shots) - 1)
    picture = Image.new("RGB", (width, HEIGHT), "#8a97a3")
    x = 0
    for shot in shots:
        picture.paste(shot, (x, 0))
        x += shot.width + GAP
    picture.quantize(COLORS, Image.Quantize.MAXCOVERAGE).save(target, optimize=True)
    print(f"{target}: {width} x {HEIGHT} pixels, {target.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
