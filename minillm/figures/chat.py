"""A conversation token by token, with the tokens in colour that the model is trained to write."""

from __future__ import annotations

import html
import os
import sys
from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import NamedTuple

from minillm.figures.text import visible
from minillm.text.chat import ASSISTANT, USER, RenderedChat
from minillm.text.tokenizer import END_OF_TEXT, Tokenizer

__all__ = ["ChatBoxes", "chat_boxes"]

_BOX = (
    "display:inline-block;box-sizing:border-box;max-width:100%;margin:1px;padding:0 4px;border-radius:3px;"
    "white-space:pre-wrap;overflow-wrap:anywhere;line-height:1.5;border-bottom:3px solid "
)
# (control token, trained) -> ground, ink, edge below
_COLOURS = {
    (False, False): ("#e8e8e8", "#1a1a1a", "#e8e8e8"),
    (False, True): ("#b5ead0", "#1a1a1a", "#007a55"),
    (True, False): ("#333333", "#ffffff", "#333333"),
    (True, True): ("#333333", "#b5ead0", "#00b37d"),
}
_BEGINNINGS = (END_OF_TEXT, USER, ASSISTANT)  # each begins a line
_GREEN = "\x1b[32m", "\x1b[0m"  # to a terminal: begin and end of green text


class _Token(NamedTuple):
    text: str
    token_id: int
    is_control: bool
    is_trained: bool


class ChatBoxes:
    """Conversations as rows of boxes in a notebook, as lines of text elsewhere. See `chat_boxes`."""

    def __init__(self, rows: Mapping[str, list[_Token]]) -> None:
        self.rows = dict(rows)

    def _repr_html_(self) -> str:
        rows = "".join(_row(label, tokens) for label, tokens in self.rows.items())
        legend = (
            _Token("trained: the model learns to write it", -1, False, True),
            _Token("only read", -1, False, False),
            _Token("control token", -1, True, False),
        )
        boxes = "".join(map(_box, legend))
        return f'<div style="font-size:0.9em">{rows}<div style="margin-top:0.7em">{boxes}</div></div>'

    def __repr__(self) -> str:
        coloured = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        lines = []
        for label, tokens in self.rows.items():
            lines.append(f"{label} ({_count(tokens)})")
            lines += [f"  {_plain(line, coloured)}" for line in _lines(tokens)]
        return "\n".join([*lines, "[in brackets]: trained, the model learns to write it"])


def chat_boxes(rows: Mapping[str, RenderedChat], tokenizer: Tokenizer) -> ChatBoxes:
    """Show conversations token by token, each with a label above it; what the loss counts is marked.

    A trained token is green and underlined in a notebook, and in brackets elsewhere. Control tokens are dark. Any
    mask can be shown: give the ids with another one.

    Args:
        rows: by label, what `render_chat` returned, or ids and a loss mask of the same length.
        tokenizer: that of the ids.
    Raises:
        ValueError: a mask is not as long as its ids, or an id is not in the vocabulary.

    >>> tokenizer = Tokenizer([])
    >>> chat_boxes({"an answer": ([257, 65, 259, 258, 66, 259], [0, 0, 0, 0, 1, 1])}, tokenizer)
    an answer (2 of 6 tokens are trained)
      <|user|>|A|<|end|>
      <|assistant|> [B|<|end|>]
    [in brackets]: trained, the model learns to write it
    """
    return ChatBoxes({label: list(_tokens(label, *chat, tokenizer)) for label, chat in rows.items()})


def _tokens(label: str, ids: list[int], loss_mask: list[bool], tokenizer: Tokenizer) -> Iterator[_Token]:
    if len(ids) != len(loss_mask):
        raise ValueError(
            f"{label!r} has {len(ids)} ids and a loss mask of {len(loss_mask)}; give a mask with one value a token"
        )
    names = {token_id: name for name, token_id in tokenizer.special_tokens.items()}
    for token_id, trained in zip(map(int, ids), loss_mask):
        name = names.get(token_id)
        text = name or _shown(tokenizer.decode_bytes([token_id]))
        yield _Token(text, token_id, name is not None, bool(trained))


def _shown(token: bytes) -> str:
    """A token's text; one with control characters, which could steer a terminal, in hexadecimal digits."""
    text = visible(token)
    return text if text.isprintable() else token.hex(" ").upper()


def _lines(tokens: list[_Token]) -> Iterator[list[_Token]]:
    """The tokens, cut in front of each control token with which something begins."""
    line: list[_Token] = []
    for token in tokens:
        if line and token.is_control and token.text in _BEGINNINGS:
            yield line
            line = []
        line.append(token)
    if line:
        yield line


def _count(tokens: list[_Token]) -> str:
    return f"{sum(token.is_trained for token in tokens)} of {len(tokens)} tokens are trained"


def _plain(line: list[_Token], coloured: bool) -> str:
    before, after = _GREEN if coloured else ("", "")
    runs = []
    for trained, run in groupby(line, key=lambda token: token.is_trained):
        text = "|".join(token.text for token in run)
        runs.append(f"{before}[{text}]{after}" if trained else text)
    return " ".join(runs)


def _row(label: str, tokens: list[_Token]) -> str:
    lines = "".join(f"<div>{''.join(map(_box, line))}</div>" for line in _lines(tokens))
    return (
        f'<div style="margin:0.5em 0"><div style="opacity:0.8">{html.escape(label)} ({_count(tokens)})</div>'
        f'<div style="font-family:monospace">{lines}</div></div>'
    )


def _box(token: _Token) -> str:
    """A token's box; `mark` is HTML's own element for what stands out, and tells it to those who cannot see it."""
    ground, ink, edge = _COLOURS[token.is_control, token.is_trained]
    weight = ";font-weight:bold" if token.is_trained else ""
    tag = "mark" if token.is_trained else "span"
    title = (
        f' title="id {token.token_id}{", trained" if token.is_trained else ""}"'
        if token.token_id >= 0
        else ""
    )
    style = f"{_BOX}{edge};background:{ground};color:{ink}{weight}"
    return f'<{tag}{title} style="{style}">{html.escape(token.text)}</{tag}>'
