"""One environment's breaker, or a few, in single steps."""

from __future__ import annotations

import asyncio
import threading

import pytest
from breaker_fleet import NAME, START, DownError, Fleet, WatchedStore
from resilient_runtime import Reject
from resilient_runtime.breaker import Breaker, CircuitOpen, CircuitState, order

CLOSED, OPEN, HALF_OPEN = CircuitState.CLOSED, CircuitState.OPEN, CircuitState.HALF_OPEN


def test_a_lonely_environment_opens_the_circuit_for_itself() -> None:
    """A fleet of one has nobody to wait for but its own cache period."""
    fleet = Fleet(1)
    fleet.call()
    begun = fleet.now
    while fleet.state is CLOSED:
        fleet.fail()
        fleet.now += 0.2

    assert fleet.now - begun <= 20 * 0.3 + 0.3
    assert fleet.circuit.reason == "of the latest 10 calls 10 failed, in 1 of 1 environments"
    assert [(one.before, one.circuit.state) for one in fleet.transitions] == [(CLOSED, OPEN)]


def test_nine_failures_are_too_few() -> None:
    """Below the minimum of calls nothing is judged."""
    fleet = Fleet(1)
    fleet.fail(times=8)
    fleet.now += 11

    assert fleet.fail() == 1
    assert fleet.state is CLOSED
    assert fleet.fail() == 1
    assert fleet.state is OPEN


def test_failures_of_all_environments_are_added_up() -> None:
    """None of them alone has seen enough, and together they have."""
    fleet = Fleet(10)
    for environment in range(10):
        fleet.call(environment)
    for environment in range(10):
        fleet.fail(environment, seconds=0.01)
    fleet.now += 1.5
    assert fleet.state is CLOSED

    fleet.fail(0)
    assert fleet.state is OPEN
    assert fleet.circuit.reason.endswith("in 10 of 10 environments")


def test_who_just_failed_holds_back_until_the_others_could_object() -> None:
    """Once enough calls failed, an environment that failed makes none until the opening is decided."""
    fleet = Fleet(2)
    for number in range(20):
        fleet.fail(number % 2)
    assert fleet.state is CLOSED

    with pytest.raises(CircuitOpen, match="it failed here; of the latest 10 calls 10 failed") as refused:
        fleet.breakers[1].enter()
    assert refused.value.state is CLOSED
    assert 0 < (refused.value.retry_after or 0) <= 10


def test_an_open_circuit_refuses_without_asking_the_store() -> None:
    """The refusal says when to come back and why, and costs no request within a cache period."""
    fleet = Fleet(2)
    fleet.open()
    fleet.call(1)
    asked = fleet.store.asked

    for _ in range(100):
        with pytest.raises(
            CircuitOpen, match=r"Courier was not called: its circuit is OPEN until"
        ) as refused:
            fleet.breakers[1].enter()
    assert refused.value.name == NAME
    assert 0 < (refused.value.retry_after or 0) <= fleet.policy.recovery_seconds
    assert fleet.store.asked == asked


def test_all_learn_within_a_cache_period_that_it_is_open() -> None:
    """An environment that has seen no failure itself stops after its next cached read."""
    fleet = Fleet(11)
    for environment in range(11):
        fleet.call(environment, seconds=0.01)
    for number in range(20):
        fleet.fail(number % 10, seconds=0.01)
    fleet.now += 2.6
    fleet.fail(0)
    assert fleet.state is OPEN

    assert fleet.call(10)
    fleet.now += 2.4
    assert not fleet.call(10)


def test_three_probes_in_a_row_close_it() -> None:
    """Each probe is elected; the third success closes, and then everybody calls again."""
    fleet = Fleet(3)
    fleet.open()
    fleet.wait_for_recovery()

    assert [fleet.call(environment) for environment in (0, 1, 2)] == [True, True, True]
    assert fleet.state is CLOSED
    assert fleet.circuit.reason == "3 probes in a row succeeded"
    fleet.now += 1.1
    assert all(fleet.call(environment) for environment in (0, 1, 2))


