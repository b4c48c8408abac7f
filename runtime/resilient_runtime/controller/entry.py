"""The function that Lambda calls: ``resilient_runtime.controller.entry.handler``."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from typing import Any

from resilient_runtime.chance import uniform
from resilient_runtime.clock import SYSTEM_CLOCK

from .aws import EventBus, LambdaMappings, WakeQueue, make_client, read_wake, reader_of
from .controller import Controller
from .settings import ControllerSettings

__all__ = ["handle", "handler"]

_controller: Controller | None = None


def handler(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Look, for whichever reason."""
    global _controller
    if _controller is None:
        _controller = _build(os.environ)
    return handle(_controller, event, context)


def handle(controller: Controller, event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Tell the three kinds of event apart.

    :returns: for a queue, the messages that have to come again, as Lambda wants it
    """

    def remaining() -> float:
        return float(context.get_remaining_time_in_millis()) / 1000

    records = event.get("Records")
    if records is None:
        controller.on_schedule(remaining)
        return {}
    if any("dynamodb" in record for record in records):
        controller.on_stream(records, remaining)
        return {"batchItemFailures": []}
    failed = []
    for record in records:
        try:
            controller.on_wake(read_wake(record["body"]), remaining)
        except Exception as error:  # noqa: BLE001  the other messages have their turn
            sys.stdout.write(f"{record['messageId']} comes again: {type(error).__name__}: {error}\n")
            failed.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failed}


def _build(env: Mapping[str, str]) -> Controller:
    settings = ControllerSettings.from_env(env)
    return Controller(
        settings,
        read=reader_of(settings.table, make_client("dynamodb")),
        mappings=LambdaMappings(make_client("lambda")),
        wakes=WakeQueue(settings.wake_queue_url, make_client("sqs")),
        events=EventBus(make_client("events")),
        emit=lambda line: sys.stdout.write(f"{line}\n"),
        clock=SYSTEM_CLOCK,
        sleep=time.sleep,
        random=uniform,
    )
