"""Every grant of the courier example is needed and none is missing: proven by a run, and by its failures."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from courier_consequences import (
    CIRCUIT_CONSEQUENCES,
    CONSEQUENCES,
    CONTROLLERS_FUNCTION,
    DEAD,
    FED,
    UNDELIVERED,
    WORK,
)
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
KNOW_NO_RESOURCES = {"xray:PutTraceSegments", "xray:PutTelemetryRecords", "dynamodb:ListStreams"}
"""https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsx-ray.html
https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazondynamodb.html"""


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
