"""The poison store: a queue, and a bucket for what is too large for a message."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, cast

from resilient_runtime.streams.entries import entry_text, pointer_of

from .dead_letters import SendsMessages, refuses_content, sqs_client

__all__ = ["PoisonQueue", "PutsObjects", "s3_client"]

_MESSAGE = 256 * 1024
"""Bytes from which an entry is an object. SQS takes four times as much, but not into each of its queues: many
were made with a MaximumMessageSize of 262,144 bytes, which was the most until 2025. An entry is a message's
body alone, without attributes, which would count, too.
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SetQueueAttributes.html
"""


class PutsObjects(Protocol):
    """The one call of boto3's S3 client that is used here."""

    def put_object(self, **arguments: Any) -> Mapping[str, Any]:
        """https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html."""
        ...


def s3_client() -> PutsObjects:
    """A client that gives up long before most functions' time is over."""
    from .clients import client

    return cast("PutsObjects", client("s3", read_timeout=4, attempts=2))


class PoisonQueue:
    """Keeps poison records whole.

    :param queue_url: of a standard queue; its messages are entries, or point at one
    :param bucket: where entries are that a message cannot hold
    :param prefix: what their keys begin with: consumers that share a bucket may keep the same record
    """

    def __init__(
        self,
        queue_url: str,
        bucket: str,
        prefix: str = "",
        *,
        connect_queue: Callable[[], SendsMessages] = sqs_client,
        connect_bucket: Callable[[], PutsObjects] = s3_client,
    ) -> None:
        self.queue_url = queue_url
        self.bucket = bucket
        self.prefix = prefix
        self._connect_queue = connect_queue
        self._connect_bucket = connect_bucket
        self._queue: SendsMessages | None = None
        self._objects: PutsObjects | None = None

    def store(self, entry: Mapping[str, Any]) -> None:
        """Keep an entry; when this returns, AWS has confirmed it.

        :raises Exception: whatever a client raises; the entry is then not known to be kept
        """
        body = entry_text(entry)
        if len(body) >= _MESSAGE:
            self._send(self._put(entry, body))
            return
        try:
            self._send(body)
        except Exception as error:
            if not refuses_content(error):
                raise
            # A queue may allow less still; the pointer is as small as a message can be.
            self._send(self._put(entry, body))

    def _put(self, entry: Mapping[str, Any], body: str) -> str:
        """Keep an entry as an object; the message that points at it."""
        key = self.prefix + key_of(entry)
        if self._objects is None:
            self._objects = self._connect_bucket()
        # First the object: a pointer to nothing would be a lost record that looks like a kept one.
        self._objects.put_object(
            Bucket=self.bucket, Key=key, Body=body.encode(), ContentType="application/json"
        )
        return entry_text(pointer_of(entry, self.bucket, key))

    def _send(self, body: str) -> None:
        if self._queue is None:
            self._queue = self._connect_queue()
        answer = self._queue.send_message(QueueUrl=self.queue_url, MessageBody=body)
        if not answer.get("MessageId"):
            raise RuntimeError(f"SQS did not confirm the record: {answer!r}")


def key_of(entry: Mapping[str, Any]) -> str:
    """The object's key: the same whenever the same record is stored again."""
    shard = str(entry["shard"]).rpartition("/")[2]
    return f"{str(entry['kind']).lower()}/{shard}/{entry['sequence_number']}.json"
