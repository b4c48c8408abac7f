"""What goes wrong in the courier example without one of its grants: seen in a run, or by the proof alone."""

from __future__ import annotations

from collections.abc import Callable

from courier_run import STACK, CourierRun, wait_for
from resilient_runtime.breaker.circuit import CircuitState

from resilient_constructs.demo.circuits import changes
from resilient_constructs.demo.courier import Outcome
from resilient_constructs.local.permissions import prove

__all__ = [
    "CIRCUIT_CONSEQUENCES",
    "CONSEQUENCES",
    "CONTROLLERS_FUNCTION",
    "DEAD",
    "FED",
    "FUNCTION",
    "UNDELIVERED",
    "WORK",
]

WORK, DEAD, UNDELIVERED = "DeliveryQueue", "DeliveryDeadLetterQueue", "OrdersDeliveryUndelivered"
FUNCTION = "DeliveryFunctionRole"
CONTROLLER = "ResilientCircuitsControllerRole"
CONTROLLERS_FUNCTION = "ResilientCircuitsControllerFunction"
GIVEN_UP = "ResilientCircuitsControllerDeadLetterQueue"
FED = ("Enabled", 5)

NOT_ENFORCED_LOCALLY = {
    "logs:CreateLogStream": "Lambda itself writes the log; the emulator keeps it without asking IAM",
    "logs:PutLogEvents": "as for the log stream",
    "xray:PutTraceSegments": "Lambda itself sends the trace; there is no X-Ray locally",
    "xray:PutTelemetryRecords": "as for the segments",
    "sqs:ReceiveMessage": "Lambda's poller uses the function's role; the emulator's reads the queue directly",
    "sqs:DeleteMessage": "as for receiving",
    "sqs:GetQueueAttributes": "as for receiving",
}
STREAM_NOT_ENFORCED_LOCALLY = {
    f"dynamodb:{name}": "Lambda's poller uses the function's role; the emulator's reads the stream directly"
    for name in ("DescribeStream", "GetRecords", "GetShardIterator", "ListStreams")
}
"""Calls that AWS makes in the function's name and nothing local refuses.

They are written down when AWS would make them and judged against the policies; taking such a grant away is
seen by the proof and not by the run.
"""


def no_order_is_accepted(run: CourierRun, since: float) -> None:
    """The client is told to try again."""
    status, _ = run.order()
    assert status == 503


def poison_stays_in_its_queue(run: CourierRun, since: float) -> None:
    """Poison is never deleted before it is dead-lettered: it comes back again and again."""
    _, poison = run.order("nowhere")
    wait_for("the poison a second time", lambda: run.outcomes(poison).count(Outcome.REFUSED) >= 2)
    assert poison not in run.dead_letters(DEAD)
    counts = run.aws.client("sqs").get_queue_attributes(QueueUrl=run.url_of(WORK), AttributeNames=["All"])
    names = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
    assert sum(int(counts["Attributes"][name]) for name in names) == 1


def events_go_to_the_undelivered(run: CourierRun, since: float) -> None:
    """EventBridge may not send to the work queue, and keeps the event beside it."""
    status, stray = run.order()
    assert status == 202
    wait_for("the event among the undelivered", lambda: stray in run.dead_letters(UNDELIVERED))
    assert run.outcomes(stray) == []


def undelivered_events_are_lost(run: CourierRun, since: float) -> None:
    """With no way to the work queue and none to the queue beside it, nobody has the event."""
    with run.queue_out_of_reach():
        _, stray = run.order()
        wait_for(
            "the refused dead letter",
            lambda: any(not call.allowed for call in prove(run.aws, [STACK], since=since).denied),
        )
    assert stray not in run.dead_letters(UNDELIVERED)
    assert run.outcomes(stray) == []


def nobody_is_told(run: CourierRun, since: float) -> None:
    """The alarm's notification is refused by the topic."""
    run.ring("OK")
    run.ring("ALARM")
    assert not any(
        call.allowed for call in run.aws.calls() if call.action == "sns:Publish" and call.at >= since
    )


def a_failure_waits_for_its_visibility_timeout(run: CourierRun, since: float) -> None:
    """The order comes back all the same, when its queue says so, and not when the consumer does."""
    run.courier.down()
    _, late = run.order()
    wait_for("a failed call", lambda: Outcome.DOWN in run.outcomes(late))
    run.courier.up()
    wait_for("the late order at the courier", lambda: Outcome.DELIVERED in run.outcomes(late))


def only_the_proof_sees_it(run: CourierRun, since: float) -> None:
    """The order is delivered all the same; on AWS it would not be, or would leave no trace."""
    _, order = run.order()
    wait_for("the order at the courier", lambda: Outcome.DELIVERED in run.outcomes(order))


