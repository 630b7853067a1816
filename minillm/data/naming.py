"""Names of keys for messages."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

__all__ = ["key_names", "one_of"]


def key_names(names: Iterable[str]) -> str:
    """Names for a message, with what a terminal would obey (line ends, escape codes) or cannot write spelled out.

    >>> print(key_names({"text": 1, "two\\nlines": 2}))
    text, two\\nlines
    """
    spelled = ", ".join(json.dumps(name, ensure_ascii=False)[1:-1] for name in names)
    return spelled.encode("utf-8", "backslashreplace").decode("utf-8")


def one_of(names: Sequence[str]) -> str:
    """Names of which one is wanted.

    >>> print(one_of(("a", "b", "c")))
    'a', 'b' or 'c'
    """
    return " or ".join(filter(None, (", ".join(map(repr, names[:-1])), repr(names[-1]))))
