"""What becomes of a work: done, tried again, parked, given up; and what is told to whom."""

from __future__ import annotations

import json
from base64 import b64decode
from itertools import pairwise
from typing import Any

import pytest
from machine_runs import NAME, START, World, failing_with, plan, work
from resilient_runtime.breaker import BreakerPolicy, CircuitState

from resilient_constructs.breaker_workflow.machine import Constant, PlatformRetry, RetryRule, WorkTask
from resilient_constructs.breaker_workflow.machine.ending import GIVEN_UP
from resilient_constructs.breaker_workflow.work_function import KEY_TOLD
from resilient_constructs.breaker_workflow.work_http import KEY_OF_WORK
from resilient_constructs.testing.states import StatesError, TaskCall

OUTAGE = BreakerPolicy(outage_calls=2, minimum_calls=4, cache_seconds=0.1, successes_to_close=1)


@pytest.mark.parametrize(
    "data", [None, 7, "text", [1], [], [[1]], {"a": None}, {"input": 1}, [{"resilient": 1}]]
)
def test_the_works_result_is_the_executions(data: Any) -> None:
    """Whatever JSON it is, the work gets the input as it is, and its result is the output."""
    execution = World().run(data)
    assert (execution.status, execution.output) == ("SUCCEEDED", data)


def test_an_envelope_is_taken_off() -> None:
    """Parked work that comes back is called with its own input, under its own name."""
    world = World()
    world.put(CircuitState.FORCED_OPEN)
    about = {"name": "order-7", "parked": 2, "first_started_at": "2023-11-14T20:00:00.000Z", "tries": [1]}
    world.run({"resilient": about, "input": [1]})
    (body,) = world.parked
    assert body["input"] == [1]
    assert body["resilient"] == {**about, "key": "order-7", "parked": 3, "attempts": 0, "probes": 0}


def test_claimed_work_keeps_its_claim() -> None:
    """The work gets the claim in its envelope, and takes it along when it is parked and given up."""
    claim = {"bucket": "b", "key": "k", "size": 300_000}
    given = {"resilient": {"name": "n", "claim": claim}, "input": None}
    world = World(plan(retries=()))
    assert world.run(given).output == {"resilient": {"claim": claim}, "input": None}
    world.work_is(failing_with("Boom"))
    world.run(given)
    assert (world.dead[0]["resilient"]["claim"], world.dead[0]["input"]) == (claim, None)
    world.put(CircuitState.FORCED_OPEN)
    world.run(given)
    assert (world.parked[0]["resilient"]["claim"], world.parked[0]["input"]) == (claim, None)


@pytest.mark.parametrize(
    ("about", "key"),
    [
        ({"name": "order-7", "key": "order-1", "parked": 2}, "order-1"),
        ({"name": "order-7"}, "order-7"),
        ({"key": "order-1"}, "order-1"),
        ({}, "order-1-again"),
    ],
)
def test_a_work_keeps_its_key_wherever_it_goes(about: dict[str, Any], key: str) -> None:
    """Whom it calls is given the first name that it had, and so are the parked queue and the dead letters."""
    given = {"resilient": about, "input": 1}
    asks = work(arguments={"Payload": KEY_OF_WORK})
    world = World(plan(work=asks, retries=()))
    assert world.run(given, name="order-1-again").output == key
    world.work_is(failing_with("Boom"))
    world.run(given, name="order-1-again")
    assert world.dead[0]["resilient"]["key"] == key
    world.put(CircuitState.FORCED_OPEN)
    world.run(given, name="order-1-again")
    assert world.parked[0]["resilient"]["key"] == key


@pytest.mark.parametrize(
    ("name", "key"), [("order-1", "order-1"), ("Bestellung ä€", "Bestellung%20%C3%A4%E2%82%AC")]
)
def test_a_function_is_told_the_key_beside_its_payload(name: str, key: str) -> None:
    """In the client context, which is JSON of ASCII in base64, whatever the execution's name is made of."""
    world = World(plan(work=work(arguments={"ClientContext": KEY_TOLD, "Payload": "{% $work %}"})))
    world.work_is(lambda call: {"Payload": call.arguments["ClientContext"]})
    told = json.loads(b64decode(world.run(7, name=name).output).decode("ascii"))
    assert told == {"custom": {"idempotency_key": key}}


def test_what_fails_is_tried_again_with_full_jitter() -> None:
    """Each time again waits from nothing up to a delay that grows to its cap, by chance."""
    rule = RetryRule(errors=("Boom",), attempts=3, interval_seconds=4, backoff_rate=3, longest_seconds=20)
    for chance, waits in ((0.0, [0, 0, 0]), (0.5, [2, 6, 10]), (0.999, [4, 12, 20])):
        world = World(plan(retries=(rule,), policy=None, downstream=None, table=None))
        began: list[float] = []
        world.work_is(lambda call, began=began: _note(call, began))
        execution = world.run(random=lambda chance=chance: chance)
        assert [round(b - a) for a, b in pairwise(began)] == waits
        assert (execution.status, execution.error) == ("FAILED", "Boom")


