"""How fast a workflow starts its executions, and how that is shared out."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import jsii
from aws_cdk import IStableStringProducer, Lazy

from resilient_constructs.downstream import Downstream
from resilient_constructs.limits import Faults
from resilient_constructs.tokens import is_token

from .limits import MAX_CONCURRENCY, STARTS_PER_SECOND

__all__ = ["Pace", "choose_pace"]

# One environment starts some ten a second; half of that is asked of it.
_STARTS_OF_ONE = 5
_FEWEST, _USUAL, _MOST = 2, 8, 1000
# Parked is what was under way when the circuit opened, and no more: the work queue is paused by then. So the
# slowest mapping there is will do, and of the usual eight plus two a fifth of the rate is kept for it.
PARKED_CONCURRENCY = 2
# Seconds that one environment may wait for its turns in one batch.
_PATIENCE = 20
_SHORTEST_TIMEOUT, _LONGEST_TIMEOUT = 60, 900
_BATCH = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Pace:
    """The starts of one workflow.

    :param starts_per_second: of the whole workflow, while it is alone
    :param calls: how many calls of the downstream are under way at that rate; None without a downstream
    :param concurrency: environments that start what is new
    :param parked_concurrency: environments that start what was parked; none without parking
    :param batch_size: messages that one of them takes at once
    :param timeout: seconds that it may take for them
    """

    starts_per_second: float
    calls: int | None
    concurrency: int
    parked_concurrency: int
    batch_size: int
    timeout: int

    @property
    def environments(self) -> int:
        """All environments together."""
        return self.concurrency + self.parked_concurrency

    def share(self, downstream: Downstream | None) -> str:
        """What one environment may start a second, as text: a token where other callers share the rate."""
        if downstream is None or self.calls is None:
            return _digits(self.starts_per_second / self.environments)
        calls = self.calls

        def write() -> str:
            # All callers share by how many calls each has under way; more of them may have come meanwhile.
            part = calls / max(calls, downstream.registered_concurrency)
            return _digits(self.starts_per_second * part / self.environments)

        return Lazy.string(_Text(write))


def choose_pace(
    faults: Faults,
    *,
    downstream: Downstream | None,
    starts_per_second: float | None,
    max_concurrency: int | None,
    parks: bool,
) -> Pace:
    """Fill in what was not given, and note what is impossible."""
    for limit, value in ((STARTS_PER_SECOND, starts_per_second), (MAX_CONCURRENCY, max_concurrency)):
        if is_token(value):
            faults.add(limit.prop, "a token", "a number known at synth", limit.page)
        else:
            faults.check(limit, value)
    if max_concurrency is not None and downstream is None:
        faults.add("max_concurrency", max_concurrency, "only with a downstream", MAX_CONCURRENCY.page)
    asked = starts_per_second
    if asked is None or is_token(asked) or not STARTS_PER_SECOND.allows(asked):
        asked = float(STARTS_PER_SECOND.default or 0) if downstream is None else math.inf
    calls = None
    rate = asked
    if downstream is not None:
        calls = max_concurrency if _is_count(max_concurrency) else downstream.unpaced_concurrency
        rate = min(asked, _rate_of(downstream), _rate_of_calls(downstream, calls))
    concurrency = _concurrency(rate)
    parked = PARKED_CONCURRENCY if parks else 0
    interval = (concurrency + parked) / rate
    batch = max(1, min(_BATCH, math.floor(_PATIENCE / interval)))
    timeout = max(_SHORTEST_TIMEOUT, min(_LONGEST_TIMEOUT, math.ceil(2 * batch * interval)))
    return Pace(
        starts_per_second=rate,
        calls=calls,
        concurrency=concurrency,
        parked_concurrency=parked,
        batch_size=batch,
        timeout=timeout,
    )


def _rate_of(downstream: Downstream) -> float:
    """What it takes a second; of a limit of connections alone, what those can do (Little's law)."""
    if downstream.requests_per_second is not None:
        return downstream.requests_per_second
    return (downstream.connections or _FEWEST) / downstream.typical_latency_seconds


def _rate_of_calls(downstream: Downstream, calls: int | None) -> float:
    """The rate at which so many calls are under way at the typical latency."""
    return (calls or 1) / downstream.typical_latency_seconds


def _concurrency(rate: float) -> int:
    # Slow rates by few environments: each waits for its turns, and waiting is paid for.
    few = max(_FEWEST, min(_USUAL, math.floor(10 * rate)))
    return min(_MOST, max(few, math.ceil(rate / _STARTS_OF_ONE)))


def _is_count(value: object) -> bool:
    return value is not None and not is_token(value) and MAX_CONCURRENCY.allows(value)


def _digits(number: float) -> str:
    return f"{number:.6g}"


@jsii.implements(IStableStringProducer)
class _Text:
    def __init__(self, write: Callable[[], str]) -> None:
        self._write = write

    def produce(self) -> str:
        return self._write()
