"""A rejected message as it goes to the dead-letter queue: whole, with a label that says why.

The label is **one** message attribute holding JSON, because a message may have only ten. Where the message
has ten of its own, the smallest moves into the label (``displaced``), and the consumer gets it back in its
place when the message is sent again. Where the label does not fit at all, beside a body at SQS's limit,
the message goes without it and the reason stands in the REJECTED record alone: what was sent is worth more
than what we say about it. The body is never touched, so that any redrive brings back what was sent.
"""

from __future__ import annotations

import json
from binascii import a2b_base64
from collections.abc import Mapping
from typing import Any, NamedTuple

from .correlation import ATTRIBUTE

__all__ = ["LABEL", "MAX_ATTRIBUTES", "MAX_BYTES", "Rejection", "compose", "read_label", "size_of"]

LABEL = "resilient_rejection"
"""The message attribute that says why a message was rejected."""

MAX_ATTRIBUTES = 10
MAX_BYTES = 1_048_576
"""1 MiB: the body with the names, types and values of all attributes.
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
"""

_REASON_LENGTHS = (4096, 1024, 256, 64, 0)


class Rejection(NamedTuple):
    """Why a message was given up, and what was known then.

    :param reason: the handler's own words
    :param error: the exception that the handler rejected from, else None
    :param correlation_id: the story it belongs to
    :param attempt: how many times it had been delivered
    :param function_name: which function rejected it
    :param request_id: in which invocation
    :param rejected_at: when, as an RFC 3339 timestamp
    """

    reason: str
    error: str | None
    correlation_id: str
    attempt: int
    function_name: str
    request_id: str
    rejected_at: str


def compose(
    record: Mapping[str, Any], rejection: Rejection, *, queue_url: str, labelled: bool = True
) -> tuple[dict[str, Any], bool]:
    """The arguments of ``SendMessage`` that store this record, and whether they carry the label.

    :param record: the SQS record as Lambda delivered it
    :param labelled: False to leave the label off in any case
    """
    sent: dict[str, Any] = dict(record.get("messageAttributes") or {})
    before = read_label(sent.pop(LABEL)) if LABEL in sent else {}
    sent |= before.get("displaced", {})
    system: Mapping[str, str] = record.get("attributes") or {}
    arguments: dict[str, Any] = {"QueueUrl": queue_url, "MessageBody": record["body"]}
    if queue_url.endswith(".fifo"):
        # The same message rejected twice (its deletion failed) is stored once; a redriven one has a new id.
        arguments["MessageGroupId"] = system.get("MessageGroupId") or record["messageId"]
        arguments["MessageDeduplicationId"] = record["messageId"]
    elif system.get("MessageGroupId"):
        arguments["MessageGroupId"] = system["MessageGroupId"]
    if system.get("AWSTraceHeader"):
        arguments["MessageSystemAttributes"] = {
            "AWSTraceHeader": {"DataType": "String", "StringValue": system["AWSTraceHeader"]}
        }
    attributes = _with_label(sent, record, rejection, before) if labelled else None
    chosen = sent if attributes is None else attributes
    if chosen:
        arguments["MessageAttributes"] = {name: _for_sending(value) for name, value in chosen.items()}
    return arguments, attributes is not None


def read_label(attribute: Mapping[str, Any]) -> Mapping[str, Any]:
    """What ``compose`` wrote; an empty mapping when the attribute is no label of ours."""
    try:
        label = json.loads(attribute.get("stringValue") or "")
    except (ValueError, RecursionError):
        return {}
    if not isinstance(label, dict) or "reason" not in label or "message_id" not in label:
        return {}
    displaced = label.get("displaced", {})
    if not isinstance(displaced, dict) or not all(isinstance(value, dict) for value in displaced.values()):
        return {}
    return label


def size_of(body: str, attributes: Mapping[str, Mapping[str, Any]]) -> int:
    """How many bytes SQS counts for a message, given its attributes in Lambda's form."""
    return _bytes(body) + sum(_size(name, value) for name, value in attributes.items())


def _with_label(
    sent: dict[str, Any], record: Mapping[str, Any], rejection: Rejection, before: Mapping[str, Any]
) -> dict[str, Any] | None:
    kept = dict(sent)
    content: dict[str, Any] = {
        "reason": rejection.reason,
        "error": rejection.error,
        "correlation_id": rejection.correlation_id,
        # Of a message that was rejected before, the first id, so that its idempotency key never changes.
        "message_id": before.get("message_id", record["messageId"]),
        "source": record.get("eventSourceARN"),
        "attempt": rejection.attempt,
        "function_name": rejection.function_name,
        "request_id": rejection.request_id,
        "rejected_at": rejection.rejected_at,
    }
    if len(kept) >= MAX_ATTRIBUTES:
        # The smallest is the likeliest to fit; the correlation id stays where everybody looks for it.
        name = min((n for n in kept if n != ATTRIBUTE), key=lambda n: (_size(n, kept[n]), n))
        content["displaced"] = {name: kept.pop(name)}
    room = MAX_BYTES - size_of(record["body"], kept)
    for length in _REASON_LENGTHS:
        content["reason"] = _shorten(rejection.reason, length)
        content["error"] = None if rejection.error is None else _shorten(rejection.error, length)
        # ASCII only: SQS refuses some characters that a reason may hold, and here each is escaped.
        label = {"dataType": "String", "stringValue": json.dumps(content, separators=(",", ":"))}
        if _size(LABEL, label) <= room:
            return kept | {LABEL: label}
    return None


def _shorten(text: str, length: int) -> str:
    return text if len(text) <= length else text[:length] + "…"


def _size(name: str, attribute: Mapping[str, Any]) -> int:
    value = attribute.get("stringValue")
    size = _bytes(value) if isinstance(value, str) else len(a2b_base64(attribute.get("binaryValue") or ""))
    return _bytes(name) + _bytes(attribute["dataType"]) + size


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def _for_sending(attribute: Mapping[str, Any]) -> dict[str, Any]:
    value = attribute.get("stringValue")
    if isinstance(value, str):
        return {"DataType": attribute["dataType"], "StringValue": value}
    return {
        "DataType": attribute["dataType"],
        "BinaryValue": a2b_base64(attribute.get("binaryValue") or ""),
    }
