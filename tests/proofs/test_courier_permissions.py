"""Every grant of the courier example is needed and none is missing: proven by a run, and by its failures."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from courier_run import STACK, CourierRun, wait_for
from example_templates import TEMPLATES
from grants import without
from resilient_runtime.breaker.circuit import CircuitState

from resilient_constructs.demo.courier import Courier, Manner, Outcome
from resilient_constructs.demo.server import CourierServer
from resilient_constructs.demo.witnesses import discover
from resilient_constructs.local import LocalAws, deploy
from resilient_constructs.local.permissions import Proof, policies_of, prove
from resilient_constructs.testing.local import local_aws as local_aws

pytestmark = pytest.mark.local

REPOSITORY = Path(__file__).parents[2]
WORK, DEAD, UNDELIVERED = "DeliveryQueue", "DeliveryDeadLetterQueue", "OrdersDeliveryUndelivered"
FUNCTION = "DeliveryFunctionRole"
CONTROLLER = "ResilientCircuitsControllerRole"
CONTROLLERS_FUNCTION = "ResilientCircuitsControllerFunction"
GIVEN_UP = "ResilientCircuitsControllerDeadLetterQueue"
FED = ("Enabled", 5)

KNOW_NO_RESOURCES = {"xray:PutTraceSegments", "xray:PutTelemetryRecords", "dynamodb:ListStreams"}
"""https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsx-ray.html
https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazondynamodb.html"""

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


@pytest.fixture(scope="module")
def run(local_aws: LocalAws) -> Iterator[CourierRun]:
    """All examples deployed by ``cdk deploy``; an obliging courier; a message comes back after a second."""
    courier = Courier(
        manner=Manner(failure_share=0, fastest=0, slowest=0, requests_per_second=500, burst=500)
    )
    with CourierServer(courier) as server:
        context = {
            "courier-url": server.url,
            "courier-latency-ms": "300",
            "courier-timeout-ms": "1000",
            "courier-recovery-ms": "1000",
        }
        deployment = deploy(local_aws, cwd=REPOSITORY, context=context)
        system = discover(local_aws.client, STACK)
        run = CourierRun(deployment=deployment, courier=courier, system=system)
        # the template's value is for production; no grant depends on it
        local_aws.client("sqs").set_queue_attributes(
            QueueUrl=run.url_of(WORK), Attributes={"VisibilityTimeout": "1"}
        )
        yield run


@pytest.fixture(scope="module")
def proof(run: CourierRun) -> Proof:
    """What the calls of a run say in which everything happens that the stack is made for."""
    status, delivered = run.order()
    assert status == 202
    wait_for("the order at the courier", lambda: Outcome.DELIVERED in run.outcomes(delivered))

    _, poison = run.order("nowhere")
    wait_for("the poison among the dead letters", lambda: poison in run.dead_letters(DEAD))

    run.courier.down()
    _, late = run.order()
    wait_for("a failed call", lambda: Outcome.DOWN in run.outcomes(late))
    run.courier.up()
    wait_for("the late order at the courier", lambda: Outcome.DELIVERED in run.outcomes(late))

    with run.queue_out_of_reach():
        _, stray = run.order()
        wait_for("the event among the undelivered", lambda: stray in run.dead_letters(UNDELIVERED))

    run.open(seconds=4)
    wait_for("the pause", lambda: run.feeding[0] == "Disabled")
    wait_for("the trickle", lambda: run.feeding == ("Enabled", 2))
    run.command(CircuitState.CLOSED)
    wait_for("the restored mapping", lambda: run.feeding == FED)

    run.reconcile()
    run.reconcile(out_of_reach=True)
    wait_for("what could not be delivered", lambda: run.given_up() == 1)
    with broken_controller(run):
        run.command(CircuitState.FORCED_OPEN)
        wait_for("what the stream gave up", lambda: run.given_up() == 2)
    run.command(CircuitState.CLOSED)

    run.ring()
    wait_for("the last invocation's end", lambda: not prove(run.aws, [STACK]).unused, seconds=5)
    return prove(run.aws, [STACK])


@contextmanager
def broken_controller(run: CourierRun) -> Iterator[None]:
    """Every invocation of the controller fails, and its stream gives up what is older than a second."""
    functions = run.aws.client("lambda")
    stream = run.made("AWS::Lambda::EventSourceMapping", "ResilientCircuitsControllerStream")
    name = run.made("AWS::Lambda::Function", CONTROLLERS_FUNCTION)
    variables = functions.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    functions.update_event_source_mapping(UUID=stream, MaximumRecordAgeInSeconds=1)
    run.start_anew(CONTROLLERS_FUNCTION, RESILIENT_FEEDS="broken")
    try:
        yield
    finally:
        run.start_anew(CONTROLLERS_FUNCTION, RESILIENT_FEEDS=variables["RESILIENT_FEEDS"])
        functions.update_event_source_mapping(UUID=stream, MaximumRecordAgeInSeconds=3600)


def test_all_examples_are_deployed(run: CourierRun) -> None:
    """The stacks of ``examples/app.py`` are the ones that every proof here looks at."""
    assert set(run.deployment.templates) == set(TEMPLATES)


def test_no_grant_is_missing(proof: Proof) -> None:
    """Every AWS call of the whole run is allowed by the template's own policies."""
    assert proof.denied == ()
    assert proof.judged > 30


