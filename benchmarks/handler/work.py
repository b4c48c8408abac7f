"""What the measured functions run; one file for all apps."""

from __future__ import annotations

from typing import Any


def do(order: Any, call: Any) -> None:
    """Take an order and do nothing."""
