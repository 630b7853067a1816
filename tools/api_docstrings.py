"""A Sphinx extension that puts docstrings in the house's form on the API pages.

Sections are napoleon's (Args, Returns, Raises, Attributes), and a paragraph that begins with `Reference:` is one too.
A comment behind a field or a constant is its description. Single backticks are code, which leads to the description
where it names something public.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import inspect
import io
import re
import sys
import tokenize
from collections.abc import Iterable
from itertools import zip_longest
from pathlib import Path
from typing import Any

from api_pages import PACKAGE, public_modules, write_pages
from docutils import nodes
from docutils.utils import unescape
from sphinx import addnodes
from sphinx.ext.napoleon import Config, GoogleDocstring
from sphinx.pycode import ModuleAnalyzer
from sphinx.util.nodes import make_refnode

__all__ = ["house_lines", "setup", "trailing_comments"]

REFERENCE = re.compile(r"References?:(?: |$)")
NAME = re.compile(r"[A-Za-z_][\w.]*")
FOR_TOOLS = re.compile(r"#\s*(?:noqa|type:|fmt:|pragma)")  # comments that are no prose
NAPOLEON = Config(napoleon_use_rtype=False)
SETTINGS = {  # of Sphinx
    "add_module_names": False,
    "autodoc_member_order": "bysource",
    "autodoc_preserve_defaults": True,
    "default_role": "house-code",
    "python_maximum_signature_line_length": 84,  # characters; a longer signature has a line for each argument
    "toc_object_entries_show_parents": "hide",
}


class HouseDocstring(GoogleDocstring):
    """Google's form, in which what Returns says is prose and never a type before a colon."""

    def _consume_returns_section(self, preprocess_types: bool = False) -> list[tuple[str, str, list[str]]]:
        return [("", "", self._dedent(self._consume_to_next_section()))]

    def _parse_attributes_section(self, section: str) -> list[str]:
        return self._format_fields("Attributes", self._consume_fields())


def house_lines(lines: list[str]) -> list[str]:
    """A docstring in the house's form, line by line, as reStructuredText with field lists."""
    return HouseDocstring(_mark_references(_mark_blocks(lines)), NAPOLEON).lines()


def _mark_blocks(lines: list[str]) -> list[str]:
    """Show an indented block that a colon announces as it is written."""
    announced = [
        line.endswith(":") and not below and further.startswith("    ")
        for line, below, further in zip(lines, lines[1:], lines[2:])
    ]
    return [f"{line}:" if starts else line for line, starts in zip_longest(lines, announced)]


def _mark_references(lines: list[str]) -> list[str]:
    """Make a field of a paragraph that begins with `Reference:`; its further lines are indented below it."""
    marked: list[str] = []
    inside = False
    for line in lines:
        start = REFERENCE.match(line)
        inside = bool(start) or (inside and bool(line.strip()))
        if start:
            marked.append(f":{line[: start.end()].strip()} {line[start.end() :]}".rstrip())
        else:
            marked.append(f"    {line.strip()}" if inside else line)
    return marked


def trailing_comments(source: str) -> dict[tuple[str, str], str]:
    """(class or "", name) -> the comment behind an assignment at the top of a module or of a class in it.

    >>> trailing_comments("WIDTH = 3  # tokens")
    {('', 'WIDTH'): 'tokens'}
    """
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    comments = {token.start[0]: token.string for token in tokens if token.type == tokenize.COMMENT}
    alone = {number for number, line in enumerate(source.splitlines(), 1) if line.lstrip().startswith("#")}
    tree = ast.parse(source)
    scopes = [("", tree.body)] + [
        (node.name, node.body) for node in tree.body if isinstance(node, ast.ClassDef)
    ]
    found = {}
    for scope, body in scopes:
        for statement in body:
            for name in _assigned(statement):
                lines = range(statement.lineno, (statement.end_lineno or statement.lineno) + 1)
                told = [comments[number] for number in lines if number in comments and number not in alone]
                if len(told) == 1 and not FOR_TOOLS.match(told[0]):
                    found[scope, name] = told[0].lstrip("#: ").rstrip()
    return found


def _assigned(statement: ast.stmt) -> list[str]:
    targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
    return [target.id for target in targets if isinstance(target, ast.Name)]


def describe_by_comments(modules: Iterable[str]) -> None:
    """Tell autodoc what stands behind the fields and constants of these modules."""
    for name in modules:
        analyzer = ModuleAnalyzer.for_module(name)
        analyzer.analyze()
        for key, comment in trailing_comments(analyzer.code).items():
            analyzer.attr_docs.setdefault(key, [comment, ""])


