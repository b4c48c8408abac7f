"""What fifty environments do together, call by call; the figures are bounds, not tendencies."""

from __future__ import annotations

import pytest
from breaker_fleet import NAME, run
from resilient_runtime.breaker import BreakerPolicy, CircuitState
from resilient_runtime.breaker.window import BUCKETS

POLICY = BreakerPolicy()
DEAD, HEALED = 60.0, 660.0


@pytest.mark.parametrize("per_second", [10, 100])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_an_outage_costs_the_minimum_one_call_each_and_the_probes(per_second: int, seed: int) -> None:
    """Ten minutes of outage get no more calls than that, open at once and close soon after."""
    ran = run(lambda at, *_: DEAD <= at < HEALED, per_second=per_second, until=HEALED + 90, seed=seed)
    probes = sum(1 for at, state in ran.changes if state is CircuitState.HALF_OPEN and at < HEALED)
    opened, closed = ran.at(CircuitState.OPEN), ran.at(CircuitState.CLOSED, HEALED)

    assert ran.sent(DEAD, HEALED) <= POLICY.outage_calls + len(ran.fleet.breakers) + probes
    assert opened is not None
    assert opened - DEAD <= 5
    assert closed is not None
    assert closed - HEALED <= POLICY.longest_recovery_seconds + 10
    assert ran.at(CircuitState.OPEN, closed) is None


@pytest.mark.parametrize(("per_second", "good_seconds"), [(10, 0.3), (10, 4), (100, 0.3)])
@pytest.mark.parametrize("sick", [1, 5, 16])
def test_sick_environments_do_not_stop_those_that_do_well(
    per_second: int, good_seconds: float, sick: int
) -> None:
    """Where most environments do well the circuit stays closed, though the sick ones fail very fast."""
    ran = run(
        lambda at, environment, _: at > DEAD and environment < sick,
        per_second=per_second,
        until=200,
        good_seconds=good_seconds,
    )

    assert ran.changes == []


def test_a_sick_environment_holds_back_by_itself() -> None:
    """Failing in a millisecond, one of three environments would take nearly all the work; it does not."""
    ran = run(
        lambda at, environment, _: at > DEAD and environment == 0,
        environments=3,
        per_second=100,
        until=DEAD + 100,
        good_seconds=0.3,
        bad_seconds=0.001,
    )
    failed = sum(bad for at, bad in ran.calls if at > DEAD)
    good = ran.sent(DEAD, DEAD + 100) - failed

    assert ran.changes == []
    assert failed < good
    assert good > 0.9 * 100 * 2 / 0.3


@pytest.mark.parametrize(("per_second", "good_seconds"), [(10, 0.3), (10, 4), (100, 0.3), (100, 4)])
def test_one_failure_in_five_is_no_outage(per_second: int, good_seconds: float) -> None:
    """A downstream that always fails a fifth of its calls is called all the same; the item stays small."""
    ran = run(
        lambda _at, _environment, random: random.random() < 0.2,
        per_second=per_second,
        until=200,
        good_seconds=good_seconds,
    )

    assert ran.changes == []
    assert len(ran.fleet.store.read(NAME).counts) <= 3 * BUCKETS


def test_an_outage_is_seen_at_once_where_something_always_failed() -> None:
    """Half a minute of mostly good calls in the window does not have to be outweighed."""
    ran = run(lambda at, _, random: at > DEAD or random.random() < 0.2, per_second=10, until=80)
    opened = ran.at(CircuitState.OPEN)

    assert opened is not None
    assert opened - DEAD <= 5


def test_two_thirds_of_failures_open_it() -> None:
    """A rate above the policy's opens the circuit once everybody could object."""
    ran = run(lambda at, _, random: at > DEAD and random.random() < 0.66, per_second=100, until=80)
    opened = ran.at(CircuitState.OPEN)

    assert opened is not None
    assert opened - DEAD <= 2 * POLICY.cache_seconds + 1


def test_health_is_not_written_and_rarely_read() -> None:
    """While nothing fails there is no write, and one read per environment and cache period at most."""
    ran = run(lambda *_: False, per_second=100, until=120)
    store = ran.fleet.store

    assert store.written == 0
    assert store.reads <= 50 * (120 / POLICY.cache_seconds + 1)
    assert ran.refused == 0


def test_an_outage_does_not_storm_the_store() -> None:
    """Once it is known that the circuit is open nothing is counted, and a closing needs few claims."""
    ran = run(lambda at, *_: at > DEAD, per_second=1000, until=DEAD + 300)
    store = ran.fleet.store
    probes = sum(1 for _, state in ran.changes if state is CircuitState.HALF_OPEN)

    assert store.counts <= 3 * 50
    assert store.attempts <= 50 + 20 * probes
    assert store.reads <= 50 * 360 / 1.0