def _note(call: TaskCall, began: list[float]) -> Any:
    began.append(call.entered_at)
    raise StatesError("Boom", "why")


@pytest.mark.parametrize(
    ("errors", "error", "calls"),
    [
        (("States.ALL",), "Boom", 3),
        (("States.ALL",), "States.Timeout", 3),
        (("States.ALL",), "States.Permissions", 1),
        (("States.ALL",), "Ignored", 1),
        (("Ignored",), "Ignored", 3),
        (("States.ALL",), "Reject", 1),
        (("Reject",), "Reject", 1),
        (("States.ALL",), "NotThis", 1),
        (("States.TaskFailed",), "Boom", 3),
        (("States.TaskFailed",), "States.Timeout", 1),
        (("States.Timeout",), "States.HeartbeatTimeout", 3),
        (("Other",), "Boom", 1),
    ],
)
def test_rules_are_for_the_errors_that_they_name(errors: tuple[str, ...], error: str, calls: int) -> None:
    """Names, or a wildcard for the work's own; never what says no to this one work."""
    policy = BreakerPolicy(ignored_errors=("app.Ignored",))
    world = World(plan(retries=(RetryRule(errors=errors, attempts=2),), rejects=("NotThis",), policy=policy))
    made = []
    world.work_is(lambda call: made.append(call) or failing_with(error)(call))
    assert world.run().status == "FAILED"
    assert len(made) == calls


def test_each_rule_counts_for_itself() -> None:
    """Attempts are a rule's own, in whatever order the errors come."""
    rules = (RetryRule(errors=("A",), attempts=1), RetryRule(errors=("B",), attempts=2))
    world = World(plan(retries=rules))
    errors = iter(["B", "A", "B", "A"])
    world.work_is(lambda call: failing_with(next(errors))(call))
    execution = world.run()
    assert (execution.error, world.dead[0]["attempts"]) == ("A", 4)


@pytest.mark.parametrize(
    ("error", "counted"),
    [
        ("Boom", True),
        ("States.Timeout", True),
        ("Reject", False),
        ("Ignored", False),
        ("ClaimNotRead", False),
        ("Lambda.ServiceException", False),
        ("States.Permissions", False),
        ("States.DataLimitExceeded", False),
        ("States.Http.StatusCode.429", False),
    ],
)
def test_what_says_nothing_about_the_downstream_is_not_counted(error: str, counted: bool) -> None:
    """Refusals, errors of the platform and of ours, and a 429 leave the circuit's item alone."""
    policy = BreakerPolicy(ignored_errors=("app.Ignored",))
    world = World(plan(retries=(), policy=policy))
    world.work_is(failing_with(error))
    world.run()
    assert bool(world.table.items) == counted


def test_a_429_counts_when_the_policy_says_so() -> None:
    """With throttling_counts it is a failure like others."""
    world = World(plan(retries=(), policy=BreakerPolicy(throttling_counts=True)))
    world.work_is(failing_with("States.Http.StatusCode.429"))
    world.run()
    assert "failed_566666666" in world.table.items[NAME]


def test_only_counted_errors_count_where_they_are_named() -> None:
    """With counted_errors all others say nothing."""
    policy = BreakerPolicy(counted_errors=("app.Down",))
    for error, counted in (("Down", True), ("Boom", False)):
        world = World(plan(retries=(), policy=policy))
        world.work_is(failing_with(error))
        world.run()
        assert bool(world.table.items) == counted


def test_given_up_work_is_dead_lettered_with_all_that_a_person_needs() -> None:
    """Input, error, cause, execution and attempts; and the execution fails with the work's own error."""
    world = World()
    world.work_is(failing_with("Boom", "x" * 9_000))
    execution = world.run({"page": 7})
    (body,) = world.dead
    assert body == {
        "resilient": {"name": "execution", "key": "execution"},
        "input": {"page": 7},
        "error": "Boom",
        "cause": "x" * 2_000,
        "execution": "arn:aws:states:eu-west-1:123456789012:execution:Analyse:execution",
        "state_machine": "arn:aws:states:eu-west-1:123456789012:stateMachine:Analyse",
        "attempts": 3,
        "first_started_at": "2023-11-14T22:13:20.000Z",
    }
    assert (execution.status, execution.error, execution.cause) == ("FAILED", "Boom", "x" * 2_000)


