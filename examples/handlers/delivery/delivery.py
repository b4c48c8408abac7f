"""Hands one order to the courier. One message at a time; no AWS in sight."""

from __future__ import annotations

import os
from typing import Any

import requests
from resilient_runtime import Call, Reject

COURIER_URL = os.environ["COURIER_URL"]
COURIER_TIMEOUT = float(os.environ["COURIER_TIMEOUT_SECONDS"])

# One session for each environment: its connection stays open from one invocation to the next.
http = requests.Session()


def deliver(order: dict[str, Any], call: Call) -> None:
    """Deliver one order, or say why not."""
    with call.downstream("Courier", timeout=COURIER_TIMEOUT):
        reply = http.post(
            COURIER_URL,
            json=order,
            headers={"Idempotency-Key": call.idempotency_key, "X-Correlation-Id": call.correlation_id},
            timeout=COURIER_TIMEOUT,
        )
        if reply.status_code == requests.codes.unprocessable:
            raise Reject("the courier refuses this address")  # poison: dead-letter at once, with the reason
        # Anything else: the message comes back. Inside the block, where the courier's circuit counts it.
        reply.raise_for_status()