def test_only_one_environment_probes_at_a_time() -> None:
    """While a probe is under way the others are refused."""
    fleet = Fleet(3)
    fleet.open()
    fleet.wait_for_recovery()
    lease = fleet.breakers[0].enter()

    assert lease is not None
    for other in (1, 2):
        with pytest.raises(CircuitOpen, match="others are probing it"):
            fleet.breakers[other].enter()
    fleet.breakers[0].leave(0.1, None, lease)
    fleet.now += 1.1
    assert fleet.breakers[1].enter() is not None


def test_a_failed_probe_opens_it_for_longer() -> None:
    """The recovery time grows with each opening, up to its cap."""
    fleet = Fleet(2, random=1.0)
    fleet.open()
    waits = []
    for _ in range(5):
        fleet.wait_for_recovery()
        assert fleet.fail(0) == 1
        waits.append(round((fleet.circuit.retry_at or 0) - START - fleet.now))

    assert waits == [30, 60, 120, 120, 120]
    assert fleet.circuit.reason == "a probe failed: DownError: no answer"


def test_a_prober_that_died_is_replaced_when_its_lease_is_over() -> None:
    """Its late result changes nothing: the lease belongs to somebody else by then."""
    fleet = Fleet(2)
    fleet.open()
    fleet.wait_for_recovery()
    dead = fleet.breakers[0].enter()
    fleet.now += fleet.policy.lease_seconds - 1
    assert not fleet.call(1)
    fleet.now += 2
    living = fleet.breakers[1].enter()
    version = fleet.circuit.version

    fleet.breakers[0].leave(31, DownError("no answer"), dead)
    assert (fleet.state, fleet.circuit.version) == (HALF_OPEN, version)
    fleet.breakers[1].leave(0.1, None, living)
    assert fleet.circuit.successes == 1


def test_a_lease_is_no_longer_than_its_call_can_be() -> None:
    """The invocation ends in four seconds, and with it the probe in any case."""
    fleet = Fleet(1)
    fleet.open()
    fleet.wait_for_recovery()
    lease = fleet.breakers[0].enter(lambda: 4.0)

    assert lease is not None
    assert lease.until == pytest.approx(START + fleet.now + 4, abs=0.001)


def test_a_probe_that_says_nothing_gives_its_place_back() -> None:
    """A rejection neither closes the circuit nor opens it."""
    fleet = Fleet(1)
    fleet.open()
    fleet.wait_for_recovery()
    assert fleet.call(0, Reject("no such address"))

    assert (fleet.state, fleet.circuit.successes, fleet.circuit.leases) == (HALF_OPEN, 0, {})
    lease = fleet.breakers[0].enter()
    assert lease is not None
    fleet.breakers[0].give_back(lease)
    assert fleet.circuit.leases == {}


def test_a_circuit_that_flaps_waits_longer() -> None:
    """Opening again within a window of the closing counts as one more opening in a row."""
    fleet = Fleet(2)
    fleet.open()
    fleet.wait_for_recovery()
    for environment in (0, 1, 0):
        fleet.call(environment)
    fleet.now += 3.1
    fleet.open()
    assert fleet.circuit.openings == 2

    fleet.wait_for_recovery()
    for environment in (0, 1, 0):
        fleet.call(environment)
    fleet.now += fleet.policy.window_seconds + 1
    fleet.open()
    assert fleet.circuit.openings == 1


def test_the_store_may_be_away() -> None:
    """Calls pass as if there were no breaker; it is told once, and asked ever more rarely."""
    fleet = Fleet(1)
    fleet.store.is_down = True
    for _ in range(2000):
        assert fleet.fail() == 1
    assert len(fleet.store_errors) == 1
    assert fleet.store.asked <= 8

    fleet.store.is_down = False
    fleet.now += 60
    fleet.fail()
    assert fleet.store.counts == fleet.store.asked - fleet.store.reads
    fleet.store.is_down = True
    fleet.now += 60
    fleet.fail()
    assert len(fleet.store_errors) == 2


def test_an_outage_known_before_the_store_went_away_is_respected() -> None:
    """Until the time to retry; then calls pass, as nobody can be asked who probes."""
    fleet = Fleet(1)
    fleet.open()
    fleet.store.is_down = True
    fleet.now += 6
    assert not fleet.call()

    fleet.wait_for_recovery()
    fleet.now += 60
    assert fleet.call()


