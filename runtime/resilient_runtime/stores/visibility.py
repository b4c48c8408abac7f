"""Messages on their way back to their queues: when each may be received again."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, cast

from resilient_runtime.returning import LONGEST_VISIBILITY, CouldNotDelay

from .refusals import code_of

__all__ = ["CouldNotDelay", "QueueVisibility", "ReturnsMessages", "url_of", "visibility_client"]

_MOST_AT_ONCE = 10
"""https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ChangeMessageVisibilityBatch.html"""

# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/CommonErrors.html
_FORBIDDEN = frozenset({"AccessDenied", "AccessDeniedException", "AuthorizationError"})
_GRANT = "Grant the function's role sqs:ChangeMessageVisibility on the queue; this environment stops asking"

_FIRST_TIME = 3.0
_ONCE_CONNECTED = 0.7
_LONGEST_ANSWER = 0.6


class ReturnsMessages(Protocol):
    """The one call of boto3's SQS client that is used here."""

    def change_message_visibility_batch(self, **arguments: Any) -> Mapping[str, Any]:
        """See API_ChangeMessageVisibilityBatch."""
        ...


def visibility_client() -> ReturnsMessages:
    """A client that gives up at once: a message that returns late is no loss, a killed invocation is."""
    # Late on purpose: botocore takes 150 ms to import, and most environments see nothing fail for long.
    from .clients import client

    return cast("ReturnsMessages", client("sqs", read_timeout=_LONGEST_ANSWER, attempts=1))


class QueueVisibility:
    """Tells SQS when messages may be received again, ten with a call.

    The queues are known from the records, so that one function may serve several. Needs
    ``sqs:ChangeMessageVisibility`` on them; a queue on which it is missing is asked once and left alone.

    :param connect: makes the client when the first message fails
    """

    def __init__(self, connect: Callable[[], ReturnsMessages] = visibility_client) -> None:
        self._connect = connect
        self._client: ReturnsMessages | None = None
        self._forbidden: set[str] = set()

    @property
    def needs(self) -> float:
        """Seconds that telling may take: the first time a client is made."""
        return _FIRST_TIME if self._client is None else _ONCE_CONNECTED

    def change(self, delays: Sequence[tuple[Mapping[str, Any], float]]) -> None:
        """Have each record return after its seconds, rounded up.

        :raises CouldNotDelay: when SQS refuses some of them, or the role may not ask for it
        :raises Exception: whatever else the client raises
        """
        by_queue: dict[str, list[dict[str, Any]]] = {}
        for record, seconds in delays:
            arn = str(record["eventSourceARN"])
            if arn in self._forbidden:
                continue
            entries = by_queue.setdefault(arn, [])
            entries.append(
                {
                    "Id": str(len(entries)),
                    "ReceiptHandle": record["receiptHandle"],
                    "VisibilityTimeout": min(math.ceil(seconds), LONGEST_VISIBILITY),
                }
            )
        refused: list[str] = []
        for arn, entries in by_queue.items():
            try:
                refused += self._refused(arn, entries)
            except Exception as error:
                code = code_of(error)
                if code not in _FORBIDDEN:
                    raise
                self._forbidden.add(arn)
                refused += [code] * len(entries)
        if refused:
            remedy = _GRANT if _FORBIDDEN.intersection(refused) else ""
            raise CouldNotDelay(len(refused), len(delays), refused, remedy)

    def _refused(self, arn: str, entries: Sequence[Mapping[str, Any]]) -> list[str]:
        """Ask for one queue's messages; what was said of those that are refused."""
        if self._client is None:
            self._client = self._connect()
        refused: list[str] = []
        for first in range(0, len(entries), _MOST_AT_ONCE):
            answer = self._client.change_message_visibility_batch(
                QueueUrl=url_of(arn), Entries=entries[first : first + _MOST_AT_ONCE]
            )
            refused += [str(one.get("Code")) for one in answer.get("Failed", ())]
        return refused


def url_of(arn: str) -> str:
    """The queue's URL.

    Asking SQS for it would need another permission and another call.
    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-queue-message-identifiers.html
    """
    _, partition, _, region, account, name = arn.split(":", 5)
    suffix = "amazonaws.com.cn" if partition == "aws-cn" else "amazonaws.com"
    return f"https://sqs.{region}.{suffix}/{account}/{name}"
