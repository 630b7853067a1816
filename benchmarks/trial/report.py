"""What the trial has found: a file in the form of all benchmarks' results, with a record of each part, and a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from common import print_rows, versions

from minillm.files import read_json, write_json
from trial.parts import PARTS, Part

__all__ = ["Report", "show"]


class Report:
    """The records of the parts, in a file after each of them.

    Args:
        packages: whose versions are told.
        names: of the parts that will run.
        out: the file; None: nothing is written. What it holds of other parts, from the same machine and versions, is
            kept.
    """

    def __init__(self, packages: Sequence[str], names: Sequence[str], out: Path | None) -> None:
        self.versions, self.out, self.names = versions(*packages), out, names
        self.machine: dict[str, Any] = {}
        self.parts: dict[str, dict[str, Any]] = {}

    def add(self, part: Part, record: dict[str, Any]) -> None:
        """Take a part's record, and write the file."""
        if part.name == "machine":
            self.machine = record.get("figures", {}).get("machine", {})
            self.parts = self._kept()
        self.parts[part.name] = record
        if self.out is not None:
            write_json(self.out, self.content())

    def _kept(self) -> dict[str, dict[str, Any]]:
        """The records of other parts that were run before on this machine."""
        try:
            before = read_json(self.out) if self.out is not None else {}
        except (OSError, ValueError):
            return {}
        if (before.get("machine"), before.get("versions")) != (self.machine, self.versions):
            return {}
        return {name: record for name, record in before["parts"].items() if name not in self.names}

    def record(self, name: str) -> dict[str, Any]:
        """That of a part; one that was not come to has been cut."""
        return self.parts.get(name, {"status": "cut"})

    def figures(self) -> dict[str, Any]:
        """The figures of the parts so far, by name."""
        return {name: record.get("figures", {}) for name, record in self.parts.items()}

    def device(self) -> dict[str, str]:
        """The device that the first part has found, as an option of the others."""
        found = self.figures().get("machine", {})
        return {"device": found["device"]} if "device" in found else {}

    def content(self) -> dict[str, Any]:
        """What is written."""
        parts = {part.name: self.parts[part.name] for part in PARTS if part.name in self.parts}
        rows = [row for record in parts.values() for row in record.get("rows", [])]
        kept = {
            name: {key: value for key, value in record.items() if key != "rows"}
            for name, record in parts.items()
        }
        return {"machine": self.machine, "versions": self.versions, "rows": rows, "parts": kept}


def show(results: dict[str, Any]) -> None:
    """Print it: the figures of each part, the comparisons, and how each part ended."""
    for name, record in results["parts"].items():
        print(f"\n{name}")
        for key, value in _flat(record.get("figures", {})):
            print(f"    {key}: {value}")
        for note in record.get("notes", []):
            print(f"    note: {note}")
    if results["rows"]:
        print()
        print_rows(results["rows"])
    print()
    for name, record in results["parts"].items():
        print(f"{name:12}{record['status']:9}{record['seconds']:6.0f} s  {record['reason']}".rstrip())
        for line in record.get("output", []):
            print(f"    | {line}")


def _flat(figures: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested figures one by one, with the names of what they stand in."""
    for key, value in figures.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}, ")
        else:
            yield f"{prefix}{key}", value
