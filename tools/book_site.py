"""A small Sphinx extension: API pages, MathJax of our own, links to glossary terms, figure numbers, names, policies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from content_policy import write_policies
from control_names import write_names
from mathjax import SCRIPT

VENDORED = Path("build") / "static"  # holds mathjax/


def use_vendored_mathjax(app: Any, config: Any) -> None:
    """Point Sphinx at the fetched copy."""
    folder = Path(app.srcdir) / VENDORED
    if (folder / "mathjax" / SCRIPT).exists():
        config.html_static_path = [*config.html_static_path, str(folder)]
        config.mathjax_path = f"mathjax/{SCRIPT}"


def keep_own_figure_numbers(app: Any) -> None:
    """Captions carry their numbers, which the prose uses; an extension of Jupyter Book would add others."""
    app.config.numfig = False


def know_glossary_terms(app: Any, env: Any) -> None:
    """Let `[token](glossary.md#term-token)` lead to the term; MyST by itself knows headings only."""
    for (kind, name), (page, label) in env.get_domain("std").objects.items():
        if kind == "term":
            env.metadata[page].setdefault("myst_slugs", {})[label] = (0, label, name)


def finish_pages(app: Any, error: Exception | None) -> None:
    """Name the controls of each finished page, and tell browsers what it may run and load."""
    if error is None and app.builder.format == "html":
        write_names(Path(app.outdir))
        write_policies(Path(app.outdir))


def setup(app: Any) -> dict[str, bool]:
    """Register with Sphinx."""
    app.setup_extension("api_docstrings")
    app.connect("config-inited", use_vendored_mathjax)
    app.connect("env-updated", know_glossary_terms)
    app.connect("builder-inited", keep_own_figure_numbers, priority=900)
    app.connect("build-finished", finish_pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
