"""Draws, templates and scenes: the machinery with which the micro-world writes its documents.

A document is made by a sequence of *draws*, each from a small finite set. The probability of the document's
derivation is the product of the probabilities of its draws, so a :class:`Draws` object adds up one logarithm per
draw, and nothing is estimated. A draw is made only at the moment its result enters the text ("lazily"): a draw that
the text does not show would make the entropy floor too high.

Templates are ordinary sentences with two kinds of marks:

`[sun|rain|fog]`
    one of the alternatives, all equally likely; an alternative may be empty and may contain further marks.
`{hero}`, `{thing.a}`, `{hero.pet.name}`
    a slot of the scene, drawn when it is first mentioned and the same ever after, followed by attributes of what
    was drawn.

A template may end in `//` and facts, as in `{hero} gave the {thing} to {friend}. // has friend thing`: what the
sentence makes true, with the slots' values in the slots' places.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple, TypeAlias, TypeVar

__all__ = ["Draws", "Fact", "RandomDraws", "Scene", "ScriptedDraws", "Word", "enumerate_derivations"]

Option = TypeVar("Option")

_MASK64 = (1 << 64) - 1
_SENTENCE_START = re.compile(r'((?:^|[.!?] |\n)"?)([a-z])')


class Word(str):
    """A word of the world that knows its article."""

    __slots__ = ()

    @property
    def a(self) -> str:
        """The word with its indefinite article, as in "a kite" or "an umbrella"."""
        return f"{'an' if self[0] in 'aeiou' else 'a'} {self}"


class Fact(NamedTuple):
    """Something that a document makes true of its world, such as `Fact("has", "Ada", "kite")`."""

    relation: str
    subject: str
    object: str


class Draws:
    """A source of draws that adds up the log-probability of everything drawn from it.

    Attributes:
        log_prob: natural logarithm of the probability of all draws so far, in nats (0 before the first draw).
    """

    def __init__(self) -> None:
        self.log_prob = 0.0

    def _below(self, n: int) -> int:
        raise NotImplementedError

    def choose(self, options: Sequence[Option]) -> Option:
        """Return one of `options`, each with probability 1 / len(options)."""
        if len(options) == 1:
            return options[0]
        self.log_prob -= math.log(len(options))
        return options[self._below(len(options))]

    def weighted(self, weights: Mapping[str, int]) -> str:
        """Return one of the keys of `weights`, with a probability proportional to its whole-number weight."""
        total = sum(weights.values())
        ticket = self._below(total)
        for name, weight in weights.items():
            ticket -= weight
            if ticket < 0:
                self.log_prob += math.log(weight / total)
                return name
        raise AssertionError("the weights do not add up")


class RandomDraws(Draws):
    """Draws that are a pure function of a seed and an index, equal on every machine and Python version.

    The generator is SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA
    2014): whole-number arithmetic only. A number below n is the upper part of the 128-bit product of n and a 64-bit
    draw, which is uniform to n / 2^64.
    """

    def __init__(self, seed: int, index: int) -> None:
        super().__init__()
        self._state = _mix(_mix(seed & _MASK64) + (index & _MASK64) * 0x9E3779B97F4A7C15 & _MASK64)

    def _below(self, n: int) -> int:
        self._state = (self._state + 0x9E3779B97F4A7C15) & _MASK64
        return (_mix(self._state) * n) >> 64


class ScriptedDraws(Draws):
    """Draws that follow a given list of numbers and then take the first option each time.

    Attributes:
        path: the numbers drawn.
        arities: from how many each was drawn.
    """

    def __init__(self, path: Sequence[int] = ()) -> None:
        super().__init__()
        self._script = path
        self.path: list[int] = []
        self.arities: list[int] = []

    def _below(self, n: int) -> int:
        number = self._script[len(self.path)] if len(self.path) < len(self._script) else 0
        self.path.append(number)
        self.arities.append(n)
        return number


def enumerate_derivations(write: Callable[[Draws], Option]) -> Iterator[tuple[Option, float]]:
    """Yield what `write` makes of every possible sequence of draws, with the log-probability (nats) of each.

    Weighted draws are walked ticket by ticket; every ticket counts 1 / (sum of the weights) here, so that the
    probabilities of all derivations sum to 1 whatever the weights are.
    """
    path: list[int] | None = []
    while path is not None:
        draws = ScriptedDraws(path)
        result = write(draws)
        yield result, -sum(math.log(n) for n in draws.arities)
        path = draws.path
        while path and path[-1] + 1 == draws.arities[len(path) - 1]:
            path.pop()
        if path:
            path[-1] += 1
        else:
            path = None


class Scene:
    """What one document is about: its slots, the facts stated so far, and the draws behind them.

    Args:
        draws: where every choice comes from.
        pools: for each slot name (without a trailing number) what it may be. Slots that share one pool object never
            take the same value, so `{hero}` and `{friend}` are two people.
        fresh: slots that are drawn anew each time they are mentioned, for words that say nothing of the scene.
    """

    def __init__(self, draws: Draws, pools: Mapping[str, Sequence[Any]], fresh: Collection[str] = ()) -> None:
        self.draws = draws
        self.facts: list[Fact] = []
        self._pools = pools
        self._fresh = fresh
        self._slots: dict[str, Any] = {}
        self._taken: dict[int, list[Any]] = {}

    def __getitem__(self, name: str) -> Any:
        """The value of a slot; drawn now if it has none yet."""
        if name in self._fresh:
            return self.draws.choose(self._pools[name])
        if name not in self._slots:
            pool = self._pools[name.rstrip("0123456789")]
            taken = self._taken.setdefault(id(pool), [])
            value = self.draws.choose([item for item in pool if item not in taken] if taken else pool)
            taken.append(value)
            self._slots[name] = value
        return self._slots[name]

    def __setitem__(self, name: str, value: Any) -> None:
        """Fix a slot without a draw, for values that follow from what the text already says."""
        self._slots[name] = value

    def __contains__(self, name: str) -> bool:
        return name in self._slots

    def turn_over(self, *names: str) -> None:
        """Empty slots, so that they are drawn anew, from what has not been used yet, when next mentioned."""
        for name in names:
            self._slots.pop(name, None)

    def say(self, templates: str | Sequence[str], *, capital: bool = True) -> str:
        """Return one of `templates` written out; note its facts.

        Sentences are given a capital letter, so that a slot may begin one, unless `capital` is false.
        """
        template = templates if isinstance(templates, str) else self.draws.choose(templates)
        parts, facts = _parse(template)
        text = self._write(parts)
        for relation, subject, object_ in facts:
            self.facts.append(Fact(relation, str(self._value(subject)), str(self._value(object_))))
        return _SENTENCE_START.sub(_capital, text) if capital else text

    def tell(self, beats: Sequence[str | Sequence[str]], between: str = " ") -> str:
        """Return one sentence or paragraph for each of `beats`, joined; empty ones are left out."""
        return between.join(filter(None, (self.say(beat) for beat in beats)))

    def _write(self, parts: _Parts) -> str:
        out = []
        for part in parts:
            if isinstance(part, str):
                out.append(part)
            elif isinstance(part, list):
                out.append(self._write(self.draws.choose(part)))
            else:
                out.append(str(self._value(part)))
        return "".join(out)

    def _value(self, path: tuple[str, ...]) -> Any:
        value = self[path[0]]
        for attribute in path[1:]:
            value = getattr(value, attribute)
        return value


class _Slot(tuple[str, ...]):
    """The dotted path of a slot."""


_Part: TypeAlias = "str | _Slot | list[_Parts]"  # of a template: text, a slot, or alternatives
_Parts: TypeAlias = tuple[_Part, ...]


def _capital(match: re.Match[str]) -> str:
    return match[1] + match[2].upper()


def _mix(state: int) -> int:
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK64
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK64
    return state ^ (state >> 31)


@cache
def _parse(template: str) -> tuple[_Parts, tuple[tuple[str, _Slot, _Slot], ...]]:
    """Split a template into its parts (text, alternatives, slots) and its facts."""
    text, _, notes = template.partition(" // ")
    parts, rest = _parse_sequence(text, 0, top=True)
    if rest != len(text):
        raise ValueError(f"unbalanced brackets in the template {template!r} at character {rest}")
    facts = []
    for note in filter(None, (note.split() for note in notes.split(";"))):
        relation, subject, object_ = note
        facts.append((relation, _Slot(subject.split(".")), _Slot(object_.split("."))))
    return parts, tuple(facts)


def _parse_sequence(text: str, at: int, *, top: bool = False) -> tuple[_Parts, int]:
    parts: list[_Part] = []
    while at < len(text):
        if text[at] == "[":
            options: list[_Parts] = []
            while text[at] in "[|":
                option, at = _parse_sequence(text, at + 1)
                options.append(option)
            parts.append(options)
            at += 1
        elif text[at] == "{":
            end = text.index("}", at)
            parts.append(_Slot(text[at + 1 : end].split(".")))
            at = end + 1
        elif text[at] in "|]" and not top:
            break
        else:
            end = next((i for i in range(at, len(text)) if text[i] in "[{|]"), len(text))
            if end == at:
                break
            parts.append(text[at:end])
            at = end
    if at == len(text) and not top:
        raise ValueError(f"an open bracket in the template {text!r}")
    return tuple(parts), at
