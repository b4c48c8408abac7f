"""Environments that share a circuit, a store that can fail, and a time that only the test moves."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping
from random import Random
from typing import Any

from resilient_runtime.breaker import (
    Breaker,
    BreakerPolicy,
    Circuit,
    CircuitOpen,
    CircuitState,
    MemoryCircuits,
    Record,
    Transition,
    Written,
)
from resilient_runtime.breaker.window import Bucket
from resilient_runtime.clock import Clock

__all__ = ["NAME", "START", "Fleet", "Outage", "Ran", "WatchedStore", "run"]

NAME = "Courier"
START = 1_700_000_000.0


class DownError(ConnectionError):
    """The downstream, or the store, does not answer."""


class WatchedStore(MemoryCircuits):
    """Counts what it is asked, keeps every change, and is away while ``is_down``."""

    def __init__(self) -> None:
        super().__init__()
        self.is_down = False
        self.reads = self.counts = self.attempts = 0
        self.changes: list[tuple[Circuit, Circuit]] = []

    @property
    def asked(self) -> int:
        """How many requests there were in all."""
        return self.reads + self.counts + self.attempts

    @property
    def written(self) -> int:
        """How many of them were writes."""
        return self.counts + self.attempts

    def read(self, name: str) -> Record:
        """As in memory."""
        self.reads += 1
        self._answer()
        return super().read(name)

    def count(self, name: str, entries: Mapping[int, Bucket], over: Iterable[int] = ()) -> Record:
        """As in memory."""
        self.counts += 1
        self._answer()
        return super().count(name, entries, over)

    def change(self, name: str, circuit: Circuit, *, before: Circuit, over: Iterable[int] = ()) -> Written:
        """As in memory, and kept in ``changes``."""
        self.attempts += 1
        self._answer()
        stored = super().read(name).circuit
        written = super().change(name, circuit, before=before, over=over)
        if written.done:
            self.changes.append((stored, circuit))
        return written

    def _answer(self) -> None:
        if self.is_down:
            raise DownError("the store does not answer")


class Fleet:
    """Some environments of one downstream; ``fleet.call(3)`` makes a call from the fourth."""

    def __init__(
        self, environments: int = 3, policy: BreakerPolicy | None = None, *, random: float = 1.0, **more: Any
    ) -> None:
        self.policy = policy or BreakerPolicy()
        self.now = 0.0
        self.store = WatchedStore()
        self.transitions: list[Transition] = []
        self.store_errors: list[Exception] = []
        self.breakers = [
            Breaker(
                NAME,
                self.policy,
                store=self.store,
                environment=f"env{number}",
                clock=Clock(wall=lambda: START + self.now, ticks=lambda: self.now),
                random=lambda: random,
                on_transition=[self.transitions.append],
                on_store_error=self.store_errors.append,
                **more,
            )
            for number in range(environments)
        ]

    @property
    def circuit(self) -> Circuit:
        """The circuit as it is stored."""
        return MemoryCircuits.read(self.store, NAME).circuit

    @property
    def state(self) -> CircuitState:
        """The state as it is stored."""
        return self.circuit.state

    def call(self, environment: int = 0, error: BaseException | None = None, seconds: float = 0.1) -> bool:
        """Make a call that takes so long and ends so; whether it was let through."""
        breaker = self.breakers[environment]
        try:
            lease = breaker.enter()
        except CircuitOpen:
            return False
        self.now += seconds
        breaker.leave(seconds, error, lease)
        self.now += 0.001  # the next call begins later than this one ended
        return True

    def fail(self, environment: int = 0, times: int = 1, seconds: float = 0.1) -> int:
        """Make calls that fail; how many were let through."""
        return sum(self.call(environment, DownError("no answer"), seconds) for _ in range(times))

    def open(self) -> None:
        """Let the downstream fail in every environment until the circuit is open."""
        for _ in range(1000):
            for environment in range(len(self.breakers)):
                self.fail(environment)
            if self.state is CircuitState.OPEN:
                return
            self.now += 0.5
        raise AssertionError("it did not open")

    def wait_for_recovery(self) -> None:
        """Let the time pass until a probe may be made."""
        assert self.circuit.retry_at is not None
        self.now = self.circuit.retry_at - START


Outage = Callable[[float, int, Random], bool]
"""Whether a call fails that begins then, in that environment."""


class Ran:
    """What became of a run.

    :ivar calls: when each call that was let through began, and whether it failed
    :ivar refused: how many were not
    """

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.calls: list[tuple[float, bool]] = []
        self.refused = 0
        self.changes: list[tuple[float, CircuitState]] = []

    def at(self, state: CircuitState, after: float = 0) -> float | None:
        """When the circuit first came into this state, from then on."""
        return next((at for at, to in self.changes if to is state and at >= after), None)

    def sent(self, begin: float, end: float) -> int:
        """How many calls were let through between."""
        return sum(begin <= at < end for at, _ in self.calls)


def run(
    fails: Outage,
    *,
    environments: int = 50,
    per_second: float,
    until: float,
    good_seconds: float = 0.3,
    bad_seconds: float = 0.05,
    policy: BreakerPolicy | None = None,
    seed: int = 1,
) -> Ran:
    """Calls arrive at random and go to an idle environment each, one at a time per environment."""
    random = Random(seed)
    fleet = Fleet(environments, policy, random=0.5)
    ran = Ran(fleet)
    for breaker in fleet.breakers:
        breaker._random = breaker._view._random = random.random
        breaker._view._on_transition = [lambda t: ran.changes.append((fleet.now, t.circuit.state))]
    queue: list[tuple[float, int, Any]] = [(random.expovariate(per_second), 0, None)]
    idle, number = list(range(environments)), 0
    while queue[0][0] < until:
        fleet.now, _, ended = heapq.heappop(queue)
        number += 1
        if ended is not None:
            environment, lease, seconds, error = ended
            fleet.breakers[environment].leave(seconds, error, lease)
            idle.append(environment)
            continue
        heapq.heappush(queue, (fleet.now + random.expovariate(per_second), number, None))
        if not idle:
            continue
        environment = idle.pop(random.randrange(len(idle)))
        try:
            lease = fleet.breakers[environment].enter()
        except CircuitOpen:
            ran.refused += 1
            idle.append(environment)
            continue
        bad = fails(fleet.now, environment, random)
        ran.calls.append((fleet.now, bad))
        seconds = bad_seconds if bad else good_seconds
        error = DownError("no answer") if bad else None
        heapq.heappush(queue, (fleet.now + seconds, -number, (environment, lease, seconds, error)))
    return ran
