"""Draw the book's cover, logo and icon: a grid of weights that turns from noise into something that answers.

    python tools/cover.py book/_static

Writes cover-light.svg, cover-dark.svg, logo.svg and favicon.svg; the same bytes on every machine.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

SIZE = 13  # cells along one side of a grid
PITCH = 16  # pixels from cell to cell
TOP = 24  # pixels above the grids
PANEL = SIZE * PITCH
GAP = 118  # pixels between two grids
LEFT = 40
WIDTH = 2 * LEFT + 4 * PANEL + 3 * GAP
HEIGHT = 380
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif"

# One character a cell: "." is paper, "#" the stage's colour, "o" the accent.
LINES = """
.............
.####.######.
.............
.##.######...
.............
.#####.###...
.............
.###.#######.
.............
.######.##...
.............
.##.####.o...
.............
"""
BUBBLE = """
.............
.###########.
#...........#
#...........#
#.##.#####..#
#...........#
#.#####.###.#
#...........#
#...........#
.###..######.
...#.#.......
...##........
...#.........
"""
JUDGED = """
.............
.###########.
#############
##########o##
#########oo##
########oo###
##o####oo####
##oo##oo#####
###oooo######
.###oo######.
...###.......
...##........
...#.........
"""
STAGES = (
    ("Blank slate", "random numbers", None, 1.0),
    ("Base model", "knowledge", LINES, 0.18),
    ("SFT model", "skills", BUBBLE, 0.07),
    ("RL policy", "judgement", JUDGED, 0.0),
)
STEPS = (
    ("pretraining", "predict the", "next token"),
    ("fine-tuning", "imitate good", "answers"),
    ("reward + PPO", "prefer better", "answers"),
)
THEMES = {
    "light": {
        "ink": "#1f2933",
        "soft": "#5b6875",
        "paper": "#e3e8ee",
        "main": "#1f6f8b",
        "accent": "#e07a3f",
    },
    "dark": {"ink": "#eef2f6", "soft": "#a9b6c2", "paper": "#2b3640", "main": "#5fb3ce", "accent": "#f29a63"},
}


def text(x: float, y: float, words: str, size: int, color: str, weight: int = 400) -> str:
    """A centred line of text."""
    return (
        f'<text x="{x:g}" y="{y:g}" font-size="{size}" font-weight="{weight}" fill="{color}" '
        f'text-anchor="middle">{words}</text>'
    )


def square(x: float, y: float, side: float, color: str, opacity: float) -> str:
    """One weight of a grid."""
    return (
        f'<rect x="{x:g}" y="{y:g}" width="{side:g}" height="{side:g}" rx="2.5" fill="{color}" '
        f'fill-opacity="{opacity:.2f}"/>'
    )


def grid(
    x: float, y: float, pattern: str | None, noise: float, theme: dict[str, str], rng: random.Random
) -> list[str]:
    """A grid of weights: the pattern where there is one, mixed with a share of noise cells."""
    rows = pattern.split() if pattern else ["." * SIZE] * SIZE
    marks = []
    for i, row in enumerate(rows):
        for j, character in enumerate(row):
            color = {".": "paper", "#": "main", "o": "accent"}[character]
            opacity = 1.0
            if rng.random() < noise:
                color, opacity = rng.choice(["main", "main", "accent"]), rng.uniform(0.1, 0.9)
            marks.append(square(x + j * PITCH, y + i * PITCH, PITCH - 3, theme[color], opacity))
    return marks


def arrow(x: float, words: tuple[str, str, str], theme: dict[str, str]) -> list[str]:
    """An arrow between two grids, with the name of the step above it and what it does below."""
    y, end = TOP + PANEL / 2, x + GAP - 14
    return [
        f'<path d="M{x + 8:g} {y:g}H{end:g}m-9 -7l9 7l-9 7" fill="none" '
        f'stroke="{theme["accent"]}" stroke-width="3" '
        'stroke-linecap="round" stroke-linejoin="round"/>',
        text(x + GAP / 2 - 2, y - 18, words[0], 14, theme["ink"], 600),
        text(x + GAP / 2 - 2, y + 28, words[1], 13, theme["soft"]),
        text(x + GAP / 2 - 2, y + 46, words[2], 13, theme["soft"]),
    ]


def cover(theme: dict[str, str]) -> str:
    """The four stages side by side."""
    rng = random.Random(20)
    marks = []
    for number, (name, gain, pattern, noise) in enumerate(STAGES):
        x = LEFT + number * (PANEL + GAP)
        marks += grid(x, TOP, pattern, noise, theme, rng)
        marks.append(text(x + PANEL / 2 - 2, TOP + PANEL + 40, name, 22, theme["ink"], 600))
        marks.append(text(x + PANEL / 2 - 2, TOP + PANEL + 68, gain, 18, theme["soft"]))
        if number < len(STEPS):
            marks += arrow(x + PANEL, STEPS[number], theme)
    note = (
        "the same weights all the way: they learn the language, then to answer, then which answer is better"
    )
    marks.append(text(WIDTH / 2, HEIGHT - 28, note, 16, theme["soft"]))
    return svg(
        WIDTH, HEIGHT, marks, "From blank slate to assistant: four grids of weights, from noise to an answer"
    )


def svg(width: float, height: float, marks: list[str], title: str) -> str:
    """Wrap marks into a file."""
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
        f'height="{height:g}" role="img" font-family="{FONT}">'
    )
    return "\n".join([head, f"<title>{title}</title>", *marks, "</svg>"]) + "\n"


def small_bubble(side: float) -> list[str]:
    """A speech bubble of few squares, for logo and icon; its colours are readable on light and on dark."""
    rows = [".#####.", "#######", "##o#o##", "#######", ".#####.", ".##....", ".#....."]
    pitch = side / len(rows)
    colors = {"#": "#2f8fae", "o": "#f2a065"}
    return [
        square(j * pitch, i * pitch, pitch * 0.86, colors[character], 1.0)
        for i, row in enumerate(rows)
        for j, character in enumerate(row)
        if character != "."
    ]


def drawings() -> dict[str, str]:
    """File name -> content of everything this module draws."""
    word = '<text x="82" y="47" font-size="44" font-weight="700" fill="#2f8fae">minillm</text>'
    return {
        "cover-light.svg": cover(THEMES["light"]),
        "cover-dark.svg": cover(THEMES["dark"]),
        "logo.svg": svg(290, 66, [*small_bubble(64), word], "minillm"),
        "favicon.svg": svg(64, 64, small_bubble(64), "minillm"),
    }


if __name__ == "__main__":
    for name, content in drawings().items():
        (Path(sys.argv[1]) / name).write_text(content, encoding="utf-8", newline="\n")
