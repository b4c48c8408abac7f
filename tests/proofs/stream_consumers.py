"""Stream consumers with what needs a grant, a key or a resource of its own."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import Stack
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_kms as kms
from constructs import Construct

from resilient_constructs import BreakerPolicy, Downstream, Handler, KinesisBisectConsumer, OnCall

__all__ = ["follow", "stream"]


def stream(
    stack: Stack, *, handler: Handler, on_call: OnCall | None = None, encryption_key: kms.IKey | None = None
) -> Sequence[Construct]:
    """One that parks, of a provisioned stream, behind a breaker; what is ours in the stack."""
    courier = Downstream(stack, "Courier", requests_per_second=10, breaker=BreakerPolicy(), on_call=on_call)
    consumer = KinesisBisectConsumer(
        stack,
        "Orders",
        handler=handler,
        downstream=courier,
        shards=2,
        shard_metrics=True,
        enhanced_fan_out=True,
        on_poison="park",
        encryption_key=encryption_key,
        on_call=on_call,
    )
    assert courier.circuits is not None
    return courier, courier.circuits, consumer


def follow(stack: Stack, *, handler: Handler, on_call: OnCall | None = None) -> KinesisBisectConsumer:
    """One of a table's stream."""
    table = dynamodb.Table(
        stack,
        "Items",
        partition_key=dynamodb.Attribute(name="id", type=dynamodb.AttributeType.STRING),
        stream=dynamodb.StreamViewType.NEW_AND_OLD_IMAGES,
    )
    return KinesisBisectConsumer(stack, "Orders", handler=handler, table=table, on_call=on_call)
