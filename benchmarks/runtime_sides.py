"""The same function twice: under this library's runtime, and with Powertools as its documentation shows it.

Both do nothing with an order, so that what is measured is what surrounds the handler; both write to the same
``sys.stdout``.
"""

from __future__ import annotations

import json
import sys
import time
import types
from collections.abc import Callable
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from resilient_runtime.application import build
from resilient_runtime.settings import Settings

__all__ = [
    "BATCH",
    "ENVIRONMENT",
    "EVENT",
    "Context",
    "Stdout",
    "ours",
    "ours_batch",
    "theirs",
    "theirs_batch",
]

Handler = Callable[[Any, Any], Any]

SERVICE = "orders"

ENVIRONMENT = {
    # what Lambda sets https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
    "AWS_EXECUTION_ENV": "AWS_Lambda_python3.11",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
    "AWS_LAMBDA_FUNCTION_NAME": "Orders-1A2B3C",
    "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
    "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
    # what a user of Powertools sets
    "POWERTOOLS_LOG_LEVEL": "INFO",
    "POWERTOOLS_METRICS_NAMESPACE": "Shop",
    "POWERTOOLS_SERVICE_NAME": SERVICE,
}

EVENT = {"order_id": "o-1042", "items": [{"sku": "A-1", "quantity": 2}, {"sku": "B-7", "quantity": 1}]}

BATCH: dict[str, Any] = {
    "Records": [
        {
            "messageId": f"059f36b4-87a3-44ab-83d2-66197545{n:04d}",
            "receiptHandle": "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a",
            "body": json.dumps(EVENT),
            "attributes": {
                "ApproximateReceiveCount": "1",
                "SentTimestamp": "1545082649183",
                "SenderId": "AIDAIENQZJOLO23YVJ4VO",
                "ApproximateFirstReceiveTimestamp": "1545082649185",
            },
            "messageAttributes": {
                "correlation_id": {
                    "stringValue": "4f8f6d2c9f9f4f3a",
                    "stringListValues": [],
                    "binaryListValues": [],
                    "dataType": "String",
                }
            },
            "md5OfBody": "e4e68fb7bd0e697a0ae8f1bb342846b3",
            "eventSource": "aws:sqs",
            "eventSourceARN": "arn:aws:sqs:us-east-2:123456789012:orders",
            "awsRegion": "us-east-2",
        }
        for n in range(10)
    ]
}


class Context:
    """What Lambda's Python client hands to a handler, with half a minute left at every call.

    https://docs.aws.amazon.com/lambda/latest/dg/python-context.html
    """

    def __init__(self) -> None:
        self.aws_request_id = "6bc28136-xmpl-4365-b021-0ce6b2e64ab0"
        self.log_group_name = "/aws/lambda/Orders-1A2B3C"
        self.log_stream_name = "2027/01/15/[$LATEST]58419525dade4d17a495dceeeed44708"
        self.function_name = "Orders-1A2B3C"
        self.memory_limit_in_mb = "256"
        self.function_version = "$LATEST"
        self.invoked_function_arn = "arn:aws:lambda:us-east-2:123456789012:function:Orders-1A2B3C"
        self.client_context = None
        self.identity = None
        self._deadline_ms = int(time.time() * 1000) + 30_000

    def get_remaining_time_in_millis(self) -> int:
        """As Lambda's client does it."""
        return max(self._deadline_ms - int(time.time() * 1000), 0)


class Stdout:
    """What Lambda's Python client puts in the place of ``sys.stdout``: every write goes out at once."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.lines = 0

    def write(self, text: str) -> None:
        """Write and flush."""
        self.lines += text.endswith("\n")
        self._stream.write(text)
        self._stream.flush()

    def flush(self) -> None:
        """There is nothing left to flush, but it is asked for."""
        self._stream.flush()


def _accept(event: Any, _context: Any) -> Any:
    return {"accepted": event["order_id"]}


def _deliver(_body: Any, _call: Any) -> None:
    """Nothing, at once."""


def ours() -> Handler:
    """A plain handler under the runtime, with the settings that its construct deploys by default."""
    return _build("event", _accept)


def theirs() -> Handler:
    """The same with Powertools: the context in the logs, a line at both ends, and one metric."""
    logger = Logger(service=SERVICE, stream=sys.stdout)
    metrics = Metrics()

    @logger.inject_lambda_context
    @metrics.log_metrics
    def handle(event: Any, context: Any) -> Any:
        logger.info("started")
        result = _accept(event, context)
        metrics.add_metric(name="Completed", unit=MetricUnit.Count, value=1)
        logger.info("completed")
        return result

    return handle


def ours_batch() -> Handler:
    """A message handler under the runtime: two status records for each message."""
    return _build("messages", _deliver)


def theirs_batch() -> Handler:
    """The same with Powertools' batch processor: a log line at both ends of each message."""
    logger = Logger(service=SERVICE, stream=sys.stdout)
    processor = BatchProcessor(event_type=EventType.SQS)

    def record_handler(record: SQSRecord) -> Any:
        body = record.json_body
        logger.info("started")
        logger.info("completed")
        return body

    def handle(event: dict[str, Any], context: Any) -> Any:
        return process_partial_response(
            event=event, record_handler=record_handler, processor=processor, context=context
        )

    return handle


def _build(mode: Any, function: Callable[[Any, Any], Any]) -> Handler:
    module = types.ModuleType("orders")
    vars(module)["handle"] = function
    sys.modules["orders"] = module
    settings = Settings(
        handler="orders.handle",
        mode=mode,
        service=SERVICE,
        dead_letter_queue_url="https://sqs.us-east-2.amazonaws.com/123456789012/dead",
    )
    return build(ENVIRONMENT | settings.to_env())
