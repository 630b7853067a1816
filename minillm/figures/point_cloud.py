"""Labelled points in three dimensions that the reader can turn; for vectors of tokens."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

import numpy as np

from minillm.figures.style import MARKERS, PALETTE

__all__ = [
    "point_cloud",
]

HEIGHTS = (200, 2000)  # pixels, at least and at most
RESOLUTION = 1000  # steps from the centre to the farthest point; some 300 pixels
FALLBACK = (
    "A view of these points that can be turned stands here once JavaScript runs (in a notebook: trust it, or run the "
    "cell). The static figure beside it shows the same."
)


class PointCloud:
    """Points in three dimensions; a view to turn in a notebook, their number elsewhere. See `point_cloud`."""

    def __init__(
        self, states: Mapping[str, np.ndarray], names: Sequence[str], kinds: Sequence[str], height: int
    ) -> None:
        self.states = dict(states)
        self.names = list(map(str, names))
        self.kinds = list(map(str, kinds))
        self.height = height

    def _repr_html_(self) -> str:
        order = list(dict.fromkeys(self.kinds))
        content = {
            "height": self.height,
            "states": list(self.states),
            "names": self.names,
            "kinds": order,
            "kindOf": [order.index(kind) for kind in self.kinds],
            "colours": PALETTE[: len(order)],
            "markers": MARKERS[: len(order)],
            "points": [_steps(points) for points in self.states.values()],
        }
        # No text can end the script or open a comment in it: JSON has another way to write "<".
        text = json.dumps(content, separators=(",", ":")).replace("<", "\\u003c")
        script = resources.files("minillm.figures").joinpath("point_cloud.js").read_text(encoding="utf-8")
        return (
            f'<div class="minillm-point-cloud" data-lm-suppress-shortcuts="true"><p>{FALLBACK}</p>'
            f'<script type="application/json">{text}</script><script>{script}</script></div>'
        )

    def __repr__(self) -> str:
        counts = len(self.names), len(set(self.kinds)), len(self.states)
        return "PointCloud(points={}, kinds={}, states={})".format(*counts)


def point_cloud(
    states: Mapping[str, Any], names: Sequence[str], kinds: Sequence[str], height: int = 420
) -> PointCloud:
    """Show points as a scatter in three dimensions that the reader can turn, with one button for each state.

    Each state is shifted so that its mean lies in the middle, and scaled so that it fills the view: arrangements can
    be compared between states, sizes cannot. The view is one piece of HTML without a library or network.

    Args:
        states: for each name of a state ("before training", ...), the coordinates of all points (n, 3).
        names: the n labels, shown when the reader points at a point.
        kinds: the n kinds, at most as many different ones as `PALETTE` has colours; each has a colour and a marker.
        height: of the plot, in pixels. The width is that of the page.

    Raises:
        ValueError: if the lengths differ, a state is not (n, 3) and finite, or there are too many kinds.

    >>> point_cloud({"now": [[0, 0, 0], [1, 0, 0]]}, ["cat", "red"], ["animals", "colours"])
    PointCloud(points=2, kinds=2, states=1)
    """
    if len(names) == 0 or len(kinds) != len(names):
        raise ValueError(
            f"{len(names)} names and {len(kinds)} kinds: give each point one of both, and at least one point"
        )
    if len(set(kinds)) > len(PALETTE):
        raise ValueError(
            f"{len(set(kinds))} kinds: there are colours for {len(PALETTE)}; put the smallest kinds into one"
        )
    if not HEIGHTS[0] <= height <= HEIGHTS[1]:
        raise ValueError(f"height={height}: give {HEIGHTS[0]} to {HEIGHTS[1]} pixels")
    if not states:
        raise ValueError("no states: give at least one, such as {'after training': points}")
    arrays = {state: np.asarray(points, dtype=np.float64) for state, points in states.items()}
    for state, points in arrays.items():
        if points.shape != (len(names), 3):
            raise ValueError(
                f"state {state!r} has the shape {points.shape}: give ({len(names)}, 3), "
                "a row for each name, projected to three coordinates"
            )
        if not np.isfinite(points).all():
            row = int(np.argmin(np.isfinite(points).all(axis=1)))
            raise ValueError(
                f"state {state!r} has {points[row].tolist()} for {names[row]!r}: give finite numbers; "
                "drop the points that have none"
            )
    return PointCloud(arrays, names, kinds, height)


def _steps(points: np.ndarray) -> list[int]:
    """Centred and scaled coordinates, one point after the other, in steps of 1 / RESOLUTION of the view."""
    centred = points - points.mean(axis=0)
    extent = np.linalg.norm(centred, axis=1).max() or 1.0
    steps: list[int] = np.rint(centred / extent * RESOLUTION).astype(int).ravel().tolist()
    return steps
