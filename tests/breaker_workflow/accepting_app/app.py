"""The app that ``test_workflow_on_local_aws`` deploys: a workflow around a function, and a downstream."""

from __future__ import annotations

from pathlib import Path

from aws_cdk import App, Duration, Stack
from aws_cdk import aws_sqs as sqs

from resilient_constructs import (
    BreakerPolicy,
    BreakerWorkflow,
    Downstream,
    Handler,
    ResilientFunction,
    Retry,
    Work,
)

app = App()
stack = Stack(app, "Pages")
ocr = Downstream(
    stack,
    "Ocr",
    requests_per_second=40,
    burst=40,
    typical_latency=Duration.millis(200),
    breaker=BreakerPolicy(
        window=Duration.seconds(10),
        minimum_calls=4,
        outage_calls=4,
        recovery_time=Duration.seconds(3),
        longest_recovery_time=Duration.seconds(4),
        cache_for=Duration.millis(500),
    ),
)


def queue(name: str) -> sqs.Queue:
    """A queue whose messages come back a minute after the process that had them died; six are usual."""
    return sqs.Queue(
        stack,
        name,
        enforce_ssl=True,
        visibility_timeout=Duration.minutes(1),
        retention_period=Duration.days(14),
    )


BreakerWorkflow(
    stack,
    "Analyse",
    queue=queue("Work"),
    parked_queue=queue("Parked"),
    downstream=ocr,
    work=Work.function(
        ResilientFunction(
            stack,
            "Reader",
            handler=Handler.from_directory(Path(__file__).parent / "handlers", "page.read"),
            timeout=Duration.seconds(10),
            environment={"OCR_URL": app.node.try_get_context("ocr_url") or "http://127.0.0.1:1"},
        )
    ),
    retries=[
        Retry(
            errors=["UnavailableError", "Runtime.ExitError"],
            attempts=8,
            interval=Duration.seconds(1),
            longest=Duration.seconds(5),
        )
    ],
)
app.synth()