def form_docstring(app: Any, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    """Turn the sections of a docstring into fields, in place; a constant has its comment, not the words of its type."""
    of_its_type = what in ("data", "attribute") and "\n".join(lines).strip() == inspect.getdoc(value)
    lines[:] = [] if of_its_type else house_lines(lines)


def skip_member(app: Any, what: str, name: str, value: Any, skip: bool, options: Any) -> bool | None:
    """Leave out the fields of named tuples that say nothing, which Python describes as "Alias for field number 0"."""
    return True if str(getattr(value, "__doc__", "")).startswith("Alias for field number") else None


def shorten_signature(
    app: Any, what: str, name: str, value: Any, options: Any, signature: str | None, returns: str | None
) -> tuple[str, str | None] | None:
    """No arguments behind the name of a dataclass whose fields follow, each with type, default and meaning."""
    if what != "class" or not dataclasses.is_dataclass(value):
        return None
    return ("", None) if all(_has_comment(value, field.name) for field in dataclasses.fields(value)) else None


def _has_comment(value: type, field: str) -> bool:
    """Whether a comment describes a field where it is defined, in the class or in a base."""
    homes = (base for base in value.__mro__ if field in base.__dict__.get("__annotations__", {}))
    return any(
        (home.__qualname__, field) in ModuleAnalyzer.for_module(home.__module__).attr_docs for home in homes
    )


def name_public_bases(app: Any, name: str, value: Any, options: Any, bases: list[Any]) -> None:
    """Leave private bases out of the line that names the bases."""
    bases[:] = [
        base for base in bases if base is not object and not getattr(base, "__name__", "").startswith("_")
    ]


def code_role(
    role: str, rawtext: str, text: str, lineno: int, inliner: Any, options: Any = None, content: Any = ()
) -> tuple[list[nodes.Node], list[Any]]:
    """Single backticks: code, and a way to the description of what it names, where that is public."""
    code = unescape(text, restore_backslashes=True)
    literal = nodes.literal(rawtext, code)
    name = code.removesuffix("()")
    if not NAME.fullmatch(name):
        return [literal], []
    context = inliner.document.settings.env.ref_context
    reference = addnodes.pending_xref(
        rawtext,
        literal,
        refdomain="py",
        reftype="obj",
        reftarget=name,
        refexplicit=True,
        may_be_plain=True,
        **{key: context.get(key) for key in ("py:module", "py:class")},
    )
    return [reference], []


def find_reference(app: Any, env: Any, node: Any, contnode: nodes.Element) -> nodes.Node | None:
    """Follow a name as its module understands it; what the book does not describe stays plain text.

    A full name inside the package that does not exist stays an error.
    """
    if node.get("refdomain") != "py":
        return None
    target = node["reftarget"]
    described = env.get_domain("py").objects
    for name in (_full_name(node.get("py:module"), target), _only_class(described, target)):
        if name in described:
            entry = described[name]
            return make_refnode(app.builder, node["refdoc"], entry.docname, entry.node_id, contnode, name)
    plain = node.get("may_be_plain") or not target.startswith(f"{PACKAGE}.") or _exists(target)
    return contnode if plain else None


def _full_name(module: str | None, target: str) -> str | None:
    """The full name of what a dotted name is in a module, if it is a class or a function."""
    try:
        value = functools.reduce(getattr, target.split("."), sys.modules[module or ""])
        return f"{value.__module__}.{value.__qualname__}"
    except (AttributeError, KeyError):
        return None


def _only_class(described: dict[str, Any], target: str) -> str | None:
    """The full name of the only class of this name; a module may know it for its type hints alone."""
    found = [
        name for name, entry in described.items() if entry.objtype == "class" and name.endswith(f".{target}")
    ]
    return found[0] if len(found) == 1 else None


def _exists(target: str) -> bool:
    """Whether a module of the package has this name, public or not."""
    module, _, name = target.rpartition(".")
    return hasattr(sys.modules.get(module), name)


def prepare(app: Any, config: Any) -> None:
    """Write the pages of the package that lies beside the book, before Sphinx looks for its pages."""
    root = Path(app.srcdir)
    sys.path.insert(0, str(root))
    for name, value in SETTINGS.items():
        setattr(config, name, value)
    write_pages(root)
    describe_by_comments(module.name for module in public_modules(root))


def setup(app: Any) -> dict[str, bool]:
    """Register with Sphinx."""
    app.setup_extension("sphinx.ext.autodoc")
    app.add_role("house-code", code_role)
    app.connect("config-inited", prepare, priority=400)
    app.connect("autodoc-process-docstring", form_docstring)
    app.connect("autodoc-process-signature", shorten_signature)
    app.connect("autodoc-process-bases", name_public_bases)
    app.connect("autodoc-skip-member", skip_member)
    app.connect("missing-reference", find_reference)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
