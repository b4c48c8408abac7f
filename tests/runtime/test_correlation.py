from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lambda_events import App, batch_of, bridge_event, sqs_record
from resilient_runtime import current_correlation_id
from resilient_runtime.correlation import from_event, idempotency_key_of, is_valid
from resilient_runtime.messages import read
from resilient_runtime.rejection import LABEL

ENVELOPE = bridge_event({"metadata": {"correlation_id": "from-metadata"}, "data": {}})
KNOWN = [
    "Records",
    "detail",
    "detail-type",
    "source",
    "id",
    "metadata",
    "correlation_id",
    "data",
    "headers",
    "requestContext",
    "requestId",
    "messageAttributes",
    "messageId",
    "idempotency_key",
    "Idempotency-Key",
    "stringValue",
    "X-Correlation-Id",
]
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text() | st.sampled_from(KNOWN),
            inner,
            max_size=6,
        )
    ),
    max_leaves=20,
)


@pytest.mark.parametrize(
    ("body", "attributes", "expected"),
    [
        (ENVELOPE, {"correlation_id": "from-attribute"}, "from-attribute"),
        (ENVELOPE, {}, "from-metadata"),
        (ENVELOPE, {"correlation_id": "spaces are unsafe"}, "from-metadata"),
        (ENVELOPE, {"correlation_id": "x" * 129}, "from-metadata"),
        (ENVELOPE, {"correlation_id": b"binary"}, "from-metadata"),
        (bridge_event({}), {}, "6a7e8feb-b491-4cf7-a9f1-bf3703467718"),
        ({"order": 1}, {}, "m-1"),
        ("raw", {}, "m-1"),
    ],
)
def test_a_message_is_known_by_the_first_valid_id(
    body: object, attributes: dict[str, str | bytes], expected: str
) -> None:
    """Attribute, metadata, event id and message id are asked in this order; what is unsafe is passed over."""
    assert read(sqs_record(body, attributes=attributes)).correlation_id == expected


def test_the_idempotency_key_is_the_events_id() -> None:
    """A message that carries an event is the same work whenever that event comes again."""
    assert read(sqs_record(ENVELOPE)).idempotency_key == ENVELOPE["id"]
    assert read(sqs_record("{}")).idempotency_key == "m-1"


def test_an_event_keeps_its_key_when_it_was_rejected() -> None:
    """Its own id counts, however often it was rejected and sent back, and from whichever queue."""
    label = json.dumps({"reason": "no such street", "message_id": "first"})
    assert read(sqs_record(ENVELOPE, attributes={LABEL: label})).idempotency_key == ENVELOPE["id"]
    assert read(sqs_record("{}", attributes={LABEL: label})).idempotency_key == "first"


KEYED = bridge_event({"metadata": {"correlation_id": "c", "idempotency_key": "from-metadata"}, "data": {}})
COPIED = bridge_event(
    {"metadata": {"correlation_id": "c", "idempotency_key": "copied"}, "data": {}, "more": 1}
)
REQUEST = {"requestContext": {"requestId": "r"}}


@pytest.mark.parametrize(
    ("body", "attributes", "expected"),
    [
        (KEYED, {"idempotency_key": "from-attribute"}, "from-attribute"),
        (KEYED, {"idempotency_key": "spaces are unsafe"}, "from-metadata"),
        (KEYED, {"idempotency_key": b"binary"}, "from-metadata"),
        (KEYED, {}, "from-metadata"),
        (COPIED, {}, ENVELOPE["id"]),
        ({"order": 1}, {"idempotency_key": "from-attribute"}, "from-attribute"),
        ({"order": 1}, {"idempotency_key": ""}, "m-1"),
    ],
)
def test_the_clients_key_comes_first(body: object, attributes: dict[str, str | bytes], expected: str) -> None:
    """What a client called one request is one piece of work, however often the API stored it."""
    assert read(sqs_record(body, attributes=attributes)).idempotency_key == expected


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (KEYED, "from-metadata"),
        (COPIED, ENVELOPE["id"]),
        (ENVELOPE, ENVELOPE["id"]),
        ({"headers": {"IDEMPOTENCY-KEY": "from-header"}, **REQUEST}, "from-header"),
        ({"headers": {"Idempotency-Key": '"quoted"'}, **REQUEST}, "quoted"),
        ({"headers": {"Idempotency-Key": "a b"}, **REQUEST}, "request"),
        ({"headers": {"Idempotency-Key": '"'}, **REQUEST}, "request"),
        ({"headers": None, **REQUEST}, "request"),
        (batch_of(sqs_record(attributes={"idempotency_key": "lone"})), "lone"),
        (batch_of(sqs_record()), "m-1"),
        (batch_of(*[sqs_record(attributes={"idempotency_key": "one"})] * 2), "request"),
        ({"order": 1}, "request"),
        ("text", "request"),
    ],
)
def test_an_event_has_the_key_that_stays_when_it_is_delivered_again(event: object, expected: str) -> None:
    """The client's key, the event's id, the lone message's id and Lambda's request id are asked in turn."""
    assert idempotency_key_of(event, request_id="request") == expected


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (ENVELOPE, "from-metadata"),
        (bridge_event({"metadata": {"correlation_id": "bad id"}}), ENVELOPE["id"]),
        (
            {"headers": {"X-CORRELATION-ID": "from-header"}, "requestContext": {"requestId": "r"}},
            "from-header",
        ),
        ({"headers": {"x-correlation-id": "bad id"}, "requestContext": {"requestId": "r-7"}}, "r-7"),
        ({"headers": None, "requestContext": {"requestId": "r-7"}}, "r-7"),
        ({"correlation_id": "at-the-top"}, "at-the-top"),
        ({"metadata": {"correlation_id": "below"}}, "below"),
        (batch_of(sqs_record(attributes={"correlation_id": "lone"})), "lone"),
        (batch_of(*[sqs_record(attributes={"correlation_id": "one"})] * 2), "request"),
        ({"order": 1}, "request"),
        ("text", "request"),
        (None, "request"),
    ],
)
def test_an_event_is_known_by_its_first_valid_id(event: object, expected: str) -> None:
    """EventBridge, API Gateway, a lone SQS message and plain events carry an id; else the request does."""
    assert from_event(event, request_id="request") == expected


@given(ANY_JSON, st.text() | st.none())
def test_every_event_has_a_valid_id(event: object, request_id: str | None) -> None:
    """No event, however strange, breaks the search or yields an id that is unsafe to log."""
    assert is_valid(from_event(event, request_id=request_id))
    assert is_valid(idempotency_key_of(event, request_id=request_id))


@given(st.text())
def test_only_safe_ids_are_valid(text: str) -> None:
    """An id is 1 to 128 ASCII letters, digits, dots, underscores and hyphens."""
    safe = set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")
    assert is_valid(text) == (0 < len(text) <= 128 and set(text) <= safe)


def test_a_newline_at_the_end_is_no_part_of_an_id() -> None:
    """An id that would break a log line in two is refused."""
    assert not is_valid("abc\n")


def test_in_event_mode_nested_code_knows_the_id() -> None:
    """The correlation id is there in mode event too, and gone afterwards."""
    seen: list[Any] = []
    App(lambda event, context: seen.append(current_correlation_id()), mode="event")(ENVELOPE)
    assert seen == ["from-metadata"]
    assert current_correlation_id() is None
