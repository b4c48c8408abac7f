"""Find the id that ties one piece of work together, from the API to the last handler.

Every function here is pure and takes what AWS hands to Lambda. An id that a client made up is taken only
when it is safe to log, to search for and to send on in a header: 1 to 128 of ``A-Z a-z 0-9 . _ -``. What
does not fit is passed over, and the next source is asked.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

__all__ = [
    "ATTRIBUTE",
    "HEADER",
    "KEY_ATTRIBUTE",
    "KEY_HEADER",
    "accepted_detail",
    "accepted_key",
    "envelope_of",
    "first_valid",
    "fresh_id",
    "from_envelope",
    "from_event",
    "idempotency_key_of",
    "is_valid",
    "key_of_context",
]

ATTRIBUTE = "correlation_id"
"""The SQS message attribute, and the member of an event's ``metadata``, that carries the id."""

HEADER = "x-correlation-id"
"""The HTTP header that carries the id, in lower case."""

KEY_ATTRIBUTE = "idempotency_key"
"""The SQS message attribute, and the member of an event's ``metadata``, that carries the client's key."""

KEY_HEADER = "idempotency-key"
"""The HTTP header that carries the client's key, in lower case."""

# ``re`` costs nothing here: ``json`` has imported it already.
_VALID = re.compile(r"[A-Za-z0-9._-]{1,128}").fullmatch


def is_valid(value: object) -> bool:
    """Whether ``value`` may be used as a correlation id as it is."""
    return type(value) is str and _VALID(value) is not None


def first_valid(*candidates: object) -> str | None:
    """The first candidate that is a valid id, else None."""
    for candidate in candidates:
        if type(candidate) is str and _VALID(candidate) is not None:
            return candidate
    return None


def fresh_id() -> str:
    """A random id, for work that nobody has named."""
    # Not uuid4: importing uuid costs milliseconds at every cold start for the same 16 random bytes.
    return os.urandom(16).hex()


def envelope_of(value: object) -> Mapping[str, Any] | None:
    """``value`` when it is an EventBridge event as a rule delivers it, else None.

    https://docs.aws.amazon.com/eventbridge/latest/ref/overiew-event-structure.html
    """
    if (
        type(value) is dict
        and "detail" in value
        and type(value.get("detail-type")) is str
        and type(value.get("source")) is str
    ):
        return value
    return None


def accepted_detail(envelope: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The event's detail when a ``StorageFirstApi`` wrapped it as ``{metadata, data}``, else None.

    Many teams put ``metadata`` and ``data`` into their own events. Only a detail with exactly these two and
    an id in its metadata is taken for ours, so that nobody's own event is unwrapped behind their back.
    """
    detail = envelope["detail"]
    if type(detail) is dict and len(detail) == 2 and "data" in detail:
        metadata = detail.get("metadata")
        if type(metadata) is dict and type(metadata.get(ATTRIBUTE)) is str:
            return detail
    return None


def from_envelope(envelope: Mapping[str, Any]) -> str | None:
    """The id in an EventBridge event's own metadata, else None."""
    detail = envelope["detail"]
    metadata = detail.get("metadata") if type(detail) is dict else None
    value = metadata.get(ATTRIBUTE) if type(metadata) is dict else None
    return value if is_valid(value) else None


def accepted_key(accepted: Mapping[str, Any]) -> object:
    """The key that a client gave a ``StorageFirstApi``, from what ``accepted_detail`` returned, else None.

    No other event is asked, unlike for a correlation id: whoever copies ``metadata`` from one event into
    three others means one story, but three pieces of work.
    """
    return accepted["metadata"].get(KEY_ATTRIBUTE)


def from_event(event: object, *, request_id: object) -> str:
    """The correlation id of any event that Lambda may be invoked with.

    Asked in this order: the metadata and id of an EventBridge event; header and request id of an API Gateway
    request (REST or HTTP); the attribute of a lone SQS message; a plain event's own ``correlation_id``, at
    the top or in ``metadata``; ``request_id``; a fresh random id.
    """
    if not isinstance(event, Mapping):
        return first_valid(request_id) or fresh_id()
    envelope = envelope_of(event)
    if envelope is not None:
        return first_valid(from_envelope(envelope), envelope.get("id"), request_id) or fresh_id()
    request = event.get("requestContext")
    if isinstance(request, Mapping):
        return (
            first_valid(_header(event.get("headers"), HEADER), request.get("requestId"), request_id)
            or fresh_id()
        )
    metadata = event.get("metadata")
    found = first_valid(
        _attribute(_lone_message(event.get("Records")), ATTRIBUTE),
        event.get(ATTRIBUTE),
        metadata.get(ATTRIBUTE) if isinstance(metadata, Mapping) else None,
        request_id,
    )
    return found or fresh_id()


def idempotency_key_of(event: object, *, request_id: object) -> str:
    """What stays the same when this event is delivered again.

    Asked in this order: the client's key of a ``StorageFirstApi`` and the id of an EventBridge event; the
    ``Idempotency-Key`` header of an API Gateway request; the client's key and the id of a lone SQS message;
    ``request_id``, which Lambda keeps when it retries an asynchronous invocation; a fresh random id.
    https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
    """
    if not isinstance(event, Mapping):
        return first_valid(request_id) or fresh_id()
    envelope = envelope_of(event)
    if envelope is not None:
        accepted = accepted_detail(envelope)
        key = None if accepted is None else accepted_key(accepted)
        return first_valid(key, envelope.get("id"), request_id) or fresh_id()
    if isinstance(event.get("requestContext"), Mapping):
        sent = _header(event.get("headers"), KEY_HEADER)
        return first_valid(_unquoted(sent), request_id) or fresh_id()
    message = _lone_message(event.get("Records"))
    found = first_valid(_attribute(message, KEY_ATTRIBUTE), message.get("messageId"), request_id)
    return found or fresh_id()


def key_of_context(context: object) -> str | None:
    """The key that a workflow tells beside its payload, which stays the same however often it calls.

    https://docs.aws.amazon.com/lambda/latest/dg/python-context.html
    """
    told = getattr(context, "client_context", None)
    custom = None if told is None else getattr(told, "custom", None)
    key = custom.get(KEY_ATTRIBUTE) if type(custom) is dict else None
    return key if is_valid(key) else None


def _header(headers: object, wanted: str) -> object:
    if not isinstance(headers, Mapping):
        return None
    # HTTP APIs lower header names; REST APIs keep what the client typed.
    for name, value in headers.items():
        if isinstance(name, str) and name.lower() == wanted:
            return value
    return None


def _unquoted(value: object) -> object:
    # The header's draft writes the key as a string in quotes; most clients leave them out.
    # https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/
    return value[1:-1] if type(value) is str and value[:1] == value[-1:] == '"' else value


def _lone_message(records: object) -> Mapping[str, Any]:
    # Several messages have several stories: none of their ids may stand for the others.
    if isinstance(records, list) and len(records) == 1 and isinstance(records[0], dict):
        return records[0]
    return {}


def _attribute(message: Mapping[str, Any], name: str) -> object:
    attributes = message.get("messageAttributes")
    attribute = attributes.get(name) if type(attributes) is dict else None
    return attribute.get("stringValue") if type(attribute) is dict else None
