"""Batches inline and from S3, with everything that needs grants of its own."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import Stack
from aws_cdk import aws_s3 as s3
from constructs import Construct

from resilient_constructs import (
    BreakerPolicy,
    Downstream,
    Handler,
    Items,
    OnCall,
    ParallelWork,
    ResilientFunction,
    Work,
)

__all__ = ["fan_out"]


def fan_out(stack: Stack, *, handler: Handler, on_call: OnCall | None = None) -> Sequence[Construct]:
    """Make them; what is ours in the stack."""
    ocr = Downstream(stack, "Ocr", requests_per_second=10, breaker=BreakerPolicy(), on_call=on_call)
    function = ResilientFunction(stack, "Reader", handler=handler, on_call=on_call)
    few = ParallelWork(stack, "Few", work=Work.function(function), downstream=ocr, on_call=on_call)
    few.on_schedule("Nightly", "cron(0 6 * * ? *)", work_input={"items": [1, 2]})
    incoming = s3.Bucket.from_bucket_name(stack, "Incoming", "incoming")
    many = ParallelWork(
        stack,
        "Many",
        work=Work.action("textract", "analyzeDocument", {"Document": "{% $work %}"}, resources=["*"]),
        items=Items.json_lines(incoming, key="{% $batch.key %}"),
        tolerated_percent=5,
        on_call=on_call,
    )
    assert ocr.circuits is not None
    assert isinstance(few.claims, s3.Bucket)
    return ocr, ocr.circuits, function, few, few.claims, many
