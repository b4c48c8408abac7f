"""How long the work in progress may still take, for whoever waits on its behalf."""

from __future__ import annotations

from .call import current_call

__all__ = ["KEPT_SECONDS", "seconds_left"]

KEPT_SECONDS = 0.5
"""Kept back from every wait, so that what is given up can still be reported."""


def seconds_left() -> float | None:
    """Seconds until this invocation must be done; None outside of one. May be below zero."""
    call = current_call()
    if call is None or call.remaining is None:
        return None
    return call.remaining() / 1000 - KEPT_SECONDS
