"""Environments, their store, and all that may become of either; with it what always holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from hypothesis import event
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from resilient_runtime import Reject
from resilient_runtime.breaker import (
    Breaker,
    BreakerPolicy,
    Circuit,
    CircuitOpen,
    CircuitState,
    Lease,
    MemoryCircuits,
    Record,
    Written,
    order,
)
from resilient_runtime.breaker.window import Bucket
from resilient_runtime.clock import Clock

__all__ = ["BY_HAND", "NAME", "POLICY", "START", "Environments", "HarshStore", "Killed"]

NAME, START = "Courier", 1_700_000_000.0
POLICY = BreakerPolicy(
    minimum_calls=4, window_seconds=10, recovery_seconds=10, probes=2, lease_seconds=8, successes_to_close=3
)
BY_HAND = (CircuitState.FORCED_OPEN, CircuitState.DISABLED)


class Killed(BaseException):
    """The environment is gone in the middle of an exchange."""


class HarshStore(MemoryCircuits):
    """Answers late, not at all, or with what was true some time ago; keeps all that was ever stored."""

    def __init__(self) -> None:
        super().__init__()
        self.is_down = False
        self.answer_is_lost = False
        self.is_deadly: str | None = None
        self.staleness = 0
        self.history = [Record()]
        self.changes: list[tuple[Circuit, Circuit, Circuit]] = []
        self.hands = 0

    def read(self, name: str) -> Record:
        """As it was, a few writes ago."""
        self._begin()
        return self.history[max(len(self.history) - 1 - self.staleness, 0)]

    def count(self, name: str, entries: Mapping[int, Bucket], over: Iterable[int] = ()) -> Record:
        """As in memory."""
        self._begin()
        record = super().count(name, entries, over)
        self._end(record)
        return record

    def change(self, name: str, circuit: Circuit, *, before: Circuit, over: Iterable[int] = ()) -> Written:
        """As in memory; what was there, what was decided from, and what was written is kept."""
        self._begin()
        stored = super().read(name).circuit
        written = super().change(name, circuit, before=before, over=over)
        if written.done:
            self.changes.append((stored, before, circuit))
        self._end(written.record)
        return written

    def _begin(self) -> None:
        if self.is_down:
            raise ConnectionError("no answer")
        if self.is_deadly == "before":
            raise Killed

    def _end(self, record: Record) -> None:
        self.history.append(record)
        if self.is_deadly == "after":
            raise Killed
        if self.answer_is_lost:
            raise ConnectionError("the answer was lost")


class Environments(RuleBasedStateMachine):
    """Five environments with clocks up to two seconds off, and one store."""

    policy = POLICY

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.store = HarshStore()
        self.skews = [-2.0, -0.7, 0.0, 0.7, 2.0]
        self.born = 0
        self.breakers = [self.fresh(skew) for skew in self.skews]
        self.under_way: list[tuple[Breaker, float, Lease | None]] = []
        self.seen = 0
        self.known: dict[Breaker, int] = {}

    def fresh(self, skew: float) -> Breaker:
        """A new environment."""
        self.born += 1
        return Breaker(
            NAME,
            self.policy,
            store=self.store,
            environment=f"env{self.born}",
            clock=Clock(wall=lambda: START + self.now + skew, ticks=lambda: self.now),
            random=lambda: 0.5,
        )

    def begin(self, which: int) -> None:
        """Enter, and be refused or have a call under way."""
        breaker = self.breakers[which]
        try:
            self.under_way.append((breaker, self.now, breaker.enter()))
        except CircuitOpen:
            pass
        except Killed:
            self.replace(which)

    def replace(self, which: int) -> None:
        """Lambda makes a new environment in place of one that died; its calls are never left."""
        dead = self.breakers[which]
        self.under_way = [call for call in self.under_way if call[0] is not dead]
        self.breakers[which] = self.fresh(self.skews[which])

    @rule(which=st.integers(0, 4), times=st.integers(1, 3))
    def calls_begin(self, which: int, times: int) -> None:
        """An environment has several calls under way."""
        for _ in range(times):
            self.begin(which)

    @rule(
        data=st.data(),
        outcome=st.sampled_from(["good", "failed", "failed", "failed", "rejected"]),
        seconds=st.sampled_from([0.01, 1.0, 9.0]),
    )
    @precondition(lambda self: self.under_way)
    def a_call_ends(self, data: Any, outcome: str, seconds: float) -> None:
        """Some call of some environment ends."""
        index = data.draw(st.integers(0, len(self.under_way) - 1))
        breaker, began, lease = self.under_way.pop(index)
        self.now += seconds
        error = {"good": None, "failed": TimeoutError(), "rejected": Reject("no")}[outcome]
        try:
            breaker.leave(self.now - began, error, lease)
        except Killed:
            self.replace(self.breakers.index(breaker))

    @rule(times=st.integers(4, 12))
    def everything_fails(self, times: int) -> None:
        """A spell of outage over all environments."""
        for number in range(times):
            self.begin(number % 5)
            if self.under_way and self.under_way[-1][0] is self.breakers[number % 5]:
                breaker, _, lease = self.under_way.pop()
                self.now += 0.2
                try:
                    breaker.leave(0.2, ConnectionError(), lease)
                except Killed:
                    self.replace(number % 5)

    @rule(seconds=st.sampled_from([0.1, 1.1, 5.1, 9.0, 31.0]))
    def time_passes(self, seconds: float) -> None:
        """Nothing happens for a while."""
        self.now += seconds

    @rule()
    @precondition(lambda self: self.store.history[-1].circuit.state is CircuitState.CLOSED)
    def it_breaks_down(self) -> None:
        """Everything fails for so long that the circuit opens, if anybody can be told."""
        for _ in range(6):
            self.everything_fails(5)
            self.now += 2

    @rule(late=st.sampled_from([-2.1, 0.0, 2.0]))
    @precondition(lambda self: self.store.history[-1].circuit.retry_at)
    def the_recovery_time_ends(self, late: float) -> None:
        """It is time to probe: for some, as clocks differ, or for all."""
        self.now = max(self.now, (self.store.history[-1].circuit.retry_at or 0) - START + late)

    @rule(which=st.integers(0, 4))
    def an_environment_dies(self, which: int) -> None:
        """Its calls under way are never left, its leases never given back."""
        self.replace(which)

    @rule(down=st.booleans(), lost=st.booleans(), staleness=st.sampled_from([0, 0, 1, 3, 10]))
    def the_store_behaves_otherwise(self, down: bool, lost: bool, staleness: int) -> None:
        """It is away, or loses answers, or reads are old, from now on."""
        self.store.is_down, self.store.answer_is_lost, self.store.staleness = down, lost, staleness

    @rule()
    def the_store_is_well(self) -> None:
        """All of that is over."""
        self.store.is_down = self.store.answer_is_lost = False
        self.store.staleness = 0

    @rule(which=st.integers(0, 4), when=st.sampled_from(["before", "after"]))
    def an_environment_dies_talking(self, which: int, when: str) -> None:
        """It is killed before or after its next request reached the store."""
        self.store.is_deadly = when
        self.begin(which)
        self.store.is_deadly = None

    @rule(state=st.sampled_from([CircuitState.CLOSED, *BY_HAND]), stale=st.integers(0, 5))
    @precondition(lambda self: self.store.hands < 2)
    def a_person_decides(self, state: CircuitState, stale: int) -> None:
        """An order is given, from a screen that may be old."""
        kept = self.store.is_down, self.store.answer_is_lost, self.store.staleness
        self.store.is_down, self.store.answer_is_lost, self.store.staleness = False, False, stale
        first = len(self.store.changes)
        order(self.store, NAME, state, now=START + self.now, reason="because", by="a person")
        self.store.hands += len(self.store.changes) - first
        self.store.is_down, self.store.answer_is_lost, self.store.staleness = kept

    @invariant()
    def every_change_is_a_lawful_one(self) -> None:
        """Versions grow by one, nothing stale lands, no state is written twice, hands decide on theirs."""
        for stored, before, circuit in self.store.changes[self.seen :]:
            event(f"{stored.state} > {circuit.state}")
            assert circuit.version == stored.version + 1
            assert before.version == stored.version
            assert before == stored
            assert (stored.state, circuit.state) != (CircuitState.CLOSED, CircuitState.CLOSED)
            if circuit.state is stored.state:
                assert circuit.state is CircuitState.HALF_OPEN
                assert circuit != stored
            if circuit.by != "a person":
                assert stored.state not in BY_HAND
                assert circuit.state not in BY_HAND
                assert (stored.state, circuit.state) in {
                    (CircuitState.CLOSED, CircuitState.OPEN),
                    (CircuitState.OPEN, CircuitState.HALF_OPEN),
                    (CircuitState.HALF_OPEN, CircuitState.HALF_OPEN),
                    (CircuitState.HALF_OPEN, CircuitState.OPEN),
                    (CircuitState.HALF_OPEN, CircuitState.CLOSED),
                }
        self.seen = len(self.store.changes)

    @invariant()
    def leases_are_few(self) -> None:
        """Never more probes at a time than the policy allows, and none but half open."""
        circuit = self.store.history[-1].circuit
        assert len(circuit.leases) <= self.policy.probes
        assert not circuit.leases or circuit.state is CircuitState.HALF_OPEN
        assert circuit.successes < self.policy.successes_to_close

    @invariant()
    def nobody_goes_back(self) -> None:
        """What an environment knows only gets newer, and is never newer than what is stored."""
        latest = self.store.history[-1].circuit
        for breaker in self.breakers:
            assert self.known.get(breaker, 0) <= breaker.circuit.version <= latest.version
            self.known[breaker] = breaker.circuit.version
