"""How long the work in progress may still take, for whoever waits on its behalf."""

from __future__ import annotations

from .call import current_call

__all__ = ["seconds_left"]


def seconds_left() -> float | None:
    """Seconds until this invocation, or the downstream call in progress, must be done; may be below zero.

    :returns: None outside of an invocation, where there is no end
    """
    call = current_call()
    if call is None:
        return None
    left = (call.remaining_ms() - call.margin_ms) / 1000
    crossing = call.crossing
    if crossing is None or crossing.outcome is not None:
        return left
    return min(left, crossing.timeout - crossing.so_far())
