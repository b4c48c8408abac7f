"""The breaker around ``call.downstream(name)``: a handler does nothing for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from resilient_runtime.call import Boundary, Call
from resilient_runtime.circuit_open import CircuitOpen
from resilient_runtime.late_answers import path_to_answer
from resilient_runtime.settings import DownstreamSettings

from .breaker import Breaker
from .circuit import Lease
from .errors import counts_late

__all__ = ["GuardedBoundary"]


# A call that came back, and whose answer the handler has not looked at yet: whose it is, its breaker, how
# long it took, its lease, and when it ended. A plain tuple, as every call makes one.
_Unconfirmed = tuple[Call, Breaker, float, Lease | None, float]


class GuardedBoundary:
    """A boundary whose downstreams have breakers; whatever else happens there happens inside.

    A call that raised has failed at once. One that came back is good once its handler is done or calls
    something else: until then it may find an answer 5xx in its hands and raise that, behind the block. A
    probe that closed the circuit on it would let everybody in. It is one call, the latest, so a handler that
    makes a million of them has one in the balance, and every other is counted as it ends.

    :param breakers: by name of the downstream; one without a breaker is called as ever
    :param inner: what happens around each call that the breaker lets pass: waiting for a turn, recording
    :param on_refusal: called for each call that is not let pass. Must not raise
    """

    def __init__(
        self,
        breakers: Mapping[str, Breaker],
        inner: Boundary,
        on_refusal: Callable[[Call, CircuitOpen], object] = lambda *_: None,
    ) -> None:
        self._breakers = breakers
        self._inner = inner
        self._on_refusal = on_refusal
        self._probes: dict[tuple[Call, str], Lease] = {}
        # At most one, but where a handler's threads call at the same time; pop and append are atomic.
        self._unconfirmed: list[_Unconfirmed] = []
        self._failed_by: set[int] = set()

    def enter(self, call: Call, downstream: DownstreamSettings) -> None:
        """Let the call pass, in its turn.

        :raises CircuitOpen: when the downstream must not be called
        """
        if self._unconfirmed:
            self._confirm(call)
        breaker = self._breakers.get(downstream.name)
        if breaker is None:
            self._inner.enter(call, downstream)
            return
        # Twice: who is refused need not wait for a turn, and while waiting the circuit may have opened.
        try:
            breaker.check()
            self._inner.enter(call, downstream)
            try:
                lease = breaker.enter(lambda: call.remaining_ms() / 1000)
            except CircuitOpen:
                self._inner.give_up(call, downstream)
                raise
        except CircuitOpen as refusal:
            self._on_refusal(call, refusal)
            raise
        if lease is not None:
            self._forget_what_never_began(call.clock.wall())
            self._probes[call, downstream.name] = lease

    def leave(
        self, call: Call, downstream: DownstreamSettings, seconds: float, error: BaseException | None
    ) -> None:
        """Count how the call went, once that is certain."""
        if self._unconfirmed:
            self._confirm(call)
        if error is not None:
            self._failed_by.add(id(error))
        breaker = self._breakers.get(downstream.name)
        if breaker is not None:
            lease = self._probes.pop((call, downstream.name), None) if self._probes else None
            if error is None:
                self._unconfirmed.append((call, breaker, seconds, lease, call.clock.ticks()))
            else:
                breaker.leave(seconds, error, lease)
        self._inner.leave(call, downstream, seconds, error)

    def done(self, call: Call, error: BaseException | None) -> None:
        """Count the latest call: a good one, unless ``error`` tells that its answer was 5xx."""
        if self._unconfirmed:
            self._confirm(call, error)
        self._failed_by.clear()
        self._inner.done(call, error)

    def give_up(self, call: Call, downstream: DownstreamSettings) -> None:
        """Let another environment make the probe that is not made here."""
        breaker = self._breakers.get(downstream.name)
        lease = self._probes.pop((call, downstream.name), None)
        if breaker is not None and lease is not None:
            breaker.give_back(lease)
        self._inner.give_up(call, downstream)

    def refuses(self, name: str) -> bool:
        """Whether a call of this downstream would be refused now, as far as this environment knows."""
        breaker = self._breakers.get(name)
        if breaker is None:
            return False
        try:
            breaker.check()
        except CircuitOpen:
            return True
        return False

    def is_watching(self) -> bool:
        """Whether every breaker would refuse calls now, were its downstream down."""
        return all(breaker.is_watching for breaker in self._breakers.values())

    def _confirm(self, call: Call, error: BaseException | None = None) -> None:
        while self._unconfirmed:
            try:
                whose, breaker, seconds, lease, ended = self._unconfirmed.pop()
            except IndexError:  # another thread was quicker
                return
            since = whose.clock.ticks() - ended
            path = () if error is None or whose is not call else path_to_answer(error, self._failed_by)
            if path:
                breaker.leave(seconds, path[-1], lease, since, counts_late(path, breaker.policy))
                error = None  # it was one answer, that of the latest call
            else:
                breaker.leave(seconds, None, lease, since)

    def _forget_what_never_began(self, wall: float) -> None:
        # A crossing that is interrupted before its block begins is never left, and its lease runs out.
        for key in [key for key, lease in self._probes.items() if lease.until <= wall]:
            del self._probes[key]
