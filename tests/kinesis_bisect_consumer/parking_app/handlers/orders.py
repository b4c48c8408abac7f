"""Writes down what it did; until it is mended, some orders cannot be done, and one kills the process."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from resilient_runtime import Call


def handle(order: dict[str, Any], call: Call) -> None:
    """One order."""
    if not Path(os.environ["MENDED"]).exists():
        if order["kind"] == "bad":
            raise KeyError("address")
        if order["kind"] == "deadly":
            os._exit(1)
    with Path(os.environ["DONE"]).open("a") as done:
        done.write(f"{order['number']} {call.attributes['partition_key']}\n")
