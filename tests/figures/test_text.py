"""The displays for sentences, tables, code and tokens."""

from __future__ import annotations

import inspect
import subprocess
import sys
from types import SimpleNamespace

import pytest
from markdown_it import MarkdownIt

from minillm import figures
from minillm.figures import text
from minillm.text.bpe import merge_pair


def test_token_boxes_escape_text_and_show_what_cannot_be_seen():
    boxes = figures.token_boxes({"a & b": [b" <b>", b"\n", b"\xe7\x8c", "<|end|>", 73700]})
    page = boxes._repr_html_()
    assert "a &amp; b" in page and "·&lt;b&gt;" in page and "&lt;|end|&gt;" in page and "73700" in page
    assert "<b>" not in page
    assert page.count("<span") == page.count("</span>") == 5
    assert page.count("<div") == page.count("</div>") == 3
    assert repr(boxes) == "a & b: ·<b>|↵|E7 8C|<|end|>|73700"


def test_special_tokens_and_ids_differ_in_colour_from_text():
    backgrounds = {
        figures.token_boxes({"row": [piece]})._repr_html_().split("background:")[1][:7]
        for piece in (b"end", "end", 9)
    }
    assert len(backgrounds) == 3


def test_show_source_is_the_source_of_the_package():
    shown = figures.show_source(merge_pair)
    assert repr(shown) == inspect.getsource(merge_pair).rstrip()
    assert shown._repr_markdown_() == f"````python\n{shown!r}\n````"
    method = figures.show_source(text.TokenBoxes.__init__)
    assert repr(method).startswith("def __init__")


def test_sentences_and_tables_are_printed_in_a_terminal(capsys):
    figures.say("**12** tokens")
    figures.show_table(["a", "b"], iter([[1, None], ("two", 2.5)]))
    assert capsys.readouterr().out == "**12** tokens\n| a | b |\n| --- | --- |\n| 1 | None |\n| two | 2.5 |\n"


def test_sentences_are_markdown_in_a_notebook(monkeypatch, capsys):
    shown = []
    notebook = SimpleNamespace(get_ipython=object, display=SimpleNamespace(display=shown.append))
    monkeypatch.setitem(sys.modules, "IPython", notebook)
    figures.say("**12** tokens")
    (one,) = shown
    assert one._repr_markdown_() == repr(one) == "**12** tokens"
    assert capsys.readouterr().out == ""


def test_a_shell_of_ipython_shows_them():
    program = "from minillm.figures import say; say('**12** tokens')"
    run = subprocess.run(
        [sys.executable, "-m", "IPython", "-c", program], capture_output=True, encoding="utf-8"
    )
    assert run.stdout.strip() == "**12** tokens", run.stderr


def test_what_stands_in_a_cell_cannot_break_the_table(capsys):
    cells = [["<|end|>", "two\nlines", r"a\b"], ["|", "", "*kind*"]]
    figures.show_table(["x | y", "", "z"], cells)
    page = MarkdownIt().enable("table").render(capsys.readouterr().out)
    rows = [row.partition("</tr>")[0].strip() for row in page.split("<tr>")[1:]]
    assert rows == [
        "<th>x | y</th>\n<th></th>\n<th>z</th>",
        "<td>&lt;|end|&gt;</td>\n<td>two lines</td>\n<td>a\\b</td>",
        "<td>|</td>\n<td></td>\n<td><em>kind</em></td>",
    ]


@pytest.mark.parametrize("row", [["one"], ["one", "two", "three"]])
def test_a_table_with_a_column_too_few_or_many_is_refused(row):
    with pytest.raises(ValueError, match=rf"row 2 has {len(row)} cells, the header 2; give each column one"):
        figures.show_table(["a", "b"], [["one", "two"], row])
