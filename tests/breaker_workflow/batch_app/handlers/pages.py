"""Reads a page, refuses it or fails, as it says."""

from __future__ import annotations

from typing import Any

from resilient_runtime import Reject


class BusyError(Exception):
    """The service cannot work now."""


def read(page: dict[str, Any], _context: object) -> dict[str, Any]:
    """What the page asks for."""
    if page.get("then") == "reject":
        raise Reject("unreadable")
    if page.get("then") == "fail":
        raise BusyError("busy")
    return {"page": page["n"], "text": page.get("text", "") * 2}
