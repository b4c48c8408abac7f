"""The app that ``test_ledger_on_local_aws`` deploys: one consumer, nothing slow behind it."""

from __future__ import annotations

from pathlib import Path

from aws_cdk import App, Duration, Stack

from resilient_constructs import FlowControlledConsumer, Handler

app = App()
FlowControlledConsumer(
    Stack(app, "Poisoned"),
    "Delivery",
    handler=Handler.from_directory(Path(__file__).parent / "handlers", "sorting.sort"),
    max_concurrency=4,
    batch_size=10,
    max_receive_count=3,
    timeout=Duration.seconds(10),
    environment={"DONE": app.node.try_get_context("done")},
)
app.synth()
