"""What the tools print, in a terminal of any system."""

from __future__ import annotations

import sys


def print_anything() -> None:
    """Write characters that the encoding of the output lacks as backslash escapes, not as an error."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # not where it is caught, as in tests
            stream.reconfigure(errors="backslashreplace")
