"""The call that an execution environment is working on, for whoever looks on from another thread.

The context variable behind ``current_call`` is not seen from there.
"""

from __future__ import annotations

from .call import Call

__all__ = ["InProgress"]


class InProgress:
    """One execution environment works on one call at a time.

    :ivar call: the call, or the last one; None before the first
    """

    __slots__ = ("call",)

    def __init__(self) -> None:
        self.call: Call | None = None
