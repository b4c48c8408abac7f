"""What is too old, and how it is kept."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lambda_events import NOON, sqs_record
from resilient_runtime import Call
from resilient_runtime.settings import EvictionSettings, Settings
from resilient_runtime.shedding import Eviction, age_of, document_of, event_of, returns_after

SETTINGS = EvictionSettings(after=3600, bucket="archive", prefix="Shop-Delivery/")


def evicted(record: dict[str, Any], *, now: float = NOON) -> Eviction:
    """The eviction of a record whose call says what a consumer's would."""
    call = Call(correlation_id="c-1", idempotency_key="k-1", message_id=record["messageId"], attempt=2)
    return Eviction.of(record, call, SETTINGS, now=now)


def test_a_message_is_as_old_as_its_first_sending() -> None:
    """Receives do not make it younger; the age is counted from SQS's own timestamp."""
    assert age_of(sqs_record(age=5400, receive_count=7), now=NOON) == pytest.approx(5400)


@pytest.mark.parametrize(
    "attributes", [None, {}, {"SentTimestamp": "soon"}, {"SentTimestamp": 5}, {"SentTimestamp": "²"}]
)
def test_a_message_that_does_not_say_when_has_no_age(attributes: Any) -> None:
    """Nothing is evicted on a guess."""
    assert age_of({**sqs_record(), "attributes": attributes}, now=NOON) is None


def test_the_key_is_found_by_consumer_and_day() -> None:
    """Consumer, day and time of sending, then the message's id: sorted, as they were sent."""
    key = evicted(sqs_record(message_id="m-7", age=5400)).key
    assert key == "Shop-Delivery/2027-01-15/06-30-00.250-m-7.json"


@given(
    ages=st.tuples(st.integers(0, 2_000_000_000), st.integers(0, 2_000_000_000)),
    later=st.floats(0, 1_000_000),
)
def test_the_key_stays_and_keeps_the_order(ages: tuple[int, int], later: float) -> None:
    """A message that comes twice has one key; keys sort as their messages were sent, to the millisecond."""
    one, other = ({**sqs_record(), "attributes": {"SentTimestamp": str(sent)}} for sent in ages)
    assert evicted(one).key == evicted(one, now=NOON + later).key
    assert (evicted(one).key < evicted(other).key) == (ages[0] < ages[1])


@given(
    body=st.text(st.characters()),
    text=st.text(),
    data=st.binary(),
    group=st.none() | st.text(min_size=1),
)
def test_the_document_holds_the_whole_message(body: str, text: str, data: bytes, group: str | None) -> None:
    """Body, attributes and group come back as they were delivered, whatever characters they hold."""
    record = sqs_record(body, attributes={"kind": text, "raw": data}, group=group)
    written = document_of(evicted(record), consumer="Delivery", evict_after=3600)
    assert written.isascii()
    read = json.loads(written)
    assert read["body"] == body
    assert read["message_attributes"] == record["messageAttributes"]
    assert read["attributes"] == record["attributes"]


def test_the_document_says_why_it_lies_there() -> None:
    """Whose message, from when, how old, how often received, from which queue, and its ids."""
    read = json.loads(document_of(evicted(sqs_record(age=5400)), consumer="Delivery", evict_after=3600))
    assert {
        name: read[name] for name in read if name not in ("body", "message_attributes", "attributes")
    } == {
        "consumer": "Delivery",
        "message_id": "m-1",
        "correlation_id": "c-1",
        "idempotency_key": "k-1",
        "sent_at": "2027-01-15T06:30:00.250Z",
        "evicted_at": "2027-01-15T08:00:00.250Z",
        "age_seconds": 5400.0,
        "evict_after_seconds": 3600,
        "receive_count": 2,
        "queue_arn": "arn:aws:sqs:eu-west-1:111122223333:orders",
    }


def test_the_event_says_where_the_message_lies_and_not_what_it_says() -> None:
    """Bucket and key, and nothing of the body, which may be a megabyte or a secret."""
    entry = event_of(evicted(sqs_record('{"card": 1}', age=5400)), SETTINGS, consumer="Delivery")
    assert (entry["Source"], entry["DetailType"], entry["EventBusName"]) == (
        "resilient-constructs",
        "Message Evicted",
        "default",
    )
    detail = json.loads(entry["Detail"])
    assert (detail["bucket"], detail["consumer"]) == ("archive", "Delivery")
    assert detail["key"].endswith("m-1.json")
    assert "card" not in entry["Detail"]


def test_what_the_archive_refuses_stays_away_ever_longer() -> None:
    """Ten receives of an archive that refuses take an hour, and no wait is longer than a quarter of one."""
    waits = [returns_after(attempt) for attempt in range(1, 11)]
    assert waits == sorted(waits)
    assert sum(waits) > 3600
    assert max(waits) == returns_after(1000) == 900


@given(after=st.floats(1, 1_000_000), bucket=st.text(min_size=1), prefix=st.text())
def test_eviction_goes_through_the_environment_unchanged(after: float, bucket: str, prefix: str) -> None:
    """What the construct writes is what the entry point reads."""
    settings = Settings(
        urgent_queue_arn=prefix or None,
        handler="app.deliver",
        mode="messages",
        eviction=EvictionSettings(after, bucket, prefix),
    )
    assert Settings.from_env(settings.to_env()) == settings
    assert "RESILIENT_EVICTION" not in Settings(handler="app.deliver").to_env()
