"""Writes down which message was done; two kinds of poison never are."""

from __future__ import annotations

import os
from typing import Any

from resilient_runtime import Call, Reject

# One write per line on a descriptor that appends: no environment breaks another one's line.
_done = os.open(os.environ["DONE"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)


def sort(message: dict[str, Any], _: Call) -> None:
    """Do it, or say why not."""
    if message["kind"] == "rejected":
        raise Reject(f"nobody lives at {message['number']}")
    if message["kind"] == "broken":
        raise LookupError(f"no product {message['number']}")
    os.write(_done, f"{message['number']}\n".encode())
