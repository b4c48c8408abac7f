"""The app that ``test_parking_on_local_aws`` deploys: one shard, and keys that wait behind their poison."""

from __future__ import annotations

from pathlib import Path

from aws_cdk import App, Duration, Stack

from resilient_constructs import Handler, KinesisBisectConsumer

app = App()
KinesisBisectConsumer(
    Stack(app, "Parking"),
    "Orders",
    shards=1,
    handler=Handler.from_directory(Path(__file__).parent / "handlers", "orders.handle"),
    on_poison="park",
    timeout=Duration.seconds(20),
    environment={name: app.node.try_get_context(name.lower()) for name in ("DONE", "MENDED")},
)
app.synth()
