"""Has one page read by the service that may be down."""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from typing import Any

from resilient_runtime import Reject


class UnavailableError(Exception):
    """The service cannot work now."""


def read(event: dict[str, Any], _context: Any) -> dict[str, Any]:
    """The page's number, once the service has taken it."""
    page = event["page"]
    try:
        with urllib.request.urlopen(f"{os.environ['OCR_URL']}/{page}", timeout=5) as reply:
            reply.read()
    except urllib.error.HTTPError as error:
        if error.code == 422:
            raise Reject(f"page {page} cannot be read") from error
        raise UnavailableError(str(error.code)) from error
    return {"page": page, "letters": len(event.get("text", ""))}
