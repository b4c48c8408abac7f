"""One SQS record of a Lambda event, read into what the handler gets.

https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html#example-standard-queue-message-event
"""

from __future__ import annotations

import json
from binascii import a2b_base64
from collections.abc import Mapping
from typing import Any, NamedTuple

from . import correlation
from .rejection import LABEL, read_label

__all__ = ["Message", "group_of", "read", "records_of"]

_NOTHING: Mapping[str, Any] = {}


class Message(NamedTuple):
    """What one SQS record says.

    :param body: what the handler gets: an event's data or detail, else parsed JSON, else the raw string
    :param correlation_id: from the attribute, the event's metadata, an earlier rejection, the event's id, or
        the message's id, in this order
    :param idempotency_key: see ``resilient_runtime.call.Call``
    :param attempt: SQS's receive count
    :param attributes: the message attributes as they were first sent
    :param event: the EventBridge event around the body, else None
    """

    body: Any
    correlation_id: str
    idempotency_key: str
    attempt: int
    attributes: Mapping[str, str | bytes]
    event: Mapping[str, Any] | None


def read(record: Mapping[str, Any]) -> Message:
    """Read one SQS record.

    A body that is not JSON reaches the handler as the string it is: whether that is poison is the handler's
    to say, with ``Reject``.
    """
    message_id = record["messageId"]
    body = _parse(record.get("body") or "")
    sent = record.get("messageAttributes") or _NOTHING
    label = read_label(sent[LABEL]) if LABEL in sent else _NOTHING
    if label:
        sent = {name: value for name, value in sent.items() if name != LABEL} | label.get("displaced", {})
    attribute = sent[correlation.ATTRIBUTE].get("stringValue") if correlation.ATTRIBUTE in sent else None
    key = sent[correlation.KEY_ATTRIBUTE].get("stringValue") if correlation.KEY_ATTRIBUTE in sent else None
    event = correlation.envelope_of(body)
    event_id: object = None
    in_metadata: object = None
    key_in_metadata: object = None
    if event is not None:
        event_id = event.get("id")
        in_metadata = correlation.from_envelope(event)
        accepted = correlation.accepted_detail(event)
        if accepted is None:
            body = event["detail"]
        else:
            body = accepted["data"]
            key_in_metadata = correlation.accepted_key(accepted)
    first_id = label.get("message_id")
    return Message(
        body=body,
        correlation_id=correlation.first_valid(
            attribute, in_metadata, label.get("correlation_id"), event_id, message_id
        )
        or correlation.fresh_id(),
        idempotency_key=correlation.first_valid(key, key_in_metadata, event_id, first_id) or message_id,
        attempt=_receive_count(record.get("attributes")),
        attributes={name: _value(value) for name, value in sent.items()} if sent else _NOTHING,
        event=event,
    )


def records_of(event: Any) -> list[Mapping[str, Any]]:
    """The messages of an SQS batch.

    :raises ValueError: when it is none, or has a message that could not be named
    """
    records = event.get("Records") if isinstance(event, Mapping) else None
    if not isinstance(records, list):
        raise ValueError(  # noqa: TRY004  the event's content is wrong, not a Python type of the caller's
            "RESILIENT_MODE is 'messages', but this event has no list of Records: invoke the function from "
            "an SQS queue, or set the mode to 'event'"
        )
    for record in records:
        # An item that cannot be named cannot be returned; refuse the batch while nothing has been done.
        if (
            not isinstance(record, Mapping)
            or not isinstance(record.get("messageId"), str)
            or not record["messageId"]
        ):
            # Not the record itself: this goes to a log, and nobody has looked for secrets in it.
            has = ", ".join(map(str, record)) if isinstance(record, Mapping) else type(record).__name__
            raise ValueError(
                "RESILIENT_MODE is 'messages', but this is no SQS record: it has no messageId, but "
                f"{has:.200}"
            )
    return records


def group_of(record: Mapping[str, Any]) -> str | None:
    """The message group whose order must be kept, or None on a standard queue.

    Standard queues have message groups too (for fair queues), and those promise no order; only the queue's
    own name tells. https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-fair-queues.html
    """
    if not str(record.get("eventSourceARN", "")).endswith(".fifo"):
        return None
    # Every message of a FIFO queue has a group; one without would be ordered against all its like.
    return str((record.get("attributes") or _NOTHING).get("MessageGroupId", ""))


def _parse(body: str) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return body


def _receive_count(attributes: object) -> int:
    count = attributes.get("ApproximateReceiveCount") if isinstance(attributes, Mapping) else None
    return int(count) if isinstance(count, str) and count.isdecimal() else 1


def _value(attribute: Mapping[str, Any]) -> str | bytes:
    text = attribute.get("stringValue")
    return text if isinstance(text, str) else a2b_base64(attribute.get("binaryValue") or "")
