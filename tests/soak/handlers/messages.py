"""Handlers of messages that fail, each in its way."""

from __future__ import annotations

from typing import Any

from resilient_runtime import Reject


def fails(body: dict[str, Any], call: Any) -> str:
    """Asks for a member that is not there."""
    return str(body["order_id"])


def rejects(body: dict[str, Any], call: Any) -> None:
    """Rejects everything."""
    raise Reject("no address")
