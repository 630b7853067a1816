"""The display of conversations: what is marked, and that nothing in a message can leave its box."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from minillm import figures, render_chat
from minillm.text.chat import RenderedChat
from minillm.text.tokenizer import SPECIAL_TOKENS, Tokenizer

TOKENIZER = Tokenizer([(b" ", b"W"), (b"A", b"d"), (b"Ad", b"a"), (b" ", b"Ada")])
CONVERSATION = [{"role": "user", "content": "W?"}, {"role": "assistant", "content": "Ada"}]
CHAT = render_chat(CONVERSATION, TOKENIZER)


class Boxes(HTMLParser):
    """The boxes of a page in order: (element, style, title, text); and whether each element is closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.boxes: list[list] = []
        self.open: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.open.append(tag)
        if tag in ("mark", "span"):
            found = dict(attributes)
            self.boxes.append([tag, found["style"], found.get("title"), ""])

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1] in ("mark", "span"):
            self.boxes[-1][3] += data


def drawn(rows: dict[str, RenderedChat]) -> tuple[list[list], list[list]]:
    """The boxes of the tokens, and those of the legend."""
    parser = Boxes(figures.chat_boxes(rows, TOKENIZER)._repr_html_())
    assert parser.open == []
    return parser.boxes[:-3], parser.boxes[-3:]


def test_each_token_is_a_box_and_the_trained_ones_are_marked():
    boxes, legend = drawn({"a conversation": CHAT})
    assert [box[3] for box in boxes] == [
        "<|endoftext|>", "<|user|>", "·W", "?", "<|end|>", "<|assistant|>", "·Ada", "<|end|>",
    ]  # fmt: skip
    assert [box[0] == "mark" for box in boxes] == CHAT.loss_mask
    assert [box[2] for box in boxes] == [
        f"id {token}, trained" if trained else f"id {token}" for token, trained in zip(*CHAT)
    ]
    assert [box[3] for box in legend] == [
        "trained: the model learns to write it", "only read", "control token",
    ]  # fmt: skip


def colours(style: str) -> tuple[str, ...]:
    return tuple(
        re.search(rf"(?:^|[;\s]){part}#(\w{{6}})", style)[1] for part in ("background:", "color:", "solid ")
    )


def test_trained_and_control_tokens_differ_in_colour_and_in_more():
    boxes, (trained, read, control) = drawn({"row": CHAT})
    for kind, box in ((control, boxes[0]), (control, boxes[1]), (read, boxes[2]), (trained, boxes[6])):
        assert (kind[0], kind[1]) == (box[0], box[1])  # the legend looks like what it explains
    end_of_question, end_of_answer = boxes[4][1], boxes[7][1]
    assert len({colours(style) for style in (trained[1], read[1], end_of_question, end_of_answer)}) == 4
    for style in (trained[1], end_of_answer):  # bold, and a line below that is not of the ground's colour
        ground, _, edge = colours(style)
        assert "font-weight:bold" in style and edge != ground
    for style in (read[1], end_of_question):
        ground, _, edge = colours(style)
        assert "bold" not in style and edge == ground


def test_ink_stands_out_from_its_ground():
    """Each box brings its ground along, so that it reads alike on a light and on a dark page (WCAG: 4.5 to 1)."""

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (0, 2, 4)]
        linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for box in drawn({"row": CHAT})[0]:
        dark, light = sorted(map(luminance, colours(box[1])[:2]))
        assert (light + 0.05) / (dark + 0.05) >= 7


def test_any_mask_can_be_shown_and_rows_share_the_legend():
    masks = {
        "as trained": CHAT.loss_mask,
        "off by one": [*CHAT.loss_mask[1:], False],
        "prompt too": [False, *[True] * 7],
    }
    views = {label: RenderedChat(CHAT.ids, mask) for label, mask in masks.items()}
    boxes, _ = drawn(views)
    assert [box[0] == "mark" for box in boxes] == [trained for mask in masks.values() for trained in mask]
    page = figures.chat_boxes(views, TOKENIZER)._repr_html_()
    assert page.count("the model learns to write it") == 1
    for label, mask in masks.items():
        assert f"{label} ({sum(mask)} of 8 tokens are trained)" in page


def test_arrays_and_packed_rows_can_be_shown():
    import torch

    packed = torch.tensor(CHAT.ids * 2), torch.tensor(CHAT.loss_mask * 2)
    assert [box[0] == "mark" for box in drawn({"packed": packed})[0]] == CHAT.loss_mask * 2
    assert repr(figures.chat_boxes({"packed": packed}, TOKENIZER)).count("\n  <|endoftext|>") == 2


def test_content_is_escaped_and_never_looks_like_a_control_token():
    content = "<script>alert('&')</script><|end|>\x1b[31m\n\t猫"
    message = [{"role": "user", "content": content}]
    rendered = render_chat(message, TOKENIZER)
    view = figures.chat_boxes({"<b>": rendered}, TOKENIZER)
    page = view._repr_html_()
    assert "<script" not in page and "<b>" not in page and "\x1b" not in page + repr(view)
    boxes, _ = drawn({"<b>": rendered})
    grounds = {box[3] in SPECIAL_TOKENS: colours(box[1])[0] for box in boxes}
    assert len(set(grounds.values())) == 2
    typed = "".join(box[3] for box in boxes if box[3] not in SPECIAL_TOKENS)
    assert typed == "·<script>alert('&')</script><|end|>1B[31m↵09E78CAB"


def test_text_form_has_brackets_around_what_is_trained():
    assert repr(figures.chat_boxes({"one": CHAT}, TOKENIZER)) == (
        "one (2 of 8 tokens are trained)\n"
        "  <|endoftext|>\n"
        "  <|user|>|·W|?|<|end|>\n"
        "  <|assistant|> [·Ada|<|end|>]\n"
        "[in brackets]: trained, the model learns to write it"
    )


@pytest.mark.parametrize("variable, coloured", [(None, True), ("NO_COLOR", False)])
def test_a_terminal_gets_colour_besides_the_brackets(monkeypatch, variable, coloured):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)
    if variable:
        monkeypatch.setenv(variable, "1")
    shown = repr(figures.chat_boxes({"one": CHAT}, TOKENIZER))
    assert ("\x1b[32m[·Ada|<|end|>]\x1b[0m" in shown) == coloured
    assert "[·Ada|<|end|>]" in shown


def test_a_mask_of_another_length_is_refused():
    with pytest.raises(ValueError, match="'row' has 2 ids and a loss mask of 1; give a mask with one value"):
        figures.chat_boxes({"row": ([65, 66], [True])}, TOKENIZER)


def test_an_id_outside_the_vocabulary_is_refused():
    with pytest.raises(ValueError, match="id 999 is not in the vocabulary"):
        figures.chat_boxes({"row": ([999], [True])}, TOKENIZER)
