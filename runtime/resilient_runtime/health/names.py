"""The pattern that a leak's names follow: what is left behind call after call differs by a number only."""

from __future__ import annotations

import re

__all__ = ["pattern_of", "without_query"]

_CHANGING = re.compile(
    r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}"  # a UUID
    r"|(?<=[/\-_.])tmp[a-z0-9_]{8}(?=$|[/.])"  # Python's tempfile
    r"|[0-9a-fA-F]{16,}"
    r"|[0-9]+",
)


def pattern_of(name: str) -> str:
    """``name`` with ``*`` for whatever changes from one to the next: ``/tmp/page-*.html``."""
    return _CHANGING.sub(lambda found: "tmp*" if found[0].startswith("tmp") else "*", without_query(name))


def without_query(text: str) -> str:
    """``text`` up to its question mark: what follows in an address may be a secret."""
    return text.partition("?")[0]
