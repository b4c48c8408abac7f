"""Breakers, store, stream, controller and mappings as one, each with its mishaps: it always finds back."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis.stateful import invariant, rule
from mapping_mishaps import FEEDS, NAMES, PERIOD, Mishaps
from mapping_world import Crash, World, stream_record
from resilient_runtime.breaker import BreakerPolicy, Circuit, CircuitState
from resilient_runtime.controller import MappingState

from tests.runtime.breaker.breaker_machine import BY_HAND, NAME, START, Environments, HarshStore

POLICY = BreakerPolicy(
    minimum_calls=4, window_seconds=10, recovery_seconds=10, lease_seconds=8, successes_to_close=3
)
_FED = MappingState("Enabled", 50)


class StoredWorld(World):
    """A world whose circuits are those that the environments write."""

    store: HarshStore

    def circuit(self, name: str) -> Circuit:
        """The circuit as it is stored: the controller's reads are consistent."""
        return self.store.history[-1].circuit if name == NAME else Circuit()


class WholeSystem(Environments, Mishaps):
    """Five environments share one circuit; the controller feeds them as its stream and its clock say."""

    policy = POLICY

    def __init__(self) -> None:
        self.told = 0
        super().__init__()
        self.world.store = self.store

    def make_world(self) -> StoredWorld:
        """Its time is the environments' time, too."""
        return StoredWorld(feeds=FEEDS, names=NAMES, now=START)

    @property
    def now(self) -> float:
        """Seconds since the beginning."""
        return self.world.now - START

    @now.setter
    def now(self, seconds: float) -> None:
        self.world.now = START + seconds

    @invariant()
    def the_stream_has_every_change(self) -> None:
        """DynamoDB tells each change of state once; what then becomes of the record is another matter."""
        for before, _, circuit in self.store.changes[self.told :]:
            if before.state is not circuit.state:
                self.stream.append(stream_record(NAME, before.state, circuit))
        self.told = len(self.store.changes)
        self.world.remaining = 30

    @rule()
    def the_stream_repeats_all_it_has(self) -> None:
        """A batch that failed comes again as a whole, the latest first this time."""
        with suppress(Crash):
            self.world.controller.on_stream(self.stream[::-1], self.world.left)

    def the_fed_call(self) -> None:
        """Every environment makes a call that goes well, as far as its mapping feeds it."""
        if self.world.look("queue").state != "Enabled":
            return
        for which in range(5):
            before = len(self.under_way)
            self.begin(which)
            if len(self.under_way) > before:
                breaker, began, lease = self.under_way.pop()
                breaker.leave(self.now - began, None, lease)

    def teardown(self) -> None:
        """Trouble ends, but what was lost is lost: who is fed alone finds the way back to full work."""
        self.the_store_is_well()
        self.store.is_deadly = None
        self.world.crash_after, self.world.busy = None, 0
        self.under_way.clear()
        if self.store.history[-1].circuit.state in BY_HAND:
            self.a_person_decides(CircuitState.CLOSED, 0)
        # The longest recovery, a lease that nobody gives back, and two runs of the reconciler.
        until = self.now + POLICY.longest_recovery_seconds + POLICY.lease_seconds + 2 * PERIOD + 60
        reconciles = self.now
        while self.now < until:
            self.the_stream_has_every_change()
            records: list[dict[str, Any]] = list(self.stream)
            self.stream.clear()
            self.world.controller.on_stream(records, self.world.left)
            for wake in self.world.due_wakes():
                self.world.controller.on_wake(wake, self.world.left)
            if self.now >= reconciles:
                self.world.controller.on_schedule(self.world.left)
                reconciles += PERIOD
            self.the_fed_call()
            self.now += 2
        self.every_change_is_a_lawful_one()
        assert self.store.history[-1].circuit.state is CircuitState.CLOSED
        assert all(breaker.circuit.state is CircuitState.CLOSED for breaker in self.breakers)
        assert self.world.look("queue") == _FED
        assert self.world.look("stream").state == "Enabled"
        self.check()


TestWholeSystem = WholeSystem.TestCase
TestWholeSystem.settings = settings(
    max_examples=200,  # 10,000 steps
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
