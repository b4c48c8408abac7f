"""A boundary whose callers wait for their turns."""

from __future__ import annotations

from .call import Boundary, Call
from .pacing import Pacer
from .settings import DownstreamSettings

__all__ = ["PacedBoundary"]


class PacedBoundary:
    """Waits for a turn before each call of a downstream that has a rate.

    :param pacer: whose turns are waited for
    :param inner: what else happens around each call
    """

    def __init__(self, pacer: Pacer, inner: Boundary) -> None:
        self._pacer = pacer
        self._inner = inner

    def enter(self, call: Call, downstream: DownstreamSettings) -> None:
        """Wait for a turn.

        :raises NoTurn: see ``Pacer.enter``
        """
        self._pacer.enter(call, downstream)
        try:
            self._inner.enter(call, downstream)
        except BaseException:
            self._pacer.give_up(call, downstream)
            raise

    def leave(
        self, call: Call, downstream: DownstreamSettings, seconds: float, error: BaseException | None
    ) -> None:
        """Learn from the call."""
        # A deadline may interrupt whatever records the call; the pace must have learnt of it by then.
        self._pacer.leave(call, downstream, seconds, error)
        self._inner.leave(call, downstream, seconds, error)

    def give_up(self, call: Call, downstream: DownstreamSettings) -> None:
        """The turn was not used."""
        self._pacer.give_up(call, downstream)
        self._inner.give_up(call, downstream)

    def done(self, call: Call, error: BaseException | None) -> None:
        """The pace has learnt what it can from the calls themselves, and from ``Pacer.heed``."""
        self._inner.done(call, error)
