"""A courier's API that is slow, takes ten calls a second and fails one in five: the scalability boundary.

It remembers idempotency keys and every call, so it is a second witness beside the consumer's own records:
what was delivered, and what was delivered twice. The parameters are those of the experiment this project
takes as its reference workload; only the latency is shortened, so that a demonstration ends in minutes.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from .bucket import TokenBucket

__all__ = ["Call", "Courier", "Manner", "Outcome", "Reply"]


class Outcome(StrEnum):
    """How the courier answered one call."""

    DELIVERED = "delivered"
    REPEATED = "repeated"
    """Delivered before under this idempotency key: answered from memory, not delivered again."""
    FAILED = "failed"
    REFUSED = "refused"
    THROTTLED = "throttled"
    DOWN = "down"
    MISUSED = "misused"
    """A request that is none: no JSON object, or no idempotency key."""


STATUS = {
    Outcome.DELIVERED: 200,
    Outcome.REPEATED: 200,
    Outcome.FAILED: 502,
    Outcome.REFUSED: 422,
    Outcome.THROTTLED: 429,
    Outcome.DOWN: 503,
    Outcome.MISUSED: 400,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Manner:
    """How the courier behaves.

    :param requests_per_second: calls it admits on average; above it answers 429. Default: 10
    :param burst: calls it admits at once. Default: 10
    :param failure_share: share of admitted calls that fail at once with 502. Default: 0.2
    :param fastest: seconds that the quickest delivery takes. Default: 0.2 (the experiment: 1)
    :param slowest: seconds that the slowest takes; uniform in between. Default: 0.6 (the experiment: 10)
    :raises ValueError: when the share is no share or the latencies are out of order
    """

    requests_per_second: float = 10.0
    burst: float = 10.0
    failure_share: float = 0.2
    fastest: float = 0.2
    slowest: float = 0.6

    def __post_init__(self) -> None:
        if not 0 <= self.failure_share <= 1:
            raise ValueError(f"Manner: failure_share is {self.failure_share!r}; allowed: 0 to 1")
        if not 0 <= self.fastest <= self.slowest:
            raise ValueError(
                f"Manner: fastest is {self.fastest!r} and slowest {self.slowest!r}; "
                "allowed: 0 <= fastest <= slowest, in seconds"
            )

    @property
    def capacity(self) -> float:
        """Deliveries per second that it can make at most, however it is called: admitted and not failed."""
        return self.requests_per_second * (1 - self.failure_share)

    @property
    def mean_time_in_service(self) -> float:
        """Seconds that an admitted call occupies its caller on average; failures return at once."""
        return (1 - self.failure_share) * (self.fastest + self.slowest) / 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """One call as the courier saw it.

    :param at: when it came, in seconds since the epoch
    :param ended: when it was answered
    :param outcome: how it was answered
    :param key: its idempotency key, empty where none was sent
    :param correlation_id: whose order it was, empty where none was sent
    """

    at: float
    ended: float
    outcome: Outcome
    key: str = ""
    correlation_id: str = ""

    @property
    def status(self) -> int:
        """The HTTP status of the answer."""
        return STATUS[self.outcome]


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """What to answer: the outcome, how long to take over it, and when the caller may come back."""

    outcome: Outcome
    after: float = 0.0
    retry_after: float | None = None


@dataclass(slots=True)
class Courier:
    """Decides how every call is answered and remembers it; ``.server.CourierServer`` puts it on HTTP.

    :param manner: how it behaves
    :param seed: makes its failures and latencies repeatable for one order of calls
    :param clock: the time in seconds since the epoch; tests hand in their own
    """

    manner: Manner = field(default_factory=Manner)
    seed: int = 0
    clock: Callable[[], float] = time.time
    calls: list[Call] = field(default_factory=list, init=False)
    is_down: bool = field(default=False, init=False)
    outages: list[tuple[float, float | None]] = field(default_factory=list, init=False)
    _delivered: set[str] = field(default_factory=set, init=False)
    _bucket: TokenBucket = field(init=False)
    _dice: random.Random = field(init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def __post_init__(self) -> None:
        self._bucket = TokenBucket(rate=self.manner.requests_per_second, burst=self.manner.burst)
        self._dice = random.Random(self.seed)  # noqa: S311 (weather, not cryptography)

    def down(self) -> None:
        """Begin an outage: from now on every call is answered with 503, at once."""
        with self._lock:
            if not self.is_down:
                self.is_down = True
                self.outages.append((self.clock(), None))

    def up(self) -> None:
        """End the outage."""
        with self._lock:
            if self.is_down:
                self.is_down = False
                self.outages[-1] = (self.outages[-1][0], self.clock())

    def decide(self, order: Any, key: str) -> Reply:
        """How to answer this call; takes a token, and asks the dice where the weather decides.

        The order of the questions is the real one: an unreachable courier counts nothing, a gateway
        throttles before it looks, a bad address is refused before a van is sent.
        """
        with self._lock:
            if self.is_down:
                return Reply(outcome=Outcome.DOWN)
            self._bucket, wait = self._bucket.take(self.clock())
            if wait > 0:
                return Reply(outcome=Outcome.THROTTLED, retry_after=wait)
            if not key or not isinstance(order, dict):
                return Reply(outcome=Outcome.MISUSED)
            if not deliverable(order.get("address")):
                return Reply(outcome=Outcome.REFUSED)
            if key in self._delivered:
                return Reply(outcome=Outcome.REPEATED)
            if self._dice.random() < self.manner.failure_share:
                return Reply(outcome=Outcome.FAILED)
            return Reply(
                outcome=Outcome.DELIVERED, after=self._dice.uniform(self.manner.fastest, self.manner.slowest)
            )

    def record(self, call: Call) -> Call:
        """Remember a finished call; the second delivery under one key becomes a repeated one.

        Two calls under one key can be under way at once (the first one's caller gave up waiting), so it is
        the end that tells which of them was the delivery.
        """
        with self._lock:
            if call.outcome is Outcome.DELIVERED:
                if call.key in self._delivered:
                    call = Call(
                        at=call.at,
                        ended=call.ended,
                        outcome=Outcome.REPEATED,
                        key=call.key,
                        correlation_id=call.correlation_id,
                    )
                self._delivered.add(call.key)
            self.calls.append(call)
            return call

    def seen(self) -> tuple[Call, ...]:
        """Every call that has ended so far, in the order they ended."""
        with self._lock:
            return tuple(self.calls)


def deliverable(address: Any) -> bool:
    """Whether the courier can find this address; an order to ``nowhere`` is refused whatever the weather."""
    return isinstance(address, str) and bool(address.strip()) and not address.lower().startswith("nowhere")
