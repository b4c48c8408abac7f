"""What one environment counts, and when it tells the others."""

from __future__ import annotations

import pytest
from breaker_fleet import NAME, DownError, Fleet
from resilient_runtime import Reject
from resilient_runtime.breaker import BreakerPolicy, CircuitState
from resilient_runtime.breaker.window import Mood, bucket_of

CLOSED, OPEN = CircuitState.CLOSED, CircuitState.OPEN


class DeadlineExceeded(BaseException):
    """As the runtime's own: no Exception, so that nobody swallows it."""


def test_an_environment_that_does_well_objects() -> None:
    """Its next cached read shows that others fail, so it reports, and the circuit stays closed."""
    fleet = Fleet(3)
    for environment in (0, 1, 2):
        fleet.call(environment)
    fleet.now = 10
    for _ in range(40):
        fleet.fail(0)
        fleet.call(1)
        fleet.call(2)
        fleet.now += 0.3

    assert fleet.state is CLOSED
    assert fleet.store.changes == []


def test_late_echoes_of_an_outage_do_not_open_it_again() -> None:
    """A call that began before the circuit closed and times out afterwards is not counted."""
    fleet = Fleet(2)
    fleet.open()
    fleet.wait_for_recovery()
    for environment in (0, 1, 0):
        fleet.call(environment)
    fleet.now += 4
    for breaker in fleet.breakers:
        breaker.check()
        for _ in range(30):
            breaker.leave(60, DownError("timed out"))
    fleet.now += 10

    assert fleet.call(0)
    assert fleet.state is CLOSED


def test_rejections_never_count() -> None:
    """Whoever says no to one order is well."""
    fleet = Fleet(1)
    for _ in range(50):
        fleet.call(0, Reject("no such address"))
        fleet.now += 0.3

    assert fleet.state is CLOSED
    assert fleet.store.written == 0


@pytest.mark.parametrize("error", [TimeoutError("12 s"), DeadlineExceeded(), ConnectionError(), ValueError()])
def test_everything_else_counts(error: BaseException) -> None:
    """Timeouts count, and so does the runtime's own DeadlineExceeded."""
    fleet = Fleet(1)
    for _ in range(60):
        fleet.call(0, error)
        fleet.now += 0.3

    assert fleet.state is OPEN


@pytest.mark.parametrize(
    ("policy", "counts"),
    [
        (BreakerPolicy(ignored_errors=("LookupError",)), False),
        (BreakerPolicy(ignored_errors=("builtins.KeyError",)), False),
        (BreakerPolicy(ignored_errors=("Key",)), True),
        (BreakerPolicy(counted_errors=("OSError",)), False),
        (BreakerPolicy(counted_errors=("LookupError",)), True),
        (BreakerPolicy(counted_errors=("LookupError",), ignored_errors=("KeyError",)), False),
    ],
)
def test_the_policy_names_what_counts(policy: BreakerPolicy, counts: bool) -> None:
    """Classes are named with or without their module, and stand for their subclasses."""
    fleet = Fleet(1, policy)
    fleet.call(0, KeyError("gone"))

    assert (fleet.store.counts > 0) is counts


def test_a_function_may_say_what_counts() -> None:
    """Only the caller knows that status 503 is an outage and 409 is not."""
    fleet = Fleet(1, counts=lambda error: "503" in str(error))
    fleet.call(0, RuntimeError("409"))
    assert fleet.store.counts == 0
    fleet.call(0, RuntimeError("503"))
    assert fleet.store.counts == 1


def test_slow_calls_open_it_too() -> None:
    """A downstream that answers everything, but after ten seconds, is not there either."""
    fleet = Fleet(2, BreakerPolicy(slow_call_seconds=5, minimum_calls=6, window_seconds=60))
    for number in range(12):
        fleet.call(number % 2, seconds=10)
    assert fleet.state is OPEN
    assert "calls 6 were slow" in fleet.circuit.reason

    fleet.wait_for_recovery()
    fleet.call(0, seconds=6)
    assert fleet.state is OPEN
    assert fleet.circuit.reason == "a probe took 6.000 s"


