"""Which parts the trial has, and how the time is shared among them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["PARTS", "Part", "choose_parts", "limit"]

LEAST_SECONDS = 20.0  # of a part: on a cold disk importing torch alone takes half of that


@dataclass(frozen=True)
class Part:
    """A part of the trial."""

    name: str
    letter: str  # by which it can be asked for as well, perhaps with others
    seconds: float  # its share of eight minutes; what it leaves goes to those after it
    what: str  # one line for people
    package: str = "trial."  # of its module

    @property
    def module(self) -> str:
        """The module whose `run` does it."""
        return self.package + self.name


PARTS = (
    Part("machine", "", 15, "what is here"),
    Part("equality", "a", 45, "CPU and device agree in fp32; bf16 and fp16 train; a killed run goes on"),
    Part("gpu_tests", "a", 45, "the tests marked gpu"),
    Part("speed", "b", 140, "training speed of the 124 M shape beside transformers and a plain module"),
    Part("slice", "e", 80, "a slice of preset gpu: its base stage on local text"),
    Part("colab", "d", 60, "a few steps of every stage of preset colab, and the time of all"),
    Part("generation", "f", 35, "generation at batch 1 and 64 beside transformers"),
    Part("graph", "c", 60, "the whole graph of preset cpu"),
)
"""In the order in which they run. `slice` comes after `speed`, which has compiled the same loss before; `graph`, which
takes as long as the machine's launches and its CPU need, comes last and has what is left."""


def choose_parts(wanted: str | None) -> list[Part]:
    """The parts of a list like "a,speed" by letter or name, in their order; None: all. `machine` is always there.

    Raises:
        ValueError: a part that there is not.
    """
    if wanted is None:
        return list(PARTS)
    asked = {word.strip() for word in wanted.split(",") if word.strip()}
    known = {part.name for part in PARTS} | {part.letter for part in PARTS if part.letter}
    if not asked or not asked <= known:
        unknown = ", ".join(sorted(asked - known)) or repr(wanted)
        choices = ", ".join(f"{part.letter} {part.name}".strip() for part in PARTS)
        raise ValueError(f"--parts {unknown} is unknown; choose some of: {choices}")
    return [part for part in PARTS if not part.letter or asked & {part.name, part.letter}]


def limit(parts: Sequence[Part], left: float) -> float:
    """Seconds that the first of the parts that are still to come may take, of those that are left for all."""
    share = parts[0].seconds / sum(part.seconds for part in parts)
    return min(left, max(LEAST_SECONDS, left * share))
