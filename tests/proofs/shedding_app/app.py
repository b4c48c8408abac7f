"""The app that ``test_shedding_on_local_aws`` deploys: an archive for what is too old, and two lanes."""

from __future__ import annotations

from pathlib import Path

from aws_cdk import App, Duration, Stack
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_sqs as sqs

from resilient_constructs import FlowControlledConsumer, Handler, UrgentLane

app = App()
stack = Stack(app, "Shedding")
FlowControlledConsumer(
    stack,
    "Delivery",
    handler=Handler.from_directory(Path(__file__).parent / "handlers", "shedding.deliver"),
    batch_size=10,
    timeout=Duration.seconds(5),
    evict_after=Duration.seconds(20),
    urgent_lane=UrgentLane(share=0.4),
)
told = sqs.Queue(stack, "Told", enforce_ssl=False)
events.Rule(
    stack,
    "Evictions",
    event_pattern=events.EventPattern(source=["resilient-constructs"], detail_type=["Message Evicted"]),
    targets=[targets.SqsQueue(told)],
)
app.synth()
