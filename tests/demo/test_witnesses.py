"""Whose message is whose, read from the messages themselves."""

from __future__ import annotations

import json

import pytest

from resilient_constructs.demo.witnesses import correlation_id_of

ENVELOPE = json.dumps({"id": "e", "detail": {"metadata": {"correlation_id": "from-detail"}, "data": {}}})
ATTRIBUTE = {"correlation_id": {"StringValue": "from-attribute", "DataType": "String"}}


@pytest.mark.parametrize(
    ("message", "whose"),
    [
        ({"MessageId": "m", "Body": ENVELOPE, "MessageAttributes": ATTRIBUTE}, "from-attribute"),
        ({"MessageId": "m", "Body": ENVELOPE}, "from-detail"),
        ({"MessageId": "m", "Body": "{}", "MessageAttributes": {}}, "m"),
        ({"MessageId": "m", "Body": "no JSON"}, "m"),
        ({"MessageId": "m", "Body": "[]"}, "m"),
        ({"MessageId": "m", "Body": json.dumps({"detail": None})}, "m"),
    ],
)
def test_a_message_is_known_by_attribute_envelope_or_its_own_id(
    message: dict[str, object], whose: str
) -> None:
    """The attribute comes before the envelope's metadata, and what has neither goes by its message ID."""
    assert correlation_id_of(message) == whose
