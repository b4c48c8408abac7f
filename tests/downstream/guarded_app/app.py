"""The app that ``test_outage_on_local_aws`` deploys: a consumer, and a downstream with a breaker."""

from __future__ import annotations

from pathlib import Path

from aws_cdk import App, Duration, Stack
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_sqs as sqs

from resilient_constructs import BreakerPolicy, Downstream, FlowControlledConsumer, Handler

app = App()
stack = Stack(app, "Guarded")
courier = Downstream(
    stack,
    "Courier",
    requests_per_second=200,
    burst=200,
    typical_latency=Duration.millis(20),
    breaker=BreakerPolicy(
        window=Duration.seconds(10),
        minimum_calls=4,
        outage_calls=4,
        recovery_time=Duration.seconds(3),
        longest_recovery_time=Duration.seconds(4),
        cache_for=Duration.millis(500),
    ),
)
FlowControlledConsumer(
    stack,
    "Delivery",
    handler=Handler.from_directory(Path(__file__).parent / "handlers", "delivery.deliver"),
    downstream=courier,
    max_concurrency=5,
    timeout=Duration.seconds(5),
    visibility_timeout=Duration.seconds(6),
    environment={"COURIER_URL": app.node.try_get_context("courier_url")},
)
told = sqs.Queue(stack, "Told", enforce_ssl=False)
events.Rule(
    stack,
    "Transitions",
    event_pattern=events.EventPattern(source=["resilient-constructs"], detail_type=["Circuit State Changed"]),
    targets=[targets.SqsQueue(told)],
)
app.synth()