def test_a_dead_letter_queue_that_is_away_is_waited_for() -> None:
    """SendMessage is tried for minutes; then the execution fails, and AWS has its input."""
    world = World(plan(retries=()))
    world.work_is(failing_with("Boom", "why"))
    sends: list[float] = []
    world.tasks["DeadLetter"] = lambda call: (
        sends.append(call.attempt) or failing_with("SQS.SdkClientException")(call)
    )
    execution = world.run()
    assert sends == list(range(13))
    assert execution.error == "Boom"
    assert (
        execution.cause
        == "why (it could not be dead-lettered, the execution's input has it: SQS.SdkClientException)"
    )


def test_without_the_table_everything_is_called() -> None:
    """The breaker's outage is not ours: a state of that name is passed, and nothing is counted."""
    world = World()
    away = failing_with("DynamoDB.InternalServerErrorException")
    for action in ("getItem", "updateItem"):
        world.tasks[f"arn:aws:states:::dynamodb:{action}"] = away
    execution = world.run(7)
    assert execution.visited == ["Read", "BreakerUnreachable", "Decide", "Call"]
    world.work_is(failing_with("Boom"))
    assert world.run(7).error == "Boom"


def test_a_refused_count_is_not_made_twice() -> None:
    """Throttled, it is tried again; with any other error it may have been made, and is not."""
    for error, times in (("DynamoDB.ThrottlingException", 3), ("DynamoDB.InternalServerErrorException", 1)):
        world = World(plan(retries=()))
        world.work_is(failing_with("Boom"))
        counted = []
        world.tasks["Count"] = lambda call, counted=counted, error=error: (
            counted.append(1) or failing_with(error)(call)
        )
        world.run()
        assert len(counted) == times


def test_an_answer_that_means_an_error_is_one() -> None:
    """error_of_result names it: it is counted, tried again, and given up like an error that was raised."""
    rule = RetryRule(errors=("Broken",), attempts=1)
    world = World(
        plan(work=work(error_of_result="$states.result.Payload.bad ? 'Broken' : ''"), retries=(rule,))
    )
    assert world.run({"bad": False}).status == "SUCCEEDED"
    execution = world.run({"bad": True})
    assert (execution.error, world.dead[0]["attempts"]) == ("Broken", 2)
    assert '"bad":true' in execution.cause.replace(" ", "")  # type: ignore[union-attr]


def test_a_slow_call_counts_and_is_done() -> None:
    """Its result is its result, and the circuit knows that it was slow."""
    world = World(plan(policy=BreakerPolicy(slow_call_seconds=2)))
    now = [START]
    execution = world.machine.start(7, clock=lambda: now[0])
    for _ in range(9):
        if not execution.pending:
            break
        call = execution.pending[0]
        assert isinstance(call, TaskCall)
        if "lambda" in call.resource:
            now[0] += 2
        call.succeed(world.tasks[call.resource](call))
    assert (execution.output, execution.visited[-3:]) == (7, ["Count", "Outcome", "Done"])
    assert [name for name in world.table.items[NAME] if name.startswith("slow")]


def test_a_constant_may_stand_in_for_the_work() -> None:
    """Given up, the execution succeeds with the constant, in which expressions know what failed."""
    world = World(plan(fallback=Constant(value={"pages": [], "why": "{% $failure.error %}"}), retries=()))
    world.work_is(failing_with("Boom"))
    execution = world.run(7)
    assert (execution.status, execution.output) == ("SUCCEEDED", {"pages": [], "why": "Boom"})


def test_another_task_may_stand_in_for_the_work() -> None:
    """It gets the input and the failure; when it fails too, the work is dead-lettered for its own failure."""
    other = WorkTask(
        resource="arn:other",
        arguments={"work": "{% $work %}", "failure": "{% $failure %}"},
        timeout_seconds=5,
        platform_retries=(PlatformRetry(errors=("X",)),),
    )
    world = World(plan(fallback=other, retries=()))
    world.work_is(failing_with("Boom", "why"))
    world.tasks["arn:other"] = lambda call: call.arguments
    failure = {"error": "Boom", "cause": "why", "attempts": 1}
    assert world.run(7).output == {"work": 7, "failure": failure}
    world.tasks["arn:other"] = failing_with("Worse")
    world.run(7)
    assert (world.dead[0]["error"], world.dead[0]["cause"]) == (
        "Boom",
        "why (the fallback failed, too: Worse)",
    )


def test_a_work_that_is_too_large_is_not_lost() -> None:
    """A result over 256 KB is an error that is caught by name; the work is dead-lettered, and not counted."""
    world = World(plan(retries=()))
    world.work_is(lambda _: {"Payload": "x" * 300_000})
    execution = world.run(7)
    assert (execution.error, world.dead[0]["input"]) == ("States.DataLimitExceeded", 7)
    assert world.table.items == {}
    # by which the rule for ends that nothing caught knows that there is a dead letter already
    assert str(execution.cause).endswith(GIVEN_UP)
    assert not world.dead[0]["cause"].endswith(GIVEN_UP)
