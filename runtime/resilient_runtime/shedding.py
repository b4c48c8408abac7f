"""What is too old to be worth doing, and how it is kept: pure decisions, no store.

A message is judged at the moment at which its handler would begin, before it waits for a turn, so that
nothing is spent on work that nobody wants any more.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from .call import Call
from .settings import EvictionSettings

__all__ = ["DETAIL_TYPE", "SOURCE", "Eviction", "age_of", "document_of", "event_of", "returns_after"]

SOURCE = "resilient-constructs"
DETAIL_TYPE = "Message Evicted"

_FIRST_RETURN = 15.0
_LONGEST_RETURN = 900.0
_MOST_DOUBLINGS = 10


class Eviction(NamedTuple):
    """One message on its way into the archive.

    :param key: where it lies there; the same however often the message comes
    :param sent_at: seconds since 1970
    :param evicted_at: seconds since 1970
    """

    record: Mapping[str, Any]
    call: Call
    key: str
    sent_at: float
    evicted_at: float

    @property
    def age(self) -> float:
        """Seconds, to the millisecond."""
        return round(self.evicted_at - self.sent_at, 3)

    @classmethod
    def of(cls, record: Mapping[str, Any], call: Call, settings: EvictionSettings, *, now: float) -> Eviction:
        """The eviction of a record that has an age.

        The key begins with whose message it is and the day on which it was sent, both for people to look for.
        Not the day of the eviction: that of a message which comes twice would be two.
        """
        sent_at = _sent_at(record) or 0.0
        day = time.strftime("%Y-%m-%d", time.gmtime(sent_at))
        clock = time.strftime("%H-%M-%S", time.gmtime(sent_at))
        thousandths = int(sent_at * 1000) % 1000
        key = f"{settings.prefix}{day}/{clock}.{thousandths:03d}-{record['messageId']}.json"
        return cls(record, call, key, sent_at, now)

    def about(self) -> dict[str, Any]:
        """What log, event and archive all say of it."""
        return {
            "message_id": self.record["messageId"],
            "correlation_id": self.call.correlation_id,
            "sent_at": _iso(self.sent_at),
            "evicted_at": _iso(self.evicted_at),
            "age_seconds": self.age,
            "receive_count": self.call.attempt,
            "queue_arn": self.record.get("eventSourceARN"),
        }


def age_of(record: Mapping[str, Any], *, now: float) -> float | None:
    """Seconds since the message was sent; None where it does not say when.

    Sent again, by a redrive from the dead-letter queue or by hand, it is a new message, and young.
    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-configure-dead-letter-queue-redrive.html

    :param now: seconds since 1970
    """
    sent_at = _sent_at(record)
    return None if sent_at is None else now - sent_at


def document_of(eviction: Eviction, *, consumer: str, evict_after: float) -> str:
    """The message as JSON, whole: everything that it takes to send it again, and why it lies here."""
    record, call = eviction.record, eviction.call
    content = {
        "consumer": consumer,
        **eviction.about(),
        "evict_after_seconds": evict_after,
        "idempotency_key": call.idempotency_key,
        "body": record.get("body"),
        "message_attributes": record.get("messageAttributes") or {},
        "attributes": record.get("attributes") or {},
    }
    # ASCII only: half of a surrogate pair has no UTF-8, and here each is escaped.
    return json.dumps(content, separators=(",", ":"))


def event_of(eviction: Eviction, settings: EvictionSettings, *, consumer: str) -> dict[str, Any]:
    """The entry for EventBridge's PutEvents: where the message lies, not what it says.

    The message's id tells one from another, for the event may come twice.

    https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEventsRequestEntry.html
    """
    detail = {"consumer": consumer, **eviction.about(), "bucket": settings.bucket, "key": eviction.key}
    return {
        "EventBusName": "default",
        "Source": SOURCE,
        "DetailType": DETAIL_TYPE,
        "Detail": json.dumps(detail, separators=(",", ":")),
    }


def returns_after(attempt: int) -> float:
    """Seconds after which a message comes again that the archive did not take.

    It grows fast: an archive that refuses is mended by a person, and ten receives must last for an hour.

    :param attempt: how many times the message has been received
    """
    doublings = min(max(attempt, 1) - 1, _MOST_DOUBLINGS)
    return float(min(_LONGEST_RETURN, _FIRST_RETURN * 2**doublings))


def _sent_at(record: Mapping[str, Any]) -> float | None:
    # https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ReceiveMessage.html
    attributes = record.get("attributes")
    sent = attributes.get("SentTimestamp") if isinstance(attributes, Mapping) else None
    return int(sent) / 1000 if isinstance(sent, str) and sent.isascii() and sent.isdecimal() else None


def _iso(seconds: float) -> str:
    whole, thousandths = divmod(int(seconds * 1000), 1000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(whole))}.{thousandths:03d}Z"
