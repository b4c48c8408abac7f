"""Reads every value that it is configured with, and does what the message says."""

from __future__ import annotations

import os
from typing import Any

from resilient_runtime import Call, Reject, configuration
from resilient_runtime.stores.own_function import OwnFunction

NAMES = ("url", "rates", "key", "certificate")


def deliver(order: dict[str, Any], call: Call) -> None:
    """Handle an order with all values; fail, reject, or replace the function's environments when told to."""
    read = sorted(name for name in NAMES if configuration[name] is not None)
    match order["then"]:
        case "fail":
            raise ValueError("asked to fail")
        case "reject":
            raise Reject("asked to reject")
        case "replace":
            OwnFunction(os.environ).replace_environments()
    print(f"handled {order['order_id']} with {', '.join(read)}")
