"""Sends each order to the courier, and writes down which ones are done."""

from __future__ import annotations

import http.client
import os
from pathlib import Path
from typing import Any

from resilient_runtime import Call

_connection: http.client.HTTPConnection | None = None


def handle(order: dict[str, Any], call: Call) -> None:
    """One order; poison is what cannot be read, what only the courier refuses, and what kills the process."""
    if order["kind"] == "unreadable":
        raise KeyError("address")
    if order["kind"] == "deadly":
        os._exit(1)
    with call.downstream("Courier", timeout=5):
        status = _ask(f"/{order['number']}/{order['kind']}")
        if status != 200:
            raise ConnectionError(f"the courier answers {status}")
    with Path(os.environ["DONE"]).open("a") as done:
        done.write(f"{order['number']} {call.attributes['partition_key']}\n")


def _ask(path: str) -> int:
    global _connection
    if _connection is None:
        _connection = http.client.HTTPConnection("127.0.0.1", int(os.environ["COURIER_PORT"]), timeout=5)
    try:
        _connection.request("GET", path)
        answer = _connection.getresponse()
        answer.read()
    except OSError:
        _connection = None
        raise
    return answer.status
