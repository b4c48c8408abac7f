"""The state of a circuit, and every way in which it can change: pure functions from one state to the next.

A function returns the very circuit that it was given when nothing is to change, so that nothing is written.
Every other result has the next version. Writers make their write conditional on the version that they decided
from: whoever decided from an older state, or whose lease went to somebody else, changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from .policy import BreakerPolicy, recovery_delay

__all__ = [
    "Circuit",
    "CircuitState",
    "Lease",
    "after_claim",
    "after_failure",
    "after_opening",
    "after_order",
    "after_recovery_time",
    "after_release",
    "after_success",
]


class CircuitState(StrEnum):
    """Whether calls pass: ``FORCED_OPEN`` and ``DISABLED`` are set by hand only, and stay."""

    CLOSED = "CLOSED"
    OPEN = "OPEN"
    HALF_OPEN = "HALF_OPEN"
    FORCED_OPEN = "FORCED_OPEN"
    DISABLED = "DISABLED"


@dataclass(frozen=True, kw_only=True, slots=True)
class Lease:
    """The right to one probe.

    :param id: names the environment and the probe; it is never used twice
    :param until: wall-clock seconds at which another may take its place
    """

    id: str
    until: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Circuit:
    """What all environments share about one downstream. Times are seconds since 1970, to the millisecond.

    :param version: grows with every write
    :param changed_at: when the state last changed
    :param retry_at: when the first probe may go out; only while OPEN
    :param closed_at: when it last closed: no call that began before counts
    :param openings: how many times in a row it opened without having been well in between
    :param successes: probes that succeeded since it is half open
    :param leases: by id, until when each probe under way is protected
    :param reason: why it is in this state, for people
    :param by: the environment or the person that brought it there
    """

    state: CircuitState = CircuitState.CLOSED
    version: int = 0
    changed_at: float | None = None
    retry_at: float | None = None
    closed_at: float | None = None
    openings: int = 0
    successes: int = 0
    leases: Mapping[str, float] = field(default_factory=dict)
    reason: str = ""
    by: str = ""


def after_opening(
    circuit: Circuit, policy: BreakerPolicy, *, now: float, random: Callable[[], float], reason: str, by: str
) -> Circuit:
    """The calls of all environments say that the downstream is down; only a closed circuit opens for it."""
    if circuit.state is not CircuitState.CLOSED:
        return circuit
    return _opened(circuit, policy, now=now, random=random, reason=reason, by=by)


def after_recovery_time(circuit: Circuit, *, now: float, by: str) -> Circuit:
    """The time to wait is over; probes may be claimed. For whoever feeds the environments, not for them."""
    if circuit.state is not CircuitState.OPEN or not _is_due(circuit, now):
        return circuit
    return _half_open(circuit, now=now, by=by, leases={})


def after_claim(circuit: Circuit, policy: BreakerPolicy, *, now: float, lease: Lease, by: str) -> Circuit:
    """An environment wants to probe; the same circuit when it may not."""
    granted = {lease.id: _ms(lease.until)}
    if circuit.state is CircuitState.OPEN and _is_due(circuit, now):
        return _half_open(circuit, now=now, by=by, leases=granted)
    if circuit.state is not CircuitState.HALF_OPEN:
        return circuit
    live = {id_: until for id_, until in circuit.leases.items() if until > now}
    if len(live) >= policy.probes:
        return circuit
    return replace(circuit, version=circuit.version + 1, leases=live | granted)


def after_success(circuit: Circuit, policy: BreakerPolicy, *, now: float, lease: Lease, by: str) -> Circuit:
    """A probe succeeded; the last one that was needed closes the circuit."""
    if not _holds(circuit, lease):
        return circuit
    successes = circuit.successes + 1
    if successes < policy.successes_to_close:
        return replace(after_release(circuit, lease=lease), successes=successes)
    return Circuit(
        state=CircuitState.CLOSED,
        version=circuit.version + 1,
        changed_at=_ms(now),
        closed_at=_ms(now),
        openings=circuit.openings,
        reason=f"{successes} probes in a row succeeded",
        by=by,
    )


def after_failure(
    circuit: Circuit,
    policy: BreakerPolicy,
    *,
    now: float,
    random: Callable[[], float],
    lease: Lease,
    reason: str,
    by: str,
) -> Circuit:
    """A probe failed; the circuit opens again, for longer."""
    if not _holds(circuit, lease):
        return circuit
    return _opened(circuit, policy, now=now, random=random, reason=reason, by=by)


def after_release(circuit: Circuit, *, lease: Lease) -> Circuit:
    """A probe ended without telling anything about the downstream; its place is free."""
    if not _holds(circuit, lease):
        return circuit
    left = {id_: until for id_, until in circuit.leases.items() if id_ != lease.id}
    return replace(circuit, version=circuit.version + 1, leases=left)


def after_order(circuit: Circuit, state: CircuitState, *, now: float, reason: str, by: str) -> Circuit:
    """A person wants it closed, forced open or disabled, and says why.

    :raises ValueError: for a state that comes and goes by itself, or without a reason
    """
    if state not in (CircuitState.CLOSED, CircuitState.FORCED_OPEN, CircuitState.DISABLED):
        raise ValueError(f"a circuit cannot be ordered to be {state}; allowed: CLOSED, FORCED_OPEN, DISABLED")
    if not reason.strip():
        raise ValueError("an order needs a reason: whoever reads the audit asks for it first")
    if circuit.state is state:
        return circuit
    return Circuit(
        state=state,
        version=circuit.version + 1,
        changed_at=_ms(now),
        closed_at=_ms(now) if state is CircuitState.CLOSED else circuit.closed_at,
        reason=reason,
        by=by,
    )


def _opened(
    circuit: Circuit, policy: BreakerPolicy, *, now: float, random: Callable[[], float], reason: str, by: str
) -> Circuit:
    # Closed for less than a window is not well yet: a circuit that flaps waits longer each time.
    well = circuit.closed_at is None or now - circuit.closed_at > policy.window_seconds
    openings = 1 if circuit.state is CircuitState.CLOSED and well else circuit.openings + 1
    return Circuit(
        state=CircuitState.OPEN,
        version=circuit.version + 1,
        changed_at=_ms(now),
        retry_at=_ms(now + recovery_delay(policy, openings, random())),
        closed_at=circuit.closed_at,
        openings=openings,
        reason=reason,
        by=by,
    )


def _half_open(circuit: Circuit, *, now: float, by: str, leases: Mapping[str, float]) -> Circuit:
    return replace(
        circuit,
        state=CircuitState.HALF_OPEN,
        version=circuit.version + 1,
        changed_at=_ms(now),
        retry_at=None,
        successes=0,
        leases=leases,
        by=by,
    )


def _is_due(circuit: Circuit, now: float) -> bool:
    return circuit.retry_at is None or now >= circuit.retry_at


def _holds(circuit: Circuit, lease: Lease) -> bool:
    # The id decides, not the clock: a lease past its time is good until somebody took its place.
    return circuit.state is CircuitState.HALF_OPEN and lease.id in circuit.leases


def _ms(seconds: float) -> float:
    return round(seconds, 3)
