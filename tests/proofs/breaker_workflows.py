"""Workflows with everything that they are started by, and every kind of work that needs grants of its own."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import Stack
from aws_cdk import aws_events as events
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from resilient_constructs import (
    BreakerPolicy,
    BreakerWorkflow,
    Downstream,
    FanOutBus,
    Handler,
    OnCall,
    ResilientFunction,
    Work,
)

__all__ = ["orchestrate"]


def orchestrate(stack: Stack, *, handler: Handler, on_call: OnCall | None = None) -> Sequence[Construct]:
    """Make them; what is ours in the stack."""
    ocr = Downstream(stack, "Ocr", requests_per_second=10, breaker=BreakerPolicy(), on_call=on_call)
    function = ResilientFunction(stack, "Reader", handler=handler, on_call=on_call)
    analyse = BreakerWorkflow(stack, "Analyse", work=Work.function(function), downstream=ocr, on_call=on_call)
    bus = FanOutBus(stack, "Pages", on_call=on_call)
    bus.subscribe("Analyse", analyse, detail_type=["PageSplit"])
    analyse.on_schedule("Nightly", "cron(0 6 * * ? *)")

    # a connection of another stack: it does not exist in all partitions
    connection = events.Connection.from_connection_attributes(
        stack,
        "Connection",
        connection_name="ocr",
        connection_arn=f"arn:{stack.partition}:events:{stack.region}:{stack.account}:connection/ocr/1",
        connection_secret_arn=f"arn:{stack.partition}:secretsmanager:{stack.region}:{stack.account}:secret:ocr-1",
    )
    topic = sns.Topic(stack, "Instead", enforce_ssl=True)
    telling = {"TopicArn": topic.topic_arn, "Message": "{% $failure.error %}"}
    called = BreakerWorkflow(
        stack,
        "Call",
        work=Work.http("https://api.example.com/pages", connection=connection),
        fallback=Work.action("sns", "publish", telling, resources=[topic.topic_arn]),
        express=True,
        on_call=on_call,
    )
    child = sfn.StateMachine.from_state_machine_name(stack, "Child", "child")
    nested = BreakerWorkflow(stack, "Nested", work=Work.workflow(child), on_call=on_call)
    assert ocr.circuits is not None
    assert isinstance(analyse.claims, s3.Bucket)
    return ocr, ocr.circuits, function, analyse, analyse.claims, bus, called, nested