def the_circuit_is_not_seen(run: CourierRun, since: float) -> None:
    """The order is delivered all the same: a breaker without its store lets calls pass."""
    run.start_anew("Delivery")
    only_the_proof_sees_it(run, since)


def failures_are_not_counted(run: CourierRun, since: float) -> None:
    """The table never hears of the failure."""
    run.start_anew("Delivery")
    run.courier.down()
    _, late = run.order()
    wait_for("a failed call", lambda: Outcome.DOWN in run.outcomes(late))
    run.courier.up()
    wait_for("the late order at the courier", lambda: Outcome.DELIVERED in run.outcomes(late))


def the_queue_is_not_paused(run: CourierRun, since: float) -> None:
    """The circuit is open, and the consumer is fed."""
    run.command(CircuitState.FORCED_OPEN)
    _until_something_is_denied(run, since)
    assert run.feeding == FED


def nobody_hears_of_it(run: CourierRun, since: float) -> None:
    """The queue is paused, and no event tells of it."""
    run.command(CircuitState.FORCED_OPEN)
    wait_for("the pause", lambda: run.feeding[0] == "Disabled")
    _until_something_is_denied(run, since)


def the_change_is_not_told(run: CourierRun, since: float) -> None:
    """The queue is paused; as nothing can be left for later, the stream repeats it and nobody is told."""
    assert run.system.guard is not None
    before = changes(run.aws.client, run.system.guard)
    run.open(seconds=30)
    wait_for("the pause", lambda: run.feeding[0] == "Disabled")
    _until_something_is_denied(run, since)
    assert changes(run.aws.client, run.system.guard) == before


def only_the_proof_sees_the_change(run: CourierRun, since: float) -> None:
    """The queue is paused all the same; on AWS it would not be."""
    run.command(CircuitState.FORCED_OPEN)
    wait_for("the pause", lambda: run.feeding[0] == "Disabled")


def only_the_proof_sees_the_message(run: CourierRun, since: float) -> None:
    """The controller gets its message all the same."""
    run.wake()


def only_the_proof_sees_the_schedule(run: CourierRun, since: float) -> None:
    """The controller runs all the same; on AWS nobody may invoke it."""
    run.reconcile()


def what_cannot_be_delivered_is_dropped(run: CourierRun, since: float) -> None:
    """Nobody learns that the reconciler does not run."""
    before = run.given_up()
    run.reconcile(out_of_reach=True)
    _until_something_is_denied(run, since)
    assert run.given_up() == before


def _until_something_is_denied(run: CourierRun, since: float) -> None:
    wait_for(
        "a refused call", lambda: any(not one.allowed for one in prove(run.aws, [STACK], since=since).denied)
    )


CONSEQUENCES: dict[tuple[str, str], Callable[[CourierRun, float], None]] = {
    ("ApiRole", "events:PutEvents"): no_order_is_accepted,
    (FUNCTION, "sqs:SendMessage"): poison_stays_in_its_queue,
    (FUNCTION, "sqs:ChangeMessageVisibility"): a_failure_waits_for_its_visibility_timeout,
    (WORK, "sqs:SendMessage"): events_go_to_the_undelivered,
    (UNDELIVERED, "sqs:SendMessage"): undelivered_events_are_lost,
    ("OnCallTopic", "sns:Publish"): nobody_is_told,
    **{(FUNCTION, action): only_the_proof_sees_it for action in NOT_ENFORCED_LOCALLY},
}

"""Of the API, the bus and the consumer; by owner of the policy and action."""

CIRCUIT_CONSEQUENCES: dict[tuple[str, str], Callable[[CourierRun, float], None]] = {
    (FUNCTION, "dynamodb:GetItem"): the_circuit_is_not_seen,
    (FUNCTION, "dynamodb:UpdateItem"): failures_are_not_counted,
    (CONTROLLER, "dynamodb:GetItem"): the_queue_is_not_paused,
    (CONTROLLER, "lambda:GetEventSourceMapping"): the_queue_is_not_paused,
    (CONTROLLER, "lambda:UpdateEventSourceMapping"): the_queue_is_not_paused,
    (CONTROLLER, "events:PutEvents"): nobody_hears_of_it,
    (CONTROLLER, "sqs:SendMessage"): the_change_is_not_told,
    (CONTROLLERS_FUNCTION, "lambda:InvokeFunction"): only_the_proof_sees_the_schedule,
    (GIVEN_UP, "sqs:SendMessage"): what_cannot_be_delivered_is_dropped,
    **{(CONTROLLER, action): only_the_proof_sees_the_change for action in STREAM_NOT_ENFORCED_LOCALLY},
    **{(CONTROLLER, action): only_the_proof_sees_the_message for action in NOT_ENFORCED_LOCALLY},
}
"""Of the courier's circuit."""
