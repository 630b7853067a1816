"""A content security policy for each page of the built website: what the browser may run and load there.

Everything comes from the site itself. A page's own inline scripts are allowed one by one, by the hashes of what they
say; any other, such as one in a text that a model has written, is refused.
"""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlsplit

__all__ = ["policy_of", "write_policies"]

HEAD = '<meta http-equiv="Content-Security-Policy" content="'
POLICY = re.compile(rf'\n? *{re.escape(HEAD)}[^"]*" */?>')
CHARSET = re.compile(r'<meta charset="[^"]*" */?>')  # stays in front: browsers look for it in the first bytes
DATA_BLOCKS = ("application/json", "application/ld+json")  # types of `script` elements that are never run


class _Scripts(HTMLParser):
    """The inline scripts of a page, its event handlers, and the hosts that scripts come from."""

    def __init__(self) -> None:
        super().__init__()
        self.scripts: list[str] = []
        self.handlers: list[str] = []
        self.hosts: set[str] = set()
        self._is_inline = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.handlers += [value or "" for name, value in attrs if name.startswith("on")]
        if tag == "script":
            address = urlsplit(found.get("src") or "")
            if address.netloc:
                self.hosts.add(f"{address.scheme or 'https'}://{address.netloc}")
            self._is_inline = "src" not in found and found.get("type") not in DATA_BLOCKS

    def handle_data(self, data: str) -> None:
        if self._is_inline:
            self.scripts.append(data)

    def handle_endtag(self, tag: str) -> None:
        self._is_inline = False


def policy_of(page: str) -> str:
    """The strictest policy that a page meets.

    >>> print(policy_of("<script>go()</script>").replace("; ", "\\n"))
    default-src 'self'
    script-src 'self' 'sha256-5KYv+PUboo5h+0+YAtGRPbwv5d/QxzHslP4YGnUaxRw='
    style-src 'self' 'unsafe-inline'
    img-src 'self' data:
    worker-src 'self'
    object-src 'none'
    frame-src 'none'
    base-uri 'none'
    form-action 'self'
    """
    found = _Scripts()
    found.feed(page)
    found.close()
    hosts = sorted(found.hosts)  # of MathJax, where it was not fetched into the site
    handlers = ["'unsafe-hashes'", *map(_hash, found.handlers)] if found.handlers else []
    scripts = dict.fromkeys([*map(_hash, found.scripts), *handlers, *hosts])
    directives = {
        "default-src": ["'self'"],
        "script-src": ["'self'", *scripts],
        "style-src": ["'self'", "'unsafe-inline'"],  # of MathJax, icons and cells' outputs
        "img-src": ["'self'", "data:"],  # of the stills of widgets
        "font-src": ["'self'", *hosts] if hosts else [],
        "worker-src": ["'self'"],
        "object-src": ["'none'"],
        "frame-src": ["'none'"],
        "base-uri": ["'none'"],
        "form-action": ["'self'"],
    }
    return "; ".join(f"{name} {' '.join(sources)}" for name, sources in directives.items() if sources)


def write_policies(site: Path) -> int:
    """Put its policy into the head of every page of a built site; returns the number of pages."""
    pages = [path for path in site.rglob("*.html") if "_static" not in path.relative_to(site).parts]
    count = 0
    for path in pages:
        written = path.read_text(encoding="utf-8")
        page = POLICY.sub("", written)
        if not CHARSET.search(page):  # no page of its own, but one line that leads to another
            continue
        line = f'\n    {HEAD}{policy_of(page)}" />'
        page = CHARSET.sub(lambda found, line=line: found[0] + line, page, count=1)
        count += 1
        if page != written:
            path.write_text(page, encoding="utf-8")
    return count


def _hash(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
