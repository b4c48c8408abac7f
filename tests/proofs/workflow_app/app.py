"""The app that ``test_workflow_permissions`` deploys: a workflow of a function behind a breaker."""

from __future__ import annotations

from pathlib import Path

from aws_cdk import App, Duration, Stack

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
stack = Stack(app, "Scans")
handler = Handler.from_directory(Path(__file__).parent / "handlers", "pages.read")
analyse = BreakerWorkflow(
    stack,
    "Analyse",
    work=Work.function(ResilientFunction(stack, "Reader", handler=handler, timeout=Duration.seconds(10))),
    downstream=Downstream(stack, "Ocr", requests_per_second=50, breaker=BreakerPolicy()),
    retries=[Retry(attempts=1, interval=Duration.seconds(1))],
)
app.synth()
