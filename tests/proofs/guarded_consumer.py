"""A consumer of a downstream with a breaker: everything that is made once per stack for it."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import Duration, Stack
from constructs import Construct

from resilient_constructs import BreakerPolicy, Downstream, FlowControlledConsumer, Handler, OnCall

__all__ = ["guard"]


def guard(stack: Stack, *, handler: Handler, on_call: OnCall | None = None) -> Sequence[Construct]:
    """Make them; what is ours in the stack."""
    policy = BreakerPolicy(slow_after=Duration.seconds(8))
    courier = Downstream(stack, "Courier", requests_per_second=10, breaker=policy, on_call=on_call)
    consumer = FlowControlledConsumer(stack, "Delivery", handler=handler, downstream=courier, on_call=on_call)
    assert courier.circuits is not None
    return courier, courier.circuits, consumer
