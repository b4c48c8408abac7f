"""The breakers of one execution environment, as its settings describe them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress

from resilient_runtime.call import Boundary, Call
from resilient_runtime.chance import uniform
from resilient_runtime.circuit_open import CircuitOpen
from resilient_runtime.settings import DownstreamSettings
from resilient_runtime.status import StatusLines, Teller

from .boundary import GuardedBoundary
from .breaker import Breaker
from .policy import BreakerPolicy
from .records import CircuitRecords
from .store import CircuitStore
from .view import Transition

__all__ = ["guarded"]


def guarded(
    downstreams: Sequence[DownstreamSettings],
    inner: Boundary,
    *,
    store: CircuitStore,
    lines: StatusLines,
    tell: Teller,
    random: Callable[[], float] = uniform,
) -> GuardedBoundary:
    """A boundary with a breaker for each downstream that is to have one; all that they do is told.

    Each circuit is read once: the init phase has a processor to itself, and the first call then knows
    whether there is an outage.

    :param inner: what happens around a call that its breaker lets pass
    :param random: from 0 up to 1, for the jitter
    :raises ValueError: when a downstream's policy is none
    """
    records = CircuitRecords(lines)

    def changed(transition: Transition) -> None:
        tell(records.changed, transition)

    def refused(call: Call, refusal: CircuitOpen) -> None:
        tell(records.refused, call, refusal)

    def breaker_of(downstream: DownstreamSettings) -> Breaker:
        def away(error: Exception) -> None:
            tell(lines.broken, f"circuit {downstream.name}", error)

        return Breaker(
            downstream.name,
            BreakerPolicy.from_settings(downstream.breaker or {}),
            store=store,
            clock=lines.clock,
            random=random,
            redact=lines.shown,
            on_transition=[changed],
            on_store_error=away,
        )

    breakers = {one.name: breaker_of(one) for one in downstreams if one.breaker is not None}
    for breaker in breakers.values():
        with suppress(CircuitOpen):
            breaker.check()
    return GuardedBoundary(breakers, inner, refused)
