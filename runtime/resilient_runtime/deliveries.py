"""One delivery of one message, as the handler is told of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from .call import Boundary, Call
from .clock import Clock
from .lifecycle import Remaining
from .messages import read
from .settings import DownstreamSettings

__all__ = ["Deliveries", "Invocation", "read_into"]


class Invocation(NamedTuple):
    """What all messages of one batch share.

    :param request_id: the Lambda request
    :param remaining: milliseconds until Lambda ends it
    :param margin_ms: milliseconds that every downstream call leaves of it
    """

    request_id: str
    remaining: Remaining
    margin_ms: int


class Deliveries:
    """Makes the calls of one function's messages.

    :param downstreams: what the handler may call, by name
    :param boundary: what happens around each downstream call
    :param urgent_queue: the ARN of the urgent lane's queue, where there is one
    """

    __slots__ = ("_boundary", "_clock", "_downstreams", "_urgent_queue")

    def __init__(
        self,
        downstreams: Mapping[str, DownstreamSettings],
        boundary: Boundary,
        clock: Clock,
        urgent_queue: str | None,
    ) -> None:
        self._downstreams = downstreams
        self._boundary = boundary
        self._clock = clock
        self._urgent_queue = urgent_queue

    def plain(self, record: Mapping[str, Any], invocation: Invocation) -> Call:
        """A call that says no more than the message's id, in case reading the message fails."""
        message_id = record["messageId"]
        urgent = self._urgent_queue
        return Call(
            correlation_id=message_id,
            idempotency_key=message_id,
            message_id=message_id,
            lane="urgent" if urgent is not None and record.get("eventSourceARN") == urgent else None,
            request_id=invocation.request_id,
            downstreams=self._downstreams,
            boundary=self._boundary,
            remaining=invocation.remaining,
            clock=self._clock,
            margin_ms=invocation.margin_ms,
        )


def read_into(call: Call, record: Mapping[str, Any]) -> Any:
    """Fill in what the message says; returns its body.

    :raises Exception: when it is no message of SQS's own; the call is then as plain as before
    """
    (
        body,
        call.correlation_id,
        call.idempotency_key,
        call.attempt,
        call.attributes,
        call.event,
    ) = read(record)
    return body
