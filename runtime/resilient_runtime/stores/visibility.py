"""Messages on their way back to their queues: when each may be received again."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, cast

from resilient_runtime.returning import LONGEST_VISIBILITY

__all__ = ["CouldNotDelay", "QueueVisibility", "ReturnsMessages", "url_of", "visibility_client"]

_MOST_AT_ONCE = 10
"""https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ChangeMessageVisibilityBatch.html"""

_FIRST_TIME = 3.0
_ONCE_CONNECTED = 0.7


class CouldNotDelay(Exception):  # noqa: N818  it reads as what happened
    """Some messages return when their queue's visibility timeout ends, not when they should."""


class ReturnsMessages(Protocol):
    """The one call of boto3's SQS client that is used here."""

    def change_message_visibility_batch(self, **arguments: Any) -> Mapping[str, Any]:
        """See API_ChangeMessageVisibilityBatch."""
        ...


def visibility_client() -> ReturnsMessages:
    """A client that gives up after three seconds: it is not worth an invocation's time."""
    # Late on purpose: botocore takes 150 ms to import, and most environments see nothing fail for long.
    from .clients import client

    return cast("ReturnsMessages", client("sqs", read_timeout=2, attempts=1))


class QueueVisibility:
    """Tells SQS when messages may be received again, ten with a call.

    The queues are known from the records, so that one function may serve several. Needs
    ``sqs:ChangeMessageVisibility`` on them.

    :param connect: makes the client when the first message fails
    """

    def __init__(self, connect: Callable[[], ReturnsMessages] = visibility_client) -> None:
        self._connect = connect
        self._client: ReturnsMessages | None = None

    @property
    def needs(self) -> float:
        """Seconds that telling may take: the first time a client is made."""
        return _FIRST_TIME if self._client is None else _ONCE_CONNECTED

    def change(self, delays: Sequence[tuple[Mapping[str, Any], float]]) -> None:
        """Have each record return after its seconds, rounded up.

        :raises CouldNotDelay: when SQS refuses some of them
        :raises Exception: whatever the client raises
        """
        if self._client is None:
            self._client = self._connect()
        by_queue: dict[str, list[dict[str, Any]]] = {}
        for record, seconds in delays:
            entries = by_queue.setdefault(str(record["eventSourceARN"]), [])
            entries.append(
                {
                    "Id": str(len(entries)),
                    "ReceiptHandle": record["receiptHandle"],
                    "VisibilityTimeout": min(math.ceil(seconds), LONGEST_VISIBILITY),
                }
            )
        refused: list[Mapping[str, Any]] = []
        for arn, entries in by_queue.items():
            for first in range(0, len(entries), _MOST_AT_ONCE):
                answer = self._client.change_message_visibility_batch(
                    QueueUrl=url_of(arn), Entries=entries[first : first + _MOST_AT_ONCE]
                )
                refused += answer.get("Failed", ())
        if refused:
            codes = ", ".join(sorted({str(one.get("Code")) for one in refused}))
            raise CouldNotDelay(
                f"SQS does not delay {len(refused)} of {len(delays)} messages ({codes}); they return when "
                "the queue's visibility timeout ends"
            )


def url_of(arn: str) -> str:
    """The queue's URL.

    Asking SQS for it would need another permission and another call.
    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-queue-message-identifiers.html
    """
    _, partition, _, region, account, name = arn.split(":", 5)
    suffix = "amazonaws.com.cn" if partition == "aws-cn" else "amazonaws.com"
    return f"https://sqs.{region}.{suffix}/{account}/{name}"
