"""A consumer that sheds on purpose: it archives what is too old, and has an urgent lane."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import Duration, Stack
from aws_cdk import aws_kms as kms
from constructs import Construct

from resilient_constructs import (
    BreakerPolicy,
    Downstream,
    FlowControlledConsumer,
    Handler,
    OnCall,
    UrgentLane,
)

__all__ = ["shed"]


def shed(
    stack: Stack, *, handler: Handler, on_call: OnCall | None = None, encryption_key: kms.IKey | None = None
) -> Sequence[Construct]:
    """Make it, behind a breaker; what is ours in the stack."""
    courier = Downstream(stack, "Courier", requests_per_second=10, breaker=BreakerPolicy(), on_call=on_call)
    consumer = FlowControlledConsumer(
        stack,
        "Delivery",
        handler=handler,
        downstream=courier,
        evict_after=Duration.hours(2),
        urgent_lane=UrgentLane(share=0.2),
        encryption_key=encryption_key,
        on_call=on_call,
    )
    assert courier.circuits is not None
    return courier, courier.circuits, consumer
