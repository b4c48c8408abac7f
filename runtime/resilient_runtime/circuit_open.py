"""The one error that a breaker raises itself; apart from it, so that to catch it loads nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .breaker.circuit import CircuitState

__all__ = ["CircuitOpen"]


# Not CircuitOpenError: it reads as a plain statement, as the other public names do.
class CircuitOpen(Exception):  # noqa: N818
    """The downstream was not called, because it would have failed. Nothing was spent on it.

    :ivar name: the downstream
    :ivar state: the circuit's state, as this environment knows it; CLOSED while an opening is being decided
    :ivar retry_after: seconds until another attempt is worth its while; None when only a person can tell
    :ivar reason: why the circuit is in this state
    """

    def __init__(self, name: str, state: CircuitState, retry_after: float | None, reason: str) -> None:
        when = "a person closes it" if retry_after is None else f"{retry_after:.1f} s from now"
        super().__init__(
            f"{name} was not called: its circuit is {state} until {when} ({reason or 'no reason'})"
        )
        self.name = name
        self.state = state
        self.retry_after = retry_after
        self.reason = reason
