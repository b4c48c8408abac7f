"""The app that ``test_stream_on_local_aws`` deploys: four shards, and a downstream with a breaker."""

from __future__ import annotations

from pathlib import Path

from aws_cdk import App, Duration, Stack

from resilient_constructs import BreakerPolicy, Downstream, Handler, KinesisBisectConsumer

app = App()
stack = Stack(app, "Streamed")
courier = Downstream(
    stack,
    "Courier",
    connections=50,
    breaker=BreakerPolicy(
        window=Duration.seconds(10),
        recovery_time=Duration.seconds(3),
        longest_recovery_time=Duration.seconds(6),
        cache_for=Duration.millis(500),
    ),
)
KinesisBisectConsumer(
    stack,
    "Orders",
    shards=4,
    handler=Handler.from_directory(Path(__file__).parent / "handlers", "orders.handle"),
    downstream=courier,
    batch_size=500,
    timeout=Duration.seconds(30),
    environment={
        "COURIER_PORT": app.node.try_get_context("courier_port"),
        "DONE": app.node.try_get_context("done"),
    },
)
app.synth()
