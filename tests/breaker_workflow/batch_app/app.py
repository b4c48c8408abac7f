"""The app that ``test_parallel_on_local_aws`` deploys: few items inline, and many from an object."""

from __future__ import annotations

from pathlib import Path

from aws_cdk import App, Duration, RemovalPolicy, Stack
from aws_cdk import aws_s3 as s3

from resilient_constructs import (
    BreakerPolicy,
    Downstream,
    Handler,
    Items,
    ParallelWork,
    ResilientFunction,
    Retry,
    Work,
)

app = App()
stack = Stack(app, "Pages")
handler = Handler.from_directory(Path(__file__).parent / "handlers", "pages.read")
function = ResilientFunction(stack, "Reader", handler=handler, timeout=Duration.seconds(10))
ocr = Downstream(stack, "Ocr", requests_per_second=20, breaker=BreakerPolicy())
incoming = s3.Bucket(stack, "Incoming", enforce_ssl=True, removal_policy=RemovalPolicy.DESTROY)
again = [Retry(attempts=1, interval=Duration.seconds(1))]
ParallelWork(
    stack,
    "Few",
    work=Work.function(function),
    downstream=ocr,
    retries=again,
    tolerated_percent=50,
    max_concurrency=4,
)
ParallelWork(
    stack,
    "Many",
    work=Work.function(function),
    items=Items.json_lines(incoming, key="{% $batch.key %}"),
    downstream=ocr,
    retries=again,
    tolerated_percent=5,
    max_concurrency=8,
)
app.synth()