def test_no_grant_is_left_over(proof: Proof) -> None:
    """Every granted action on every granted resource was used in the run."""
    assert [str(grant) for grant in proof.unused] == []


def test_only_what_knows_no_resources_is_granted_on_everything(proof: Proof) -> None:
    """No grant names a wildcard, save for X-Ray's and that of listing streams."""
    assert {(grant.action, grant.resource) for grant in proof.broad} == {
        (action, "*") for action in KNOW_NO_RESOURCES
    }


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


def nobody_wakes_up(run: CourierRun, since: float) -> None:
    """When the recovery time is over the queue is still paused."""
    run.open(seconds=3)
    _until_something_is_denied(run, since)
    time.sleep(4)
    assert run.feeding[0] == "Disabled"


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
    (CONTROLLER, "sqs:SendMessage"): nobody_wakes_up,
    (CONTROLLERS_FUNCTION, "lambda:InvokeFunction"): only_the_proof_sees_the_schedule,
    (GIVEN_UP, "sqs:SendMessage"): what_cannot_be_delivered_is_dropped,
    **{(CONTROLLER, action): only_the_proof_sees_the_change for action in STREAM_NOT_ENFORCED_LOCALLY},
    **{(CONTROLLER, action): only_the_proof_sees_the_message for action in NOT_ENFORCED_LOCALLY},
}
"""Of the courier's circuit."""

ALL = {**CONSEQUENCES, **CIRCUIT_CONSEQUENCES}


def test_each_grant_is_tried(run: CourierRun) -> None:
    """The grants taken away below are exactly those that the deployed stack has."""
    statements = policies_of(run.aws, [STACK])
    granted = {(run.owner(grant.owner), grant.action) for one in statements for grant in one.grants}
    assert granted == set(ALL)


@pytest.mark.usefixtures("proof")
@pytest.mark.parametrize(("owner", "action"), [pytest.param(*grant, id="-".join(grant)) for grant in ALL])
def test_a_run_without_this_grant_fails(run: CourierRun, owner: str, action: str) -> None:
    """With one grant taken away its consequence is seen, and the proof names the call."""
    (arn,) = {one.owner for one in policies_of(run.aws, [STACK]) if run.owner(one.owner) == owner}
    # what earlier cases left unfinished is theirs
    wait_for("an empty work queue", lambda: _is_empty(run))
    since = time.time()
    with without(run.aws, arn, action):
        ALL[owner, action](run, since)
        wait_for(f"{action} among the denied", lambda: action in _denied(run, since), seconds=5)
        assert _denied(run, since) == {action}
    run.command(CircuitState.CLOSED)
    wait_for("the restored mapping", lambda: run.feeding == FED)
    wait_for("an empty work queue", lambda: _is_empty(run))


def _denied(run: CourierRun, since: float) -> set[str]:
    return {call.action for call in prove(run.aws, [STACK], since=since).denied}


def _is_empty(run: CourierRun) -> bool:
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    answer = run.aws.client("sqs").get_queue_attributes(QueueUrl=run.url_of(WORK), AttributeNames=names)
    return not any(int(value) for value in answer["Attributes"].values())
