"""Every grant of the courier example is needed and none is missing: proven by a run, and by its failures."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from courier_run import STACK, CourierRun, wait_for
from example_templates import TEMPLATES
from grants import without

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

XRAY_KNOWS_NO_RESOURCES = {"xray:PutTraceSegments", "xray:PutTelemetryRecords"}
"""https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsx-ray.html"""

NOT_ENFORCED_LOCALLY = {
    "logs:CreateLogStream": "Lambda itself writes the log; the emulator keeps it without asking IAM",
    "logs:PutLogEvents": "as for the log stream",
    "xray:PutTraceSegments": "Lambda itself sends the trace; there is no X-Ray locally",
    "xray:PutTelemetryRecords": "as for the segments",
    "sqs:ReceiveMessage": "Lambda's poller uses the function's role; the emulator's reads the queue directly",
    "sqs:DeleteMessage": "as for receiving",
    "sqs:GetQueueAttributes": "as for receiving",
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
        deployment = deploy(local_aws, cwd=REPOSITORY, context={"courier-url": server.url})
        system = discover(local_aws.client, STACK)
        run = CourierRun(deployment=deployment, courier=courier, system=system)
        # the template's 84 seconds are for production; no grant depends on them
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

    run.ring()
    wait_for("the last invocation's end", lambda: not prove(run.aws, [STACK]).unused, seconds=5)
    return prove(run.aws, [STACK])


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


def test_only_tracing_is_granted_on_everything(proof: Proof) -> None:
    """No grant names a wildcard, save for X-Ray, which knows no resources."""
    assert {(grant.action, grant.resource) for grant in proof.broad} == {
        (action, "*") for action in XRAY_KNOWS_NO_RESOURCES
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


CONSEQUENCES: dict[tuple[str, str], Callable[[CourierRun, float], None]] = {
    ("ApiRole", "events:PutEvents"): no_order_is_accepted,
    (FUNCTION, "sqs:SendMessage"): poison_stays_in_its_queue,
    (FUNCTION, "sqs:ChangeMessageVisibility"): a_failure_waits_for_its_visibility_timeout,
    (WORK, "sqs:SendMessage"): events_go_to_the_undelivered,
    (UNDELIVERED, "sqs:SendMessage"): undelivered_events_are_lost,
    ("OnCallTopic", "sns:Publish"): nobody_is_told,
    **{(FUNCTION, action): only_the_proof_sees_it for action in NOT_ENFORCED_LOCALLY},
}


def test_each_grant_is_tried(run: CourierRun) -> None:
    """The grants taken away below are exactly those that the deployed stack has."""
    statements = policies_of(run.aws, [STACK])
    granted = {(run.owner(grant.owner), grant.action) for one in statements for grant in one.grants}
    assert granted == set(CONSEQUENCES)


@pytest.mark.usefixtures("proof")
@pytest.mark.parametrize(
    ("owner", "action"), [pytest.param(*grant, id="-".join(grant)) for grant in CONSEQUENCES]
)
def test_a_run_without_this_grant_fails(run: CourierRun, owner: str, action: str) -> None:
    """With one grant taken away its consequence is seen, and the proof names the call."""
    (arn,) = {one.owner for one in policies_of(run.aws, [STACK]) if run.owner(one.owner) == owner}
    # what earlier cases left unfinished is theirs
    wait_for("an empty work queue", lambda: _is_empty(run))
    since = time.time()
    with without(run.aws, arn, action):
        CONSEQUENCES[owner, action](run, since)
        wait_for(f"{action} among the denied", lambda: action in _denied(run, since), seconds=5)
        assert _denied(run, since) == {action}
    wait_for("an empty work queue", lambda: _is_empty(run))


def _denied(run: CourierRun, since: float) -> set[str]:
    return {call.action for call in prove(run.aws, [STACK], since=since).denied}


def _is_empty(run: CourierRun) -> bool:
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    answer = run.aws.client("sqs").get_queue_attributes(QueueUrl=run.url_of(WORK), AttributeNames=names)
    return not any(int(value) for value in answer["Attributes"].values())
