"""The archive of evicted messages, and the bus that is told of them: S3 and EventBridge, thinly."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, cast

from .clients import Once, client

__all__ = ["DefaultBus", "PutsEvents", "PutsObjects", "S3Archive", "events_client", "s3_client"]


class PutsObjects(Protocol):
    """The one call of S3's client that is used here."""

    def put_object(self, **arguments: Any) -> Mapping[str, Any]:
        """https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html."""
        ...


class PutsEvents(Protocol):
    """The one call of EventBridge's client that is used here."""

    def put_events(self, **arguments: Any) -> Mapping[str, Any]:
        """https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html."""
        ...


def s3_client() -> PutsObjects:
    """A client that gives up after about ten seconds: a megabyte takes longer than a note."""
    return cast("PutsObjects", client("s3", read_timeout=4))


def events_client() -> PutsEvents:
    """A client that gives up after three seconds: an event is not worth an invocation's time."""
    return cast("PutsEvents", client("events", attempts=1))


class S3Archive:
    """Stores one object per message. Needs ``s3:PutObject`` on its keys.

    A key that is there already is written over: it is the same message, which came twice.

    :param bucket: the bucket's name
    :param connect: makes the client when the first message is evicted
    """

    def __init__(self, bucket: str, connect: Callable[[], PutsObjects] = s3_client) -> None:
        self._bucket = bucket
        self._client = Once(connect)

    def put(self, key: str, document: str) -> None:
        """Store a document; when this returns, S3 has confirmed it.

        :raises Exception: whatever the client raises; the document is then not known to be stored
        """
        self._client().put_object(
            Bucket=self._bucket, Key=key, Body=document.encode(), ContentType="application/json"
        )


class DefaultBus:
    """The account's own event bus. Needs ``events:PutEvents`` on it.

    :param connect: makes the client when the first events are told
    """

    def __init__(self, connect: Callable[[], PutsEvents] = events_client) -> None:
        self._client = Once(connect)

    def put(self, entries: Sequence[Mapping[str, Any]]) -> Mapping[int, str]:
        """Put at most ten events; the places of those that EventBridge refused, with its reason.

        :raises Exception: whatever the client raises
        """
        answer = self._client().put_events(Entries=list(entries))
        if not answer.get("FailedEntryCount"):
            return {}
        return {
            place: f"{one['ErrorCode']}: {one.get('ErrorMessage', '')}"
            for place, one in enumerate(answer.get("Entries", ()))
            if one.get("ErrorCode")
        }
