"""A circuit's transitions, one by one and in any order."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from resilient_runtime.breaker import BreakerPolicy, Circuit, CircuitState, Lease
from resilient_runtime.breaker.circuit import (
    after_claim,
    after_failure,
    after_opening,
    after_order,
    after_recovery_time,
    after_release,
    after_success,
)
from resilient_runtime.breaker.policy import recovery_delay

NOW = 1_700_000_000.0
POLICY = BreakerPolicy(probes=2)
CLOSED = Circuit()
LEASE = Lease(id="env0/1", until=NOW + 130)


def opened(circuit: Circuit = CLOSED, now: float = NOW, random: float = 1.0) -> Circuit:
    """The circuit, opened."""
    return after_opening(circuit, POLICY, now=now, random=lambda: random, reason="down", by="env0")


def claimed(circuit: Circuit, lease: Lease = LEASE, now: float = NOW + 100) -> Circuit:
    """The circuit, with one more probe under way."""
    return after_claim(circuit, POLICY, now=now, lease=lease, by="env0")


def failed(circuit: Circuit, lease: Lease = LEASE, now: float = NOW + 101) -> Circuit:
    """The circuit, after a probe that failed."""
    return after_failure(circuit, POLICY, now=now, random=lambda: 1.0, lease=lease, reason="no", by="env0")


def succeeded(circuit: Circuit, lease: Lease = LEASE) -> Circuit:
    """The circuit, after a probe that succeeded."""
    return after_success(circuit, POLICY, now=NOW + 101, lease=lease, by="env0")


def test_opening_says_when_why_and_who() -> None:
    """The first opening waits for the recovery time at most."""
    circuit = opened()

    assert circuit == Circuit(
        state=CircuitState.OPEN,
        version=1,
        changed_at=NOW,
        retry_at=NOW + 15,
        openings=1,
        reason="down",
        by="env0",
    )


@pytest.mark.parametrize("state", [one for one in CircuitState if one is not CircuitState.CLOSED])
def test_only_a_closed_circuit_opens(state: CircuitState) -> None:
    """An environment that is late with its verdict changes nothing, least of all what a person set."""
    circuit = Circuit(state=state, version=3)

    assert opened(circuit) is circuit


def test_a_probe_is_claimed_only_when_it_is_time() -> None:
    """Before the recovery time is over nobody probes."""
    circuit = opened()

    assert claimed(circuit, now=NOW + 14.9) is circuit
    assert claimed(circuit, now=NOW + 15).state is CircuitState.HALF_OPEN
    assert after_recovery_time(circuit, now=NOW + 14.9, by="clock") is circuit
    assert after_recovery_time(circuit, now=NOW + 15, by="clock").leases == {}


def test_places_are_few_and_run_out() -> None:
    """A third probe waits for a place; one whose lease is over makes room."""
    circuit = claimed(claimed(opened()), Lease(id="env1/1", until=NOW + 140))
    third = Lease(id="env2/1", until=NOW + 170)

    assert claimed(circuit, third, NOW + 129.9) is circuit
    assert claimed(circuit, third, NOW + 130).leases == {"env1/1": NOW + 140, "env2/1": NOW + 170}


def test_the_third_success_closes() -> None:
    """Two are not enough; on closing nothing of the outage is left but the number of openings."""
    circuit = opened()
    for _ in range(3):
        assert circuit.state in (CircuitState.OPEN, CircuitState.HALF_OPEN)
        circuit = succeeded(claimed(circuit))

    assert (circuit.state, circuit.closed_at, circuit.leases) == (CircuitState.CLOSED, NOW + 101, {})
    assert (circuit.retry_at, circuit.successes, circuit.openings) == (None, 0, 1)


def test_a_failed_probe_forgets_the_successes() -> None:
    """They have to be had in a row."""
    circuit = failed(claimed(succeeded(claimed(opened()))))

    assert (circuit.state, circuit.successes, circuit.openings) == (CircuitState.OPEN, 0, 2)
    assert circuit.retry_at == NOW + 101 + 30


@pytest.mark.parametrize("outcome", [failed, succeeded, lambda one: after_release(one, lease=LEASE)])
def test_a_lease_that_is_not_held_changes_nothing(outcome: Any) -> None:
    """Whoever took its place, or closed or opened the circuit meanwhile, has decided."""
    for circuit in (CLOSED, opened(), claimed(opened(), Lease(id="env1/1", until=NOW + 140))):
        assert outcome(circuit) is circuit


def test_orders_are_for_lasting_states() -> None:
    """An order that is already carried out writes nothing; the others keep reason and person."""
    forced = after_order(opened(), CircuitState.FORCED_OPEN, now=NOW, reason="audit", by="ada")

    assert (forced.state, forced.reason, forced.by, forced.retry_at) == ("FORCED_OPEN", "audit", "ada", None)
    assert after_order(forced, CircuitState.FORCED_OPEN, now=NOW, reason="again", by="bob") is forced
    assert after_order(forced, CircuitState.CLOSED, now=NOW, reason="done", by="ada").closed_at == NOW


@given(openings=st.integers(0, 10_000), random=st.floats(0, 1, exclude_max=True), data=st.data())
def test_the_recovery_time_has_a_floor_and_a_cap(openings: int, random: float, data: st.DataObject) -> None:
    """It is at least half of the first one, and grows up to the cap."""
    policy = BreakerPolicy(
        recovery_seconds=data.draw(st.floats(0.1, 100)),
        longest_recovery_seconds=data.draw(st.floats(100, 1000)),
        recovery_growth=data.draw(st.floats(1, 10)),
    )
    delay = recovery_delay(policy, openings, random)

    assert policy.recovery_seconds * 0.75 <= delay <= policy.longest_recovery_seconds
    if openings <= 1:
        assert delay <= policy.recovery_seconds
    assert recovery_delay(policy, openings + 1, random) >= delay


@given(steps=st.lists(st.tuples(st.sampled_from("ocsfrtdDF"), st.floats(0, 50), st.integers(0, 3))))
def test_every_step_counts_up_or_changes_nothing(steps: list[tuple[str, float, int]]) -> None:
    """A transition gives back the very circuit, or the next version of a different one."""
    now, circuit = NOW, CLOSED
    for kind, seconds, number in steps:
        now += seconds
        lease = Lease(id=f"env{number}", until=now + 8)
        known: dict[str, Any] = {"lease": lease, "by": "env0"}
        after = {
            "o": lambda: opened(circuit, now, 0.5),  # noqa: B023
            "c": lambda: after_claim(circuit, POLICY, now=now, **known),  # noqa: B023
            "s": lambda: after_success(circuit, POLICY, now=now, **known),  # noqa: B023
            "f": lambda: failed(circuit, lease, now),  # noqa: B023
            "r": lambda: after_release(circuit, lease=lease),  # noqa: B023
            "t": lambda: after_recovery_time(circuit, now=now, by="clock"),  # noqa: B023
            "d": lambda: ordered(circuit, CircuitState.DISABLED, now),  # noqa: B023
            "D": lambda: ordered(circuit, CircuitState.CLOSED, now),  # noqa: B023
            "F": lambda: ordered(circuit, CircuitState.FORCED_OPEN, now),  # noqa: B023
        }[kind]()
        if after is not circuit:
            assert after.version == circuit.version + 1
            assert (after.state, after.leases, after.successes) != (
                circuit.state,
                circuit.leases,
                circuit.successes,
            )
        assert len(after.leases) <= POLICY.probes
        assert (after.retry_at is not None) is (after.state is CircuitState.OPEN)
        circuit = after


def ordered(circuit: Circuit, state: CircuitState, now: float) -> Circuit:
    """The circuit after an order."""
    return after_order(circuit, state, now=now, reason="because", by="ada")
