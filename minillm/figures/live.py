"""What stands in the page where a widget comes to life: first a still, which stays wherever no JavaScript runs.

The widgets are modules of the website (`book/_static/live/widget_*.js`). A chapter's cell ends with `live(...)`: its
output holds the still and, as attributes, what the widget has to know. The website brings it to life; a notebook,
Colab and a page without JavaScript show the still.
"""

from __future__ import annotations

import base64
import html
import io
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

__all__ = ["WIDGETS", "live"]

WIDGETS = ("attention", "chat", "lora", "next", "stages", "tokens", "vectors", "yours")
_OPTION = re.compile(
    r"[a-z][a-z0-9]*(_[a-z0-9]+)*"
)  # HTML makes no difference between small and capital letters


class LiveWidget:
    """A widget of the website; its still elsewhere. See `live`."""

    def __init__(self, widget: str, still: Sequence[Any], options: Mapping[str, str], alt: str) -> None:
        self.widget = widget
        self.options = dict(options)
        self._html = "".join(_shown(part, alt) for part in still)
        self._text = "\n".join(f"[{alt}]" if isinstance(part, Axes) else str(part) for part in still)

    def _repr_html_(self) -> str:
        told = {"data-widget": self.widget} | {
            f"data-{name.replace('_', '-')}": value for name, value in self.options.items()
        }
        attributes = " ".join(f'{name}="{html.escape(value)}"' for name, value in told.items())
        return f'<div class="minillm-live" {attributes}>{self._html}</div>'

    def __repr__(self) -> str:
        return self._text


def live(widget: str, still: Any, *, alt: str = "", **options: Any) -> LiveWidget:
    """Show a still that the website brings to life.

    Args:
        widget: one of `WIDGETS`.
        still: what is true without JavaScript, one part or a list of them: a text, which becomes a paragraph; whatever
            Jupyter shows as HTML (`still_table`, `token_boxes`, ...); or the axes of a plot, which becomes a picture
            and is closed.
        alt: what the plot shows, in words.
        options: what the widget has to know, such as `stage="base"`: texts as they are, everything else as JSON;
            what is None is left out.

    Raises:
        ValueError: an unknown widget, an option that JSON or HTML cannot hold, a plot without alt.
        TypeError: a still that cannot be shown.

    >>> live("chat", "You: Hello?", stage="sft")._repr_html_()
    '<div class="minillm-live" data-widget="chat" data-stage="sft"><p>You: Hello?</p></div>'
    """
    if widget not in WIDGETS:
        raise ValueError(f"there is no widget {widget!r}; choose one of {', '.join(WIDGETS)}")
    written = {name: _written(name, value) for name, value in options.items() if value is not None}
    return LiveWidget(widget, still if isinstance(still, (list, tuple)) else [still], written, alt)


def _written(name: str, value: Any) -> str:
    """An option as the text of an attribute."""
    if not _OPTION.fullmatch(name):
        raise ValueError(f"the option {name!r} has no name for the page; use small letters, digits and _")
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"the option {name} is {value!r:.80}, which is no JSON value ({error})") from None


def _shown(part: Any, alt: str) -> str:
    """A part of a still as HTML."""
    if isinstance(part, str):
        return f"<p>{html.escape(part)}</p>"
    if isinstance(part, Axes):
        return _picture(part, alt)
    if not hasattr(part, "_repr_html_"):
        raise TypeError(
            f"a still is {part!r:.80}; give a text, axes, or what Jupyter shows as HTML, such as a table"
        )
    return str(part._repr_html_())


def _picture(axes: Axes, alt: str) -> str:
    """A plot as an image in the page; closed, so that the notebook does not show it once more."""
    if not alt:
        raise ValueError("a plot has no alt; say in words what it shows: alt='...'")
    content = io.BytesIO()
    figure = axes.figure.canvas.figure  # `get_figure(root=True)` came with matplotlib 3.10
    figure.savefig(content, format="png", metadata={"Software": None})
    plt.close(figure)
    source = base64.b64encode(content.getvalue()).decode("ascii")
    return f'<img alt="{html.escape(alt)}" src="data:image/png;base64,{source}">'
