"""Delivers, or rejects what is poison."""

from __future__ import annotations

from typing import Any

from resilient_runtime import Call, Reject


def deliver(order: dict[str, Any], call: Call) -> None:
    """Deliver one order."""
    if order.get("poison"):
        raise Reject("no such address")
    print(f"delivered {order['id']}")
