"""The breaker around ``call.downstream(name)``: a handler does nothing for it."""

from __future__ import annotations

from collections.abc import Mapping

from resilient_runtime.call import Boundary, Call
from resilient_runtime.settings import DownstreamSettings

from .breaker import Breaker
from .circuit import Lease

__all__ = ["GuardedBoundary"]


class GuardedBoundary:
    """A boundary whose downstreams have breakers; whatever else happens there happens inside.

    :param breakers: by name of the downstream; one without a breaker is called as ever
    :param inner: what happens around each call that the breaker lets pass: waiting for a turn, recording
    """

    def __init__(self, breakers: Mapping[str, Breaker], inner: Boundary) -> None:
        self._breakers = breakers
        self._inner = inner
        self._probes: dict[tuple[Call, str], Lease] = {}

    def enter(self, call: Call, downstream: DownstreamSettings) -> None:
        """Let the call pass, in its turn.

        :raises CircuitOpen: when the downstream must not be called
        """
        breaker = self._breakers.get(downstream.name)
        if breaker is None:
            self._inner.enter(call, downstream)
            return
        # Twice: who is refused need not wait for a turn, and while waiting the circuit may have opened.
        breaker.check()
        self._inner.enter(call, downstream)
        lease = breaker.enter(lambda: call.remaining_ms() / 1000)
        if lease is not None:
            self._forget_what_never_began(call.clock.wall())
            self._probes[call, downstream.name] = lease

    def leave(
        self, call: Call, downstream: DownstreamSettings, seconds: float, error: BaseException | None
    ) -> None:
        """Count how the call went."""
        breaker = self._breakers.get(downstream.name)
        if breaker is not None:
            lease = self._probes.pop((call, downstream.name), None) if self._probes else None
            breaker.leave(seconds, error, lease)
        self._inner.leave(call, downstream, seconds, error)

    def _forget_what_never_began(self, wall: float) -> None:
        # A crossing that finds too little time left is never left. Its lease was no longer than that time.
        for key in [key for key, lease in self._probes.items() if lease.until <= wall]:
            del self._probes[key]
