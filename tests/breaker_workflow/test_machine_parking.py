"""What becomes of a work while its circuit is open: parked, waiting, a probe; nothing is dropped."""

from __future__ import annotations

from itertools import count
from random import Random

from machine_runs import NAME, START, World, failing_with, plan
from resilient_runtime.breaker import BreakerPolicy, CircuitState

from resilient_constructs.breaker_workflow.machine import Constant
from resilient_constructs.testing.states import StatesError, TaskCall

OUTAGE = BreakerPolicy(outage_calls=2, minimum_calls=4, cache_seconds=0.1, successes_to_close=1)


def test_work_for_an_open_circuit_is_parked_and_not_called() -> None:
    """It ends well, with what its output says; nothing is written to the circuit."""
    world = World()
    world.put(CircuitState.OPEN, retry_at=START + 60, reason="down")
    before = dict(world.table.items)
    world.work_is(failing_with("called"))
    execution = world.run({"page": 7})
    assert execution.visited == ["Read", "Decide", "Park", "SendToParked"]
    assert execution.output == {
        "outcome": "PARKED",
        "downstream": NAME,
        "state": "OPEN",
        "retry_at": START + 60,
        "name": "execution",
        "parked": 1,
    }
    assert world.parked[0]["input"] == {"page": 7}
    assert world.table.items == before


def test_parked_work_stays_away_for_seconds_and_does_not_come_back_at_once() -> None:
    """While others probe, or before the mapping is paused, it is no loop; not all come in one second."""
    world = World()
    world.put(CircuitState.FORCED_OPEN, reason="a person")
    random = Random(7).random
    for n in range(200):
        world.run(n, random=random)
    assert set(world.delays) == set(range(5, 16))
    world = World(plan(policy=OUTAGE, retries=()))
    world.work_is(failing_with("Boom"))
    assert world.run().status == "FAILED"
    assert world.delays == [None]  # what is given up is there at once


def test_an_outage_parks_and_does_not_fail() -> None:
    """Who fails while the circuit opens is parked, whatever the rules have left; so is who comes later."""
    world = World(plan(policy=OUTAGE, retries=()))
    world.work_is(failing_with("Boom"))
    ends = [world.run(n, now=START + n).visited[-1] for n in range(5)]
    assert world.circuit.state is CircuitState.OPEN
    assert ends == ["Failed", "SendToParked", "SendToParked", "SendToParked", "SendToParked"]
    assert [body["input"] for body in world.parked] == [1, 2, 3, 4]
    assert world.parked[0]["resilient"]["attempts"] == 1


def test_a_probe_that_succeeds_closes_the_circuit() -> None:
    """Due again, one work is called as a probe, and its result is its result."""
    world = World(plan(policy=OUTAGE))
    world.put(CircuitState.OPEN, retry_at=START - 1, openings=1)
    execution = world.run(7)
    assert (execution.status, execution.output) == ("SUCCEEDED", 7)
    assert "Claim" in execution.visited
    assert world.circuit.state is CircuitState.CLOSED


def test_a_probe_that_fails_costs_the_work_no_attempt() -> None:
    """It was known that the downstream is not well: the work is parked, and its rules have as much left."""
    world = World(plan(policy=OUTAGE, retries=()))
    world.put(CircuitState.OPEN, retry_at=START - 1, openings=1)
    world.work_is(failing_with("Boom"))
    world.run(7)
    (body,) = world.parked
    assert (body["resilient"]["probes"], body["resilient"]["parked"]) == (1, 1)
    assert world.circuit.state is CircuitState.OPEN
    assert world.circuit.reason == "a probe failed: Boom"


def test_a_work_whose_probes_keep_failing_is_given_up() -> None:
    """Who fails each time may be the cause: it does not hold the circuit open for ever."""
    world = World(plan(policy=OUTAGE, most_failed_probes=3))
    world.put(CircuitState.OPEN, retry_at=START - 1)
    world.work_is(failing_with("Boom"))
    execution = world.run({"resilient": {"name": "n", "probes": 2}, "input": 7})
    assert (execution.status, execution.error, world.parked) == ("FAILED", "Boom", [])
    assert world.dead[0]["input"] == 7


def test_work_is_not_parked_for_ever() -> None:
    """Older than keep_parked_seconds, it is given up and says so."""
    world = World(plan(keep_parked_seconds=3_600))
    world.put(CircuitState.FORCED_OPEN)
    about = {"name": "n", "parked": 9, "first_started_at": "2023-11-14T21:13:19.000Z"}
    execution = world.run({"resilient": about, "input": 7})
    assert execution.error == "Resilient.ParkedTooLong"
    assert "2023-11-14T21:13:19.000Z" in world.dead[0]["cause"]


