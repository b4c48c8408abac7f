"""The breaker where handlers meet it: ``with call.downstream("Courier")``."""

from __future__ import annotations

from typing import Any

import pytest
from breaker_fleet import NAME, START, Fleet
from resilient_runtime import Call, CircuitOpen, Reject
from resilient_runtime.breaker import CircuitState, GuardedBoundary
from resilient_runtime.clock import Clock
from resilient_runtime.settings import DownstreamSettings


def raise_(error: BaseException | None) -> None:
    """Raise it, if there is one."""
    if error is not None:
        raise error


class Recorded:
    """A boundary that notes what reaches it, and may refuse a turn."""

    def __init__(self) -> None:
        self.entered: list[str] = []
        self.left: list[str] = []
        self.given_up: list[str] = []
        self.ended: list[BaseException | None] = []
        self.error: Exception | None = None

    def enter(self, call: Call, downstream: DownstreamSettings) -> None:
        """A turn."""
        self.entered.append(downstream.name)
        if self.error:
            raise self.error

    def leave(
        self, call: Call, downstream: DownstreamSettings, seconds: float, error: BaseException | None
    ) -> None:
        """A record."""
        self.left.append(downstream.name)

    def give_up(self, call: Call, downstream: DownstreamSettings) -> None:
        """A turn given back."""
        self.given_up.append(downstream.name)

    def done(self, call: Call, error: BaseException | None) -> None:
        """The end of a message."""
        self.ended.append(error)


class Guarded:
    """One environment's boundary around calls that take no time."""

    def __init__(self, environments: int = 1) -> None:
        self.fleet = Fleet(environments)
        self.inner = Recorded()
        self.boundary = GuardedBoundary({NAME: self.fleet.breakers[0]}, self.inner)

    def call(self, **more: Any) -> Call:
        """A call whose time is the fleet's."""
        fleet = self.fleet
        clock = Clock(wall=lambda: START + fleet.now, ticks=lambda: fleet.now)
        return Call(boundary=self.boundary, clock=clock, **more)

    def cross(self, error: BaseException | None = None, name: str = NAME, **more: Any) -> None:
        """Cross the boundary and fail in there, or not; that is all of the message."""
        call = self.call(**more)
        try:
            with call.downstream(name, timeout=5):
                raise_(error)
        except BaseException as raised:
            self.boundary.done(call, raised)
            raise
        self.boundary.done(call, None)


def test_a_handlers_failures_open_the_circuit() -> None:
    """Then its next crossing is refused, waits for no turn and leaves no record."""
    guarded = Guarded()
    for _ in range(40):
        with pytest.raises((ConnectionError, CircuitOpen)):
            guarded.cross(ConnectionError("no answer"))
        guarded.fleet.now += 1
        if guarded.fleet.state is CircuitState.OPEN:
            break
    entered = len(guarded.inner.entered)

    with pytest.raises(CircuitOpen, match="Courier was not called"):
        guarded.cross()
    assert len(guarded.inner.entered) == len(guarded.inner.left) == entered == 10


def test_a_rejection_inside_a_crossing_does_not_count() -> None:
    """It goes on to the dead-letter queue, and the downstream is well."""
    guarded = Guarded()
    for _ in range(30):
        with pytest.raises(Reject):
            guarded.cross(Reject("no such address"))

    assert guarded.fleet.store.counts == 0


def test_a_probe_is_granted_and_brought_home() -> None:
    """Three crossings that succeed close the circuit again."""
    guarded = Guarded()
    guarded.fleet.open()
    guarded.fleet.wait_for_recovery()
    for _ in range(3):
        guarded.cross()

    assert guarded.fleet.state is CircuitState.CLOSED
    guarded.cross()


def test_a_probe_that_waits_in_vain_for_its_turn_holds_nothing() -> None:
    """The turn comes first and the claim last, so that a lease is all call."""
    guarded = Guarded()
    guarded.fleet.open()
    guarded.fleet.wait_for_recovery()
    guarded.inner.error = TimeoutError("no turn")
    with pytest.raises(TimeoutError, match="no turn"):
        guarded.cross()

    assert guarded.fleet.state is CircuitState.OPEN


def test_a_circuit_that_opened_while_waiting_refuses() -> None:
    """After the turn it is looked at again, and the turn is another's."""
    guarded = Guarded(2)
    fleet = guarded.fleet
    guarded.cross()

    def wait(call: Call, downstream: DownstreamSettings) -> None:
        fleet.now += 3
        fleet.open()
        fleet.now += 1

    guarded.inner.enter = wait  # type: ignore[method-assign]
    with pytest.raises(CircuitOpen):
        guarded.cross()
    assert guarded.inner.given_up == [NAME]


def test_a_crossing_that_is_too_late_blocks_no_probe() -> None:
    """Its lease goes back at once, and its turn too."""
    guarded = Guarded()
    guarded.fleet.open()
    guarded.fleet.wait_for_recovery()
    with pytest.raises(TimeoutError, match="was not called"):
        guarded.cross(remaining=lambda: 300)
    assert guarded.fleet.state is CircuitState.HALF_OPEN
    assert guarded.fleet.circuit.leases == {}
    assert guarded.inner.given_up == [NAME]

    for _ in range(3):
        guarded.cross()
    assert guarded.fleet.state is CircuitState.CLOSED
    assert guarded.boundary._probes == {}


def test_a_downstream_without_a_breaker_is_called_as_ever() -> None:
    """Its turn and its record are those of the boundary inside."""
    guarded = Guarded()
    for _ in range(50):
        with pytest.raises(ConnectionError):
            guarded.cross(ConnectionError("no answer"), name="Bank")

    assert guarded.inner.entered == guarded.inner.left == ["Bank"] * 50
    assert guarded.fleet.store.asked == 0