def test_a_probe_that_cannot_report_leaves_its_lease_to_run_out() -> None:
    """The store went away in between; nothing is raised into the handler."""
    fleet = Fleet(2)
    fleet.open()
    fleet.wait_for_recovery()
    lease = fleet.breakers[0].enter()
    fleet.store.is_down = True
    fleet.breakers[0].leave(0.1, None, lease)
    fleet.store.is_down = False
    fleet.now += fleet.policy.lease_seconds + 1

    assert fleet.call(1)


@pytest.mark.parametrize("state", [CircuitState.FORCED_OPEN, CircuitState.DISABLED])
def test_a_state_set_by_hand_stays(state: CircuitState) -> None:
    """Neither failures nor time change it, only another order does."""
    fleet = Fleet(2)
    order(fleet.store, NAME, state, now=START, reason="maintenance", by="ada")
    passed = [fleet.fail(number % 2) for number in range(60)]
    fleet.now += 3600
    passed += [fleet.fail(number % 2) for number in range(60)]

    assert set(passed) == {0 if state is CircuitState.FORCED_OPEN else 1}
    assert (fleet.state, fleet.circuit.reason, fleet.circuit.by) == (state, "maintenance", "ada")
    assert fleet.store.counts == 0

    order(fleet.store, NAME, CLOSED, now=START + fleet.now, reason="done", by="ada")
    fleet.now += fleet.policy.cache_seconds
    assert fleet.call(0)
    assert fleet.state is CLOSED


def test_an_order_says_why() -> None:
    """Without a reason, or for a state that comes by itself, there is no order."""
    store = WatchedStore()
    with pytest.raises(ValueError, match="needs a reason"):
        order(store, NAME, CLOSED, now=START, reason=" ", by="ada")
    with pytest.raises(ValueError, match="cannot be ordered to be HALF_OPEN"):
        order(store, NAME, HALF_OPEN, now=START, reason="now", by="ada")
    assert order(store, NAME, CLOSED, now=START, reason="it is", by="ada").version == 0
    assert store.written == 0


def test_the_retry_time_of_a_forced_circuit_is_a_persons() -> None:
    """No number of seconds is told, for there is none."""
    fleet = Fleet(1)
    order(fleet.store, NAME, CircuitState.FORCED_OPEN, now=START, reason="audit", by="ada")

    with pytest.raises(CircuitOpen, match=r"FORCED_OPEN until a person closes it \(audit\)") as refused:
        fleet.breakers[0].enter()
    assert refused.value.retry_after is None


def test_a_listener_that_fails_harms_nobody() -> None:
    """What a callback raises is its own affair."""

    def fails(_: object) -> None:
        raise RuntimeError("no metric today")

    fleet = Fleet(1)
    fleet.breakers[0]._view._on_transition = [fails, fleet.transitions.append]
    fleet.open()

    assert len(fleet.transitions) == 1


def test_a_breaker_is_a_context_manager_and_a_decorator() -> None:
    """Both count the call and let its result or exception through."""
    fleet = Fleet(1)
    breaker = fleet.breakers[0]

    @breaker
    def deliver(order: int) -> int:
        """Deliver it."""
        return order + 1

    assert deliver(1) == 2
    assert deliver.__doc__ == "Deliver it."
    with pytest.raises(DownError), breaker:
        raise DownError("no answer")
    assert fleet.store.counts == 1


def test_calls_of_threads_and_tasks_do_not_mix() -> None:
    """Each block measures its own time, whatever else is under way in the same breaker."""
    seen: list[float] = []
    store = WatchedStore()
    breaker = Breaker(NAME, store=store)
    breaker.leave = lambda seconds, error=None, lease=None: seen.append(seconds)  # type: ignore[method-assign]

    async def call(seconds: float) -> None:
        with breaker:
            await asyncio.sleep(seconds)

    async def calls() -> None:
        await asyncio.gather(call(0.05), call(0.01))

    thread = threading.Thread(target=lambda: asyncio.run(call(0.02)))
    with breaker:
        thread.start()
        asyncio.run(calls())
        thread.join()

    assert len(seen) == 4
    assert [round(one, 1) for one in (min(seen), max(seen))] == [0.0, 0.1]