def test_a_closed_call_costs_a_look_at_the_clock() -> None:
    """Between two cached reads a good call touches nothing but local memory."""
    fleet = Fleet(1)
    fleet.call()
    asked = fleet.store.asked
    for _ in range(45):
        fleet.call()

    assert fleet.now < fleet.policy.cache_seconds + 0.1
    assert fleet.store.asked == asked


def test_a_failure_is_told_at_once_and_so_is_the_next_success() -> None:
    """After that, successes are told once per cache period."""
    fleet = Fleet(1)
    told = []
    for error in (None, DownError("no answer"), None, None, None):
        fleet.call(0, error)
        told.append(fleet.store.counts)
    fleet.now += fleet.policy.cache_seconds
    fleet.call()
    told.append(fleet.store.counts)

    assert told == [0, 1, 2, 2, 2, 3]
    assert total(fleet) == (4, 1)


def test_everything_is_told_while_an_opening_is_near() -> None:
    """An environment that does well does not wait for its next report then."""
    fleet = Fleet(3, BreakerPolicy(minimum_calls=20))
    fleet.fail(0)
    fleet.call(1)
    fleet.call(2)
    fleet.fail(0, times=30, seconds=0.01)
    assert not fleet.call(0)
    fleet.now += 5
    fleet.call(1)
    counts = fleet.store.counts
    for _ in range(5):
        fleet.call(1)

    assert fleet.store.counts == counts + 5


def test_good_calls_since_the_first_failure_are_remembered() -> None:
    """Nobody knew of it then; who learns of it tells them before its next call."""
    fleet = Fleet(3)
    for environment in (0, 1, 2):
        fleet.call(environment)
    fleet.fail(0)
    fleet.call(2)
    fleet.call(2)
    assert total(fleet) == (1, 1)

    fleet.now += 5
    fleet.breakers[2].check()
    assert total(fleet) == (3, 1)


def test_a_success_that_began_before_the_first_failure_is_no_objection() -> None:
    """It says nothing about what came after."""
    fleet = Fleet(2)
    fleet.call(0)
    began = fleet.now
    fleet.breakers[1].enter()
    fleet.fail(0, times=3)
    fleet.now += 5
    fleet.breakers[1].check()
    fleet.breakers[1].leave(fleet.now - began)

    assert total(fleet) == (3, 3)


def test_what_was_seen_before_the_closing_is_forgotten() -> None:
    """An environment that failed in the outage counts as one that does well when it does."""
    fleet = Fleet(2, BreakerPolicy(window_seconds=60))
    fleet.open()
    fleet.wait_for_recovery()
    for environment in (0, 1, 0):
        fleet.call(environment)
    fleet.now += 7
    fleet.fail(0)
    fleet.now += 5
    fleet.call(1)
    judged = fleet.breakers[1]._view.judgement

    assert (judged.mood, judged.reporters) == (Mood.WATCHFUL, 2)
    window = [one for one in fleet.store.read(NAME).counts.items() if one[0] > closing(fleet)]
    assert sum(bucket.well for _, bucket in window) == 1


def closing(fleet: Fleet) -> int:
    """The bucket in which the circuit closed."""
    return bucket_of(fleet.circuit.closed_at or 0, fleet.policy)


def test_a_thousand_environments_share_the_writes_of_one_partition() -> None:
    """The more report, the less often each does; none of what it saw is lost."""
    fleet = Fleet(1, BreakerPolicy(minimum_calls=1000, outage_calls=1000))
    store = fleet.store
    fleet.fail()
    index = max(store.read(NAME).counts)
    store.count(NAME, {index: store.read(NAME).counts[index]._replace(calls=0, failed=0, ill=0, well=999)})
    fleet.now += 5
    fleet.fail()
    counts = store.counts
    for _ in range(12):
        fleet.fail(seconds=0.8)

    assert 1 <= store.counts - counts <= 2
    fleet.now += 5
    fleet.breakers[0].check()
    assert total(fleet) == (14, 14)


def total(fleet: Fleet) -> tuple[int, int]:
    """Calls and failures, as they are stored."""
    counts = fleet.store.read(NAME).counts.values()
    return sum(one.calls for one in counts), sum(one.failed for one in counts)