def test_work_that_cannot_be_parked_is_dead_lettered() -> None:
    """The parked queue's outage loses nothing either."""
    world = World()
    world.put(CircuitState.FORCED_OPEN)
    world.tasks["SendToParked"] = failing_with("SQS.SdkClientException")
    execution = world.run(7)
    assert (execution.error, world.dead[0]["input"]) == ("Resilient.NotParked", 7)


def test_a_constant_fallback_knows_why_work_could_not_be_parked() -> None:
    """It may use the failure before any call was made; and what failed before is told with its attempts."""
    told = Constant(value={"because": "{% $failure.error %}", "after": "{% $failure.attempts %}"})
    world = World(plan(fallback=told, policy=OUTAGE, retries=()))
    world.put(CircuitState.FORCED_OPEN)
    world.tasks["SendToParked"] = failing_with("SQS.SdkClientException")
    assert world.run(7).output == {"because": "Resilient.NotParked", "after": 0}
    world.table.items.clear()
    world.work_is(failing_with("Boom"))
    ends = [world.run(n, now=START + n).output for n in range(2)]
    assert ends[-1] == {"because": "Boom", "after": 1}
    assert world.circuit.state is CircuitState.OPEN


def test_an_execution_may_wait_for_the_recovery_itself() -> None:
    """With WAIT it sleeps until the circuit is due and some more, and is called then."""
    world = World(plan(parking="WAIT", policy=OUTAGE))
    world.put(CircuitState.OPEN, retry_at=START + 30)
    execution = world.run(7, random=lambda: 0.0)
    assert execution.output == 7
    assert execution.visited[:5] == ["Read", "Decide", "Park", "WaitUntilRecovery", "ReadAgain"]


def test_those_who_wait_do_not_come_back_together() -> None:
    """The wait ends up to five seconds later by chance, the more the oftener it was in vain."""
    ends = []
    for chance in (0.0, 0.999):
        world = World(plan(parking="WAIT", policy=OUTAGE))
        world.put(CircuitState.OPEN, retry_at=START + 30)
        now = [START]
        execution = world.machine.start(7, clock=lambda now=now: now[0], random=lambda chance=chance: chance)
        read = execution.pending[0]
        assert isinstance(read, TaskCall)
        read.succeed(world.table.get_item(**read.arguments))
        ends.append(execution.pending[0].until - START)  # type: ignore[attr-defined]
    assert ends == [31, 36]


def test_waiting_ends_before_the_history_is_full() -> None:
    """A circuit that is forced open for good is not looked at for ever."""
    world = World(plan(parking="WAIT", keep_parked_seconds=31_536_000))
    world.put(CircuitState.FORCED_OPEN)
    execution = world.run(7)
    assert execution.error == "Resilient.ParkedTooLong"
    # A state is entered and left, and a task scheduled, started and succeeded.
    assert 2 * execution.transitions + 3 * execution.visited.count("ReadAgain") < 25_000


def test_many_executions_in_any_order_never_probe_more_than_is_allowed() -> None:
    """Whoever is between two states when others act: no more leases than probes, and versions only grow."""
    for seed in range(12):
        chance = Random(seed)
        world = World(plan(policy=BreakerPolicy(probes=2, successes_to_close=4, outage_calls=2), retries=()))
        world.put(CircuitState.OPEN, retry_at=START)
        now = [START]
        running = [
            world.machine.start(n, clock=lambda now=now: now[0], random=chance.random, name=f"e{n}")
            for n in range(8)
        ]
        version = 0
        while any(execution.pending for execution in running):
            execution = chance.choice([one for one in running if one.pending])
            call = execution.pending[0]
            assert isinstance(call, TaskCall)
            now[0] += chance.random() / 10
            if "lambda" in call.resource and chance.random() < 0.3:
                call.fail("Boom")
                continue
            try:
                call.succeed(world.tasks[call.resource](call))
            except StatesError as error:
                call.fail(error.name, error.cause)
            circuit = world.circuit
            assert len(circuit.leases) <= 2
            assert circuit.version >= version
            version = circuit.version
        ended = len(world.parked) + sum(one.visited[-1] in ("Done", "Call") for one in running)
        assert ended + len(world.dead) == 8


def test_time_goes_on_between_two_expressions() -> None:
    """A probe's lease is known again, and its result closes the circuit, whenever each expression is read."""
    world = World(plan(policy=OUTAGE))
    world.put(CircuitState.OPEN, retry_at=START - 1, openings=1)
    ticks = count()
    execution = world.machine.start(7, clock=lambda: START + next(ticks) / 1000)
    while execution.pending:
        call = execution.pending[0]
        assert isinstance(call, TaskCall)
        call.succeed(world.tasks[call.resource](call))
    assert execution.visited[-3:] == ["Conclude", "Outcome", "Done"]
    assert world.circuit.state is CircuitState.CLOSED
